from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import update

from airflow_b24.bitrix.errors import RequestError
from airflow_b24.ledger import adoptions, cases, settlements
from airflow_b24.ledger.checking import check
from airflow_b24.ledger.schema import settlement
from airflow_b24.ledger.states import IN_WORDS, State
from airflow_b24.reconcile import reporting
from airflow_b24.reconcile.releasing import confirm, release, retry
from airflow_b24.reconcile.settling import settle_matched
from airflow_b24.reconcile.sweeping import sweep
from airflow_b24.sandbox import seed

GET = "crm.invoice.get"


def settle(office: Any, settlement_id: int) -> Any:
    return settle_matched(office.desk, settlement_id, 2, office.pay_system).row


def force(office: Any, settlement_id: int, **values: Any) -> None:
    with office.store.transaction() as connection:
        connection.execute(update(settlement).where(settlement.c.id == settlement_id).values(**values))


def in_flight(office: Any) -> int:
    """A settlement in review whose call may have run."""
    settlement_id: int = office.ready()
    office.fault("unpaid")
    assert settle(office, settlement_id).in_flight
    return settlement_id


def state(office: Any, settlement_id: int) -> State:
    return settlements.look(office.store, settlement_id).state


def test_what_never_left_is_released_without_asking_and_each_is_free_for_others(office: Any) -> None:
    settlement_id = office.ready()
    office.person(2, "D")
    settle(office, settlement_id)
    office.state.journal.clear()
    assert release(office.desk, settlement_id).state is State.RELEASED
    assert not office.state.journal
    office.person(2, "S")
    office.receive(key="id:other")
    assert office.match()["promised"] == 1
    assert settle(office, office.due()[2]).state is State.PAID
    assert {line.payment: (line.status, line.reason) for line in reporting.lines(office.store)} == {
        "B2": ("review", "released_before"),
        "other": ("paid", "number_and_tax_id"),
    }


@pytest.mark.parametrize("amount", [11800, 5000])
def test_what_is_ready_or_collecting_can_be_released(office: Any, amount: int) -> None:
    office.bill()
    office.receive(amount=amount)
    office.match()
    assert release(office.desk, 1).state is State.RELEASED


def test_a_released_settlement_says_nothing_of_its_payment_any_more(office: Any) -> None:
    settlement_id = office.ready()
    office.person(2, "D")
    settle(office, settlement_id)
    release(office.desk, settlement_id)
    [line] = reporting.lines(office.store)
    assert (line.status, line.reason, line.settlement_id) == ("waiting", "new", None)


def test_what_is_paid_is_released_only_after_it_was_reversed_and_seen(office: Any) -> None:
    settlement_id = office.ready()
    settle(office, settlement_id)
    for status_id in ("P", "S"):
        office.person(2, status_id)
        with pytest.raises(ValueError, match="invoice 2026/2 is paid; take the payment back in Bitrix24 first"):
            release(office.desk, settlement_id)
    sweep(office.desk)
    # Somebody else may have paid what was read as paid, while our own call is on its way.
    with pytest.raises(ValueError, match="may still land"):
        release(office.desk, settlement_id)
    office.let_the_quiet_time_pass()
    assert release(office.desk, settlement_id).state is State.RELEASED
    with office.store.snapshot() as connection:
        assert cases.open_cases(connection) == []


@pytest.mark.parametrize("state_", [State.SENDING, State.UNKNOWN])
def test_what_may_be_on_its_way_is_not_released(office: Any, state_: State) -> None:
    settlement_id = office.ready()
    force(office, settlement_id, state=state_)
    with pytest.raises(ValueError, match=f"is {IN_WORDS[state_]}, and nothing of that can be released"):
        release(office.desk, settlement_id)


def test_releasing_twice_frees_once(office: Any) -> None:
    settlement_id = office.ready()
    office.person(2, "D")
    settle(office, settlement_id)
    release(office.desk, settlement_id)
    with pytest.raises(ValueError, match=f"SETTLEMENT_ID: {settlement_id} is released"):
        release(office.desk, settlement_id)
    assert office.match()["payments"] == 1


