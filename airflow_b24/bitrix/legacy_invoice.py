"""A legacy invoice out of a portal's row, and the order to pay one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from airflow_b24.bitrix.fields import (
    check_id,
    read_amount,
    read_currency,
    read_day,
    read_id,
    read_link,
    read_moment,
    read_text,
    read_yes_or_no,
    unexpected,
)
from airflow_b24.bitrix.invoice import Invoice, InvoiceKey, Kind
from airflow_b24.bitrix.protocol import PAY_INVOICE, Request, Response

KIND: Final[Kind] = "legacy"
# source-derived: `D` is the one status that always means cancelled; the portal refuses the other ones by itself.
CANCELLED: Final = "D"

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
    "UF_DEAL_ID",
)


def parse_invoice(row: object) -> Invoice:
    """Read one row of crm.invoice.get or .list, texts and numbers alike. Raises ResponseError naming the field."""
    if not isinstance(row, Mapping):
        raise unexpected("invoice", "an object", row)
    status_id = read_text(row, "STATUS_ID")
    return Invoice(
        kind=KIND,
        id=read_id(row, "ID"),
        number=read_text(row, "ACCOUNT_NUMBER"),
        topic=read_text(row, "ORDER_TOPIC"),
        status_id=status_id,
        cancelled=status_id == CANCELLED,
        paid=read_yes_or_no(row, "PAYED"),
        paid_at=read_moment(row, "DATE_PAYED"),
        paid_by=read_link(row, "EMP_PAYED_ID"),
        price=read_amount(row, "PRICE"),
        currency=read_currency(row, "CURRENCY"),
        pay_system_id=read_link(row, "PAY_SYSTEM_ID"),
        person_type_id=read_link(row, "PERSON_TYPE_ID"),
        voucher_number=read_text(row, "PAY_VOUCHER_NUM"),
        voucher_date=read_day(row, "PAY_VOUCHER_DATE"),
        status_changed_at=read_text(row, "DATE_STATUS"),
        company_id=read_link(row, "UF_COMPANY_ID"),
        contact_id=read_link(row, "UF_CONTACT_ID"),
        my_company_id=read_link(row, "UF_MYCOMPANY_ID"),
        billed_on=read_day(row, "DATE_BILL"),
        deal_id=read_link(row, "UF_DEAL_ID"),
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
    def key(self) -> InvoiceKey:
        """Return what it pays."""
        return InvoiceKey(KIND, self.invoice_id)

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

    def is_answered(self, response: Response) -> bool:
        """Say whether the portal says that it is done, which proves nothing."""
        return response.result is True


def _check_handler(code: object) -> None:
    if not isinstance(code, str) or not code.strip():
        raise ValueError("bx_rest_handler: give the code of a REST handler (sale.paysystem.handler.list shows them)")
