from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_b24.ledger.decide import (
    after_sending,
    as_sent,
    bears_our_mark,
    before_sending,
    confirmed,
    is_overtaken,
    may_be_partial,
    retried,
    reviewed,
)
from airflow_b24.ledger.facts import Answered, Decision, Fact, Key, Refused, Row, Seen, Sibling, Unknown
from airflow_b24.ledger.settlement import applied
from airflow_b24.ledger.states import FINAL, PASSING, REASONS, TRANSITIONS, State

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
    created_at=NOW,
    claimed_at=NOW,
    booked_on=BOOKED,
    document_number="17",
    identity=IDENTITY,
)
SENT = replace(ROW, state=State.SENDING, attempts=3, sends=1, in_flight=True, snapshot=MARKS, quiet_until=LATER)
LOST = replace(SENT, state=State.UNKNOWN)
QUIET = replace(LOST, quiet_until=NOW)
PLAIN = replace(ROW, origin="manual", booked_on=None, document_number="", identity=None)

UNPAID = Seen(paid=False, cancelled=False, amount=11800, currency="RUB", identity=IDENTITY, marks=MARKS)
PAID = replace(UNPAID, paid=True, paid_on=BOOKED)

SILENT = Unknown("reset")
SAID_TRUE = Answered()
TOO_FAST = Refused("QUERY_LIMIT_EXCEEDED", "five a second", repeatable=True, wait_s=2.0, is_busy=True)
TOO_LATE = Refused("SEND_WINDOW_PASSED", "no", repeatable=True, wait_s=2.0)
NO_ACCESS = Refused("insufficient_scope", "no", repeatable=True)
NO_INVOICE = Refused("ERROR_INTERNAL_INVOICE_NOT_FOUND", "no", repeatable=False, reason="invoice_not_found")

READY = Decision(State.READY, attempts=0)
SENDING = Decision(State.SENDING)
UNKNOWN = Decision(State.UNKNOWN)
OURS = Decision(State.PAID, how="sent", in_flight=False)
BY_HAND = Decision(State.PAID, how="by_hand", in_flight=False)
DONE_BY_HAND = {"paid": True, "paid_on": BOOKED}


def review(reason: str, **more: Any) -> Decision:
    return Decision(State.REVIEW, reason=reason, **more)


def nothing_sent(reason: str) -> Decision:
    return review(reason, in_flight=False)


def shown(seen: Seen) -> dict[str, Any]:
    known = {"paid_on": seen.paid_on and str(seen.paid_on), "identity": seen.identity or {}, "marks": seen.marks or {}}
    return {**asdict(seen), **known}


