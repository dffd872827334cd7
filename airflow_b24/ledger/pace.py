"""One request budget per portal for every process that shares the ledger (GCRA: a leaky bucket in one number)."""

from __future__ import annotations

import time

from sqlalchemy import select, update

from airflow_b24.ledger.schema import pace
from airflow_b24.ledger.store import Store, utc_now
from airflow_b24.ledger.upsert import insert_if_absent

LONGEST_QUEUE_S = 600.0


class LedgerPace:
    """Hands out start times so that all workers together stay within the portal's leaky bucket.

    `per_second` and `burst` are the portal's own figures; `margin` requests of the burst are left to others.
    A reservation survives a crash of its owner and leaks nothing: it is only a number in time.
    """

    # docs: limits - a bucket of 50 that drains 2 a second, per portal and source address (Enterprise: 250 and 5).
    def __init__(
        self, store: Store, portal_id: int, *, per_second: float = 2.0, burst: int = 50, margin: int = 2
    ) -> None:
        self._store = store
        self._portal_id = portal_id
        self._interval = 1 / per_second
        self._allowance = (burst - margin) / per_second

    def reserve(self, n: int) -> float:
        """Reserve n requests; returns the monotonic second from which all of them may start."""
        with self._store.transaction() as connection:
            insert_if_absent(connection, pace, {"portal_id": self._portal_id, "theoretical_arrival": 0.0})
            mine = pace.c.portal_id == self._portal_id
            last: float = connection.execute(
                select(pace.c.theoretical_arrival).where(mine).with_for_update()
            ).scalar_one()
            now = utc_now(connection).timestamp()
            # A clock that ran ahead for once must not stop everybody until then.
            arrival: float = min(max(last, now), now + LONGEST_QUEUE_S) + n * self._interval
            connection.execute(update(pace).where(mine).values(theoretical_arrival=arrival))
        return time.monotonic() + max(0.0, arrival - self._allowance - now)
