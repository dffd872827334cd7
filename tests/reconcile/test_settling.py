from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from airflow_b24.bitrix.client import Client
from airflow_b24.bitrix.errors import INVOICE_GONE, RefusedError, RequestError
from airflow_b24.ledger import cases, events, settlements
from airflow_b24.ledger.facts import Refused, Unknown
from airflow_b24.ledger.settlement import Patience, Settled
from airflow_b24.ledger.states import State
from airflow_b24.reconcile import reviewing
from airflow_b24.reconcile.desk import PaySystem
from airflow_b24.reconcile.settling import settle_matched, settle_plain
from airflow_b24.sandbox import seed

GET = "crm.invoice.get"
SILENCE = {"kind": "lost_after", "method": GET, "times": 1000}


def settle(office: Any, settlement_id: int, invoice_id: int = 2) -> Settled:
    return settle_matched(office.desk, settlement_id, invoice_id, office.pay_system)


def pay(office: Any, invoice_id: int = 2) -> Settled:
    return settle_plain(office.desk, invoice_id, office.pay_system)


def open_cases(office: Any) -> list[str]:
    with office.store.snapshot() as connection:
        return [case["kind"] for case in cases.open_cases(connection)]


def test_a_proven_invoice_is_paid_through_our_pay_system_and_read_back(office: Any) -> None:
    settled = settle(office, office.ready())
    assert (settled.row.state, settled.row.how, settled.trouble) == (State.PAID, "sent", None)
    invoice = office.state.invoices[2]
    assert (invoice.paid, office.executed(), invoice.pay_system_id) == (True, 1, seed.REST_SYSTEM)
    assert office.asked("sale.paysystem.pay.invoice") == 1
    assert office.asked(GET) == 2


FAULTS: dict[str, tuple[dict[str, Any], str, str]] = {
    # fault on the pay: the state after the attempt, and after another one once the quiet time is over
    "refused once": ({"kind": "refused"}, "paid", "paid"),
    "refused three times": ({"kind": "refused", "times": 3}, "paid", "paid"),
    "refused for long": ({"kind": "refused", "times": 7}, "ready", "paid"),
    "operating time used up": ({"kind": "operation_time_limit"}, "paid", "paid"),
    "lost on the way there": ({"kind": "lost_before"}, "unknown", "paid"),
    "lost on the way back": ({"kind": "lost_after"}, "paid", "paid"),
    "a page of 500": ({"kind": "html_500_after"}, "paid", "paid"),
    "a page of 502": ({"kind": "html_502_after"}, "paid", "paid"),
    "a page of 503": ({"kind": "html_503_after"}, "paid", "paid"),
    "a cut answer": ({"kind": "truncated_after"}, "paid", "paid"),
    "true and nothing done": ({"kind": "unpaid", "times": 1000}, "review", "review"),
    "true and nothing done once": ({"kind": "unpaid"}, "review", "review"),
    "a token that has expired": ({"kind": "expired_token"}, "ready", "paid"),
    "a redirect elsewhere": ({"kind": "redirect", "host": "other.example"}, "ready", "paid"),
    "an unclear error": ({"kind": "error"}, "unknown", "paid"),
    "an error nobody knows": ({"kind": "error", "code": "WHATEVER"}, "unknown", "paid"),
    "no right to pay": ({"kind": "error", "code": "ACCESS_DENIED", "status": 403}, "ready", "paid"),
    "blocked by hand": ({"kind": "error", "code": "OVERLOAD_LIMIT", "status": 503}, "ready", "paid"),
    "a wrong setting": ({"kind": "error", "code": "ERROR_CHECK_FAILURE"}, "ready", "paid"),
    "a refusal of the pay system": ({"kind": "error", "code": "ERROR_PROCESS_REQUEST_RESULT"}, "review", "review"),
    "a smart invoice's id": ({"kind": "error", "code": "ERROR_INTERNAL_INVOICE_NOT_FOUND"}, "review", "review"),
}


@pytest.mark.parametrize(("fault", "first", "last"), FAULTS.values(), ids=FAULTS)
def test_a_fault_on_the_pay_ends_where_it_must_and_never_pays_twice(
    office: Any, fault: dict[str, Any], first: str, last: str
) -> None:
    settlement_id = office.ready()
    office.fault(**fault)
    settled = settle(office, settlement_id)
    assert settled.row.state == first
    assert (settled.trouble is None) is (first in {"paid", "review"})
    assert (settled.wait_s is not None) is (first == "unknown" or ("times" in fault and first == "ready"))
    office.let_the_quiet_time_pass()
    assert settle(office, settlement_id).row.state == last
    assert settle(office, settlement_id).row.state == last
    assert office.executed() == (1 if last == "paid" else 0)
    assert settlements.look(office.store, settlement_id).how == ("sent" if last == "paid" else None)


