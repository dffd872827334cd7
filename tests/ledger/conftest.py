"""Ledgers to test with: both databases, and a dictionary with the same rules for the pure conversation."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from airflow_b24.ledger import allocations, payments
from airflow_b24.ledger.facts import Decision, Row
from airflow_b24.ledger.payments import NewPayment
from airflow_b24.ledger.portals import portal_id
from airflow_b24.ledger.promise import Part, Promise
from airflow_b24.ledger.schema import metadata
from airflow_b24.ledger.settlement import Patience, applied
from airflow_b24.ledger.states import State
from airflow_b24.ledger.store import Store, make_engine

POSTGRES = "B24_TEST_POSTGRES_URL"
SCHEMAS = itertools.count(1)
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MARKS = {"PRICE": "118.00", "STATUS_ID": "S", "PAY_SYSTEM_ID": "6"}
Receive = Callable[..., int]


@pytest.fixture(scope="session")
def postgres() -> URL:
    """The PostgreSQL server of the tests; without one they are skipped."""
    given = os.environ.get(POSTGRES)
    if not given:
        pytest.skip(f"{POSTGRES} is not set: no PostgreSQL server to test on")
    url = make_url(given).set(drivername="postgresql+psycopg").update_query_dict({"connect_timeout": "3"})
    engine = create_engine(url)
    try:
        engine.connect().close()
    except OperationalError:
        pytest.skip(f"{POSTGRES}: the server cannot be reached")
    finally:
        engine.dispose()
    return url


@pytest.fixture
def postgres_url(postgres: URL) -> Iterator[URL]:
    """An empty schema of its own, dropped afterwards."""
    name = f"b24_test_{os.getpid()}_{next(SCHEMAS)}"
    engine = create_engine(postgres, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE SCHEMA {name}"))
        yield postgres.update_query_dict({"options": f"-csearch_path={name}"})
        connection.execute(text(f"DROP SCHEMA {name} CASCADE"))
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> URL:
    """A database without tables, of either kind."""
    if request.param == "sqlite":
        return make_url(f"sqlite:///{tmp_path}/ledger.db")
    url: URL = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture(scope="session")
def shared(postgres: URL) -> Iterator[Store]:
    """A ledger on PostgreSQL for the whole session: migrating a schema for each test would take most of their time."""
    name = f"b24_test_{os.getpid()}_shared"
    engine = create_engine(postgres, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE SCHEMA {name}"))
        opened = Store.open(postgres.update_query_dict({"options": f"-csearch_path={name}"}))
        yield opened
        opened.close()
        connection.execute(text(f"DROP SCHEMA {name} CASCADE"))
    engine.dispose()


@pytest.fixture
def emptied(shared: Store) -> Store:
    """The shared ledger without a row, its numbers beginning at 1 again."""
    with shared.transaction() as connection:
        # Events and words of people refuse to be deleted; what a failed test left open must not hang the next.
        connection.execute(text("SET LOCAL lock_timeout TO '5s'"))
        for guarded in ("b24_event", "b24_dismissal", "b24_record_word"):
            connection.execute(text(f"ALTER TABLE {guarded} DISABLE TRIGGER USER"))
        # The ledger keeps its name.
        rows = metadata.tables.keys() - {"b24_ledger"}
        connection.execute(text(f"TRUNCATE {', '.join(rows)} RESTART IDENTITY"))
        for guarded in ("b24_event", "b24_dismissal", "b24_record_word"):
            connection.execute(text(f"ALTER TABLE {guarded} ENABLE TRIGGER USER"))
    return shared


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite ledger with its tables, to be copied: migrating it anew for each test would take most of their time."""
    path = tmp_path_factory.mktemp("migrated") / "ledger.db"
    Store.open(f"sqlite:///{path}").close()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, migrated: Path, tmp_path: Path) -> Store:
    """A ledger with its tables, on either database."""
    if request.param == "sqlite":
        return Store(make_engine(f"sqlite:///{shutil.copy(migrated, tmp_path)}"))
    emptied: Store = request.getfixturevalue("emptied")
    return emptied


@pytest.fixture
def postgres_store(emptied: Store) -> Store:
    """A ledger on PostgreSQL, where transactions really overlap."""
    return emptied


