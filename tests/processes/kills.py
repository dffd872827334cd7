"""Real workers are killed and frozen at random moments while they settle invoices; afterwards the books must agree.

    python -m tests.processes.kills --kills 2000 [--store sqlite|postgresql|both] [--way single|bulk|both]
                                    [--workers 3] [--seed 1] [--json]

The workers speak real HTTP to a sandbox portal on loopback, and share a real ledger. PostgreSQL is the server that
B24_TEST_POSTGRES_URL names. They settle one by one, or in bulk, a few lanes each, with one by one beside it at times.
With both stores and both ways each takes its part of the kills. Ends with 1 when anything was paid twice, wrongly or
not at all.
"""

from __future__ import annotations

import json
import random
import secrets
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

from tests.processes import verdict, worker
from tests.processes.children import Children
from tests.processes.databases import BOTH, Fresh, chosen, command, ledgers
from tests.processes.portal import Portal, open_portal
from tests.processes.stories import Story, receive, tell
from tests.processes.tally import Count
from tests.processes.worker import PATIENCE, PATIENCE_IN_BULK, Hands, Task

WAYS = ("single", "bulk")
# What is lost of a batch is lost for all of it: there are more stories to a round, and less goes wrong in each.
STORIES = {"single": 40, "bulk": 60}
TROUBLE = {"single": 1.0, "bulk": 0.15}
# Then the round is brought to its end: that all is settled once nobody kills any more is what it shows.
MOST_KILLS = {"single": 100, "bulk": 40}
# How often a worker of a round in bulk settles one by one.
BESIDE = 0.2
# A worker lives for up to so long after its start, uniformly: some settlements fit in, on a busy machine as well.
LIFE_S = 0.4
STARTS = 2
FREEZE = 0.12
MATCH_KILLS = {"single": 0.25, "bulk": 0.02}
# Well below the server run that the quiet time allows for: a request that waits here is late, not lost.
PORTAL_FREEZE_S = 0.25
PORTAL_RUNS_S = 1.0
TICK_S = 0.001
LONGEST_ROUND_S = 240.0


@dataclass(slots=True)
class Worker:
    """One worker process: how it settles, when the next thing is done to it, and whether it is frozen."""

    pid: int
    place: int
    way: str
    due: float
    born: float
    frozen: bool = False


