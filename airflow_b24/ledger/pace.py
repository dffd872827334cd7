"""One request budget per portal for every process that shares the ledger; the arithmetic is in `budget`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import ceil
from typing import Final

from sqlalchemy import Connection, select, update
from sqlalchemy.exc import DatabaseError

from airflow_b24.ledger.budget import Budget, Limit
from airflow_b24.ledger.errors import LedgerError
from airflow_b24.ledger.schema import pace
from airflow_b24.ledger.store import Store, utc_now
from airflow_b24.ledger.upsert import insert_if_absent

# What comes late, or is not counted because it was repeated, must find room all the same: so many, and so late.
MARGIN: Final = 2
LATE_S: Final = 0.5
# Enough to find out, at once, what became of one lost answer.
URGENT: Final = 3
KEPT: Final = ("theoretical_arrival", "stood_s", "urgent_until", "held_until")


class LedgerPace:
    """Hands out turns so that all workers together stay within the portal's leaky bucket; fits `bitrix.limits.Pace`.

    `per_second` and `burst` are our share of the portal's own figures. A turn survives a crash of its owner and leaks
    nothing: it is only a number in time, in a database that may be lost.
    """

    # docs: limits - a bucket of 50 that drains 2 a second, per portal and source address (Enterprise: 250 and 5).
    def __init__(
        self,
        ledger: Store,
        portal_id: int,
        *,
        per_second: float = 2.0,
        burst: int = 50,
        margin: int | None = None,
        urgent: int = URGENT,
    ) -> None:
        self._store = _beside(ledger)
        self._portal_id = portal_id
        self._mine = pace.c.portal_id == portal_id
        unused = max(MARGIN, ceil(LATE_S * per_second)) if margin is None else margin
        self.at_once = max(0, burst - unused - urgent)
        self._limit = Limit(1 / per_second, self.at_once / per_second, urgent / per_second)

    def reserve(self, n: int, within_s: float, *, urgent: bool = False) -> Iterator[float]:
        """Book n requests in a row; says how long to wait, again and again, until all of them may start.

        When the first of these is more than `within_s`, nothing was booked.
        """
        wait_s, stood_s = self._book(n, within_s, urgent=urgent)
        while wait_s > 0:
            yield wait_s
            before_s, stood_s = stood_s, stood_s if urgent else self._stood_s()
            wait_s = stood_s - before_s

    def push_back(self, seconds: float) -> None:
        """Nobody starts a request for so long: the portal refused one."""
        # That nobody else is told is no reason to lose the answer that the portal gave.
        with suppress(LedgerError), self._budget() as (connection, budget):
            self._save(connection, budget.hold(seconds))

    def _book(self, n: int, within_s: float, *, urgent: bool) -> tuple[float, float]:
        with self._budget() as (connection, budget):
            wait_s, booked = (budget.overtake if urgent else budget.queue)(n)
            if wait_s <= within_s:
                self._save(connection, booked)
            return wait_s, booked.stood_s

    @contextmanager
    def _budget(self) -> Iterator[tuple[Connection, Budget]]:
        """The budget, locked until the end of a transaction of its own."""
        with self._store.transaction() as connection:
            insert_if_absent(connection, pace, {"portal_id": self._portal_id, "theoretical_arrival": 0.0})
            mine = select(*(pace.c[name] for name in KEPT)).where(self._mine).with_for_update()
            found = connection.execute(mine).mappings().one()
            yield connection, Budget(self._limit, utc_now(connection).timestamp(), **found)

    def _save(self, connection: Connection, budget: Budget) -> None:
        connection.execute(update(pace).where(self._mine).values({name: getattr(budget, name) for name in KEPT}))

    def _stood_s(self) -> float:
        with self._store.snapshot() as connection:
            return connection.execute(select(pace.c.stood_s).where(self._mine)).scalar() or 0.0


def _beside(ledger: Store) -> Store:
    """Where the budgets are: on PostgreSQL in the ledger, on SQLite beside it, so that neither waits for the other's lock."""
    store = ledger.beside("pace")
    if store.is_sqlite:
        try:
            with store.transaction() as connection:
                pace.create(connection, checkfirst=True)
        except DatabaseError:
            raise LedgerError(
                f"{store.engine.url.database} is damaged: delete it, it holds nothing but the pace"
            ) from None
    return store