@pytest.fixture
def payment() -> Callable[..., NewPayment]:
    """Makes a payment of 118.00 RUB; whatever matters is given by name."""

    def make(key: str = "id:B1", **changed: Any) -> NewPayment:
        texts = {"remittance": "invoice 2026/2", "payer_name": "", "payer_tax_id": "", "payer_account": ""}
        money = {"amount": 11800, "currency": "RUB", "exponent": 2}
        fixed = {"account": "40702", "occurrence": 0, "booked_on": date(2026, 11, 20), "document_number": "17"}
        return NewPayment(**{**fixed, **texts, **money, "key": key, **changed})

    return make


@pytest.fixture
def receive(payment: Callable[..., NewPayment]) -> Receive:
    """Records a payment; returns its id."""

    def record(store: Store, key: str = "id:B1", **changed: Any) -> int:
        with store.transaction() as connection:
            return payments.record(connection, payment(key, **changed))[0]

    return record


@pytest.fixture
def promise() -> Callable[..., Promise]:
    """Makes the promise of a payment to invoice 2 of the portal."""

    def make(store: Store, payment_id: int, invoice_id: int = 2, **changed: Any) -> Promise:
        with store.transaction() as connection:
            portal = portal_id(connection, "portal.example")
        number, amount, expected = f"2026/{invoice_id}", changed.pop("amount", 11800), changed.pop("expected", 11800)
        part = Part("legacy", invoice_id, number, amount, expected, {"ACCOUNT_NUMBER": number})
        words = {"rule": "number_and_date", "evidence": {}, "currency": "RUB", "exponent": 2}
        made = {**words, "payment_id": payment_id, "portal_id": portal, "parts": (part,)}
        return Promise(**{**made, **changed})

    return make


@pytest.fixture
def ready(receive: Receive, promise: Callable[..., Promise]) -> Callable[..., int]:
    """Receives a payment and promises it to an invoice; returns the id of the settlement."""

    def settle(store: Store, invoice_id: int = 2) -> int:
        (made,) = allocations.allocate(store, promise(store, receive(store, f"id:B{invoice_id}"), invoice_id))
        return made

    return settle


@dataclass
class Book:
    """A ledger in a dictionary, with a clock that the test moves."""

    rows: dict[int, Row] = field(default_factory=dict)
    now: datetime = NOON
    path: list[State] = field(default_factory=list)
    observed: list[Decision] = field(default_factory=list)

    def open(self, **changed: Any) -> Row:
        row = Row(
            id=len(self.rows) + 1,
            portal_id=1,
            kind="legacy",
            invoice_id=2,
            invoice_number="2026/2",
            origin="match",
            state=State.READY,
            fence=0,
            expected=11800,
            currency="RUB",
            exponent=2,
            created_at=self.now,
            claimed_at=self.now,
            booked_on=date(2026, 11, 20),
            document_number="17",
        )
        return self._keep(replace(row, **changed))

    def claim(self, settlement_id: int) -> Row:
        row = replace(self.rows[settlement_id], claimed_at=self.now)
        if row.state not in {State.READY, State.SENDING, State.UNKNOWN}:
            return row
        state = State.READY if row.state is State.READY else State.UNKNOWN
        return self._keep(replace(row, fence=row.fence + 1, attempts=row.attempts + 1, state=state))

    def look(self, settlement_id: int) -> Row:
        return replace(self.rows[settlement_id], claimed_at=self.now)

    def move(self, row: Row, decision: Decision, patience: Patience) -> Row | None:
        found, sending = self.rows[row.id], decision.state is State.SENDING
        if (found.fence, found.state) != (row.fence, row.state) or (sending and found.hold):
            self.observed.append(decision)
            return None
        quiet = {"quiet_until": self.now + timedelta(seconds=patience.quiet_s)} if sending else {}
        return self._keep(replace(found, **applied(row, decision), **quiet, claimed_at=self.now))

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def _keep(self, row: Row) -> Row:
        self.rows[row.id] = row
        self.path.append(row.state)
        return row


@pytest.fixture
def book() -> Book:
    return Book()