BEFORE: dict[str, tuple[Row, dict[str, Any], Decision]] = {
    "an open invoice at the expected price is sent": (ROW, {}, SENDING),
    "a plain pay is sent": (PLAIN, {}, SENDING),
    "a hold stops the send": (replace(ROW, hold="amended"), {}, review("held")),
    "a cancelled invoice is not sent": (ROW, {"cancelled": True}, review("cancelled")),
    "another price is not sent": (ROW, {"amount": 11801}, review("amount_changed")),
    "a price not exact in minor units is not sent": (ROW, {"amount": None}, review("amount_changed")),
    "another currency is not sent": (ROW, {"currency": "EUR"}, review("amount_changed")),
    "another number is not sent": (ROW, {"identity": {**IDENTITY, "ACCOUNT_NUMBER": "2026/3"}}, review("invoice_changed")),
    "another customer is not sent": (ROW, {"identity": OTHERS}, review("invoice_changed")),
    "another company of ours is not sent": (ROW, {"identity": {**IDENTITY, "UF_MYCOMPANY_ID": "8"}}, review("invoice_changed")),
    "an invoice that shows nothing of itself is not sent": (ROW, {"identity": None}, review("invoice_changed")),
    "a plain pay rests on no identity": (PLAIN, {"identity": OTHERS}, SENDING),
    "lost and paid is ours": (LOST, {"paid": True}, OURS),
    "lost and paid is ours at once, and after the quiet time": (QUIET, {"paid": True}, OURS),
    "lost and paid with the payment's number": (LOST, {"paid": True, "voucher_number": "17"}, OURS),
    "lost and paid with another payment's number": (LOST, {"paid": True, "voucher_number": "18"}, review("already_paid")),
    "lost and paid with the number it had before": (
        replace(LOST, snapshot={**MARKS, "PAY_VOUCHER_NUM": "18"}), {"paid": True, "voucher_number": "18"}, OURS,
    ),
    "lost and paid in another price": (LOST, {"paid": True, "amount": 1}, review("paid_other_amount")),
    "lost and paid as somebody else's": (LOST, {"paid": True, "identity": OTHERS}, review("invoice_changed")),
    "lost and paid is a fact that a hold does not undo": (replace(LOST, hold="x"), {"paid": True}, OURS),
    "lost and unpaid waits for the quiet time": (LOST, {}, UNKNOWN),
    "lost, unpaid and cancelled waits as well": (LOST, {"cancelled": True}, UNKNOWN),
    "lost, quiet and unpaid is sent again": (QUIET, {}, SENDING),
    "lost, with no quiet time known, is sent again": (replace(LOST, quiet_until=None), {}, SENDING),
    "lost, quiet and never marked is sent again": (replace(QUIET, snapshot=None), {"marks": None}, SENDING),
    "lost, quiet and held is not sent again": (replace(QUIET, hold="amended"), {}, review("held")),
    "lost, quiet and cancelled is not sent again": (QUIET, {"cancelled": True}, review("cancelled")),
    "lost, quiet and somebody else's is not sent again": (QUIET, {"identity": OTHERS}, review("invoice_changed")),
    "true, then unpaid, is never sent again": (replace(QUIET, answered=True), {}, review("true_but_unpaid")),
    "paid by hand on the day of booking": (ROW, DONE_BY_HAND, BY_HAND),
    "paid by hand after the booking": (ROW, {"paid": True, "paid_on": date(2026, 11, 21)}, BY_HAND),
    "paid by hand with the payment's number": (ROW, {**DONE_BY_HAND, "voucher_number": "17"}, BY_HAND),
    "paid by hand with another number": (ROW, {**DONE_BY_HAND, "voucher_number": "18"}, nothing_sent("already_paid")),
    "paid by hand before the booking": (ROW, {"paid": True, "paid_on": date(2026, 11, 19)}, nothing_sent("already_paid")),
    "paid by hand on an unknown day": (ROW, {"paid": True}, nothing_sent("already_paid")),
    "paid by hand, booked on an unknown day": (replace(ROW, booked_on=None), DONE_BY_HAND, nothing_sent("already_paid")),
    "paid by hand in another price": (ROW, {**DONE_BY_HAND, "amount": 1}, nothing_sent("paid_other_amount")),
    "paid by hand in another currency": (ROW, {**DONE_BY_HAND, "currency": "EUR"}, nothing_sent("paid_other_amount")),
    "paid by hand as somebody else's": (ROW, {**DONE_BY_HAND, "identity": OTHERS}, nothing_sent("invoice_changed")),
    "a plain pay found paid rests on no identity": (PLAIN, {"paid": True, "identity": OTHERS}, BY_HAND),
    "paid by hand while held": (replace(ROW, hold="amended"), DONE_BY_HAND, nothing_sent("held")),
    "a plain pay found paid asks for no proof": (PLAIN, {"paid": True, "voucher_number": "9"}, BY_HAND),
    "a plain pay found paid in another price": (PLAIN, {"paid": True, "amount": 1}, nothing_sent("paid_other_amount")),
}  # fmt: skip

MOVED: dict[str, tuple[Mapping[str, str] | None, Mapping[str, str] | None, Mapping[str, str]]] = {
    "moved to another pay system": (MARKS, {**MARKS, "PAY_SYSTEM_ID": "31"}, MARKS),
    "shows no marks any more": (MARKS, None, MARKS),
    "shows marks it had not": (None, MARKS, {}),
}

