from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import update

from airflow_b24.ledger import schema
from airflow_b24.ledger import store as stores
from airflow_b24.ledger.errors import LedgerError
from airflow_b24.ledger.pace import LedgerPace
from airflow_b24.ledger.portals import portal_id
from airflow_b24.ledger.store import Store

FAR = 10_000.0


def portal(store: Store, name: str = "portal.example") -> int:
    with store.transaction() as connection:
        return portal_id(connection, name)


@pytest.fixture
def paced(store: Store) -> Callable[..., LedgerPace]:
    """Makes paces of one portal, as each worker has its own; nothing is kept of the burst if not said."""

    def make(**limits: float) -> LedgerPace:
        return LedgerPace(store, portal(store), **{"margin": 0, "urgent": 0, **limits})  # type: ignore[arg-type]

    return make


@pytest.fixture
def on_sqlite(migrated: Path, tmp_path: Path) -> Store:
    """A ledger in a file."""
    (tmp_path / "ledger.db").write_bytes(migrated.read_bytes())
    return Store(stores.make_engine(f"sqlite:///{tmp_path}/ledger.db"))


def wait_s(pace: LedgerPace, n: int, within_s: float = FAR, *, urgent: bool = False) -> float:
    return next(pace.reserve(n, within_s, urgent=urgent), 0.0)


def test_the_burst_starts_at_once_and_the_rest_in_turn(paced: Callable[..., LedgerPace]) -> None:
    pace = paced(per_second=2.0, burst=10, margin=1)
    waits = [wait_s(pace, 3) for _ in range(5)]
    assert waits == pytest.approx([0.0, 0.0, 0.0, 1.5, 3.0], abs=0.5)


@pytest.mark.parametrize(("per_second", "left"), [(0.5, 2), (2.0, 2), (5.0, 3), (70.0, 35)])
def test_room_is_left_for_what_comes_half_a_second_late_and_for_two_requests_at_least(
    store: Store, per_second: float, left: int
) -> None:
    assert LedgerPace(store, portal(store), per_second=per_second, burst=50, urgent=3).at_once == 50 - left - 3


def test_workers_together_are_given_the_rate_and_no_more(paced: Callable[..., LedgerPace]) -> None:
    def worker(_: int) -> list[float]:
        pace = paced(per_second=0.1, burst=12)
        return [wait_s(pace, 3) for _ in range(3)]

    with ThreadPoolExecutor(6) as pool:
        waits = sorted(wait for found in pool.map(worker, range(6)) for wait in found)
    # 30 s between one turn and the next: what the test itself takes is nothing to that.
    assert waits == pytest.approx([0.0] * 4 + [30.0 * place for place in range(1, 15)], abs=10.0)


def test_a_turn_survives_its_owner(paced: Callable[..., LedgerPace]) -> None:
    wait_s(paced(per_second=0.1, burst=3), 3)
    assert wait_s(paced(per_second=0.1, burst=3), 1) == pytest.approx(10.0, abs=3.0)


def test_who_would_wait_too_long_books_nothing(paced: Callable[..., LedgerPace]) -> None:
    pace = paced(per_second=0.1, burst=3)
    wait_s(pace, 3)
    for _ in range(3):
        assert wait_s(pace, 3, within_s=20.0) == pytest.approx(30.0, abs=3.0)
    assert wait_s(pace, 1, within_s=20.0) == pytest.approx(10.0, abs=3.0)


def test_a_refusal_holds_back_also_those_who_have_their_turn_already(paced: Callable[..., LedgerPace]) -> None:
    mine, others = paced(per_second=0.1, burst=3), paced(per_second=0.1, burst=3)
    wait_s(mine, 3)
    turn = mine.reserve(1, FAR)
    next(turn)
    others.push_back(7.0)
    assert list(turn) == [pytest.approx(7.0, abs=0.1)]
    assert wait_s(others, 1) == pytest.approx(27.0, abs=3.0)


