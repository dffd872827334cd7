from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from airflow_b24.bitrix.errors import ResponseError
from airflow_b24.bitrix.fields import check_id
from airflow_b24.bitrix.legacy_invoice import PayInvoice, parse_invoice

# source-derived: a row of crm.invoice.list
ROW: dict[str, Any] = {
    "ID": "312",
    "ACCOUNT_NUMBER": "2024/312",
    "ORDER_TOPIC": "Invoice for services",
    "DATE_BILL": "2024-04-01T00:00:00+03:00",
    "DATE_STATUS": "2024-04-02T10:00:00+03:00",
    "STATUS_ID": "S",
    "PAYED": "N",
    "DATE_PAYED": "",
    "EMP_PAYED_ID": "",
    "PRICE": "118.00",
    "CURRENCY": "RUB",
    "PAY_SYSTEM_ID": "31",
    "PERSON_TYPE_ID": "2",
    "PAY_VOUCHER_NUM": "",
    "PAY_VOUCHER_DATE": "",
    "UF_COMPANY_ID": "5",
    "UF_CONTACT_ID": "0",
    "UF_MYCOMPANY_ID": "7",
}


def test_an_open_invoice_is_read() -> None:
    invoice = parse_invoice(ROW)
    assert (invoice.id, invoice.number, invoice.topic, invoice.status_id) == (
        312,
        "2024/312",
        "Invoice for services",
        "S",
    )
    assert (invoice.paid, invoice.paid_at, invoice.paid_by) == (False, None, None)
    assert (str(invoice.price), invoice.currency) == ("118.00", "RUB")
    assert (invoice.pay_system_id, invoice.person_type_id) == (31, 2)
    assert (invoice.voucher_number, invoice.voucher_date) == ("", None)
    assert (invoice.company_id, invoice.contact_id, invoice.my_company_id) == (5, None, 7)
    assert invoice.billed_on == date(2024, 4, 1)
    assert invoice.status_changed_at == "2024-04-02T10:00:00+03:00"
    assert invoice.raw == ROW


def test_a_paid_invoice_is_read() -> None:
    changes = {"PAYED": "Y", "DATE_PAYED": "2024-04-03T11:08:55+03:00", "EMP_PAYED_ID": 9, "PAY_VOUCHER_NUM": 4711}
    invoice = parse_invoice(ROW | changes | {"PAY_VOUCHER_DATE": "2024-04-03T00:00:00+03:00"})
    assert invoice.paid is True
    assert invoice.paid_at == datetime.fromisoformat("2024-04-03T11:08:55+03:00")
    assert (invoice.paid_by, invoice.voucher_number, invoice.voucher_date) == (9, "4711", date(2024, 4, 3))


def test_numbers_read_like_texts() -> None:
    numbers = {"ID": 312, "PRICE": Decimal("118.00"), "PAY_SYSTEM_ID": 31, "UF_COMPANY_ID": 5, "UF_CONTACT_ID": None}
    assert parse_invoice(ROW | numbers) == parse_invoice(ROW)


def test_a_customers_text_does_not_show_in_a_repr() -> None:
    assert "secret remark" not in repr(parse_invoice(ROW | {"COMMENTS": "secret remark"}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("PAYED", value) for value in ("", None, "y", True, 1, [])),
        *(("ID", value) for value in ("", None, "0", "-1", "1.0", True, [])),
        *(("DATE_PAYED", value) for value in ("yesterday", "2024-04-03T11:08:55", 5, [])),
        *(("DATE_BILL", value) for value in ("01.04.2024", [])),
        *(("PAY_SYSTEM_ID", value) for value in ("x", -1, [])),
        *(("ACCOUNT_NUMBER", value) for value in ([], {}, True)),
    ],
)
def test_a_value_without_a_clear_meaning_names_its_field(field: str, value: object) -> None:
    with pytest.raises(ResponseError, match=f"{field}: expected"):
        parse_invoice(ROW | {field: value})


@pytest.mark.parametrize("value", ["", None, "1,5", "118.00 RUB", "NaN", "1e99", 118.0, True, [], {}], ids=repr)
def test_a_price_that_cannot_be_read_is_none_and_the_invoice_keeps_its_number(value: object) -> None:
    invoice = parse_invoice(ROW | {"PRICE": value})
    assert (invoice.price, invoice.currency, invoice.number) == (None, "RUB", "2024/312")


@pytest.mark.parametrize("value", ["", None, "rub", "RUBL", 643], ids=repr)
def test_a_currency_that_cannot_be_read_is_empty_and_the_invoice_keeps_its_number(value: object) -> None:
    invoice = parse_invoice(ROW | {"CURRENCY": value})
    assert (str(invoice.price), invoice.currency, invoice.number) == ("118.00", "", "2024/312")


@pytest.mark.parametrize("row", [None, [], True, "x"])
def test_what_is_no_object_is_no_invoice(row: object) -> None:
    with pytest.raises(ResponseError, match="invoice: expected an object"):
        parse_invoice(row)


@pytest.mark.parametrize("value", [5, "5", "005"])
def test_an_id_may_be_given_as_its_digits(value: Any) -> None:
    assert PayInvoice(value, 31).invoice_id == 5


NO_IDS = ["5.0", 5.0, True, 0, "0", -1, "-1", "", " 5", "٥", "5;", 10**18, Decimal(5), "9" * 5000]


@pytest.mark.parametrize(
    ("field", "value"),
    # None is no pay system, and allowed beside a handler; it is never an invoice.
    [*(("pay_system_id", value) for value in NO_IDS), *(("invoice_id", value) for value in [*NO_IDS, None])],
)
def test_anything_else_is_no_id(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{field}: .* is no id; give a whole number"):
        PayInvoice(**({"invoice_id": 1, "pay_system_id": 31} | {field: value}))


@pytest.mark.parametrize(
    ("pay", "arguments"),
    [
        (PayInvoice(2, 31), {"INVOICE_ID": 2, "PAY_SYSTEM_ID": 31}),
        (PayInvoice(2, bx_rest_handler="bank"), {"INVOICE_ID": 2, "BX_REST_HANDLER": "bank"}),
        (PayInvoice(2, 31, "bank"), {"INVOICE_ID": 2, "PAY_SYSTEM_ID": 31}),
    ],
)
def test_the_pay_system_wins_and_only_one_is_sent(pay: PayInvoice, arguments: dict[str, object]) -> None:
    assert pay.arguments == arguments


def test_one_of_both_is_needed() -> None:
    with pytest.raises(ValueError, match="pay_system_id or bx_rest_handler: give one"):
        PayInvoice(2)


@pytest.mark.parametrize("handler", ["", "  ", 5])
def test_a_handler_is_a_code(handler: Any) -> None:
    with pytest.raises(ValueError, match="bx_rest_handler"):
        PayInvoice(2, bx_rest_handler=handler)


def test_an_id_error_is_short() -> None:
    with pytest.raises(ValueError, match="id") as caught:
        check_id("x" * 10_000, "id")
    assert len(str(caught.value)) < 120
