"""One world from its beginning to its calm end, over the real product."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from airflow_b24.bitrix.errors import BitrixError
from airflow_b24.bitrix.limits import Unpaced
from airflow_b24.ledger import settlements
from airflow_b24.ledger.errors import LedgerError
from airflow_b24.ledger.settlement import Patience, Settled
from airflow_b24.reconcile import collecting, matching, sweeping
from airflow_b24.reconcile.desk import Desk, PaySystem
from airflow_b24.sandbox import seed as portal_seed
from tests.simulation import people, portal, product, runs
from tests.simulation.attempts import STALLS, Attempt
from tests.simulation.bank import FIELDS, SOURCE, Bank
from tests.simulation.client import Client
from tests.simulation.crowds import Settling
from tests.simulation.funnels import wishes
from tests.simulation.history import Delivered, History, Key
from tests.simulation.offices import Kinds
from tests.simulation.partial import PartialAttempt
from tests.simulation.timeline import Timeline
from tests.simulation.wire import Crash, Wire
from tests.simulation.worlds import TODAY, Deed, Faults, World, draw

START_FROM = TODAY - timedelta(days=10)
OVERLAP = timedelta(days=7)
PATIENCE = Patience()
# What is promised, whatever is switched off in a run.
LIMITS = {"quiet_s": PATIENCE.quiet_s, "window_s": PATIENCE.window_s, "read_age_s": PATIENCE.read_age_s}
CALM_RUNS = 2
# As the DAGs have it.
RETRIES = 5
LONG = 3600.0


class Simulation:
    """Everything of one seed. `books` makes the ledger: in a dictionary or on SQLite."""

    def __init__(
        self,
        seed: int,
        books: Any,
        mode: str = "safety",
        kinds: Kinds = "mixed",
        settling: Settling = "mixed",
        world: World | None = None,
    ) -> None:
        self.world = world or draw(seed, mode, kinds, settling)
        self.rng = Random(f"run:{mode}:{seed}")
        self.faults = self.world.faults
        self.timeline = Timeline()
        self.history = History()
        self.entries = self.history.entries
        self.actor = "nobody"
        self.clock_reads: float | None = None
        begins = datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=UTC) + timedelta(hours=self.world.begins_h)
        self.begins = begins
        self.ledger_begins = begins + timedelta(seconds=self.world.skew_s)
        kind = portal_seed.BILL_SYSTEM if self.faults.idle else portal_seed.REST_SYSTEM
        self.pay_system = PaySystem(kind)
        office = self.world.office
        self.portal = portal.Portal(
            self.timeline,
            self.history,
            begins,
            self.happened,
            kinds=office.kinds,
            is_hidden=office.is_hidden,
            also_paid=office.also_paid,
        )
        self.wire = Wire(self.portal, self.rng, self.faults)
        self.wire.fast = books.fast
        if self.world.bulk is not None:
            self.wire.alone, self.wire.shut = self.world.bulk.alone, self.world.bulk.shut
        self.client = Client(self, fast=books.fast)
        self.bank = Bank(self.timeline, self.rng, self.world.transfers)
        self.books = books
        self.store = books.open(self)
        self.counts: Counter[str] = Counter()
        self.sudden: dict[tuple[str, int], list[Deed]] = {}
        self.made = 0
        self.left = self.world.attempts
        self.calm = False
        self.calm_runs = CALM_RUNS

    @property
    def desk(self) -> Desk:
        """What a process has at hand; each begins without knowing anything of the portal."""
        office = self.world.office
        return Desk(
            self.store,
            self.client,  # type: ignore[arg-type]
            self.books.portal_id,
            Unpaced(),
            PATIENCE,
            self.sleep,
            office.invoice_type,
            wishes(office.also_paid, office.parts),
        )

    # What the product may ask for

    def now_s(self) -> float:
        """The monotonic clock of whoever asks; a frozen process looked at it before it froze."""
        return self.timeline.now if self.clock_reads is None else self.clock_reads

    def ledger_now(self) -> datetime:
        return self.ledger_begins + timedelta(seconds=self.timeline.now)

    def seconds(self, moment: str | datetime | None) -> float | None:
        """The virtual second of a time in the ledger."""
        if moment is None:
            return None
        parsed = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
        return (parsed.replace(tzinfo=UTC) - self.ledger_begins).total_seconds()

    def sleep(self, seconds: float) -> None:
        self.timeline.pass_time(seconds)

    # The course of events

    def run(self) -> History:
        with product.simulated(self):
            self._prepare()
            self.timeline.run(self.world.runs[-1] + LONG / 4)
            self._calm_down()
            self.books.last_rows(self.history)
        return self.history

    def _prepare(self) -> None:
        history = self.history
        history.meant = {each.meant.payment: each.meant for each in self.world.transfers}
        history.pays_truly = not self.faults.idle and not self.faults.unpaid
        history.idle, history.fault_rate = self.faults.idle, self.faults.rate
        # A process that froze behind its look at the clock believes what was so before: no client can help that.
        history.limits = {**LIMITS, "lag_s": self.faults.lag_s, "frozen_s": max(STALLS) if self.faults.stall else 0.0}
        for each in self.world.bills:
            self.portal.born(each)
        for when in self.world.runs:
            self.timeline.at(when, self.run_dag)
        for deed in self.world.deeds:
            self.sudden.setdefault((deed.when, deed.count), []).append(deed)
        self.happened("begin")

    def _calm_down(self) -> None:
        """Faults stop, people go home, what is on its way lands, and a few quiet runs follow."""
        self.calm = True
        self.sudden.clear()
        self.faults = self.wire.faults = Faults(idle=self.world.faults.idle)
        self.history.calm_since = self.timeline.now
        self.left = 10**6
        for _ in range(self.calm_runs):
            self.timeline.run(self.timeline.now + 2 * LIMITS["quiet_s"])
            self.run_dag()
        self.timeline.run(self.timeline.now + 2 * LIMITS["quiet_s"])

    def happened(self, what: str) -> None:
        """Something happened: somebody may act in this very moment, or a while later."""
        self.counts[what] += 1
        for deed in self.sudden.pop((what, self.counts[what]), ()):
            if deed.delay or what != "effect":
                self.timeline.after(deed.delay + 1e-6, self._act, deed)
            else:
                actor = self.actor
                people.do(self, deed)
                self.actor = actor

    def _act(self, deed: Deed) -> None:
        if not self.calm:
            people.do(self, deed)

    # What Airflow starts

    def run_dag(self) -> None:
        """Collect, match, sweep, and start an attempt for all that is due."""
        try:
            self._as("collect", self._collect)
            self._as("match", self._match)
            left = self._as("sweep", self._sweep) if self.sweeps() else []
            items = self._as("match", self._due)
            self._show_parts()
            items += [item for item in left if item not in items]
        except (BitrixError, LedgerError, Crash):
            return
        runs.pay(self, items)

    def _as(self, actor: str, do: Any) -> Any:
        self.actor = actor
        return do()

    def _collect(self) -> None:
        if not self.bank.has_news() and self.rng.random() < 0.85:
            return
        today = self.portal.now.date()
        collecting.collect(
            self.store, SOURCE, self.bank.read, FIELDS, start_from=START_FROM, today=today, overlap=OVERLAP
        )
        now = self.timeline.now
        self.entries.extend(Delivered(now, *told) for told in self.bank.told())

    def _match(self) -> None:
        matching.match_payments(self.desk, "pay", self.ledger_now().date())

    def sweeps(self) -> bool:
        """The sweep runs less often than the payments do, but always in the end."""
        return self.calm or self.rng.random() < 0.5

    def _sweep(self) -> list[dict[str, int]]:
        """Look after what has ended; what dead runs left begun is finished, whoever asked for it."""
        sweeping.sweep(self.desk)
        return settlements.due(self.store, self.books.portal_id, 500, begun=True)

    def sweep_alone(self) -> None:
        """A run of the sweep's own DAG."""
        actor = self.actor
        try:
            items = self._as("sweep", self._sweep)
        except (BitrixError, LedgerError, Crash):
            items = []
        for item in items:
            self.begin(item["settlement_id"], item["invoice_id"])
        self.actor = actor

    def _show_parts(self) -> None:
        """What waits for the rest of its money is moved to where people look for it."""
        if not self.world.office.parts:
            return
        for row in settlements.collecting(self.store, self.books.portal_id, "smart", 50):
            self.made += 1
            attempt = PartialAttempt(self, self.made, row.id)
            self.timeline.after(self.rng.random(), attempt.start)

    def _due(self) -> list[dict[str, int]]:
        return settlements.due(self.store, self.books.portal_id, 500)

    def begin(
        self, settlement: int | None, invoice: int, kind: str = "", delay: float | None = None, tries: int = 0
    ) -> None:
        """Start an attempt soon; sometimes a second one beside it, because the first was declared dead."""
        if self.left <= 0:
            return
        self.left -= 1
        self.made += 1
        attempt = Attempt(self, self.made, settlement, invoice, tries, kind)
        self.timeline.after(self.rng.random() if delay is None else delay, attempt.start)
        twice = self.faults.twice
        if twice and self.rng.random() < twice:
            self.begin(settlement, invoice, kind, self.rng.choice((0.05, 0.3, 1.0, 5.0, 30.0, 186.0)), tries)

    def attempt_ended(self, attempt: Attempt, settled: Settled | None, trouble: str) -> None:
        """Airflow's retries: soon after a crash, when the error says so, else after its backoff."""
        if not trouble or trouble == "ValueError" or attempt.tries == RETRIES:
            return
        if settled is not None and settled.wait_s is not None:
            delay = settled.wait_s
        else:
            delay = self.rng.choice((5.0, 30.0, 60.0, 300.0))
        if self.calm and delay > 4 * LIMITS["quiet_s"]:
            return
        self.begin(attempt.asked, attempt.invoice, attempt.kind, delay, attempt.tries + 1)

    # What others may ask for

    def price_of(self, invoice: Key) -> str:
        """What the invoice cost when it was sent to the customer."""
        minor = next(each.minor for each in self.world.bills if each.key == invoice)
        return f"{minor // 100}.{minor % 100:02d}"

    def document_of(self, invoice: Key) -> str:
        """The document number of a payment that was meant for the invoice."""
        meant = [each for each in self.history.meant.values() if any(place == invoice for place, _ in each.invoices)]
        return meant[0].document if meant else "17"
