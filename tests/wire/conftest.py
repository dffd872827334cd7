"""A desk whose portal is the sandbox behind a bad line, with a real SQLite ledger and clocks of its own."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from airflow_b24.bitrix.auth import Webhook
from airflow_b24.bitrix.client import Client
from airflow_b24.bitrix.limits import Unpaced
from airflow_b24.ledger.portals import portal_id
from airflow_b24.ledger.settlement import Patience, Settled
from airflow_b24.ledger.store import Store
from airflow_b24.reconcile.desk import Desk, PaySystem
from airflow_b24.reconcile.settling import settle_plain
from airflow_b24.sandbox import seed
from airflow_b24.sandbox.invoice import Invoice
from tests.wire.fault_server import FaultServer, serving

PATIENCE = Patience(window_s=2.0, deadline_s=1.0, server_run_s=1.0, looks=(0.0,), rounds=3)


@dataclass
class Clock:
    """The ledger's time, which passes only when told."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Office:
    """One ledger, one portal, and invoices as many as are asked for."""

    line: FaultServer
    desk: Desk
    clock: Clock
    bills: int = 0

    def bill(self) -> int:
        """Put an open invoice on the portal; returns its id."""
        self.bills += 1
        invoice = Invoice(self.bills, f"2026/{self.bills}", Decimal("118.00"), status_id="S", company_id=21)
        invoice.my_company_id, invoice.pay_system_id = seed.OWN_COMPANY, seed.BILL_SYSTEM
        self.line.state.invoices[self.bills] = invoice
        return self.bills

    def settle(self, invoice_id: int) -> Settled:
        """One attempt."""
        return settle_plain(self.desk, invoice_id, PaySystem(seed.REST_SYSTEM))

    def executed(self, invoice_id: int) -> int:
        """How often the portal really paid it."""
        return len(self.line.state.invoices[invoice_id].executed_pays)

    def let_the_quiet_time_pass(self) -> None:
        """Until no earlier call can land any more."""
        self.clock.now += timedelta(seconds=self.desk.patience.quiet_s + 0.1)


@pytest.fixture(scope="module")
def line() -> Iterator[FaultServer]:
    """The sandbox's portal behind a bad line."""
    state = seed.portal(datetime.now(UTC).date())
    # A portal with legacy invoices alone, as older ones are.
    state.settings.smart_invoices = False
    state.settings.rate_limit = state.settings.operating = False
    with serving(FaultServer(state)) as server:
        yield server


@pytest.fixture(autouse=True)
def _calm(request: pytest.FixtureRequest) -> None:
    if "line" in request.fixturenames:
        request.getfixturevalue("line").calm()


@pytest.fixture(scope="module")
def offices(line: FaultServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Office]]:
    """Make offices on one ledger, with clients that wait so many seconds."""
    clock, path = Clock(), tmp_path_factory.mktemp("ledger") / "ledger.db"
    with ExitStack() as stack:
        store = Store(Store.open(f"sqlite:///{path}").engine, clock)
        stack.callback(store.close)
        # SQLite tidies up whenever the last connection closes; while this one is there, none is the last.
        stack.enter_context(closing(sqlite3.connect(path))).execute("SELECT count(*) FROM sqlite_master").fetchall()
        with store.transaction() as connection:
            portal = portal_id(connection, "portal.example")

        def make(timeout_s: float) -> Office:
            webhook = Webhook.parse(line.address + seed.webhook_path())
            client = stack.enter_context(Client(webhook, sleep=lambda _: None, timeout_s=timeout_s))
            return Office(line, Desk(store, client, portal, Unpaced(), PATIENCE, sleep=lambda _: None), clock)

        yield make
