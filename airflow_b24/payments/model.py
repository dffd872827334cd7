"""The two things that are matched: a payment received and an invoice waiting for one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from airflow_b24.payments.money import Money

InvoiceKind = Literal["legacy", "smart"]


@dataclass(frozen=True, slots=True)
class Payment:
    """Money received on one of our accounts.

    `account`, `key` and `occurrence` identify it for ever; `occurrence` tells equal rows of one day apart when the
    source has no id of its own. `booked_on` is the bank's date, in the account's time zone. `released_from` holds the
    kind and id of invoices that, as a person has said, this money does not pay.
    """

    account: str
    key: str
    occurrence: int
    amount: Money
    booked_on: date
    remittance: str
    payer_name: str = ""
    payer_tax_id: str = ""
    payer_account: str = ""
    document_number: str = ""
    released_from: frozenset[tuple[str, int]] = frozenset()


@dataclass(frozen=True, slots=True)
class Invoice:
    """An open or lately closed item of a portal; `kind` and `id` identify it within that portal.

    `amount` is None when the portal's price is not exact in minor units. `own_accounts` is None when the receiving
    accounts are not known. `settled` says that the ledger already has a live settlement on it, `by_id` that
    no payment stands behind that one, `collected` which payments it has for it so far while their sum is smaller than
    `amount`.
    """

    kind: InvoiceKind
    id: int
    number: str
    amount: Money | None
    issued_on: date | None
    payer_tax_ids: frozenset[str]
    own_accounts: frozenset[str] | None
    own_company: int | None
    paid: bool
    paid_on: date | None
    cancelled: bool
    voucher_number: str
    settled: bool = False
    by_id: bool = False
    collected: tuple[Payment, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether it waits for money, as far as anybody knows."""
        return not (self.paid or self.cancelled or self.settled)

    @property
    def rest(self) -> int | None:
        """What is still to be paid, in minor units; None when the price is not exact in them."""
        return None if self.amount is None else self.amount.minor - sum(each.amount.minor for each in self.collected)
