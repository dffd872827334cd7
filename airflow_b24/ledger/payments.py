"""Payments: money received on one of our accounts, known by account, key and occurrence."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Literal

from sqlalchemy import Connection, select, update

from airflow_b24.ledger import settlements
from airflow_b24.ledger.schema import payment
from airflow_b24.ledger.store import utc_now
from airflow_b24.ledger.upsert import insert_if_absent


@dataclass(frozen=True, slots=True)
class NewPayment:
    """A payment as its source gave it; `amount` in minor units, `exponent` their number of decimal places."""

    account: str
    key: str
    occurrence: int
    amount: int
    currency: str
    exponent: int
    booked_on: date
    remittance: str
    payer_name: str
    payer_tax_id: str
    payer_account: str
    document_number: str


def record(connection: Connection, new: NewPayment) -> tuple[int, Literal["new", "repeated", "amended"]]:
    """Keep the payment once; the same key with other content is an amendment and puts a hold on all it touches."""
    values = asdict(new)
    inserted = insert_if_absent(connection, payment, {**values, "received_at": utc_now(connection)})
    same = (payment.c[name] == values[name] for name in ("account", "key", "occurrence"))
    known = connection.execute(select(payment).where(*same)).mappings().one()
    if inserted:
        return known["id"], "new"
    if all(known[name] == value for name, value in values.items()):
        return known["id"], "repeated"
    _hold(connection, known["id"])
    return known["id"], "amended"


def _hold(connection: Connection, payment_id: int) -> None:
    # The payment first: a promise that is being made beside us has locked it, and is only seen once it is committed.
    connection.execute(update(payment).where(payment.c.id == payment_id).values(held=True))
    # The veto goes onto the settlements in this same transaction: a sender sees it in its own row, never too late.
    settlements.hold_for_payment(connection, payment_id, "amended")


def unallocated(connection: Connection) -> list[dict[str, Any]]:
    """Payments of which nothing has been promised to an invoice yet, oldest booking first."""
    query = select(payment).where(payment.c.allocated == 0, payment.c.held.is_(False))
    return [dict(row) for row in connection.execute(query.order_by(payment.c.booked_on, payment.c.id)).mappings()]