# To be told to wait says nothing of the invoice: that claim does not count.
REFUSED_FOR_NOW = Decision(
    State.READY, in_flight=False, attempts=2, evidence={"code": "QUERY_LIMIT_EXCEEDED", "text": "five a second"}
)
OUR_OWN = replace(REFUSED_FOR_NOW, attempts=3, evidence={"code": "SEND_WINDOW_PASSED", "text": "no"})
NOT_ALLOWED = replace(REFUSED_FOR_NOW, attempts=3, evidence={"code": "insufficient_scope", "text": "no"})
REFUSED_FOR_GOOD = {"code": "ERROR_INTERNAL_INVOICE_NOT_FOUND", "text": "no"}
AFTER: dict[str, tuple[Any, Fact, Decision]] = {
    "true and paid": (SAID_TRUE, PAID, OURS),
    "silence and paid": (SILENT, PAID, OURS),
    "true and paid, whatever the number": (SAID_TRUE, replace(PAID, voucher_number="18"), OURS),
    "silence and paid with another payment's number": (SILENT, replace(PAID, voucher_number="18"), review("already_paid")),
    "true and paid in another price": (SAID_TRUE, replace(PAID, amount=1), review("paid_other_amount")),
    "true and paid in another currency": (SAID_TRUE, replace(PAID, currency="EUR"), review("paid_other_amount")),
    "true and paid as somebody else's": (SAID_TRUE, replace(PAID, identity=OTHERS), review("invoice_changed")),
    "true and unpaid": (SAID_TRUE, UNPAID, review("true_but_unpaid", answered=True, look_again=True)),
    "true and unreadable": (SAID_TRUE, SILENT, replace(UNKNOWN, answered=True, evidence={"read": "reset"})),
    "true and the read refused": (SAID_TRUE, TOO_FAST, replace(UNKNOWN, answered=True, evidence={"read": "five a second"})),
    "silence and unpaid": (SILENT, UNPAID, UNKNOWN),
    "silence and unreadable": (SILENT, SILENT, replace(UNKNOWN, answered=False, evidence={"read": "reset"})),
    "refused for now": (TOO_FAST, SILENT, REFUSED_FOR_NOW),
    "refused for now, unpaid": (TOO_FAST, UNPAID, REFUSED_FOR_NOW),
    "too slow ourselves": (TOO_LATE, UNPAID, OUR_OWN),
    "refused until a person acts": (NO_ACCESS, SILENT, NOT_ALLOWED),
    "refused for good": (NO_INVOICE, SILENT, replace(nothing_sent("invoice_not_found"), evidence=REFUSED_FOR_GOOD)),
    "refused for good, unpaid": (NO_INVOICE, UNPAID, replace(nothing_sent("invoice_not_found"), evidence=REFUSED_FOR_GOOD)),
    "refused, yet paid: somebody else did it": (TOO_FAST, PAID, BY_HAND),
    "refused, yet paid long before": (TOO_FAST, replace(PAID, paid_on=date(2026, 1, 1)), nothing_sent("already_paid")),
}  # fmt: skip


@pytest.mark.parametrize(("row", "changed", "expected"), BEFORE.values(), ids=BEFORE)
def test_a_fresh_read_decides_and_is_the_evidence(row: Row, changed: dict[str, Any], expected: Decision) -> None:
    seen = replace(UNPAID, **changed)
    assert before_sending(row, seen, NOW) == replace(expected, evidence=shown(seen))


@pytest.mark.parametrize(("answer", "seen", "expected"), AFTER.values(), ids=AFTER)
def test_answer_and_read_back_decide_and_are_the_evidence(answer: Any, seen: Fact, expected: Decision) -> None:
    evidence = shown(seen) if expected.evidence is None and isinstance(seen, Seen) else expected.evidence
    assert after_sending(SENT, answer, seen) == replace(expected, evidence=evidence)


def test_evidence_is_what_the_invoice_shows_with_its_day_as_text() -> None:
    assert before_sending(ROW, replace(PAID, voucher_number="17"), NOW).evidence == {
        "paid": True,
        "cancelled": False,
        "amount": 11800,
        "currency": "RUB",
        "paid_on": "2026-11-20",
        "voucher_number": "17",
        "identity": IDENTITY,
        "marks": MARKS,
        "paid_by_us": None,
        "lacks": None,
        "moved_on": False,
    }


@pytest.mark.parametrize(("before", "now", "told"), MOVED.values(), ids=MOVED)
def test_a_lost_call_may_have_landed_where_the_invoice(
    before: Mapping[str, str] | None, now: Mapping[str, str] | None, told: Mapping[str, str]
) -> None:
    seen = replace(UNPAID, marks=now)
    evidence = {**shown(seen), "before": told}
    decision = before_sending(replace(QUIET, snapshot=before), seen, NOW)
    assert decision == review("landed_then_changed", evidence=evidence)


