"""Which payment proves which invoice: by two independent identifiers or not at all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

from airflow_b24.payments.candidates import Candidates, known_tax_id
from airflow_b24.payments.loose_numbers import loose_numbers, speaks_of_replacement
from airflow_b24.payments.model import Invoice, Payment
from airflow_b24.payments.payable import alike, sum_told, unavailable, unfit, wrong_sum
from airflow_b24.payments.references import Reading, Reference, find_references

Evidence = dict[str, str]

# Each of them is read again before the first is sent: more would be a run of its own.
MOST_INVOICES = 10
# The fact that names those of the invoices whose customer is not who paid.
OF_OTHERS = "another_payers"


@dataclass(frozen=True, slots=True)
class Proven:
    """The payment pays exactly these invoices, or, when it is a `part`, so much of the only one.

    `rule` is a key of RULES, `evidence` short facts for a reader.
    """

    invoices: tuple[Invoice, ...]
    rule: str
    evidence: Evidence = field(hash=False)
    part: bool = False


@dataclass(frozen=True, slots=True)
class Unproven:
    """A person decides; `reason` is a key of REASONS, `invoices` what they may want to look at, likeliest first."""

    reason: str
    invoices: tuple[Invoice, ...]
    evidence: Evidence = field(hash=False)


Outcome = Proven | Unproven


def match(
    payments: Sequence[Payment],
    invoices: Sequence[Invoice],
    *,
    held: Sequence[Payment] = (),
    dismissed: Sequence[Payment] = (),
    trust_unknown_accounts: bool = True,
    companies: Collection[int | None] = (),
) -> list[Outcome]:
    """Judge every payment against all invoices given, in the order of the payments.

    Pass every invoice that could be meant, also paid and cancelled ones, and those whose price cannot be read: a number
    is unique only among those given. Those that a `Sieve` does not want may be left out; `companies` are then its own.
    `trust_unknown_accounts` lets an invoice without known `own_accounts` be paid on any
    account where all invoices given are of one company; when it is False such an invoice is `payee_unknown`. `held` are
    payments that the bank has changed or taken back: nothing is said of them, but one alike may be the same money.
    `dismissed` are payments that a person has dealt with: what is paid may have been paid with one that names it.
    The result depends on what is given, not on its order, and repeating is safe.
    """
    candidates = Candidates(invoices, trust_unknown_accounts=trust_unknown_accounts, companies=companies)
    outcomes = [_told_apart(payment, _judge(payment, candidates), candidates) for payment in payments]
    doubted = [(each, _judge(each, candidates)) for each in held]
    apart = [_beside_held(payment, outcome, doubted) for payment, outcome in zip(payments, outcomes, strict=True)]
    return _without_competition(payments, _beside_dismissed(apart, dismissed, candidates))


def _beside_held(payment: Payment, outcome: Outcome, doubted: Sequence[tuple[Payment, Outcome]]) -> Outcome:
    for other, word in doubted:
        if isinstance(outcome, Proven) and isinstance(word, Proven) and alike(payment, other):
            shared = {*map(_identity, outcome.invoices)} & {*map(_identity, word.invoices)}
            if shared:
                return Unproven("alike_payments", outcome.invoices, {**outcome.evidence, "held": other.key})
    return outcome


def _beside_dismissed(outcomes: list[Outcome], dismissed: Sequence[Payment], candidates: Candidates) -> list[Outcome]:
    """Refuse every proof of a paid invoice that a dismissed payment may have been put to by hand.

    It need not prove the invoice: those that do not are what people put to invoices by hand. One that is open is free:
    the money may have been paid back, and then paid again.
    """
    proven = (invoice for outcome in outcomes if isinstance(outcome, Proven) for invoice in outcome.invoices)
    paid = {_identity(invoice) for invoice in proven if invoice.paid}
    if not paid:
        return outcomes
    spent: dict[tuple[str, int], str] = {}
    for payment in sorted(dismissed, key=lambda each: (each.account, each.key, each.occurrence)):
        named = {*map(_identity, _judge(payment, candidates).invoices)}
        spent.update(dict.fromkeys(named & paid - payment.released_from, payment.key))
    return [_spent(outcome, spent) for outcome in outcomes]


def _spent(outcome: Outcome, spent: Mapping[tuple[str, int], str]) -> Outcome:
    for invoice in outcome.invoices if isinstance(outcome, Proven) else ():
        if _identity(invoice) in spent:
            evidence = {**outcome.evidence, "dismissed": spent[_identity(invoice)]}
            return Unproven("already_paid", outcome.invoices, evidence)
    return outcome


def _without_competition(payments: Sequence[Payment], outcomes: list[Outcome]) -> list[Outcome]:
    """Refuse every proof of an invoice that more payments prove than it can take."""
    claims: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for place, outcome in enumerate(outcomes):
        if isinstance(outcome, Proven):
            for invoice in outcome.invoices:
                claims[_identity(invoice)].append(place)
    for _, places in sorted(claims.items()):
        rivals = [(payments[place], outcomes[place]) for place in places]
        if len(places) > 1 and not _add_up(rivals):
            for place in places:
                outcomes[place] = _contested(outcomes[place], len(places))
    return outcomes


def _add_up(rivals: Sequence[tuple[Payment, Outcome]]) -> bool:
    """Say whether the payments are different parts of one invoice and together no more than its rest."""
    if not all(isinstance(outcome, Proven) and outcome.part for _, outcome in rivals):
        return False
    together = sum(payment.amount.minor for payment, _ in rivals)
    rest = rivals[0][1].invoices[0].rest or 0
    return together <= rest and not any(alike(one, other) for (one, _), (other, _) in combinations(rivals, 2))


def _contested(outcome: Outcome, rivals: int) -> Outcome:
    evidence = {**outcome.evidence, "payments": f"{rivals} prove this invoice"}
    return Unproven("competing_payments", outcome.invoices, evidence)


def _judge(payment: Payment, candidates: Candidates) -> Outcome:
    reading = find_references(payment.remittance)
    named = candidates.named(reading.references)
    known = [reference for reference in reading.references if candidates.knows(reference)]
    reason = _unclear(reading, named, known)
    if reason is not None:
        hints = named or candidates.of_amount(payment)
        return Unproven(reason, tuple(hints), _quotation(reading.references))
    evidence = {**_quotation(reading.references), "number": ", ".join(invoice.number for invoice in named)}
    rivals = candidates.rivals(payment, named, loose_numbers(reading))
    if rivals:
        evidence["other_number"] = rivals[0].number
        return Unproven("several_invoices", (*named, *rivals), evidence)
    if speaks_of_replacement(reading):
        return Unproven("replaced", tuple(named), evidence)
    if any(_identity(invoice) in payment.released_from for invoice in named):
        return Unproven("released_before", tuple(named), evidence)
    judge = _judge_one if len(named) == 1 else _judge_several
    return judge(payment, named, known, evidence, candidates)


def _told_apart(payment: Payment, outcome: Outcome, candidates: Candidates) -> Outcome:
    """Name the invoices that a person may want to look at and that are certainly another payer's."""
    others = candidates.of_others(payment, outcome.invoices) if isinstance(outcome, Unproven) else []
    return replace(outcome, evidence={**outcome.evidence, OF_OTHERS: ", ".join(others)}) if others else outcome


