"""Allocations: so much of this payment to that invoice, made together with the settlements that will use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, func, insert, or_, select, update
from sqlalchemy import case as either

from airflow_b24.ledger import dismissals, events
from airflow_b24.ledger.errors import InvariantError
from airflow_b24.ledger.facts import Key, Kind, Sibling
from airflow_b24.ledger.schema import allocation, payment, settlement
from airflow_b24.ledger.states import ADOPTED, State
from airflow_b24.ledger.store import Store, utc_now
from airflow_b24.ledger.upsert import insert_if_absent


@dataclass(frozen=True, slots=True)
class Part:
    """So much for one invoice: `amount` of its whole price `expected`, in minor units."""

    kind: Kind
    invoice_id: int
    invoice_number: str
    amount: int
    expected: int
    # What the proof rested on beside the money.
    identity: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Promise:
    """A proven match: the whole payment, for one invoice, a part of one, or several."""

    payment_id: int
    portal_id: int
    parts: tuple[Part, ...]
    currency: str
    exponent: int
    rule: str
    evidence: Mapping[str, Any]
    # The payment's facts as they were judged: a proof holds for these and no others.
    facts: Mapping[str, Any] = field(default_factory=dict)


def allocate(store: Store, promise: Promise) -> tuple[int, ...]:
    """Promise the payment to its invoices, all or nothing; a settlement is `ready` once its sum is complete.

    Returns the settlements, none when another run was first: an invoice has a live settlement that takes no more, or
    the payment's money is no longer free. Repeating is safe by invoice and by payment.
    """
    try:
        with store.transaction() as connection:
            return _allocate(connection, promise)
    except InvariantError:
        return ()


def _allocate(connection: Connection, promise: Promise) -> tuple[int, ...]:
    # Fixed order, settlements then payment: two allocations can wait for each other but never in a circle.
    parts = sorted(promise.parts, key=lambda part: (part.kind, part.invoice_id))
    now = utc_now(connection)
    funded = [(part, *_fund(connection, promise, part, now)) for part in parts]
    _take_money(connection, promise)
    for part, settlement_id, state in funded:
        row = {"settlement_id": settlement_id, "payment_id": promise.payment_id, "amount": part.amount}
        connection.execute(insert(allocation).values(**row, created_at=now))
        evidence = {"payment_id": promise.payment_id, "amount": part.amount, "rule": promise.rule, **promise.evidence}
        events.append(connection, settlement_id, "allocated", state=state, fence=0, at=now, evidence=evidence)
    return tuple(settlement_id for _, settlement_id, _ in funded)


def _fund(connection: Connection, promise: Promise, part: Part, now: datetime) -> tuple[int, str]:
    """Add the part to the invoice's settlement, made if there is none; returns its id and state."""
    where = {"portal_id": promise.portal_id, "kind": part.kind, "invoice_id": part.invoice_id}
    money = {"expected": part.expected, "currency": promise.currency}
    _refuse_parted(connection, promise, where)
    row = {**where, **money, "exponent": promise.exponent, "invoice_number": part.invoice_number, "origin": "match"}
    times = {"created_at": now, "updated_at": now, "evidence": promise.evidence, "identity": part.identity}
    insert_if_absent(connection, settlement, {**row, **times, "state": State.COLLECTING})
    together = settlement.c.allocated + part.amount
    same = (settlement.c[name] == value for name, value in {**where, **money}.items())
    whole = either((together == part.expected, State.READY.value), else_=State.COLLECTING.value)
    state = either((settlement.c.state == State.PAID, State.PAID.value), else_=whole)
    add = update(settlement).where(*same, _takes(part)).values(allocated=together, state=state, updated_at=now)
    found = connection.execute(add.returning(settlement.c.id, settlement.c.state, settlement.c.identity)).first()
    is_told = found is not None and found.identity is not None
    if found is None or (is_told and dict(found.identity or {}) != dict(part.identity)):
        raise InvariantError(f"invoice {part.invoice_id} has a live settlement that takes no more")
    return found.id, found.state


def _takes(part: Part) -> ColumnElement[bool]:
    """The settlement waits for more, or was adopted as paid before its payment came in."""
    together = settlement.c.allocated + part.amount
    collecting = and_(settlement.c.state == State.COLLECTING, settlement.c.hold.is_(None), together <= part.expected)
    adopted = and_(settlement.c.state == State.PAID, settlement.c.reason == ADOPTED, together == part.expected)
    return or_(collecting, adopted)


