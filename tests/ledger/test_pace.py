from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from sqlalchemy import update

from airflow_b24.ledger import schema
from airflow_b24.ledger.pace import LONGEST_QUEUE_S, LedgerPace
from airflow_b24.ledger.portals import portal_id
from airflow_b24.ledger.store import Store


def portal(store: Store, name: str = "portal.example") -> int:
    with store.transaction() as connection:
        return portal_id(connection, name)


def fullest(starts: list[tuple[float, int]], per_second: float) -> float:
    """The highest level of the portal's leaky bucket when all these requests start at their instants."""
    level, highest = 0.0, 0.0
    for (before, _), (at, n) in pairwise([(min(starts)[0], 0), *sorted(starts)]):
        level = max(0.0, level - (at - before) * per_second) + n
        highest = max(highest, level)
    return highest


def test_the_burst_starts_at_once_and_the_rest_in_turn(store: Store) -> None:
    pace = LedgerPace(store, portal(store), per_second=2.0, burst=10, margin=1)
    now = time.monotonic()
    waits = [pace.reserve(3) - now for _ in range(5)]
    assert waits[2] == pytest.approx(0.0, abs=0.5)
    assert waits[3:] == pytest.approx([1.5, 3.0], abs=0.5)


def test_workers_together_never_overfill_the_bucket(store: Store) -> None:
    number = portal(store)

    def worker(index: int) -> list[tuple[float, int]]:
        pace = LedgerPace(store, number, per_second=50.0, burst=20, margin=2)
        return [(pace.reserve(n), n) for n in (1, 3, 1 + index % 3) * 3]

    with ThreadPoolExecutor(6) as pool:
        starts = [start for found in pool.map(worker, range(6)) for start in found]
    # The instants are given out before the clock is read, so a slow answer only makes them later.
    assert fullest(starts, 50.0) <= 20.0
    assert fullest(starts, 50.0) > 10.0


def test_a_reservation_survives_its_owner(store: Store) -> None:
    number = portal(store)
    LedgerPace(store, number, per_second=1.0, burst=3, margin=0).reserve(3)
    assert LedgerPace(store, number, per_second=1.0, burst=3, margin=0).reserve(1) - time.monotonic() > 0.5


def test_a_clock_that_ran_ahead_for_once_delays_nobody_for_long(store: Store) -> None:
    number = portal(store)
    pace = LedgerPace(store, number, per_second=2.0, burst=3, margin=0)
    pace.reserve(1)
    with store.transaction() as connection:
        connection.execute(update(schema.pace).values(theoretical_arrival=schema.pace.c.theoretical_arrival + 86_400))
    assert pace.reserve(1) - time.monotonic() == pytest.approx(LONGEST_QUEUE_S, abs=2.0)
    assert pace.reserve(1) - time.monotonic() == pytest.approx(LONGEST_QUEUE_S, abs=2.0)


def test_portals_do_not_share_a_bucket(store: Store) -> None:
    LedgerPace(store, portal(store, "one.example"), per_second=0.1, burst=3, margin=0).reserve(3)
    other = LedgerPace(store, portal(store, "two.example"), per_second=0.1, burst=3, margin=0)
    assert other.reserve(3) <= time.monotonic()
