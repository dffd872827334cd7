"""A pay system of the wrong kind answers `true` and pays nothing: it is found out before it spoils a day's payments."""

from __future__ import annotations

from airflow_b24.bitrix.errors import AuthError, RequestError
from airflow_b24.bitrix.legacy_invoice import PayInvoice
from airflow_b24.bitrix.paysystems import invoice_settings
from airflow_b24.ledger import settlements
from airflow_b24.ledger.facts import Row
from airflow_b24.ledger.states import State
from airflow_b24.reconcile.desk import Desk, PaySystem

# So many answers in a row that paid nothing are no accident.
IN_A_ROW = 3
FIX = (
    "the portal answers true and pays nothing through it; run `airflow-b24 setup`, put its pay_system_id into the "
    "connection's extra, and `airflow-b24 doctor` checks it"
)


def refuse_idle(desk: Desk, row: Row, pay_system: PaySystem) -> bool:
    """Raise ValueError rather than send through a pay system that does not pay; nothing is sent then.

    One that has not paid yet in this ledger is asked about first: one request more, until its first payment. What is
    `unknown` goes on: it is read before anything else. Returns whether it is known to pay now: an invoice that is gone
    tells nothing of it.
    """
    if row.state is not State.READY:
        return False
    pay = PayInvoice(row.invoice_id, pay_system.pay_system_id, pay_system.bx_rest_handler)
    return refuse_known_idle(desk, row, pay_system.name) or _probe(desk, pay, pay_system)


def refuse_known_idle(desk: Desk, row: Row, name: str) -> bool:
    """Raise ValueError when the last ones sent through it stayed unpaid; returns whether it has paid lately."""
    if row.state is not State.READY:
        return False
    record = settlements.record_of(desk.store, desk.portal_id, name, IN_A_ROW)
    if len(record) == IN_A_ROW and not any(record):
        why = f"the last {IN_A_ROW} invoices sent through {name} stayed unpaid"
        raise ValueError(f"pay_system_id or bx_rest_handler: {why}; {FIX}")
    return any(record)


def _probe(desk: Desk, pay: PayInvoice, pay_system: PaySystem) -> bool:
    try:
        desk.client.run(invoice_settings(pay))
    except AuthError as error:
        # source-derived: settings.invoice.get asks for the same rights as pay.invoice, and refuses any other kind.
        if error.code != "ACCESS_DENIED":
            raise
        why = f"{pay_system.name} is not built on a REST handler, or this user may not pay invoices"
        raise ValueError(f"pay_system_id or bx_rest_handler: {why}: {FIX}") from None
    except RequestError:
        # The call itself will say what is wrong with the invoice or the arguments.
        return False
    return True
