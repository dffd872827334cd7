"""Empty ledgers for processes that come and go: a copied SQLite file, or one PostgreSQL schema emptied each time."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, make_url, text

from airflow_b24.ledger.migrations import VERSION_TABLE
from airflow_b24.ledger.store import Store
from tests.processes.children import Children

POSTGRES = "B24_TEST_POSTGRES_URL"
DATABASES = ("sqlite", "postgresql")
BOTH = "both"
KEPT = frozenset({"b24_ledger", VERSION_TABLE})
# A new ledger's address; the ledger of before is gone.
Fresh = Callable[[], str]


def command(prog: str, doc: str | None) -> argparse.ArgumentParser:
    """A command that is told on which databases to run, and explained by its module's own words."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(f"python -m {prog}", description=doc, formatter_class=form)
    where = f"where the ledger is; PostgreSQL is the server {POSTGRES} names"
    parser.add_argument("--store", "--database", choices=[*DATABASES, BOTH], default=BOTH, help=where)
    parser.add_argument("--json", action="store_true", help="print one JSON object a store")
    return parser


def chosen(store: str) -> tuple[str, ...]:
    """The databases that `--store` means. Exits when there is no server for them."""
    wanted = DATABASES if store == BOTH else (store,)
    if "postgresql" in wanted and not os.environ.get(POSTGRES):
        sys.exit(f"{POSTGRES}: not set; name a PostgreSQL server there, or give --store sqlite")
    return wanted


@contextmanager
def ledgers(database: str, children: Children, folder: Path) -> Iterator[Fresh]:
    """Make empty ledgers of one kind; everything is removed at the end."""
    if database == "sqlite":
        yield _sqlite(children, folder)
        return
    server = make_url(os.environ[POSTGRES]).set(drivername="postgresql+psycopg")
    schema = f"b24_processes_{os.getpid()}"
    url = server.update_query_dict({"options": f"-csearch_path={schema}"}).render_as_string(hide_password=False)
    children.ask(lambda: _create(server, schema, url))
    try:
        yield lambda: children.ask(lambda: _empty(url))
    finally:
        children.ask(lambda: _execute(server, f"DROP SCHEMA IF EXISTS {schema} CASCADE"))


def _sqlite(children: Children, folder: Path) -> Fresh:
    template, ledger = folder / "template.db", folder / "ledger.db"
    children.ask(lambda: Store.open(f"sqlite:///{template}").close())

    def fresh() -> str:
        for left in folder.glob(f"{ledger.name}-*"):
            left.unlink()
        return f"sqlite:///{shutil.copy(template, ledger)}"

    return fresh


def _create(server: URL, schema: str, url: str) -> None:
    _execute(server, f"CREATE SCHEMA {schema}")
    Store.open(url).close()


def _empty(url: str) -> str:
    engine = create_engine(url)
    with engine.begin() as connection:
        empty(connection)
    engine.dispose()
    return url


def empty(connection: Connection) -> None:
    """Remove every row from a ledger on PostgreSQL; its name and version stay."""
    found = connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")).scalars()
    tables = ", ".join(name for name in found if name.startswith("b24_") and name not in KEPT)
    connection.execute(text("SET LOCAL lock_timeout TO '20s'"))
    # Events and words of people refuse to be deleted.
    for guarded in ("b24_event", "b24_dismissal", "b24_record_word"):
        connection.execute(text(f"ALTER TABLE {guarded} DISABLE TRIGGER USER"))
    connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY"))
    for guarded in ("b24_event", "b24_dismissal", "b24_record_word"):
        connection.execute(text(f"ALTER TABLE {guarded} ENABLE TRIGGER USER"))


def _execute(url: URL, statement: str) -> None:
    engine: Engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
