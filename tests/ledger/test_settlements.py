from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event as happens
from sqlalchemy import func, insert, inspect, select, update
from sqlalchemy.exc import IntegrityError

from airflow_b24.ledger import cases, events, moves, notes, payments, plain, settlements
from airflow_b24.ledger.errors import InvariantError
from airflow_b24.ledger.facts import Decision, Row
from airflow_b24.ledger.plain import Plain
from airflow_b24.ledger.portals import portal_id
from airflow_b24.ledger.schema import settlement
from airflow_b24.ledger.settlement import Patience
from airflow_b24.ledger.states import State
from airflow_b24.ledger.store import Store

Ready = Callable[..., int]
PATIENCE = Patience()
SENDING = Decision(State.SENDING, evidence={"marks": {"STATUS_ID": "S"}})
PAID = Decision(State.PAID, how="sent", in_flight=False)
UNKNOWN = Decision(State.UNKNOWN, answered=True)
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def force(store: Store, settlement_id: int, **values: Any) -> None:
    with store.transaction() as connection:
        connection.execute(update(settlement).where(settlement.c.id == settlement_id).values(**values))


def said(store: Store, settlement_id: int) -> list[str]:
    with store.snapshot() as connection:
        return [event["what"] for event in events.history(connection, settlement_id)]


def move(store: Store, row: Row, decision: Decision, pay_system: str = "31") -> Row | None:
    return moves.move(store, row, decision, PATIENCE, pay_system)


def asked(store: Store, **changed: Any) -> int:
    with store.transaction() as connection:
        portal = portal_id(connection, "portal.example")
    fixed: dict[str, Any] = {"kind": "legacy", "invoice_id": 9, "invoice_number": "9", "expected": 500}
    made = Plain(**{**fixed, "portal_id": portal, "currency": "RUB", "exponent": 2, **changed})
    return plain.open_plain(store, made)


def test_a_claim_raises_the_fence_and_brings_what_a_hand_payment_must_agree_with(store: Store, ready: Ready) -> None:
    row = moves.claim(store, ready(store))
    assert (row.state, row.fence, row.expected, row.currency) == (State.READY, 1, 11800, "RUB")
    assert (row.booked_on, row.document_number) == (datetime(2026, 11, 20).date(), "17")  # noqa: DTZ001 - a date
    assert abs(row.claimed_at - datetime.now(UTC)) < timedelta(minutes=1)


def test_sending_is_committed_with_its_snapshot_and_its_quiet_time(store: Store, ready: Ready) -> None:
    row = moves.claim(store, ready(store))
    move(store, row, SENDING)
    found = settlements.look(store, row.id)
    assert (found.state, found.in_flight, found.sends, found.snapshot) == (State.SENDING, True, 1, {"STATUS_ID": "S"})
    assert found.quiet_until is not None
    assert found.quiet_until - row.claimed_at >= timedelta(seconds=PATIENCE.quiet_s)


def test_a_whole_settlement_tells_its_story(store: Store, ready: Ready) -> None:
    row = moves.claim(store, ready(store))
    sent = move(store, row, SENDING)
    assert sent is not None
    paid = move(store, sent, PAID)
    assert paid is not None
    assert (paid.state, paid.how, paid.in_flight) == (State.PAID, "sent", False)
    assert said(store, row.id) == ["allocated", "claimed", "sending", "paid"]


@pytest.mark.parametrize("decision", [SENDING, PAID, Decision(State.REVIEW, reason="held")])
def test_after_a_second_claim_the_first_moves_nothing_but_is_remembered(
    store: Store, ready: Ready, decision: Decision
) -> None:
    first = moves.claim(store, ready(store))
    second = moves.claim(store, first.id)
    assert move(store, first, decision) is None
    assert settlements.look(store, first.id).fence == second.fence == 2
    assert said(store, first.id)[-1] == "observed"


