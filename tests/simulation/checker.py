"""Judges a history by rules of its own: it imports nothing of the product, so that one misunderstanding cannot pass.

What no client can close is counted as a residual, by its exact shape, and is no violation:

`zombie`              a process froze between its last look at the clock and the first byte of a pay
`paid_and_reversed`   a person paid and took it back between our read and the landing of our pay
`lost_meanwhile`      a person gave a smart invoice up between the two; the portal pays it all the same
`moved_on`            a person paid a smart invoice between the two, and a robot moved it on at once: our call moves
                      it there once more
`partial`             a person paid a smart invoice between our read and our move to the stage of parts, or that move's
                      process froze before its first byte: it is un-paid, and a case says so
`delivered_twice`     the network brought one request of ours to the portal twice
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.simulation.history import (
    Act,
    Answered,
    Changed,
    Delivered,
    Ended,
    Executed,
    History,
    Key,
    Left,
    Moved,
    PartialLeft,
    PartialMoved,
    Read,
    RunBegan,
    RunEnded,
    RunStopped,
    Shown,
)

NEVER = float("-inf")


class Violation(NamedTuple):
    rule: str
    at: float
    text: str


@dataclass(slots=True)
class Verdict:
    """What was found wrong, what no client can close, and how often each way through the table was taken."""

    violations: list[Violation] = field(default_factory=list)
    residuals: Counter[str] = field(default_factory=Counter)
    edges: Counter[tuple[str, str]] = field(default_factory=Counter)
    provable: int = 0
    avoidable: int = 0
    # What we paid, by kind; a call that moved nothing is apart.
    executed: Counter[str] = field(default_factory=Counter)
    reviews: Counter[str] = field(default_factory=Counter)
    # Moves to the stage of parts, and how many of them were out of paid.
    partial: Counter[str] = field(default_factory=Counter)
    # Tasks that pay many: how many there were, what they asked for, and what they paid in batches.
    bulk: Counter[str] = field(default_factory=Counter)

    def blame(self, rule: str, at: float, text: str) -> None:
        self.violations.append(Violation(rule, at, text))


@dataclass(slots=True)
class Story:
    """The history, sorted by what it is about; every list is in order of time."""

    history: History
    shown: dict[Key, list[Shown]] = field(default_factory=dict)
    executed: list[Executed] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    partial_left: list[PartialLeft] = field(default_factory=list)
    partial_moved: list[PartialMoved] = field(default_factory=list)
    answered: list[Answered] = field(default_factory=list)
    reads: dict[tuple[str, Key], list[Read]] = field(default_factory=dict)
    changes: dict[int, list[Changed]] = field(default_factory=dict)
    moved: list[Moved] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    runs: list[RunBegan] = field(default_factory=list)
    runs_stopped: list[RunStopped] = field(default_factory=list)
    runs_ended: list[RunEnded] = field(default_factory=list)
    delivered: dict[str, list[Delivered]] = field(default_factory=dict)
    acts: list[Act] = field(default_factory=list)

    def at(self, invoice: Key, when: float) -> Shown:
        """The invoice as the portal had it then."""
        versions = self.shown[invoice]
        found = versions[0]
        for version in versions:
            if version.at > when:
                break
            found = version
        return found

    def before(self, invoice: Key, when: float) -> Shown:
        """The invoice as the portal had it just before that moment."""
        return self.at(invoice, when - 1e-9)

    def between(self, invoice: Key, since: float, until: float) -> list[Shown]:
        """Every look the invoice had in that time, the one at its beginning among them."""
        later = [version for version in self.shown[invoice] if since < version.at <= until]
        return [self.at(invoice, since), *later]

    def last_read(self, actor: str, invoice: Key, until: float) -> Read | None:
        found = None
        for read in self.reads.get((actor, invoice), ()):
            if read.at <= until:
                found = read
        return found

    def money_of(self, settlement: int) -> list[Moved]:
        return [each for each in self.moved if each.settlement == settlement]

    def siblings(self, settlement: int) -> set[int]:
        mine = {each.payment for each in self.moved if each.settlement == settlement}
        return {each.settlement for each in self.moved if each.payment in mine} - {settlement}

    def sending(self, settlement: int, fence: int) -> Changed | None:
        for change in self.changes.get(settlement, ()):
            if change.after == "sending" and change.before != "sending" and change.fence == fence:
                return change
        return None


def key_of(row: dict[str, Any]) -> Key:
    """The invoice of a settlement's last row."""
    return row["kind"], row["invoice_id"]


def sort(history: History) -> Story:
    """Put every entry into its place."""
    story = Story(history)
    for entry in history.entries:
        kind = type(entry)
        if kind is Changed:
            story.changes.setdefault(entry.settlement, []).append(entry)  # type: ignore[union-attr,arg-type]
        elif kind is Read:
            story.reads.setdefault((entry.actor, entry.invoice), []).append(entry)  # type: ignore[union-attr,arg-type]
        elif kind is Shown:
            story.shown.setdefault(entry.invoice, []).append(entry)  # type: ignore[union-attr,arg-type]
        elif kind is Delivered:
            story.delivered.setdefault(entry.payment, []).append(entry)  # type: ignore[union-attr,arg-type]
        else:
            place = PLACES.get(kind)
            if place is not None:
                getattr(story, place).append(entry)
    return story


PLACES: dict[type, str] = {
    Executed: "executed",
    Left: "left",
    PartialLeft: "partial_left",
    PartialMoved: "partial_moved",
    Answered: "answered",
    Moved: "moved",
    Ended: "ended",
    RunBegan: "runs",
    RunStopped: "runs_stopped",
    RunEnded: "runs_ended",
    Act: "acts",
}


def check(history: History) -> Verdict:
    """Judge the whole history."""
    from tests.simulation import rules_bulk, rules_executed, rules_money, rules_partial, rules_paths, rules_paying

    story, verdict = sort(history), Verdict()
    rules = (rules_paths, rules_paying, rules_executed, rules_money, rules_partial, rules_bulk)
    for rule in (rule for each in rules for rule in each.RULES):
        rule(story, verdict)
    return verdict
