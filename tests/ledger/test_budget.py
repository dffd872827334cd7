"""Workers that share a budget, in virtual time, before a portal that counts by itself."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from airflow_b24.ledger.budget import Budget, Limit
from airflow_b24.ledger.pace import LedgerPace
from airflow_b24.ledger.portals import portal_id
from airflow_b24.ledger.store import Store, make_engine

BURST, RATE = 50, 2.0
# As `bitrix.limits` has them.
LONGEST_TURN_S, HOLD_S = 180.0, 3.0
SETTLEMENT, SETTLING_S = 3, 0.4
AGAIN_S = 2.0


@dataclass
class World:
    """Seconds that pass at once, a portal's leaky bucket, and what each worker did."""

    now: float = 1_000_000.0
    level: float = 0.0
    at: float = 0.0
    admitted: int = 0
    refused: int = 0
    settled: Counter[int] = field(default_factory=Counter)
    longest_s: float = 0.0

    def clock(self) -> datetime:
        return datetime.fromtimestamp(self.now, UTC)

    def asks(self) -> bool:
        """One request reaches the portal."""
        self.level, self.at = max(0.0, self.level - (self.now - self.at) * RATE), self.now
        admits = self.level + 1 <= BURST
        self.level += admits
        self.admitted += admits
        self.refused += not admits
        return admits

    def play(self, workers: Iterable[Iterator[float]], seconds: float) -> None:
        """Run them side by side; each says how long it sleeps."""
        ends, order = self.now + seconds, itertools.count()
        asleep = [(self.now, next(order), worker) for worker in workers]
        while asleep and asleep[0][0] <= ends:
            self.now, _, worker = heapq.heappop(asleep)
            sleeps = next(worker, None)
            if sleeps is not None:
                heapq.heappush(asleep, (self.now + sleeps, next(order), worker))
        self.now = ends


@dataclass
class Crew:
    """Workers at one ledger, each with a pace of its own."""

    world: World
    store: Store
    portal: int

    def settle(self, place: int) -> Iterator[float]:
        """Settle one after the other, each in three requests; what is refused queues anew, as a task does."""
        pace, world = LedgerPace(self.store, self.portal, per_second=RATE, burst=BURST), self.world
        while True:
            began, done = world.now, False
            while not done:
                done = yield from self._try(pace)
            world.longest_s = max(world.longest_s, world.now - began)
            world.settled[place] += 1

    def _try(self, pace: LedgerPace) -> Generator[float, None, bool]:
        for wait_s in pace.reserve(SETTLEMENT, LONGEST_TURN_S):
            yield wait_s
            if wait_s > LONGEST_TURN_S:
                return False
        for _ in range(SETTLEMENT):
            if not self.world.asks():
                pace.push_back(HOLD_S)
                yield AGAIN_S
                return False
            yield SETTLING_S / SETTLEMENT
        return True

    def find_out(self, every_s: float, waits: list[float], times: int = 1000) -> Iterator[float]:
        """Read, now and then, what became of a lost answer; notes how long each had to wait."""
        pace = LedgerPace(self.store, self.portal, per_second=RATE, burst=BURST)
        for _ in range(times):
            yield every_s
            waits.append(0.0)
            for wait_s in pace.reserve(SETTLEMENT, LONGEST_TURN_S, urgent=True):
                waits[-1] += wait_s
                yield wait_s
            for _ in range(SETTLEMENT):
                self.world.asks()

    def somebody_else(self, per_second: float) -> Iterator[float]:
        """Another application at the same address, which knows nothing of the budget."""
        while True:
            self.world.asks()
            yield 1 / per_second


@pytest.fixture
def crew(migrated: Path, tmp_path: Path) -> Crew:
    (tmp_path / "ledger.db").write_bytes(migrated.read_bytes())
    world = World()
    store = Store(make_engine(f"sqlite:///{tmp_path}/ledger.db"), clock=world.clock)
    with store.transaction() as connection:
        return Crew(world, store, portal_id(connection, "portal.example"))


def share(world: World, seconds: float) -> float:
    return world.admitted / (BURST + RATE * seconds)


