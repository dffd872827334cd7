"""Payment documents of smart invoices: the other notion of paid, for portals whose people work with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from airflow_b24.bitrix.errors import BATCH_NOT_ALLOWED, BitrixError, RequestError, ResponseError
from airflow_b24.bitrix.fields import (
    UNEXPECTED_VALUE,
    check_id,
    read_amount,
    read_currency,
    read_id,
    read_link,
    read_moment,
    read_yes_or_no,
)
from airflow_b24.bitrix.flows import QUICK, Flow, attempt, batch
from airflow_b24.bitrix.invoice import Invoice, InvoiceKey
from airflow_b24.bitrix.protocol import Request, Response
from airflow_b24.bitrix.stages import SMART_INVOICE, Stages

# Why an invoice cannot be marked paid by its document.
NO_DOCUMENT: Final = "no_payment_document"
STAGE_SAYS_PAID: Final = "stage_says_paid"

_LIST: Final = "crm.item.payment.list"


@dataclass(frozen=True, slots=True)
class PaymentDocument:
    """One payment document of an invoice; `sum` is in major units."""

    id: int
    paid: bool
    paid_at: datetime | None
    paid_by: int | None
    sum: Decimal | None
    currency: str

    @property
    def marked(self) -> str:
        """When it was marked paid, as a text."""
        return self.paid_at.isoformat() if self.paid_at else ""


def parse_document(row: object) -> PaymentDocument:
    """Read one row of crm.item.payment.list. Raises ResponseError naming the field."""
    if not isinstance(row, Mapping):
        raise ResponseError(UNEXPECTED_VALUE, f"payment: expected an object, got {str(row)[:60]!r}")
    return PaymentDocument(
        id=read_id(row, "id"),
        paid=read_yes_or_no(row, "paid"),
        # Paid by nobody that the portal names: by card, say, with other money. No day, no proof.
        paid_at=read_moment(row, "datePaid") if read_link(row, "empPaidId") else None,
        paid_by=read_link(row, "empPaidId"),
        sum=read_amount(row, "sum"),
        currency=read_currency(row, "currency"),
    )


@dataclass(frozen=True, slots=True)
class PayDocument:
    """The order to mark one payment document of a smart invoice paid."""

    invoice_id: int
    document_id: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "invoice_id", check_id(self.invoice_id, "invoice_id"))
        object.__setattr__(self, "document_id", check_id(self.document_id, "document_id"))

    @property
    def key(self) -> InvoiceKey:
        """Return what it pays."""
        return InvoiceKey("smart", self.invoice_id)

    def request(self, send_before: float | None = None) -> Request:
        """Return the pay as a request whose slot is reserved already."""
        # docs: the page of crm.item.payment.pay
        arguments = {"id": self.document_id}
        return Request("crm.item.payment.pay", arguments, write=True, paced=False, send_before=send_before)

    def is_answered(self, response: Response) -> bool:
        """Say whether the portal says that it is done, which proves nothing: a paid one answers the same."""
        return response.result is True


def look(invoice_id: int) -> Flow[list[PaymentDocument] | BitrixError]:
    """Read an invoice's documents at once, its slot being reserved; an error is returned, not raised."""
    request = Request(_LIST, _arguments(invoice_id), write=False, paced=False)
    outcome = yield from attempt(request, QUICK)
    return outcome if isinstance(outcome, BitrixError) else _documents(outcome)


def of_all(invoice_ids: Sequence[int]) -> Flow[dict[int, list[PaymentDocument] | BitrixError]]:
    """Read the documents of many invoices, 50 to a request, or one by one where a portal wants that."""
    outcomes = yield from batch({str(each): (_LIST, _arguments(each)) for each in invoice_ids})
    found: dict[int, list[PaymentDocument] | BitrixError] = {}
    for name, outcome in outcomes.items():
        if isinstance(outcome, RequestError) and outcome.code == BATCH_NOT_ALLOWED:
            found[int(name)] = yield from look(int(name))
        else:
            found[int(name)] = outcome if isinstance(outcome, BitrixError) else _documents(outcome)
    return found


def by_document(invoice: Invoice, documents: Sequence[PaymentDocument], stages: Stages, we: int | None) -> Invoice:
    """Return the invoice as its one document of the exact sum shows it: paid is what that is, whatever the stage.

    `lacks` says why there is nothing to mark paid.
    """
    fitting = [each for each in documents if (each.sum, each.currency) == (invoice.price, invoice.currency)]
    if len(fitting) != 1 or invoice.price is None:
        return _unpaid(invoice, None, NO_DOCUMENT)
    (document,) = fitting
    if not document.paid:
        return _unpaid(invoice, document.id, STAGE_SAYS_PAID if stages.is_paid(invoice.status_id) else None)
    # The stage says nothing here, nor does where it was moved on to.
    facts: dict[str, Any] = {"paid": True, "paid_at": document.paid_at, "paid_by": document.paid_by, "moved_on": None}
    by_us = paid_by_us(document, we)
    return replace(invoice, **facts, paid_by_us=by_us, document_id=document.id, status_changed_at=document.marked)


def paid_by_us(document: PaymentDocument, we: int | None) -> bool | None:
    """Say whether our user marked it paid: a call of ours names its employee, what a customer pays online does not."""
    return None if we is None or not document.paid else document.paid_by == we


def _unpaid(invoice: Invoice, document_id: int | None, lacks: str | None) -> Invoice:
    nobody: dict[str, Any] = {"paid": False, "paid_at": None, "paid_by": None, "paid_by_us": None, "moved_on": None}
    return replace(invoice, **nobody, document_id=document_id, lacks=lacks, status_changed_at="")


def _arguments(invoice_id: int) -> dict[str, object]:
    # docs: the page of crm.item.payment.list
    return {"entityId": invoice_id, "entityTypeId": SMART_INVOICE}


def _documents(response: Response) -> list[PaymentDocument] | BitrixError:
    if not isinstance(response.result, list):
        return ResponseError(UNEXPECTED_VALUE, "expected a list of payments", method=_LIST)
    try:
        return [parse_document(row) for row in response.result]
    except ResponseError as error:
        return error
