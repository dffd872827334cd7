from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_b24.ledger import adoptions, events, identity, moves, settlements
from airflow_b24.ledger.adoptions import Found
from airflow_b24.ledger.checking import check
from airflow_b24.ledger.facts import Decision
from airflow_b24.ledger.portals import portal_id
from airflow_b24.ledger.settlement import Patience
from airflow_b24.ledger.states import State
from airflow_b24.ledger.store import Store

Ready = Callable[..., int]
SENDING = Decision(State.SENDING, evidence={"marks": {}})


def found(invoice_id: int = 2, **changed: Any) -> Found:
    seen = {"paid": True, "amount": 11800, "currency": "RUB"}
    money = {"expected": 11800, "currency": "RUB", "exponent": 2}
    return Found(
        **{"kind": "legacy", "invoice_id": invoice_id, "invoice_number": "N", **money, "evidence": seen, **changed}
    )


def portal(store: Store) -> int:
    with store.transaction() as connection:
        return portal_id(connection, "portal.example")


def unknown(store: Store, *invoice_ids: int) -> set[int]:
    known = portal(store)
    with store.snapshot() as connection:
        return adoptions.unknown_among(connection, known, "legacy", invoice_ids)


def live(store: Store, invoice_id: int = 2) -> int:
    with store.snapshot() as connection:
        made = settlements.live(connection, 1, "legacy", invoice_id)
    assert made is not None
    return made


def test_what_was_never_sent_from_here_is_unknown_whatever_its_state(store: Store, ready: Ready) -> None:
    row = moves.claim(store, ready(store, 2))
    assert unknown(store, 2, 3) == {2, 3}
    moves.move(store, row, SENDING, Patience(), "31")
    assert unknown(store, 2, 3) == {3}
    assert unknown(store) == set()


def test_an_adopted_invoice_is_paid_by_hand_with_its_story_and_takes_no_second_payment(store: Store) -> None:
    assert adoptions.adopt(store, portal(store), [found(2), found(3)]) == 2
    row = settlements.look(store, live(store))
    assert (row.state, row.how, row.reason, row.origin, row.sends) == (State.PAID, "by_hand", "adopted", "manual", 0)
    with store.snapshot() as connection:
        (event,) = events.history(connection, row.id)
    assert (event["what"], event["state"], event["evidence"]["paid"]) == ("adopted", "paid", True)
    assert unknown(store, 2, 3, 4) == {4}
    assert check(store).violations == []


def test_what_a_copy_had_under_way_goes_before_a_person(store: Store, ready: Ready) -> None:
    known = portal(store)
    waiting, lost, ended = (ready(store, invoice_id) for invoice_id in (2, 3, 4))
    moves.move(store, moves.claim(store, lost), SENDING, Patience(), "31")
    done = moves.claim(store, ended)
    moves.move(store, done, Decision(State.PAID, how="by_hand", evidence=found().evidence), Patience(), "")
    before = settlements.look(store, lost)
    passing = moves.claim(store, ready(store, 5))
    moves.move(store, passing, Decision(State.REVIEW, reason="cancelled"), Patience(), "")
    with store.snapshot() as connection:
        name = identity.read(connection).id
    assert adoptions.suspend(store, known, Patience()) == 3
    with store.snapshot() as connection:
        # The ledger that it was copied from may come back: it is another one.
        assert identity.read(connection).id != name
    for settlement_id, in_flight in ((waiting, False), (lost, True), (passing.id, False)):
        row = settlements.look(store, settlement_id)
        assert (row.state, row.reason, row.in_flight) == (State.REVIEW, "restored", in_flight)
        assert row.quiet_until is not None
        assert row.may_land
    assert settlements.look(store, ended).state is State.PAID
    # An attempt that is alive still, from before, can commit nothing any more.
    assert moves.move(store, before, Decision(State.UNKNOWN), Patience(), "") is None
    # The payments of this test were brought by no record.
    assert {violation.rule for violation in check(store).violations} == {"I4"}
    assert adoptions.suspend(store, known, Patience()) == 0


def test_adopting_again_changes_nothing(store: Store) -> None:
    known = portal(store)
    assert adoptions.adopt(store, known, [found()]) == 1
    assert adoptions.adopt(store, known, [found()]) == 0
    with store.snapshot() as connection:
        assert len(events.history(connection, live(store))) == 1


@pytest.mark.parametrize("reason", [None, "held"])
def test_a_settlement_that_is_there_already_keeps_its_state_and_its_money(
    store: Store, ready: Ready, reason: str | None
) -> None:
    made = ready(store)
    if reason:
        moves.move(store, moves.claim(store, made), Decision(State.REVIEW, reason=reason), Patience(), "")
    before = settlements.look(store, made)
    assert adoptions.adopt(store, before.portal_id, [found()]) == 1
    after = settlements.look(store, made)
    assert (live(store), after.state, after.expected, after.reason) == (made, before.state, 11800, reason)
    assert unknown(store, 2) == set()
    # Only the payment has no record here, as the fixture brings none.
    assert {violation.rule for violation in check(store).violations} == {"I4"}


def test_the_pay_systems_are_those_sent_through_and_those_shown_afterwards(store: Store, ready: Ready) -> None:
    known = portal(store)
    for invoice_id, through in ((2, "31"), (3, "handler:b24")):
        row = moves.claim(store, ready(store, invoice_id))
        sent = moves.move(store, row, SENDING, Patience(), through)
        assert sent is not None
        proof = {"paid": True, "amount": 11800, "currency": "RUB", "marks": {"PAY_SYSTEM_ID": str(40 + invoice_id)}}
        moves.move(store, sent, Decision(State.PAID, how="sent", evidence=proof), Patience(), through)
    moves.move(store, moves.claim(store, ready(store, 4)), SENDING, Patience(), "32")
    ready(store, 5)
    with store.snapshot() as connection:
        assert adoptions.pay_systems(connection, known) == {"31": {"42"}, "handler:b24": {"43"}, "32": set()}
        assert adoptions.pay_systems(connection, known + 1) == {}
