"""What READ COMMITTED leaves open, and how the ledger closes it: two sessions in every order that matters."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from airflow_b24.ledger import moves, notes, payments, releases, rows
from airflow_b24.ledger.facts import Decision, Row
from airflow_b24.ledger.schema import settlement
from airflow_b24.ledger.settlement import Patience
from airflow_b24.ledger.states import State
from airflow_b24.ledger.store import Store
from tests.processes.promises import AMOUNT, payment, promise
from tests.processes.sessions import Ledger

PATIENCE = Patience()
SENDING = Decision(State.SENDING, evidence={"marks": {}})
SETTLEMENT, PAYMENT, EVENT = "UPDATE b24_settlement", "UPDATE b24_payment", "INSERT INTO b24_event"
OPENED = "INSERT INTO b24_settlement"


def send(row: Row) -> Callable[[Store], Row | None]:
    return lambda store: moves.move(store, row, SENDING, PATIENCE, "31")


def take_back(key: str = "B1") -> Callable[[Store], str]:
    """The bank delivers the payment again with another sum."""

    def amend(store: Store) -> str:
        with store.transaction() as connection:
            return payments.record(connection, payment(key, amount=AMOUNT - 1))[1]

    return amend


def state(ledger: Ledger) -> list[tuple[Any, ...]]:
    return ledger.rows("SELECT state, hold, fence FROM b24_settlement ORDER BY id")


def test_a_payment_taken_back_just_before_the_send_stops_it(ledger: Ledger) -> None:
    row = moves.claim(ledger.store, ledger.ready())
    amended = ledger.first.start(take_back(), stop_after=SETTLEMENT)
    ledger.first.wait_until_stopped()
    sent = ledger.second.start(send(row))
    ledger.second.wait_until_blocked()
    ledger.first.go_on()
    assert (amended.result(), sent.result()) == ("amended", None)
    assert state(ledger) == [("ready", "amended", 1)]


def test_a_payment_taken_back_just_after_the_send_leaves_its_veto_for_the_next(ledger: Ledger) -> None:
    row = moves.claim(ledger.store, ledger.ready())
    sent = ledger.first.start(send(row), stop_after=SETTLEMENT)
    ledger.first.wait_until_stopped()
    amended = ledger.second.start(take_back())
    ledger.second.wait_until_blocked()
    ledger.first.go_on()
    moved = sent.result()
    assert moved is not None
    assert (moved.state, amended.result()) == (State.SENDING, "amended")
    assert state(ledger) == [("sending", "amended", 1)]
    again = moves.claim(ledger.store, row.id)
    assert (again.state, send(again)(ledger.store)) == (State.UNKNOWN, None)


def test_a_send_that_overtakes_a_half_made_hold_is_still_held_afterwards(ledger: Ledger) -> None:
    row = moves.claim(ledger.store, ledger.ready())
    amended = ledger.first.start(take_back(), stop_after=PAYMENT)
    ledger.first.wait_until_stopped()
    assert send(row)(ledger.second.store) is not None
    ledger.first.go_on()
    assert amended.result() == "amended"
    assert state(ledger) == [("sending", "amended", 1)]


@pytest.mark.parametrize("first_commits", [True, False], ids=["first commits", "first dies"])
def test_one_payment_is_promised_to_one_of_two_invoices(ledger: Ledger, first_commits: bool) -> None:
    payment_id = ledger.receive()
    one = ledger.first.start(lambda store: promise(store, ledger.portal, payment_id, 2), stop_after=PAYMENT)
    ledger.first.wait_until_stopped()
    other = ledger.second.start(lambda store: promise(store, ledger.portal, payment_id, 3))
    ledger.second.wait_until_blocked()
    _end(ledger, one, first_commits)
    assert bool(other.result()) is not first_commits
    assert ledger.rows("SELECT allocated FROM b24_payment") == [(AMOUNT,)]
    assert ledger.rows("SELECT invoice_id FROM b24_settlement") == [(2 if first_commits else 3,)]


@pytest.mark.parametrize("first_commits", [True, False], ids=["first commits", "first dies"])
def test_one_invoice_gets_one_of_two_payments(ledger: Ledger, first_commits: bool) -> None:
    mine, theirs = ledger.receive("B1"), ledger.receive("B2")
    one = ledger.first.start(lambda store: promise(store, ledger.portal, mine, 2), stop_after=OPENED)
    ledger.first.wait_until_stopped()
    other = ledger.second.start(lambda store: promise(store, ledger.portal, theirs, 2))
    ledger.second.wait_until_blocked()
    _end(ledger, one, first_commits)
    assert bool(other.result()) is not first_commits
    used = [AMOUNT, 0] if first_commits else [0, AMOUNT]
    assert ledger.rows("SELECT allocated FROM b24_payment ORDER BY key") == [(each,) for each in used]
    assert ledger.rows("SELECT allocated, state FROM b24_settlement") == [(AMOUNT, "ready")]


def _end(ledger: Ledger, one: Any, commits: bool) -> None:
    if not commits:
        ledger.first.kill_connection()
    ledger.first.go_on()
    assert (one.exception() is None) is commits
    assert not commits or one.result()


def test_two_parts_that_come_at_once_make_one_whole(ledger: Ledger) -> None:
    mine, theirs = ledger.receive("B1"), ledger.receive("B2")

    def part(payment_id: int) -> Callable[[Store], tuple[int, ...]]:
        return lambda store: promise(store, ledger.portal, payment_id, 2, of=2 * AMOUNT)

    one = ledger.first.start(part(mine), stop_after=OPENED)
    ledger.first.wait_until_stopped()
    other = ledger.second.start(part(theirs))
    ledger.second.wait_until_blocked()
    ledger.first.go_on()
    assert one.result() == other.result() != ()
    assert ledger.rows("SELECT allocated, state FROM b24_settlement") == [(2 * AMOUNT, "ready")]


def test_of_two_parts_that_are_too_much_together_one_is_taken(ledger: Ledger) -> None:
    mine, theirs = ledger.receive("B1"), ledger.receive("B2")

    def part(payment_id: int) -> Callable[[Store], tuple[int, ...]]:
        return lambda store: promise(store, ledger.portal, payment_id, 2, of=2 * AMOUNT - 1)

    one = ledger.first.start(part(mine), stop_after=OPENED)
    ledger.first.wait_until_stopped()
    other = ledger.second.start(part(theirs))
    ledger.second.wait_until_blocked()
    ledger.first.go_on()
    assert (len(one.result()), other.result()) == (1, ())
    assert ledger.rows("SELECT allocated, state FROM b24_settlement") == [(AMOUNT, "collecting")]
    assert ledger.rows("SELECT allocated FROM b24_payment ORDER BY key") == [(AMOUNT,), (0,)]


def test_a_payment_for_several_invoices_meets_another_in_the_opposite_order_without_a_deadlock(ledger: Ledger) -> None:
    mine, theirs = ledger.receive("B1"), ledger.receive("B2")
    one = ledger.first.start(lambda store: promise(store, ledger.portal, mine, 2, 3), stop_after=OPENED)
    ledger.first.wait_until_stopped()
    other = ledger.second.start(lambda store: promise(store, ledger.portal, theirs, 3, 2))
    ledger.second.wait_until_blocked()
    ledger.first.go_on()
    assert (len(one.result()), other.result()) == (2, ())
    assert ledger.rows("SELECT allocated FROM b24_payment ORDER BY key") == [(AMOUNT,), (0,)]


def reviewed(ledger: Ledger) -> Row:
    row = moves.claim(ledger.store, ledger.ready())
    moved = moves.move(ledger.store, row, Decision(State.REVIEW, reason="amount_changed"), PATIENCE, "31")
    assert moved is not None
    return moved


@pytest.mark.parametrize("released_first", [True, False])
def test_a_release_and_a_hold_wait_for_each_other_and_never_in_a_circle(ledger: Ledger, released_first: bool) -> None:
    row = reviewed(ledger)
    works: list[Callable[[Store], Any]] = [lambda store: releases.release(store, row), take_back()]
    works = works if released_first else works[::-1]
    one = ledger.first.start(works[0], stop_after=SETTLEMENT if released_first else PAYMENT)
    ledger.first.wait_until_stopped()
    other = ledger.second.start(works[1])
    ledger.second.wait_until_blocked()
    ledger.first.go_on()
    one.result()
    other.result()
    assert ledger.rows("SELECT state FROM b24_settlement") == [("released",)]
    assert ledger.rows("SELECT allocated, held FROM b24_payment") == [(0, True)]


def test_of_two_people_who_release_the_same_one_frees_the_money_once(ledger: Ledger) -> None:
    row = reviewed(ledger)
    one = ledger.first.start(lambda store: releases.release(store, row), stop_after=SETTLEMENT)
    ledger.first.wait_until_stopped()
    other = ledger.second.start(lambda store: releases.release(store, row))
    ledger.second.wait_until_blocked()
    ledger.first.go_on()
    assert one.result().state is State.RELEASED
    assert "has moved meanwhile" in str(other.exception())
    assert ledger.rows("SELECT allocated FROM b24_payment") == [(0,)]


def test_a_claim_that_waits_for_a_send_finds_it_unknown(ledger: Ledger) -> None:
    row = moves.claim(ledger.store, ledger.ready())
    sent = ledger.first.start(send(row), stop_after=SETTLEMENT)
    ledger.first.wait_until_stopped()
    claimed = ledger.second.start(lambda store: moves.claim(store, row.id))
    ledger.second.wait_until_blocked()
    ledger.first.go_on()
    assert sent.result() is not None
    assert (claimed.result().state, claimed.result().fence) == (State.UNKNOWN, 2)


def test_a_send_that_waits_for_a_claim_is_fenced_off(ledger: Ledger) -> None:
    row = moves.claim(ledger.store, ledger.ready())
    claimed = ledger.first.start(lambda store: moves.claim(store, row.id), stop_after=SETTLEMENT)
    ledger.first.wait_until_stopped()
    sent = ledger.second.start(send(row))
    ledger.second.wait_until_blocked()
    ledger.first.go_on()
    assert (claimed.result().state, sent.result()) == (State.READY, None)
    assert ledger.rows("SELECT what FROM b24_event ORDER BY seq DESC LIMIT 1") == [("observed",)]


def test_two_that_would_write_on_one_invoice_take_it_one_after_the_other(ledger: Ledger) -> None:
    settlement_id = ledger.ready()
    with ledger.store.transaction() as connection:
        connection.execute(update(settlement).values(state="paid", how="sent"))
    first = ledger.first.start(lambda store: notes.take_all(store, [settlement_id]), stop_after=EVENT)
    ledger.first.wait_until_stopped()
    second = ledger.second.start(lambda store: notes.take_all(store, [settlement_id]))
    ledger.second.wait_until_blocked()
    ledger.first.go_on()
    assert ([row.id for row in first.result()], second.result()) == ([settlement_id], [])


def test_time_is_read_after_the_wait_for_a_lock(ledger: Ledger) -> None:
    row = moves.claim(ledger.store, ledger.ready())
    held = ledger.first.start(lock(row.id), stop_after="FOR UPDATE")
    ledger.first.wait_until_stopped()
    sent = ledger.second.start(send(row))
    ledger.second.wait_until_blocked()
    with ledger.store.snapshot() as connection:
        before = connection.execute(select(func.clock_timestamp())).scalar_one()
    ledger.first.go_on()
    held.result()
    moved = sent.result()
    assert moved is not None
    assert moved.quiet_until is not None
    assert moved.quiet_until - timedelta(seconds=PATIENCE.quiet_s) >= before


def lock(settlement_id: int) -> Callable[[Store], None]:
    """Hold the row's lock and change nothing."""

    def hold(store: Store) -> None:
        with store.transaction() as connection:
            rows.locked(connection, settlement_id)

    return hold
