"""Many seeds on many processes, and what came of them."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tests.simulation import ablations, facades, product
from tests.simulation.books_of_money import DictBooks
from tests.simulation.checker import Verdict, Violation, check
from tests.simulation.history import History
from tests.simulation.simulating import Simulation
from tests.simulation.sqlite_books import SqliteBooks

StoreName = Literal["dict", "sqlite"]
KEPT = Path(__file__).with_name("kept_seeds.txt")
CHUNK = 500
MOST_SHOWN = 10


@dataclass(slots=True)
class Tally:
    """Sums over many seeds; `failed` holds the first violation of each failing seed."""

    seeds: int = 0
    failed: dict[int, Violation] = field(default_factory=dict)
    rules: Counter[str] = field(default_factory=Counter)
    residuals: Counter[str] = field(default_factory=Counter)
    edges: Counter[tuple[str, str]] = field(default_factory=Counter)
    reviews: Counter[str] = field(default_factory=Counter)
    provable: Counter[float] = field(default_factory=Counter)
    avoidable: Counter[float] = field(default_factory=Counter)
    executed: int = 0

    def add(self, seed: int, history: History, verdict: Verdict) -> None:
        self.seeds += 1
        if verdict.violations:
            self.failed[seed] = verdict.violations[0]
        self.rules.update({violation.rule for violation in verdict.violations})
        self.residuals.update(verdict.residuals)
        self.edges.update(verdict.edges)
        self.reviews.update(verdict.reviews)
        self.provable[history.fault_rate] += verdict.provable
        self.avoidable[history.fault_rate] += verdict.avoidable
        self.executed += verdict.executed

    def merge(self, other: Tally) -> None:
        self.seeds += other.seeds
        self.failed.update(other.failed)
        self.executed += other.executed
        for name in ("rules", "residuals", "edges", "reviews", "provable", "avoidable"):
            getattr(self, name).update(getattr(other, name))


@contextmanager
def stage(store: StoreName, guards: Sequence[str] = ()) -> Iterator[Any]:
    """The product in its surroundings, with fresh books to run on."""
    if store == "sqlite":
        if guards:
            raise ValueError("--without: guards are taken away on the dict store only; add --store dict")
        with product.replaced():
            yield SqliteBooks()
        return
    with product.replaced(), facades.dictionaries(), ablations.without(guards):
        yield DictBooks()


def simulate(seed: int, books: Any, mode: str = "safety") -> History:
    """One seed's whole history."""
    return Simulation(seed, books, mode).run()


def run_chunk(start: int, seeds: int, store: StoreName, mode: str, guards: Sequence[str]) -> Tally:
    tally = Tally()
    with stage(store, guards) as books:
        for seed in range(start, start + seeds):
            history = simulate(seed, books, mode)
            tally.add(seed, history, check(history))
    return tally


def run(
    seeds: int,
    start: int = 1,
    *,
    jobs: int = 1,
    store: StoreName = "dict",
    mode: str = "safety",
    guards: Sequence[str] = (),
) -> Tally:
    """Run so many seeds from `start` on."""
    chunks = [(first, min(CHUNK, start + seeds - first)) for first in range(start, start + seeds, CHUNK)]
    total = Tally()
    if jobs == 1:
        for first, size in chunks:
            total.merge(run_chunk(first, size, store, mode, guards))
        return total
    with ProcessPoolExecutor(jobs) as pool:
        waiting = [pool.submit(run_chunk, first, size, store, mode, guards) for first, size in chunks]
        for each in waiting:
            total.merge(each.result())
    return total


def first_caught(guards: Sequence[str], seeds: int, start: int = 1) -> tuple[int, Violation] | None:
    """The first seed on which the checker sees that these guards are gone."""
    with stage("dict", guards) as books:
        for seed in range(start, start + seeds):
            verdict = check(simulate(seed, books))
            if verdict.violations:
                return seed, verdict.violations[0]
    return None


def kept() -> list[tuple[str, int]]:
    """Every (mode, seed) that ever failed."""
    lines = (line.partition("#")[0].split() for line in KEPT.read_text(encoding="utf-8").splitlines())
    return [(words[0], int(words[1])) for words in lines if words]


def commit() -> str:
    """What is being run, to replay it: the commit, and a plus when files differ from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], capture_output=True, text=True, check=False).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain") else "")


def clock() -> float:
    return time.perf_counter()