def test_a_claim_of_what_is_sending_makes_it_unknown_and_shuts_the_sender_out(store: Store, ready: Ready) -> None:
    sent = move(store, moves.claim(store, ready(store)), SENDING)
    assert sent is not None
    second = moves.claim(store, sent.id)
    assert (second.state, second.in_flight) == (State.UNKNOWN, True)
    assert abs(second.quiet_until - sent.quiet_until) < timedelta(seconds=1)  # type: ignore[operator]
    assert move(store, sent, PAID) is None
    assert move(store, second, PAID) is not None


def test_a_claim_brings_the_portal_and_what_the_proof_rested_on(store: Store, ready: Ready) -> None:
    row = moves.claim(store, ready(store))
    assert (row.portal_id, row.identity) == (1, {"ACCOUNT_NUMBER": "2026/2"})
    assert settlements.look(store, asked(store)).identity is None


def test_the_pay_system_is_noted_with_the_send_and_with_nothing_else(store: Store, ready: Ready) -> None:
    row = moves.claim(store, ready(store))
    sent = move(store, row, SENDING, "31")
    assert sent is not None
    move(store, sent, PAID, "handler:other")
    with store.snapshot() as connection:
        assert connection.execute(select(settlement.c.pay_system)).scalar_one() == "31"


def ended(store: Store, settlement_id: int, **values: Any) -> None:
    # A later number was sent later.
    at = datetime.now(UTC) - timedelta(hours=9) + timedelta(minutes=settlement_id)
    force(store, settlement_id, **{"state": "paid", "how": "sent", "pay_system": "31", "quiet_until": at, **values})


UNPAID: dict[str, Any] = {"state": "review", "how": None, "reason": "true_but_unpaid"}


def test_the_record_of_a_pay_system_is_the_newest_first_and_no_longer_than_asked_for(
    store: Store, ready: Ready
) -> None:
    ends: list[dict[str, Any]] = [UNPAID, {}, UNPAID, {}]
    for invoice_id, values in enumerate(ends, start=1):
        ended(store, ready(store, invoice_id), **values)
    assert settlements.record_of(store, 1, "31", 3) == [True, False, True]
    assert settlements.record_of(store, 1, "31", 9) == [True, False, True, False]


@pytest.mark.parametrize(
    "values",
    [
        {"how": "by_hand"},
        {"quiet_until": LONG_AGO},
        {**UNPAID, "reason": "portal_refused"},
        {**UNPAID, "state": "released"},
        {"state": "released"},
        {"state": "unknown", "how": None},
        {"pay_system": "32"},
        {"pay_system": ""},
    ],
    ids=str,
)
def test_what_tells_nothing_of_the_pay_system_is_not_on_its_record(
    store: Store, ready: Ready, values: dict[str, Any]
) -> None:
    ended(store, ready(store), **values)
    assert settlements.record_of(store, 1, "31", 3) == []


def troubles(store: Store) -> object:
    with store.snapshot() as connection:
        return notes.troubles(connection)


def test_what_is_due_has_an_index_in_the_order_in_which_it_is_asked_for(store: Store) -> None:
    found = {each["name"]: each["column_names"] for each in inspect(store.engine).get_indexes("b24_settlement")}
    assert found["ix_b24_settlement_due"] == ["portal_id", "state", "fence", "id"]


@pytest.mark.parametrize(
    ("ask", "index"),
    [
        (
            lambda store: settlements.record_of(store, 1, "31", 3),
            "ix_b24_settlement_sent (portal_id=? AND pay_system=?",
        ),
        (lambda store: settlements.due(store, 1, 9), "ix_b24_settlement_due (portal_id=? AND state=?"),
        (troubles, "ix_b24_event_notes (what=?)"),
        (lambda store: notes.unwritten(store, 1, ["smart"], 9), "ix_b24_event_notes (what=? AND settlement_id=?)"),
    ],
    ids=["the record of a pay system", "what is due", "troubles", "what is written"],
)
def test_of_a_long_ledger_only_what_is_asked_for_is_read(
    tmp_path: Path, ask: Callable[[Store], object], index: str
) -> None:
    store, asked_for = Store.open(f"sqlite:///{tmp_path / 'ledger.db'}"), []
    happens.listen(store.engine, "before_cursor_execute", lambda *of: asked_for.append(of[2:4]))
    ask(store)
    statement, given = asked_for[-1]
    with store.snapshot() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given).all()
    assert any(index in line.detail for line in plan), plan
    assert not any(line.detail.startswith("SCAN") for line in plan), plan


