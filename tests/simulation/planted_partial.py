"""A history of a smart invoice that was moved to the stage of parts before it was paid, and what can be wrong in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.simulation.history import Changed, Executed, History, Left, PartialLeft, PartialMoved, Read
from tests.simulation.planted import BORN, MADE, add, as_smart, happy, swap

INVOICE = ("smart", 1)
COLLECTING = MADE._replace(at=1.1, invoice=INVOICE, after="collecting")
BEGUN = COLLECTING._replace(at=1.3, actor="partial 9", before="collecting", fence=1, quiet_until=186.0)
LEFT = PartialLeft(1.4, 9, 1, INVOICE, 1, 6.3)
MOVED = PartialMoved(1.5, 9, 1, INVOICE, 1, 1.4, 6.3, was_paid=False)
SHOWN = BORN._replace(at=1.5, invoice=INVOICE, by="us", what="partial", mover="us")
PAID = SHOWN._replace(at=1.45, by="person", what="pay", paid=True, mover="person", paid_on="2026-11-20")
LATE = MOVED._replace(at=150.0, was_paid=True)


def in_parts() -> History:
    """One payment comes in two parts; in between the invoice is moved, and the portal answers at once."""
    history = as_smart(happy())
    history.entries = [_later(entry) for entry in history.entries]
    looked = Read(1.25, "partial 9", INVOICE, 1.21, 1.23, False)
    ended = BEGUN._replace(at=1.6, quiet_until=None)
    add(COLLECTING, looked, BEGUN, LEFT, MOVED, SHOWN, ended)(history)
    for event in history.events[1:]:
        event["fence"] += 1
    return history


def _later(entry: Any) -> Any:
    """The same with one fence more, and nothing of it is the row's first."""
    if isinstance(entry, Changed):
        return entry._replace(fence=entry.fence + 1, before=entry.before or "collecting")
    return entry._replace(fence=entry.fence + 1) if isinstance(entry, Left | Executed) else entry


def _unanswered(history: History) -> None:
    history.entries = [
        entry._replace(quiet_until=186.0) if isinstance(entry, Changed) and entry.sends == 0 else entry
        for entry in history.entries
    ]


def _over_a_person(history: History) -> None:
    """A person pays between our read and our move, which takes it back, and nobody is told."""
    add(PAID)(history)
    swap(PartialMoved, 0, was_paid=True)(history)
    history.entries = [entry for entry in history.entries if entry.at <= 1.6]
    history.settlements[0]["state"] = "collecting"


def _without_a_read(history: History) -> None:
    history.entries = [each for each in history.entries if not (isinstance(each, Read) and each.actor == "partial 9")]


PLANTED: dict[str, Callable[[History], None]] = {
    "partial_no_promise": swap(PartialLeft, 0, fence=7),
    "partial_unread": _without_a_read,
    "partial_may_land": _unanswered,
    "unpaid_by_us": add(LATE, SHOWN._replace(at=150.0)),
    "partial_unseen": _over_a_person,
}
