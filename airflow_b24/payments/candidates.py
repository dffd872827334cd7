"""The invoices a run knows, found by number or by amount in constant time."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from functools import cached_property

from airflow_b24.payments.invoice_number import canonical_number
from airflow_b24.payments.loose_numbers import LooseNumber
from airflow_b24.payments.model import Invoice, Payment
from airflow_b24.payments.references import Reference

MOST_HINTS = 5

# INN 10 or 12 digits, EDRPOU 8, SIREN 9, CPF 11, BIN 12, SIRET 14; IE1234567FA, CHE123456789MWST; CNPJ may hold letters.
_TAX_ID = re.compile(r"(?=(?:[A-Z]*[0-9]){7})[0-9A-Z]{8,16}|(?=(?:[A-Z]*[0-9]){4})[0-9A-Z]{12}[0-9]{2}")
_COUNTING = ("01234567890123456789", "98765432109876543210")


class Candidates:
    """All invoices of one run, indexed; built once, never changed. `companies` are those of invoices left out."""

    def __init__(
        self,
        invoices: Sequence[Invoice],
        *,
        trust_unknown_accounts: bool = True,
        companies: Collection[int | None] = (),
    ) -> None:
        self._invoices = invoices
        self._companies = companies
        self._trusts_unknown_accounts = trust_unknown_accounts
        by_number: defaultdict[str, list[Invoice]] = defaultdict(list)
        for invoice in invoices:
            by_number[canonical_number(invoice.number)].append(invoice)
        self._by_number = {number: same if len(same) == 1 else _distinct(same) for number, same in by_number.items()}

    def named(self, references: Iterable[Reference]) -> list[Invoice]:
        """Return each invoice that a reference may mean, once, by kind and id."""
        found = [
            invoice for reference in references for form in reference.forms for invoice in self._by_number.get(form, ())
        ]
        return found if len(found) < 2 else sorted(dict.fromkeys(found), key=_order)

    def knows(self, reference: Reference) -> bool:
        """Say whether any invoice has a number that the reference may mean."""
        return not self._by_number.keys().isdisjoint(reference.forms)

    def rivals(self, payment: Payment, named: Sequence[Invoice], numbers: Iterable[LooseNumber]) -> list[Invoice]:
        """Return the first other invoices that one of these numbers may mean beside those named."""
        for number in numbers:
            same = self._by_number.get(number.form, ())
            others = [invoice for invoice in same if invoice not in named]
            # A list that was cut may hide the one that is meant.
            if len(same) == MOST_HINTS or any(_may_be_meant(other, payment, named, number.whole) for other in others):
                return others
        return []

    def receives(self, account: str, invoice: Invoice) -> bool:
        """Say whether money on our account can pay the invoice; unknown accounts pass only where one company owns all."""
        if invoice.own_accounts is None:
            return self._trusts_unknown_accounts and self._has_one_company
        return compact(account) in {compact(own) for own in invoice.own_accounts} - {""}

    def lacks_accounts(self, invoice: Invoice) -> bool:
        """Say whether only the invoice's unknown accounts, which are not trusted here, keep money from it."""
        return invoice.own_accounts is None and not self._trusts_unknown_accounts

    def of_amount(self, payment: Payment) -> list[Invoice]:
        """Return a few open invoices of exactly this amount, those of this payer first."""
        money = (payment.amount.minor, payment.amount.currency)
        payer = known_tax_id(payment.payer_tax_id)
        likely = self._open_by_amount.get((*money, payer), []) if payer else []
        return list(dict.fromkeys([*likely, *self._open_by_amount.get((*money, ""), [])]))[:MOST_HINTS]

    def of_others(self, payment: Payment, hints: Sequence[Invoice]) -> list[str]:
        """Return the numbers that only invoices of certainly another payer have among these."""
        theirs = {invoice.number: True for invoice in hints}
        for invoice in hints:
            theirs[invoice.number] &= _is_of_another(payment, invoice)
        return [number for number, is_so in theirs.items() if is_so]

    @cached_property
    def _has_one_company(self) -> bool:
        return len({*self._companies, *(invoice.own_company for invoice in self._invoices)}) <= 1

    @cached_property
    def _open_by_amount(self) -> dict[tuple[int, str, str], list[Invoice]]:
        found: dict[tuple[int, str, str], list[Invoice]] = {}
        for invoice in sorted(self._invoices, key=_order):
            if invoice.amount is None or not invoice.is_open:
                continue
            # The empty tax id stands for any payer.
            for payer in _payers(invoice.payer_tax_ids) | {""}:
                same = found.setdefault((invoice.amount.minor, invoice.amount.currency, payer), [])
                if len(same) < MOST_HINTS:
                    same.append(invoice)
        return found


def compact(identifier: str) -> str:
    """Return a tax id or account number as it is compared: letters and digits alone, in upper case."""
    if identifier.isalnum():
        return identifier.upper()
    return "".join(filter(str.isalnum, identifier)).upper()


def known_tax_id(tax_id: str) -> str:
    """Return a tax id as it is compared; empty when it says nothing."""
    plain = compact(tax_id)
    # "0", "нет", "1111111111" and "1234567890" stand for a payer who has none.
    if not _TAX_ID.fullmatch(plain) or len(set(filter(str.isdigit, plain))) == 1:
        return ""
    return "" if any(plain in counting for counting in _COUNTING) else plain


def _may_be_meant(other: Invoice, payment: Payment, named: Sequence[Invoice], is_whole: bool) -> bool:
    """Say whether a number that no word explains, and that is the number of `other`, may mean it."""
    may_fit = other.amount is None or other.amount in {payment.amount, *(invoice.amount for invoice in named)}
    payers = _payers({payment.payer_tax_id, *(tax_id for invoice in named for tax_id in invoice.payer_tax_ids)})
    theirs = _payers(other.payer_tax_ids)
    may_be_theirs = not payers or not theirs or not payers.isdisjoint(theirs)
    # Where invoices are numbered from 1, any quantity is the number of some invoice: one of another amount and certainly
    # of another payer is none that this payer means. Digits inside a word ("Bitrix24") must fit in both.
    return may_fit or may_be_theirs if is_whole else may_fit and may_be_theirs


def _is_of_another(payment: Payment, invoice: Invoice) -> bool:
    payer, theirs = known_tax_id(payment.payer_tax_id), _payers(invoice.payer_tax_ids)
    return payer != "" and bool(theirs) and payer not in theirs


def _payers(tax_ids: Iterable[str]) -> set[str]:
    return {known_tax_id(tax_id) for tax_id in tax_ids} - {""}


def _distinct(invoices: Iterable[Invoice]) -> list[Invoice]:
    # Two are enough to refuse; the cut keeps a number shared by thousands from costing thousands for each payment.
    return sorted(dict.fromkeys(invoices), key=_order)[:MOST_HINTS]


def _order(invoice: Invoice) -> tuple[str, int]:
    return invoice.kind, invoice.id
