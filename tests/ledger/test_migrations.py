from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.runtime.environment import EnvironmentContext
from sqlalchemy import URL, MetaData, Table, inspect, text

from airflow_b24.ledger import identity, migrations, outcomes
from airflow_b24.ledger.checking import check
from airflow_b24.ledger.errors import LedgerError
from airflow_b24.ledger.migrations import VERSION_TABLE
from airflow_b24.ledger.outcomes import Outcome
from airflow_b24.ledger.schema import metadata
from airflow_b24.ledger.store import Store, make_engine

DAY = date(2026, 11, 20)
MOMENT = datetime(2026, 11, 20, 9, 30, 0, 123456, tzinfo=UTC)
PROOF = {"paid": True, "amount": 11800, "currency": "RUB"}


@pytest.fixture
def store(ledger_url: URL) -> Iterator[Store]:
    """A ledger of its own, to be changed in ways that others must not see."""
    opened = Store.open(ledger_url)
    yield opened
    opened.close()


def checks(store: Store) -> dict[str, set[tuple[str | None, str]]]:
    found = inspect(store.engine)
    return {
        name: {(check["name"], check["sqltext"]) for check in found.get_check_constraints(name)}
        for name in metadata.tables
    }


def test_the_tables_made_by_migrations_are_those_of_the_schema(store: Store) -> None:
    with store.snapshot() as connection:
        options: dict[str, Any] = {"version_table": VERSION_TABLE, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []


def test_the_checks_made_by_migrations_are_those_of_the_schema(store: Store) -> None:
    migrated = checks(store)
    with store.transaction() as connection:
        metadata.drop_all(connection)
        metadata.create_all(connection)
    assert checks(store) == migrated
    assert sum(map(len, migrated.values())) == 12


def test_opening_again_changes_nothing(store: Store, ledger_url: URL) -> None:
    with store.transaction() as connection:
        connection.execute(text("INSERT INTO b24_portal (created_at) VALUES ('2026-11-22 12:00:00')"))
    again = Store.open(ledger_url)
    with again.snapshot() as connection:
        assert connection.execute(text("SELECT count(*) FROM b24_portal")).scalar_one() == 1
    again.close()


def test_workers_that_open_a_new_ledger_at_once_all_find_it_ready(ledger_url: URL) -> None:
    def open_and_close(_: int) -> None:
        store = Store.open(ledger_url)
        with store.snapshot() as connection:
            connection.execute(text("SELECT * FROM b24_settlement"))
        store.close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(open_and_close, range(6)))


def test_a_ledger_newer_than_the_package_is_refused_and_left_alone(store: Store, ledger_url: URL) -> None:
    with store.transaction() as connection:
        connection.execute(text("UPDATE b24_version SET version_num = '9999'"))
    with pytest.raises(LedgerError, match="version 9999, unknown to this airflow-b24: upgrade the package"):
        Store.open(ledger_url)
    with store.snapshot() as connection:
        assert connection.execute(text("SELECT version_num FROM b24_version")).scalar_one() == "9999"


def test_a_migration_that_fails_leaves_no_half_ledger(ledger_url: URL) -> None:
    engine = make_engine(ledger_url)
    with engine.begin() as connection:
        # Something in the way of the last table but one.
        connection.execute(text("CREATE TABLE b24_case (id INTEGER)"))
    with pytest.raises(LedgerError):
        Store.open(ledger_url)
    assert inspect(engine).get_table_names() == ["b24_case"]
    engine.dispose()