BESIDE = Sibling(
    kind="legacy", id=12, invoice_id=3, state=State.READY, expected=2200, currency="RUB", sends=0, in_flight=False, answered=False, hold=None, reason=None, identity=OTHERS
)  # fmt: skip
THEIRS = replace(UNPAID, amount=2200, identity=OTHERS)
THEIRS_PAID = replace(THEIRS, paid=True, paid_on=BOOKED)
SIBLING_CHANGED = review("sibling_changed", evidence={"sibling": 12, "invoice_id": 3})
WAITS_FOR_US = {"state": State.REVIEW, "reason": "sibling_changed"}

SIBLINGS: dict[str, tuple[dict[str, Any], Fact | None, bool]] = {
    "is ready and unpaid": ({}, THEIRS, True),
    "is paid and shows it": ({"state": State.PAID}, THEIRS_PAID, True),
    "is ready, and paid by hand with this payment": ({}, THEIRS_PAID, True),
    "waits only for the others of this payment": (WAITS_FOR_US, THEIRS, True),
    "rests on no identity": ({"identity": None}, THEIRS, True),
    "is held": ({"hold": "amended"}, THEIRS, False),
    "is paid and held": ({"state": State.PAID, "hold": "amended"}, THEIRS_PAID, False),
    "waits for the others, but is held": ({**WAITS_FOR_US, "hold": "amended"}, THEIRS, False),
    "was cancelled": ({}, replace(THEIRS, cancelled=True), False),
    "has another price": ({}, replace(THEIRS, amount=2201), False),
    "has another currency": ({}, replace(THEIRS, currency="EUR"), False),
    "is about somebody else": ({}, replace(THEIRS, identity=IDENTITY), False),
    "was paid before the booking": ({}, replace(THEIRS_PAID, paid_on=date(2026, 11, 19)), False),
    "was paid with another payment": ({}, replace(THEIRS_PAID, voucher_number="18"), False),
    "was paid, but is unpaid again": ({"state": State.PAID}, THEIRS, False),
    "cannot be read": ({}, SILENT, False),
    "was not read": ({}, None, False),
    "was cancelled, and is not any more": ({"state": State.REVIEW, "reason": "cancelled"}, THEIRS, True),
    "was under way in a ledger that is lost": ({"state": State.REVIEW, "reason": "restored"}, THEIRS, True),
    "was cancelled, and is still": ({"state": State.REVIEW, "reason": "cancelled"}, replace(THEIRS, cancelled=True), False),
    "is reviewed for what the portal said": ({"state": State.REVIEW, "reason": "portal_refused"}, THEIRS, False),
    "is not reviewed, whatever reason is left of it": ({"state": State.COLLECTING, "reason": "sibling_changed"}, THEIRS, False),
    "is being sent": ({"state": State.SENDING}, THEIRS, False),
    "is released": ({"state": State.RELEASED}, THEIRS, False),
}  # fmt: skip


@pytest.mark.parametrize(("changed", "fact", "fits"), SIBLINGS.values(), ids=SIBLINGS)
def test_one_of_several_is_sent_only_where_each_other(changed: dict[str, Any], fact: Fact | None, fits: bool) -> None:
    first = replace(BESIDE, id=11, invoice_id=4)
    row = replace(ROW, siblings=(first, replace(BESIDE, **changed)))
    beside: dict[Key, Fact] = {("legacy", 4): THEIRS}
    beside |= {} if fact is None else {("legacy", 3): fact}
    waiting = replace(row, state=State.REVIEW, reason="sibling_changed")
    if fits:
        assert before_sending(row, UNPAID, NOW, beside) == replace(SENDING, evidence=shown(UNPAID))
        assert reviewed(waiting, UNPAID, beside) == replace(READY, evidence=shown(UNPAID))
        assert retried(waiting, UNPAID, beside).state is State.READY
    else:
        assert before_sending(row, UNPAID, NOW, beside) == SIBLING_CHANGED
        assert reviewed(waiting, UNPAID, beside) is None
        assert retried(waiting, UNPAID, beside) == SIBLING_CHANGED


def test_once_one_of_several_was_sent_each_is_on_its_own() -> None:
    for begun in ({"in_flight": True}, {"answered": True}, {"state": State.PAID}):
        row = replace(ROW, siblings=(BESIDE, replace(BESIDE, id=13, sends=1, **begun)))
        assert row.unread_siblings == ()
    assert before_sending(row, UNPAID, NOW).state is State.SENDING
    assert replace(row, siblings=(BESIDE,)).unread_siblings == (BESIDE,)
    # What was refused did not run, however often it was sent.
    refused = replace(ROW, siblings=(BESIDE, replace(BESIDE, id=13, sends=5, state=State.REVIEW)))
    assert refused.unread_siblings == refused.siblings