def test_each_portal_has_its_own_record_of_a_pay_system(store: Store, ready: Ready) -> None:
    ended(store, ready(store))
    assert settlements.record_of(store, 2, "31", 3) == []


def test_the_same_decision_cannot_be_made_twice_under_one_fence(store: Store, ready: Ready) -> None:
    row = moves.claim(store, ready(store))
    assert move(store, row, SENDING) is not None
    assert move(store, row, SENDING) is None


@pytest.mark.parametrize("state", [State.PAID, State.REVIEW, State.RELEASED])
def test_what_has_ended_is_not_claimed(store: Store, ready: Ready, state: State) -> None:
    settlement_id = ready(store)
    force(store, settlement_id, state=state, how="sent")
    row = moves.claim(store, settlement_id)
    assert (row.state, row.fence, said(store, settlement_id)) == (state, 0, ["allocated"])


def test_a_step_outside_the_table_is_refused_and_writes_nothing(store: Store, ready: Ready) -> None:
    row = moves.claim(store, ready(store))
    with pytest.raises(InvariantError, match="ready -> unknown is not in the table"):
        move(store, row, UNKNOWN)
    assert said(store, row.id) == ["allocated", "claimed"]


@pytest.mark.parametrize("ask", [moves.claim, settlements.look])
def test_a_settlement_of_another_ledger_is_named(store: Store, ask: Callable[..., Row]) -> None:
    with pytest.raises(InvariantError, match="settlement_id=404 is not in this ledger"):
        ask(store, 404)


def test_a_held_settlement_cannot_move_to_sending_but_to_review(store: Store, ready: Ready) -> None:
    row = moves.claim(store, ready(store))
    with store.transaction() as connection:
        settlements.hold_for_payment(connection, 1, "amended")
    assert move(store, row, SENDING) is None
    assert settlements.look(store, row.id).state is State.READY
    assert move(store, row, Decision(State.REVIEW, reason="held")) is not None


def test_an_amended_payment_holds_its_settlement_in_the_same_transaction(
    store: Store, ready: Ready, payment: Callable[..., Any]
) -> None:
    row = moves.claim(store, ready(store))
    with store.engine.connect() as connection:
        assert payments.record(connection, payment("id:B2", amount=1))[1] == "amended"
        connection.rollback()
    assert settlements.look(store, row.id).hold is None
    with store.transaction() as connection:
        payments.record(connection, payment("id:B2", amount=1))
    assert settlements.look(store, row.id).hold == "amended"
    assert move(store, row, SENDING) is None


def test_an_amendment_does_not_hold_what_is_paid_but_opens_one_case(
    store: Store, ready: Ready, payment: Callable[..., Any]
) -> None:
    settlement_id = ready(store)
    force(store, settlement_id, state="paid", how="sent")
    for _ in range(2):
        with store.transaction() as connection:
            payments.record(connection, payment("id:B2", amount=1))
    assert settlements.look(store, settlement_id).hold is None
    with store.snapshot() as connection:
        [case] = cases.open_cases(connection)
    assert (case["settlement_id"], case["kind"], case["evidence"]) == (settlement_id, "amended", {"payment_id": 1})
    assert (case["invoice_number"], case["expected"], case["currency"]) == ("2026/2", 11800, "RUB")


@pytest.mark.parametrize("state", ["review", "unknown"])
def test_an_amendment_of_what_is_not_paid_is_a_hold_and_no_case(
    store: Store, ready: Ready, payment: Callable[..., Any], state: str
) -> None:
    settlement_id = ready(store)
    force(store, settlement_id, state=state)
    with store.transaction() as connection:
        payments.record(connection, payment("id:B2", amount=1))
        assert cases.open_cases(connection) == []
    assert settlements.look(store, settlement_id).hold == "amended"