def test_an_answer_slower_than_the_client_waits_is_read_back(office: Any, client: Callable[..., Client]) -> None:
    settlement_id = office.ready()
    office.fault("slow", seconds=0.6)
    hasty = office.with_desk(client=client(timeout_s=0.3))
    assert settle(hasty, settlement_id).row.state is State.PAID
    assert office.executed() == 1


def test_a_lost_answer_and_a_lost_read_wait_and_are_found_paid(office: Any) -> None:
    settlement_id = office.ready()
    office.fault("lost_after")
    settled = settle(office.with_desk(client=Silenced(office)), settlement_id)
    assert (settled.row.state, isinstance(settled.trouble, Unknown)) == (State.UNKNOWN, True)
    assert settled.wait_s == pytest.approx(Patience().quiet_s, abs=5)
    office.state.faults.rules.clear()
    assert settle(office, settlement_id).row.state is State.PAID
    assert office.executed() == 1


class Silenced:
    """The real client, which makes the portal stop answering reads right before the pay: after probe and pre-read."""

    def __init__(self, office: Any) -> None:
        self._client, self._office, self._runs = office.desk.client, office, 0

    def run(self, flow: Any) -> Any:
        self._runs += 1
        if self._runs == 3:
            self._office.fault(**SILENCE)
        return self._client.run(flow)


def test_true_and_a_lost_read_then_unpaid_is_a_review_and_not_sent_again(office: Any) -> None:
    settlement_id = office.ready()
    office.fault("unpaid")
    assert settle(office.with_desk(client=Silenced(office)), settlement_id).row.state is State.UNKNOWN
    office.state.faults.rules.clear()
    office.let_the_quiet_time_pass()
    settled = settle(office, settlement_id)
    assert (settled.row.state, settled.row.reason, office.executed()) == (State.REVIEW, "true_but_unpaid", 0)


def test_before_the_quiet_time_is_over_nothing_is_sent_again(office: Any) -> None:
    settlement_id = office.ready()
    office.fault("lost_before")
    settle(office, settlement_id)
    settled = settle(office, settlement_id)
    assert (settled.row.state, settled.row.sends, office.executed()) == (State.UNKNOWN, 1, 0)


def test_paid_and_reversed_by_a_person_while_the_answer_was_lost_is_a_review(office: Any) -> None:
    settlement_id = office.ready()
    office.fault("lost_before")
    settle(office, settlement_id)
    office.person(2, "P")
    office.person(2, "N")
    office.let_the_quiet_time_pass()
    settled = settle(office, settlement_id)
    assert (settled.row.reason, office.executed()) == ("landed_then_changed", 0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda office: setattr(office.state.invoices[2], "price", Decimal("119.00")), "amount_changed"),
        (lambda office: setattr(office.state.invoices[2], "currency", "EUR"), "amount_changed"),
        (lambda office: office.person(2, "D"), "cancelled"),
        (lambda office: office.receive(amount=11900), "held"),
        (lambda office: setattr(office.state.invoices[2], "number", "2026/9"), "invoice_changed"),
        (lambda office: setattr(office.state.invoices[2], "company_id", 22), "invoice_changed"),
        (lambda office: setattr(office.state.invoices[2], "my_company_id", None), "invoice_changed"),
        (lambda office: office.delete(2), "invoice_not_found"),
    ],
    ids=["price", "currency", "cancelled", "amended payment", "number", "customer", "own company", "deleted"],
)
def test_what_changed_between_match_and_send_is_a_review(office: Any, change: Callable[..., Any], reason: str) -> None:
    settlement_id = office.ready()
    change(office)
    settled = settle(office, settlement_id)
    assert (settled.row.state, settled.row.reason, office.executed()) == (State.REVIEW, reason, 0)


def test_paid_by_hand_after_the_match_is_believed_and_nothing_sent(office: Any) -> None:
    settlement_id = office.ready()
    office.person(2, "P")
    settled = settle(office, settlement_id)
    assert (settled.row.state, settled.row.how, office.executed()) == (State.PAID, "by_hand", 0)


def test_paid_by_hand_with_another_voucher_is_a_review(office: Any) -> None:
    settlement_id = office.ready()
    office.person(2, "P")
    office.state.invoices[2].voucher_number = "501"
    assert settle(office, settlement_id).row.reason == "already_paid"


def test_a_pay_that_does_nothing_is_found_out(office: Any) -> None:
    settlement_id = office.ready()
    office.fault("unpaid")
    settled = settle(office, settlement_id)
    assert (settled.row.reason, office.naps) == ("true_but_unpaid", list(Patience().looks))


