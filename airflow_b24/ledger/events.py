"""The append-only story of each settlement; the database refuses to change or delete it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, ScalarSelect, bindparam, func, insert, select

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
    if happened:
        connection.execute(_APPEND, [_row(each) for each in happened])


def _row(each: Event) -> dict[str, Any]:
    told = {"what": each.what, "state": each.state, "fence": each.fence, "at": each.at}
    return {"settlement_id": each.settlement_id, "of": each.settlement_id, **told, "evidence": dict(each.evidence)}


def _next_seq() -> ScalarSelect[int]:
    mine = event.alias("mine")
    last = select(func.coalesce(func.max(mine.c.seq), 0) + 1).where(mine.c.settlement_id == bindparam("of"))
    return last.scalar_subquery()


_APPEND: Final = insert(event).values(seq=_next_seq())


def history(connection: Connection, settlement_id: int) -> list[dict[str, Any]]:
    """Every event of a settlement, oldest first."""
    query = select(event).where(event.c.settlement_id == settlement_id).order_by(event.c.seq)
    return [dict(row) for row in connection.execute(query).mappings()]