def test_an_obstacle_of_its_own_is_told_before_one_beside_it() -> None:
    row = replace(ROW, hold="amended", siblings=(BESIDE,))
    waiting = replace(row, state=State.REVIEW, reason="held")
    for decision in (before_sending(row, UNPAID, NOW), retried(waiting, UNPAID)):
        assert decision == review("held", evidence=shown(UNPAID))


REVIEWED = replace(ROW, state=State.REVIEW, reason="cancelled")
DOUBTED = replace(REVIEWED, reason="true_but_unpaid", in_flight=True, snapshot=MARKS, pay_system="31")
BOUND_TO_OURS = {"paid": True, "marks": {**MARKS, "PAY_SYSTEM_ID": "31"}}

REVIEWS: dict[str, tuple[Row, dict[str, Any], Decision | None]] = {
    "what stood in the way has gone": (REVIEWED, {}, READY),
    "given up, and to be read again": (replace(REVIEWED, reason="gave_up", attempts=41), {}, replace(READY, attempts=36)),
    "claimed as often as it may be again": (replace(REVIEWED, attempts=5), {}, READY),
    "claimed once more than that": (replace(REVIEWED, attempts=6), {}, replace(READY, attempts=1)),
    "it stands in the way still": (REVIEWED, {"cancelled": True}, None),
    "something else stands in the way": (REVIEWED, {"amount": 1}, None),
    "the portal or our call left it in doubt": (replace(REVIEWED, reason="true_but_unpaid"), {}, None),
    "our call may land yet": (replace(REVIEWED, in_flight=True), {}, None),
    "a person asked for it, no payment": (replace(REVIEWED, origin="manual"), {}, None),
    "paid by hand, nothing of ours under way": (REVIEWED, DONE_BY_HAND, BY_HAND),
    "paid by hand, which was no proof and is none now": (replace(REVIEWED, reason="already_paid"), DONE_BY_HAND, None),
    "paid by hand, and since then with the payment's number": (
        replace(REVIEWED, reason="already_paid"), {**DONE_BY_HAND, "voucher_number": "17"}, BY_HAND,
    ),
    "paid, and not provably with this money": (REVIEWED, {"paid": True}, None),
    "paid by our call after all": (DOUBTED, BOUND_TO_OURS, OURS),
    "paid by our call, but in another price": (DOUBTED, {**BOUND_TO_OURS, "amount": 1}, None),
    "paid by our call, with the payment's number": (DOUBTED, {**BOUND_TO_OURS, "voucher_number": "17"}, OURS),
    "bound to our pay system all along": (replace(DOUBTED, snapshot=BOUND_TO_OURS["marks"]), BOUND_TO_OURS, OURS),
    "bound to a pay system it was not bound to before": (DOUBTED, {"paid": True, "marks": {"PAY_SYSTEM_ID": "32"}}, OURS),
    "bound as before the call": (DOUBTED, {"paid": True}, None),
    "bound as before the call, and paid by hand": (DOUBTED, DONE_BY_HAND, BY_HAND),
    "bound to nothing before or after": (replace(DOUBTED, snapshot=None), {**DONE_BY_HAND, "marks": None}, BY_HAND),
    "bound to nothing, and sent through nothing known": (replace(DOUBTED, pay_system=""), {"paid": True, "marks": {}}, None),
    "bound to our pay system, with another number": (DOUBTED, {**BOUND_TO_OURS, "voucher_number": "18"}, None),
    "already paid with another number, which has gone": (replace(DOUBTED, reason="already_paid"), BOUND_TO_OURS, OURS),
    "bound to our pay system, nothing of ours under way": (
        replace(DOUBTED, in_flight=False), {**DONE_BY_HAND, **BOUND_TO_OURS}, BY_HAND,
    ),
    "in doubt and unpaid": (DOUBTED, {}, None),
}  # fmt: skip


