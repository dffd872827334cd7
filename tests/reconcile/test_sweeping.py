from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from airflow_b24.ledger import cases, releases, settlements
from airflow_b24.ledger.schema import settlement
from airflow_b24.ledger.states import State
from airflow_b24.reconcile.desk import PaySystem
from airflow_b24.reconcile.releasing import release, retry
from airflow_b24.reconcile.settling import settle_matched, settle_plain
from airflow_b24.reconcile.sweeping import sweep
from airflow_b24.sandbox import seed

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def settle(office: Any, settlement_id: int = 1, invoice_id: int = 2) -> Any:
    return settle_matched(office.desk, settlement_id, invoice_id, office.pay_system).row


def force(office: Any, **values: Any) -> None:
    with office.store.transaction() as connection:
        connection.execute(update(settlement).values(**values))


def row(office: Any, settlement_id: int = 1) -> Any:
    return settlements.look(office.store, settlement_id)


def open_cases(office: Any) -> list[str]:
    with office.store.snapshot() as connection:
        return [found["kind"] for found in cases.open_cases(connection)]


PASSES = [
    ("cancelled", lambda office: office.person(2, "D"), lambda office: office.person(2, "S")),
    ("amount_changed", lambda office: office.bill(price="119.00"), lambda office: office.bill()),
    ("invoice_changed", lambda office: office.bill(number="2026/9"), lambda office: office.bill()),
    ("invoice_not_found", lambda office: office.delete(2), lambda office: office.bill()),
    ("held", lambda office: office.receive(amount=1), lambda office: releases.accept(office.store, 1)),
]


@pytest.mark.parametrize(("reason", "spoil", "mend"), PASSES, ids=[each[0] for each in PASSES])
def test_a_review_goes_on_when_what_stood_in_its_way_has_gone(office: Any, reason: str, spoil: Any, mend: Any) -> None:
    office.ready()
    spoil(office)
    assert settle(office).reason == reason
    assert sweep(office.desk)["ready"] == 0
    assert row(office).state is State.REVIEW
    mend(office)
    assert sweep(office.desk)["ready"] == 1
    assert settle(office).how == "sent"
    assert office.executed() == 1


@pytest.mark.parametrize("reason", ["already_paid", "paid_other_amount", "portal_refused", "landed_then_changed"])
def test_what_a_person_undid_or_the_portal_left_in_doubt_is_never_taken_up_unasked(office: Any, reason: str) -> None:
    office.ready()
    force(office, state="review", reason=reason)
    assert sweep(office.desk) == {"read": 1, "closed": 0, "ready": 0, "reversed": 0, "late_effect": 0, "overtaken": 0}
    assert row(office).state is State.REVIEW


def test_a_review_whose_call_may_have_run_is_never_sent_again_unasked(office: Any) -> None:
    office.ready()
    force(office, state="review", reason="cancelled", in_flight=True, quiet_until=LONG_AGO)
    assert sweep(office.desk)["ready"] == 0


def test_a_call_that_showed_late_closes_its_review(office: Any) -> None:
    office.ready()
    office.fault("unpaid")
    assert settle(office).reason == "true_but_unpaid"
    office.person(2, "P")
    # Our call binds the invoice to our pay system, which nobody else does.
    office.state.invoices[2].pay_system_id = seed.REST_SYSTEM
    assert sweep(office.desk)["closed"] == 1
    assert (row(office).state, row(office).how, row(office).reason) == (State.PAID, "sent", None)


def test_a_payment_by_hand_made_after_the_review_closes_it(office: Any) -> None:
    office.ready()
    office.person(2, "D")
    settle(office)
    office.person(2, "P")
    assert sweep(office.desk)["closed"] == 1
    assert (row(office).how, office.executed()) == ("by_hand", 0)


def test_what_somebody_paid_in_another_way_is_never_called_ours(office: Any) -> None:
    office.ready()
    office.fault("unpaid")
    settle(office)
    office.person(2, "P")
    office.state.invoices[2].voucher_number = "999"
    assert sweep(office.desk)["closed"] == 0
    office.state.invoices[2].voucher_number = "17"
    assert sweep(office.desk)["closed"] == 1
    assert row(office).how == "by_hand"


