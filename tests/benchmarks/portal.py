"""A sandbox portal in a process of its own for one measurement: slow as stated, and at the end it says what happened."""

from __future__ import annotations

import multiprocessing
import signal
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from airflow_b24.sandbox import access, portal, seed, server, site
from airflow_b24.sandbox.faults import Rule
from airflow_b24.sandbox.invoice import Invoice
from airflow_b24.sandbox.operating import WINDOW
from airflow_b24.sandbox.settings import BilledTo, Settings
from airflow_b24.sandbox.state import State
from airflow_b24.sandbox.wire import Answer, Request
from tests.benchmarks.indexing import find_ids_by_index
from tests.processes.children import Children

START_S, END_S = 20.0, 10.0
TODAY = datetime.now(UTC).date()
BILLED = TODAY - timedelta(days=9)
PAY = "sale.paysystem.pay.invoice"
# What the sandbox bills the technical user's webhook as.
WEBHOOK = "webhook 1"
# So many payments the bank gives at once.
BANK_PAGE = 500
PAYER_COMPANY, PAYER_TAX_ID = 21, "7711000219"
# The authority's file, and what a server needs to be trusted by it.
Certified = tuple[Path, ssl.SSLContext]
Answering = Callable[[State, Request, datetime], Answer]


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds of server work: for each request, for each command in it by its kind, and for a list that counts."""

    latency_s: float
    read_s: float
    list_s: float
    write_s: float
    count_s: float


STATED = Latency(0.02, 0.02, 0.04, 0.04, 0.02)


@dataclass(frozen=True, slots=True)
class Spent:
    """Operating time of one method, used before anybody came; it counts for `more_s` after the first request."""

    method: str
    seconds: float
    more_s: float


@dataclass(frozen=True, slots=True)
class Setup:
    """A fresh portal: so many open invoices, numbered from 1, and what goes wrong there.

    The access token ends once `expire_after` pays have run. `hurry` says how many times faster its seconds pass than
    it tells, so that operating time is spent without anybody waiting for it. With `bank`, the bank there has for each
    invoice a payment that proves it twice.
    """

    invoices: int
    latency: Latency = STATED
    rules: tuple[Rule, ...] = ()
    expire_after: int | None = None
    billed_to: BilledTo = "methods"
    hurry: float = 1.0
    spent: Spent | None = None
    bank: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """What really happened on a portal; `executed` says for each number of pays how many invoices had as many.

    `freed_at` is when operating time that was spent before came free (Unix seconds), and `resumed_s` how long after
    that the next pay ran.
    """

    requests: int
    refused: int
    executed: Mapping[int, int]
    renewals: int
    methods: Mapping[str, int]
    freed_at: float | None = None
    resumed_s: float | None = None


@dataclass(slots=True)
class Portal:
    """A portal that runs; `end` stops it."""

    addresses: server.Addresses
    _children: Children = field(repr=False)
    _pid: int = 0
    _inbox: Connection[Any, Any] | None = field(default=None, repr=False)

    def end(self) -> Report:
        """Stop it, and hear what happened there."""
        self._children.signal(self._pid, signal.SIGTERM)
        if self._inbox is None or not self._inbox.poll(END_S):
            raise TimeoutError("the portal did not end")
        report: Report = self._inbox.recv()
        return report


def certify(folder: Path) -> Certified:
    """Make the one authority that all portals of a run have; libraries learn whom to trust when they are loaded."""
    return server._certify(folder)


@contextmanager
def open_portal(children: Children, setup: Setup, certified: Certified) -> Iterator[Portal]:
    """Serve a fresh portal for as long as the block runs."""
    inbox, outbox = multiprocessing.Pipe(duplex=False)
    pid = children.start(lambda: _serve(setup, certified, outbox))
    outbox.close()
    try:
        with inbox:
            if not inbox.poll(START_S):
                raise TimeoutError("the portal did not start")
            yield Portal(inbox.recv(), children, pid, inbox)
    finally:
        children.kill(pid)


def _serve(setup: Setup, certified: Certified, outbox: Connection[Any, Any]) -> None:
    state, watch = make_state(setup), _Watch(setup)
    # All that the server asks: what is not for the portal, and what its limit lets in.
    site.answer = watch.over(site.answer)  # type: ignore[assignment]
    portal.work = watch.over(portal.work)  # type: ignore[assignment]
    find_ids_by_index()
    server._certify = lambda folder: certified
    server.run(state, folder=certified[0].parent, ready=outbox.send)
    outbox.send(watch.report(state))


def make_state(setup: Setup) -> State:
    """Return the portal's tables; it has legacy invoices alone, as older ones have."""
    state = seed.portal(TODAY)
    state.settings = Settings(smart_invoices=False, operating_billed_to=setup.billed_to, **asdict(setup.latency))
    state.invoices = {each: _invoice(each) for each in range(1, setup.invoices + 1)}
    state.faults.rules = list(setup.rules)
    if setup.bank:
        state.bank.page_size = BANK_PAGE
        for each in state.invoices:
            state.bank.add(_payment(each), TODAY)
    return state


