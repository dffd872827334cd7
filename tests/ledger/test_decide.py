from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_b24.ledger.decide import (
    FINAL,
    REASONS,
    TRANSITIONS,
    Answered,
    Decision,
    Refused,
    Row,
    Seen,
    State,
    Unknown,
    after_sending,
    before_sending,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=3)
MARKS = {"PRICE": "118.00", "STATUS_ID": "S", "PAY_SYSTEM_ID": "6"}
BOOKED = date(2026, 11, 20)
IDENTITY = {"ACCOUNT_NUMBER": "2026/2", "UF_COMPANY_ID": "21", "UF_MYCOMPANY_ID": "7"}
OTHERS = {**IDENTITY, "UF_COMPANY_ID": "22"}

ROW = Row(
    id=1,
    portal_id=1,
    kind="legacy",
    invoice_id=2,
    invoice_number="2026/2",
    origin="match",
    state=State.READY,
    fence=1,
    expected=11800,
    currency="RUB",
    exponent=2,
    claimed_at=NOW,
    booked_on=BOOKED,
    document_number="17",
    identity=IDENTITY,
)
SENT = replace(ROW, state=State.SENDING, sends=1, in_flight=True, snapshot=MARKS, quiet_until=LATER)
LOST = replace(SENT, state=State.UNKNOWN)
QUIET = replace(LOST, quiet_until=NOW)
PLAIN = replace(ROW, origin="manual", booked_on=None, document_number="", identity=None)

UNPAID = Seen(paid=False, cancelled=False, amount=11800, currency="RUB", identity=IDENTITY, marks=MARKS)
PAID = replace(UNPAID, paid=True, paid_on=BOOKED)

READ_REFUSED = Refused("QUERY_LIMIT_EXCEEDED", "later", repeatable=True, wait_s=2.0)
SILENT = Unknown("reset")
SAID_TRUE = Answered()
TOO_FAST = READ_REFUSED
NO_ACCESS = Refused("insufficient_scope", "no", repeatable=True)
NO_INVOICE = Refused("ERROR_INTERNAL_INVOICE_NOT_FOUND", "no", repeatable=False, reason="invoice_not_found")

BEFORE: dict[str, tuple[Row, dict[str, Any], str, str | None]] = {
    "an open invoice at the expected price is sent": (ROW, {}, "sending", None),
    "a plain pay is sent": (PLAIN, {}, "sending", None),
    "a hold stops the send": (replace(ROW, hold="amended"), {}, "review", "held"),
    "a cancelled invoice is not sent": (ROW, {"cancelled": True}, "review", "cancelled"),
    "another price is not sent": (ROW, {"amount": 11801}, "review", "amount_changed"),
    "a price not exact in minor units is not sent": (ROW, {"amount": None}, "review", "amount_changed"),
    "another currency is not sent": (ROW, {"currency": "EUR"}, "review", "amount_changed"),
    "another number is not sent": (ROW, {"identity": {**IDENTITY, "ACCOUNT_NUMBER": "2026/3"}}, *("review", "invoice_changed")),
    "another customer is not sent": (ROW, {"identity": OTHERS}, "review", "invoice_changed"),
    "another company of ours is not sent": (ROW, {"identity": {**IDENTITY, "UF_MYCOMPANY_ID": "8"}}, *("review", "invoice_changed")),
    "an invoice that shows nothing of itself is not sent": (ROW, {"identity": None}, "review", "invoice_changed"),
    "a plain pay rests on no identity": (PLAIN, {"identity": OTHERS}, "sending", None),
    "lost and paid is ours": (LOST, {"paid": True}, "paid", "sent"),
    "lost and paid is ours at once, and after the quiet time": (QUIET, {"paid": True}, "paid", "sent"),
    "lost and paid in another price": (LOST, {"paid": True, "amount": 1}, "review", "paid_other_amount"),
    "lost and paid is a fact that a hold does not undo": (replace(LOST, hold="x"), {"paid": True}, "paid", "sent"),
    "lost and unpaid waits for the quiet time": (LOST, {}, "unknown", None),
    "lost, unpaid and cancelled waits as well": (LOST, {"cancelled": True}, "unknown", None),
    "lost, quiet and unpaid is sent again": (QUIET, {}, "sending", None),
    "lost, quiet and moved may have landed": (QUIET, {"marks": {**MARKS, "PAY_SYSTEM_ID": "31"}}, *("review", "landed_then_changed")),
    "lost, quiet and without marks may have landed": (QUIET, {"marks": None}, "review", "landed_then_changed"),
    "lost, quiet and held is not sent again": (replace(QUIET, hold="amended"), {}, "review", "held"),
    "lost, quiet and cancelled is not sent again": (QUIET, {"cancelled": True}, "review", "cancelled"),
    "lost, quiet and somebody else's is not sent again": (QUIET, {"identity": OTHERS}, "review", "invoice_changed"),
    "true, then unpaid, is never sent again": (replace(QUIET, answered=True), {}, "review", "true_but_unpaid"),
    "paid by hand on the day of booking": (ROW, {"paid": True, "paid_on": BOOKED}, "paid", "by_hand"),
    "paid by hand with the payment's number": (ROW, {"paid": True, "paid_on": BOOKED, "voucher_number": "17"}, *("paid", "by_hand")),
    "paid by hand with another number": (ROW, {"paid": True, "paid_on": BOOKED, "voucher_number": "18"}, *("review", "already_paid")),
    "paid by hand before the booking": (ROW, {"paid": True, "paid_on": date(2026, 11, 19)}, "review", "already_paid"),
    "paid by hand on an unknown day": (ROW, {"paid": True}, "review", "already_paid"),
    "paid by hand in another price": (ROW, {"paid": True, "paid_on": BOOKED, "amount": 1}, *("review", "paid_other_amount")),
    "paid by hand as somebody else's": (ROW, {"paid": True, "paid_on": BOOKED, "identity": OTHERS}, *("review", "invoice_changed")),
    "a plain pay found paid rests on no identity": (PLAIN, {"paid": True, "identity": OTHERS}, "paid", "by_hand"),
    "paid by hand while held": (replace(ROW, hold="amended"), {"paid": True, "paid_on": BOOKED}, "review", "held"),
    "a plain pay found paid asks for no proof": (PLAIN, {"paid": True, "voucher_number": "9"}, "paid", "by_hand"),
    "a plain pay found paid in another price": (PLAIN, {"paid": True, "amount": 1}, "review", "paid_other_amount"),
}  # fmt: skip

