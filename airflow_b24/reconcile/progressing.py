"""Progress: how much of a smart invoice is paid so far is written into fields that people chose for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from airflow_b24.bitrix.flows import call
from airflow_b24.bitrix.stages import SMART_INVOICE
from airflow_b24.ledger import settlements, statuses
from airflow_b24.ledger.facts import Row
from airflow_b24.ledger.states import State
from airflow_b24.payments.money import Money
from airflow_b24.reconcile.desk import Desk

# Only while parts wait for the rest, or once our call has paid it; in between the settlement alone writes.
WRITABLE: Final = frozenset({State.COLLECTING, State.PAID})


def show_parts(desk: Desk) -> int:
    """Write the progress of every smart invoice that waits for the rest of its money. Returns how many were changed."""
    if not desk.wishes.fields:
        return 0
    return sum(show_progress(desk, row) for row in settlements.collecting(desk.store, desk.portal_id, "smart"))


def show_progress(desk: Desk, row: Row) -> bool:
    """Write what is paid, what is left, how many payments and the last one's day, never the stage.

    Returns whether anything was to be changed. Raises BitrixError. Repeating is safe: what stands there already is not
    written.
    """
    if row.kind != "smart" or row.state not in WRITABLE or row.how == "by_hand" or not desk.wishes.fields:
        return False
    with desk.store.snapshot() as connection:
        wanted = _fields(desk.wishes.fields, row, statuses.paid_with(connection, row.id))
    shown = desk.client.run(desk.invoices.smart.get_invoice(row.invoice_id)).raw
    changed = {name: value for name, value in wanted.items() if not _stands(shown.get(name), value)}
    if changed:
        # docs: the page of crm.item.update
        arguments = {"entityTypeId": SMART_INVOICE, "id": row.invoice_id, "fields": changed}
        desk.client.run(call("crm.item.update", arguments, write=True))
    return bool(changed)


def _fields(fields: Mapping[str, str], row: Row, payments: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    if not payments:
        return {}
    paid = sum(payment["put"] for payment in payments)
    values = {
        "paid": Money(paid, row.currency).decimal,
        "balance": Money(row.expected - paid, row.currency).decimal,
        "payments": len(payments),
        "last_paid_on": max(payment["booked_on"] for payment in payments).isoformat(),
    }
    return {fields[name]: value for name, value in values.items() if name in fields}


def _stands(shown: object, wanted: object) -> bool:
    """Say whether the portal shows the value already: a number as a text, a day with a time."""
    if isinstance(wanted, (int, Decimal)):
        try:
            return Decimal(str(shown)) == wanted
        except InvalidOperation:
            return False
    return str(shown or "")[: len(str(wanted))] == wanted
