"""The append-only story of each settlement; the database refuses to change or delete it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select

from airflow_b24.ledger.schema import event


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to a settlement, which was in that state and had that fence."""

    settlement_id: int
    what: str
    state: str
    fence: int
    at: datetime
    evidence: Mapping[str, Any] = field(default_factory=dict)


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
    append_all(connection, [Event(settlement_id, what, state, fence, at, evidence or {})])


def append_all(connection: Connection, happened: Sequence[Event]) -> None:
    """The same for many settlements, each with one event."""
    if not happened:
        return
    last = (
        select(event.c.settlement_id, func.max(event.c.seq))
        .where(event.c.settlement_id.in_([each.settlement_id for each in happened]))
        .group_by(event.c.settlement_id)
    )
    known: dict[int, int] = {row[0]: row[1] for row in connection.execute(last)}
    connection.execute(insert(event), [_row(each, known.get(each.settlement_id, 0) + 1) for each in happened])


def _row(each: Event, seq: int) -> dict[str, Any]:
    told = {"what": each.what, "state": each.state, "fence": each.fence, "at": each.at}
    return {"settlement_id": each.settlement_id, "seq": seq, **told, "evidence": dict(each.evidence)}


def history(connection: Connection, settlement_id: int) -> list[dict[str, Any]]:
    """Every event of a settlement, oldest first."""
    query = select(event).where(event.c.settlement_id == settlement_id).order_by(event.c.seq)
    return [dict(row) for row in connection.execute(query).mappings()]
