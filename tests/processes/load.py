"""How much is asked of a portal at once, and what came of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier

from tests.processes.children import FORK

BURST = 50
# Read, pay, read back.
REQUESTS = 3
START_S = 60.0


@dataclass(frozen=True, slots=True)
class Load:
    """How many workers there are, what the portal allows, and when to stop: after so long, or so many settlements."""

    workers: int
    rate: float
    seconds: float
    each: int

    @property
    def given(self) -> int:
        """How many settlements a worker has: all it has to do, or more than it can."""
        return self.each or 2 * math.ceil(self.allowed(self.seconds) / REQUESTS / self.workers) + 1

    def allowed(self, seconds: float) -> float:
        """How many requests the portal admits in that time at most."""
        return BURST + self.rate * seconds


@dataclass(frozen=True, slots=True)
class Count:
    """What the portal admitted and refused, what came of the settlements, and how long one waited at most."""

    store: str
    workers: int
    rate: float
    seconds: float
    requests: int
    refused: int
    share: float
    settled: int
    least: int
    most: int
    claims: int
    lost: int
    longest_wait_s: float

    def __str__(self) -> str:
        used = (
            f"{self.requests} requests in {self.seconds} s, {self.share:.1%} of what is allowed, {self.refused} x 503"
        )
        came = f"{self.settled} settled ({self.least} to {self.most} each) with {self.claims} claims, {self.lost} lost"
        return f"{self.store}: {self.workers} workers, {used}; {came}; longest wait {self.longest_wait_s} s"


class Board:
    """What the workers write down, each in its place, and the line they start from."""

    def __init__(self, workers: int) -> None:
        self.settled = FORK.RawArray("i", workers)
        self.failed = FORK.RawArray("i", workers)
        self.longest = FORK.RawArray("d", workers)
        self.start: Barrier = FORK.Barrier(workers + 1, timeout=START_S)

    def note(self, place: int, waited_s: float, *, settled: bool = False, failed: bool = False) -> None:
        """Write down what came of one settlement."""
        self.settled[place] += settled
        self.failed[place] += failed
        self.longest[place] = max(self.longest[place], waited_s)
