"""What the lanes of one run share: the ids that are left, how large a chunk should be, and what came of each."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

from airflow_b24.bitrix.errors import BitrixError
from airflow_b24.ledger.facts import Kind, Unknown
from airflow_b24.ledger.settlement import Settled
from airflow_b24.reconcile.ending import Ending

# A batch is lost as a whole: the longer it runs, the more is in doubt when it is.
LONGEST_BATCH_S: Final = 5.0
# Fewer are not worth a request, nor what is read before and after them.
FEWEST: Final = 10
# Until the first one is measured; ten times slower, and the fullest batch still ends before a cloud portal cuts it at 60 s.
SECONDS_A_PAY: Final = 0.1

Outcome = Settled | Exception


class Queue:
    """The ids that are left, for chunks and for one by one; of what was stopped, or told to end, nobody gets a new one."""

    def __init__(
        self, ids: Iterable[int], alone: Iterable[int], kinds: Mapping[int, Kind], ending: Ending | None = None
    ) -> None:
        self.ending = ending or Ending()
        self._ids = deque(ids)
        self._alone = deque(alone)
        self.kinds = kinds
        self._lock = threading.Lock()
        self._stopped: dict[Kind | None, Exception] = {}

    def take(self, first: tuple[int, ...], size: int) -> tuple[int, ...]:
        """Take a chunk: the `first` ones, which were taken before, then new ones."""
        with self._lock:
            room = 0 if self.ending.is_told else min(max(size - len(first), 0), len(self._ids))
            return (*first[:size], *(self._ids.popleft() for _ in range(room)))

    def leave(self, ids: Iterable[int]) -> None:
        """Put back what is to be settled one by one."""
        with self._lock:
            self._alone.extend(each for each in ids if self.why(each) is None)

    def take_one(self) -> int | None:
        """Take one that is to be settled by itself."""
        with self._lock:
            return self._alone.popleft() if self._alone and not self.ending.is_told else None

    def stop(self, why: Exception, kind: Kind | None = None) -> None:
        """Give out nothing more, of one kind or at all; the first reason counts."""
        with self._lock:
            self._stopped.setdefault(kind, why)
            for ids in (self._ids, self._alone):
                left = [each for each in ids if self.why(each) is None]
                ids.clear()
                ids.extend(left)

    def why(self, settlement_id: int) -> Exception | None:
        """Why it is not to be tried any more, None while it may be."""
        return self._stopped.get(None) or self._stopped.get(self.kinds[settlement_id]) or self.ending.why


class Tempo:
    """How many pays go into one request, from how long they take and from whether the portal's pace is what we wait for.

    `most` is what a request can hold, `at_once` how many requests a portal that has rested lets in together.
    """

    def __init__(self, total: int, lanes: int, most: int, at_once: int) -> None:
        self._total, self._lanes, self._most = max(total, 1), lanes, most
        # Of what nobody answers for, one may be to blame: by and by each is asked for with fewer others.
        self._bound = most
        # Whether anything has come back in this run.
        self.is_heard = False
        self._seconds = SECONDS_A_PAY
        self._waited = False
        # Each lane that has anything to do reads its first chunk before it pays it.
        busy = min(lanes, ceil(self._total / most))
        self.is_scarce = busy * (1 + self._rounds(most)) > at_once

    @property
    def size(self) -> int:
        """As many as take no longer than they may; no more than leaves each lane as much to do as the others."""
        most = max(1, min(int(LONGEST_BATCH_S / self._seconds), self._bound))
        if self._waited or self.is_scarce:
            # Requests are what is waited for: each carries as much as it can.
            return most
        return min(max(ceil(self._total / (self._lanes * self._rounds(most))), FEWEST), most)

    def _rounds(self, most: int) -> int:
        return ceil(self._total / (self._lanes * most))

    def took(self, pays: int, seconds: float) -> None:
        """Learn from a request; a portal that has become slow counts at once, one that is fast again by and by."""
        measured = max(seconds / pays, LONGEST_BATCH_S / 1000)
        self._seconds = max(measured, (self._seconds + measured) / 2)

    def heard(self, asked: int, *, is_answered: bool) -> None:
        """Learn from whether anything came back of a request that asked for so many."""
        self.is_heard |= is_answered
        self._bound = min(2 * self._bound, self._most) if is_answered else max(min(self._bound, asked) // 2, 1)

    def waited(self, has_waited: bool) -> None:
        """Learn from a reservation."""
        self._waited = has_waited


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come: how many of how many are done, by what the operator's result calls it.

    `trouble` is what the portal has had, since this was last told, against all that one request asked for; empty if nothing.
    `broken` is what ended lanes before their time, told once the run is over.
    """

    done: int
    of: int
    states: Mapping[str, int]
    trouble: str = ""
    broken: Sequence[str] = ()


class Outcomes:
    """What came of each settlement, each told once."""

    def __init__(self, ids: Iterable[int]) -> None:
        self._found: dict[int, Outcome | None] = dict.fromkeys(ids)
        self._lock = threading.Lock()
        self._trouble = ""

    def put(self, settlement_id: int, outcome: Outcome) -> None:
        """Keep what came of one."""
        with self._lock:
            self._found[settlement_id] = outcome

    def hear(self, told: Collection[object]) -> None:
        """Keep what an answer has against each of the things that it was asked for."""
        errors = [each for each in told if isinstance(each, BitrixError)]
        if errors and len(errors) == len(told):
            self._trouble = errors[0].said + _later(errors[0])

    @property
    def missing(self) -> list[int]:
        """Those of which nothing was told yet, in the order in which they were asked for."""
        with self._lock:
            return [each for each, outcome in self._found.items() if outcome is None]

    def all(self) -> dict[int, Outcome]:
        """Everything that was told, in the order in which it was asked for."""
        with self._lock:
            return {each: outcome for each, outcome in self._found.items() if outcome is not None}

    def progress(self) -> Progress:
        """How far it has come."""
        states = Counter(map(_state, self.all().values()))
        trouble, self._trouble = self._trouble, ""
        # What waits has no end yet.
        return Progress(states.total() - states["waiting"], len(self._found), states, trouble)


def _later(error: BitrixError) -> str:
    return f" (not before {error.retry_at:%H:%M:%S} UTC)" if error.retry_at else ""


def _state(outcome: Outcome) -> str:
    if isinstance(outcome, Exception):
        return "failed"
    if outcome.trouble is None:
        return "already_paid" if outcome.row.how == "by_hand" else outcome.row.state.value
    return "waiting" if isinstance(outcome.trouble, Unknown) or outcome.trouble.repeatable else "failed"