class Round:
    """Some stories, one portal, one new ledger, and workers that are killed until all is settled."""

    def __init__(self, children: Children, folder: Path, dice: random.Random, count: Count, workers: int) -> None:
        self._children, self._folder, self._dice, self._count = children, folder, dice, count
        self._hands = Hands(workers)
        self._patience = PATIENCE_IN_BULK if count.way == "bulk" else PATIENCE
        self._workers: list[Worker] = []
        self._killed: list[tuple[frozenset[int], datetime]] = []
        # How long a worker takes until it holds something, on this machine, now.
        self._start_s = 0.1

    def play(self, fresh: Fresh, kills: int) -> None:
        """Play one round with at most so many kills, and add what happened to the count."""
        stories = tell(STORIES[self._count.way], self._dice, TROUBLE[self._count.way])
        portal, url = open_portal(self._children, stories, self._folder), fresh()
        portal_id = self._children.ask(lambda: receive(url, portal.address, stories))
        task = Task(url, portal_id, portal.webhook, sum(story.pays for story in stories), self._patience)
        self._run(task, portal, kills)
        self._judge(stories, portal, url)
        self._children.kill(portal.pid)

    def _run(self, task: Task, portal: Portal, kills: int) -> None:
        ends, last = time.monotonic() + LONGEST_ROUND_S, self._count.kills + min(kills, MOST_KILLS[self._count.way])
        self._workers = [self._start(task, place) for place in range(self._hands.size)]
        portal_due, portal_frozen = self._soon(PORTAL_RUNS_S), False
        while self._workers:
            now = time.monotonic()
            if now > ends:
                self._count.violations.append(f"still not settled after {LONGEST_ROUND_S:g} s")
                self._end()
                break
            if now >= portal_due:
                portal_frozen = not portal_frozen
                self._count.portal_freezes += portal_frozen
                self._children.signal(portal.pid, signal.SIGSTOP if portal_frozen else signal.SIGCONT)
                portal_due = self._soon(PORTAL_FREEZE_S if portal_frozen else 2 * PORTAL_RUNS_S)
            for each in list(self._workers):
                self._tend(each, task, now, last)
            time.sleep(TICK_S)
        self._children.signal(portal.pid, signal.SIGCONT)

    def _tend(self, each: Worker, task: Task, now: float, last: int) -> None:
        if each.born and self._hands.holds(each.place):
            self._start_s += (now - each.born - self._start_s) / 4
            each.born = 0.0
        status = self._children.ended(each.pid)
        if status is not None:
            self._workers.remove(each)
            if status:
                self._count.violations.append(f"a worker ended with {status}: its traceback is on stderr")
        elif self._children.has_stopped(each.pid):
            self._count.freezes += 1
            each.frozen, each.due = True, self._soon(2 * self._patience.quiet_s)
        elif now >= each.due:
            self._strike(each, task, last)

    def _strike(self, each: Worker, task: Task, last: int) -> None:
        each.due = self._soon(self._life_s)
        if each.frozen:
            each.frozen = False
            self._children.signal(each.pid, signal.SIGCONT)
        elif self._count.kills >= last or not self._is_worth_it(each):
            # Another moment, drawn anew, is as random.
            return
        elif self._dice.random() < FREEZE:
            self._children.signal(each.pid, signal.SIGSTOP)
        else:
            self._kill(each, task)

    def _is_worth_it(self, each: Worker) -> bool:
        """An idle worker waits for a quiet time to end; matching is long, and most kills are for settlements."""
        held = self._hands.holds(each.place)
        return self._dice.random() < MATCH_KILLS[self._count.way] if held == worker.MATCHING else bool(held)

    def _kill(self, each: Worker, task: Task) -> None:
        moment = datetime.now(UTC)
        self._children.kill(each.pid)
        self._count.kills += 1
        self._count.beside += each.way != self._count.way
        # Dead by now, so that this is what it held when it died.
        held = self._hands.holds(each.place)
        self._count.while_matching += held == worker.MATCHING
        if held not in {worker.NOTHING, worker.MATCHING}:
            self._count.within_settlements += 1
            self._killed.append((held, moment))
        self._workers.remove(each)
        self._workers.append(self._start(task, each.place, again=held))

    def _start(self, task: Task, place: int, again: frozenset[int] = worker.NOTHING) -> Worker:
        self._hands.put(place, worker.NOTHING)
        way = "single" if self._dice.random() < BESIDE else self._count.way
        pid = self._children.start(lambda: worker.work(task, self._hands, place, again, in_bulk=way == "bulk"))
        return Worker(pid, place, way, self._soon(self._life_s), time.monotonic())

    @property
    def _life_s(self) -> float:
        return LIFE_S + STARTS * self._start_s

    def _end(self) -> None:
        for each in self._workers:
            self._children.kill(each.pid)
        self._workers = []

    def _soon(self, seconds: float) -> float:
        return time.monotonic() + self._dice.uniform(0, seconds)

    def _judge(self, stories: list[Story], portal: Portal, url: str) -> None:
        books, ledger = portal.books(), self._children.ask(lambda: verdict.read(url))
        found = verdict.judge(stories, books, ledger, self._patience.quiet_s)
        count = self._count
        count.rounds += 1
        count.payments += len(ledger.payments)
        count.paid += found.paid
        count.gave_up += found.gave_up
        count.sends += sum(row["sends"] for row in ledger.settlements)
        count.phases.update(verdict.phase(ledger, held, moment) for held, moment in self._killed)
        count.violations += [f"round {count.rounds}: {each}" for each in found.violations]


def run(database: str, way: str, kills: int, workers: int, seed: int) -> Count:
    """Kill so many workers over one kind of database; repeatable in its choices by `seed`, not in its timing."""
    count, began, dice = Count(database, way, seed), time.monotonic(), random.Random(seed)  # noqa: S311 - a test's dice
    with (
        Children() as children,
        tempfile.TemporaryDirectory(prefix="b24-kills-") as temporary,
        ledgers(database, children, Path(temporary)) as fresh,
    ):
        while count.kills < kills and not count.violations:
            Round(children, Path(temporary), dice, count, workers).play(fresh, kills - count.kills)
            _say(str(count))
    count.seconds = round(time.monotonic() - began, 1)
    return count


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def main() -> int:
    """Run the command; 0 only when nothing is wrong."""
    parser = command("tests.processes.kills", __doc__)
    parser.add_argument("--kills", type=int, default=2000, help="how many in all")
    parser.add_argument("--way", choices=[*WAYS, BOTH], default=BOTH, help="how the workers settle")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    given = parser.parse_args()
    # Whoever ends us: what we made is removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    runs = list(product(chosen(given.store), WAYS if given.way == BOTH else (given.way,)))
    shares = [given.kills // len(runs) + (place < given.kills % len(runs)) for place in range(len(runs))]
    counts = [run(*each, share, given.workers, given.seed) for each, share in zip(runs, shares, strict=True)]
    for count in counts:
        line = json.dumps(count.plain()) if given.json else f"{count}; {count.seconds} s, --seed {count.seed}"
        sys.stdout.write(f"{line}\n")
        for each in count.violations:
            _say(f"  {each}")
    return 1 if any(count.violations for count in counts) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