def _refuse_parted(connection: Connection, promise: Promise, where: Mapping[str, Any]) -> None:
    invoice = (settlement.c[name] == value for name, value in where.items())
    pair = (
        select(allocation.c.id)
        .join(settlement, settlement.c.id == allocation.c.settlement_id)
        .where(allocation.c.payment_id == promise.payment_id, *invoice, settlement.c.state == State.RELEASED)
    )
    if connection.execute(pair.limit(1)).first() is not None:
        raise InvariantError(f"a person has parted payment {promise.payment_id} from invoice {where['invoice_id']}")


def _take_money(connection: Connection, promise: Promise) -> None:
    together = sum(part.amount for part in promise.parts)
    free = (
        update(payment)
        .where(
            payment.c.id == promise.payment_id,
            payment.c.allocated + together <= payment.c.amount,
            payment.c.held.is_(False),
            payment.c.currency == promise.currency,
            *(payment.c[name] == value for name, value in promise.facts.items()),
        )
        .values(allocated=payment.c.allocated + together)
        .returning(payment.c.id)
    )
    if connection.execute(free).first() is None:
        raise InvariantError(f"payment {promise.payment_id} has not {together} {promise.currency} free, or has changed")
    # Asked with the payment's row in hand, as a person who dismisses it has it.
    if dismissals.is_dismissed(connection, promise.payment_id):
        raise InvariantError(f"a person has dismissed payment {promise.payment_id}")


def settled_by(connection: Connection, settlement_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """What a hand payment must agree with, by settlement: newest booking date, document number of a single payment."""
    query = (
        select(
            allocation.c.settlement_id, func.max(payment.c.booked_on), func.count(), func.max(payment.c.document_number)
        )
        .join(payment, allocation.c.payment_id == payment.c.id)
        .where(allocation.c.settlement_id.in_(settlement_ids))
        .group_by(allocation.c.settlement_id)
    )
    found: dict[int, dict[str, Any]] = {each: {"booked_on": None, "document_number": ""} for each in settlement_ids}
    for settlement_id, booked_on, count, number in connection.execute(query):
        found[settlement_id] = {"booked_on": booked_on, "document_number": number.strip() if count == 1 else ""}
    return found


def siblings(connection: Connection, settlement_ids: Sequence[int]) -> dict[int, tuple[Sibling, ...]]:
    """By settlement, the other live ones that its payments are for, in order of id."""
    mine, theirs = allocation.alias("mine"), allocation.alias("theirs")
    query = (
        select(mine.c.settlement_id.label("beside"), settlement)
        .join(theirs, theirs.c.payment_id == mine.c.payment_id)
        .join(settlement, settlement.c.id == theirs.c.settlement_id)
        .where(mine.c.settlement_id.in_(settlement_ids), theirs.c.settlement_id != mine.c.settlement_id)
        .where(settlement.c.state != State.RELEASED)
        .order_by(settlement.c.id)
    )
    found: dict[int, dict[int, Sibling]] = {each: {} for each in settlement_ids}
    for row in connection.execute(query).mappings():
        # Two payments may be for the same two settlements.
        found[row["beside"]][row["id"]] = _sibling(row)
    return {each: tuple(beside.values()) for each, beside in found.items()}


def _sibling(row: RowMapping) -> Sibling:
    names = Sibling.__dataclass_fields__.keys() - {"state"}
    return Sibling(**{name: row[name] for name in names}, state=State(row["state"]))


def collected(connection: Connection, portal_id: int) -> dict[Key, list[dict[str, Any]]]:
    """What has been collected so far on each invoice (kind, id) whose sum is not complete: its payments, each
    with the settlement's {expected, hold, identity}.
    """
    query = (
        select(*(settlement.c[name] for name in ("kind", "invoice_id", "expected", "hold", "identity")), payment)
        .join(allocation, allocation.c.settlement_id == settlement.c.id)
        .join(payment, payment.c.id == allocation.c.payment_id)
        .where(settlement.c.portal_id == portal_id, settlement.c.state == State.COLLECTING)
    )
    found: dict[Key, list[dict[str, Any]]] = {}
    for row in connection.execute(query.order_by(payment.c.id)).mappings():
        found.setdefault((row["kind"], row["invoice_id"]), []).append(dict(row))
    return found
