"""The conversation that moves an invoice to the stage of parts, where it waits for the rest of its money.

A move that comes late would un-pay what is paid by then. So it is a write like any other: its quiet time is on disk before
the first byte leaves, and nothing of the invoice is sent before that is over: only a refusal ends it at once, for
whatever lies between may have sent a second copy on its way.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeAlias

from airflow_b24.ledger.decide import is_overtaken, may_be_partial
from airflow_b24.ledger.facts import Refused, Row, Seen, Unknown
from airflow_b24.ledger.settlement import (
    Committed,
    Effect,
    Exchange,
    Exchanged,
    Look,
    Reserve,
    requests_of,
)


@dataclass(frozen=True, slots=True)
class BeginPartial:
    """Begin the quiet time of a move, unless the row has moved or the read is too old. -> Committed"""

    row: Row
    seen: Seen
    read_at: float


@dataclass(frozen=True, slots=True)
class EndPartial:
    """What the portal answered: it `ran`, or was refused, for now (`again`) or for good. -> None

    `overtaken`: it was paid, or is another, by then.
    """

    row: Row
    ran: bool
    again: bool
    overtaken: bool


PartialEffect: TypeAlias = Effect | BeginPartial | EndPartial
# What came of it: whether the portal has moved it, or why nobody knows.
PartialConversation: TypeAlias = Generator[PartialEffect, Any, bool | Refused | Unknown]


def show_partial(settlement_id: int) -> PartialConversation:
    """Move one invoice to the stage of parts, once; repeating is safe by the settlement's id."""
    yield Reserve(requests_of("smart"))
    row: Row = yield Look(settlement_id)
    read: Exchanged = yield Exchange(row, pay=False)
    if not isinstance(read.seen, Seen):
        return read.seen
    if not may_be_partial(row, read.seen):
        return False
    begun: Committed = yield BeginPartial(row, read.seen, read.began)
    if begun.row is None:
        return False
    told: Exchanged = yield Exchange(begun.row, pay=True, send_before=begun.send_before)
    if isinstance(told.answer, Unknown):
        return told.answer
    overtaken = isinstance(told.seen, Seen) and is_overtaken(begun.row, told.seen)
    refused = told.answer if isinstance(told.answer, Refused) else None
    yield EndPartial(begun.row, refused is None, refused is not None and refused.repeatable, overtaken)
    return refused or True
