"""Which ledger pays on which portal, remembered in Airflow's Variables: outside the ledger, seen by every worker."""

from __future__ import annotations

import json
import sys
from typing import Any, Final

from airflow.sdk import Variable
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse, GetVariable
from sqlalchemy import inspect
from sqlalchemy.exc import SQLAlchemyError

from airflow_b24.ledger.errors import ForeignLedgerError, LedgerError
from airflow_b24.ledger.identity import Identity

ABOUT: Final = "airflow-b24: the ledger that pays on this portal, and how far it had come. Do not edit."
MIGRATE: Final = "Airflow's own database has no tables yet: run `airflow db migrate` once, then this again."


class NotMigratedError(LedgerError):
    """Airflow's own database has no tables, so there are no Variables to be read or written."""


class VariablePins:
    """Pins in Variables named `airflow_b24_ledger:<portal>`, from inside a task and from Airflow's own commands."""

    def get(self, portal: str) -> Identity | None:
        """Return the portal's pin. Raises LedgerError when the Variable is not ours, that or AirflowRuntimeError when unread."""
        text = _read(_key(portal))
        return None if text is None else _parse(_key(portal), text)

    def put(self, portal: str, pinned: Identity, instead_of: Identity | None = None) -> None:
        """Write the portal's pin and read it back. Raises LedgerError when something else answers in its place.

        Raises ForeignLedgerError when another ledger than the one it is put `instead_of` was pinned meanwhile.
        """
        key = _key(portal)
        there = self.get(portal)
        if there is not None and there.id not in {pinned.id, instead_of and instead_of.id}:
            raise ForeignLedgerError(f"Variable {key}: ledger {there.id} was pinned a moment ago, not {pinned.id}")
        if there is not None and there.id == pinned.id and there.mark >= pinned.mark:
            # Another worker has come further: a pin never goes back.
            return
        text = json.dumps({"ledger": pinned.id, "mark": pinned.mark})
        # Twice: another worker may write its own, slightly older mark in between.
        for _ in range(2):
            _write(key, text)
            found = self.get(portal)
            if found is not None and found.id == pinned.id and found.mark >= pinned.mark:
                return
        # Nothing at all may be a passing fault of the API server; an answer of somebody else's will not pass.
        kind = LedgerError if found is None or found.id == pinned.id else ForeignLedgerError
        said = "nothing is" if found is None else f"ledger {found.id} at {found.mark} is"
        raise kind(
            f"Variable {key}: {said} read back after ledger {pinned.id} at {pinned.mark} was written; a secrets backend "
            f"or the environment variable AIRFLOW_VAR_{key.upper()} answers in its place: remove it there"
        )


def _key(portal: str) -> str:
    return f"airflow_b24_ledger:{portal}"


def _parse(key: str, text: str) -> Identity:
    try:
        found = json.loads(text)
        return Identity(str(found["ledger"]), int(found["mark"]))
    except (ValueError, TypeError, KeyError):
        raise ForeignLedgerError(
            f"Variable {key}: it holds no pin of airflow-b24; remove what stands there, then look at "
            "`airflow b24 ledger adopt`"
        ) from None


def has_tables() -> bool:
    """Say whether Airflow's own database was ever migrated. Raises LedgerError when it cannot be read."""
    from airflow.settings import engine  # noqa: PLC0415 - a task must not open the metadata database

    try:
        return engine is None or inspect(engine).has_table("variable")
    except SQLAlchemyError as error:
        raise LedgerError(f"Airflow's own database cannot be read ({type(error).__name__})") from None


def _read(key: str) -> str | None:
    comms = _supervisor()
    if comms is None and not has_tables():
        raise NotMigratedError(MIGRATE)
    found: str | None = Variable.get(key, default=None)
    if found is None and comms is not None:
        # source-derived: Variable.get calls a failure of the API server `not found`; here only its own word for it counts.
        told = comms.send(GetVariable(key=key))
        if not isinstance(told, ErrorResponse):
            return told.value  # type: ignore[no-any-return]
        if told.error != ErrorType.VARIABLE_NOT_FOUND:
            raise AirflowRuntimeError(told)
    return _stored(key) if found is None and comms is None else found


def _stored(key: str) -> str | None:
    """Ask Airflow's database itself, outside a task: a failure of it must not pass for a Variable that is not there."""
    # source-derived: Variable.get logs what a backend raises, and calls it `not found`.
    from airflow.secrets.metastore import MetastoreBackend  # noqa: PLC0415 - a task must not load the metadata models

    try:
        return MetastoreBackend().get_variable(key)
    except SQLAlchemyError as error:
        # The driver's own text may quote the address with its password.
        raise LedgerError(f"Variable {key}: Airflow's own database cannot be read ({type(error).__name__})") from None


def _write(key: str, text: str) -> None:
    if _supervisor() is not None:
        Variable.set(key, text, description=ABOUT)
        return
    # source-derived: outside a task the SDK's Variable can be read, not written.
    from airflow.models import Variable as StoredVariable  # noqa: PLC0415 - a task must not load the metadata models

    StoredVariable.set(key, text, description=ABOUT)  # noqa: AIR311 - it is the one that can be written there


def _supervisor() -> Any:
    """Return the way to the API server that a task has, None outside one."""
    return getattr(sys.modules.get("airflow.sdk.execution_time.task_runner"), "SUPERVISOR_COMMS", None)
