"""The ledger's database fails in the middle of a settlement: nothing is sent that is not durably announced."""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, event, text

from airflow_b24.bitrix.auth import Webhook
from airflow_b24.bitrix.client import Client
from airflow_b24.bitrix.limits import Unpaced
from airflow_b24.ledger import settlements
from airflow_b24.ledger import store as stores
from airflow_b24.ledger.errors import LedgerError
from airflow_b24.ledger.pace import LedgerPace
from airflow_b24.ledger.settlement import Settled
from airflow_b24.ledger.states import State
from airflow_b24.ledger.store import Store, make_engine
from airflow_b24.reconcile.desk import Desk, PaySystem
from airflow_b24.reconcile.matching import match_payments
from airflow_b24.reconcile.settling import settle_matched
from airflow_b24.sandbox import seed, server
from airflow_b24.sandbox.state import State as Portal
from tests.processes.postgres_proxy import Line, broken_line
from tests.processes.sessions import Ledger
from tests.processes.stories import TODAY, Story, portal_state, receive

STORY = Story(1, 11800, 11800)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
# The transactions of one settlement, in their order, and where each leaves the row when it is lost.
TRANSACTIONS = {"pace": (1, "ready"), "claim": (2, "ready"), "sending": (3, "ready"), "paid": (4, "sending")}
DURABLE = {"pace": "ready", "claim": "ready", "sending": "sending", "paid": "paid"}
Fail = Callable[[int], Any]


@dataclass
class Counter:
    """A desk whose ledger is about to fail, and the portal's own books."""

    portal: Portal
    desk: Desk
    settlement_id: int

    def settle(self) -> Settled:
        return settle_matched(self.desk, self.settlement_id, STORY.invoice_id, PaySystem(seed.REST_SYSTEM))

    @property
    def executed(self) -> int:
        return len(self.portal.invoices[STORY.invoice_id].executed_pays)

    def recovered(self, store: Store) -> tuple[str, int]:
        """The state and the pays that ran, once the ledger is back and the quiet time is over."""
        with store.transaction() as connection:
            connection.execute(
                text("UPDATE b24_settlement SET quiet_until = :then, quiet_clock = NULL"), {"then": LONG_AGO}
            )
        healthy = replace(self.desk, store=store, pace=Unpaced())
        settled = replace(self, desk=healthy).settle()
        return str(settled.row.state), self.executed


@contextmanager
def counter(store: Store, url: str, folder: Path) -> Iterator[Counter]:
    """One story up to its settlement, over a healthy ledger; then the desk is the given store's."""
    portal = portal_state([STORY])
    portal_id = receive(url, "portal.example", [STORY])
    with (
        server.serving(portal, folder) as addresses,
        Client(Webhook.parse(addresses.http + seed.webhook_path()), sleep=lambda _: None) as client,
        closing(Store(make_engine(url))) as healthy,
    ):
        desk = Desk(healthy, client, portal_id, Unpaced(), sleep=lambda _: None)
        match_payments(desk, "pay", TODAY)
        (due,) = settlements.due(healthy, portal_id, 9)
        failing = replace(desk, store=store, pace=LedgerPace(store, portal_id, per_second=1000, burst=1000))
        yield Counter(portal, failing, due["settlement_id"])


@pytest.fixture
def line(postgres: URL) -> Iterator[Line]:
    with broken_line(str(postgres.host), postgres.port or 5432) as made:
        yield made


@pytest.fixture
def over_the_line(line: Line, ledger: Ledger, tmp_path: Path) -> Iterator[Counter]:
    direct = ledger.url.render_as_string(hide_password=False)
    proxied = ledger.url.set(host="127.0.0.1", port=line.port)
    with closing(Store(make_engine(proxied))) as store, counter(store, direct, tmp_path) as made:
        yield made


