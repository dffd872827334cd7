"""One task that pays many: the real `settle_all` up to its threads, which are lanes in virtual time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from airflow_b24.bitrix.limits import Unpaced
from airflow_b24.ledger.chunks import Chunk
from airflow_b24.ledger.errors import LedgerError
from airflow_b24.ledger.settlement import Settled
from airflow_b24.reconcile import bulk
from airflow_b24.reconcile import lane as reconcile_lane
from airflow_b24.reconcile.lanes import Outcome
from tests.simulation.history import RunBegan, RunEnded, RunStopped, Told
from tests.simulation.lanes import Opening, Ride
from tests.simulation.wire import Crash

if TYPE_CHECKING:
    from tests.simulation.simulating import Simulation

RETRIES = 5
WAITS = (0.5, 3.0, 9.0, 11.0, 40.0, 40.0)
HALF: Final = 0.5
# Longer than anybody waits: the lane ends with that.
NEVER_S = 3600.0


class Riding(Exception):  # noqa: N818 - no error: it hands the lanes over
    """What `bulk._ride` would have driven: from here on the simulator does."""

    def __init__(self, lane: Any, lanes: int, outcomes: Any) -> None:
        super().__init__()
        self.lane, self.lanes, self.outcomes = lane, lanes, outcomes


def hand_over(lane: Any, lanes: int, outcomes: Any, tell: Any) -> None:
    """Stands in for `bulk._ride`."""
    if lanes:
        raise Riding(lane, lanes, outcomes)


class Scarce(Unpaced):
    """Now and then one waits for the portal's pace."""

    def __init__(self, simulation: Simulation, share: float) -> None:
        self.simulation, self.share = simulation, share
        # So few that every second run has one request read what all of its lanes begin with.
        self.at_once = 0 if simulation.rng.random() < HALF else super().at_once

    def reserve(self, n: int, within_s: float, *, urgent: bool = False) -> Iterator[float]:
        rng = self.simulation.rng
        if self.share and rng.random() < self.share and not self.simulation.calm:
            yield NEVER_S if rng.random() < 0.02 else rng.choice(WAITS)