def test_an_invoice_deleted_while_the_answer_was_lost_is_a_review_with_its_money_in_flight(office: Any) -> None:
    settlement_id = office.ready()
    office.fault("lost_before")
    settle(office, settlement_id)
    office.delete(2)
    settled = settle(office, settlement_id)
    assert (settled.row.state, settled.row.reason) == (State.REVIEW, "invoice_not_found")
    assert (settled.row.in_flight, settled.trouble) == (True, None)


def test_an_invoice_that_we_may_not_read_is_left_for_when_we_may(office: Any) -> None:
    settlement_id = office.ready()
    office.fault("error", times=1000, method=GET, code="", description="Access denied.")
    settled = settle(office, settlement_id)
    assert (settled.row.state, isinstance(settled.trouble, Refused), settled.row.sends) == (State.READY, True, 0)
    office.state.faults.rules.clear()
    assert settle(office, settlement_id).row.state is State.PAID


@pytest.mark.parametrize("paid", [False, True], ids=["ready", "paid"])
def test_a_settlement_of_another_portal_is_refused_before_anything_is_asked(office: Any, paid: bool) -> None:
    settlement_id = office.ready()
    if paid:
        settle(office, settlement_id)
    office.state.journal.clear()
    before = settlements.look(office.store, settlement_id)
    other = office.with_desk(portal_id=office.meet("other.example"))
    with pytest.raises(ValueError, match=f"settlement_id={settlement_id} is of another portal"):
        settle(other, settlement_id)
    after = settlements.look(office.store, settlement_id)
    assert (list(office.state.journal), after.state, after.fence) == ([], before.state, before.fence)


def test_a_plain_pay_on_another_portal_is_a_settlement_of_its_own(office: Any) -> None:
    settlement_id = office.ready()
    settled = pay(office.with_desk(portal_id=office.meet("other.example")))
    assert (settled.row.id == settlement_id, settled.row.origin) == (False, "manual")


def test_an_amendment_that_comes_with_the_send_is_held_in_this_very_attempt(office: Any) -> None:
    settlement_id = office.ready()
    settled = settle(office.with_desk(client=Amended(office)), settlement_id)
    assert (settled.row.state, settled.row.reason, office.executed()) == (State.REVIEW, "held", 0)


class Amended:
    """The real client, which lets the bank amend the payment right after the pre-read."""

    def __init__(self, office: Any) -> None:
        self._client, self._office, self._runs = office.desk.client, office, 0

    def run(self, flow: Any) -> Any:
        self._runs += 1
        found = self._client.run(flow)
        if self._runs == 2:
            self._office.receive(amount=11900)
        return found


def test_the_pay_system_id_wins_over_the_handler(office: Any) -> None:
    office.bill()
    office.pay_system = PaySystem(seed.REST_SYSTEM, "unknown")
    assert pay(office).row.state is State.PAID


def test_a_handler_alone_is_enough(office: Any) -> None:
    office.bill()
    office.pay_system = PaySystem(bx_rest_handler=seed.HANDLER)
    assert pay(office).row.state is State.PAID


def test_ids_that_do_not_belong_together_are_named(office: Any) -> None:
    settlement_id = office.ready()
    with pytest.raises(ValueError, match=f"settlement_id={settlement_id} is of invoice 2, not of invoice_id=3"):
        settle(office, settlement_id, 3)


def test_threads_that_settle_the_same_settlement_pay_once(office: Any) -> None:
    settlement_id = office.ready()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: settle(office, settlement_id), range(4)))
    office.let_the_quiet_time_pass()
    assert settle(office, settlement_id).row.state is State.PAID
    assert office.executed() == 1


def test_threads_that_plainly_pay_the_same_invoice_pay_once(office: Any) -> None:
    office.bill()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: pay(office), range(4)))
    office.let_the_quiet_time_pass()
    assert pay(office).row.state is State.PAID
    assert office.executed() == 1


def test_a_plain_pay_twice_pays_once(office: Any) -> None:
    office.bill()
    first, second = pay(office), pay(office)
    assert (first.row.state, first.row.how, first.row.origin) == (State.PAID, "sent", "manual")
    assert (second.row.id, second.row.state, second.trouble) == (first.row.id, State.PAID, None)
    assert office.executed() == 1


def test_a_plain_pay_of_an_invoice_paid_by_hand_sends_nothing(office: Any) -> None:
    office.bill()
    office.person(2, "P")
    settled = pay(office)
    assert (settled.row.state, settled.row.how, office.executed()) == (State.PAID, "by_hand", 0)


def test_a_plain_pay_of_a_cancelled_invoice_is_a_review_until_a_person_reopens_it(office: Any) -> None:
    office.bill()
    office.person(2, "D")
    assert pay(office).row.reason == "cancelled"
    office.person(2, "S")
    assert (pay(office).row.state, office.executed()) == (State.PAID, 1)


