"""Match: payments waiting in the ledger meet the portal's invoices; only a proof becomes a settlement."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import islice
from typing import Any, Literal, cast

from sqlalchemy import Connection

from airflow_b24.bitrix import companies
from airflow_b24.bitrix.invoice import Invoice as PortalInvoice
from airflow_b24.bitrix.kinds import Invoices
from airflow_b24.bitrix.listing import Listing
from airflow_b24.ledger import adoptions, allocations, outcomes, payments, portals, releases, settlements
from airflow_b24.ledger.facts import Key
from airflow_b24.ledger.outcomes import Outcome
from airflow_b24.ledger.promise import Part, Promise
from airflow_b24.payments.matching import Proven, Unproven, match
from airflow_b24.payments.model import Invoice, InvoiceKind, Payment
from airflow_b24.payments.money import Money
from airflow_b24.payments.sieve import Sieve
from airflow_b24.reconcile.desk import Desk
from airflow_b24.reconcile.translating import identity, identity_of, paid_day, price

Mode = Literal["shadow", "pay"]

# Invoices paid so lately may have been paid by hand for a payment that only arrives now.
PAID_LATELY = timedelta(days=45)
# Two days hold this run's beginning, whatever the clocks and zones.
MOVED_LATELY = timedelta(days=2)


# So many invoices are looked at together.
PORTION = 500

# Looks at paid invoices as they are listed, some at a time, before anything is promised; raises LedgerError.
Witness = Callable[[Sequence[PortalInvoice]], None]


def match_payments(desk: Desk, mode: Mode, today: date, witness: Witness | None = None) -> dict[str, int]:
    """Match every unallocated payment afresh and record why; in `pay` promise the proven ones to their invoices.

    `shadow` writes no allocation and no settlement. Repeating is safe: a payment and an invoice are promised once.
    Returns counts: payments, proven, review, promised (proven now and put to their invoices).
    """
    with desk.store.snapshot() as connection:
        waiting, held = (payments.unallocated(connection, held=held) for held in (False, True))
        dismissed = payments.dismissed(connection)
        taken = _taken(connection, desk.portal_id)
        parted = releases.parted(connection, desk.portal_id)
        alone = portals.count(connection) == 1
    if not waiting:
        if witness is not None:
            # What is ready from an earlier run will be sent all the same.
            for rows in portions(paid_since(desk, today - PAID_LATELY)):
                witness(rows)
        return {"payments": 0, "proven": 0, "review": 0, "promised": 0}
    asked, dealt_with = (
        [_payment(row, parted.get(row["id"], frozenset())) for row in of] for of in (waiting, dismissed)
    )
    doubted = [_payment(row) for row in held]
    sieve = Sieve(asked, [*doubted, *dealt_with])
    known, payers = portal_invoices(desk, today, taken, sieve, witness)
    # An invoice whose own account is not known may be told by being the only company's; not when portals share money.
    words = match(
        asked,
        known,
        held=doubted,
        dismissed=dealt_with,
        trust_unknown_accounts=alone,
        companies=sieve.companies,
    )
    judged = list(zip(waiting, words, strict=True))
    _record(desk, mode, judged)
    proven = [(row, word) for row, word in judged if isinstance(word, Proven)]
    promises = [_promise(desk, row, word, payers) for row, word in proven]
    promised = sum(map(bool, allocations.allocate_all(desk.store, promises))) if mode == "pay" else 0
    return {"payments": len(judged), "proven": len(proven), "review": len(judged) - len(proven), "promised": promised}


@dataclass(frozen=True, slots=True)
class Taken:
    """What the ledger has on the portal's invoices, by (kind, id)."""

    collected: Mapping[Key, Sequence[Mapping[str, Any]]]
    # Paid, as a person has told; the payment that did it may still come in. With price and currency.
    adopted: Mapping[Key, tuple[int, str]]


def _taken(connection: Connection, portal_id: int) -> Taken:
    # What is held, or was promised at another price, takes no more: a person must look at it first.
    collected = allocations.collected(connection, portal_id)
    open_ = {key: rows for key, rows in collected.items() if all(row["hold"] is None for row in rows)}
    return Taken(open_, adoptions.unfunded(connection, portal_id))


def portal_invoices(
    desk: Desk, today: date, taken: Taken, sieve: Sieve, witness: Witness | None = None
) -> tuple[list[Invoice], Mapping[Key, int | None]]:
    """Every open or lately paid invoice that is wanted, with its payer's tax ids and the accounts of our own company.

    Beside them, by kind and id, which company each is for. The lists pass by: of an invoice that is not wanted nothing is
    held.
    """
    wanted: dict[Key, Invoice] = {}
    payers: dict[Key, int | None] = {}
    for rows in portions(_listed(desk, today)):
        if witness is not None and (paid := [row for row in rows if row.paid]):
            witness(paid)
        with desk.store.snapshot() as connection:
            live = settlements.live_among(connection, desk.portal_id, [row.key for row in rows])
        for row in rows:
            # What moves between the lists may stand in several: the later word counts.
            wanted.pop(row.key, None)
            invoice = _invoice(row, taken, live)
            if sieve.wants(invoice, row.company_id):
                wanted[row.key], payers[row.key] = invoice, row.company_id
    tax_ids = desk.client.run(companies.requisites(_ids(payers[key] for key in wanted)))
    accounts = desk.client.run(companies.bank_accounts(_ids(each.own_company for each in wanted.values())))
    return [_identified(each, payers[key], tax_ids, accounts) for key, each in wanted.items()], payers


