"""Many seeds on many processes, and what came of them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal, cast

from tests.simulation import ablations, facades, product
from tests.simulation.books_of_money import DictBooks
from tests.simulation.checker import Verdict, Violation, check
from tests.simulation.comparing import comparable, difference
from tests.simulation.crowds import Settling
from tests.simulation.history import History
from tests.simulation.offices import Kinds
from tests.simulation.simulating import Simulation
from tests.simulation.sqlite_books import SqliteBooks

# both: each seed on the one and on the other, and they must tell one story.
StoreName = Literal["dict", "sqlite", "both"]
KEPT = Path(__file__).with_name("kept_seeds.txt")
# A second or two of work, so that no process waits long for the last one.
CHUNKS: dict[str, int] = {"dict": 500, "sqlite": 25, "both": 25}
MOST_KEPT = 1000
PROGRESS_S = 30.0


@dataclass(slots=True)
class Tally:
    """Sums over many seeds; `failed` holds the first violation of failing seeds, the first thousand of them."""

    seeds: int = 0
    failures: int = 0
    failed: dict[int, Violation] = field(default_factory=dict)
    rules: Counter[str] = field(default_factory=Counter)
    residuals: Counter[str] = field(default_factory=Counter)
    edges: Counter[tuple[str, str]] = field(default_factory=Counter)
    reviews: Counter[str] = field(default_factory=Counter)
    provable: Counter[float] = field(default_factory=Counter)
    avoidable: Counter[float] = field(default_factory=Counter)
    executed: Counter[str] = field(default_factory=Counter)
    partial: Counter[str] = field(default_factory=Counter)
    bulk: Counter[str] = field(default_factory=Counter)

    def add(self, seed: int, history: History, verdict: Verdict) -> None:
        self.seeds += 1
        if verdict.violations:
            self.failures += 1
            self.failed[seed] = verdict.violations[0]
        self.rules.update({violation.rule for violation in verdict.violations})
        self.residuals.update(verdict.residuals)
        self.edges.update(verdict.edges)
        self.reviews.update(verdict.reviews)
        self.provable[history.fault_rate] += verdict.provable
        self.avoidable[history.fault_rate] += verdict.avoidable
        self.executed.update(verdict.executed)
        self.partial.update(verdict.partial)
        self.bulk.update(verdict.bulk)

    def merge(self, other: Tally) -> None:
        self.seeds += other.seeds
        self.failures += other.failures
        self.failed = dict(islice((self.failed | other.failed).items(), MOST_KEPT))
        for name in ("executed", "partial", "bulk", "rules", "residuals", "edges", "reviews", "provable", "avoidable"):
            getattr(self, name).update(getattr(other, name))


@contextmanager
def stage(store: StoreName, guards: Sequence[str] = ()) -> Iterator[Any]:
    """The product in its surroundings, with fresh books to run on."""
    if store == "sqlite":
        if guards:
            raise ValueError("--without: guards are taken away on the dict store only; add --store dict")
        books = SqliteBooks.of_this_process()
        books.fast = True
        with product.replaced(), books.memory.remembering():
            yield books
        return
    with product.replaced(), facades.dictionaries(), ablations.without(guards):
        yield DictBooks()


def simulate(
    seed: int, books: Any, mode: str = "safety", kinds: Kinds = "mixed", settling: Settling = "mixed"
) -> History:
    """One seed's whole history."""
    return Simulation(seed, books, mode, kinds, settling).run()


def run_chunk(
    start: int,
    seeds: int,
    store: StoreName,
    mode: str,
    guards: Sequence[str] = (),
    kinds: Kinds = "mixed",
    settling: Settling = "mixed",
) -> Tally:
    if store == "both":
        return _compare_chunk(start, seeds, mode, guards, kinds, settling)
    tally = Tally()
    with stage(store, guards) as books:
        for seed in range(start, start + seeds):
            history = simulate(seed, books, mode, kinds, settling)
            tally.add(seed, history, check(history))
    return tally