AFTER: dict[str, tuple[Any, Any, str, str | None]] = {
    "true and paid": (SAID_TRUE, PAID, "paid", "sent"),
    "silence and paid": (SILENT, PAID, "paid", "sent"),
    "true and paid in another price": (SAID_TRUE, replace(PAID, amount=1), "review", "paid_other_amount"),
    "true and paid in another currency": (SAID_TRUE, replace(PAID, currency="EUR"), "review", "paid_other_amount"),
    "true and unpaid": (SAID_TRUE, UNPAID, "review", "true_but_unpaid"),
    "true and unreadable": (SAID_TRUE, SILENT, "unknown", None),
    "true and the read refused": (SAID_TRUE, READ_REFUSED, "unknown", None),
    "silence and unpaid": (SILENT, UNPAID, "unknown", None),
    "silence and unreadable": (SILENT, SILENT, "unknown", None),
    "refused for now": (TOO_FAST, SILENT, "ready", None),
    "refused until a person acts": (NO_ACCESS, SILENT, "ready", None),
    "refused for good": (NO_INVOICE, SILENT, "review", "invoice_not_found"),
    "refused for good, unpaid": (NO_INVOICE, UNPAID, "review", "invoice_not_found"),
    "refused, yet paid: somebody else did it": (TOO_FAST, PAID, "paid", "by_hand"),
    "refused, yet paid long before": (TOO_FAST, replace(PAID, paid_on=date(2026, 1, 1)), "review", "already_paid"),
}


def said(decision: Decision) -> tuple[str, str | None]:
    return decision.state.value, decision.how or decision.reason


@pytest.mark.parametrize(("row", "shown", "state", "word"), BEFORE.values(), ids=BEFORE)
def test_a_fresh_read_decides(row: Row, shown: dict[str, Any], state: str, word: str | None) -> None:
    assert said(before_sending(row, replace(UNPAID, **shown), NOW)) == (state, word)


@pytest.mark.parametrize(("answer", "seen", "state", "word"), AFTER.values(), ids=AFTER)
def test_answer_and_read_back_decide(answer: Any, seen: Any, state: str, word: str | None) -> None:
    assert said(after_sending(SENT, answer, seen)) == (state, word)


def test_the_quiet_time_ends_on_its_instant() -> None:
    waiting = before_sending(LOST, UNPAID, LATER - timedelta(microseconds=1))
    assert waiting.state is State.UNKNOWN
    assert before_sending(LOST, UNPAID, LATER).state is State.SENDING


def test_true_is_remembered_when_it_cannot_be_read_back() -> None:
    assert after_sending(SENT, SAID_TRUE, SILENT).answered is True
    assert not after_sending(SENT, SILENT, SILENT).answered