def price_of(invoice_id: int) -> int:
    """Return what an invoice is about, in kopecks: no two of them are alike."""
    return 10_000 + invoice_id


def _invoice(invoice_id: int) -> Invoice:
    owners: dict[str, Any] = {"company_id": PAYER_COMPANY, "my_company_id": seed.OWN_COMPANY}
    owners["pay_system_id"] = seed.BILL_SYSTEM
    return Invoice(invoice_id, f"2026/{invoice_id}", _price(invoice_id), status_id="S", billed_on=BILLED, **owners)


def _price(invoice_id: int) -> Decimal:
    return Decimal(price_of(invoice_id)).scaleb(-2)


def _payment(invoice_id: int) -> dict[str, object]:
    """What proves an invoice by its number and the payer's tax id, and by its number and date."""
    payer = {"name": "ООО «Северный ветер»", "tax_id": PAYER_TAX_ID, "account": "40702810000000000021"}
    purpose = f"Оплата по счету № 2026/{invoice_id} от {BILLED:%d.%m.%Y}"
    return {"id": f"P{invoice_id}", "amount": str(_price(invoice_id)), "payer": payer, "purpose": purpose}


@dataclass(slots=True)
class _Watch:
    """Stands before the sandbox: counts, and interferes as the setup says."""

    setup: Setup
    seen: Counter[str] = field(default_factory=Counter)
    freed_at: datetime | None = None

    def over(self, honest: Answering) -> Answering:
        """Answer as the sandbox does; what it takes to compute is part of the stated time, not on top of it."""

        def answer(state: State, request: Request, now: datetime) -> Answer:
            began, path = time.perf_counter(), request.path.rstrip("/")
            self.seen[path if path == access.OAUTH_PATH else path.rpartition("/")[2].removesuffix(".json")] += 1
            self._expire(state, now)
            self._spend(state, now)
            given = honest(state, request, now)
            return replace(given, delay_s=max(0.0, given.delay_s / self.setup.hurry - (time.perf_counter() - began)))

        return answer

    def _expire(self, state: State, now: datetime) -> None:
        after = self.setup.expire_after
        if after is not None and sum(_executed(state).elements()) >= after:
            token = state.tokens[seed.ACCESS_TOKEN]
            state.tokens[token.value] = replace(token, expires_at=min(token.expires_at, now))

    def _spend(self, state: State, now: datetime) -> None:
        spent = self.setup.spent
        if spent is not None and self.freed_at is None:
            self.freed_at = now + timedelta(seconds=spent.more_s)
            state.operating.add(WEBHOOK, spent.method, self.freed_at - WINDOW, spent.seconds)

    def report(self, state: State) -> Report:
        """Say what happened."""
        renewals = self.seen[access.OAUTH_PATH]
        report = Report(state.requests, state.refused, _executed(state), renewals, self.seen)
        return report if self.freed_at is None else replace(report, **_freed(state, self.freed_at))


def _freed(state: State, freed_at: datetime) -> dict[str, float | None]:
    pays = (pay.at for invoice in state.invoices.values() for pay in invoice.executed_pays)
    resumed = min((at for at in pays if at >= freed_at), default=None)
    return {
        "freed_at": freed_at.timestamp(),
        "resumed_s": None if resumed is None else (resumed - freed_at).total_seconds(),
    }


def _executed(state: State) -> Counter[int]:
    return Counter(len(invoice.executed_pays) for invoice in state.invoices.values() if invoice.executed_pays)
