"""Progress: how much of a smart invoice is paid so far is shown in fields, and a stage, that people chose for it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Final

from airflow_b24.bitrix.commands import is_closed_to_all
from airflow_b24.bitrix.errors import NOT_KEPT, AuthError, BitrixError, RefusedError, RequestError, ResponseError
from airflow_b24.bitrix.flows import Flow, call
from airflow_b24.bitrix.smart_invoices import item_of, read_item
from airflow_b24.bitrix.stages import SMART_INVOICE
from airflow_b24.ledger import notes, settlements, statuses
from airflow_b24.ledger.facts import Row
from airflow_b24.ledger.partial import show_partial
from airflow_b24.ledger.states import State
from airflow_b24.payments.money import Money
from airflow_b24.reconcile import settling
from airflow_b24.reconcile.commenting import Payments
from airflow_b24.reconcile.desk import Desk
from airflow_b24.reconcile.paying import ByPartialStage

# Only while parts wait for the rest, or once our call has paid it; in between the settlement alone writes.
WRITABLE: Final = frozenset({State.COLLECTING, State.PAID})
_UPDATE: Final = "crm.item.update"
# Each takes some requests, which the payments of this run want too.
AT_ONCE: Final = 50


def show_parts(desk: Desk) -> int:
    """Show the progress of every smart invoice that waits for the rest of its money. Returns how many were changed.

    At most AT_ONCE, those first that changed last. One that cannot be shown stops no other, unless the portal is closed to
    all; the ledger keeps why it could not. Raises the first one's BitrixError at the end. Repeating is safe.
    """
    if not desk.wishes.fields and not desk.wishes.partial_stage:
        return 0
    changed, troubles = 0, list[BitrixError]()
    for row in settlements.collecting(desk.store, desk.portal_id, "smart", AT_ONCE):
        shown, trouble = _show(desk, row)
        changed += shown
        notes.note(desk.store, row, trouble.said if trouble else "")
        if trouble and is_closed_to_all(trouble):
            # Payments come first: what is asked for in vain, or out of pace, holds them up.
            raise trouble
        troubles += [trouble] if trouble else []
    for trouble in troubles:
        raise trouble
    return changed


def _show(desk: Desk, row: Row) -> tuple[int, BitrixError | None]:
    """How much was changed on one invoice, and what went wrong first."""
    changed, trouble = 0, None
    for show in (_show_progress, show_stage):
        try:
            changed += show(desk, row)
        except (AuthError, RefusedError) as error:
            return changed, error
        except BitrixError as error:
            trouble = trouble or error
    return changed, trouble


def show_stage(desk: Desk, row: Row) -> bool:
    """Move an invoice to the stage of parts, once, if people wish for one. Returns whether it was moved.

    Raises BitrixError, LedgerError. Repeating is safe: what people move on from there is left where it is, and nothing
    is paid while a move may still land.
    """
    if not desk.wishes.partial_stage or row.answered or row.partial_may_land:
        return False
    told = settling.drive(show_partial(row.id), desk, ByPartialStage(desk.invoices.smart.stages))
    if isinstance(told, bool):
        return told
    raise told.cause if isinstance(told.cause, BitrixError) else ResponseError(told.text)


def _show_progress(desk: Desk, row: Row) -> bool:
    if not desk.wishes.fields:
        return False
    with desk.store.snapshot() as connection:
        payments = statuses.paid_with(connection, row.id)
    return desk.client.run(show_progress(desk.wishes.fields, row, payments))


def show_progress(fields: Mapping[str, str], row: Row, payments: Payments) -> Flow[bool]:
    """Write what is paid, what is left, how many payments and the last one's day, never the stage: smart ones only.

    Returns whether anything was to be changed. Raises BitrixError, also when the portal has not such a field, or does
    not keep what is written there. Repeating is safe: what stands there already is not written.
    """
    if row.kind != "smart" or row.state not in WRITABLE or row.how == "by_hand":
        return False
    wanted = _fields(fields, row, payments)
    shown = yield from read_item(row.invoice_id)
    changed = _without(wanted, shown)
    # Sent in vain it would wake the portal's robots each time.
    known = {name: value for name, value in changed.items() if name in shown}
    if known:
        # docs: the page of crm.item.update
        arguments = {"entityTypeId": SMART_INVOICE, "id": row.invoice_id, "fields": known}
        # docs: crm.item.update answers with all of the item.
        shown = item_of((yield from call(_UPDATE, arguments, write=True)))
    if lost := _without(changed, shown):
        text = f"progress_fields: {', '.join(lost)}: not there, or does not keep what is written"
        raise RequestError(NOT_KEPT, text, method=_UPDATE)
    return bool(changed)


def _without(wanted: Mapping[str, object], shown: Mapping[str, object]) -> dict[str, object]:
    """What of this does not stand there."""
    return {name: value for name, value in wanted.items() if not _stands(shown.get(name), value)}


def _fields(fields: Mapping[str, str], row: Row, payments: Payments) -> dict[str, object]:
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
