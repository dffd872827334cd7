"""Allocations: so much of this payment to that invoice, made together with the settlement that will use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from airflow_b24.ledger import events
from airflow_b24.ledger.decide import State
from airflow_b24.ledger.errors import InvariantError
from airflow_b24.ledger.schema import allocation, payment, settlement
from airflow_b24.ledger.store import Store, utc_now
from airflow_b24.ledger.upsert import insert_if_absent


@dataclass(frozen=True, slots=True)
class Promise:
    """A proven match: the whole payment settles the whole invoice; `amount` in minor units."""

    payment_id: int
    portal_id: int
    kind: str
    invoice_id: int
    invoice_number: str
    amount: int
    currency: str
    exponent: int
    rule: str
    identity: dict[str, str]
    evidence: dict[str, Any]
    # The payment's facts as they were judged: a proof holds for these and no others.
    facts: Mapping[str, Any] = field(default_factory=dict)


def allocate(store: Store, promise: Promise) -> int | None:
    """Promise the payment to the invoice and make the settlement `ready`, all or nothing.

    None when the invoice already has a live settlement or the payment's money is no longer free: another run was
    first. Repeating is safe by invoice and by payment.
    """
    try:
        with store.transaction() as connection:
            return _allocate(connection, promise)
    except InvariantError:
        return None


def _allocate(connection: Connection, promise: Promise) -> int:
    # Fixed order, settlement then payment: two allocations can wait for each other but never in a circle.
    settlement_id = _open_settlement(connection, promise)
    _take_money(connection, promise)
    now = utc_now(connection)
    connection.execute(
        insert(allocation).values(
            settlement_id=settlement_id, payment_id=promise.payment_id, amount=promise.amount, created_at=now
        )
    )
    evidence = {"payment_id": promise.payment_id, "rule": promise.rule, **promise.evidence}
    events.append(connection, settlement_id, "allocated", state=State.READY, fence=0, at=now, evidence=evidence)
    return settlement_id


def _open_settlement(connection: Connection, promise: Promise) -> int:
    now = utc_now(connection)
    where = {"portal_id": promise.portal_id, "kind": promise.kind, "invoice_id": promise.invoice_id}
    money = {"expected": promise.amount, "allocated": promise.amount, "currency": promise.currency}
    row = {**where, **money, "exponent": promise.exponent, "invoice_number": promise.invoice_number, "origin": "match"}
    times = {"created_at": now, "updated_at": now, "evidence": promise.evidence, "identity": promise.identity}
    if not insert_if_absent(connection, settlement, {**row, **times, "state": State.READY}):
        raise InvariantError(f"invoice {promise.invoice_id} already has a live settlement")
    live = (settlement.c[name] == value for name, value in where.items())
    query = select(settlement.c.id).where(*live, settlement.c.state != State.RELEASED)
    settlement_id: int = connection.execute(query).scalar_one()
    return settlement_id


def _take_money(connection: Connection, promise: Promise) -> None:
    free = (
        update(payment)
        .where(
            payment.c.id == promise.payment_id,
            payment.c.allocated + promise.amount <= payment.c.amount,
            payment.c.held.is_(False),
            payment.c.currency == promise.currency,
            *(payment.c[name] == value for name, value in promise.facts.items()),
        )
        .values(allocated=payment.c.allocated + promise.amount)
        .returning(payment.c.id)
    )
    if connection.execute(free).first() is None:
        raise InvariantError(
            f"payment {promise.payment_id} has not {promise.amount} {promise.currency} free, or has changed"
        )


def settled_by(connection: Connection, settlement_id: int) -> dict[str, Any]:
    """The newest booking date and, of a single payment, the document number: what a hand payment must agree with."""
    query = (
        select(func.max(payment.c.booked_on), func.count(), func.max(payment.c.document_number))
        .join(allocation, allocation.c.payment_id == payment.c.id)
        .where(allocation.c.settlement_id == settlement_id)
    )
    booked_on, count, number = connection.execute(query).one()
    return {"booked_on": booked_on, "document_number": number if count == 1 else ""}