def test_eight_threads_of_claims_have_one_winner_for_each_fence(store: Store, ready: Ready) -> None:
    settlement_id = ready(store)

    def attempts(_: int) -> list[int]:
        return [moves.claim(store, settlement_id).fence for _ in range(10)]

    with ThreadPoolExecutor(8) as pool:
        fences = [fence for won in pool.map(attempts, range(8)) for fence in won]
    assert sorted(fences) == list(range(1, 81))


def test_of_threads_that_hold_the_same_row_one_may_send(store: Store, ready: Ready) -> None:
    row = moves.claim(store, ready(store))
    with ThreadPoolExecutor(8) as pool:
        moved = list(pool.map(lambda _: move(store, row, SENDING), range(8)))
    assert sum(found is not None for found in moved) == 1
    assert settlements.look(store, row.id).sends == 1


def test_due_are_ready_ones_and_those_whose_quiet_time_is_over_least_tried_first(store: Store, ready: Ready) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    states: list[dict[str, Any]] = [
        # Tried most, though the portal's refusals do not count.
        {"fence": 3, "attempts": 0},
        {"state": "unknown", "quiet_until": LONG_AGO, "fence": 1, "attempts": 1},
        {"state": "unknown", "quiet_until": soon},
        {"state": "sending", "quiet_until": LONG_AGO},
        {"state": "sending", "quiet_until": soon},
        {"state": "review"},
        {"state": "paid", "how": "sent"},
        {"hold": "amended", "fence": 1, "attempts": 1},
    ]
    for invoice_id, values in enumerate(states, start=1):
        force(store, ready(store, invoice_id), **values)
    asked(store, invoice_id=99)
    found = settlements.due(store, 1, limit=10)
    assert [row["invoice_id"] for row in found] == [4, 2, 8, 1]
    assert found[0] == {"invoice_id": 4, "settlement_id": 4}
    assert settlements.due(store, 1, limit=2) == found[:2]
    assert settlements.due(store, 2, limit=10) == []
    assert [row["invoice_id"] for row in settlements.due(store, 1, limit=10, begun=True)] == [4, 2]


def test_an_invoice_has_one_live_settlement_and_paid_counts_as_live(store: Store, ready: Ready) -> None:
    settlement_id = ready(store)
    force(store, settlement_id, state="paid", how="sent")
    with store.snapshot() as connection:
        values = dict(connection.execute(select(settlement)).mappings().one())
        assert settlements.live_among(connection, 1, [("legacy", 1), ("legacy", 2), ("smart", 2)]) == {
            ("legacy", 2): False
        }
    del values["id"]
    with pytest.raises(IntegrityError), store.transaction() as connection:
        connection.execute(insert(settlement).values(**values))
    force(store, settlement_id, state="released")
    with store.transaction() as connection:
        assert settlements.live(connection, 1, "legacy", 2) is None
        connection.execute(insert(settlement).values(**values))


@pytest.mark.parametrize(
    "values",
    [
        {"state": "done"},
        {"state": "paid"},
        {"state": "paid", "how": "somehow"},
        {"kind": "other"},
        {"origin": "dream"},
        {"allocated": 1},
        {"allocated": 1, "state": "paid", "how": "sent"},
    ],
    ids=str,
)
def test_the_database_itself_refuses_a_settlement_that_contradicts_the_rules(
    store: Store, ready: Ready, values: dict[str, Any]
) -> None:
    settlement_id = ready(store)
    with pytest.raises(IntegrityError):
        force(store, settlement_id, **values)


def test_the_numbers_of_a_story_have_no_gap_and_no_double_under_threads(store: Store, ready: Ready) -> None:
    settlement_id = ready(store)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: moves.claim(store, settlement_id), range(8)))
    with store.snapshot() as connection:
        told = [event["seq"] for event in events.history(connection, settlement_id)]
        counted = connection.execute(select(func.count()).select_from(settlement)).scalar_one()
    assert (told, counted) == (list(range(1, 10)), 1)
