"""The border between the portal's words and the ledger's; neither side knows the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime

from airflow_b24.bitrix.errors import (
    INVOICE_GONE,
    SEND_WINDOW_PASSED,
    AuthError,
    BitrixError,
    RefusedError,
    RequestError,
)
from airflow_b24.bitrix.invoice import Invoice, Kind
from airflow_b24.bitrix.protocol import BATCH
from airflow_b24.ledger.facts import Answered, Fact, Refused, Seen, Unknown
from airflow_b24.payments.errors import PaymentError
from airflow_b24.payments.money import Money, parse_money

# A refusal without a time of its own: the bucket frees two requests a second.
SOON_S = 2.0

# Only these speak of the invoice; every other refusal speaks of our settings and will be repeated once they are mended.
INVOICE_REFUSALS = {
    INVOICE_GONE: "invoice_not_found",
    "ERROR_INTERNAL_INVOICE_NOT_FOUND": "invoice_not_found",
    "ERROR_PROCESS_REQUEST_RESULT": "portal_refused",
    "NOT_FOUND": "invoice_not_found",
    "CRM_FIELD_ERROR_REQUIRED": "required_field",
    "CRM_FIELD_ERROR_VALUE_NOT_VALID": "portal_refused",
}


# What the portal calls number, customer and own company.
IDENTITY: Mapping[Kind, tuple[str, str, str]] = {
    "legacy": ("ACCOUNT_NUMBER", "UF_COMPANY_ID", "UF_MYCOMPANY_ID"),
    "smart": ("accountNumber", "companyId", "mycompanyId"),
    "payment": ("accountNumber", "companyId", "mycompanyId"),
}


def identity(invoice: Invoice) -> dict[str, str]:
    """What a proof rests on beside the amount; a person may give an id's invoice to somebody else."""
    return identity_of(invoice.kind, invoice.number, invoice.company_id, invoice.my_company_id)


def identity_of(kind: Kind, number: str, company_id: int | None, my_company_id: int | None) -> dict[str, str]:
    """The same for an invoice of which no more is at hand."""
    return dict(zip(IDENTITY[kind], (number, str(company_id or ""), str(my_company_id or "")), strict=True))


def price(invoice: Invoice) -> Money | None:
    """The invoice's price, None when it is not exact in minor units or its currency is not known."""
    if invoice.price is None:
        return None
    try:
        return parse_money(invoice.price, invoice.currency, "PRICE")
    except PaymentError:
        return None


def paid_day(invoice: Invoice) -> date | None:
    """The day it was marked paid: a later edit of the invoice moves DATE_PAYED on, so the earlier mark counts."""
    if invoice.paid_at is None:
        return None
    # source-derived: DATE_STATUS moves with the status alone.
    changed = read_day(invoice.status_changed_at)
    return min(invoice.paid_at.date(), changed) if changed else invoice.paid_at.date()


def read_day(moment: str) -> date | None:
    """The day of one of the portal's times, None when it has none."""
    try:
        return datetime.fromisoformat(moment).date()
    except ValueError:
        return None


def seen(invoice: Invoice) -> Seen:
    """The invoice as the ledger looks at it, with the marks a landed call of ours would move."""
    money = price(invoice)
    return Seen(
        paid=invoice.paid,
        cancelled=invoice.cancelled,
        amount=money.minor if money else None,
        currency=invoice.currency,
        paid_on=paid_day(invoice),
        voucher_number=invoice.voucher_number.strip(),
        identity=identity(invoice),
        marks=MARKS[invoice.kind](invoice),
        paid_by_us=invoice.paid_by_us,
        lacks=invoice.lacks or ("moved_on_from_paid" if invoice.moved_on else None),
        moved_on=invoice.moved_on == "robot",
    )


def _legacy_marks(invoice: Invoice) -> dict[str, str]:
    return {
        "PRICE": str(invoice.price),
        "STATUS_ID": invoice.status_id,
        "PAY_SYSTEM_ID": str(invoice.pay_system_id or ""),
        "PAY_VOUCHER_NUM": invoice.voucher_number.strip(),
        "PAY_VOUCHER_DATE": invoice.voucher_date.isoformat() if invoice.voucher_date else "",
        "DATE_STATUS": invoice.status_changed_at,
    }


def _smart_marks(invoice: Invoice) -> dict[str, str]:
    return {
        "opportunity": str(invoice.price),
        "categoryId": str(invoice.category_id),
        "stageId": invoice.status_id,
        "paidBefore": invoice.paid_before,
        "movedBy": str(invoice.moved_by or ""),
        # When it was marked paid, by its document or its stage.
        "movedTime": invoice.status_changed_at,
        "document": str(invoice.document_id or ""),
    }


def _payment_marks(payment: Invoice) -> dict[str, str]:
    return {
        "sum": str(payment.price),
        "paid": "Y" if payment.paid else "N",
        "datePaid": payment.status_changed_at,
        "paySystemId": str(payment.pay_system_id or ""),
    }


MARKS: Mapping[Kind, Callable[[Invoice], dict[str, str]]] = {
    "legacy": _legacy_marks,
    "smart": _smart_marks,
    "payment": _payment_marks,
}


def fact(read: Invoice | BitrixError | None) -> Fact:
    """What a read told: the invoice, that it was refused, or nothing clear."""
    if read is None:
        return Unknown("not read")
    if isinstance(read, Invoice):
        return seen(read)
    # docs: batch. What a command has against it names the command's method; this is about all of them.
    return refusal(read) or Unknown(str(read), read, is_of_all=read.method == BATCH)


def answer(told: bool | BitrixError) -> Answered | Refused | Unknown:
    """What the portal's answer to a pay call means."""
    if isinstance(told, BitrixError):
        return refusal(told) or Unknown(str(told), told)
    return Answered() if told else Unknown("the portal did not answer true")


def refusal(error: BitrixError) -> Refused | None:
    """A call that certainly did not run, None for every other error."""
    if isinstance(error, RefusedError):
        wait_s = SOON_S if error.retry_at is None else (error.retry_at - datetime.now(UTC)).total_seconds()
        # A window that has passed is our own slowness: it must come to an end some time.
        is_busy = error.code != SEND_WINDOW_PASSED
        return Refused(error.code, str(error), repeatable=True, wait_s=wait_s, cause=error, is_busy=is_busy)
    if isinstance(error, AuthError):
        return Refused(error.code, str(error), repeatable=True, cause=error)
    if isinstance(error, RequestError):
        reason = INVOICE_REFUSALS.get(error.code)
        return Refused(error.code, str(error), repeatable=reason is None, reason=reason or "", cause=error)
    return None
