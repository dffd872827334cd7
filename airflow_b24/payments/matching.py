"""Which payment proves which invoice: by two independent identifiers or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from airflow_b24.payments.candidates import Candidates, known_tax_id
from airflow_b24.payments.loose_numbers import loose_numbers, speaks_of_replacement
from airflow_b24.payments.model import Invoice, Payment
from airflow_b24.payments.references import Reading, Reference, find_references

Evidence = dict[str, str]


@dataclass(frozen=True, slots=True)
class Proven:
    """The payment pays exactly this invoice; `rule` is a key of RULES, `evidence` short facts for a reader."""

    invoice: Invoice
    rule: str
    evidence: Evidence = field(hash=False)


@dataclass(frozen=True, slots=True)
class Unproven:
    """A person decides; `reason` is a key of REASONS, `invoices` what they may want to look at, likeliest first."""

    reason: str
    invoices: tuple[Invoice, ...]
    evidence: Evidence = field(hash=False)


Outcome = Proven | Unproven


def match(
    payments: Sequence[Payment], invoices: Sequence[Invoice], *, trust_unknown_accounts: bool = True
) -> list[Outcome]:
    """Judge every payment against all invoices given, in the order of the payments.

    Pass every invoice that could be meant, also paid and cancelled ones, and those whose price cannot be read: a number
    is unique only among those given. `trust_unknown_accounts` lets an invoice without known `own_accounts` be paid on any
    account where all invoices given are of one company; when it is False such an invoice is `payee_unknown`.
    The result depends on what is given, not on its order, and repeating is safe.
    """
    candidates = Candidates(invoices, trust_unknown_accounts=trust_unknown_accounts)
    outcomes = [_judge(payment, candidates) for payment in payments]
    proofs = Counter(_identity(outcome.invoice) for outcome in outcomes if isinstance(outcome, Proven))
    return [_refuse_competition(outcome, proofs) for outcome in outcomes]


def _refuse_competition(outcome: Outcome, proofs: Mapping[tuple[str, int], int]) -> Outcome:
    if isinstance(outcome, Unproven) or proofs[_identity(outcome.invoice)] == 1:
        return outcome
    rivals = proofs[_identity(outcome.invoice)]
    return Unproven(
        "competing_payments", (outcome.invoice,), {**outcome.evidence, "payments": f"{rivals} prove this invoice"}
    )


def _judge(payment: Payment, candidates: Candidates) -> Outcome:
    reading = find_references(payment.remittance)
    named = candidates.named(reading.references)
    known = [reference for reference in reading.references if candidates.knows(reference)]
    reason = _unclear(reading, named, known)
    if reason is not None:
        hints = named or candidates.of_amount(payment)
        return Unproven(reason, tuple(hints), _quotation(reading.references))
    invoice = named[0]
    evidence = {**_quotation(reading.references), "number": invoice.number}
    rivals = candidates.rivals(payment, invoice, loose_numbers(reading))
    if rivals:
        evidence["other_number"] = rivals[0].number
        return Unproven("several_invoices", (invoice, *rivals), evidence)
    if speaks_of_replacement(reading):
        return Unproven("replaced", (invoice,), evidence)
    contradiction = _unavailable(payment, invoice) or _wrong_money(payment, invoice, candidates)
    if contradiction is not None:
        return Unproven(contradiction[0], (invoice,), {**evidence, **contradiction[1]})
    if invoice.paid:
        evidence["paid_on"] = f"{invoice.paid_on}, not before the booking on {payment.booked_on}"
    return _identify(payment, invoice, known, evidence)


def _unclear(reading: Reading, named: Sequence[Invoice], known: Sequence[Reference]) -> str | None:
    """Say why the text does not name exactly one known invoice."""
    references = reading.references
    if reading.suspicious:
        return "suspicious_text"
    if not references:
        return "no_reference"
    if not named:
        return "unknown_reference"
    # A number after a comma may be a quantity; one that an invoice word or a conjunction introduces is a second invoice.
    if len(known) < len(references) and any(each.certain and each not in known for each in references):
        return "several_invoices"
    if len(named) == 1:
        return None
    return "ambiguous" if len({reference.forms[0] for reference in known}) == 1 else "several_invoices"


def _unavailable(payment: Payment, invoice: Invoice) -> tuple[str, Evidence] | None:
    if invoice.cancelled:
        return "cancelled", {"invoice": "cancelled"}
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


def _wrong_money(payment: Payment, invoice: Invoice, candidates: Candidates) -> tuple[str, Evidence] | None:
    paid, due = payment.amount, invoice.amount
    if due is None:
        return "price_not_exact", {"amount": f"paid {paid}"}
    if paid.currency != due.currency:
        return "wrong_currency", {"amount": f"paid {paid}, invoice {due}"}
    if paid.minor != due.minor or paid.minor <= 0:
        return "wrong_amount", {"amount": f"paid {paid}, invoice {due}"}
    if not candidates.receives(payment.account, invoice):
        reason = "payee_unknown" if candidates.lacks_accounts(invoice) else "payee_mismatch"
        return reason, {"own_account": payment.account}
    return None


def _identify(payment: Payment, invoice: Invoice, references: Sequence[Reference], evidence: Evidence) -> Outcome:
    """Weigh the second identifiers; both are heard before either proves."""
    evidence["amount"] = f"equal: {payment.amount}"
    payer = known_tax_id(payment.payer_tax_id)
    known_payers = {known_tax_id(tax_id) for tax_id in invoice.payer_tax_ids} - {""}
    dates = [reference.dates for reference in references if reference.dates is not None]
    if payer and known_payers and payer not in known_payers:
        evidence["payer_tax_id"] = f"paid by {payer}, invoice has {', '.join(sorted(known_payers))}"
        return Unproven("payer_mismatch", (invoice,), evidence)
    issued_on = invoice.issued_on
    comparable = [] if issued_on is None else dates
    if any(issued_on not in meant for meant in comparable):
        evidence["invoice_date"] = f"invoice {issued_on}, the text has another date"
        return Unproven("date_mismatch", (invoice,), evidence)
    rules = []
    if payer and known_payers:
        evidence["payer_tax_id"] = f"equal: {payer}"
        rules.append("number_and_tax_id")
    # A date that can be read in two ways contradicts nothing, but proves nothing either.
    if {issued_on} in comparable:
        evidence["invoice_date"] = f"equal: {issued_on}"
        rules.append("number_and_date")
    return Proven(invoice, rules[0], evidence) if rules else Unproven("one_identifier", (invoice,), evidence)


def _quotation(references: Sequence[Reference]) -> Evidence:
    return {"text": " | ".join(reference.fragment for reference in references[:5])} if references else {}


def _identity(invoice: Invoice) -> tuple[str, int]:
    return invoice.kind, invoice.id
