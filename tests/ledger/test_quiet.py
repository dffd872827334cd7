from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from airflow_b24.ledger import moves, quiet, settlements
from airflow_b24.ledger import store as ledger_store
from airflow_b24.ledger.facts import Decision
from airflow_b24.ledger.schema import settlement
from airflow_b24.ledger.settlement import Patience
from airflow_b24.ledger.states import State
from airflow_b24.ledger.store import Store

Ready = Callable[..., int]
SENDING = Decision(State.SENDING, evidence={"marks": {}})
TOMORROW = datetime.now(UTC) + timedelta(days=1)


def send(store: Store, settlement_id: int) -> None:
    row = moves.claim(store, settlement_id)
    assert moves.move(store, row, SENDING, Patience(), "31") is not None


def left_s(store: Store, settlement_id: int) -> float:
    row = settlements.look(store, settlement_id)
    assert row.quiet_until is not None
    return (row.quiet_until - row.claimed_at).total_seconds()


def test_it_lasts_window_deadline_and_server_run_from_the_commit(store: Store, ready: Ready) -> None:
    settlement_id = ready(store)
    send(store, settlement_id)
    assert Patience().quiet_s - 20 < left_s(store, settlement_id) <= Patience().quiet_s


def test_a_clock_set_forward_does_not_shorten_it(store: Store, ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    settlement_id = ready(store)
    send(store, settlement_id)
    if not store.is_sqlite:
        with store.snapshot() as connection:
            assert connection.execute(select(settlement.c.quiet_clock)).scalar_one() is None
        return
    monkeypatch.setattr(ledger_store, "_wall_clock", lambda: TOMORROW)
    assert left_s(store, settlement_id) > Patience().quiet_s - 20


def test_seconds_that_passed_are_counted_whatever_the_clock_says(
    store: Store, ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not store.is_sqlite:
        return
    settlement_id = ready(store)
    send(store, settlement_id)
    started = time.clock_gettime(time.CLOCK_BOOTTIME)
    monkeypatch.setattr(quiet.time, "clock_gettime", lambda _: started + 1000)
    assert left_s(store, settlement_id) < 0


def test_after_a_restart_of_the_machine_the_clock_counts_again(store: Store, ready: Ready) -> None:
    settlement_id = ready(store)
    send(store, settlement_id)
    with store.transaction() as connection:
        values = {"quiet_clock": "another-boot 999999999.0", "quiet_until": datetime.now(UTC) + timedelta(seconds=50)}
        connection.execute(update(settlement).values(**values))
    assert 30 < left_s(store, settlement_id) <= 50
