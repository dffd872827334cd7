"""How large and how often things are measured: in full for the record, or quickly to see that all of it works."""

from __future__ import annotations

from dataclasses import dataclass

from tests.benchmarks.portal import STATED, Latency


@dataclass(frozen=True, slots=True)
class Scale:
    """The sizes of everything, repeated where it is timed, and `counts` times where it is only counted.

    `limit_s` ends a client, `long_s` one that works at the portal's pace.
    """

    name: str
    repetitions: int
    counts: int
    latency: Latency
    pays: int
    many: int
    concurrencies: tuple[int, ...]
    singles: int
    listed: int
    batch: int
    turns: int
    limit_s: float
    long_s: float

    @property
    def single_s(self) -> float:
        """What one request takes there at least, be it a reading or a pay."""
        return self.latency.latency_s + min(self.latency.read_s, self.latency.write_s)


FULL = Scale("full", 5, 5, STATED, 500, 2500, (1, 5, 10), 120, 5000, 50, 15, 60.0, 300.0)
QUICK = Scale("quick", 2, 1, Latency(0.005, 0.005, 0.01, 0.01, 0.005), 100, 300, (10,), 10, 500, 10, 12, 4.0, 6.0)