# One row and more of every table of the first version, in good order: a payment paid, one waiting, one ignored.
FIRST_ROWS: dict[str, list[dict[str, Any]]] = {
    "b24_portal": [{"id": 1}],
    "b24_portal_alias": [{"alias": "portal.example", "portal_id": 1}],
    "b24_pace": [{"portal_id": 1, "theoretical_arrival": 1.5}],
    "b24_cursor": [{"source": "bank", "watermark": DAY, "start_from": DAY}],
    "b24_payment": [
        {"id": 1, "key": "id:B1", "amount": 11800, "currency": "RUB", "exponent": 2, "allocated": 11800},
        {"id": 2, "key": "id:B2", "amount": 9_007_199_254_740_993, "currency": "JPY", "exponent": 0, "allocated": 0},
    ],
    "b24_raw": [
        {"id": 1, "digest": "1", "key": "id:B1", "verdict": "payment", "rule": "", "payment_id": 1},
        {"id": 2, "digest": "2", "key": "id:B1", "verdict": "payment", "rule": "", "payment_id": 1},
        {"id": 3, "digest": "3", "key": "id:B2", "verdict": "payment", "rule": "", "payment_id": 2},
        {"id": 4, "digest": "4", "key": "id:B2", "verdict": "quarantined", "rule": "amended", "payment_id": 2},
        {"id": 5, "digest": "5", "key": "", "verdict": "ignored", "rule": "not_a_credit", "payment_id": None},
    ],
    "b24_settlement": [
        {
            "id": 1,
            "invoice_id": 7,
            "state": "paid",
            "how": "sent",
            "sends": 1,
            "pay_system": "31",
            "snapshot": {"a": "ж"},
        }
    ],
    "b24_allocation": [{"id": 1, "settlement_id": 1, "payment_id": 1, "amount": 11800}],
    "b24_outcome": [
        {"id": 1, "payment_id": 1, "verdict": "proven", "invoices": ["2026/7"]},
        {"id": 2, "payment_id": 2, "verdict": "review", "invoices": []},
    ],
    "b24_event": [
        {"id": 1, "seq": 1, "what": "allocated", "state": "ready", "evidence": {}},
        {"id": 2, "seq": 2, "what": "sending", "state": "ready", "evidence": {}},
        {"id": 3, "seq": 3, "what": "paid", "state": "sending", "evidence": PROOF},
    ],
    "b24_case": [{"id": 1, "settlement_id": 1, "kind": "reversed", "evidence": {}, "closed_at": None}],
}
SHARED: dict[str, dict[str, Any]] = {
    "b24_payment": {
        "account": "40702",
        "occurrence": 0,
        "booked_on": DAY,
        "remittance": "счёт",
        "payer_name": "ООО",
        "payer_tax_id": "77",
        "payer_account": "1",
        "document_number": "17",
        "held": False,
    },
    "b24_raw": {"source": "bank", "occurrence": 0, "account": "40702", "body": "{}", "detail": "", "deliveries": 3},
    "b24_settlement": {
        "portal_id": 1,
        "kind": "legacy",
        "invoice_number": "2026/7",
        "origin": "match",
        "expected": 11800,
        "currency": "RUB",
        "exponent": 2,
        "allocated": 11800,
        "fence": 1,
        "attempts": 1,
        "in_flight": False,
        "answered": True,
        "quiet_until": MOMENT,
    },
    "b24_outcome": {"portal_id": 1, "mode": "pay", "reason": "number_and_date", "evidence": {}},
    "b24_event": {"settlement_id": 1, "fence": 1},
}


def tables(store: Store) -> dict[str, Table]:
    found = MetaData()
    found.reflect(store.engine)
    return {name: table for name, table in found.tables.items() if name.startswith("b24_") and name != VERSION_TABLE}


def everything(store: Store, named: Mapping[str, Sequence[str]]) -> dict[str, list[tuple[Any, ...]]]:
    """All rows, of the tables and columns named, as the driver gives them."""
    with store.snapshot() as connection:
        columns = {name: ", ".join(f'"{each}"' for each in of) for name, of in named.items()}
        return {
            name: [tuple(map(str, row)) for row in connection.execute(text(f"SELECT {of} FROM {name} ORDER BY 1"))]  # noqa: S608
            for name, of in columns.items()
        }


@pytest.fixture
def first(ledger_url: URL) -> Iterator[Store]:
    """A ledger as the first version left it, with rows in every table."""
    store = Store(make_engine(ledger_url))
    scripts = migrations._scripts()
    with store.transaction() as connection, EnvironmentContext(Config(), scripts) as environment:
        environment.configure(
            connection=connection, version_table=VERSION_TABLE, fn=lambda rev, _: scripts._upgrade_revs("0001", rev)
        )
        environment.run_migrations()
    found = tables(store)
    with store.transaction() as connection:
        for name, rows in FIRST_ROWS.items():
            times = {column.name: MOMENT for column in found[name].columns if column.name.endswith(("_at", "at"))}
            for row in rows:
                # The database numbers them itself, in this order.
                values = {**times, **SHARED.get(name, {}), **row}
                values.pop("id", None)
                connection.execute(found[name].insert().values(**values))
    yield store
    store.close()


def test_a_ledger_of_the_first_version_is_migrated_with_all_its_rows(first: Store, ledger_url: URL) -> None:
    assert set(FIRST_ROWS) == set(tables(first)), "a table of the first version has no row here"
    named = {name: table.columns.keys() for name, table in tables(first).items()}
    before = everything(first, named)
    assert all(before.values())
    opened = Store.open(ledger_url)
    assert everything(opened, named) == before
    opened.close()


def test_migrating_fills_in_what_each_record_was_read_as(first: Store, ledger_url: URL) -> None:
    opened = Store.open(ledger_url)
    found = everything(opened, {"b24_raw": ["id", "amount", "currency"]})["b24_raw"]
    assert found == [
        ("1", "11800", "RUB"),
        ("2", "11800", "RUB"),
        ("3", "9007199254740993", "JPY"),
        ("4", "None", "None"),
        ("5", "None", "None"),
    ]
    checked = check(opened)
    assert checked.violations == []
    assert [(each.currency, each.came_in) for each in checked.turnovers] == [
        ("JPY", 9_007_199_254_740_993),
        ("RUB", 11800),
    ]
    opened.close()


def test_a_migrated_ledger_has_a_name_and_goes_on_from_its_newest_event(first: Store, ledger_url: URL) -> None:
    opened = Store.open(ledger_url)
    with opened.snapshot() as connection:
        found = identity.read(connection)
    assert (len(found.id), found.mark) == (36, 3)
    with opened.transaction() as connection:
        # Not only kept: it can be written to again.
        said = Outcome(2, "part", "number_and_date", ["2026/8"])
        outcomes.record_all(connection, 1, "pay", [said])
    opened.close()
