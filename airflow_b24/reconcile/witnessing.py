"""The portal as a witness: does it show pays of ours that this ledger knows nothing of?

The mark of who paid an invoice is overwritten by any later edit: its absence proves nothing, only its presence accuses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime

from airflow_b24.bitrix.invoice import Invoice
from airflow_b24.bitrix.paysystems import profile
from airflow_b24.ledger import adoptions
from airflow_b24.ledger.adoptions import Found
from airflow_b24.reconcile.desk import Desk, PaySystem
from airflow_b24.reconcile.matching import PAID_LATELY, paid_since
from airflow_b24.reconcile.translating import price


def paid_lately(desk: Desk) -> Iterator[Invoice]:
    """Ask the portal for the invoices paid in the last 45 days, as matching does. Raises BitrixError."""
    return paid_since(desk, (datetime.now(UTC) - PAID_LATELY).date())


def unknown_pays(desk: Desk, pay_system: PaySystem | None, listed: Iterable[Invoice]) -> list[Invoice]:
    """Those of the listed invoices which our user paid, but not from this ledger; legacy ones through a pay system of ours.

    Asks the portal who we are only when there is an invoice to accuse; see `bitrix.paysystems.profile`.
    """
    rows = [row for row in listed if row.paid]
    return [*_legacy(desk, pay_system, rows), *_smart(desk, rows)]


def _smart(desk: Desk, rows: Iterable[Invoice]) -> list[Invoice]:
    by_us = {row.id: row for row in rows if row.kind == "smart" and row.paid_by_us}
    with desk.store.snapshot() as connection:
        unknown = adoptions.unknown_among(connection, desk.portal_id, "smart", by_us.keys())
    return [by_us[invoice_id] for invoice_id in sorted(unknown)]


def _legacy(desk: Desk, pay_system: PaySystem | None, rows: Iterable[Invoice]) -> list[Invoice]:
    legacy = [row for row in rows if row.kind == "legacy"]
    with desk.store.snapshot() as connection:
        sent_through = adoptions.pay_systems(connection, desk.portal_id)
        ours = _ids({pay_system.name: set(), **sent_through} if pay_system else sent_through)
        through = {row.id: row for row in legacy if ours is None or row.pay_system_id in ours}
        unknown = adoptions.unknown_among(connection, desk.portal_id, "legacy", through.keys())
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
        kind=invoice.kind,
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
