"""A history in which one task paid an invoice in a batch, and what can be wrong in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.simulation.history import (
    Began,
    Changed,
    Ended,
    Executed,
    History,
    Left,
    Read,
    RunBegan,
    RunEnded,
    RunStopped,
    Told,
)
from tests.simulation.planted import EXECUTED, add, happy, swap

PAID = Told(1, "paid", "sent", "")


def in_bulk() -> History:
    """The same as one by one, by lane 1 of run 9."""
    history = happy()
    history.entries = [_by_a_lane(entry) for entry in history.entries if not isinstance(entry, (Began, Ended))]
    add(RunBegan(3.0, 9, (1,)), RunEnded(6.1, 9, 3.0, (PAID,), "", (), 2, (1,)))(history)
    return history


def _by_a_lane(entry: Any) -> Any:
    if isinstance(entry, (Left, Executed)):
        return entry._replace(batch=1)
    if isinstance(entry, Read) or getattr(entry, "actor", "") == "attempt 1":
        return entry._replace(actor="lane 1")
    return entry


def told(*each: Told) -> Callable[[History], None]:
    return swap(RunEnded, told=each)


def left_open(history: History) -> None:
    swap(Changed, 3, after="unknown", how=None)(history)
    told(Told(1, "unknown", "", ""))(history)


# What is planted, and the rule that finds it.
PLANTED: dict[str, tuple[Callable[[History], None], str]] = {
    "a lane broke, and not for the pace": (swap(RunEnded, broken=("RefusedError", "KeyError")), "broken"),
    "the ledger was not as it should be": (swap(RunEnded, told=(), cause="InvariantError"), "error"),
    "one is not told of": (told(), "untold"),
    "one is told of twice": (told(PAID, PAID), "untold"),
    "one is told of without a word": (told(Told(1, "", "", "")), "untold"),
    "one that was not given is told of": (told(Told(2, "paid", "sent", "")), "untold"),
    "what is told was never so": (told(Told(1, "review", "", "")), "told"),
    "what is told is how it was before": (told(Told(1, "ready", "", "")), "told"),
    "what is told is how it was before its own lane paid it": (told(Told(1, "sending", "", "Unknown")), "told"),
    "what is paid is told with trouble": (told(PAID._replace(trouble="Unknown")), "told"),
    "what stands open is told as if it had an end": (left_open, "told"),
    "it asked too often": (swap(RunEnded, requests=1000), "unbounded"),
    "it took too long": (swap(RunEnded, at=20_000.0), "unbounded"),
    "it went on though it was to end": (add(RunStopped(4.0, 9, (1,))), "sent_after_stop"),
    "a batch was sent twice": (add(EXECUTED._replace(at=5.3, batch=2, was_paid=True)), "double"),
}
