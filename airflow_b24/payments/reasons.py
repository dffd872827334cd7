"""The words of a match: why a pair is proven, and why a payment goes to a person instead, and what they can do."""

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
        "paid_by_id": "The invoice named was marked paid, or is to be, by its id and without a payment: dismiss the payment if it is the one for it.",
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

_BY_HAND = "Mark the right invoice paid in Bitrix24 by hand, then dismiss the payment."
_TAX_ID = (
    "If the payer's tax id is missing or wrong in the company's requisites in Bitrix24, mend it there: the next run matches "
    "again. Else mark the right invoice paid by hand, then dismiss the payment."
)
_ACCOUNT = "Write this bank account into the requisites of your own company in Bitrix24: the next run matches again."
_SUM = (
    "Correct the invoice's price in Bitrix24, and the next run matches again; or mark it paid by hand or pay the money back, "
    "then dismiss the payment."
)
_SAME = "Dismiss the payment that is the same money twice, or not for this invoice: the next run matches the other."
_TAKEN = (
    "If it is the money for that invoice, nothing else is to do; else pay it back or find its invoice. Then dismiss it."
)

# For each of REASONS what a person can do, so that the next run can go on, or that nobody has to look again.
ADVICE: Mapping[str, str] = MappingProxyType(
    {
        "suspicious_text": _BY_HAND,
        "no_reference": _BY_HAND,
        "unknown_reference": _BY_HAND,
        "several_invoices": _BY_HAND,
        "replaced": _BY_HAND,
        "ambiguous": _BY_HAND,
        "cancelled": "If the invoice is to be paid after all, take the cancellation back, and the next run matches again.",
        "already_settled": _TAKEN,
        "paid_by_id": _TAKEN,
        "already_paid": _TAKEN,
        "price_not_exact": _SUM,
        "wrong_currency": _BY_HAND,
        "overpaid": _SUM,
        "underpaid": _TAX_ID,
        "alike_payments": _SAME,
        "released_before": _BY_HAND,
        "payee_mismatch": _ACCOUNT,
        "payee_unknown": _ACCOUNT,
        "payer_mismatch": _TAX_ID,
        "date_mismatch": _BY_HAND,
        "one_identifier": _TAX_ID,
        "competing_payments": _SAME,
    }
)
