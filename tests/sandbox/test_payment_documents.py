from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_b24.sandbox import seed

READER = seed.webhook_path(seed.READER, seed.READER_SECRET)
PAY, SALE = "crm.item.payment.pay", "sale.paysystem.pay.payment"
CHECK, PROCESS = "ERROR_CHECK_FAILURE", "ERROR_PROCESS_REQUEST_RESULT"


@pytest.fixture
def paper(smart):
    """Smart invoice 501 with the documents 1, bound to the pay system of orders, and 2, bound to a bill."""
    systems = (seed.ORDER_SYSTEM, "100.00"), (seed.BILL_SYSTEM, "18.00")
    for system, amount in systems:
        sent = {"invoice_id": 501, "pay_system_id": system, "sum": amount}
        assert smart.control("POST", "payment-documents", sent)[0] == 200
    return smart


def pays(desk) -> list[tuple[str, int | None]]:
    return [(pay["method"], pay["document_id"]) for pay in desk.smart_books(501)["pays"]]


def test_documents_have_the_documented_shape(paper) -> None:
    paper.result(PAY, {"id": 1})
    assert paper.result("crm.item.payment.list", {"entityId": 501, "entityTypeId": 31}) == [
        {
            "id": 1,
            "accountNumber": "S-501/1",
            "paid": "Y",
            "datePaid": "2026-11-22T12:00:00+03:00",
            "empPaidId": 9,
            "paySystemId": 33,
            "sum": 100,
            "currency": "RUB",
            "paySystemName": "Оплата заказов",
        },
        {
            "id": 2,
            "accountNumber": "S-501/2",
            "paid": "N",
            "datePaid": None,
            "empPaidId": None,
            "paySystemId": 6,
            "sum": 18,
            "currency": "RUB",
            "paySystemName": "Счёт (Россия)",
        },
    ]


def test_one_document_is_read_as_in_the_list_and_another_invoice_has_none(paper) -> None:
    first, _ = paper.result("crm.item.payment.list", {"entityId": 501, "entityTypeId": 31})
    assert paper.result("crm.item.payment.get", {"id": 1}) == first
    assert paper.result("crm.item.payment.list", {"entityId": 2, "entityTypeId": 31}) == []


@pytest.mark.parametrize("method", ["crm.item.payment.get", PAY, "crm.item.payment.unpay"])
@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ({"id": 99}, "0", "Payment has not been found"),
        ({}, "100", "Could not find value for parameter {id}"),
    ],
)
def test_an_unknown_document_is_refused(paper, method: str, arguments: dict[str, Any], code: str, text: str) -> None:
    assert paper.refused(method, arguments) == (400, code, text)


@pytest.mark.parametrize("method", [PAY, "crm.item.payment.unpay"])
def test_a_reader_may_not_pay(paper, method: str) -> None:
    assert paper.refused(method, {"id": 1}, path=READER) == (400, "0", "Insufficient permissions")
    assert paper.result("crm.item.payment.get", {"id": 1}, path=READER)["paid"] == "N"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"entityId": 999, "entityTypeId": 31}, "NOT_FOUND"),
        ({"entityId": 501, "entityTypeId": 5}, "ENTITY_TYPE_NOT_SUPPORTED"),
        ({"entityTypeId": 31}, "100"),
    ],
)
@pytest.mark.parametrize("method", ["crm.item.payment.list", "crm.item.payment.add"])
def test_documents_of_what_is_no_smart_invoice_are_refused(
    paper, method: str, arguments: dict[str, int], code: str
) -> None:
    assert paper.refused(method, arguments)[:2] == (400, code)


def test_a_paid_document_does_not_move_the_stage(paper) -> None:
    assert paper.result(PAY, {"id": 1}) is True
    assert (paper.smart_books(501)["stage_id"], len(paper.history(501))) == ("DT31_5:S", 2)
    assert pays(paper) == [(PAY, 1)]


def test_paying_a_paid_one_is_true_and_changes_only_the_books(paper) -> None:
    paper.result(PAY, {"id": 1})
    before = paper.result("crm.item.payment.get", {"id": 1})
    paper.now += timedelta(hours=1)
    assert paper.result(PAY, {"id": 1}) is True
    assert paper.result("crm.item.payment.get", {"id": 1}) == before
    assert pays(paper) == [(PAY, 1), (PAY, 1)]
    assert paper.control("GET", "books")[1]["double_paid"] == 1


def test_a_document_is_taken_back(paper) -> None:
    paper.result(PAY, {"id": 1})
    assert paper.result("crm.item.payment.unpay", {"id": 1}) is True
    row = paper.result("crm.item.payment.get", {"id": 1})
    assert (row["paid"], row["datePaid"], row["empPaidId"]) == ("N", None, None)