@pytest.mark.parametrize(("row", "changed", "expected"), REVIEWS.values(), ids=REVIEWS)
def test_a_review_read_again_ends_by_itself_or_stays_with_a_person(
    row: Row, changed: dict[str, Any], expected: Decision | None
) -> None:
    seen = replace(UNPAID, **changed)
    assert reviewed(row, seen) == (expected and replace(expected, evidence=shown(seen)))


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_only_reviews_about_the_invoice_pass_by_themselves(reason: str) -> None:
    passes = reviewed(replace(REVIEWED, reason=reason), UNPAID) is not None
    assert passes is (reason in PASSING)
    stay = {
        "already_paid",
        "landed_then_changed",
        "paid_other_amount",
        "portal_refused",
        "required_field",
        "may_have_landed",
    }
    stay |= {"true_but_unpaid", "restored", "moved_on_from_paid", "stage_says_paid"}
    assert passes is (reason not in stay)


def test_a_person_may_confirm_what_is_paid_for_the_expected_money_whatever_else_speaks_against_it() -> None:
    other = replace(PAID, voucher_number="18", identity=OTHERS)
    paid = Decision(State.PAID, how="by_hand", reason="confirmed", in_flight=False, evidence=shown(other), is_told=True)
    assert confirmed(DOUBTED, other) == paid
    for wrong in (replace(other, amount=1), replace(other, currency="EUR"), replace(other, amount=None)):
        assert confirmed(DOUBTED, wrong) == review("paid_other_amount", evidence=shown(wrong))


def test_a_person_may_retry_whatever_the_reason_was_and_nothing_counts_as_under_way() -> None:
    again = Decision(State.READY, in_flight=False, answered=False, attempts=0, evidence=shown(UNPAID), is_told=True)
    assert retried(DOUBTED, UNPAID) == again
    assert retried(replace(DOUBTED, origin="manual", answered=True), UNPAID) == again
    gone = replace(UNPAID, cancelled=True)
    assert retried(DOUBTED, gone) == review("cancelled", evidence=shown(gone))


OVERTAKEN: dict[str, tuple[dict[str, Any], bool]] = {
    "is unpaid and as matched": ({}, False),
    "is paid": ({"paid": True}, True),
    "is cancelled": ({"cancelled": True}, True),
    "is about somebody else": ({"identity": OTHERS}, True),
    "has another price": ({"amount": 11801}, True),
    "has another currency": ({"currency": "EUR"}, True),
}


@pytest.mark.parametrize(("changed", "expected"), OVERTAKEN.values(), ids=OVERTAKEN)
def test_parts_wait_in_vain_only_once_the_invoice_is_settled_otherwise_or_another(
    changed: dict[str, Any], expected: bool
) -> None:
    assert is_overtaken(replace(ROW, state=State.COLLECTING), replace(UNPAID, **changed)) is expected


def test_the_quiet_time_ends_on_its_instant() -> None:
    waiting = before_sending(LOST, UNPAID, LATER - timedelta(microseconds=1))
    assert waiting.state is State.UNKNOWN
    assert before_sending(LOST, UNPAID, LATER).state is State.SENDING


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
    if row.partial_may_land and state is State.READY:
        assert decision.state is State.READY
        return
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


SMART_MARKS = {"stageId": "DT31_5:S", "movedTime": "2026-11-19T10:00:00+03:00"}
SMART = replace(SENT, kind="smart", snapshot=SMART_MARKS, document_number="17", pay_system="stage:DT31_5:P")
MOVED_ON = replace(PAID, marks={"stageId": "DT31_5:P", "movedTime": "2026-11-22T15:00:00+03:00"})

BY_WHOM: dict[str, tuple[Answered | Refused | Unknown, bool | None, dict[str, Any], Decision]] = {
    "answered, and our user": (SAID_TRUE, True, {}, OURS),
    "answered, and nobody": (SAID_TRUE, None, {}, OURS),
    "answered, and a person who was faster": (SAID_TRUE, False, {}, replace(BY_HAND, in_flight=None)),
    "silence, and our user": (SILENT, True, {}, OURS),
    "silence, and nobody": (SILENT, None, {}, OURS),
    "silence, and a person": (SILENT, False, {}, replace(BY_HAND, in_flight=None)),
    "silence, and a person before the money came": (
        SILENT, False, {"paid_on": date(2026, 11, 19)}, replace(review("already_paid"), in_flight=None)
    ),
    "refused, and a person": (NO_INVOICE, False, {}, BY_HAND),
    "refused, and an earlier call of ours": (NO_INVOICE, True, {}, OURS),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "by_us", "shows", "expected"), BY_WHOM.values(), ids=BY_WHOM)