def _judge_one(
    payment: Payment,
    named: Sequence[Invoice],
    known: Sequence[Reference],
    evidence: Evidence,
    candidates: Candidates,
) -> Outcome:
    (invoice,) = named
    contradiction = unavailable(payment, invoice) or unfit(payment, invoice, candidates) or wrong_sum(payment, invoice)
    if contradiction is not None:
        return Unproven(contradiction[0], (invoice,), {**evidence, **contradiction[1]})
    if invoice.paid:
        evidence["paid_on"] = f"{invoice.paid_on}, not before the booking on {payment.booked_on}"
    evidence["amount"] = sum_told(payment, invoice)
    outcome = _identify(payment, invoice, known, evidence)
    if payment.amount == invoice.amount:
        return outcome
    if isinstance(outcome, Proven):
        return replace(outcome, part=True)
    return Unproven("underpaid", (invoice,), evidence) if outcome.reason == "one_identifier" else outcome


def _judge_several(
    payment: Payment,
    named: Sequence[Invoice],
    known: Sequence[Reference],
    evidence: Evidence,
    candidates: Candidates,
) -> Outcome:
    """One payment for several invoices: each named, each identified, each to be paid in full, together the payment."""
    unclear = Unproven("several_invoices", tuple(named), evidence)
    means = [(reference, candidates.named([reference])) for reference in known]
    if len(named) > MOST_INVOICES or any(len(meant) != 1 for _, meant in means):
        return unclear
    if any(
        each.paid or each.collected or unavailable(payment, each) or unfit(payment, each, candidates) for each in named
    ):
        return unclear
    together = sum(each.amount.minor for each in named if each.amount is not None)
    if together != payment.amount.minor:
        return unclear
    evidence["amount"] = f"equal: {payment.amount}, the sum of {len(named)} invoices"
    proofs = [
        _identify(payment, each, [reference for reference, meant in means if meant == [each]], dict(evidence))
        for each in named
    ]
    rules = {proof.rule if isinstance(proof, Proven) else "" for proof in proofs}
    if len(rules) > 1 or "" in rules:
        return unclear
    return Proven(tuple(named), rules.pop(), _together([proof.evidence for proof in proofs]))


def _together(told: Sequence[Evidence]) -> Evidence:
    """Return the facts of all proofs, each different one once."""
    names = dict.fromkeys(name for evidence in told for name in evidence)
    return {name: "; ".join(dict.fromkeys(evidence[name] for evidence in told if name in evidence)) for name in names}


def _unclear(reading: Reading, named: Sequence[Invoice], known: Sequence[Reference]) -> str | None:
    """Say why the text does not name known invoices clearly."""
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
    if len(named) > 1 and len({reference.forms[0] for reference in known}) == 1:
        return "ambiguous"
    return None


def _identify(payment: Payment, invoice: Invoice, references: Sequence[Reference], evidence: Evidence) -> Outcome:
    """Weigh the second identifiers; both are heard before either proves."""
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
    return Proven((invoice,), rules[0], evidence) if rules else Unproven("one_identifier", (invoice,), evidence)


def _quotation(references: Sequence[Reference]) -> Evidence:
    return {"text": " | ".join(reference.fragment for reference in references[:5])} if references else {}


def _identity(invoice: Invoice) -> tuple[str, int]:
    return invoice.kind, invoice.id
