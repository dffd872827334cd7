"""Whether an invoice can take a payment's money, whoever the payer is."""

from __future__ import annotations

from airflow_b24.payments.candidates import Candidates
from airflow_b24.payments.model import Invoice, Payment
from airflow_b24.payments.money import Money

Evidence = dict[str, str]


def alike(one: Payment, other: Payment) -> bool:
    """Say whether two payments may be the same money, come in from two sources under two keys."""
    same_document = one.document_number != "" and one.document_number == other.document_number
    return one.amount == other.amount and (one.booked_on == other.booked_on or same_document)


def unavailable(payment: Payment, invoice: Invoice) -> tuple[str, Evidence] | None:
    """Say why the invoice takes no money (any more)."""
    if invoice.cancelled:
        return "cancelled", {"invoice": "cancelled"}
    if invoice.settled and invoice.by_id:
        return "paid_by_id", {"invoice": "marked paid by its id"}
    if invoice.settled:
        return "already_settled", {"invoice": "settled by another payment"}
    if invoice.paid and not _is_paid_by(payment, invoice):
        paid_on = "unknown" if invoice.paid_on is None else invoice.paid_on.isoformat()
        return "already_paid", {
            "paid_on": paid_on,
            "booked_on": payment.booked_on.isoformat(),
            "voucher": invoice.voucher_number,
        }
    return None


def _is_paid_by(payment: Payment, invoice: Invoice) -> bool:
    """Say whether somebody may have marked the invoice paid on seeing this very money."""
    voucher = invoice.voucher_number.strip()
    in_time = invoice.paid_on is not None and invoice.paid_on >= payment.booked_on
    return in_time and voucher in {"", payment.document_number.strip()}


def unfit(payment: Payment, invoice: Invoice, candidates: Candidates) -> tuple[str, Evidence] | None:
    """Say why no sum of this money could pay the invoice."""
    paid, due = payment.amount, invoice.amount
    if due is None:
        return "price_not_exact", {"amount": f"paid {paid}"}
    if paid.currency != due.currency:
        return "wrong_currency", {"amount": f"paid {paid}, invoice {due}"}
    if not candidates.receives(payment.account, invoice):
        reason = "payee_unknown" if candidates.lacks_accounts(invoice) else "payee_mismatch"
        return reason, {"own_account": payment.account}
    return None


def wrong_sum(payment: Payment, invoice: Invoice) -> tuple[str, Evidence] | None:
    """Say why this sum is not what the invoice, or a part of it, asks for."""
    rest = invoice.rest or 0
    told = {"amount": sum_told(payment, invoice)}
    if payment.amount.minor > rest:
        return "overpaid", told
    if payment.amount.minor <= 0:
        return "underpaid", told
    if invoice.paid and payment.amount.minor != rest:
        return "already_paid", told
    if any(alike(payment, each) for each in invoice.collected):
        return "alike_payments", told
    return None


def sum_told(payment: Payment, invoice: Invoice) -> str:
    """Return the two sums as evidence."""
    if payment.amount == invoice.amount and not invoice.collected:
        return f"equal: {payment.amount}"
    before = sum(each.amount.minor for each in invoice.collected)
    collected = f", {Money(before, payment.amount.currency)} collected before" if before else ""
    return f"{payment.amount} of {invoice.amount}{collected}"
