"""One small portal, and payments to it whose remittance texts try to have the wrong invoice marked paid."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from airflow_b24.payments.model import Invoice, Payment
from airflow_b24.payments.money import Money

OURS, PAYER, STRANGER = "40702810900000000001", "7711000219", "7709999992"
DAY = date(2026, 3, 12)
PRICE = Money(11800, "RUB")


def invoice(**changes: object) -> Invoice:
    """Invoice 45 of our customer, with changes."""
    usual = Invoice(
        kind="legacy",
        id=1,
        number="45",
        amount=PRICE,
        issued_on=DAY,
        payer_tax_ids=frozenset({PAYER}),
        own_accounts=frozenset({OURS}),
        own_company=7,
        paid=False,
        paid_on=None,
        cancelled=False,
        voucher_number="",
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def payment(text: str, **changes: object) -> Payment:
    """A payment of our customer with the price of every invoice here, with changes."""
    usual = Payment(
        account=OURS,
        key="id:1",
        occurrence=0,
        amount=PRICE,
        booked_on=date(2026, 3, 20),
        remittance=text,
        payer_tax_id=PAYER,
        document_number="501",
    )
    return replace(usual, **changes)  # type: ignore[arg-type]