def test_a_settlement_of_another_portal_is_not_released_here(office: Any) -> None:
    settlement_id = office.ready()
    office.person(2, "D")
    settle(office, settlement_id)
    other = office.with_desk(portal_id=office.meet("other.example"))
    with pytest.raises(ValueError, match="is of another portal"):
        release(other.desk, settlement_id)
    assert state(office, settlement_id) is State.REVIEW


def test_while_a_call_may_still_land_nothing_is_released(office: Any) -> None:
    settlement_id = in_flight(office)
    with pytest.raises(ValueError, match=r"may still land; try again after \d\d:\d\d:\d\d UTC"):
        release(office.desk, settlement_id)
    assert state(office, settlement_id) is State.REVIEW


def test_after_the_quiet_time_an_unpaid_invoice_is_released(office: Any) -> None:
    settlement_id = in_flight(office)
    office.let_the_quiet_time_pass()
    assert release(office.desk, settlement_id).state is State.RELEASED


def test_after_the_quiet_time_a_deleted_invoice_is_released(office: Any) -> None:
    settlement_id = in_flight(office)
    office.let_the_quiet_time_pass()
    office.delete(2)
    assert release(office.desk, settlement_id).state is State.RELEASED


def test_an_invoice_that_was_paid_meanwhile_is_not_released(office: Any) -> None:
    settlement_id = in_flight(office)
    office.let_the_quiet_time_pass()
    office.person(2, "P")
    with pytest.raises(ValueError, match="invoice 2026/2 is paid, perhaps by our own call"):
        release(office.desk, settlement_id)
    assert state(office, settlement_id) is State.REVIEW


def test_an_invoice_that_cannot_be_read_is_not_released(office: Any) -> None:
    settlement_id = in_flight(office)
    office.let_the_quiet_time_pass()
    office.fault("error", method=GET, code="", description="Access denied.")
    with pytest.raises(RequestError, match="Access denied"):
        release(office.desk, settlement_id)
    assert state(office, settlement_id) is State.REVIEW


def test_a_review_that_was_mended_is_retried_and_paid(office: Any) -> None:
    settlement_id = in_flight(office)
    office.let_the_quiet_time_pass()
    row = retry(office.desk, settlement_id)
    assert (row.state, row.in_flight, row.answered, row.attempts) == (State.READY, False, False, 0)
    assert settle(office, settlement_id).state is State.PAID
    assert office.executed() == 1


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda office: office.person(2, "P"), "is paid; if it was with this money, confirm it"),
        (lambda office: office.person(2, "D"), "The invoice was cancelled"),
        (lambda office: office.bill(price="119.00"), r"\(amount_changed\)"),
        (lambda office: office.bill(number="2026/9"), r"\(invoice_changed\)"),
        (lambda office: office.receive(amount=1), "The bank changed or took back the payment"),
    ],
    ids=["paid", "cancelled", "price", "number", "held"],
)
def test_what_still_stands_in_the_way_is_named(office: Any, spoil: Any, problem: str) -> None:
    settlement_id = in_flight(office)
    office.let_the_quiet_time_pass()
    spoil(office)
    with pytest.raises(ValueError, match=problem):
        retry(office.desk, settlement_id)
    assert state(office, settlement_id) is State.REVIEW


def test_only_a_quiet_review_is_retried(office: Any) -> None:
    settlement_id = in_flight(office)
    with pytest.raises(ValueError, match="may still land"):
        retry(office.desk, settlement_id)
    ready = office.ready(3)
    with pytest.raises(ValueError, match=f"{ready} is matched and to be paid by the next run, not in review"):
        retry(office.desk, ready)


def paid_with_another_number(office: Any) -> int:
    """Our call may have landed, and the bookkeeping program has written a number of its own since."""
    settlement_id = in_flight(office)
    office.person(2, "P")
    office.state.invoices[2].voucher_number = "1C-9"
    office.let_the_quiet_time_pass()
    return settlement_id


