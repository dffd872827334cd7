"""A desk at a sandbox: the real client over real HTTP on loopback, the real ledger, and no real sleeping."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from airflow_b24.bitrix.auth import Webhook
from airflow_b24.bitrix.client import Client
from airflow_b24.bitrix.limits import Unpaced
from airflow_b24.ledger import payments, settlements
from airflow_b24.ledger.payments import NewPayment
from airflow_b24.ledger.portals import portal_id
from airflow_b24.ledger.schema import settlement
from airflow_b24.ledger.store import Store, make_engine
from airflow_b24.reconcile.desk import Desk, PaySystem
from airflow_b24.reconcile.matching import match_payments
from airflow_b24.sandbox import seed, server, stage_moves
from airflow_b24.sandbox.bank import OWN_ACCOUNT
from airflow_b24.sandbox.faults import Rule
from airflow_b24.sandbox.invoice import Invoice
from airflow_b24.sandbox.smart_invoice import SmartInvoice
from airflow_b24.sandbox.state import MOSCOW, State

TODAY = datetime.now(MOSCOW).date()
BILLED = TODAY - timedelta(days=9)
PAY, GET = "sale.paysystem.pay.invoice", "crm.invoice.get"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass
class Office:
    """The portal as a person or a fault would change it, the bank's money, and the desk that works between them."""

    state: State
    desk: Desk
    naps: list[float] = field(default_factory=list)
    today: date = TODAY
    deleted: dict[int, Invoice] = field(default_factory=dict)
    pay_system: PaySystem = field(default_factory=lambda: PaySystem(seed.REST_SYSTEM))

    @property
    def store(self) -> Store:
        return self.desk.store

    def bill(self, invoice_id: int = 2, price: str = "118.00", **changed: Any) -> Invoice:
        owners = {"company_id": 21, "my_company_id": seed.OWN_COMPANY, "billed_on": BILLED, "status_id": "S"}
        kept = {**owners, "pay_system_id": seed.BILL_SYSTEM, "number": f"2026/{invoice_id}", **changed}
        invoice = Invoice(invoice_id, price=Decimal(price), **kept)
        self.state.invoices[invoice_id] = invoice
        return invoice

    def person(self, invoice_id: int, status_id: str) -> None:
        self.state.invoices[invoice_id].save(status_id, self.state.sorts(), seed.ACCOUNTANT, datetime.now(MOSCOW))

    def smart_bill(
        self, invoice_id: int = 2, price: str = "118.00", funnel_id: int = 5, **changed: Any
    ) -> SmartInvoice:
        """A smart invoice on a portal that has such ones, of the id space of its own."""
        self.state.settings.smart_invoices = True
        number = changed.pop("number", f"2026/{invoice_id}")
        bill = seed.SmartBill(invoice_id, number, price, 21, (TODAY - BILLED).days, funnel_id, state=changed)
        seed.add_smart_invoice(self.state, bill, TODAY)
        return self.state.smart_invoices[invoice_id]

    def moves(self, invoice_id: int, stage_id: str, by: int = seed.ACCOUNTANT) -> None:
        """Somebody moves a smart invoice."""
        invoice = self.state.smart_invoices[invoice_id]
        stage = self.state.funnels[invoice.category_id].stage(stage_id)
        stage_moves.move(self.state, invoice, stage, by, datetime.now(MOSCOW))

    def delete(self, invoice_id: int) -> None:
        self.deleted[invoice_id] = self.state.invoices.pop(invoice_id)

    def fault(self, kind: str, times: int = 1, method: str = PAY, **details: Any) -> None:
        self.state.faults.rules.append(Rule(kind, method, times=times, **details))

    def new_payment(self, invoice_id: int = 2, key: str = "", amount: int = 11800, **changed: Any) -> NewPayment:
        words = f"Оплата по счету № 2026/{invoice_id} от {BILLED:%d.%m.%Y}"
        payer = {"payer_name": "ООО «Северный ветер»", "payer_tax_id": "7711000219", "payer_account": ""}
        money = {"amount": amount, "currency": "RUB", "exponent": 2, "booked_on": TODAY - timedelta(days=2)}
        fixed = {"account": OWN_ACCOUNT, "key": key or f"id:B{invoice_id}", "occurrence": 0, "remittance": words}
        return NewPayment(**{**fixed, **payer, **money, "document_number": "17", **changed})

    def receive(self, invoice_id: int = 2, key: str = "", amount: int = 11800, **changed: Any) -> int:
        new = self.new_payment(invoice_id, key, amount, **changed)
        with self.store.transaction() as connection:
            return payments.record(connection, new)[0]

    def match(self, mode: Any = "pay") -> dict[str, int]:
        return match_payments(self.desk, mode, TODAY)

    def ready(self, invoice_id: int = 2, price: str = "118.00", **changed: Any) -> int:
        """An invoice, its payment and their settlement."""
        self.bill(invoice_id, price, **changed)
        self.receive(invoice_id, amount=int(Decimal(price) * 100))
        self.match()
        return self.due()[invoice_id]

    def due(self) -> dict[int, int]:
        listed = settlements.due(self.store, self.desk.portal_id, limit=500)
        return {row["invoice_id"]: row["settlement_id"] for row in listed}

    def executed(self, invoice_id: int = 2) -> int:
        invoice = self.state.invoices.get(invoice_id) or self.deleted[invoice_id]
        return len(invoice.executed_pays)

    def asked(self, method: str) -> int:
        return sum(entry.method == method for entry in self.state.journal)

    def let_the_quiet_time_pass(self) -> None:
        with self.store.transaction() as connection:
            connection.execute(update(settlement).values(quiet_until=LONG_AGO, quiet_clock=None))

    def meet(self, alias: str) -> int:
        with self.store.transaction() as connection:
            return portal_id(connection, alias)

    def with_desk(self, **changes: Any) -> Office:
        return replace(self, desk=replace(self.desk, **changes))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[State, str]]:
    """A portal without invoices, and its webhook."""
    state = seed.portal(TODAY)
    state.settings.rate_limit = False
    with server.serving(state, tmp_path_factory.mktemp("sandbox")) as addresses:
        yield state, addresses.http + seed.webhook_path()


@pytest.fixture
def client(served: tuple[State, str]) -> Iterator[Callable[..., Client]]:
    """Makes clients of the portal, closed afterwards."""
    made: list[Client] = []

    def make(**options: Any) -> Client:
        made.append(Client(Webhook.parse(served[1]), **{"sleep": lambda _: None, **options}))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with its tables, to be copied: migrating it anew for each test would take most of their time."""
    path = tmp_path_factory.mktemp("migrated") / "ledger.db"
    Store.open(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def office(
    served: tuple[State, str], client: Callable[..., Client], migrated: Path, tmp_path: Path
) -> Iterator[Office]:
    state, _ = served
    for book in (state.invoices, state.smart_invoices, state.stage_history, state.payment_documents, state.comments):
        book.clear()  # type: ignore[attr-defined]
    state.faults.rules.clear()
    state.journal.clear()
    # A portal with legacy invoices alone, as older ones are.
    state.settings.smart_invoices, state.settings.legacy_invoices = False, True
    store = Store(make_engine(f"sqlite:///{shutil.copy(migrated, tmp_path)}"))
    with store.transaction() as connection:
        portal = portal_id(connection, "portal.example")
    naps: list[float] = []
    yield Office(state, Desk(store, client(), portal, Unpaced(), sleep=naps.append), naps)
    store.close()
