"""Smart invoices that have been paid and stand in an open stage again: filed by robots or clerks, or taken back."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from airflow_b24.bitrix.stages import Wishes
from airflow_b24.ledger import cases
from airflow_b24.ledger.states import State
from airflow_b24.reconcile.releasing import confirm, retry
from airflow_b24.reconcile.settling import settle_matched, settle_plain
from airflow_b24.reconcile.sweeping import sweep
from airflow_b24.sandbox import seed
from airflow_b24.sandbox.funnel import Funnel, Robot, Stage
from airflow_b24.sandbox.payment_documents import new_document

UPDATE, PAY_DOCUMENT = "crm.item.update", "crm.item.payment.pay"
PAID, SENT, DOCS, FILED = "DT31_5:P", "DT31_5:S", "DT31_5:X", "DT31_5:Y"


def ready(office: Any) -> int:
    office.smart_bill()
    office.receive()
    office.match()
    return int(office.due()[2])


def settle(office: Any, settlement_id: int) -> Any:
    return settle_matched(office.desk, settlement_id, 2, None)


def pays(office: Any) -> int:
    return len(office.state.smart_invoices[2].executed_pays)


def moves(office: Any, *stages: str, by: int = seed.ACCOUNTANT) -> None:
    for each in stages:
        office.moves(2, each, by=by)


def changed(office: Any, monkeypatch: pytest.MonkeyPatch, stage_id: str, **changes: Any) -> None:
    """One stage of the funnel is changed; there are two more in which paid invoices are filed."""
    five = office.state.funnels[5]
    stages = tuple(replace(each, **changes) if each.id == stage_id else each for each in five.stages)
    filing = () if five.stage(DOCS) else (Stage(DOCS, "Документы", 150), Stage(FILED, "Архив", 160))
    monkeypatch.setitem(office.state.funnels, 5, Funnel(5, five.name, (*stages, *filing), default=True))


@pytest.fixture
def filing(office: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What is paid goes on to the documents at once, and from there into the archive."""
    changed(office, monkeypatch, PAID, robot=Robot(DOCS))
    changed(office, monkeypatch, DOCS, robot=Robot(FILED))
    return office


def told_to_retry(office: Any) -> int:
    settlement_id = ready(office)
    moves(office, PAID, SENT, by=seed.TECHNICAL)
    assert settle(office, settlement_id).row.reason == "moved_on_from_paid"
    assert retry(office.desk, settlement_id).state is State.READY
    return settlement_id


def test_what_was_taken_back_before_our_call_was_lost_is_not_paid_by_it(office: Any) -> None:
    settlement_id = told_to_retry(office)
    office.fault("lost_before", method=UPDATE)
    assert settle(office, settlement_id).row.state is State.UNKNOWN
    assert pays(office) == 0
    office.let_the_quiet_time_pass()
    assert (settle(office, settlement_id).row.how, pays(office)) == ("sent", 1)


@pytest.mark.parametrize("named", [False, True])
def test_nor_where_it_was_refused(office: Any, monkeypatch: pytest.MonkeyPatch, named: bool) -> None:
    office = office.with_desk(invoice_type="smart")
    if named:
        office.smart_bill()
        moves(office, PAID, SENT, by=seed.TECHNICAL)
        retry(office.desk, settle_plain(office.desk, 2, None).row.id)
    else:
        settlement_id = told_to_retry(office)
    changed(office, monkeypatch, PAID, required=(next(iter(office.state.smart_fields)),))
    settled = settle_plain(office.desk, 2, None) if named else settle(office, settlement_id)
    assert (settled.row.reason, pays(office)) == ("required_field", 0)


def test_two_robots_in_a_row_hide_neither_our_pay_nor_that_it_lasts(filing: Any) -> None:
    settlement_id = ready(filing)
    settled = settle(filing, settlement_id)
    assert (settled.row.state, settled.row.how, pays(filing)) == (State.PAID, "sent", 1)
    assert filing.state.smart_invoices[2].stage_id == FILED
    assert sweep(filing.desk)["reversed"] == 0
    assert settle(filing, settlement_id).trouble is None


def test_a_robot_that_files_it_later_reverses_nothing(office: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(office, monkeypatch, PAID, robot=Robot(DOCS))
    settle(office, ready(office))
    moves(office, FILED, by=seed.TECHNICAL)
    assert sweep(office.desk)["reversed"] == 0


def test_a_lost_answer_of_a_pay_that_two_robots_filed_is_found_at_once(filing: Any) -> None:
    settlement_id = ready(filing)
    filing.fault("lost_after", method=UPDATE)
    assert settle(filing, settlement_id).row.how == "sent"
    assert pays(filing) == 1


def test_what_a_person_paid_and_two_robots_filed_is_not_paid_over(filing: Any) -> None:
    settlement_id = ready(filing)
    moves(filing, PAID)
    assert (settle(filing, settlement_id).row.reason, pays(filing)) == ("moved_on_from_paid", 0)


def test_that_review_waits_for_a_person_wherever_the_invoice_goes(office: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(office, monkeypatch, PAID, robot=Robot(DOCS))
    settlement_id = ready(office)
    moves(office, PAID)
    settle(office, settlement_id)
    moves(office, FILED)
    assert sweep(office.desk)["ready"] == 0
    assert office.due() == {}
    assert confirm(office.desk, settlement_id).how == "by_hand"
    assert sweep(office.desk)["reversed"] == 0
    moves(office, SENT)
    assert sweep(office.desk)["reversed"] == 1


@pytest.fixture
def documents(office: Any) -> Any:
    """A portal whose people work with payment documents, and an invoice with one."""
    at_work = office.with_desk(wishes=Wishes(mark_with="payment"))
    at_work.smart_bill()
    document = new_document(at_work.state, 2)
    document.amount, document.pay_system_id = Decimal("118.00"), seed.ORDER_SYSTEM
    at_work.receive()
    at_work.match()
    return at_work


def test_where_documents_count_the_stage_hides_no_reversal(documents: Any) -> None:
    settlement_id = documents.due()[2]
    assert settle(documents, settlement_id).row.how == "sent"
    moves(documents, PAID, SENT, by=seed.TECHNICAL)
    next(iter(documents.state.payment_documents.values())).unpay()
    assert sweep(documents.desk)["reversed"] == 1
    with documents.store.snapshot() as connection:
        assert [each["kind"] for each in cases.open_cases(connection)] == [cases.REVERSED]


def test_where_documents_count_the_stage_pays_nothing(documents: Any) -> None:
    settlement_id = documents.due()[2]
    documents.fault("lost_before", method=PAY_DOCUMENT)
    settle(documents, settlement_id)
    moves(documents, PAID, SENT, by=seed.TECHNICAL)
    assert settle(documents, settlement_id).row.state is State.UNKNOWN


def test_what_stands_where_new_invoices_begin_was_taken_back_and_cannot_be_confirmed(office: Any) -> None:
    settlement_id = ready(office)
    moves(office, PAID, "DT31_5:N")
    settle(office, settlement_id)
    with pytest.raises(ValueError, match="stands where new ones begin: it was taken back, so retry it"):
        confirm(office.desk, settlement_id)
    assert retry(office.desk, settlement_id).state is State.READY
