"""Cases: trouble noticed after the end of a settlement, for a person; never a reason to un-pay by machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from airflow_b24.ledger.schema import case, settlement
from airflow_b24.ledger.store import utc_now
from airflow_b24.ledger.upsert import insert_if_absent


def open_case(connection: Connection, settlement_id: int, kind: str, evidence: Mapping[str, Any]) -> None:
    """Open a case unless one of this kind is open already."""
    values = {"settlement_id": settlement_id, "kind": kind, "evidence": dict(evidence)}
    insert_if_absent(connection, case, {**values, "opened_at": utc_now(connection)})


def open_cases(connection: Connection) -> list[dict[str, Any]]:
    """All cases nobody has closed, with the invoice and the amount they are about, oldest first."""
    about = (settlement.c.invoice_number, settlement.c.expected, settlement.c.currency)
    query = select(case, *about).join(settlement).where(case.c.closed_at.is_(None)).order_by(case.c.id)
    return [dict(row) for row in connection.execute(query).mappings()]
