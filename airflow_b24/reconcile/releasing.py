"""Release: a person has looked at a settlement in review and says that this money did not pay this invoice."""

from __future__ import annotations

from airflow_b24.bitrix.errors import INVOICE_GONE, RequestError
from airflow_b24.bitrix.invoices import get_invoice
from airflow_b24.ledger import settlements
from airflow_b24.ledger.decide import Row, State
from airflow_b24.reconcile.desk import Desk


def release(desk: Desk, settlement_id: int) -> Row:
    """Free the invoice and the payment of a settlement in review, so that they are matched afresh.

    Raises ValueError when it is not in review, or while a call of ours may still land or has landed. Repeating is safe.
    """
    row = settlements.look(desk.store, settlement_id)
    if row.portal_id != desk.portal_id:
        raise ValueError(f"SETTLEMENT_ID: {settlement_id} is of another portal; name its connection with --conn-id")
    if row.state is not State.REVIEW:
        raise ValueError(f"SETTLEMENT_ID: {settlement_id} is {row.state}; only one in review can be released")
    if row.in_flight and row.quiet_until is not None and row.claimed_at < row.quiet_until:
        until = f"{row.quiet_until:%H:%M:%S} UTC"
        raise ValueError(f"SETTLEMENT_ID: a call for {settlement_id} may still land; try again after {until}")
    if row.in_flight and _is_paid(desk, row):
        raise ValueError(
            f"SETTLEMENT_ID: invoice {row.invoice_number} is paid, perhaps by our own call for {settlement_id}; "
            "if it is not, take the payment back in Bitrix24 first"
        )
    return settlements.release(desk.store, row)


def _is_paid(desk: Desk, row: Row) -> bool:
    try:
        return desk.client.run(get_invoice(row.invoice_id)).paid
    except RequestError as error:
        if error.code == INVOICE_GONE:
            return False
        raise
