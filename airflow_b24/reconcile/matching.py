"""Match: payments waiting in the ledger meet the portal's invoices; only a proof becomes a settlement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Literal

from airflow_b24.bitrix import companies, invoices
from airflow_b24.ledger import allocations, outcomes, payments, portals, settlements
from airflow_b24.ledger.allocations import Promise
from airflow_b24.ledger.outcomes import Outcome
from airflow_b24.payments.matching import Proven, Unproven, match
from airflow_b24.payments.model import Invoice, Payment
from airflow_b24.payments.money import Money
from airflow_b24.reconcile.desk import Desk
from airflow_b24.reconcile.translating import CANCELLED, identity, price

Mode = Literal["shadow", "pay"]

# Invoices paid so lately may have been paid by hand for a payment that only arrives now.
PAID_LATELY = timedelta(days=45)


def match_payments(desk: Desk, mode: Mode, today: date) -> dict[str, int]:
    """Match every unallocated payment afresh and record why; in `pay` make the proven ones ready to settle.

    `shadow` writes no allocation and no settlement. Repeating is safe: a payment and an invoice are promised once.
    Returns counts: payments, proven, review, ready.
    """
    with desk.store.snapshot() as connection:
        waiting = payments.unallocated(connection)
        settled = settlements.live_invoices(connection, desk.portal_id)
        alone = portals.count(connection) == 1
    if not waiting:
        return {"payments": 0, "proven": 0, "review": 0, "ready": 0}
    known, identities = portal_invoices(desk, today - PAID_LATELY, settled)
    # An invoice whose own account is not known may be told by being the only company's; not when portals share money.
    words = match([_payment(row) for row in waiting], known, trust_unknown_accounts=alone)
    judged = list(zip(waiting, words, strict=True))
    _record(desk, mode, judged)
    proven = [(row, word) for row, word in judged if isinstance(word, Proven)]
    promises = [_promise(desk, row, word, identities[word.invoice.id]) for row, word in proven]
    ready = sum(allocations.allocate(desk.store, promise) is not None for promise in promises) if mode == "pay" else 0
    return {"payments": len(judged), "proven": len(proven), "review": len(judged) - len(proven), "ready": ready}


def portal_invoices(
    desk: Desk, paid_since: date, settled: set[tuple[str, int]]
) -> tuple[list[Invoice], dict[int, dict[str, str]]]:
    """Every open or lately paid invoice, with its payer's tax ids and the accounts of our own company.

    Beside them, by id, what tells an invoice from one that a person has given to somebody else since.
    """
    found = desk.client.run(invoices.open_invoices()) + desk.client.run(invoices.paid_since(paid_since))
    # An invoice paid between the two lists stands in both: the later word counts.
    rows = list({invoice.id: invoice for invoice in found}.values())
    tax_ids = desk.client.run(companies.requisites(_ids(row.company_id for row in rows)))
    own_accounts = desk.client.run(companies.bank_accounts(_ids(row.my_company_id for row in rows)))
    known = [_invoice(row, tax_ids, own_accounts, settled) for row in rows]
    return known, {row.id: identity(row) for row in rows}


def _ids(found: Iterable[int | None]) -> list[int]:
    return sorted({company_id for company_id in found if company_id is not None})


def _invoice(
    row: invoices.Invoice,
    tax_ids: Mapping[int, frozenset[str]],
    own_accounts: Mapping[int, frozenset[str]],
    settled: set[tuple[str, int]],
) -> Invoice:
    mine = own_accounts.get(row.my_company_id) if row.my_company_id is not None else None
    return Invoice(
        kind="legacy",
        id=row.id,
        number=row.number,
        amount=price(row),
        issued_on=row.billed_on,
        payer_tax_ids=tax_ids.get(row.company_id, frozenset()) if row.company_id is not None else frozenset(),
        own_accounts=mine or None,
        own_company=row.my_company_id,
        paid=row.paid,
        paid_on=row.paid_at.date() if row.paid_at else None,
        cancelled=row.status_id == CANCELLED,
        voucher_number=row.voucher_number,
        settled=("legacy", row.id) in settled,
    )


def _payment(row: Mapping[str, Any]) -> Payment:
    names = ("account", "key", "occurrence", "booked_on", "remittance", "payer_name", "payer_tax_id", "payer_account")
    copied = {name: row[name] for name in names}
    money = Money(row["amount"], row["currency"])
    return Payment(**copied, amount=money, document_number=row["document_number"])


def _record(desk: Desk, mode: Mode, judged: Sequence[tuple[Mapping[str, Any], Proven | Unproven]]) -> None:
    with desk.store.transaction() as connection:
        for row, word in judged:
            outcomes.record(connection, desk.portal_id, mode, _outcome(row["id"], word))


def _outcome(payment_id: int, word: Proven | Unproven) -> Outcome:
    if isinstance(word, Proven):
        return Outcome(payment_id, "proven", word.rule, [word.invoice.number], word.evidence)
    return Outcome(payment_id, "review", word.reason, [invoice.number for invoice in word.invoices], word.evidence)


def _promise(desk: Desk, row: Mapping[str, Any], word: Proven, identity: dict[str, str]) -> Promise:
    return Promise(
        payment_id=row["id"],
        portal_id=desk.portal_id,
        kind=word.invoice.kind,
        invoice_id=word.invoice.id,
        invoice_number=word.invoice.number,
        amount=row["amount"],
        currency=row["currency"],
        exponent=row["exponent"],
        rule=word.rule,
        identity=identity,
        evidence=dict(word.evidence),
        facts={name: row[name] for name in payments.PROVING},
    )
