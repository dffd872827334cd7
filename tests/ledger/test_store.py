from __future__ import annotations

import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text

from airflow_b24.ledger import cases, outcomes, statuses
from airflow_b24.ledger.errors import LedgerError
from airflow_b24.ledger.outcomes import Outcome
from airflow_b24.ledger.portals import portal_id
from airflow_b24.ledger.schema import portal
from airflow_b24.ledger.store import Store, utc_now

PASSWORD = "canary-4711"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://ledger:{PASSWORD}@127.0.0.1:1/ledger",
        f"postgresql+psycopg2://ledger:{PASSWORD}@127.0.0.1:1/ledger",
        f"postgresql://ledger:{PASSWORD}/x@127.0.0.1:1/ledger",
        f"postgresql://ledger@127.0.0.1:{PASSWORD}/ledger",
        f"ledger:{PASSWORD}",
        f"mysql://ledger:{PASSWORD}@127.0.0.1/ledger",
        f"postgresql+nothing://ledger:{PASSWORD}@127.0.0.1/ledger",
        f"nothing://ledger:{PASSWORD}@127.0.0.1/ledger",
        f"postgresql://ledger@127.0.0.1:1/ledger?password={PASSWORD}",
        "sqlite:////nowhere/at/all/ledger.db",
    ],
    ids=[
        "unreachable",
        "airflow's name",
        "slash",
        "port",
        "no url",
        "mysql",
        "no driver",
        "no backend",
        "option",
        "no folder",
    ],
)
def test_a_ledger_that_cannot_be_opened_says_so_without_its_password(url: str) -> None:
    with pytest.raises(LedgerError) as caught:
        Store.open(url)
    error = caught.value
    shown = "".join((str(error), repr(error), *traceback.format_exception(error)))
    assert PASSWORD not in shown
    assert "ledger" in str(error)


def test_an_open_ledger_does_not_show_its_password(postgres_url: object) -> None:
    store = Store.open(postgres_url.set(password=PASSWORD))  # type: ignore[attr-defined]
    assert PASSWORD not in repr(store.engine)
    store.close()


def test_what_fails_is_undone(store: Store) -> None:
    def fail() -> None:
        with store.transaction() as connection:
            connection.execute(insert(portal).values(created_at=utc_now(connection)))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with store.snapshot() as connection:
        assert connection.execute(select(portal)).all() == []


def test_what_a_snapshot_writes_is_undone(store: Store) -> None:
    with store.snapshot() as connection:
        connection.execute(insert(portal).values(created_at=utc_now(connection)))
    with store.snapshot() as connection:
        assert connection.execute(select(portal)).all() == []


def test_sqlite_writes_ahead_fully_synced_and_checks_references(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/ledger.db")
    with store.snapshot() as connection:
        pragmas = [connection.execute(text(f"PRAGMA {name}")).scalar_one() for name in PRAGMAS]
    assert pragmas == ["wal", 2, 1]


PRAGMAS = ("journal_mode", "synchronous", "foreign_keys")


def test_postgresql_commits_to_disk_whatever_the_default_is(postgres_store: Store) -> None:
    with postgres_store.transaction() as connection:
        connection.execute(text("SET SESSION synchronous_commit TO off"))
    with postgres_store.transaction() as connection:
        assert connection.execute(text("SHOW synchronous_commit")).scalar_one() == "on"


def test_the_ledgers_time_moves_within_a_transaction_and_is_utc(store: Store) -> None:
    with store.transaction() as connection:
        first, second = utc_now(connection), utc_now(connection)
    assert first < second
    assert (first.tzinfo, abs(second - datetime.now(UTC)) < timedelta(minutes=1)) == (UTC, True)


def test_threads_that_write_at_once_wait_for_one_another(store: Store) -> None:
    def write(_: int) -> None:
        with store.transaction() as connection:
            seen = len(connection.execute(select(portal)).all())
            connection.execute(insert(portal).values(created_at=utc_now(connection)))
            assert len(connection.execute(select(portal)).all()) > seen

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(24)))
    with store.snapshot() as connection:
        assert len(connection.execute(select(portal)).all()) == 24


def test_matching_says_the_same_thing_once_and_the_newest_word_counts(store: Store, receive: object) -> None:
    payment_id = receive(store)  # type: ignore[operator]
    no, yes = (
        Outcome(payment_id, "review", "no_reference", ["2026/2"], {"amount": "equal"}),
        Outcome(payment_id, "proven", "number_and_date", ["2026/2"]),
    )
    with store.transaction() as connection:
        portal = portal_id(connection, "portal.example")
        for said in (no, no, yes, no):
            outcomes.record_all(connection, portal, "shadow", [said])
        outcomes.record_all(connection, portal, "pay", [no])
        kept = connection.execute(text("SELECT mode, reason FROM b24_outcome ORDER BY id")).all()
        fate = statuses.payments(connection)
    assert [tuple(row) for row in kept] == [
        ("shadow", "no_reference"),
        ("shadow", "number_and_date"),
        ("shadow", "no_reference"),
        ("pay", "no_reference"),
    ]
    assert [(row["outcome_reason"], row["invoices"], row["settlements"]) for row in fate] == [
        ("no_reference", ["2026/2"], [])
    ]


def test_each_portal_has_its_own_last_word_and_the_newest_of_all_counts(store: Store, receive: object) -> None:
    payment_id = receive(store)  # type: ignore[operator]
    yes, no = Outcome(payment_id, "proven", "number_and_date"), Outcome(payment_id, "review", "unknown_reference")
    with store.transaction() as connection:
        one, other = portal_id(connection, "one.example"), portal_id(connection, "other.example")
        for portal, said in ((one, yes), (other, no), (one, yes), (other, no)):
            outcomes.record_all(connection, portal, "pay", [said])
        kept = connection.execute(text("SELECT portal_id, reason FROM b24_outcome ORDER BY id")).all()
        [fate] = statuses.payments(connection)
    assert [tuple(row) for row in kept] == [(one, "number_and_date"), (other, "unknown_reference")]
    assert fate["outcome_reason"] == "unknown_reference"


def test_a_case_of_one_kind_is_open_once(store: Store, ready: object) -> None:
    settlement_id = ready(store)  # type: ignore[operator]
    with store.transaction() as connection:
        for number in (1, 2):
            cases.open_case(connection, settlement_id, "reversed", {"number": number})
        cases.open_case(connection, settlement_id, "late", {})
        assert [(case["kind"], case["evidence"]) for case in cases.open_cases(connection)] == [
            ("reversed", {"number": 1}),
            ("late", {}),
        ]
        connection.execute(text("UPDATE b24_case SET closed_at = opened_at"))
        cases.open_case(connection, settlement_id, "reversed", {"number": 3})
        assert [case["evidence"] for case in cases.open_cases(connection)] == [{"number": 3}]


@pytest.mark.parametrize(
    "content", [b"a text of somebody's, longer than a header" * 40, b"SQLite format 3\0" + b"\xff" * 8192]
)
def test_a_file_that_is_no_ledger_is_told_as_one_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(content)
    with pytest.raises(
        LedgerError, match=r"ledger\.db cannot be opened: it is no ledger, or damaged; restore the newest"
    ):
        Store.open(f"sqlite:///{path}")
    assert path.read_bytes() == content


def test_a_missing_driver_is_told_with_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(LedgerError, match=r"its driver is missing: pip install 'airflow-b24\[postgres\]'") as caught:
        Store.open("postgresql://someone:canary@host/db")
    assert "canary" not in str(caught.value)
