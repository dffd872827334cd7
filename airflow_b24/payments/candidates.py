"""The invoices a run knows, found by number or by amount in constant time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property

from airflow_b24.payments.invoice_number import canonical_number
from airflow_b24.payments.model import Invoice, Payment
from airflow_b24.payments.references import Reference

MOST_HINTS = 5


class Candidates:
    """All invoices of one run, indexed; built once, never changed."""

    def __init__(self, invoices: Sequence[Invoice]) -> None:
        self._invoices = invoices
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

    def receives(self, account: str, invoice: Invoice) -> bool:
        """Say whether money on our account can pay the invoice; unknown accounts pass only where one company owns all."""
        if invoice.own_accounts is None:
            return self._has_one_company
        return compact(account) in {compact(own) for own in invoice.own_accounts} - {""}

    def of_amount(self, payment: Payment) -> list[Invoice]:
        """Return a few open invoices of exactly this amount, those of this payer first."""
        money = (payment.amount.minor, payment.amount.currency)
        payer = known_tax_id(payment.payer_tax_id)
        likely = self._open_by_amount.get((*money, payer), []) if payer else []
        return list(dict.fromkeys([*likely, *self._open_by_amount.get((*money, ""), [])]))[:MOST_HINTS]

    @cached_property
    def _has_one_company(self) -> bool:
        return len({invoice.own_company for invoice in self._invoices}) <= 1

    @cached_property
    def _open_by_amount(self) -> dict[tuple[int, str, str], list[Invoice]]:
        found: dict[tuple[int, str, str], list[Invoice]] = {}
        for invoice in sorted(self._invoices, key=_order):
            if invoice.amount is None or invoice.paid or invoice.cancelled or invoice.settled:
                continue
            # The empty tax id stands for any payer.
            for payer in {known_tax_id(tax_id) for tax_id in invoice.payer_tax_ids} | {""}:
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
    # Russian banks write "0" for a payer who has none.
    return plain if plain.strip("0") else ""


def _distinct(invoices: Iterable[Invoice]) -> list[Invoice]:
    # Two are enough to refuse; the cut keeps a number shared by thousands from costing thousands for each payment.
    return sorted(dict.fromkeys(invoices), key=_order)[:MOST_HINTS]


def _order(invoice: Invoice) -> tuple[str, int]:
    return invoice.kind, invoice.id