def test_only_true_and_unpaid_asks_for_another_look() -> None:
    looks = {name for name, (answer, seen, *_) in AFTER.items() if after_sending(SENT, answer, seen).look_again}
    assert looks == {"true and unpaid"}


def test_a_refusal_says_that_nothing_is_on_its_way() -> None:
    assert after_sending(SENT, TOO_FAST, SILENT).in_flight is False


@pytest.mark.parametrize("seen", [UNPAID, SILENT])
def test_money_stays_in_flight_until_a_read_proves_it(seen: Any) -> None:
    assert after_sending(SENT, SILENT, seen).in_flight is None


def test_paid_leads_only_to_released_and_released_nowhere() -> None:
    assert TRANSITIONS[State.PAID] == {State.RELEASED}
    assert TRANSITIONS[State.RELEASED] == frozenset()
    assert {State.PAID, State.RELEASED} == FINAL


def test_the_table_is_the_one_of_the_docstring() -> None:
    table = {str(state): sorted(following) for state, following in TRANSITIONS.items()}
    assert table == {
        "collecting": ["ready", "released"],
        "ready": ["paid", "released", "review", "sending"],
        "sending": ["paid", "ready", "review", "unknown"],
        "unknown": ["paid", "review", "sending"],
        "review": ["paid", "ready", "released"],
        "paid": ["released"],
        "released": [],
    }


marks = st.sampled_from([MARKS, {**MARKS, "STATUS_ID": "P"}, {}, None])
identities = st.sampled_from([IDENTITY, OTHERS, None])
seen_states = st.builds(
    Seen,
    paid=st.booleans(),
    cancelled=st.booleans(),
    amount=st.sampled_from([11800, 11801, None]),
    currency=st.sampled_from(["RUB", "EUR"]),
    paid_on=st.sampled_from([None, date(2026, 11, 19), BOOKED]),
    voucher_number=st.sampled_from(["", "17", "18"]),
    identity=identities,
    marks=marks,
)
refusals = st.builds(
    Refused,
    code=st.just("X"),
    text=st.just("x"),
    repeatable=st.booleans(),
    reason=st.sampled_from(["portal_refused", "invoice_not_found"]),
    wait_s=st.sampled_from([None, 2.0]),
)
facts = st.one_of(seen_states, refusals, st.just(SILENT))
rows = st.builds(
    replace,
    st.just(ROW),
    origin=st.sampled_from(["match", "manual"]),
    hold=st.sampled_from([None, "amended"]),
    sends=st.integers(0, 3),
    answered=st.booleans(),
    in_flight=st.booleans(),
    identity=identities,
    snapshot=marks,
    quiet_until=st.sampled_from([None, NOW, LATER]),
    booked_on=st.sampled_from([None, BOOKED]),
    document_number=st.sampled_from(["", "17"]),
)


def check_promises(row: Row, decision: Decision, proof: Any) -> None:
    assert (decision.reason in REASONS) is (decision.state is State.REVIEW)
    if decision.state is State.PAID:
        assert decision.how in {"sent", "by_hand"}
        assert isinstance(proof, Seen)
        assert proof.paid
        assert (proof.amount, proof.currency) == (row.expected, row.currency)


@given(rows, st.sampled_from([State.READY, State.UNKNOWN]), seen_states)
def test_whatever_is_read_the_decision_lies_in_the_table(row: Row, state: State, seen: Seen) -> None:
    row = replace(row, state=state)
    decision = before_sending(row, seen, NOW)
    assert decision.state in TRANSITIONS[state] | {State.UNKNOWN}
    assert decision.state is not State.UNKNOWN or state is State.UNKNOWN
    check_promises(row, decision, seen)
    if decision.state is State.SENDING:
        assert not any((seen.paid, seen.cancelled, row.hold))
        assert (seen.amount, seen.currency) == (row.expected, row.currency)
    if decision.state is State.SENDING or decision.how == "by_hand":
        assert row.identity is None or row.identity == seen.identity
    if decision.state is State.SENDING and state is State.UNKNOWN:
        assert not row.answered
        assert row.quiet_until is None or row.quiet_until <= NOW


@given(rows, st.one_of(refusals, st.just(SILENT), st.just(SAID_TRUE)), facts)
def test_whatever_is_answered_the_decision_lies_in_the_table(row: Row, answer: Any, seen: Any) -> None:
    row = replace(row, state=State.SENDING)
    decision = after_sending(row, answer, seen)
    assert decision.state in TRANSITIONS[State.SENDING]
    check_promises(row, decision, seen)
    assert (decision.state is State.READY) <= isinstance(answer, Refused)
