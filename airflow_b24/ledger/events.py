"""The append-only story of each settlement; the database refuses to change or delete it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select

from airflow_b24.ledger.schema import event


def append(
    connection: Connection,
    settlement_id: int,
    what: str,
    *,
    state: str,
    fence: int,
    at: datetime,
    evidence: Mapping[str, Any] | None = None,
) -> None:
    """Add one event; the settlement's row is locked by the caller's transaction, so numbers never collide."""
    last = select(func.coalesce(func.max(event.c.seq), 0)).where(event.c.settlement_id == settlement_id)
    seq = connection.execute(last).scalar_one() + 1
    row = {"settlement_id": settlement_id, "seq": seq, "at": at, "what": what, "state": state, "fence": fence}
    connection.execute(insert(event).values(**row, evidence=dict(evidence or {})))


def history(connection: Connection, settlement_id: int) -> list[dict[str, Any]]:
    """Every event of a settlement, oldest first."""
    query = select(event).where(event.c.settlement_id == settlement_id).order_by(event.c.seq)
    return [dict(row) for row in connection.execute(query).mappings()]
