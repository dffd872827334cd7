"""The real ledger on SQLite, in memory, copied from a migrated one; triggers tell the history what became durable."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event
from sqlalchemy.pool import StaticPool

from airflow_b24.ledger import portals
from airflow_b24.ledger import store as ledger_store
from airflow_b24.ledger.store import Store
from tests.simulation.history import Changed, History, Moved
from tests.simulation.remembering import Memory

if TYPE_CHECKING:
    from tests.simulation.simulating import Simulation

HOST = "portal.example"
TABLES = ("settlement", "payment", "allocation", "raw", "outcome", "case", "event")
WATCHED = (
    "id",
    "kind",
    "invoice_id",
    "origin",
    "state",
    "fence",
    "sends",
    "attempts",
    "hold",
    "how",
    "reason",
    "expected",
    "currency",
    "allocated",
    "in_flight",
    "answered",
    "quiet_until",
)
AFTER = ", ".join(f"NEW.{name}" for name in WATCHED)
DIFFERS = " OR ".join(f"OLD.{name} IS NOT NEW.{name}" for name in WATCHED)
TRIGGERS = f"""
CREATE TRIGGER sim_made AFTER INSERT ON b24_settlement BEGIN SELECT sim_changed(NULL, {AFTER}); END;
CREATE TRIGGER sim_moved AFTER UPDATE ON b24_settlement WHEN {DIFFERS} BEGIN SELECT sim_changed(OLD.state, {AFTER}); END;
CREATE TRIGGER sim_allocated AFTER INSERT ON b24_allocation BEGIN
  SELECT sim_allocated(NEW.settlement_id, (SELECT key FROM b24_payment WHERE id = NEW.payment_id), NEW.amount);
END;
"""


class SqliteBooks:
    """One connection for the life of a process, filled anew for each seed."""

    fast = True
    portal_id = 1

    def __init__(self) -> None:
        self._template = _migrated()
        self._raw = sqlite3.connect(":memory:", check_same_thread=False)
        self.memory = Memory(self._raw)
        self._raw.create_function("sim_changed", 1 + len(WATCHED), self._changed)
        self._raw.create_function("sim_allocated", 3, self._allocated)
        self._pending: dict[int, tuple[str | None, tuple[Any, ...]]] = {}
        self._money: list[tuple[int, str, int]] = []
        self._engine = create_engine("sqlite://", creator=lambda: self._raw, poolclass=StaticPool)
        event.listen(self._engine, "connect", ledger_store._prepare_sqlite)
        event.listen(self._engine, "begin", ledger_store._begin_sqlite)
        event.listen(self._engine, "commit", self._committed)
        event.listen(self._engine, "rollback", self._rolled_back)

    @classmethod
    def of_this_process(cls) -> SqliteBooks:
        """The one that is kept for the life of a process: no connection outlives a fork."""
        return _books_of(os.getpid())

    def open(self, simulation: Simulation) -> Store:
        """A fresh ledger in the simulation's time."""
        self._simulation = simulation
        self._engine.connect().close()
        self._raw.deserialize(self._template)
        self.memory.forget()
        self._raw.execute("PRAGMA foreign_keys=ON")
        return Store(self._engine, clock=simulation.ledger_now)

    def settlements(self) -> list[dict[str, Any]]:
        return self._rows("settlement")

    def payments(self) -> list[dict[str, Any]]:
        return self._rows("payment")

    def cases(self) -> list[dict[str, Any]]:
        return self._rows("case")

    def last_rows(self, history: History) -> None:
        """Copy all rows into the history, for the checker."""
        for name, place in zip(
            TABLES,
            (
                history.settlements,
                history.payments,
                history.allocations,
                history.raws,
                history.outcomes,
                history.cases,
                history.events,
            ),
            strict=True,
        ):
            place.extend(self._rows(name))

    def _rows(self, name: str) -> list[dict[str, Any]]:
        cursor = self._raw.execute(f"SELECT * FROM b24_{name} ORDER BY id")
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def _changed(self, before: str | None, *after: Any) -> None:
        first = self._pending.get(after[0])
        self._pending[after[0]] = (before if first is None else first[0], after)

    def _allocated(self, settlement: int, key: str, amount: int) -> None:
        self._money.append((settlement, key, amount))

    def _committed(self, _connection: Any) -> None:
        simulation = self._simulation
        now, actor, entries = simulation.timeline.now, simulation.actor, simulation.entries
        for settlement, key, amount in self._money:
            entries.append(Moved(now, actor, settlement, key.removeprefix("id:"), amount))
        changes = [changed(now, actor, *each, simulation.seconds) for each in self._pending.values()]
        entries += changes
        self.memory.committed()
        self._clear()
        for each in changes:
            if each.before != each.after:
                simulation.happened(each.after)

    def _rolled_back(self, _connection: Any) -> None:
        self.memory.rolled_back()
        self._clear()

    def _clear(self) -> None:
        self._pending.clear()
        self._money.clear()


def changed(now: float, actor: str, before: str | None, after: tuple[Any, ...], seconds: Any) -> Changed:
    settlement, kind, invoice, origin, state, *rest, in_flight, answered, quiet_until = after
    # Names of states, whichever type the ledger has for them.
    return Changed(
        now,
        actor,
        settlement,
        (kind, invoice),
        origin,
        before and str(before),
        str(state),
        *rest,
        bool(in_flight),
        bool(answered),
        seconds(quiet_until),
    )


@cache
def _books_of(_process: int) -> SqliteBooks:
    return SqliteBooks()


@cache
def _migrated() -> bytes:
    """An empty ledger with one portal, as the product makes it; the same bytes for every seed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        store = Store.open(f"sqlite:///{path}")
        with store.transaction() as made:
            assert portals.portal_id(made, HOST) == SqliteBooks.portal_id
        store.close()
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA journal_mode=DELETE")
        # A trigger may name a function only where it is known.
        connection.create_function("sim_changed", 1 + len(WATCHED), lambda *_: None)
        connection.create_function("sim_allocated", 3, lambda *_: None)
        connection.executescript(TRIGGERS)
        whole = connection.serialize()
        connection.close()
    return whole
