"""How settlements ended and what was noticed afterwards: for those who read the ledger from its end."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from airflow_b24.ledger.schema import case, event, settlement
from airflow_b24.ledger.states import ADOPTED, State


def paid_on(connection: Connection) -> dict[int, str]:
    """By settlement, the day on which its invoice was paid: the portal's if it told, else that of the event (UTC)."""
    query = (
        select(event.c.settlement_id, event.c.at, event.c.evidence)
        .join(settlement, settlement.c.id == event.c.settlement_id)
        .where(settlement.c.state == State.PAID, event.c.what.in_([State.PAID, ADOPTED]))
        .order_by(event.c.settlement_id, event.c.seq)
    )
    rows = connection.execute(query)
    return {row.settlement_id: row.evidence.get("paid_on") or row.at.date().isoformat() for row in rows}


def cases(connection: Connection) -> list[dict[str, Any]]:
    """Every case, closed ones too, with the number of the invoice it is about, oldest first."""
    query = select(case, settlement.c.invoice_number).join(settlement).order_by(case.c.id)
    return [dict(row) for row in connection.execute(query).mappings()]