@pytest.mark.parametrize("answered", [False, True], ids=["lost on the way", "done and not told"])
@pytest.mark.parametrize("transaction", TRANSACTIONS)
def test_a_commit_whose_outcome_is_unknown_sends_nothing_and_is_settled_once_later(
    over_the_line: Counter, line: Line, ledger: Ledger, transaction: str, answered: bool
) -> None:
    place, lost = TRANSACTIONS[transaction]
    line.arm(place, after=answered)
    with pytest.raises(LedgerError):
        over_the_line.settle()
    line.arm(0, after=False)
    assert ledger.rows("SELECT state FROM b24_settlement") == [(DURABLE[transaction] if answered else lost,)]
    # Only what was announced before has run.
    assert over_the_line.executed == (1 if transaction == "paid" else 0)
    assert over_the_line.recovered(ledger.store) == (State.PAID, 1)


@pytest.mark.parametrize("transaction", TRANSACTIONS)
def test_a_database_that_goes_down_within_a_transaction_undoes_it(
    over_the_line: Counter, ledger: Ledger, transaction: str
) -> None:
    place, lost = TRANSACTIONS[transaction]
    _on_transaction(over_the_line.desk.store, place, lambda connection: _terminate(ledger, connection))
    with pytest.raises(LedgerError):
        over_the_line.settle()
    assert ledger.rows("SELECT state FROM b24_settlement") == [(lost,)]
    assert over_the_line.recovered(ledger.store) == (State.PAID, 1)


def _terminate(ledger: Ledger, connection: Any) -> None:
    pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    ledger.rows(f"SELECT pg_terminate_backend({pid}, 5000)")


def _on_transaction(store: Store, place: int, fail: Callable[[Any], object]) -> None:
    """Fail in the so-many-th writing transaction, right after it began."""
    begun = iter(range(1, 1000))

    def count(connection: Any) -> None:
        if not connection.get_execution_options().get("b24_read") and next(begun) == place:
            fail(connection)

    event.listen(store.engine, "begin", count)


@pytest.fixture
def sqlite_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(stores, "BUSY_TIMEOUT_S", 0.05)
    url = f"sqlite:///{tmp_path}/ledger.db"
    Store.open(url).close()
    return url


@contextmanager
def _locked(path: Path) -> Iterator[Callable[[Any], object]]:
    """Another process holds the ledger for longer than anybody waits: a backup by hand, a stopped worker."""
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        try:
            yield lambda _: other.execute("BEGIN IMMEDIATE")
        finally:
            other.rollback()


@contextmanager
def _full(path: Path) -> Iterator[Callable[[Any], object]]:
    """The disk takes no byte more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Another connection keeps the write-ahead log, as other workers do: it grows with each transaction.
    with closing(sqlite3.connect(path)) as other:
        other.execute("SELECT count(*) FROM sqlite_master").fetchone()
        log = path.with_name(f"{path.name}-wal")
        try:
            yield lambda _: resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size, hard))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("trouble", [_locked, _full], ids=["locked", "disk full"])
@pytest.mark.parametrize("transaction", TRANSACTIONS)
def test_an_sqlite_ledger_that_cannot_be_written_sends_nothing_more(
    sqlite_url: str, tmp_path: Path, transaction: str, trouble: Any
) -> None:
    place, lost = TRANSACTIONS[transaction]
    with closing(Store(make_engine(sqlite_url))) as store, counter(store, sqlite_url, tmp_path) as made:
        # The pace has a file of its own there; the ledger's transactions are those after it.
        at, place = (made.desk.pace._store, place) if transaction == "pace" else (store, place - 1)  # type: ignore[attr-defined]
        with trouble(Path(str(at.engine.url.database))) as fail:
            # A listener of ours comes after the store's own, which begins the transaction: too late to lock.
            _before_transaction(at, place, fail)
            with pytest.raises(LedgerError):
                made.settle()
        assert made.executed == (1 if transaction == "paid" else 0)
        with closing(Store(make_engine(sqlite_url))) as healthy:
            assert settlements.look(healthy, made.settlement_id).state == lost
            assert made.recovered(healthy) == (State.PAID, 1)


def _before_transaction(store: Store, place: int, fail: Callable[[Any], object]) -> None:
    begun = iter(range(1, 1000))

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement == "BEGIN IMMEDIATE" and next(begun) == place:
            fail(None)

    event.listen(store.engine, "before_cursor_execute", count)
