from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import update

from airflow_b24.bitrix.errors import AuthError, RefusedError
from airflow_b24.bitrix.stages import Wishes
from airflow_b24.ledger import settlements
from airflow_b24.ledger.schema import settlement
from airflow_b24.reconcile.sweeping import sweep
from airflow_b24.reconcile.whereabouts import GONE, whereabouts
from airflow_b24.sandbox import seed
from airflow_b24.sandbox.payment_documents import new_document


def smart(office: Any) -> Any:
    office.smart_bill()
    office.receive()
    office.match()
    return office


def now(office: Any) -> dict[int, str]:
    return whereabouts(office.desk, settlements.look_all(office.store, range(1, 5)).values())


@pytest.mark.parametrize(
    ("stage_id", "said"),
    [
        ("DT31_5:N", "stage DT31_5:N (Новый), where new invoices begin: not paid"),
        ("DT31_5:S", "stage DT31_5:S (Отправлен), on the way: not paid"),
        ("DT31_5:P", "stage DT31_5:P (Оплачен), means paid"),
        ("DT31_5:D", "stage DT31_5:D (Не оплачен), means lost"),
    ],
)
def test_a_smart_invoice_is_in_a_stage_with_a_name_and_a_meaning(office: Any, stage_id: str, said: str) -> None:
    smart(office).moves(2, stage_id)
    assert now(office) == {1: said}


def test_the_meaning_is_what_people_wish_for(office: Any) -> None:
    smart(office)
    wished = office.with_desk(wishes=Wishes(also_paid=("DT31_5:S",)))
    assert now(wished)[1].endswith("(Отправлен), means paid")
    wished = office.with_desk(wishes=Wishes(partial_stage=("DT31_5:S",)))
    assert now(wished)[1].endswith("(Отправлен), where parts wait for the rest: not paid")


def test_where_documents_count_it_is_said_how_its_document_stands(office: Any) -> None:
    smart(office).moves(2, "DT31_5:P")
    document = new_document(office.state, 2)
    document.amount = Decimal("118.00")
    wished = office.with_desk(wishes=Wishes(mark_with="payment"))
    assert now(wished)[1] == "stage DT31_5:P (Оплачен), means paid; its payment document: not paid"
    document.pay(seed.ACCOUNTANT, office.state.smart_invoices[2].moved_at)
    assert now(wished)[1].endswith("its payment document: paid")


@pytest.mark.parametrize(
    ("status", "said"), [("S", "not paid (status S)"), ("P", "paid (status P)"), ("D", "cancelled")]
)
def test_a_legacy_invoice_is_paid_or_not_or_cancelled(office: Any, status: str, said: str) -> None:
    office.ready()
    office.person(2, status)
    assert now(office) == {1: said}


def test_one_that_is_gone_and_those_of_another_portal_are_told_apart(office: Any) -> None:
    office.ready()
    office.delete(2)
    assert now(office) == {1: GONE}
    asked = len(office.state.journal)
    elsewhere = office.with_desk(portal_id=office.meet("other.example"))
    assert (now(elsewhere), len(office.state.journal)) == ({}, asked)


def test_a_portal_that_cannot_answer_is_asked_once(office: Any) -> None:
    office.ready()
    office.fault("error", times=9, method="profile", status=503, code="QUERY_LIMIT_EXCEEDED")
    asked = len(office.state.journal)
    with pytest.raises(RefusedError):
        now(office)
    assert len(office.state.journal) == asked + 1
    office.state.faults.rules.clear()
    office.fault("error", times=9, method="profile", status=401, code="INVALID_CREDENTIALS")
    with pytest.raises(AuthError):
        now(office)


BY_HAND = ["gave_up", "landed_then_changed", "may_have_landed", "portal_refused", "restored", "true_but_unpaid"]


def in_review(office: Any, reason: str) -> None:
    with office.store.transaction() as connection:
        connection.execute(update(settlement).values(state="review", reason=reason))


@pytest.mark.parametrize("reason", BY_HAND)
def test_a_legacy_invoice_marked_paid_by_hand_closes_its_review_as_review_says(office: Any, reason: str) -> None:
    office.ready()
    in_review(office, reason)
    office.person(2, "P")
    assert sweep(office.desk)["closed"] == 1


@pytest.mark.parametrize("reason", [*BY_HAND, "required_field", "moved_on_from_paid", "paid_other_amount"])
def test_a_smart_invoice_moved_to_success_by_hand_closes_its_review_as_review_says(office: Any, reason: str) -> None:
    smart(office)
    in_review(office, reason)
    office.moves(2, "DT31_5:P")
    assert sweep(office.desk)["closed"] == 1


def test_the_documents_number_on_a_legacy_invoice_closes_what_was_already_paid(office: Any) -> None:
    office.ready()
    in_review(office, "already_paid")
    office.person(2, "P")
    assert sweep(office.desk)["closed"] == 0
    office.state.invoices[2].voucher_number = "17"
    assert sweep(office.desk)["closed"] == 1
