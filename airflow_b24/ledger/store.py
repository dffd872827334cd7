"""One database behind the ledger: SQLite by default, PostgreSQL when workers span machines.

Every writing transaction says so at its start (`BEGIN IMMEDIATE` on SQLite): a read lock that is upgraded later fails at
once under contention, whatever the timeout. One ledger never lives on a network file system.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, make_url, select, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import NullPool

from airflow_b24.ledger.errors import LedgerError

BUSY_TIMEOUT_S = 30


class Store:
    """Transactions and time of one ledger; cheap to make, not to be carried across a fork."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime] | None = None) -> None:
        """Use `clock` (UTC) instead of the host's, on SQLite: for simulations in a time of their own."""
        self.engine = engine.execution_options(b24_clock=clock) if clock else engine

    @classmethod
    def open(cls, url: str | URL) -> Store:
        """Connect and bring the tables up to date.

        Raises LedgerError when the database cannot be reached: a caller must then send nothing. The password in `url`
        never reaches an error.
        """
        from airflow_b24.ledger.migrations import upgrade  # noqa: PLC0415 - alembic is slow to import

        address = _address(url)
        store: Store | None = None
        try:
            _keep_private(address)
            store = cls(make_engine(address))
            upgrade(store)
        except Exception as error:
            if store is not None:
                store.close()
            if isinstance(error, LedgerError):
                raise
            # A password may stand among the options too; the driver's own text may quote all of it.
            where = address.set(query={}).render_as_string(hide_password=True)
            raise LedgerError(f"ledger {where} cannot be opened{_because(error)}") from None
        return store

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Write in one transaction, committed at the end of the block.

        Raises LedgerError when the database fails in the middle: whether it was committed is not known then.
        """
        with _in_our_words(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Read one consistent state; writes are undone."""
        with (
            _in_our_words(),
            self.engine.connect().execution_options(b24_read=True, **self._repeatable()) as connection,
        ):
            yield connection

    def _repeatable(self) -> dict[str, Any]:
        return {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}

    def beside(self, name: str) -> Store:
        """A database for what may be lost: on SQLite a file of its own, whose lock is not the ledger's.

        A power failure may undo its last transactions; on either database none waits for the disk.
        """
        if not self.is_sqlite:
            return Store(self.engine.execution_options(b24_relaxed=True))
        address = self.engine.url.set(database=f"{self.engine.url.database}-{name}")
        _keep_private(address)
        return Store(make_engine(address, relaxed=True), self.engine.get_execution_options().get("b24_clock"))

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    def close(self) -> None:
        self.engine.dispose()


def _because(error: Exception) -> str:
    """What a person can do about a database that does not open, without a word of the driver's."""
    if isinstance(error, ImportError):
        return ", its driver is missing: pip install 'airflow-b24[postgres]'"
    # Neither busy nor missing, which are its subclasses: the bytes are not a database's.
    if type(getattr(error, "orig", error)) is sqlite3.DatabaseError:
        return ": it is no ledger, or damaged; restore the newest copy, or correct ledger_url"
    return f" ({type(error).__name__}): check ledger_url"


@contextmanager
def _in_our_words() -> Iterator[None]:
    """Turn a database that cannot be used into LedgerError; what it refused as wrong stays its own error."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        what = type(getattr(error, "orig", None) or error).__name__
    else:
        return
    # Without the chain: a driver's text may quote the address.
    raise LedgerError(f"the ledger's database failed ({what}); nothing is sent until it answers again")


def utc_now(connection: Connection) -> datetime:
    """The ledger's own time: one clock for all workers of a PostgreSQL ledger, the host's for SQLite."""
    if connection.dialect.name == "sqlite":
        clock: Callable[[], datetime] = connection.get_execution_options().get("b24_clock") or _wall_clock
        return clock()
    # now() is the transaction's start and 1.5 s stale after a lock wait; clock_timestamp() is not.
    moment: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return moment.astimezone(UTC)


def _wall_clock() -> datetime:
    return datetime.now(UTC)


def has_own_clock(connection: Connection) -> bool:
    """Say whether the ledger was given a time of its own."""
    return connection.get_execution_options().get("b24_clock") is not None


def make_engine(url: str | URL, *, relaxed: bool = False) -> Engine:
    address = _address(url)
    if address.get_backend_name() == "sqlite":
        engine = create_engine(
            address, poolclass=NullPool, connect_args={"timeout": BUSY_TIMEOUT_S}, hide_parameters=True
        )
        event.listen(engine, "connect", _prepare_relaxed if relaxed else _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    if address.get_backend_name() == "postgresql":
        engine = create_engine(address, pool_pre_ping=True, hide_parameters=True)
        event.listen(engine, "begin", _begin_postgresql)
        return engine
    raise LedgerError(f"ledger_url names {address.get_backend_name()!r}: use sqlite or postgresql")


def _address(given: str | URL) -> URL:
    try:
        url = make_url(given)
    except (ArgumentError, ValueError):
        # SQLAlchemy quotes the piece it cannot read, which may be one of the password.
        fix = "write it like postgresql://user:password@host/database, with /, : and @ in the password as %2F, %3A and %40"
        raise LedgerError(f"ledger_url cannot be read: {fix}") from None
    # Airflow writes postgres:// and psycopg2 names; psycopg 3 is the driver we ship with.
    if url.drivername in {"postgres", "postgresql", "postgresql+psycopg2"}:
        return url.set(drivername="postgresql+psycopg")
    return url


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # pysqlite opens transactions by itself unless told not to; ours begin in _begin_sqlite.
    connection.isolation_level = None
    mode = _write_ahead(connection)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    if mode not in {"wal", "memory"} or connection.execute("PRAGMA synchronous").fetchone()[0] != 2:
        raise LedgerError("the SQLite ledger's disk refuses write-ahead logging: put it on a local disk")


def _write_ahead(connection: Any) -> str:
    """Switch a new file to its log; several who do so at once get in each other's way, and SQLite lets none of them wait."""
    until = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            mode: str = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return mode


def _prepare_relaxed(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    _write_ahead(connection)
    # Not OFF: a power failure must not damage the file.
    connection.execute("PRAGMA synchronous=NORMAL")


def _keep_private(address: URL) -> None:
    """Payers' names and tax ids are nobody else's: a new SQLite file is its owner's alone."""
    name = address.database
    if address.get_backend_name() == "sqlite" and name and name != ":memory:" and not address.query:
        Path(name).touch(mode=0o600, exist_ok=True)


def _begin_sqlite(connection: Connection) -> None:
    reading = connection.get_execution_options().get("b24_read")
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _begin_postgresql(connection: Connection) -> None:
    # `sending` must be on disk before the first byte leaves, whatever the server's default is.
    relaxed = connection.get_execution_options().get("b24_relaxed")
    connection.execute(text(f"SET LOCAL synchronous_commit TO {'off' if relaxed else 'on'}"))
