"""Progress: how much of a smart invoice is paid so far is written into fields and a stage that people chose for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from airflow_b24.bitrix.flows import call
from airflow_b24.bitrix.invoice import Invoice
from airflow_b24.bitrix.stages import SMART_INVOICE, Wishes
from airflow_b24.ledger import settlements, statuses
from airflow_b24.ledger.facts import Row
from airflow_b24.ledger.states import State
from airflow_b24.payments.money import Money
from airflow_b24.reconcile.desk import Desk

# Only while parts wait for the rest, or once our call has paid it; in between the settlement alone writes.
WRITABLE: Final = frozenset({State.COLLECTING, State.PAID})


def show_parts(desk: Desk) -> int:
    """Write the progress of every smart invoice that waits for the rest of its money. Returns how many were changed."""
    if not _wished(desk.wishes):
        return 0
    return sum(show_progress(desk, row) for row in settlements.collecting(desk.store, desk.portal_id, "smart"))


def show_progress(desk: Desk, row: Row) -> bool:
    """Write what is paid, what is left, how many payments and the last one's day; while parts wait, also the stage.

    Returns whether anything was to be changed. Raises BitrixError. Repeating is safe: what stands there already is not
    written. An invoice that is paid or lost by now is never moved.
    """
    if row.kind != "smart" or row.state not in WRITABLE or row.how == "by_hand" or not _wished(desk.wishes):
        return False
    with desk.store.snapshot() as connection:
        payments = statuses.paid_with(connection, row.id)
    invoice = desk.client.run(desk.invoices.smart.get_invoice(row.invoice_id))
    wanted = {**_fields(desk.wishes, row, payments), **_stage(desk, row, invoice)}
    changed = {name: value for name, value in wanted.items() if not _stands(invoice.raw.get(name), value)}
    if changed:
        # docs: the page of crm.item.update
        arguments = {"entityTypeId": SMART_INVOICE, "id": row.invoice_id, "fields": changed}
        desk.client.run(call("crm.item.update", arguments, write=True))
    return bool(changed)


def _wished(wishes: Wishes) -> bool:
    return bool(wishes.partial_stage or wishes.fields)


def _fields(wishes: Wishes, row: Row, payments: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    if not payments:
        return {}
    paid = sum(payment["put"] for payment in payments)
    values = {
        "paid": Money(paid, row.currency).decimal,
        "balance": Money(row.expected - paid, row.currency).decimal,
        "payments": len(payments),
        "last_paid_on": max(payment["booked_on"] for payment in payments).isoformat(),
    }
    return {wishes.fields[name]: value for name, value in values.items() if name in wishes.fields}


def _stage(desk: Desk, row: Row, invoice: Invoice) -> dict[str, object]:
    """Where it is moved while parts wait: never out of a stage that means paid or lost."""
    stages = desk.invoices.smart.stages
    if row.state is not State.COLLECTING or invoice.paid or invoice.status_id not in stages.open_ids:
        return {}
    partial = stages.partial_stage(invoice.category_id)
    return {} if partial is None else {"stageId": partial}


def _stands(shown: object, wanted: object) -> bool:
    """Say whether the portal shows the value already: a number as a text, a day with a time."""
    if isinstance(wanted, (int, Decimal)):
        try:
            return Decimal(str(shown)) == wanted
        except InvalidOperation:
            return False
    return str(shown or "")[: len(str(wanted))] == wanted
