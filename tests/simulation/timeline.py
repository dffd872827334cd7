"""Virtual time: what happens when, in seconds since the beginning of the world."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any


class Timeline:
    """Events in order of time, then in order of their making; nothing sleeps."""

    __slots__ = ("_made", "_waiting", "now")

    def __init__(self) -> None:
        self.now = 0.0
        self._waiting: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._made = 0

    def at(self, when: float, do: Callable[..., None], *arguments: Any) -> None:
        self._made += 1
        heappush(self._waiting, (when, self._made, do, arguments))

    def after(self, seconds: float, do: Callable[..., None], *arguments: Any) -> None:
        self.at(self.now + seconds, do, *arguments)

    def run(self, until: float) -> None:
        """Let everything happen that is due by then."""
        waiting = self._waiting
        while waiting and waiting[0][0] <= until:
            when, _, do, arguments = heappop(waiting)
            # What happened inside a step that took time may have gone ahead.
            self.now = max(self.now, when)
            do(*arguments)
        self.now = max(self.now, until)

    def pass_time(self, seconds: float) -> None:
        """Let so much time pass inside a step; whatever is due meanwhile happens meanwhile."""
        self.run(self.now + seconds)

    def empty(self, until: float) -> None:
        """Let everything happen that still waits, as long as it begins before `until`."""
        while self._waiting and self._waiting[0][0] <= until:
            self.run(self._waiting[0][0])
