"""Two sessions on one PostgreSQL ledger, stopped at named statements: every order of the two is made, none is hoped for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from sqlalchemy import URL, event, text

from airflow_b24.ledger import payments
from airflow_b24.ledger.store import Store, make_engine
from tests.processes.promises import payment, promise

T = TypeVar("T")
LONGEST_S = 20.0


class Session:
    """A ledger in a thread of its own, with one connection of its own name."""

    def __init__(self, url: URL, name: str, watcher: Store) -> None:
        self.name = f"b24-{name}-{id(self)}"
        self.store = Store(make_engine(url.update_query_dict({"application_name": self.name})))
        self._watcher = watcher
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._at = ""
        self._here, self._go = threading.Event(), threading.Event()
        event.listen(self.store.engine, "after_cursor_execute", self._stop)

    def start(self, work: Callable[[Store], T], *, stop_after: str = "") -> Future[T]:
        """Begin the work; it stops after the first statement that has this in it, until `go_on`."""
        self._at = stop_after
        self._here.clear()
        self._go.clear()
        return self._thread.submit(work, self.store)

    def wait_until_stopped(self) -> None:
        """Return when the work stands at its statement, its transaction open."""
        assert self._here.wait(LONGEST_S), f"the statement with {self._at!r} was never executed"

    def go_on(self) -> None:
        """Let the work continue."""
        self._go.set()

    def wait_until_blocked(self) -> None:
        """Return when PostgreSQL says that the work waits for a lock."""
        self._until("SELECT count(*) FROM pg_stat_activity WHERE application_name = :name AND wait_event_type = 'Lock'")

    def wait_until_committing(self) -> None:
        """Return when the work's COMMIT has reached the server and is being performed."""
        self._until("SELECT count(*) FROM pg_stat_activity WHERE application_name = :name AND query = 'COMMIT'")

    def kill_connection(self) -> None:
        """End the work's connection as an administrator would, or a server that goes down."""
        query = text("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = :name")
        with self._watcher.engine.connect() as connection:
            assert connection.execute(query, {"name": self.name}).scalar_one()

    def _until(self, query: str) -> None:
        ends = time.monotonic() + LONGEST_S
        while time.monotonic() < ends:
            with self._watcher.engine.connect() as connection:
                if connection.execute(text(query), {"name": self.name}).scalar_one():
                    return
        raise AssertionError(f"{self.name} never came to: {query}")

    def _stop(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if self._at and self._at in statement:
            self._at = ""
            self._here.set()
            assert self._go.wait(LONGEST_S), "nobody let it go on"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._go.set()
        self._thread.shutdown()
        self.store.close()


@dataclass
class Ledger:
    """The ledger as the test itself looks at it, beside the two sessions that meet in it."""

    url: URL
    store: Store
    portal: int
    first: Session
    second: Session

    def receive(self, key: str = "B1", **changed: Any) -> int:
        with self.store.transaction() as connection:
            return payments.record(connection, payment(key, **changed))[0]

    def ready(self, invoice_id: int = 2, key: str = "B1") -> int:
        (settlement_id,) = promise(self.store, self.portal, self.receive(key), invoice_id)
        return settlement_id

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.store.snapshot() as connection:
            return [tuple(row) for row in connection.execute(text(query))]
