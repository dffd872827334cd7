"""What a person decides about a settlement: this money did not pay this invoice, or try once more."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_b24.bitrix.errors import INVOICE_GONE, RequestError
from airflow_b24.bitrix.invoices import get_invoice
from airflow_b24.ledger import cases, releases, settlements
from airflow_b24.ledger.decide import retried
from airflow_b24.ledger.facts import Fact, Refused, Row, Seen
from airflow_b24.ledger.states import REASONS, State
from airflow_b24.reconcile.desk import Desk
from airflow_b24.reconcile.translating import fact, seen

RELEASABLE = frozenset({State.COLLECTING, State.READY, State.REVIEW, State.PAID})


def release(desk: Desk, settlement_id: int) -> Row:
    """Free the invoice and the payments of a settlement; the two are parted for good.

    From `paid` only when the invoice was reversed on the portal. Raises ValueError when it is in no such state, or while
    a call of ours may still land or has landed. Repeating is safe.
    """
    row = _of_this_portal(desk, settlement_id)
    if row.state not in RELEASABLE:
        raise ValueError(f"SETTLEMENT_ID: {settlement_id} is {row.state}, and nothing of that can be released")
    if row.state is State.PAID:
        _check_reversed(desk, row)
    elif row.in_flight:
        _check_unpaid(desk, row)
    return releases.release(desk.store, row)


def retry(desk: Desk, settlement_id: int) -> Row:
    """Make a settlement in review `ready` again, once what stood in its way has been mended.

    Raises ValueError naming what still does, or while a call of ours may still land. Repeating is safe.
    """
    row = _of_this_portal(desk, settlement_id)
    if row.state is not State.REVIEW:
        raise ValueError(f"SETTLEMENT_ID: {settlement_id} is {row.state}; only one in review can be retried")
    _check_quiet(row)
    decision = retried(row, _unpaid(desk, row), _beside(desk, row))
    if decision.state is not State.READY:
        raise ValueError(f"SETTLEMENT_ID: {REASONS[decision.reason or '']} ({decision.reason})")
    moved = settlements.move(desk.store, row, decision, desk.patience, "")
    if moved is None:
        raise ValueError(f"SETTLEMENT_ID: {settlement_id} has moved meanwhile; look at it again")
    return moved


def _of_this_portal(desk: Desk, settlement_id: int) -> Row:
    row = settlements.look(desk.store, settlement_id)
    if row.portal_id != desk.portal_id:
        raise ValueError(f"SETTLEMENT_ID: {settlement_id} is of another portal; name its connection with --conn-id")
    return row


def _check_reversed(desk: Desk, row: Row) -> None:
    with desk.store.snapshot() as connection:
        reversed_ = cases.is_open(connection, row.id, cases.REVERSED)
    if not reversed_ or _is_paid(desk, row):
        raise ValueError(
            f"SETTLEMENT_ID: invoice {row.invoice_number} is paid; take the payment back in Bitrix24 first, and let the "
            "sweep (or its task, run again) see it"
        )


def _check_unpaid(desk: Desk, row: Row) -> None:
    _check_quiet(row)
    if _is_paid(desk, row):
        raise ValueError(
            f"SETTLEMENT_ID: invoice {row.invoice_number} is paid, perhaps by our own call for {row.id}; "
            "if it is not, take the payment back in Bitrix24 first"
        )


def _check_quiet(row: Row) -> None:
    if row.in_flight and row.quiet_until is not None and row.claimed_at < row.quiet_until:
        until = f"{row.quiet_until:%H:%M:%S} UTC"
        raise ValueError(f"SETTLEMENT_ID: a call for {row.id} may still land; try again after {until}")


def _unpaid(desk: Desk, row: Row) -> Seen:
    now = seen(desk.client.run(get_invoice(row.invoice_id)))
    if now.paid:
        raise ValueError(f"SETTLEMENT_ID: invoice {row.invoice_number} is paid; there is nothing to retry")
    return now


def _is_paid(desk: Desk, row: Row) -> bool:
    try:
        return desk.client.run(get_invoice(row.invoice_id)).paid
    except RequestError as error:
        if error.code == INVOICE_GONE:
            return False
        raise


def _beside(desk: Desk, row: Row) -> Mapping[int, Fact]:
    return {each.invoice_id: _read(desk, each.invoice_id) for each in row.unread_siblings}


def _read(desk: Desk, invoice_id: int) -> Fact:
    try:
        return fact(desk.client.run(get_invoice(invoice_id)))
    except RequestError as error:
        return Refused(error.code, str(error), repeatable=False)
