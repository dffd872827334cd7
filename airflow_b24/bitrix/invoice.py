"""A legacy invoice as a value, and the order to pay one. Smart invoices have ids of their own: never mix them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from airflow_b24.bitrix.errors import ResponseError
from airflow_b24.bitrix.protocol import PAY_INVOICE, Request
from airflow_b24.bitrix.redaction import shown

UNEXPECTED_VALUE: Final = "UNEXPECTED_VALUE"

# source-derived: the fields of crm.invoice.* which an Invoice is read from.
SELECT: Final = (
    "ID",
    "ACCOUNT_NUMBER",
    "ORDER_TOPIC",
    "STATUS_ID",
    "PAYED",
    "DATE_PAYED",
    "EMP_PAYED_ID",
    "DATE_STATUS",
    "PRICE",
    "CURRENCY",
    "PAY_SYSTEM_ID",
    "PERSON_TYPE_ID",
    "PAY_VOUCHER_NUM",
    "PAY_VOUCHER_DATE",
    "DATE_BILL",
    "UF_COMPANY_ID",
    "UF_CONTACT_ID",
    "UF_MYCOMPANY_ID",
)


@dataclass(frozen=True, slots=True)
class Invoice:
    """A legacy invoice as the portal shows it. `price` is in major units; dates are the portal's days.

    A price or currency that cannot be read is None or "": such an invoice is never paid, and still holds its number.
    """

    id: int
    number: str
    topic: str
    status_id: str
    paid: bool
    paid_at: datetime | None
    paid_by: int | None
    price: Decimal | None
    currency: str
    pay_system_id: int | None
    person_type_id: int | None
    voucher_number: str
    voucher_date: date | None
    status_changed_at: str
    company_id: int | None
    contact_id: int | None
    my_company_id: int | None
    billed_on: date | None
    raw: dict[str, Any] = field(repr=False, compare=False)


def parse_invoice(row: object) -> Invoice:
    """Read one row of crm.invoice.get or .list, texts and numbers alike. Raises ResponseError naming the field."""
    if not isinstance(row, Mapping):
        raise _unexpected("invoice", "an object", row)
    return Invoice(
        id=read_id(row, "ID"),
        number=_text(row, "ACCOUNT_NUMBER"),
        topic=_text(row, "ORDER_TOPIC"),
        status_id=_text(row, "STATUS_ID"),
        paid=_yes_or_no(row, "PAYED"),
        paid_at=_moment(row, "DATE_PAYED"),
        paid_by=_link(row, "EMP_PAYED_ID"),
        price=_amount(row, "PRICE"),
        currency=_currency(row, "CURRENCY"),
        pay_system_id=_link(row, "PAY_SYSTEM_ID"),
        person_type_id=_link(row, "PERSON_TYPE_ID"),
        voucher_number=_text(row, "PAY_VOUCHER_NUM"),
        voucher_date=_day(row, "PAY_VOUCHER_DATE"),
        status_changed_at=_text(row, "DATE_STATUS"),
        company_id=_link(row, "UF_COMPANY_ID"),
        contact_id=_link(row, "UF_CONTACT_ID"),
        my_company_id=_link(row, "UF_MYCOMPANY_ID"),
        billed_on=_day(row, "DATE_BILL"),
        raw=dict(row),
    )


@dataclass(frozen=True, slots=True)
class PayInvoice:
    """The order to pay one legacy invoice through a pay system, or the first one of a REST handler.

    Ids may be given as text: "5" is an id; "5.0", 5.0 and True are not.
    """

    invoice_id: int
    pay_system_id: int | None = None
    bx_rest_handler: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "invoice_id", check_id(self.invoice_id, "invoice_id"))
        if self.pay_system_id is not None:
            object.__setattr__(self, "pay_system_id", check_id(self.pay_system_id, "pay_system_id"))
        if self.bx_rest_handler is not None:
            _check_handler(self.bx_rest_handler)
        if self.pay_system_id is None and self.bx_rest_handler is None:
            raise ValueError("pay_system_id or bx_rest_handler: give one of them")

    @property
    def arguments(self) -> dict[str, object]:
        """Return the arguments as the portal writes them; the pay system wins."""
        # source-derived: the portal also checks a handler code it then ignores, so that one is not sent.
        if self.pay_system_id is not None:
            return {"INVOICE_ID": self.invoice_id, "PAY_SYSTEM_ID": self.pay_system_id}
        return {"INVOICE_ID": self.invoice_id, "BX_REST_HANDLER": self.bx_rest_handler}

    def request(self, send_before: float | None = None) -> Request:
        """Return the pay as a request whose slot is reserved already."""
        return Request(PAY_INVOICE, self.arguments, write=True, paced=False, send_before=send_before)


def check_id(value: object, field_name: str) -> int:
    """Return a positive whole number, given as such or as its digits. Raises ValueError naming the field."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 10**18:
        raise ValueError(f"{field_name}: {shown(value)} is no id; give a whole number above 0")
    return value


def _check_handler(code: object) -> None:
    if not isinstance(code, str) or not code.strip():
        raise ValueError("bx_rest_handler: give the code of a REST handler (sale.paysystem.handler.list shows them)")


def read_id(row: Mapping[str, Any], name: str) -> int:
    """Return an id of the portal's. Raises ResponseError."""
    try:
        return check_id(row.get(name), name)
    except ValueError:
        raise _unexpected(name, "an id", row.get(name)) from None


def _link(row: Mapping[str, Any], name: str) -> int | None:
    if row.get(name) in (None, "", "0", 0):
        return None
    return read_id(row, name)


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int, Decimal)):
        raise _unexpected(name, "a text", value)
    return str(value)


def _yes_or_no(row: Mapping[str, Any], name: str) -> bool:
    value = row.get(name)
    if value == "Y":
        return True
    if value == "N":
        return False
    raise _unexpected(name, "Y or N", value)


def _amount(row: Mapping[str, Any], name: str) -> Decimal | None:
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, (str, int, Decimal)):
        return None
    try:
        amount = Decimal(value)
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and abs(amount.adjusted()) <= 18 else None


def _currency(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) and re.fullmatch(r"[A-Z]{3}", value) else ""


def _moment(row: Mapping[str, Any], name: str) -> datetime | None:
    value = row.get(name)
    if value is None or value == "":
        return None
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        raise _unexpected(name, "an ISO time", value) from None
    if moment.tzinfo is None:
        raise _unexpected(name, "an ISO time with its offset", value)
    return moment


def _day(row: Mapping[str, Any], name: str) -> date | None:
    value = row.get(name)
    if value is None or value == "":
        return None
    try:
        # source-derived: a date is written as that day's midnight with the portal's offset.
        return datetime.fromisoformat(str(value)).date()
    except ValueError:
        raise _unexpected(name, "an ISO date", value) from None


def _unexpected(name: str, expected: str, value: object) -> ResponseError:
    return ResponseError(UNEXPECTED_VALUE, f"{name}: expected {expected}, got {str(value)[:60]!r}")
