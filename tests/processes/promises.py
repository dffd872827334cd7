"""Payments, and the one place of these tests that knows how one is promised to an invoice."""

from __future__ import annotations

from datetime import date
from typing import Any

from airflow_b24.ledger import allocations
from airflow_b24.ledger.payments import NewPayment
from airflow_b24.ledger.promise import Part, Promise
from airflow_b24.ledger.store import Store

AMOUNT, CURRENCY, EXPONENT = 11800, "RUB", 2


def payment(key: str, **changed: Any) -> NewPayment:
    """A payment of the usual sum; whatever matters is given by name."""
    words = {"remittance": "invoice 2026/2", "payer_name": "", "payer_tax_id": "", "payer_account": ""}
    money = {"amount": AMOUNT, "currency": CURRENCY, "exponent": EXPONENT, "booked_on": date(2026, 11, 20)}
    fixed = {"account": "40702", "occurrence": 0, "document_number": "17"}
    return NewPayment(**{**words, **money, **fixed, "key": f"id:{key}", **changed})


def promise(store: Store, portal_id: int, payment_id: int, *invoice_ids: int, of: int = 0) -> tuple[int, ...]:
    """Promise the payment, in equal parts, to the invoices; `of` is an invoice's price when the part does not fill it.

    Returns the settlements; none when another was first.
    """
    share = AMOUNT // len(invoice_ids)
    parts = tuple(_part(invoice_id, share, of or share) for invoice_id in invoice_ids)
    made = Promise(payment_id, portal_id, parts, CURRENCY, EXPONENT, rule="number_and_date", evidence={})
    return allocations.allocate(store, made)


def _part(invoice_id: int, amount: int, expected: int) -> Part:
    number = f"2026/{invoice_id}"
    return Part("legacy", invoice_id, number, amount, expected, {"ACCOUNT_NUMBER": number})
