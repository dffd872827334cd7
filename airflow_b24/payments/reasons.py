"""The words of a match: why a pair is proven, and why a payment goes to a person instead."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

RULES: Mapping[str, str] = MappingProxyType(
    {
        "number_and_tax_id": "The text names the invoice number and the payer's tax id is the invoice's.",
        "number_and_date": "The text names the invoice number together with the invoice's date.",
    }
)

REASONS: Mapping[str, str] = MappingProxyType(
    {
        "suspicious_text": "The text of the payment holds hidden or misleading characters, so it proves nothing.",
        "no_reference": "The text of the payment names no invoice.",
        "unknown_reference": "The text names an invoice number that no known invoice has.",
        "several_invoices": "The text names more than one invoice, or holds a number that may be another one, and the sum does not prove which.",
        "replaced": "The text speaks of something cancelled, replaced or mistaken, which may be the invoice it names.",
        "ambiguous": "More than one invoice has the number that the text names.",
        "cancelled": "The invoice named is cancelled.",
        "already_settled": "Another payment has already been put to the invoice named.",
        "already_paid": "The invoice named is already paid, and nothing proves that it was paid with this money.",
        "price_not_exact": "The price of the invoice has a fraction smaller than its currency's smallest unit.",
        "wrong_currency": "The payment and the invoice are in different currencies.",
        "overpaid": "The payment is more than what is still to be paid of the invoice.",
        "underpaid": "The payment is less than the invoice, and only the invoice number says that it is a part of it.",
        "alike_payments": "Another payment of the same amount and day goes to this invoice: it may be the same money.",
        "released_before": "A person has said that this payment does not pay the invoice named.",
        "payee_mismatch": "The money came to an account that is not known to belong to the company of the invoice.",
        "payee_unknown": "The portal does not say on which accounts the company of the invoice receives money.",
        "payer_mismatch": "The tax id of the payer is not that of the invoice's customer.",
        "date_mismatch": "The date beside the invoice number is not the date of the invoice.",
        "one_identifier": "Only the invoice number fits; neither a tax id nor the invoice's date confirms it.",
        "competing_payments": "More than one payment proves the same invoice.",
    }
)
