"""What became of each payment: derived from allocations, settlements, outcomes and dismissals, never stored."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, select

from airflow_b24.ledger import dismissals, notes, outcomes, revisions
from airflow_b24.ledger.errors import UnknownIdError
from airflow_b24.ledger.schema import allocation, payment, settlement
from airflow_b24.ledger.states import State


def payments(connection: Connection) -> list[dict[str, Any]]:
    """Every payment with its live `settlements` (`lacks`: why what was to be written on the invoice is not there), what the bank changed (`revision`), and the newest word of matching, and of a person, on it, in order of booking."""
    said, dismissed = outcomes.latest(), dismissals.latest()
    query = (
        select(
            payment,
            said.c.verdict,
            said.c.reason.label("outcome_reason"),
            said.c.invoices,
            said.c.evidence.label("outcome_evidence"),
            dismissed.c.said_at.label("dismissed_at"),
            dismissed.c.said_by.label("dismissed_by"),
        )
        .outerjoin(said, said.c.payment_id == payment.c.id)
        .outerjoin(dismissed, dismissed.c.payment_id == payment.c.id)
        .order_by(payment.c.booked_on, payment.c.id)
    )
    live, revised = _live(connection), revisions.of_held(connection)
    rows = connection.execute(query).mappings()
    return [{**row, "settlements": live.get(row["id"], []), "revision": revised.get(row["id"])} for row in rows]


def _live(connection: Connection) -> dict[int, list[dict[str, Any]]]:
    # A released settlement has given its money back: it says nothing of the payment any more.
    newest = select(allocation.c.settlement_id, func.max(allocation.c.created_at).label("newest"))
    added = newest.group_by(allocation.c.settlement_id).subquery("added")
    names = (
        "id",
        "state",
        "how",
        "kind",
        "invoice_id",
        "invoice_number",
        "reason",
        "evidence",
        "expected",
        "allocated",
        "currency",
        "updated_at",
    )
    query = (
        select(allocation.c.payment_id, added.c.newest, *(settlement.c[name] for name in names))
        .join(settlement, settlement.c.id == allocation.c.settlement_id)
        .join(added, added.c.settlement_id == settlement.c.id)
        .where(settlement.c.state != State.RELEASED)
        .order_by(settlement.c.id)
    )
    lacking, found = notes.troubles(connection), dict[int, list[dict[str, Any]]]()
    for row in connection.execute(query).mappings():
        found.setdefault(row["payment_id"], []).append({**row, "lacks": lacking.get(row["id"], "")})
    return found


def paid_with(connection: Connection, settlement_id: int) -> list[dict[str, Any]]:
    """The payments of a settlement, each with how much of it was `put` there."""
    query = (
        select(payment, allocation.c.amount.label("put"))
        .join(allocation, allocation.c.payment_id == payment.c.id)
        .where(allocation.c.settlement_id == settlement_id)
    )
    return [dict(row) for row in connection.execute(query.order_by(payment.c.id)).mappings()]


def payment_of(connection: Connection, payment_id: int) -> dict[str, Any]:
    """One payment. Raises UnknownIdError when it is not in this ledger."""
    found = connection.execute(select(payment).where(payment.c.id == payment_id)).mappings().first()
    if found is None:
        raise UnknownIdError(f"PAYMENT_ID: {payment_id} is not in this ledger; `airflow b24 review` shows the numbers")
    return dict(found)


def plain(connection: Connection) -> list[dict[str, Any]]:
    """Live settlements that no payment stands behind: invoices paid by their id, or adopted."""
    query = select(settlement).where(
        settlement.c.origin == "manual", settlement.c.allocated == 0, settlement.c.state != State.RELEASED
    )
    lacking, rows = notes.troubles(connection), connection.execute(query.order_by(settlement.c.id)).mappings()
    return [{**row, "lacks": lacking.get(row["id"], "")} for row in rows]
