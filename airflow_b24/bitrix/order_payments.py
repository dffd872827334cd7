"""Payments of orders (of a shop, a deal or a smart invoice), read by their own ids: a space beside those of invoices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from airflow_b24.bitrix.errors import BitrixError, RequestError
from airflow_b24.bitrix.fields import check_id, read_link, read_text, unexpected
from airflow_b24.bitrix.flows import QUICK, REPEATS, Flow, Repeats, attempt
from airflow_b24.bitrix.invoice import Invoice, InvoiceKey, Kind
from airflow_b24.bitrix.payment_documents import paid_by_us, parse_document
from airflow_b24.bitrix.protocol import PAY_PAYMENT, Request, Response
from airflow_b24.bitrix.reading import read_asked_for

KIND: Final[Kind] = "payment"
_GET: Final = "crm.item.payment.get"


def parse_payment(row: object, we: int | None = None) -> Invoice:
    """Read one answer of crm.item.payment.get as what is to be paid. Raises ResponseError naming the field."""
    if not isinstance(row, Mapping):
        raise unexpected("payment", "an object", row)
    document = parse_document(row)
    return Invoice(
        kind=KIND,
        id=document.id,
        number=read_text(row, "accountNumber"),
        topic="",
        status_id="paid" if document.paid else "unpaid",
        paid=document.paid,
        cancelled=False,
        paid_at=document.paid_at,
        paid_by=document.paid_by,
        paid_by_us=paid_by_us(document, we),
        price=document.sum,
        currency=document.currency,
        status_changed_at=document.marked,
        company_id=None,
        contact_id=None,
        my_company_id=None,
        billed_on=None,
        raw=dict(row),
        pay_system_id=read_link(row, "paySystemId"),
    )


@dataclass(frozen=True, slots=True)
class PayPayment:
    """The order to mark one payment paid through the pay system that it is bound to."""

    payment_id: int
    pay_system_id: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "payment_id", check_id(self.payment_id, "payment_id"))
        object.__setattr__(self, "pay_system_id", check_id(self.pay_system_id, "pay_system_id"))

    @property
    def key(self) -> InvoiceKey:
        """Return what it pays."""
        return InvoiceKey(KIND, self.payment_id)

    def request(self, send_before: float | None = None) -> Request:
        """Return the pay as a request whose slot is reserved already."""
        # docs: the page of sale.paysystem.pay.payment
        arguments = {"PAYMENT_ID": self.payment_id, "PAY_SYSTEM_ID": self.pay_system_id}
        return Request(PAY_PAYMENT, arguments, write=True, paced=False, send_before=send_before)

    def is_answered(self, response: Response) -> bool:
        """Say whether the portal says that it is done, which proves nothing."""
        return response.result is True


@dataclass(frozen=True, slots=True)
class OrderPayments:
    """The portal's payments of orders; they are asked for by id alone, and never matched. `we` is our own user's id."""

    we: int | None = None

    def get_invoice(self, invoice_id: int) -> Flow[Invoice]:
        """Read one payment. Raises BitrixError; repeating is safe."""
        invoice_id = check_id(invoice_id, "payment_id")
        return self._get(invoice_id)

    def _get(self, payment_id: int) -> Flow[Invoice]:
        found = yield from self._read(payment_id, REPEATS, paced=True)
        if isinstance(found, BitrixError):
            raise found
        return found

    def look(self, invoice_id: int) -> Flow[Invoice | BitrixError]:
        """Read one payment at once, its slot being reserved; an error is returned, not raised. Repeating is safe."""
        return self._read(invoice_id, QUICK, paced=False)

    def open_invoices(self) -> None:
        """Return no list: a payment of an order is never matched."""

    def paid_since(self, day: date) -> None:
        """Return no list, likewise."""

    def moved_since(self, day: date) -> None:
        """Return no list, likewise."""

    def by_id(self, ids: Sequence[int]) -> Flow[list[Invoice]]:
        """Read these payments, one by one; those that are gone, or that our user may not see, are left out."""
        found = []
        for each in ids:
            read = yield from self._read(check_id(each, "ids"), REPEATS, paced=True)
            # docs: crm.item.payment.get. Both are refused with the same code.
            if isinstance(read, BitrixError) and not isinstance(read, RequestError):
                raise read
            found += [] if isinstance(read, BitrixError) else [read]
        return found

    def _read(self, payment_id: int, repeats: Repeats, *, paced: bool) -> Flow[Invoice | BitrixError]:
        outcome = yield from attempt(Request(_GET, {"id": payment_id}, write=False, paced=paced), repeats)
        return outcome if isinstance(outcome, BitrixError) else self._of(outcome.result, payment_id)

    def _of(self, result: object, payment_id: int) -> Invoice | BitrixError:
        return read_asked_for(self._parse, result, payment_id, id_field="id", method=_GET)

    def _parse(self, row: object) -> Invoice:
        return parse_payment(row, self.we)