def test_where_the_portal_tells_who_marked_it_paid(
    answer: Answered | Refused | Unknown, by_us: bool | None, shows: dict[str, Any], expected: Decision
) -> None:
    seen = replace(MOVED_ON, paid_by_us=by_us, **shows)
    assert after_sending(SMART, answer, seen) == replace(expected, evidence=shown(seen))


OF_OURS: dict[str, tuple[bool | None, dict[str, str] | None, bool]] = {
    "our user moved it": (True, SMART_MARKS, True),
    "a person moved it": (False, None, False),
    "nobody moved it, and since our call": (None, None, True),
    "nobody moved it, and not since our call": (None, SMART_MARKS, False),
}


@pytest.mark.parametrize(("by_us", "marks", "bears"), OF_OURS.values(), ids=OF_OURS)
def test_a_smart_invoice_bears_our_mark_when(by_us: bool | None, marks: dict[str, str] | None, bears: bool) -> None:
    assert bears_our_mark(SMART, replace(MOVED_ON, marks=marks or MOVED_ON.marks, paid_by_us=by_us)) is bears


def test_what_the_portal_lacks_for_marking_it_paid_is_the_reason_and_paid_is_paid_all_the_same() -> None:
    lacking = replace(UNPAID, lacks="no_payment_document")
    assert before_sending(ROW, lacking, NOW) == review("no_payment_document", evidence=shown(lacking))
    assert before_sending(QUIET, lacking, NOW).reason == "no_payment_document"
    assert reviewed(replace(REVIEWED, reason="no_payment_document"), lacking) is None
    assert before_sending(ROW, replace(PAID, lacks="stage_says_paid"), NOW).state is State.PAID


MOVED_BY_ROBOT = replace(UNPAID, lacks="moved_on_from_paid", moved_on=True, marks={**MARKS, "paidBefore": "17"})
# As it was before our call: somebody had taken it back, or filed it.
MOVED_BEFORE = replace(MOVED_BY_ROBOT, marks=MARKS)
MOVED_BY_PERSON = replace(UNPAID, lacks="moved_on_from_paid")


@pytest.mark.parametrize(
    ("row", "seen", "state"),
    [
        (LOST, MOVED_BY_ROBOT, State.PAID),
        (LOST, MOVED_BEFORE, State.UNKNOWN),
        (replace(LOST, snapshot={**MARKS, "paidBefore": "9"}), MOVED_BY_ROBOT, State.PAID),
        (replace(LOST, snapshot=MOVED_BY_ROBOT.marks), MOVED_BY_ROBOT, State.UNKNOWN),
        # Ours had been refused: somebody else paid it.
        (replace(ROW, sends=1, snapshot=MARKS), MOVED_BY_ROBOT, State.REVIEW),
        (ROW, MOVED_BY_ROBOT, State.REVIEW),
        (ROW, MOVED_BY_PERSON, State.REVIEW),
        (QUIET, replace(MOVED_BY_PERSON, marks={"STATUS_ID": "N"}), State.REVIEW),
        (replace(ROW, snapshot=MARKS), MOVED_BY_PERSON, State.SENDING),
        (replace(ROW, snapshot={}), MOVED_BY_PERSON, State.REVIEW),
        (replace(ROW, snapshot=MARKS), replace(UNPAID, lacks="no_payment_document"), State.REVIEW),
    ],
)
def test_straight_out_of_a_stage_of_success_it_is_paid_only_if_we_sent_and_payable_only_if_a_person_has_looked(
    row: Row, seen: Seen, state: State
) -> None:
    assert before_sending(row, seen, NOW).state is state


def test_what_a_robot_moved_on_after_our_call_is_paid_and_what_a_person_moved_is_not() -> None:
    assert after_sending(SENT, SAID_TRUE, MOVED_BY_ROBOT).how == "sent"
    assert after_sending(SENT, SAID_TRUE, MOVED_BY_PERSON).reason == "true_but_unpaid"
    assert after_sending(SENT, SAID_TRUE, MOVED_BEFORE).reason == "true_but_unpaid"
    assert after_sending(SENT, SILENT, MOVED_BEFORE).state is State.UNKNOWN
    assert as_sent(SENT, MOVED_BY_ROBOT) == replace(MOVED_BY_ROBOT, paid=True, lacks=None)
    doubted = replace(SENT, state=State.REVIEW, reason="true_but_unpaid")
    closed = reviewed(doubted, replace(MOVED_BY_ROBOT, paid_by_us=True))
    assert closed is not None
    assert closed.state is State.PAID