def _compare_chunk(start: int, seeds: int, mode: str, guards: Sequence[str], kinds: Kinds, settling: Settling) -> Tally:
    """The same seeds on both ledgers: every entry of the history and every last row must be the same."""
    tally, told = Tally(), {}
    with stage("dict", guards) as books:
        for seed in range(start, start + seeds):
            told[seed] = _told(seed, books, mode, kinds, settling)[1]
    with stage("sqlite", guards) as books:
        # Lists of invoices take their whole way here, page by page: the short cut of the others is compared with it.
        books.fast = False
        for seed in range(start, start + seeds):
            history, story = _told(seed, books, mode, kinds, settling)
            verdict = check(history)
            if found := difference(told[seed], story):
                verdict.blame("differs", history.entries[-1].at, found)
            tally.add(seed, history, verdict)
    return tally


def _told(seed: int, books: Any, mode: str, kinds: Kinds, settling: Settling) -> tuple[History, list[str]]:
    simulation = Simulation(seed, books, mode, kinds, settling)
    history = simulation.run()
    return history, comparable(history, simulation.seconds)


def run(
    seeds: int,
    start: int = 1,
    *,
    jobs: int = 1,
    store: StoreName = "dict",
    mode: str = "safety",
    guards: Sequence[str] = (),
    kinds: Kinds = "mixed",
    settling: Settling = "mixed",
    tells: bool = False,
) -> Tally:
    """Run so many seeds from `start` on; `tells`: say on stderr now and then how far it is."""
    size = CHUNKS[store]
    chunks = (
        (first, min(size, start + seeds - first), store, mode, guards, kinds, settling)
        for first in range(start, start + seeds, size)
    )
    found = (run_chunk(*each) for each in chunks) if jobs == 1 else _spread(chunks, jobs)
    total, progress = Tally(), Progress(seeds, tells=tells)
    for each in found:
        total.merge(each)
        progress.tell(total)
    return total


def _spread(chunks: Iterator[tuple[Any, ...]], jobs: int) -> Iterator[Tally]:
    """Give each process the next chunk as soon as it is free; only as many wait as there are hands."""
    with ProcessPoolExecutor(jobs) as pool:
        waiting: set[Future[Tally]] = {pool.submit(run_chunk, *each) for each in islice(chunks, 2 * jobs)}
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            waiting |= {pool.submit(run_chunk, *each) for each in islice(chunks, len(done))}
            yield from (each.result() for each in done)


class Progress:
    """A line on stderr at most every half a minute."""

    def __init__(self, seeds: int, *, tells: bool) -> None:
        self.seeds = seeds
        self.began = clock()
        self.next = self.began + PROGRESS_S if tells else float("inf")

    def tell(self, tally: Tally) -> None:
        now = clock()
        if now < self.next:
            return
        self.next = now + PROGRESS_S
        left = (now - self.began) / tally.seeds * (self.seeds - tally.seeds)
        far = f"{tally.seeds:,} of {self.seeds:,} seeds, {tally.failures} failed, {left:,.0f} s to go"
        print(far, file=sys.stderr, flush=True)


def first_caught(
    guards: Sequence[str], seeds: int, start: int = 1, kinds: Kinds = "mixed", settling: Settling = "mixed"
) -> tuple[int, Violation] | None:
    """The first seed on which the checker sees that these guards are gone."""
    with stage("dict", guards) as books:
        for seed in range(start, start + seeds):
            verdict = check(simulate(seed, books, kinds=kinds, settling=settling))
            if verdict.violations:
                return seed, verdict.violations[0]
    return None


def kept() -> list[tuple[str, int, Kinds, Settling]]:
    """Every (mode, seed, kinds, settling) that ever failed.

    A line without kinds is of a time that knew legacy invoices alone, one without the last of one that settled each alone.
    """
    found = []
    for line in KEPT.read_text(encoding="utf-8").splitlines():
        if words := line.partition("#")[0].split():
            mode, seed, kinds, settling = (*words, *("legacy", "single")[len(words) - 2 :])
            found.append((mode, int(seed), cast("Kinds", kinds), cast("Settling", settling)))
    return found


def commit() -> str:
    """What is being run, to replay it: the commit, and a plus when files differ from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], capture_output=True, text=True, check=False).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain") else "")


def clock() -> float:
    return time.perf_counter()
