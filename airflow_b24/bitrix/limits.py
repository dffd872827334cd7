"""How fast a portal may be asked."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Final, Protocol

from airflow_b24.bitrix.protocol import Time

MAX_SLEEP_S: Final = 60.0
"""The longest wait which is slept; a longer one is an error with `retry_at`."""

MAX_TURN_S: Final = 180.0
"""The same for one's turn in the queue for the portal: who comes back later has to queue anew."""

HOLD_S: Final = 3.0
"""How long nobody asks a portal that has refused a request, if it does not say: six requests leak out meanwhile."""

# docs: limits. Operating time is kept by the minute; the second which an answer names is told without its fraction.
BASKET: Final = timedelta(minutes=1)
ROUNDED_OFF: Final = timedelta(seconds=1)

# docs: limits. An ordinary plan's bucket holds 50 requests and leaks 2 a second.
BURST: Final = 50
RATE: Final = 2.0

_URGENT: Final = ContextVar("urgent", default=False)
_CLOCK: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now_s() -> float:
    """Return seconds of the clock for send windows: it never goes back, and counts a suspended machine's sleep."""
    return time.clock_gettime(_CLOCK)


class Pace(Protocol):
    """One portal's budget of requests."""

    @property
    def at_once(self) -> int:
        """How many requests may start together when none was made for a while."""

    def reserve(self, n: int, within_s: float, *, urgent: bool = False) -> Iterator[float]:
        """Book `n` requests; says how long to wait, again and again, until all of them may start.

        When the first of these is more than `within_s`, nothing was booked. May block for a moment.
        """

    def push_back(self, seconds: float) -> None:
        """Let nobody start for so long: the portal refused a request. Returns when it is known to all, or cannot be."""


def turn(pace: Pace, n: int) -> Iterator[float]:
    """Book `n` requests for whatever is being done here; one first wait of more than MAX_TURN_S: nothing was booked."""
    return pace.reserve(n, MAX_TURN_S, urgent=_URGENT.get())


@contextmanager
def urgently(urgent: bool = True) -> Iterator[None]:
    """What is asked for in this block finds out what became of a payment: others wait for it, if it is `urgent`."""
    before = _URGENT.set(urgent)
    try:
        yield
    finally:
        _URGENT.reset(before)


class Unpaced:
    """No budget: every request may start at once."""

    at_once: Final = sys.maxsize

    def reserve(self, n: int, within_s: float, *, urgent: bool = False) -> Iterator[float]:
        """Wait for nothing."""
        return iter(())

    def push_back(self, seconds: float) -> None:
        """Hold nobody back."""


class OperatingTime:
    """When a portal's methods are free again, as far as its answers have told. Threads may share one."""

    def __init__(self) -> None:
        # Each is read or written in one step: no thread sees another one half done.
        self._resets_at: dict[str, datetime] = {}
        self._guesses: dict[str, datetime] = {}

    def hear(self, method: str, time: Time | None) -> None:
        """Remember what a good answer of this method says, which one of a portal without this limit does not."""
        self._guesses.pop(method.lower(), None)
        if time is not None and time.operating_reset_at is not None:
            self._resets_at[method.lower()] = time.operating_reset_at

    def free_at(self, method: str, now: datetime) -> datetime:
        """When a method that was refused just now may be asked again.

        Where nobody has told, some of it may be free in a minute; where it was not, nobody should wait for it, until
        there is a good answer again.
        """
        resets_at = self._resets_at.get(method.lower())
        if resets_at and resets_at + ROUNDED_OFF > now:
            return resets_at + ROUNDED_OFF
        guess = self._guesses.setdefault(method.lower(), now + BASKET)
        return guess if guess > now else now + 2 * BASKET


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
        self.at_once = burst - margin
        self._room_s = self.at_once * self._interval
        self._clock = clock
        self._full_at = float("-inf")
        self._lock = threading.Lock()

    def reserve(self, n: int, within_s: float, *, urgent: bool = False) -> Iterator[float]:
        """Book `n` requests; says how long to wait until all of them may start."""
        if not 1 <= n <= self.at_once:
            raise ValueError(f"n: reserve between 1 and {self.at_once} requests at once")
        with self._lock:
            now = self._clock()
            full_at = max(self._full_at, now) + n * self._interval
            wait_s = full_at - self._room_s - now
            if wait_s <= within_s:
                self._full_at = full_at
        if wait_s > 0:
            yield wait_s

    def push_back(self, seconds: float) -> None:
        """Let nobody start for so long who has not booked yet."""
        with self._lock:
            self._full_at = max(self._full_at, self._clock() + self._room_s + seconds)
