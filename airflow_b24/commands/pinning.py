"""Is this the ledger that pays? Said by doctor as a finding, and by those who only show it as a warning."""

from __future__ import annotations

from typing import Final

from airflow.sdk.exceptions import AirflowNotFoundException, AirflowRuntimeError
from sqlalchemy.exc import SQLAlchemyError

from airflow_b24.commands.answering import note
from airflow_b24.commands.lookup import open_ledger
from airflow_b24.hooks import Bitrix24Hook
from airflow_b24.ledger.errors import ForeignLedgerError, LedgerError
from airflow_b24.ledger.store import Store
from airflow_b24.pins import NotMigratedError, VariablePins
from airflow_b24.preparing.findings import Finding, skipped
from airflow_b24.reconcile.guarding import standings

CHECK: Final = "ledger pin"
_FIX: Final = (
    "Nothing is paid from it. Bring the right ledger back (mend [bitrix24] ledger_url or ledger_conn_id, restore the newest "
    "copy); if this one is to go on, look at `airflow b24 ledger adopt`."
)
_UNREAD: Final = (LedgerError, AirflowRuntimeError, SQLAlchemyError)


def ledger_pays(hook: Bitrix24Hook) -> Finding:
    """Compare the ledger with its pins, as a paying run does before anything is sent."""
    try:
        store = open_ledger(hook)
    except (LedgerError, SQLAlchemyError, ImportError):
        return skipped(CHECK)[0]
    try:
        trouble = _trouble(hook, store)
    except NotMigratedError:
        return Finding(CHECK, "problem", "Airflow's own database has no tables yet.", "Run `airflow db migrate` once.")
    except _UNREAD as error:
        fix = "Mend Airflow's own database or secrets backend, then run this again."
        return Finding(CHECK, "not checkable", _unread(error), fix)
    if trouble is not None:
        return Finding(CHECK, "problem", f"{trouble[0].upper()}{trouble[1:]}.", _FIX)
    return Finding(CHECK, "ok", "No other ledger is known to pay on this portal.")


def warn_of_another(hook: Bitrix24Hook, store: Store | None) -> None:
    """Say in one line beside the answer that this is not the ledger that pays; nothing where that cannot be known."""
    try:
        trouble = _trouble(hook, store)
    except _UNREAD:
        return
    if trouble is not None:
        note(f"Warning: {trouble}. Nothing is paid from it: see `airflow b24 doctor`.")


def _trouble(hook: Bitrix24Hook, store: Store | None) -> str | None:
    host, pins = _host(hook), VariablePins()
    try:
        if store is not None:
            return next((each.trouble for each in standings(store, pins, host) if each.trouble), None)
        pinned = pins.get(host) if host else None
    except ForeignLedgerError as error:
        return str(error)
    return None if pinned is None else f"nothing is written here, but {host} is paid from ledger {pinned.id}"


def _unread(error: Exception) -> str:
    said = str(error) if isinstance(error, LedgerError) else type(error).__name__
    return f"What is pinned cannot be read: {said}."


def _host(hook: Bitrix24Hook) -> str:
    """The portal of the connection; empty where there is none that can be read."""
    try:
        return hook.settings.auth.origin.netloc.lower()
    except (AirflowNotFoundException, ValueError):
        return ""
