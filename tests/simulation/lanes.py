"""The lanes of a run in virtual time: the real `Lane` performs what the real conversation asks for, a moment for each effect.

Between two effects of one lane others act: the other lanes, attempts at the same settlements, people, the bank.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_b24.bitrix.errors import BitrixError
from airflow_b24.bitrix.protocol import Wait
from airflow_b24.ledger import settlements
from airflow_b24.ledger.chunks import Chunk, ClaimAll, CommitAll, ExchangeAll
from airflow_b24.ledger.settlement import Look, Settled
from airflow_b24.reconcile import lane as reconcile_lane
from tests.simulation.attempts import STALLS, Attempt
from tests.simulation.history import Key, Read

if TYPE_CHECKING:
    from tests.simulation.runs import Run

IN_THE_LEDGER = (ClaimAll, CommitAll, Look)


def lane_name(number: int) -> str:
    return f"lane {number}"


class Ride:
    """What `Lane.ride` does in a thread of its own, a step at a time."""

    def __init__(self, run: Run, number: int, conversation: Any) -> None:
        self.run, self.lane = run, run.lane
        self.simulation, self.timeline = run.simulation, run.simulation.timeline
        self.number, self.name = number, lane_name(number)
        self.conversation = conversation
        self.flow: Any = None
        self.then: Callable[[Any], None] = self.step
        self.single: Single | None = None
        # The pays of the request that is on its way or was the last one, and all that were ever sent.
        self.rows: Mapping[Key, Any] = {}
        self.sent: set[tuple[int, int]] = set()
        self.is_dark = False
        self.is_over = False
        self.steps = 0
        rng, faults = self.simulation.rng, self.simulation.faults
        self.stall_at = rng.randint(1, 16) if faults.stall and rng.random() < faults.stall else 0
        self.stall_s = rng.choice(STALLS) if self.stall_at else 0.0
        self.zombie_s = rng.choice(STALLS) if faults.zombie and rng.random() < faults.zombie else None

    def step(self, reply: Any) -> None:
        """Go on with the conversation after one effect."""
        if self.run.dead:
            return
        try:
            effect = self.conversation.send(reply)
        except StopIteration as done:
            self.over(done.value)
            return
        except Exception as error:  # noqa: BLE001 - as the real one does
            self.end(error)
            return
        self.steps += 1
        self.simulation.happened("effect")
        self.run.count()
        if self.run.crashes_before:
            self.run.die()
        elif self.steps == self.stall_at:
            self.timeline.after(self.stall_s, self.perform, effect, self.timeline.now)
        else:
            self.perform(effect, self.timeline.now)

    def perform(self, effect: Any, asked_at: float) -> None:
        """Do it now; a process that froze looked at its clock before, at `asked_at`."""
        if self.run.dead:
            return
        if isinstance(effect, ExchangeAll):
            self.exchange(effect, asked_at, self.step)
        else:
            self.do(effect, asked_at)

    def exchange(self, effect: ExchangeAll, asked_at: float, then: Callable[[Any], None]) -> None:
        """Ask the portal; what it tells goes to `then`."""
        self.rows = {row.key: row for row in effect.pays}
        self.is_dark = any((row.id, row.fence) in self.sent for row in effect.reads)
        self.flow, self.then = self.lane.exchange(effect), then
        if self.run.crashes_after:
            # Gone while the request is on its way.
            self.timeline.after(self.simulation.rng.random() * 0.7, self.run.die)
        self._ask(None, asked_at)

    def do(self, effect: Any, asked_at: float) -> None:
        simulation, run = self.simulation, self.run
        simulation.actor, simulation.clock_reads, run.slept_s = self.name, asked_at, 0.0
        try:
            reply = self.lane.perform(effect)
        except Exception as error:  # noqa: BLE001 - as the real one does
            self.end(error)
            return
        finally:
            simulation.clock_reads = None
        if run.crashes_after:
            run.die()
            return
        takes_s = 0.02 * simulation.rng.random() if isinstance(effect, IN_THE_LEDGER) else 0.0
        self.timeline.after(0.001 + takes_s + run.slept_s, self.step, reply)

    def _ask(self, reply: Any, asked_at: float | None = None) -> None:
        """Go on with the exchange after one answer."""
        simulation = self.simulation
        if self.run.dead:
            return
        simulation.actor, simulation.clock_reads = self.name, asked_at
        try:
            asked = self.flow.send(reply)
        except StopIteration as done:
            simulation.clock_reads = None
            self.then(done.value)
            return
        except Exception as error:  # noqa: BLE001 - as the real one does
            self.end(error)
            return
        finally:
            simulation.clock_reads = None
        if isinstance(asked, Wait):
            self.timeline.after(asked.seconds, self._ask, None)
            return
        self.run.requests += 1
        simulation.wire.send(asked, self, self._ask)

    def over(self, _value: Any) -> None:
        """Nothing is left to be settled many at once."""
        self.take_one()

    def take_one(self) -> None:
        """Settle what is to be settled by itself, one after the other."""
        settlement_id = self.lane.queue.take_one()
        if settlement_id is None:
            self.end()
            return
        self.single = Single(self, settlement_id)
        self.timeline.after(0.001, self.single.start)

    def settled(self, settlement_id: int, outcome: Settled | BaseException) -> None:
        """One by itself has come to its end."""
        if self.run.dead:
            return
        if isinstance(outcome, Settled):
            self.lane._report([outcome])
            self.take_one()
        elif isinstance(outcome, (BitrixError, ValueError)):
            self.lane._fail(settlement_id, outcome)
            self.take_one()
        elif isinstance(outcome, Exception):
            self.end(outcome)
        else:
            self.run.die()

    def end(self, error: Exception | None = None) -> None:
        """This lane does nothing more; the others go on."""
        self.is_over = True
        if error is not None:
            self.lane.broken.append(error)
        self.run.lane_ended()

    def close(self) -> None:
        """Its process is gone."""
        self.conversation.close()
        if self.single is not None and not self.single.dead:
            self.single.die()


class Opening(Ride):
    """What `Lane.open` does where requests are scarce, before there are lanes."""

    def over(self, value: Chunk) -> None:
        self.is_over = True
        chunks = value.deal(len(self.run.lanes), self.lane.tempo.size)
        self._hand_on(chunks)
        self.run.spread(chunks)

    def end(self, error: Exception | None = None) -> None:
        if error is not None:
            self.lane.broken.append(error)
        self.over(Chunk())

    def _hand_on(self, chunks: list[Chunk]) -> None:
        """What it was shown, each lane was shown of its chunk."""
        entries = self.simulation.entries
        names = {
            row.key: lane_name(lane) for lane, chunk in zip(self.run.lanes, chunks, strict=True) for row in chunk.rows
        }
        shown = [each for each in entries if isinstance(each, Read) and each.actor == self.name]
        entries += [each._replace(actor=names[each.invoice]) for each in shown if each.invoice in names]


class Single(Attempt):
    """One settlement that a lane settles by itself, as `Lane` does with `settle_row`."""

    def __init__(self, ride: Ride, settlement: int) -> None:
        simulation = ride.simulation
        simulation.made += 1
        super().__init__(simulation, simulation.made, settlement, 0, 0)
        self.ride = ride
        self.error: BaseException = KeyboardInterrupt("it was told to end")

    def start(self) -> None:
        if not self.ride.run.dead:
            super().start()

    def _begin(self) -> Any:
        self.desk = self.ride.run.desk
        row = settlements.look(self.desk.store, self.settlement)
        return reconcile_lane.settle_row(self.desk, row, self.ride.lane.pay_system)

    def fail(self, error: BaseException) -> None:
        self.error = error
        super().fail(error)

    def over(self, settled: Settled | None, trouble: str) -> None:
        self.ride.settled(self.settlement, settled or self.error)
