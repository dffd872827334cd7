"""What is said of a list whose rows were not kept."""

from __future__ import annotations

from dataclasses import dataclass

from tests.benchmarks.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Streamed(Outcome):
    """How many rows passed by, whether their ids ascended, and how many MiB that took at the peak."""

    rows: int = 0
    in_order: bool = True
    peak_mib: float = 0.0