def test_an_edit_of_an_invoice_paid_before_does_not_make_this_money_the_one_that_paid_it(office: Any) -> None:
    office.ready()
    office.person(2, "P")
    invoice = office.state.invoices[2]
    invoice.paid_at = invoice.status_at = datetime.now(UTC) - timedelta(days=5)
    assert settle(office).reason == "already_paid"
    invoice.paid_at = datetime.now(UTC)
    assert sweep(office.desk)["closed"] == 0
    invoice.voucher_number = "17"
    assert sweep(office.desk)["closed"] == 0


def test_a_payment_by_hand_without_full_proof_closes_nothing(office: Any) -> None:
    office.ready()
    office.person(2, "D")
    settle(office)
    office.person(2, "P")
    office.state.invoices[2].voucher_number = "somebody else's"
    assert sweep(office.desk)["closed"] == 0


def test_a_plain_pay_is_not_taken_up_unasked_but_closed_when_it_is_paid(office: Any) -> None:
    office.bill(status_id="D", cancelled=True)
    settle_plain(office.desk, 2, office.pay_system)
    assert row(office).reason == "cancelled"
    office.person(2, "S")
    assert sweep(office.desk)["ready"] == 0
    office.person(2, "P")
    assert sweep(office.desk)["closed"] == 1


def test_a_reversal_becomes_a_case_that_closes_when_the_invoice_is_paid_again(office: Any) -> None:
    office.ready()
    settle(office)
    assert (sweep(office.desk)["reversed"], open_cases(office)) == (0, [])
    office.person(2, "S")
    assert (sweep(office.desk)["reversed"], open_cases(office)) == (1, ["reversed"])
    assert (sweep(office.desk)["reversed"], open_cases(office)) == (1, ["reversed"])
    office.person(2, "P")
    assert (sweep(office.desk)["reversed"], open_cases(office)) == (0, [])
    assert (row(office).state, office.executed()) == (State.PAID, 1)


def test_what_ended_long_ago_is_left_alone_unless_it_is_in_trouble(office: Any) -> None:
    office.ready()
    settle(office)
    office.person(2, "S")
    force(office, updated_at=LONG_AGO)
    assert sweep(office.desk)["read"] == 0
    with office.store.transaction() as connection:
        cases.open_case(connection, 1, cases.REVERSED, {})
    assert sweep(office.desk)["read"] == 1


def test_an_invoice_paid_after_its_release_is_a_case_when_it_may_have_been_our_call(office: Any) -> None:
    office.ready()
    office.fault("unpaid")
    settle(office)
    office.let_the_quiet_time_pass()
    release(office.desk, 1)
    assert (sweep(office.desk)["late_effect"], open_cases(office)) == (0, [])
    office.person(2, "P")
    assert (sweep(office.desk)["late_effect"], open_cases(office)) == (1, ["late_effect"])


def test_an_invoice_paid_by_another_settlement_after_its_release_is_no_case(office: Any) -> None:
    office.ready()
    office.fault("unpaid")
    settle(office)
    office.let_the_quiet_time_pass()
    release(office.desk, 1)
    office.receive(key="id:other")
    office.match()
    settle(office, 2)
    assert (sweep(office.desk)["late_effect"], open_cases(office)) == (0, [])


@pytest.mark.parametrize(
    "change",
    [
        lambda office: office.person(2, "P"),
        lambda office: office.person(2, "D"),
        lambda office: office.bill(price="119.00"),
        lambda office: office.bill(number="2026/9"),
    ],
    ids=["paid", "cancelled", "price", "number"],
)
def test_an_invoice_settled_otherwise_while_parts_wait_is_a_case_until_it_is_as_before(
    office: Any, change: Any
) -> None:
    office.bill()
    office.receive(amount=5900)
    office.match()
    assert sweep(office.desk)["overtaken"] == 0
    change(office)
    assert (sweep(office.desk)["overtaken"], open_cases(office)) == (1, ["overtaken"])
    office.bill()
    assert (sweep(office.desk)["overtaken"], open_cases(office)) == (0, [])


def both(office: Any) -> None:
    office.bill(2)
    office.bill(3, "22.00")
    office.receive(key="id:both", amount=14000, remittance="Оплата по счетам № 2026/2, 2026/3")
    office.match()


def test_before_the_first_of_several_invoices_is_sent_all_are_read(office: Any) -> None:
    both(office)
    office.bill(3, "23.00")
    assert settle(office).reason == "sibling_changed"
    assert settle(office, 2, 3).reason == "amount_changed"
    assert (office.executed(2), office.executed(3)) == (0, 0)
    assert sweep(office.desk)["ready"] == 0
    office.bill(3, "22.00")
    assert [sweep(office.desk)["ready"] for _ in range(3)] == [2, 0, 0]
    assert [settle(office).how, settle(office, 2, 3).how] == ["sent", "sent"]


