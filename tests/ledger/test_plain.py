from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import update

from airflow_b24.ledger import events, plain, settlements
from airflow_b24.ledger.plain import Plain
from airflow_b24.ledger.portals import portal_id
from airflow_b24.ledger.schema import settlement
from airflow_b24.ledger.states import State
from airflow_b24.ledger.store import Store

Ready = Callable[..., int]


def force(store: Store, settlement_id: int, **values: Any) -> None:
    with store.transaction() as connection:
        connection.execute(update(settlement).where(settlement.c.id == settlement_id).values(**values))


def said(store: Store, settlement_id: int) -> list[str]:
    with store.snapshot() as connection:
        return [event["what"] for event in events.history(connection, settlement_id)]


def asked(store: Store, **changed: Any) -> int:
    with store.transaction() as connection:
        portal = portal_id(connection, "portal.example")
    fixed: dict[str, Any] = {"kind": "legacy", "invoice_id": 9, "invoice_number": "9", "expected": 500}
    made = Plain(**{**fixed, "portal_id": portal, "currency": "RUB", "exponent": 2, **changed})
    return plain.open_plain(store, made)


def test_a_plain_pay_is_opened_once_however_often_it_is_asked_for(store: Store) -> None:
    with ThreadPoolExecutor(4) as pool:
        ids = set(pool.map(lambda _: asked(store), range(8)))
    assert len(ids) == 1
    row = settlements.look(store, ids.pop())
    assert (row.origin, row.state, row.expected, row.booked_on) == ("manual", State.READY, 500, None)
    assert said(store, row.id) == ["asked"]


@pytest.mark.parametrize(("reason", "state"), [("cancelled", State.READY), ("restored", State.REVIEW)])
def test_a_plain_pay_asked_for_again_leaves_to_a_person_what_a_copy_had_under_way(
    store: Store, reason: str, state: State
) -> None:
    row_id = asked(store)
    force(store, row_id, state="review", reason=reason)
    plain.reopen_plain(store, settlements.look(store, row_id), 500, "RUB", 2)
    assert settlements.look(store, row_id).state is state


def test_a_plain_pay_of_a_matched_invoice_is_the_same_settlement(store: Store, ready: Ready) -> None:
    matched = ready(store)
    assert asked(store, invoice_id=2) == matched
    assert settlements.look(store, matched).origin == "match"


@pytest.mark.parametrize(
    ("changes", "state", "expected"),
    [
        ({"state": "review"}, State.READY, 700),
        ({"state": "review", "in_flight": True}, State.REVIEW, 500),
        ({"state": "paid", "how": "sent"}, State.PAID, 500),
        ({"state": "review", "fence": 7}, State.REVIEW, 500),
    ],
    ids=["nothing can have run", "a call may land", "paid", "somebody else took it up"],
)
def test_asking_again_reopens_a_review_only_when_nothing_can_have_run(
    store: Store, changes: dict[str, Any], state: State, expected: int
) -> None:
    row = settlements.look(store, asked(store))
    force(store, row.id, **changes)
    plain.reopen_plain(store, row, 700, "RUB", 2)
    found = settlements.look(store, row.id)
    assert (found.state, found.expected) == (state, expected)


def test_a_matched_review_is_not_reopened_by_asking_again(store: Store, ready: Ready) -> None:
    row = settlements.look(store, ready(store))
    force(store, row.id, state="review")
    plain.reopen_plain(store, row, 700, "RUB", 2)
    assert settlements.look(store, row.id).state is State.REVIEW
