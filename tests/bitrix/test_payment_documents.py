from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from airflow_b24.bitrix.errors import RequestError, ResponseError
from airflow_b24.bitrix.exchange import exchange
from airflow_b24.bitrix.invoice import Invoice
from airflow_b24.bitrix.payment_documents import (
    NO_DOCUMENT,
    STAGE_SAYS_PAID,
    PayDocument,
    PaymentDocument,
    by_document,
    look,
    of_all,
    parse_document,
)
from airflow_b24.bitrix.protocol import Response
from airflow_b24.bitrix.smart_invoice import parse_invoice
from airflow_b24.bitrix.smart_invoices import SmartInvoices
from airflow_b24.bitrix.stages import Stage, Stages, Wishes

Talk = Callable[..., tuple[list[Any], Any]]

# docs: the example of crm.item.payment.list
PAID_ROW = {
    "id": 1036,
    "accountNumber": "3653/1",
    "paid": "Y",
    "datePaid": "2024-05-20T12:32:02+03:00",
    "empPaidId": 1,
    "paySystemId": 6,
    "sum": 0,
    "currency": "USD",
    "paySystemName": "Cash",
}
UNPAID_ROW = PAID_ROW | {"id": 1037, "paid": "N", "datePaid": None, "empPaidId": None}

S, P, D = (Stage(f"DT31_5:{code}", 5, code, means) for code, means in zip("SPD", ("process", "success", "failure"), strict=True))  # type: ignore[arg-type]  # fmt: skip
STAGES = Stages({stage.id: stage for stage in (S, P, D)}, Wishes(mark_with="payment"))
WE = 9
PAID_AT = datetime.fromisoformat("2026-11-22T10:00:00+03:00")
WHOLE = PaymentDocument(7, paid=False, paid_at=None, paid_by=None, sum=Decimal("118.50"), currency="RUB")
PART = replace(WHOLE, id=8, sum=Decimal(18))
DONE = replace(WHOLE, paid=True, paid_at=PAID_AT, paid_by=WE)


def item(stage: str = "S") -> dict[str, Any]:
    row = {"id": 17, "stageId": f"DT31_5:{stage}", "categoryId": 5, "movedBy": 2, "opportunity": Decimal("118.5")}
    return row | {"currencyId": "RUB", "movedTime": "2026-11-20T10:00:00+03:00", "accountNumber": "2026/17"}


def invoice(stage: str = "S") -> Invoice:
    return parse_invoice(item(stage), STAGES, WE)


def test_a_document_is_read_as_the_documentation_shows_it() -> None:
    moment = datetime.fromisoformat("2024-05-20T12:32:02+03:00")
    assert parse_document(PAID_ROW) == PaymentDocument(1036, True, moment, 1, Decimal(0), "USD")
    assert parse_document(UNPAID_ROW) == PaymentDocument(1037, False, None, None, Decimal(0), "USD")


@pytest.mark.parametrize(
    "wrong", [None, [], {**PAID_ROW, "id": 0}, {**PAID_ROW, "paid": 1}, {**PAID_ROW, "datePaid": "x"}]
)
def test_what_is_no_document_names_what_is_wrong(wrong: object) -> None:
    with pytest.raises(ResponseError):
        parse_document(wrong)


SHOWN: dict[str, tuple[str, list[PaymentDocument], dict[str, Any]]] = {
    "one of the whole sum, unpaid": ("S", [WHOLE], {"paid": False, "document_id": 7, "lacks": None}),
    "one of the whole sum beside a part": ("S", [PART, WHOLE], {"paid": False, "document_id": 7, "lacks": None}),
    "none": ("S", [], {"paid": False, "document_id": None, "lacks": NO_DOCUMENT}),
    "a part alone": ("S", [PART], {"paid": False, "document_id": None, "lacks": NO_DOCUMENT}),
    "two of the whole sum": (
        "S",
        [WHOLE, replace(WHOLE, id=9)],
        {"paid": False, "document_id": None, "lacks": NO_DOCUMENT},
    ),
    "one in another currency": ("S", [replace(WHOLE, currency="EUR")], {"paid": False, "lacks": NO_DOCUMENT}),
    "unpaid in a stage of success": ("P", [WHOLE], {"paid": False, "paid_at": None, "lacks": STAGE_SAYS_PAID}),
    "none in a stage of success": ("P", [], {"paid": False, "paid_by_us": None, "lacks": NO_DOCUMENT}),
    "paid by us, whatever the stage": ("S", [DONE], {"paid": True, "paid_at": PAID_AT, "paid_by_us": True}),
    "paid by a person": ("P", [replace(DONE, paid_by=2)], {"paid": True, "paid_by": 2, "paid_by_us": False}),
    "paid by nobody knows whom": (
        "S",
        [replace(DONE, paid_by=None)],
        {"paid": True, "paid_by_us": False},
    ),
    "unpaid in a stage of failure": ("D", [WHOLE], {"paid": False, "cancelled": True, "lacks": None}),
}