@pytest.mark.parametrize("workers", [8, 64, 110])
def test_workers_use_the_whole_rate_and_each_gets_its_turn(crew: Crew, workers: int) -> None:
    world = crew.world
    world.play([crew.settle(place) for place in range(workers)], 600)
    assert (world.refused, share(world, 600) > 0.98) == (0, True)
    turns = [world.settled[place] for place in range(workers)]
    assert max(turns) - min(turns) <= 2
    assert world.longest_s < workers * SETTLEMENT / RATE + 5


def test_more_workers_than_the_queue_holds_still_use_the_whole_rate(crew: Crew) -> None:
    crew.world.play([crew.settle(place) for place in range(200)], 600)
    assert (crew.world.refused, share(crew.world, 600) > 0.98) == (0, True)


def test_what_became_of_a_lost_answer_is_found_out_at_once_beside_64_workers(crew: Crew) -> None:
    world, waits = crew.world, list[float]()
    world.play([*(crew.settle(place) for place in range(64)), crew.find_out(20.0, waits)], 600)
    assert len(waits) > 25
    assert max(waits) <= 1.0
    assert (world.refused, share(world, 600) > 0.98) == (0, True)


def test_many_answers_lost_at_once_are_found_out_first_and_then_the_others_go_on(crew: Crew) -> None:
    world, waits = crew.world, list[float]()
    finders = [crew.find_out(100.0, waits, times=1) for _ in range(64)]
    world.play([*(crew.settle(place) for place in range(64)), *finders], 600)
    assert (world.refused, share(world, 600) > 0.98) == (0, True)
    assert (len(waits), max(waits) <= 64 * SETTLEMENT / RATE) == (64, True)


def test_beside_somebody_else_both_get_on_with_few_refusals(crew: Crew) -> None:
    world = crew.world
    world.play([*(crew.settle(place) for place in range(64)), crew.somebody_else(1.0)], 600)
    assert share(world, 600) > 0.85
    assert world.refused < 0.1 * world.admitted
    assert sum(world.settled.values()) > 150


def test_when_somebody_else_is_gone_the_whole_rate_comes_back(crew: Crew) -> None:
    world = crew.world
    world.play([*(crew.settle(place) for place in range(8)), itertools.islice(crew.somebody_else(4.0), 400)], 100)
    before, world.refused = world.admitted, 0
    world.play([crew.settle(place) for place in range(100, 108)], 200)
    assert world.admitted - before > 0.9 * RATE * 200
    assert world.refused <= 2


LIMIT = Limit(0.5, 20.0, 1.5)


def test_a_clock_set_back_makes_no_queue_longer_than_the_longest() -> None:
    for back_s in (100.0, 619.0, 621.0, 86_400.0):
        wait_s, _ = Budget(LIMIT, 1000.0, theoretical_arrival=1000.0 + back_s).queue(1)
        assert wait_s <= 600.0 + 0.5


@pytest.mark.parametrize(("burst", "rate"), [(10_000, 10.0), (5000, 2.0), (50, 0.02)])
def test_a_bucket_that_takes_long_to_leak_out_is_no_clock_that_ran_ahead(burst: int, rate: float) -> None:
    for take, at_once in ((Budget.queue, burst), (Budget.overtake, burst + 15)):
        budget, waits = Budget(Limit(1 / rate, burst / rate, 15 / rate), 1000.0), []
        for _ in range(burst + 100):
            wait_s, booked = take(budget, 1)
            budget = booked if wait_s <= LONGEST_TURN_S else budget
            waits.append(wait_s)
        assert sum(wait_s <= 0 for wait_s in waits) == pytest.approx(at_once, abs=1)


def test_one_refusal_after_another_goes_on_from_now() -> None:
    held = Budget(LIMIT, 1000.0).hold(3.0)
    assert held.queue(1)[0] == pytest.approx(3.5)
    again = Budget(LIMIT, 1002.0, held.theoretical_arrival, held.stood_s, held.urgent_until, held.held_until).hold(3.0)
    assert again.queue(1)[0] == pytest.approx(3.5)
    assert again.stood_s - held.stood_s == pytest.approx(2.0)


def test_what_is_urgent_waits_while_all_are_held_back() -> None:
    assert Budget(LIMIT, 1000.0).hold(3.0).overtake(1)[0] == pytest.approx(3.0)


def test_where_there_is_room_nobody_is_overtaken() -> None:
    assert Budget(LIMIT, 1000.0).overtake(3)[1].stood_s == 0.0
