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
    query = (
        select(
            payment,
            settlement.c.id.label("settlement_id"),
            settlement.c.state,
            settlement.c.how,
            settlement.c.invoice_id,
            settlement.c.invoice_number,
            settlement.c.reason.label("settlement_reason"),
            said.c.verdict,
            said.c.reason.label("outcome_reason"),
            said.c.invoices,
            said.c.evidence,
        )
        .outerjoin(allocation, allocation.c.payment_id == payment.c.id)
        .outerjoin(settlement, settlement.c.id == allocation.c.settlement_id)
        .outerjoin(said, said.c.payment_id == payment.c.id)
        .order_by(payment.c.booked_on, payment.c.id)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def plain_reviews(connection: Connection) -> list[dict[str, Any]]:
    """Settlements in review that no payment stands behind: invoices paid by their id."""
    query = select(settlement).where(settlement.c.origin == "manual", settlement.c.state == State.REVIEW)
    return [dict(row) for row in connection.execute(query.order_by(settlement.c.id)).mappings()]
