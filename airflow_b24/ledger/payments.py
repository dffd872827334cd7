"""Payments: money received on one of our accounts, known by account, key and occurrence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, RowMapping, select, update

from airflow_b24.ledger import cases, dismissals, settlements
from airflow_b24.ledger.schema import payment
from airflow_b24.ledger.store import utc_now
from airflow_b24.ledger.upsert import insert_if_absent

IDENTITY = ("account", "key", "occurrence")
# A change in one of these is an amendment; the rest is how the bank happens to write it.
PROVING = ("amount", "currency", "booked_on", "remittance", "payer_tax_id", "payer_account")


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


def facts(row: Mapping[str, Any]) -> dict[str, Any]:
    """Of a payment, what a person's word on it rests on: another value of any of them is another question."""
    return {name: row[name] for name in (*PROVING, "held")}


def record(connection: Connection, new: NewPayment) -> tuple[int, Literal["new", "repeated", "amended"]]:
    """Keep the payment once; the same key with other content is an amendment and puts a hold on all it touches."""
    values = asdict(new)
    inserted = insert_if_absent(connection, payment, {**values, "received_at": utc_now(connection)})
    same = (payment.c[name] == values[name] for name in IDENTITY)
    known = connection.execute(select(payment).where(*same)).mappings().one()
    if inserted:
        return known["id"], "new"
    if not _has_changed(known, values):
        _enrich(connection, known, values)
        return known["id"], "repeated"
    hold(connection, known["id"])
    return known["id"], "amended"


def hold_if_known(connection: Connection, account: str, key: str) -> int | None:
    """Hold the payment with this identity, if the ledger has it; returns its id."""
    query = select(payment.c.id).where(payment.c.account == account, payment.c.key == key, payment.c.occurrence == 0)
    payment_id = connection.execute(query).scalar_one_or_none()
    if payment_id is not None:
        hold(connection, payment_id)
    return payment_id


def read_anew(connection: Connection, payment_id: int, new: NewPayment) -> bool:
    """Take over what a mended mapping reads in the same record, as long as nothing rests on the payment.

    False when something does: then the payment stays as it was read first. A dismissal of what turns out to be another
    payment is taken back.
    """
    this = payment.c.id == payment_id
    values = asdict(new)
    free = (this, payment.c.allocated == 0, *(payment.c[name] == values[name] for name in IDENTITY))
    # What another delivery filled in stays: this record only has nothing to say of it.
    read = {name: value for name, value in values.items() if name not in IDENTITY and value != ""}
    known = connection.execute(select(payment).where(*free).with_for_update()).mappings().first()
    if known is None:
        return False
    connection.execute(update(payment).where(this).values(**read))
    if _has_changed(known, read):
        dismissals.reopen_misread(connection, payment_id)
    return True


def is_as_known(new: NewPayment, known: RowMapping) -> bool:
    """Say whether it is the payment which the ledger has, and says nothing of it that is not there."""
    return all(value == known[name] or (value == "" and name not in IDENTITY) for name, value in asdict(new).items())


def _has_changed(known: RowMapping, values: Mapping[str, Any]) -> bool:
    return any(values.get(name, known[name]) != known[name] and not _is_new_fact(known, name) for name in PROVING)


def _is_new_fact(known: RowMapping, name: str) -> bool:
    # What was empty may be filled in as long as nothing rests on it.
    return bool(known[name] == "" and known["allocated"] == 0)


def _enrich(connection: Connection, known: RowMapping, values: dict[str, Any]) -> None:
    filled = {name: value for name, value in values.items() if known[name] == "" and value != ""}
    if filled:
        free = (payment.c.id == known["id"], payment.c.allocated == 0)
        connection.execute(update(payment).where(*free).values(**filled))


def hold(connection: Connection, payment_id: int) -> None:
    """Let nothing be sent for a payment until a person accepts it."""
    # The payment first: a promise that is being made beside us has locked it, and is only seen once it is committed.
    connection.execute(update(payment).where(payment.c.id == payment_id).values(held=True))
    # The veto goes onto the settlements in this same transaction: a sender sees it in its own row, never too late.
    settlements.hold_for_payment(connection, payment_id, cases.AMENDED)
    dismissals.reopen_changed(connection, payment_id)


def unallocated(connection: Connection, *, held: bool = False) -> list[dict[str, Any]]:
    """Payments of which nothing has been promised to an invoice yet, oldest booking first; or those of them held.

    One that a person has dismissed is in neither list.
    """
    open_ = payment.c.id.not_in(select(dismissals.latest().c.payment_id))
    return _oldest_first(connection, payment.c.allocated == 0, payment.c.held.is_(held), open_)


def dismissed(connection: Connection) -> list[dict[str, Any]]:
    """Payments that a person has dealt with elsewhere, oldest booking first."""
    return _oldest_first(connection, payment.c.id.in_(select(dismissals.latest().c.payment_id)))


def _oldest_first(connection: Connection, *which: ColumnElement[bool]) -> list[dict[str, Any]]:
    query = select(payment).where(*which).order_by(payment.c.booked_on, payment.c.id)
    return [dict(row) for row in connection.execute(query).mappings()]
