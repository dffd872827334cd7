"""What became of each payment: derived from allocations, settlements and outcomes, never stored."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from airflow_b24.ledger import outcomes
from airflow_b24.ledger.decide import State
from airflow_b24.ledger.schema import allocation, payment, settlement


def payments(connection: Connection) -> list[dict[str, Any]]:
    """Every payment with its settlement, if any, and matching's newest word on it, in order of booking."""
    said = outcomes.latest()
    # A released settlement has given its money back: it says nothing of the payment any more.
    live = (
        select(allocation.c.payment_id, settlement)
        .join(settlement, settlement.c.id == allocation.c.settlement_id)
        .where(settlement.c.state != State.RELEASED)
        .subquery("live")
    )
    query = (
        select(
            payment,
            live.c.id.label("settlement_id"),
            live.c.state,
            live.c.how,
            live.c.invoice_id,
            live.c.invoice_number,
            live.c.reason.label("settlement_reason"),
            said.c.verdict,
            said.c.reason.label("outcome_reason"),
            said.c.invoices,
            said.c.evidence.label("outcome_evidence"),
        )
        .outerjoin(live, live.c.payment_id == payment.c.id)
        .outerjoin(said, said.c.payment_id == payment.c.id)
        .order_by(payment.c.booked_on, payment.c.id)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def plain_open(connection: Connection) -> list[dict[str, Any]]:
    """Settlements without an end that no payment stands behind: invoices paid by their id."""
    query = select(settlement).where(
        settlement.c.origin == "manual", settlement.c.state.not_in([State.PAID, State.RELEASED])
    )
    return [dict(row) for row in connection.execute(query.order_by(settlement.c.id)).mappings()]
