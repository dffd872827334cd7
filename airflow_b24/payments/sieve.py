"""Which invoices the words about some payments could be about: the others need not be kept to say the same words."""

from __future__ import annotations

from bisect import insort
from collections.abc import Hashable, Iterable, Iterator
from itertools import chain

from airflow_b24.payments.candidates import MOST_HINTS
from airflow_b24.payments.invoice_number import canonical_number
from airflow_b24.payments.loose_numbers import loose_numbers
from airflow_b24.payments.model import Invoice, Payment
from airflow_b24.payments.references import find_references


class Sieve:
    """Looks at a portal's invoices one by one, all that `match` would be given, and says which of them to give it.

    `payments` are those to be judged, `beside` those that may be the same money. With the invoices that are wanted, and
    `companies` for those that are not, `match` says of each payment what it says with all of them. An invoice that was
    wanted as a hint and is closed when it comes again leaves its place empty: one that was passed over is not found again.
    """

    def __init__(self, payments: Iterable[Payment], beside: Iterable[Payment] = ()) -> None:
        judged = list(payments)
        self._numbers = frozenset(chain.from_iterable(_numbers(each.remittance) for each in chain(judged, beside)))
        self._amounts = frozenset(each.amount for each in judged)
        self._hints: dict[tuple[object, Hashable], list[tuple[str, int]]] = {}
        self.companies: set[int | None] = set()

    def wants(self, invoice: Invoice, payer: Hashable) -> bool:
        """Say whether the invoice could be meant; `payer` is whoever owes it: those of one payer have the same tax ids."""
        self.companies.add(invoice.own_company)
        return canonical_number(invoice.number) in self._numbers or self._may_be_shown(invoice, payer)

    def _may_be_shown(self, invoice: Invoice, payer: Hashable) -> bool:
        """Say whether it is one of the first open ones of its amount and payer, which a person may want to look at."""
        if invoice.amount not in self._amounts or not invoice.is_open:
            return False
        shown, identity = self._hints.setdefault((invoice.amount, payer), []), (invoice.kind, invoice.id)
        if identity not in shown:
            insort(shown, identity)
            del shown[MOST_HINTS:]
        return identity in shown


def _numbers(remittance: str) -> Iterator[str]:
    """Yield every number that is looked up for a text."""
    reading = find_references(remittance)
    yield from chain.from_iterable(reference.forms for reference in reading.references)
    yield from (number.form for number in loose_numbers(reading))
