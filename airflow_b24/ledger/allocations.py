"""Allocations: so much of this payment to that invoice, made together with the settlements that will use it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, bindparam, func, insert, select, update

from airflow_b24.ledger import dismissals, events
from airflow_b24.ledger.errors import InvariantError
from airflow_b24.ledger.events import Event
from airflow_b24.ledger.facts import Key, Kind, Sibling
from airflow_b24.ledger.promise import PLACE, Fund, Place, Promise, funds, groups, is_free
from airflow_b24.ledger.schema import allocation, payment, settlement
from airflow_b24.ledger.states import State
from airflow_b24.ledger.store import Store, utc_now
from airflow_b24.ledger.upsert import insert_absent

# Promises to a transaction: a long one would keep paying workers out of an SQLite ledger.
AT_ONCE: Final = 200
_MINE: Final = allocation.alias("mine")
_THEIRS: Final = allocation.alias("theirs")


def allocate(store: Store, promise: Promise) -> tuple[int, ...]:
    """Promise the payment to its invoices, all or nothing; a settlement is `ready` once its sum is complete.

    Returns the settlements, none when another run was first: an invoice has a live settlement that takes no more, or
    the payment's money is no longer free. Repeating is safe by invoice and by payment.
    """
    return allocate_all(store, [promise])[0]


def allocate_all(store: Store, promises: Iterable[Promise]) -> list[tuple[int, ...]]:
    """The same for many, each for itself, many to a transaction; returns the settlements of each, in their order."""
    return [made for group in groups(promises, AT_ONCE) for made in _kept(store, group)]


def _kept(store: Store, group: Sequence[Promise]) -> list[tuple[int, ...]]:
    while True:
        try:
            with store.transaction() as connection:
                return _allocate(connection, group)
        except InvariantError:
            # Another run has opened one of the settlements since we looked: now it is there to be looked at.
            continue


def _allocate(connection: Connection, group: Sequence[Promise]) -> list[tuple[int, ...]]:
    # Fixed order, known settlements, payments, new settlements: two allocations can wait for each other but never in a
    # circle.
    now = utc_now(connection)
    settled, parted = _locked(connection, group), _parted(connection, group)
    free = _free(connection, group)
    kept = {each.payment_id: funds(each, settled, parted) for each in group if each.payment_id in free}
    made = [fund for several in kept.values() for fund in several]
    ids = {place: row["id"] for place, row in settled.items()} | _open(connection, made, now)
    _write(connection, made, ids, now)
    return [tuple(ids[fund.place] for fund in kept.get(each.payment_id, ())) for each in group]


def _locked(connection: Connection, group: Sequence[Promise]) -> dict[Place, Mapping[str, Any]]:
    """The invoices' live settlements."""
    wanted: defaultdict[tuple[int, Kind], list[int]] = defaultdict(list)
    for portal_id, kind, invoice_id in sorted(place for each in group for place in each.places):
        wanted[portal_id, kind].append(invoice_id)
    found: dict[Place, Mapping[str, Any]] = {}
    for (portal_id, kind), ids in wanted.items():
        # With the state that the index of live ones leaves out, or every settlement of the portal would be looked at.
        live = (settlement.c.portal_id == portal_id, settlement.c.kind == kind, settlement.c.state != State.RELEASED)
        query = select(settlement).where(*live, settlement.c.invoice_id.in_(ids)).order_by(settlement.c.id)
        rows = connection.execute(query.with_for_update()).mappings()
        found |= {(portal_id, kind, row["invoice_id"]): dict(row) for row in rows}
    return found


def _free(connection: Connection, group: Sequence[Promise]) -> set[int]:
    """The payments of which so much is free as is promised, and which are what they were when they were judged."""
    ids = [each.payment_id for each in group]
    query = select(payment).where(payment.c.id.in_(ids)).order_by(payment.c.id).with_for_update()
    found = {row["id"]: dict(row) for row in connection.execute(query).mappings()}
    # Asked with the payments' rows in hand, as a person who dismisses one has it.
    dismissed = dismissals.dismissed_of(connection, ids)
    return {each.payment_id for each in group if is_free(each, found.get(each.payment_id))} - dismissed


def _parted(connection: Connection, group: Sequence[Promise]) -> set[tuple[int, Place]]:
    """Which of these payments a person has parted from which invoices."""
    query = (
        select(allocation.c.payment_id, *(settlement.c[name] for name in PLACE))
        .join(settlement, settlement.c.id == allocation.c.settlement_id)
        .where(allocation.c.payment_id.in_([each.payment_id for each in group]), settlement.c.state == State.RELEASED)
    )
    return {(payment_id, (portal, kind, invoice)) for payment_id, portal, kind, invoice in connection.execute(query)}


def _open(connection: Connection, made: Sequence[Fund], now: datetime) -> dict[Place, int]:
    """Make the settlements that there are not yet, in one order for all; returns their ids."""
    new = {fund.place: {**fund.opening, "created_at": now, "updated_at": now} for fund in made if fund.found is None}
    if not new:
        return {}
    found = insert_absent(connection, settlement, [new[place] for place in sorted(new)], "id", *PLACE)
    if len(found) < len(new):
        raise InvariantError("another run has just opened a settlement of one of these invoices")
    return {(row.portal_id, row.kind, row.invoice_id): row.id for row in found}


def _write(connection: Connection, made: Sequence[Fund], ids: Mapping[Place, int], now: datetime) -> None:
    if not made:
        return
    grown = [
        {"of": ids[fund.place], "sum": fund.together, "then": fund.state, "at": now} for fund in made if fund.found
    ]
    if grown:
        values: dict[str, Any] = {
            "allocated": bindparam("sum"),
            "state": bindparam("then"),
            "updated_at": bindparam("at"),
        }
        connection.execute(update(settlement).where(settlement.c.id == bindparam("of")).values(values), grown)
    taken = [{"of": fund.promise.payment_id, "more": fund.part.amount} for fund in made]
    more = {"allocated": payment.c.allocated + bindparam("more")}
    connection.execute(update(payment).where(payment.c.id == bindparam("of")).values(more), taken)
    puts = [{"payment_id": fund.promise.payment_id, "amount": fund.part.amount} for fund in made]
    places = [{"settlement_id": ids[fund.place], "created_at": now} for fund in made]
    connection.execute(insert(allocation), [{**put, **place} for put, place in zip(puts, places, strict=True)])
    events.append_all(
        connection, [Event(ids[fund.place], "allocated", fund.state, 0, now, fund.evidence) for fund in made]
    )


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
    mine, theirs = _MINE, _THEIRS
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