class Run:
    """One try of such a task, which may be one of several that are alive."""

    def __init__(self, simulation: Simulation, number: int, wanted: Mapping[int, int], tries: int) -> None:
        self.simulation, self.number, self.wanted, self.tries = simulation, number, wanted, tries
        self.name = f"run {number}"
        self.rides: list[Ride] = []
        self.lanes = range(0)
        self.dead = False
        self.requests = 0
        self.slept_s = 0.0
        self.steps = 0
        self.stopped = False
        self.lane: Any = None
        rng, faults = simulation.rng, simulation.faults
        self.crash_at = rng.randint(1, 25) if faults.crash and rng.random() < faults.crash else 0
        self.crash_after = rng.random() < 0.6
        self.stop_s = 20 * rng.random() if faults.crash and rng.random() < faults.crash / 4 else None

    def start(self) -> None:
        simulation = self.simulation
        self.began = simulation.timeline.now
        simulation.entries.append(RunBegan(self.began, self.number, tuple(self.wanted)))
        simulation.actor = self.name
        assert simulation.world.bulk is not None
        pace = Scarce(simulation, simulation.world.bulk.scarce)
        # A process of its own: what it must know of the portal it asks itself.
        self.desk = replace(simulation.desk, pace=pace, sleep=self._sleep)
        try:
            told = bulk.settle_all(self.desk, self.wanted, simulation.pay_system, lanes=simulation.world.bulk.lanes)
        except Riding as begun:
            self._ride(begun)
        except Crash:
            self.die()
        except LedgerError as error:
            self.end({}, type(error).__name__)
        else:
            self.end(told)

    def _sleep(self, seconds: float) -> None:
        """Noted by whoever sleeps, who goes on when it is over."""
        self.slept_s += seconds

    def _ride(self, begun: Riding) -> None:
        simulation = self.simulation
        self.lane, self.outcomes = begun.lane, begun.outcomes
        self.lanes = range(simulation.made + 1, simulation.made + begun.lanes + 1)
        simulation.made += begun.lanes + 1
        if self.lane.tempo.is_scarce:
            conversation = reconcile_lane.open_chunks(self.desk.patience, begun.lanes)
            self._begin([Opening(self, simulation.made, conversation)])
        else:
            self.spread(self.lane.open(begun.lanes))
        if self.stop_s is not None:
            simulation.timeline.after(self.stop_s, self.stop)

    def spread(self, chunks: list[Chunk]) -> None:
        """Let each lane begin with its chunk."""
        told = (reconcile_lane.settle_chunks(self.desk.patience, chunk) for chunk in chunks)
        self._begin([Ride(self, *each) for each in zip(self.lanes, told, strict=True)])

    def _begin(self, rides: list[Ride]) -> None:
        self.rides = rides
        for ride in rides:
            self.simulation.timeline.after(0.05 * self.simulation.rng.random(), ride.step, None)

    def count(self) -> None:
        """One more effect of any of its lanes."""
        self.steps += 1

    @property
    def crashes_before(self) -> bool:
        return self.steps == self.crash_at and not self.crash_after

    @property
    def crashes_after(self) -> bool:
        return self.steps == self.crash_at and self.crash_after

    def stop(self) -> None:
        """It is told to end: nothing new begins, what is on its way is waited for and written down."""
        if not self.dead:
            self.stopped = True
            self.simulation.entries.append(RunStopped(self.simulation.timeline.now, self.number, tuple(self.lanes)))
            self.lane.queue.stop(bulk.StoppedError("the run was told to end"))

    def lane_ended(self) -> None:
        if self.dead or not all(ride.is_over for ride in self.rides):
            return
        if self.stopped:
            self.end({}, "stopped")
            return
        bulk._account(self.desk, self.lane, self.outcomes)
        self.end(self.outcomes.all())

    def die(self) -> None:
        if not self.dead:
            self.end({}, "crash")

    def end(self, outcomes: Mapping[int, Outcome], cause: str = "") -> None:
        self.dead = True
        for ride in self.rides:
            ride.close()
        told = tuple(_told(settlement_id, outcome) for settlement_id, outcome in outcomes.items())
        broken = tuple(type(error).__name__ for error in self.lane.broken) if self.lane else ()
        now, lanes = self.simulation.timeline.now, tuple(self.lanes)
        ended = RunEnded(now, self.number, self.began, told, cause, broken, self.requests, lanes)
        self.simulation.entries.append(ended)
        if self.tries < RETRIES and (cause or any(each.trouble for each in told)):
            waits = [each.wait_s for each in outcomes.values() if isinstance(each, Settled) and each.wait_s is not None]
            begin(self.simulation, self.wanted, min(waits, default=None), self.tries + 1)


def _told(settlement_id: int, outcome: Outcome) -> Told:
    if isinstance(outcome, Exception):
        return Told(settlement_id, "", "", type(outcome).__name__)
    trouble = type(outcome.trouble).__name__ if outcome.trouble else ""
    return Told(settlement_id, outcome.row.state.value, outcome.row.how or "", trouble)


def pay(simulation: Simulation, items: list[dict[str, int]]) -> None:
    """Start what a run of the DAG pays: one task for all, or one for each, or both at once."""
    bulk_way, rng = simulation.world.bulk, simulation.rng
    at_once = bulk_way is not None and items and rng.random() < bulk_way.share
    if at_once:
        begin(simulation, {item["settlement_id"]: item["invoice_id"] for item in items}, rng.random(), 0)
    beside = bulk_way is not None and not simulation.calm and rng.random() < bulk_way.beside
    if not at_once or beside:
        for item in items:
            simulation.begin(item["settlement_id"], item["invoice_id"])


def begin(simulation: Simulation, wanted: Mapping[int, int], delay: float | None, tries: int) -> None:
    """Start such a task soon; sometimes a second one beside it, because the first was declared dead."""
    if simulation.left <= 0:
        return
    simulation.left -= 1
    simulation.made += 1
    run = Run(simulation, simulation.made, wanted, tries)
    if delay is None:
        delay = simulation.rng.choice((5.0, 30.0, 60.0, 300.0))
    simulation.timeline.after(delay, run.start)
    if simulation.faults.twice and simulation.rng.random() < simulation.faults.twice:
        begin(simulation, wanted, simulation.rng.choice((0.05, 0.3, 1.0, 5.0, 30.0, 186.0)), tries)