@pytest.mark.parametrize("reason", ["cancelled", "held", "restored"])
def test_several_invoices_in_review_do_not_wait_for_each_other(office: Any, reason: str) -> None:
    both(office)
    force(office, state="review", reason=reason)
    # A copy does not know what became of them: only a person lets them go on.
    assert sweep(office.desk)["ready"] == (0 if reason == "restored" else 2)
    if reason == "restored":
        assert [retry(office.desk, settlement_id).state for settlement_id in (1, 2)] == ["ready", "ready"]
    assert [settle(office).how, settle(office, 2, 3).how] == ["sent", "sent"]


def test_a_case_that_a_person_has_closed_stays_closed_until_the_trouble_has_gone(office: Any) -> None:
    settlement_id = office.ready()
    settle(office)
    office.person(2, "S")
    assert (sweep(office.desk)["reversed"], open_cases(office)) == (1, ["reversed"])
    with office.store.transaction() as connection:
        assert cases.close_one(connection, cases.open_cases(connection)[0]["id"])
    assert (sweep(office.desk)["reversed"], open_cases(office)) == (1, [])
    office.person(2, "P")
    sweep(office.desk)
    office.person(2, "S")
    assert (sweep(office.desk)["reversed"], open_cases(office)) == (1, ["reversed"])
    office.let_the_quiet_time_pass()
    assert release(office.desk, settlement_id).state == "released"


def test_a_plain_pay_is_finished_through_the_pay_system_that_its_task_asked_for(office: Any) -> None:
    office.bill()
    office.fault("lost_before")
    assert settle_plain(office.desk, 2, office.pay_system).row.state == "unknown"
    office.let_the_quiet_time_pass()
    [begun] = settlements.due(office.store, office.desk.portal_id, 5, begun=True)
    done = settle_matched(office.desk, begun["settlement_id"], 2, PaySystem(seed.BILL_SYSTEM)).row
    assert (done.state, done.how, done.pay_system) == ("paid", "sent", str(seed.REST_SYSTEM))


def test_several_invoices_in_review_for_each_other_find_out_together(office: Any) -> None:
    both(office)
    force(office, state="review", reason="sibling_changed")
    assert sweep(office.desk)["ready"] == 2


def test_once_the_first_of_several_is_sent_each_is_on_its_own(office: Any) -> None:
    both(office)
    settle(office)
    office.bill(3, "23.00")
    assert settle(office, 2, 3).reason == "amount_changed"
    assert row(office).state is State.PAID


def test_one_of_several_paid_by_hand_with_this_money_stops_no_other(office: Any) -> None:
    both(office)
    office.person(3, "P")
    assert [settle(office).how, settle(office, 2, 3).how] == ["sent", "by_hand"]


@pytest.mark.parametrize("spoil", ["delete", "cancel", "other hand"])
def test_one_of_several_that_is_gone_cancelled_or_paid_with_other_money_stops_all(office: Any, spoil: str) -> None:
    both(office)
    if spoil == "delete":
        office.delete(3)
    else:
        office.person(3, "D" if spoil == "cancel" else "P")
        office.state.invoices[3].voucher_number = "" if spoil == "cancel" else "other"
    assert settle(office).reason == "sibling_changed"
    assert office.executed(2) == 0


def test_a_settlement_that_no_attempt_brings_to_an_end_is_given_up_and_taken_up_when_it_can_be_read(
    office: Any,
) -> None:
    office.ready()
    force(office, attempts=office.desk.patience.claims)
    assert (settle(office).reason, office.asked("crm.invoice.get")) == ("gave_up", 0)
    office.bill(pay_system_id=seed.BILL_SYSTEM)
    assert sweep(office.desk)["ready"] == 1
    assert (row(office).attempts, settle(office).how) == (office.desk.patience.claims - 4, "sent")


def test_what_may_have_run_and_was_given_up_stays_with_a_person(office: Any) -> None:
    office.ready()
    force(office, attempts=99, state="unknown", in_flight=True, quiet_until=LONG_AGO)
    assert settle(office).reason == "gave_up"
    assert sweep(office.desk)["ready"] == 0