def test_a_plain_pay_asked_for_again_takes_the_price_of_now(office: Any) -> None:
    office.bill()
    office.fault("error", code="ERROR_PROCESS_REQUEST_RESULT")
    assert pay(office).row.reason == "portal_refused"
    office.state.invoices[2].price = Decimal("120.00")
    settled = pay(office)
    assert (settled.row.state, settled.row.expected) == (State.PAID, 12000)


def test_a_plain_pay_that_did_nothing_is_not_sent_again(office: Any) -> None:
    office.bill()
    office.fault("unpaid")
    assert [pay(office).row.reason for _ in range(2)] == ["true_but_unpaid"] * 2
    assert office.asked("sale.paysystem.pay.invoice") == 1


def test_a_plain_pay_of_a_matched_invoice_settles_the_match(office: Any) -> None:
    settlement_id = office.ready()
    assert (pay(office).row.id, office.executed()) == (settlement_id, 1)


@pytest.mark.parametrize("again", ["matched", "plain"])
def test_an_invoice_reversed_since_is_a_case_and_a_trouble_and_never_paid_anew(office: Any, again: str) -> None:
    settlement_id = office.ready()
    settle(office, settlement_id)
    office.person(2, "N")
    for _ in range(2):
        settled = settle(office, settlement_id) if again == "matched" else pay(office)
        assert isinstance(settled.trouble, Refused)
        assert (settled.row.state, settled.trouble.code, settled.trouble.repeatable) == (State.PAID, "REVERSED", False)
    assert (open_cases(office), office.executed()) == (["reversed"], 1)


def test_a_price_not_exact_in_minor_units_names_field_and_value(office: Any) -> None:
    office.bill().currency = "JPY"
    office.state.invoices[2].price = Decimal("118.50")
    with pytest.raises(RequestError, match=r"PRICE.*118.50? JPY is not exact in minor units"):
        pay(office)


def test_an_unknown_invoice_is_refused_and_leaves_no_settlement(office: Any) -> None:
    with pytest.raises(RequestError) as caught:
        pay(office, 404)
    assert caught.value.code == INVOICE_GONE
    assert reviewing.reviews(office.store) == []


def test_a_portal_out_of_pace_claims_nothing(office: Any) -> None:
    settlement_id = office.ready()
    with pytest.raises(RefusedError) as caught:
        settle(office.with_desk(pace=Late(181.0)), settlement_id)
    assert caught.value.retry_at is not None
    assert settlements.look(office.store, settlement_id).fence == 0


def test_a_short_wait_for_the_pace_is_slept_before_the_claim(office: Any) -> None:
    settlement_id = office.ready()
    assert settle(office.with_desk(pace=Late(30.0)), settlement_id).row.state is State.PAID
    assert office.naps == [30.0]


def test_what_became_of_a_lost_answer_is_found_out_before_all_that_is_ready(office: Any) -> None:
    settlement_id, pace = office.ready(), Late(0.0)
    office.fault("lost_after")
    settle(office.with_desk(client=Silenced(office), pace=pace), settlement_id)
    office.state.faults.rules.clear()
    assert settle(office.with_desk(pace=pace), settlement_id).row.state is State.PAID
    assert pace.asked == [(3, False), (3, True)]


class Late:
    """A pace whose next slot is so many seconds away."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.asked: list[tuple[int, bool]] = []

    def reserve(self, n: int, within_s: float, *, urgent: bool = False) -> Iterator[float]:
        self.asked.append((n, urgent))
        yield self._seconds


def test_a_send_window_that_has_passed_sends_nothing(office: Any) -> None:
    settlement_id = office.ready()
    settled = settle(office.with_desk(patience=Patience(window_s=0.0, rounds=2)), settlement_id)
    assert (settled.row.state, settled.row.in_flight, office.executed()) == (State.READY, False, 0)
    assert isinstance(settled.trouble, Refused)
    assert settled.trouble.code == "SEND_WINDOW_PASSED"


def test_a_pre_read_too_old_is_never_followed_by_a_pay(office: Any) -> None:
    settlement_id = office.ready()
    settled = settle(office.with_desk(patience=Patience(read_age_s=0.0, rounds=2)), settlement_id)
    assert (settled.row.state, office.executed(), office.asked("sale.paysystem.pay.invoice")) == (State.READY, 0, 0)


def test_the_story_of_a_lost_answer_can_be_read_in_the_ledger(office: Any) -> None:
    settlement_id = office.ready()
    office.fault("lost_before")
    settle(office, settlement_id)
    office.let_the_quiet_time_pass()
    settle(office, settlement_id)
    with office.store.snapshot() as connection:
        told = [event["what"] for event in events.history(connection, settlement_id)]
    assert told == ["allocated", "claimed", "sending", "unknown", "claimed", "sending", "paid"]
