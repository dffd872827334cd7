from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from airflow_b24.bitrix.errors import RequestError, ResponseError, UnknownOutcomeError
from airflow_b24.bitrix.exchange import exchange
from airflow_b24.bitrix.kinds import Invoices
from airflow_b24.bitrix.order_payments import OrderPayments, PayPayment, parse_payment
from airflow_b24.bitrix.protocol import Response, read_envelope

Talk = Callable[..., tuple[list[Any], Any]]
PAYMENTS = OrderPayments(we=1)

# docs: the example of crm.item.payment.list, whose rows crm.item.payment.get answers with
PAID = {
    "id": 1036,
    "accountNumber": "3653/1",
    "paid": "Y",
    "datePaid": "2024-05-20T12:32:02+03:00",
    "empPaidId": 1,
    "paySystemId": 6,
    "sum": Decimal("99.9"),
    "currency": "USD",
    "paySystemName": "Cash",
}
UNPAID = PAID | {"paid": "N", "datePaid": None, "empPaidId": None}
GONE = RequestError("0", "Payment has not been found")


def test_a_payment_is_read_as_what_is_to_be_paid() -> None:
    payment = parse_payment(PAID, 1)
    assert (payment.key, payment.number, payment.pay_system_id) == (("payment", 1036), "3653/1", 6)
    assert (payment.price, payment.currency, payment.paid) == (Decimal("99.9"), "USD", True)
    assert payment.paid_at == datetime.fromisoformat("2024-05-20T12:32:02+03:00")


@pytest.mark.parametrize(
    ("row", "we", "by_us"),
    [(PAID, 1, True), (PAID, 2, False), (PAID, None, None), (PAID | {"empPaidId": None}, 1, False), (UNPAID, 1, None)],
)
def test_the_portal_tells_who_paid_it(row: dict[str, Any], we: int | None, by_us: bool | None) -> None:
    assert parse_payment(row, we).paid_by_us is by_us


def test_paying_goes_through_the_pay_system_and_is_read_back(talk: Talk) -> None:
    order = PayPayment(1036, 6)
    effects, done = talk(
        exchange([order], {order.key: lambda: PAYMENTS.look(1036)}, 7.5), Response(True), Response(PAID)
    )
    assert (effects[0].method, effects[0].arguments) == (
        "sale.paysystem.pay.payment",
        {"PAYMENT_ID": 1036, "PAY_SYSTEM_ID": 6},
    )
    assert (effects[0].write, effects[0].send_before) == (True, 7.5)
    assert (effects[1].method, effects[1].arguments, effects[1].paced) == ("crm.item.payment.get", {"id": 1036}, False)
    assert (done.pays[order.key], done.reads[order.key].paid) == (True, True)


def test_anything_but_true_is_unknown() -> None:
    assert isinstance(read_envelope(PayPayment(1, 2).request(), {"result": False}, status=200), UnknownOutcomeError)


@pytest.mark.parametrize("result", [None, [], {}, {**PAID, "id": 7}, {**PAID, "paid": ""}])
def test_what_is_not_the_payment_is_no_answer(talk: Talk, result: object) -> None:
    assert isinstance(talk(PAYMENTS.look(1036), Response(result))[1], ResponseError)
    with pytest.raises(ResponseError):
        talk(PAYMENTS.get_invoice(1036), Response(result))


def test_a_refusal_is_an_error_value_when_looking_and_raised_when_reading(talk: Talk) -> None:
    assert talk(PAYMENTS.look(1036), GONE)[1] is GONE
    with pytest.raises(RequestError):
        talk(PAYMENTS.get_invoice(1036), GONE)


def test_many_are_read_one_by_one_without_those_that_are_gone(talk: Talk) -> None:
    effects, found = talk(PAYMENTS.by_id([7, 1036]), GONE, Response(PAID))
    assert ([effect.arguments["id"] for effect in effects], [each.id for each in found]) == ([7, 1036], [1036])
    with pytest.raises(ResponseError):
        talk(PAYMENTS.by_id([7]), ResponseError("A"), ResponseError("A"), ResponseError("A"))


def test_payments_of_orders_are_in_no_list() -> None:
    lists: Invoices = PAYMENTS
    day = date(2026, 11, 1)
    assert [lists.open_invoices(), lists.paid_since(day), lists.moved_since(day)] == [None] * 3


@pytest.mark.parametrize(("given", "named"), [(("1.0", 6), "payment_id"), ((1036, 0), "pay_system_id")])
def test_a_pay_that_cannot_be_is_refused_at_once(given: tuple[Any, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        PayPayment(*given)
