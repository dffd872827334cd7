"""One more driver of the settlement's conversation: in virtual time, with crashes, stalls and a network that fails."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_b24.bitrix.errors import BitrixError
from airflow_b24.bitrix.exchange import exchange
from airflow_b24.bitrix.invoice import InvoiceKey
from airflow_b24.bitrix.protocol import Wait
from airflow_b24.ledger.errors import LedgerError
from airflow_b24.ledger.partial import BeginPartial, EndPartial
from airflow_b24.ledger.settlement import Claim, Commit, Exchange, Exchanged, Look, Pause, Reserve, Settled
from airflow_b24.reconcile import settling
from airflow_b24.reconcile.translating import answer, fact
from tests.simulation.history import Began, Ended
from tests.simulation.wire import Crash

if TYPE_CHECKING:
    from tests.simulation.simulating import Simulation

STALLS = (1.0, 4.0, 6.0, 20.0, 70.0, 150.0, 186.0, 200.0, 400.0)


class Handoff:
    """What `settling.drive` would have driven: from here on the simulator does."""

    def __init__(self, conversation: Any, desk: Any, way: Any, _why_not: Any = None) -> None:
        self.conversation = conversation
        self.desk = desk
        self.way = way


class Attempt:
    """One task's try at one settlement, which may be one of several that are alive."""

    def __init__(
        self, simulation: Simulation, number: int, settlement: int | None, invoice: int, tries: int, kind: str = ""
    ) -> None:
        self.simulation = simulation
        self.timeline = simulation.timeline
        self.number = number
        self.name = f"attempt {number}"
        # None: somebody named the invoice alone.
        self.asked = settlement
        self.settlement = settlement or 0
        self.invoice = invoice
        # Of the invoice that somebody named; a settlement knows its own.
        self.kind = kind
        self.tries = tries
        self.fence = 0
        self.sent: set[int] = set()
        self.dead = False
        self.began = self.timeline.now
        self.requests = 0
        self.steps = 0
        self.conversation: Any = None
        self.way: Any = None
        self._draw()

    def _draw(self) -> None:
        rng, faults = self.simulation.rng, self.simulation.faults
        self.crash_at = rng.randint(1, 9) if faults.crash and rng.random() < faults.crash else 0
        self.crash_after = self.crash_at > 0 and rng.random() < 0.6
        self.stall_at = rng.randint(1, 8) if faults.stall and rng.random() < faults.stall else 0
        self.stall_s = rng.choice(STALLS) if self.stall_at else 0.0
        self.zombie_s = rng.choice(STALLS) if faults.zombie and rng.random() < faults.zombie else None

    def start(self) -> None:
        simulation = self.simulation
        self.began = self.timeline.now
        simulation.entries.append(Began(self.began, self.number, self.settlement))
        simulation.actor = self.name
        try:
            begun: Any = self._begin()
        except (BitrixError, LedgerError, ValueError, Crash) as error:
            self.fail(error)
            return
        if isinstance(begun, Handoff):
            self.conversation, self.way = begun.conversation, begun.way
            self.settlement = begun.conversation.gi_frame.f_locals["row"].id
            self.step(None)
        else:
            self.end(begun)

    def _begin(self) -> Any:
        through = self.simulation.pay_system
        # A process of its own: what it must know of the portal it asks itself.
        self.desk = self.simulation.desk
        if self.asked is None:
            if self.kind:
                self.desk = replace(self.desk, invoice_type=self.kind)  # type: ignore[arg-type]
            return settling.settle_plain(self.desk, self.invoice, through)
        return settling.settle_matched(self.desk, self.asked, self.invoice, through)

    def step(self, reply: Any) -> None:
        if self.dead:
            return
        try:
            effect = self.conversation.send(reply)
        except StopIteration as done:
            self.end(done.value)
            return
        self.steps += 1
        self.simulation.happened("effect")
        if self.steps == self.crash_at and not self.crash_after:
            self.die()
        elif self.steps == self.stall_at:
            self.timeline.after(self.stall_s, self.perform, effect, self.timeline.now)
        else:
            self.perform(effect, self.timeline.now)

    def perform(self, effect: Any, asked_at: float) -> None:
        """Do it now; a process that froze looked at its clock before, at `asked_at`."""
        match effect:
            case Exchange():
                self._exchange(effect, asked_at)
                if self.steps == self.crash_at:
                    # Gone while the request is on its way.
                    self.timeline.after(self.simulation.rng.random() * 0.7, self.die)
            case Claim() | Look() | Commit() | BeginPartial() | EndPartial():
                self._in_the_ledger(effect, asked_at)
            case Reserve():
                self.timeline.after(0.01, self.step, None)
            case Pause():
                self.timeline.after(effect.seconds, self.step, None)

    def _in_the_ledger(self, effect: Any, asked_at: float) -> None:
        simulation = self.simulation
        simulation.actor, simulation.clock_reads = self.name, asked_at
        try:
            reply = settling._perform(effect, self.desk, self.way)
        except LedgerError as error:
            self.fail(error)
            return
        finally:
            simulation.clock_reads = None
        if self.steps == self.crash_at:
            self.die()
            return
        self.timeline.after(0.001 + 0.02 * simulation.rng.random(), self.step, reply)

    def _exchange(self, effect: Exchange, began: float) -> None:
        self.fence = effect.row.fence
        self.beside: dict[Any, Any] = {}
        if effect.beside:
            # Its own invoice last, as the real driver does.
            looks = {InvoiceKey(*key): self.desk.invoices.look(key) for key in effect.beside}
            self.flow, self.then = exchange([], looks), lambda got: self._read_beside(effect, got)
        else:
            self._ask(effect, began)
        self._flow(None)

    def _read_beside(self, effect: Exchange, got: Any) -> None:
        self.beside = {each: fact(got.reads.get(each)) for each in effect.beside}
        self._ask(effect, self.timeline.now)
        self._flow(None)

    def _ask(self, effect: Exchange, began: float) -> None:
        key = InvoiceKey(*effect.row.key)
        pays = [self.way.order(effect.row)] if effect.pay else []
        self.flow = exchange(pays, {key: self.desk.invoices.look(key)}, effect.send_before)
        self.told = (effect, began)
        self.then = self._exchanged

    def _flow(self, reply: Any) -> None:
        """Go on with the exchange after one answer."""
        if self.dead:
            return
        try:
            asked = self.flow.send(reply)
        except StopIteration as done:
            self.then(done.value)
            return
        except (BitrixError, Crash) as error:
            # What it takes to read another kind of invoice beside its own is asked for in between.
            self.fail(error)
            return
        if self.dead:
            return
        if isinstance(asked, Wait):
            self.timeline.after(asked.seconds, self._flow, None)
            return
        self.requests += 1
        self.simulation.wire.send(asked, self, self._flow)

    def _exchanged(self, got: Any) -> None:
        effect, began = self.told
        key = InvoiceKey(*effect.row.key)
        told = answer(got.pays[key]) if effect.pay else None
        self.step(Exchanged(told, fact(got.reads.get(key)), began, self.beside))

    def fail(self, error: BaseException) -> None:
        """It raised this."""
        self.end(None, type(error).__name__)

    def die(self) -> None:
        if not self.dead:
            self.end(None, "crash")

    def end(self, settled: Settled | None, trouble: str = "") -> None:
        self.dead = True
        if self.conversation is not None:
            self.conversation.close()
        self.settlement = settled.row.id if settled else self.settlement
        state = settled.row.state.value if settled else ""
        how = (settled.row.how or "") if settled else ""
        if settled and settled.trouble:
            trouble = type(settled.trouble).__name__
        self.simulation.entries.append(
            Ended(self.timeline.now, self.number, self.settlement, state, how, trouble, self.requests, self.began)
        )
        self.over(settled, trouble)

    def over(self, settled: Settled | None, trouble: str) -> None:
        """Whoever started it goes on."""
        self.simulation.attempt_ended(self, settled, trouble)
