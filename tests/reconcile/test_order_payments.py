"""Payments of orders, marked paid by their ids with the same settlement as invoices."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from airflow_b24.bitrix.errors import BitrixError
from airflow_b24.ledger.settlement import Settled
from airflow_b24.ledger.states import State
from airflow_b24.reconcile.desk import PaySystem
from airflow_b24.reconcile.settling import settle_plain
from airflow_b24.reconcile.sweeping import sweep
from airflow_b24.sandbox import seed
from airflow_b24.sandbox.payment_documents import new_document
from airflow_b24.sandbox.state import MOSCOW

PAY = "sale.paysystem.pay.payment"


@pytest.fixture
def payment(office: Any) -> Any:
    """A payment whose id is that of a legacy and of a smart invoice, too."""
    office.bill(1)
    office.smart_bill(1)
    document = new_document(office.state, 1)
    document.amount, document.pay_system_id = Decimal("118.00"), seed.ORDER_SYSTEM
    assert document.id == 1
    return document


def pay(office: Any, pay_system_id: int | None = None) -> Settled:
    pay_system = None if pay_system_id is None else PaySystem(pay_system_id)
    return settle_plain(office.desk, 1, pay_system, kind="payment")


@pytest.mark.parametrize("pay_system_id", [None, seed.ORDER_SYSTEM])
def test_a_payment_is_paid_once_through_the_pay_system_it_is_bound_to(
    office: Any, payment: Any, pay_system_id: int | None
) -> None:
    first = pay(office, pay_system_id)
    assert (first.row.kind, first.row.how, first.row.pay_system) == ("payment", "sent", f"order:{seed.ORDER_SYSTEM}")
    assert (payment.paid, payment.paid_by) == (True, seed.TECHNICAL)
    assert pay(office, pay_system_id).row.id == first.row.id
    assert office.asked(PAY) == 1
    # The invoices of the same id are other things.
    assert not office.state.invoices[1].paid
    assert office.state.smart_invoices[1].stage_id == "DT31_5:S"


FAULTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "refused once": ({"kind": "refused"}, "paid", "paid"),
    "lost on the way there": ({"kind": "lost_before"}, "unknown", "review"),
    "lost on the way back": ({"kind": "lost_after"}, "paid", "paid"),
    "true and nothing done": ({"kind": "unpaid", "times": 1000}, "review", "review"),
    "an unclear error": ({"kind": "error", "status": 500}, "unknown", "review"),
}


@pytest.mark.parametrize(("fault", "first", "last"), FAULTS.values(), ids=FAULTS)
def test_a_fault_on_the_pay_ends_where_it_must_and_never_pays_twice(
    office: Any, payment: Any, fault: dict[str, Any], first: str, last: str
) -> None:
    office.fault(**fault, method=PAY)
    assert pay(office).row.state == first
    office.let_the_quiet_time_pass()
    assert pay(office).row.state == last
    assert payment.paid is (last == "paid")
    assert len(office.state.smart_invoices[1].executed_pays) == (last == "paid")


def test_another_pay_system_than_the_payments_own_is_refused_and_named(office: Any, payment: Any) -> None:
    settled = pay(office, seed.REST_SYSTEM)
    assert settled.row.state is State.READY
    assert settled.trouble is not None
    assert isinstance(settled.trouble.cause, BitrixError)
    assert "Payment with ID=1 and PAY_SYSTEM_ID=31 not found" in str(settled.trouble.cause)
    assert not payment.paid


def test_a_payment_bound_to_no_pay_system_is_told_so_before_anything_is_sent(office: Any, payment: Any) -> None:
    payment.pay_system_id = 0
    with pytest.raises(ValueError, match="pay_system_id: missing, and the payment is bound to no pay system"):
        pay(office)
    assert office.asked(PAY) == 0


def test_a_pay_system_that_does_nothing_is_stopped_after_three(office: Any, payment: Any) -> None:
    office.state.pay_systems[40] = replace(office.state.pay_systems[seed.ORDER_SYSTEM], id=40, action_file="bill")
    for document_id in (1, 2, 3, 4):
        document = payment if document_id == 1 else new_document(office.state, 1)
        document.amount, document.pay_system_id = Decimal("118.00"), 40
    for document_id in (1, 2, 3):
        settled = settle_plain(office.desk, document_id, PaySystem(40), kind="payment")
        assert settled.row.reason == "true_but_unpaid"
    with pytest.raises(ValueError, match="the last 3 invoices sent through order:40 stayed unpaid"):
        settle_plain(office.desk, 4, PaySystem(40), kind="payment")


def test_a_payment_paid_by_a_person_is_already_paid(office: Any, payment: Any) -> None:
    payment.pay(seed.ACCOUNTANT, datetime.now(MOSCOW))
    assert (pay(office).row.how, office.asked(PAY)) == ("by_hand", 0)


def test_a_payment_taken_back_is_a_case_and_is_not_paid_anew(office: Any, payment: Any) -> None:
    pay(office)
    payment.unpay()
    assert sweep(office.desk)["reversed"] == 1
    assert pay(office).trouble is not None
    assert office.asked(PAY) == 1


def test_a_deleted_payment_does_not_stop_the_sweep(office: Any, payment: Any) -> None:
    pay(office)
    del office.state.payment_documents[payment.id]
    assert sweep(office.desk)["reversed"] == 0


WAYS = {"payment": PAY, "legacy": "sale.paysystem.pay.invoice", "smart": "crm.item.update"}


@pytest.mark.parametrize("kind", WAYS)
def test_a_sum_changed_after_a_try_that_did_not_run_is_told_once_and_then_paid_for_a_payment_as_for_invoices(
    office: Any, payment: Any, kind: Any
) -> None:
    pay_system = office.pay_system if kind == "legacy" else None
    office.fault("error", method=WAYS[kind], status=403, code="ACCESS_DENIED")
    tries = [settle_plain(office.desk, 1, pay_system, kind=kind).row]
    payment.amount = Decimal("120.00")
    office.state.invoices[1].price = office.state.smart_invoices[1].price = Decimal("120.00")
    tries += [settle_plain(office.desk, 1, pay_system, kind=kind).row for _ in range(2)]
    assert [(row.state, row.reason, row.expected) for row in tries] == [
        ("ready", None, 11800),
        ("review", "amount_changed", 11800),
        ("paid", None, 12000),
    ]