def test_what_a_person_has_called_paid_and_filed_stays_paid_until_somebody_moves_it() -> None:
    told = confirmed(replace(REVIEWED, reason="moved_on_from_paid"), MOVED_BY_PERSON)
    assert (told.state, told.how, told.reason) == (State.PAID, "by_hand", "confirmed")
    filed = replace(ROW, state=State.PAID, how="by_hand", reason="confirmed", snapshot=MARKS)
    assert as_sent(filed, MOVED_BY_PERSON).paid
    assert not as_sent(filed, replace(MOVED_BY_PERSON, marks={"STATUS_ID": "N"})).paid
    assert not as_sent(replace(filed, reason=None), MOVED_BY_PERSON).paid


def test_a_person_who_has_it_tried_again_has_looked_at_it_as_it_is() -> None:
    told = retried(replace(REVIEWED, reason="moved_on_from_paid"), MOVED_BY_PERSON)
    assert (told.state, applied(REVIEWED, told)["snapshot"]) == (State.READY, MARKS)


@pytest.mark.parametrize("through", ["document:7", "order:33"])
def test_what_leaves_no_trace_when_it_is_taken_back_is_never_sent_again(through: str) -> None:
    row = replace(QUIET, pay_system=through)
    assert before_sending(row, UNPAID, NOW) == review("may_have_landed", evidence=shown(UNPAID))
    assert before_sending(replace(row, quiet_until=LATER), UNPAID, NOW).state is State.UNKNOWN
    assert before_sending(row, PAID, NOW).state is State.PAID


PARTIAL = replace(ROW, kind="smart", allocated=11800, quiet_until=LATER, pay_system="stage:DT31_5:H")
COLLECTING = replace(PARTIAL, state=State.COLLECTING, allocated=1800, quiet_until=None)


@pytest.mark.parametrize(
    ("row", "seen", "expected"),
    [
        (PARTIAL, UNPAID, State.READY),
        (replace(PARTIAL, quiet_until=NOW), UNPAID, State.SENDING),
        (replace(PARTIAL, quiet_until=None), UNPAID, State.SENDING),
        (replace(PARTIAL, sends=1), UNPAID, State.SENDING),
        (PARTIAL, PAID, State.READY),
        (PARTIAL, replace(UNPAID, cancelled=True), State.READY),
        (replace(PARTIAL, quiet_until=NOW), PAID, State.PAID),
    ],
)
def test_while_a_move_to_the_stage_of_parts_may_land_nothing_is_sent(row: Row, seen: Seen, expected: State) -> None:
    assert before_sending(row, seen, NOW).state is expected


@pytest.mark.parametrize(
    ("row", "seen", "expected"),
    [
        (COLLECTING, UNPAID, True),
        (replace(COLLECTING, quiet_until=NOW), UNPAID, True),
        (replace(COLLECTING, quiet_until=LATER), UNPAID, False),
        (replace(COLLECTING, allocated=0), UNPAID, False),
        (replace(COLLECTING, state=State.READY), UNPAID, False),
        (replace(COLLECTING, hold="amended"), UNPAID, False),
        (replace(COLLECTING, answered=True), UNPAID, False),
        (COLLECTING, PAID, False),
        (COLLECTING, replace(UNPAID, cancelled=True), False),
        (COLLECTING, replace(UNPAID, amount=11900), False),
        (COLLECTING, replace(UNPAID, identity=OTHERS), False),
        (COLLECTING, replace(UNPAID, lacks="moved_on_from_paid"), False),
    ],
)
def test_only_what_is_unpaid_and_as_it_was_matched_is_moved_to_the_stage_of_parts(
    row: Row, seen: Seen, expected: bool
) -> None:
    assert may_be_partial(row, seen) is expected


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (UNPAID, False),
        (PAID, True),
        (replace(UNPAID, lacks="moved_on_from_paid"), True),
        (replace(UNPAID, lacks="no_payment_document"), False),
        (replace(UNPAID, cancelled=True), True),
    ],
)
def test_what_has_been_paid_while_parts_wait_is_overtaken(seen: Seen, expected: bool) -> None:
    assert is_overtaken(COLLECTING, seen) is expected