@pytest.mark.parametrize(("stage", "documents", "expected"), SHOWN.values(), ids=SHOWN)
def test_an_invoice_is_paid_as_its_one_document_of_the_whole_sum_is(
    stage: str, documents: list[PaymentDocument], expected: dict[str, Any]
) -> None:
    shown = by_document(invoice(stage), documents, STAGES, WE)
    assert {name: getattr(shown, name) for name in expected} == expected


def test_an_invoice_without_a_price_that_can_be_read_has_no_document() -> None:
    unreadable = replace(invoice(), price=None)
    assert by_document(unreadable, [replace(WHOLE, sum=None)], STAGES, WE).lacks == NO_DOCUMENT


def test_marking_paid_pays_the_document_and_reads_invoice_and_documents_back(talk: Talk) -> None:
    order, smart = PayDocument(17, 7), SmartInvoices(STAGES, WE)
    row = PAID_ROW | {"id": 7, "sum": Decimal("118.5"), "currency": "RUB", "empPaidId": WE}
    flow = exchange([order], {order.key: lambda: smart.look(17)}, 7.5)
    effects, done = talk(flow, Response(True), Response({"item": item()}), Response([row]))
    assert [effect.method for effect in effects] == ["crm.item.payment.pay", "crm.item.get", "crm.item.payment.list"]
    assert (effects[0].arguments, effects[0].write, effects[0].send_before) == ({"id": 7}, True, 7.5)
    assert effects[2].arguments == {"entityId": 17, "entityTypeId": 31}
    assert (done.pays[order.key], done.reads[order.key].paid_by_us) == (True, True)
    assert not order.is_answered(Response({"item": {"id": 17}}))


@pytest.mark.parametrize("result", [None, {}, [None], [{"id": 7}]])
def test_documents_that_cannot_be_read_are_an_error_value(talk: Talk, result: object) -> None:
    assert isinstance(talk(look(17), Response(result))[1], ResponseError)
    smart = SmartInvoices(STAGES, WE)
    _, looked = talk(smart.look(17), Response({"item": item()}), Response(result))
    assert isinstance(looked, ResponseError)


def test_the_documents_of_many_are_read_in_one_request_or_one_by_one_where_a_portal_wants_that(talk: Talk) -> None:
    refused = {"error": "ERROR_BATCH_METHOD_NOT_ALLOWED", "error_description": "Method is not allowed for batch usage"}
    answer = Response({"result": {"c0": [PAID_ROW]}, "result_error": {"c1": refused}})
    effects, found = talk(of_all([17, 18]), answer, Response([UNPAID_ROW]))
    assert [effect.method for effect in effects] == ["batch", "crm.item.payment.list"]
    assert found == {17: [parse_document(PAID_ROW)], 18: [parse_document(UNPAID_ROW)]}
    assert effects[1].arguments["entityId"] == 18


def test_one_whose_documents_cannot_be_read_is_left_out(talk: Talk) -> None:
    smart = SmartInvoices(STAGES, WE)
    denied = {"error": "0", "error_description": "Insufficient permissions"}
    pages = Response({"items": [item(), item() | {"id": 18}]}), Response({"items": []})
    batch = Response(
        {
            "result": {"c1": [{**UNPAID_ROW, "sum": Decimal("118.50"), "currency": "RUB"}]},
            "result_error": {"c0": denied},
        }
    )
    _, found = talk(smart.by_id([17, 18]), *pages, batch)
    assert [(each.id, each.document_id) for each in found] == [(18, 1037)]


@pytest.mark.parametrize(("given", "named"), [((0, 7), "invoice_id"), ((17, "7.0"), "document_id")])
def test_a_pay_that_cannot_be_is_refused_at_once(given: tuple[Any, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        PayDocument(*given)


def test_a_refusal_of_a_document_did_not_run(talk: Talk) -> None:
    _, done = talk(exchange([PayDocument(17, 7)], {}, 7.5), RequestError("0", "Payment has not been found"))
    assert isinstance(done.pays["smart", 17], RequestError)


def test_a_document_paid_by_nobody_that_is_named_was_paid_nobody_knows_when() -> None:
    document = parse_document(PAID_ROW | {"empPaidId": None})
    assert (document.paid, document.paid_at, document.marked) == (True, None, "")
