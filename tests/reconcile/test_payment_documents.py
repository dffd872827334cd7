"""Smart invoices that are marked paid by their payment document, whatever stage they stand in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from airflow_b24.bitrix.limits import Unpaced
from airflow_b24.bitrix.stages import Wishes
from airflow_b24.ledger.settlement import Settled
from airflow_b24.ledger.states import State
from airflow_b24.reconcile.settling import settle_matched, settle_plain
from airflow_b24.reconcile.sweeping import sweep
from airflow_b24.sandbox import seed
from airflow_b24.sandbox.payment_documents import new_document
from airflow_b24.sandbox.state import MOSCOW

PAY = "crm.item.payment.pay"


@pytest.fixture
def documents(office: Any) -> Any:
    """The desk of people who work with payment documents."""
    return office.with_desk(wishes=Wishes(mark_with="payment"))


def add(office: Any, amount: str = "118.00", invoice_id: int = 2) -> Any:
    document = new_document(office.state, invoice_id)
    document.amount, document.pay_system_id = Decimal(amount), seed.ORDER_SYSTEM
    return document


def ready(office: Any, *amounts: str) -> int:
    office.smart_bill(2)
    for amount in amounts:
        add(office, amount)
    office.receive(2)
    assert office.match()["promised"] == 1
    return int(office.due()[2])


def settle(office: Any, settlement_id: int) -> Settled:
    return settle_matched(office.desk, settlement_id, 2, None)


def test_the_document_of_the_whole_sum_is_paid_and_the_stage_left_alone(documents: Any) -> None:
    settled = settle(documents, ready(documents, "18.00", "118.00"))
    part, whole = documents.state.payment_documents.values()
    assert (settled.row.how, settled.row.pay_system) == ("sent", f"document:{whole.id}")
    assert (whole.paid, whole.paid_by, part.paid) == (True, seed.TECHNICAL, False)
    assert documents.state.smart_invoices[2].stage_id == "DT31_5:S"
    assert documents.asked("crm.item.update") == 0


def test_a_slot_is_reserved_for_every_request_of_a_settlement(documents: Any) -> None:
    settlement_id, pace = ready(documents, "118.00"), Counting()
    documents.state.journal.clear()
    assert settle(documents.with_desk(pace=pace), settlement_id).row.how == "sent"
    assert pace.reserved == sum(documents.asked(method) for method in ("crm.item.get", "crm.item.payment.list", PAY))


class Counting(Unpaced):
    """No budget, and how many requests one would have been asked for."""

    reserved = 0

    def reserve(self, n: int, within_s: float, *, urgent: bool = False) -> Iterator[float]:
        self.reserved += n
        return super().reserve(n, within_s, urgent=urgent)


@pytest.mark.parametrize("amounts", [(), ("117.99",), ("118.00", "118.00")])
def test_without_exactly_one_document_of_the_whole_sum_a_person_is_asked_until_there_is(
    documents: Any, amounts: tuple[str, ...]
) -> None:
    settlement_id = ready(documents, *amounts)
    assert settle(documents, settlement_id).row.reason == "no_payment_document"
    assert sweep(documents.desk)["ready"] == 0
    documents.state.payment_documents.clear()
    add(documents)
    assert sweep(documents.desk)["ready"] == 1
    assert settle(documents, settlement_id).row.how == "sent"


def test_a_stage_of_success_beside_an_unpaid_document_is_put_before_a_person(documents: Any) -> None:
    settlement_id = ready(documents, "118.00")
    documents.moves(2, "DT31_5:P")
    settled = settle(documents, settlement_id)
    assert (settled.row.reason, documents.asked(PAY)) == ("stage_says_paid", 0)


def test_a_document_that_a_person_paid_consumes_the_payment_and_nothing_is_sent(documents: Any) -> None:
    settlement_id = ready(documents, "118.00")
    next(iter(documents.state.payment_documents.values())).pay(seed.ACCOUNTANT, datetime.now(MOSCOW))
    assert (settle(documents, settlement_id).row.how, documents.asked(PAY)) == ("by_hand", 0)


FAULTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "refused once": ({"kind": "refused"}, "paid", "paid"),
    "lost on the way there": ({"kind": "lost_before"}, "unknown", "review"),
    "lost on the way back": ({"kind": "lost_after"}, "paid", "paid"),
    "true and nothing done": ({"kind": "unpaid", "times": 1000}, "review", "review"),
    "an unclear error": ({"kind": "error", "status": 500}, "unknown", "review"),
    "a refusal without a code": ({"kind": "error", "code": "0", "status": 400}, "ready", "paid"),
}


@pytest.mark.parametrize(("fault", "first", "last"), FAULTS.values(), ids=FAULTS)
def test_a_fault_on_the_pay_ends_where_it_must_and_never_pays_twice(
    documents: Any, fault: dict[str, Any], first: str, last: str
) -> None:
    settlement_id = ready(documents, "118.00")
    documents.fault(**fault, method=PAY)
    assert settle(documents, settlement_id).row.state == first
    documents.let_the_quiet_time_pass()
    assert settle(documents, settlement_id).row.state == last
    assert len(documents.state.smart_invoices[2].executed_pays) == (last == "paid")


def test_a_document_that_was_unpaid_again_is_a_case_and_is_not_paid_anew(documents: Any) -> None:
    settlement_id = ready(documents, "118.00")
    settle(documents, settlement_id)
    next(iter(documents.state.payment_documents.values())).unpay()
    assert sweep(documents.desk)["reversed"] == 1
    assert settle(documents, settlement_id).trouble is not None
    assert len(documents.state.smart_invoices[2].executed_pays) == 1


def test_what_is_unknown_is_sent_again_as_before_whatever_was_configured_since(documents: Any, office: Any) -> None:
    settlement_id = ready(documents, "118.00")
    documents.fault("lost_before", method=PAY)
    assert settle(documents, settlement_id).row.state is State.UNKNOWN
    office.let_the_quiet_time_pass()
    # A person decides, whatever way the invoice is looked at now.
    settled = settle(office, settlement_id)
    assert (settled.row.state, settled.row.reason) == (State.REVIEW, "may_have_landed")
    assert office.state.smart_invoices[2].executed_pays == []


def test_a_document_paid_with_a_card_meanwhile_is_not_taken_for_our_call_nor_for_the_banks_money(
    documents: Any,
) -> None:
    settlement_id = ready(documents, "118.00")
    documents.fault("lost_before", method=PAY)
    assert settle(documents, settlement_id).row.state is State.UNKNOWN
    next(iter(documents.state.payment_documents.values())).pay(None, datetime.now(MOSCOW))
    settled = settle(documents, settlement_id)
    assert (settled.row.state, settled.row.reason) == (State.REVIEW, "already_paid")


def test_money_for_a_document_that_was_paid_by_its_id_as_a_payment_of_an_order_is_never_taken_for_that(
    documents: Any,
) -> None:
    settlement_id = ready(documents, "118.00")
    assert settle_plain(documents.desk, 1, None, kind="payment").row.how == "sent"
    row = settle(documents, settlement_id).row
    assert (row.state, row.reason, documents.asked(PAY)) == (State.REVIEW, "already_paid", 0)
    assert sweep(documents.desk)["closed"] == 0


def test_a_review_is_not_closed_by_a_document_that_was_paid_by_its_id_since(documents: Any) -> None:
    settlement_id = ready(documents)
    assert settle(documents, settlement_id).row.reason == "no_payment_document"
    document = add(documents)
    settle_plain(documents.desk, document.id, None, kind="payment")
    assert sweep(documents.desk)["closed"] == 0


def test_an_order_payment_that_was_refused_is_no_doubt_about_who_paid_by_hand(documents: Any) -> None:
    settlement_id = ready(documents, "118.00")
    documents.fault("error", method="sale.paysystem.pay.payment", status=403, code="ACCESS_DENIED")
    assert settle_plain(documents.desk, 1, None, kind="payment").row.state is State.READY
    documents.state.payment_documents[1].pay(seed.ACCOUNTANT, datetime.now(MOSCOW))
    assert settle(documents, settlement_id).row.how == "by_hand"
