"""How fast a portal may be asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

MAX_SLEEP_S: Final = 60.0
"""The longest wait which is slept; a longer one is an error with `retry_at`."""

# docs: limits. An ordinary plan's bucket holds 50 requests and leaks 2 a second.
BURST: Final = 50
RATE: Final = 2.0

_CLOCK: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now_s() -> float:
    """Return seconds of the clock for send windows: it never goes back, and counts a suspended machine's sleep."""
    return time.clock_gettime(_CLOCK)


class Pace(Protocol):
    """One portal's budget of requests. Its instants are those of `time.monotonic`."""

    def reserve(self, n: int) -> float:
        """Book `n` requests; return the instant from which all of them may start. May block for a moment."""


class Unpaced:
    """No budget: every request may start at once."""

    def reserve(self, n: int) -> float:
        """Return an instant long gone."""
        return float("-inf")


class LocalPace:
    """A budget (GCRA) shared by the threads of one process. `margin` requests of the burst stay unused."""

    def __init__(
        self, *, burst: int = BURST, rate: float = RATE, margin: int = 5, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if burst <= margin or margin < 0:
            raise ValueError("margin: it must be smaller than the burst, and not below 0")
        if not 0 < rate < float("inf"):
            raise ValueError("rate: give requests per second, above 0")
        self._interval = 1 / rate
        self._burst = burst - margin
        self._clock = clock
        self._full_at = float("-inf")
        self._lock = threading.Lock()

    def reserve(self, n: int) -> float:
        """Book `n` requests; return the instant from which all of them may start."""
        if not 1 <= n <= self._burst:
            raise ValueError(f"n: reserve between 1 and {self._burst} requests at once")
        with self._lock:
            now = self._clock()
            self._full_at = max(self._full_at, now) + n * self._interval
            return max(now, self._full_at - self._burst * self._interval)
