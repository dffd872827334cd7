"""The portal as a witness: does it show pays of ours that this ledger knows nothing of?

The mark of who paid an invoice is overwritten by any later edit: its absence proves nothing, only its presence accuses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from typing import Final

from airflow_b24.bitrix import invoices
from airflow_b24.bitrix.invoices import Invoice
from airflow_b24.bitrix.paysystems import profile
from airflow_b24.ledger import adoptions
from airflow_b24.ledger.adoptions import Found
from airflow_b24.reconcile.desk import Desk, PaySystem
from airflow_b24.reconcile.matching import PAID_LATELY
from airflow_b24.reconcile.translating import price

KIND: Final = "legacy"


def paid_lately(desk: Desk) -> list[Invoice]:
    """Ask the portal for the invoices paid in the last 45 days, as matching does. Raises BitrixError."""
    return desk.client.run(invoices.paid_since((datetime.now(UTC) - PAID_LATELY).date()))


def unknown_pays(desk: Desk, pay_system: PaySystem | None, listed: Iterable[Invoice]) -> list[Invoice]:
    """Those of the listed invoices which our user paid through a pay system of ours, but not from this ledger.

    Asks the portal who we are only when there is an invoice to accuse; see `bitrix.paysystems.profile`.
    """
    with desk.store.snapshot() as connection:
        sent_through = adoptions.pay_systems(connection, desk.portal_id)
        ours = _ids({pay_system.name: set(), **sent_through} if pay_system else sent_through)
        through = {row.id: row for row in listed if row.paid and (ours is None or row.pay_system_id in ours)}
        unknown = adoptions.unknown_among(connection, desk.portal_id, KIND, through.keys())
    if not any(through[invoice_id].paid_by for invoice_id in unknown):
        return []
    we = desk.client.run(profile()).id
    return [through[invoice_id] for invoice_id in sorted(unknown) if through[invoice_id].paid_by == we]


def _ids(shown: Mapping[str, AbstractSet[str]]) -> set[int] | None:
    """The ids of our pay systems; None when one is not known, and the user alone must tell our pays."""
    # A handler has no id of its own: only what was paid through it shows one.
    ids = [{name} if name.isdigit() else by_name for name, by_name in shown.items()]
    return {int(each) for by_name in ids for each in by_name} if ids and all(ids) else None


def as_found(invoice: Invoice) -> Found:
    """Write an invoice as the ledger adopts it; a price that is not exact in minor units is kept as evidence alone."""
    money = price(invoice)
    return Found(
        kind=KIND,
        invoice_id=invoice.id,
        invoice_number=invoice.number,
        expected=money.minor if money else 0,
        currency=invoice.currency,
        exponent=money.exponent if money else 0,
        evidence={
            "paid": invoice.paid,
            "amount": money and money.minor,
            "currency": invoice.currency,
            "paid_on": invoice.paid_at and invoice.paid_at.date().isoformat(),
            "paid_by": invoice.paid_by,
            "pay_system_id": invoice.pay_system_id,
        },
    )