def test_refusals_at_the_same_time_hold_back_once(paced: Callable[..., LedgerPace]) -> None:
    pace = paced(per_second=0.1, burst=3)
    wait_s(pace, 3)
    turn = pace.reserve(1, FAR)
    next(turn)
    for _ in range(64):
        pace.push_back(7.0)
    assert sum(turn) < 10.0


def test_what_is_urgent_goes_before_the_queue_which_moves_back(paced: Callable[..., LedgerPace]) -> None:
    pace = paced(per_second=0.1, burst=6, urgent=3)
    wait_s(pace, 3)
    turn = pace.reserve(3, FAR)
    assert next(turn) == pytest.approx(30.0, abs=3.0)
    assert wait_s(pace, 3, urgent=True) == 0.0
    assert list(turn) == [pytest.approx(30.0, abs=0.1)]


def test_a_hint_that_cannot_be_passed_on_is_no_error(on_sqlite: Store, tmp_path: Path) -> None:
    pace = LedgerPace(on_sqlite, portal(on_sqlite))
    (tmp_path / "ledger.db-pace").unlink()
    pace.push_back(3.0)
    with pytest.raises(LedgerError):
        wait_s(pace, 1)


def test_a_clock_that_ran_ahead_for_once_delays_nobody_for_long(paced: Callable[..., LedgerPace]) -> None:
    pace = paced(per_second=2.0, burst=3)
    wait_s(pace, 1)
    with pace._store.transaction() as connection:
        day = {name: schema.pace.c[name] + 86_400 for name in ("theoretical_arrival", "urgent_until", "held_until")}
        connection.execute(update(schema.pace).values(day))
    assert wait_s(pace, 1) == pytest.approx(0.5, abs=0.4)
    assert wait_s(pace, 1, urgent=True) < 3.0


def test_portals_do_not_share_a_bucket(store: Store) -> None:
    wait_s(LedgerPace(store, portal(store, "one.example"), per_second=0.1, burst=3), 3)
    assert wait_s(LedgerPace(store, portal(store, "two.example"), per_second=0.1, burst=8), 3) == 0.0


def test_on_sqlite_neither_pace_nor_ledger_waits_for_the_other(
    on_sqlite: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "BUSY_TIMEOUT_S", 0.05)
    number = portal(on_sqlite)
    for locked, other in (("ledger.db", "pace"), ("ledger.db-pace", "ledger")):
        pace = LedgerPace(on_sqlite, number)
        with closing(sqlite3.connect(tmp_path / locked, isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            assert (wait_s(pace, 1) if other == "pace" else portal(on_sqlite)) in {0.0, number}


def test_the_file_of_the_pace_is_its_owners_alone_and_may_be_lost(on_sqlite: Store, tmp_path: Path) -> None:
    number, file = portal(on_sqlite), tmp_path / "ledger.db-pace"
    wait_s(LedgerPace(on_sqlite, number, per_second=0.1, burst=3), 3)
    assert file.stat().st_mode & 0o777 == 0o600
    for left in tmp_path.glob("ledger.db-pace*"):
        left.unlink()
    assert wait_s(LedgerPace(on_sqlite, number, per_second=0.1, burst=8), 3) == 0.0


def test_a_damaged_file_of_the_pace_is_named_with_the_fix(on_sqlite: Store, tmp_path: Path) -> None:
    (tmp_path / "ledger.db-pace").write_bytes(b"no database, but long enough to be read as one" * 100)
    with pytest.raises(LedgerError, match=r"ledger\.db-pace is damaged: delete it"):
        LedgerPace(on_sqlite, portal(on_sqlite))


def test_a_transaction_of_the_pace_waits_for_no_disk(postgres_store: Store) -> None:
    pace = LedgerPace(postgres_store, portal(postgres_store))
    shown = []
    for store in (pace._store, postgres_store):
        with store.transaction() as connection:
            shown.append(connection.exec_driver_sql("SHOW synchronous_commit").scalar_one())
    assert shown == ["off", "on"]
