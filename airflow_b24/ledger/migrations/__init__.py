"""Brings a ledger's tables up to date, once, however many workers open it at the same time."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from airflow_b24.ledger.errors import LedgerError

VERSION_TABLE = "b24_version"
# Any fixed number will do; it only has to be the same in every worker.
LOCK = 7_224_311


class Database(Protocol):
    """What a migration needs of the store that asks for it."""

    @property
    def is_sqlite(self) -> bool:
        """Say which of the two databases it is."""

    def snapshot(self) -> AbstractContextManager[Connection]:
        """Read one consistent state."""

    def transaction(self) -> AbstractContextManager[Connection]:
        """Write in one transaction."""


def upgrade(store: Database) -> None:
    """Create or migrate the tables; a ledger newer than this package is refused, never changed."""
    scripts = _scripts()
    with store.snapshot() as connection:
        if _current(connection) == scripts.get_current_head():
            return
    with store.transaction() as connection:
        if not store.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        _refuse_newer(connection, scripts)
        _run(connection, scripts)


def _scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", "airflow_b24.ledger:migrations")
    return ScriptDirectory.from_config(config)


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()


def _refuse_newer(connection: Connection, scripts: ScriptDirectory) -> None:
    current = _current(connection)
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        raise LedgerError(f"the ledger is at version {current}, unknown to this airflow-b24: upgrade the package")


def _run(connection: Connection, scripts: ScriptDirectory) -> None:
    config = Config()
    config.set_main_option("script_location", "airflow_b24.ledger:migrations")
    head = scripts.get_current_head()
    assert head is not None  # noqa: S101 - the package ships its migrations
    with EnvironmentContext(config, scripts, fn=lambda rev, _: scripts._upgrade_revs(head, rev)) as environment:
        environment.configure(connection=connection, version_table=VERSION_TABLE)
        environment.run_migrations()