def test_a_person_confirms_what_nothing_proves(office: Any) -> None:
    settlement_id = paid_with_another_number(office)
    assert sweep(office.desk)["closed"] == 0
    done = confirm(office.desk, settlement_id)
    assert (done.state, done.how, done.reason, done.in_flight) == (State.PAID, "by_hand", "confirmed", False)
    assert [line.status for line in reporting.lines(office.store)] == ["by_hand"]
    # The payment of this test was brought by no record.
    assert {violation.rule for violation in check(office.store).violations} == {"I4"}


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda office: office.person(2, "S"), "is not paid; there is nothing to confirm"),
        (lambda office: setattr(office.state.invoices[2], "price", Decimal(119)), r"\(paid_other_amount\)"),
        (lambda office: office.receive(amount=1), "took back the payment. Look at `airflow b24 ledger accept` first"),
    ],
    ids=["unpaid", "another price", "held"],
)
def test_what_speaks_against_a_confirmation_is_named(office: Any, spoil: Any, problem: str) -> None:
    settlement_id = paid_with_another_number(office)
    spoil(office)
    with pytest.raises(ValueError, match=problem):
        confirm(office.desk, settlement_id)
    assert state(office, settlement_id) is State.REVIEW


@pytest.mark.parametrize("decide", [release, retry])
def test_a_persons_word_is_for_what_was_shown_and_nothing_else(office: Any, decide: Any) -> None:
    office.bill()
    office.receive(key="id:a", amount=5000)
    office.match()
    shown = settlements.look(office.store, 1)
    office.receive(key="id:b", amount=6800, document_number="18")
    office.match()
    with pytest.raises(ValueError, match="1 has moved meanwhile; look at it again"):
        decide(office.desk, 1, shown)
    assert state(office, 1) is State.READY


@pytest.mark.parametrize("is_ours", [True, False])
def test_what_was_refused_is_not_released_when_the_invoice_bears_our_mark_all_the_same(
    office: Any, is_ours: bool
) -> None:
    settlement_id = office.ready()
    office.fault("error", status=400, code="ERROR_INTERNAL_INVOICE_NOT_FOUND", times=1)
    assert settle(office, settlement_id).state is State.REVIEW
    if is_ours:
        # A worker that had frozen before its first byte wakes up.
        office.state.invoices[2].pay_through(seed.REST_SYSTEM, 1, datetime.now(UTC), {})
        with pytest.raises(ValueError, match="is paid, perhaps by our own call"):
            release(office.desk, settlement_id)
        assert confirm(office.desk, settlement_id).state is State.PAID
    else:
        office.person(2, "P")
        assert release(office.desk, settlement_id).state is State.RELEASED
        assert sweep(office.desk)["late_effect"] == 0
        office.state.invoices[2].pay_through(seed.REST_SYSTEM, 1, datetime.now(UTC), {})
        assert sweep(office.desk)["late_effect"] == 1


def test_what_a_copy_had_under_way_is_released_only_when_nothing_of_it_can_land(office: Any) -> None:
    settlement_id = office.ready()
    adoptions.suspend(office.store, office.desk.portal_id, office.desk.patience)
    for decide in (release, retry, confirm):
        with pytest.raises(ValueError, match="may still land"):
            decide(office.desk, settlement_id)
    office.let_the_quiet_time_pass()
    office.person(2, "P")
    with pytest.raises(ValueError, match="is paid, perhaps by our own call"):
        release(office.desk, settlement_id)
    office.person(2, "S")
    release(office.desk, settlement_id)
    office.person(2, "P")
    assert sweep(office.desk)["late_effect"] == 1


def both(office: Any) -> None:
    office.bill(2)
    office.bill(3, "22.00")
    office.receive(key="id:both", amount=14000, remittance="Оплата по счетам № 2026/2, 2026/3")
    office.match()


def test_with_one_of_several_invoices_all_that_were_not_sent_are_released(office: Any) -> None:
    both(office)
    release(office.desk, 2)
    assert [state(office, each) for each in (1, 2)] == [State.RELEASED, State.RELEASED]
    assert {(line.status, line.reason) for line in reporting.lines(office.store)} == {("waiting", "new")}


def test_money_that_a_release_left_over_waits_for_a_person(office: Any) -> None:
    both(office)
    settle(office, 1)
    release(office.desk, 2)
    assert [state(office, each) for each in (1, 2)] == [State.PAID, State.RELEASED]
    [line] = reporting.lines(office.store)
    assert (line.status, line.reason) == ("review", "rest_free")
    assert line.why == "22.00 RUB of it is put to no invoice any more."
