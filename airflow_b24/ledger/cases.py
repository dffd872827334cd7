"""Cases: trouble noticed after the end of a settlement, for a person; never a reason to un-pay by machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, select, update

from airflow_b24.ledger.schema import case, settlement
from airflow_b24.ledger.store import utc_now
from airflow_b24.ledger.upsert import insert_if_absent

REVERSED = "reversed"
LATE_EFFECT = "late_effect"
OVERTAKEN = "overtaken"
# The bank has changed or taken back a payment after its invoice was paid.
AMENDED = "amended"


def open_case(connection: Connection, settlement_id: int, kind: str, evidence: Mapping[str, Any]) -> None:
    """Open a case unless one of this kind is open already."""
    values = {"settlement_id": settlement_id, "kind": kind, "evidence": dict(evidence)}
    insert_if_absent(connection, case, {**values, "opened_at": utc_now(connection)})


def notice(connection: Connection, settlement_id: int, kind: str, evidence: Mapping[str, Any]) -> None:
    """Open a case for trouble that lasts, unless a person has dismissed it and it has not gone in between."""
    if not _is_dismissed(connection, settlement_id, kind):
        open_case(connection, settlement_id, kind, evidence)


def is_noticed(connection: Connection, settlement_id: int, kind: str) -> bool:
    """Say whether there is such trouble, dismissed by a person or not."""
    return is_open(connection, settlement_id, kind) or _is_dismissed(connection, settlement_id, kind)


def gone(connection: Connection, settlement_id: int, kind: str) -> None:
    """Close the case of this kind, if there is one: the trouble has gone, and coming back it is news again."""
    close(connection, settlement_id, kind)
    connection.execute(update(case).where(*_dismissed(settlement_id, kind)).values(dismissed=False))


def open_cases(connection: Connection) -> list[dict[str, Any]]:
    """All cases nobody has closed, with the invoice (and its `invoice_kind`) and amount they are about, oldest first."""
    about = (settlement.c.invoice_number, settlement.c.expected, settlement.c.currency)
    query = (
        select(case, *about, settlement.c.kind.label("invoice_kind"))
        .join(settlement)
        .where(case.c.closed_at.is_(None))
        .order_by(case.c.id)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def is_open(connection: Connection, settlement_id: int, kind: str) -> bool:
    """Say whether the settlement has an open case of this kind."""
    query = select(case.c.id).where(*_open(settlement_id), case.c.kind == kind)
    return connection.execute(query).first() is not None


def close(connection: Connection, settlement_id: int, kind: str) -> None:
    """Close the open case of this kind, if there is one."""
    _close(connection, *_open(settlement_id), case.c.kind == kind)


def close_all(connection: Connection, settlement_id: int) -> None:
    """Close every case of the settlement."""
    _close(connection, *_open(settlement_id))


def close_one(connection: Connection, case_id: int) -> bool:
    """Close a case by its id: a person has dealt with it. False when there is no such open case."""
    return _close(connection, case.c.id == case_id, case.c.closed_at.is_(None), dismissed=True)


def _open(settlement_id: int) -> tuple[ColumnElement[bool], ...]:
    return case.c.settlement_id == settlement_id, case.c.closed_at.is_(None)


def _is_dismissed(connection: Connection, settlement_id: int, kind: str) -> bool:
    return connection.execute(select(case.c.id).where(*_dismissed(settlement_id, kind)).limit(1)).first() is not None


def _dismissed(settlement_id: int, kind: str) -> tuple[ColumnElement[bool], ...]:
    return case.c.settlement_id == settlement_id, case.c.kind == kind, case.c.dismissed.is_(True)


def _close(connection: Connection, *which: ColumnElement[bool], dismissed: bool = False) -> bool:
    end = {"closed_at": utc_now(connection), "dismissed": dismissed}
    closed = update(case).where(*which).values(**end).returning(case.c.id)
    return connection.execute(closed).first() is not None