def test_where_the_trigger_is_set_up_the_last_paid_document_moves_the_invoice(paper) -> None:
    paper.control("POST", "settings", {"paid_order_moves_stage": True})
    paper.result(PAY, {"id": 1})
    assert paper.smart_books(501)["stage_id"] == "DT31_5:S"
    paper.result(PAY, {"id": 2})
    assert paper.smart_books(501)["stage_id"] == "DT31_5:P"
    assert pays(paper) == [(PAY, 1), (PAY, 2)]


def test_a_new_document_is_empty(paper) -> None:
    number = paper.result("crm.item.payment.add", {"entityId": 501, "entityTypeId": 31})
    row = paper.result("crm.item.payment.get", {"id": number})
    assert (number, row["accountNumber"], row["sum"], row["paid"]) == (3, "S-501/3", 0, "N")


@pytest.mark.parametrize(("kind", "cut", "paid"), [("lost_before", True, "N"), ("lost_after", True, "Y")])
def test_a_lost_answer_tells_nothing(paper, kind: str, cut: bool, paid: str) -> None:
    paper.fault(kind, method=PAY, match={"id": "1"})
    paper.result(PAY, {"id": 2})
    assert paper.ask(PAY, {"id": 1}).cut is cut
    assert paper.result("crm.item.payment.get", {"id": 1})["paid"] == paid


@pytest.mark.parametrize(("method", "arguments"), [(PAY, {"id": 1}), (SALE, {"PAYMENT_ID": 1, "PAY_SYSTEM_ID": 33})])
def test_unpaid_answers_true_and_stores_nothing(paper, method: str, arguments: dict[str, int]) -> None:
    paper.control("POST", "settings", {"paid_order_moves_stage": True})
    paper.fault("unpaid", method=method, match=arguments)
    before = paper.smart_books(501)
    assert paper.result(method, arguments) is True
    assert paper.smart_books(501) == before


def test_a_rest_pay_system_of_orders_pays_the_document_that_is_bound_to_it(paper) -> None:
    assert paper.result(SALE, {"payment_id": "1", "pay_system_id": "33"}) is True
    assert paper.result("crm.item.payment.get", {"id": 1})["paid"] == "Y"
    assert pays(paper) == [(SALE, 1)]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ({}, CHECK, "Empty field PAY_SYSTEM_ID!"),
        ({"PAY_SYSTEM_ID": 999}, CHECK, "Pay system not found"),
        ({"PAY_SYSTEM_ID": 33}, CHECK, "Empty field PAYMENT_ID"),
        ({"PAY_SYSTEM_ID": 33, "PAYMENT_ID": 2}, CHECK, "Payment with ID=2 and PAY_SYSTEM_ID=33 not found"),
        ({"PAY_SYSTEM_ID": 33, "PAYMENT_ID": 9}, CHECK, "Payment with ID=9 and PAY_SYSTEM_ID=33 not found"),
        ({"PAY_SYSTEM_ID": 6, "PAYMENT_ID": 2}, PROCESS, "Pay system not found"),
    ],
)
def test_the_pay_system_checks_in_the_portals_order(paper, arguments: dict[str, int], code: str, text: str) -> None:
    assert paper.refused(SALE, arguments) == (400, code, text)
    assert pays(paper) == []


@pytest.mark.parametrize(("action_file", "status"), [("bill", 200), ("yandexcheckout", 400)])
def test_only_a_rest_handler_really_pays(paper, action_file: str, status: int) -> None:
    system = paper.state.pay_systems[33]
    paper.state.pay_systems[33] = type(system)(33, "x", action_file, registry="ORDER")
    assert paper.call(SALE, {"PAY_SYSTEM_ID": 33, "PAYMENT_ID": 1})[0] == status
    assert pays(paper) == []


def test_a_user_without_rights_to_orders_is_refused_first(paper) -> None:
    assert paper.refused(SALE, {}, path=READER) == (403, "ACCESS_DENIED", "Access denied!")


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "invoice_id"),
        ({"invoice_id": 999}, "invoice_id"),
        ({"invoice_id": None}, "invoice_id"),
        ({"id": 99}, "id"),
        ({"id": None}, "id"),
        ({"invoice_id": 501, "sum": 5}, "sum"),
        ({"invoice_id": 501, "by": "Olga"}, "by"),
        ({"invoice_id": 501, "amount": "5.00"}, "amount"),
    ],
)
def test_a_document_that_cannot_be_read_is_refused_by_its_field(paper, document: dict[str, Any], field: str) -> None:
    status, given = paper.control("POST", "payment-documents", document)
    assert (status, given["error"].split(":")[0]) == (400, field)
    assert sorted(paper.state.payment_documents) == [1, 2]


def test_a_person_pays_a_document_and_takes_it_back_without_a_program(paper) -> None:
    (row,) = paper.control("POST", "payment-documents", {"id": 1, "paid": True, "by": 2})[1]
    assert (row["paid"], row["empPaidId"], row["sum"], pays(paper)) == ("Y", 2, 100, [])
    (row,) = paper.control("POST", "payment-documents", {"id": 1, "paid": False})[1]
    assert (row["paid"], row["empPaidId"]) == ("N", None)
