"""The arithmetic of a portal's request budget: a leaky bucket in one number (GCRA), and a queue before it.

The queue has a clock of its own. It stands still while the portal refuses requests, and while urgent ones go first: so
all who have their turn in it already move back together, and none of them is lost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

# No queue is longer, beside what may start at once. What seems so is the work of a clock that ran ahead for once, and must not stop everybody until then.
LONGEST_QUEUE_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Limit:
    """What one portal allows, in seconds of its leaking: one request, the room for all, the room for urgent ones alone."""

    request_s: float
    room_s: float
    urgent_room_s: float


@dataclass(frozen=True, slots=True)
class Budget:
    """One portal's budget at the moment `now`.

    `theoretical_arrival` is when the bucket will have leaked out by the queue's clock, which has stood still for
    `stood_s` seconds in all; `urgent_until` when that part will have which urgent requests took before the queue. Before
    `held_until` nobody starts.
    """

    limit: Limit
    now: float
    theoretical_arrival: float = 0.0
    stood_s: float = 0.0
    urgent_until: float = 0.0
    held_until: float = 0.0

    def queue(self, n: int) -> tuple[float, Budget]:
        """Put n requests at the end of the queue. Returns the seconds until they may start, and the budget after it."""
        filled_s = self._filled_s + n * self.limit.request_s
        return filled_s - self.limit.room_s, self._filled(filled_s)

    def overtake(self, n: int) -> tuple[float, Budget]:
        """Let n urgent requests go before the queue, if there is one; returns the same."""
        wait_s, queued = self.queue(n)
        if wait_s <= 0:
            return wait_s, queued
        work_s = n * self.limit.request_s
        used_s = _left(self.urgent_until - self.now, self.limit.urgent_room_s) + work_s
        wait_s = max(used_s - self.limit.urgent_room_s, _left(self.held_until - self.now))
        return wait_s, replace(self._stand_still(work_s), urgent_until=self.now + used_s)

    def hold(self, seconds: float) -> Budget:
        """The portal refuses, so its bucket is full: nobody starts for so long. Asked again meanwhile it goes on from now."""
        held_s = _left(self.held_until - self.now)
        full = self._filled(max(self._filled_s, self.limit.room_s))
        return replace(full._stand_still(max(0.0, seconds - held_s)), held_until=self.now + max(seconds, held_s))

    @property
    def _filled_s(self) -> float:
        """How full the bucket is, with all that wait for it."""
        ahead_s = self.theoretical_arrival - self._clock
        return max(0.0, ahead_s) if ahead_s <= LONGEST_QUEUE_S + self.limit.room_s else self.limit.room_s

    @property
    def _clock(self) -> float:
        return self.now - self.stood_s

    def _filled(self, filled_s: float) -> Budget:
        return replace(self, theoretical_arrival=self._clock + filled_s)

    def _stand_still(self, seconds: float) -> Budget:
        return replace(self._filled(self._filled_s), stood_s=self.stood_s + seconds)


def _left(seconds: float, room_s: float = 0.0) -> float:
    return seconds if 0 < seconds <= LONGEST_QUEUE_S + room_s else 0.0
