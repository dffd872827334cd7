from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import URL, inspect, text

from airflow_b24.ledger.errors import LedgerError
from airflow_b24.ledger.migrations import VERSION_TABLE
from airflow_b24.ledger.schema import metadata
from airflow_b24.ledger.store import Store, make_engine


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
    assert sum(map(len, migrated.values())) == 10


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