def _listed(desk: Desk, today: date) -> Iterator[PortalInvoice]:
    # What is un-paid between the first two lists stands in neither, and would leave its number to another invoice.
    yield from _open(desk)
    yield from paid_since(desk, today - PAID_LATELY)
    yield from _moved_since(desk, today - MOVED_LATELY)


def portions(rows: Iterable[PortalInvoice]) -> Iterator[list[PortalInvoice]]:
    """Yield the rows as they are listed, some together: a list may be longer than what should be held of it."""
    listed = iter(rows)
    while portion := list(islice(listed, PORTION)):
        yield portion


def paid_since(desk: Desk, day: date) -> Iterator[PortalInvoice]:
    """Every invoice, of each kind, that was paid on or after a day of the portal's calendar. Raises BitrixError."""
    return _of_each_kind(desk, lambda invoices: invoices.paid_since(day))


def _open(desk: Desk) -> Iterator[PortalInvoice]:
    return _of_each_kind(desk, lambda invoices: invoices.open_invoices())


def _moved_since(desk: Desk, day: date) -> Iterator[PortalInvoice]:
    return _of_each_kind(desk, lambda invoices: invoices.moved_since(day))


def _of_each_kind(desk: Desk, ask: Callable[[Invoices], Listing[PortalInvoice] | None]) -> Iterator[PortalInvoice]:
    for kind in desk.invoices.kinds:
        if (listing := ask(desk.invoices.of(kind))) is not None:
            yield from desk.client.iterate(listing)


def _ids(found: Iterable[int | None]) -> list[int]:
    return sorted({company_id for company_id in found if company_id is not None})


def _invoice(row: PortalInvoice, taken: Taken, live: Mapping[Key, bool]) -> Invoice:
    """The invoice as far as it is known before its companies are; `live` are settled, with or without a payment."""
    key, amount = row.key, price(row)
    collected = taken.collected.get(key, ())
    due = (amount and amount.minor, amount and amount.currency, identity(row))
    is_taken = key in live and key not in taken.collected
    is_funded = is_taken and not (row.paid and amount and taken.adopted.get(key) == due[:2])
    is_another = any((each["expected"], each["currency"], each["identity"]) != due for each in collected)
    return Invoice(
        kind=cast("InvoiceKind", row.kind),
        id=row.id,
        number=row.number,
        amount=amount,
        issued_on=row.billed_on,
        payer_tax_ids=frozenset(),
        own_accounts=None,
        own_company=row.my_company_id,
        paid=row.paid,
        paid_on=paid_day(row),
        cancelled=row.cancelled,
        voucher_number=row.voucher_number,
        settled=is_funded or is_another,
        by_id=live.get(key, False),
        collected=tuple(_payment(each) for each in collected),
    )


def _identified(
    invoice: Invoice,
    payer: int | None,
    tax_ids: Mapping[int, frozenset[str]],
    accounts: Mapping[int, frozenset[str]],
) -> Invoice:
    theirs = tax_ids.get(payer, frozenset()) if payer is not None else frozenset()
    mine = accounts.get(invoice.own_company) if invoice.own_company is not None else None
    return replace(invoice, payer_tax_ids=theirs, own_accounts=mine or None)


def _payment(row: Mapping[str, Any], released_from: frozenset[Key] = frozenset()) -> Payment:
    names = ("account", "key", "occurrence", "booked_on", "remittance", "payer_name", "payer_tax_id", "payer_account")
    copied = {name: row[name] for name in names}
    money = Money(row["amount"], row["currency"])
    return Payment(**copied, amount=money, document_number=row["document_number"], released_from=released_from)


def _record(desk: Desk, mode: Mode, judged: Sequence[tuple[Mapping[str, Any], Proven | Unproven]]) -> None:
    with desk.store.transaction() as connection:
        said = [_outcome(row["id"], word) for row, word in judged]
        outcomes.record_all(connection, desk.portal_id, mode, said)


def _outcome(payment_id: int, word: Proven | Unproven) -> Outcome:
    numbers = [invoice.number for invoice in word.invoices]
    if isinstance(word, Unproven):
        return Outcome(payment_id, "review", word.reason, numbers, word.evidence)
    return Outcome(payment_id, "part" if word.part else "proven", word.rule, numbers, word.evidence)


def _promise(desk: Desk, row: Mapping[str, Any], word: Proven, payers: Mapping[Key, int | None]) -> Promise:
    return Promise(
        payment_id=row["id"],
        portal_id=desk.portal_id,
        parts=tuple(_part(row, word, invoice, payers[invoice.kind, invoice.id]) for invoice in word.invoices),
        currency=row["currency"],
        exponent=row["exponent"],
        rule=word.rule,
        evidence=dict(word.evidence),
        facts={name: row[name] for name in payments.PROVING},
    )


def _part(row: Mapping[str, Any], word: Proven, invoice: Invoice, payer: int | None) -> Part:
    assert invoice.amount is not None  # noqa: S101 - nothing is proven about a price that cannot be read
    due = invoice.amount.minor
    amount = row["amount"] if len(word.invoices) == 1 else due
    # What tells the invoice from one that a person has given to somebody else since.
    told_by = identity_of(invoice.kind, invoice.number, payer, invoice.own_company)
    return Part(invoice.kind, invoice.id, invoice.number, amount, due, told_by)
