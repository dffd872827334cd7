"""Releases: what only a person may undo. A released settlement frees its invoice and its payments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select, update

from airflow_b24.ledger import cases, events, revisions
from airflow_b24.ledger.errors import InvariantError
from airflow_b24.ledger.facts import Key, Row
from airflow_b24.ledger.rows import locked, locked_all, row_of, write
from airflow_b24.ledger.schema import allocation, payment, settlement
from airflow_b24.ledger.states import TRANSITIONS, State
from airflow_b24.ledger.store import Store, utc_now


def release(store: Store, row: Row) -> Row:
    """Free invoice and payments of a settlement; a person has decided that this money did not pay it.

    The two are parted for good: no later match brings them together again. Other invoices of the same payment go with
    it as far as nothing was sent for them: what proved them was the sum of all. Raises InvariantError when the row has
    moved since it was looked at.
    """
    with store.transaction() as connection:
        _lock_payments(connection, row.id)
        # All at once, in order of id, as whoever settles many of them locks them.
        known = locked_all(connection, [row.id, *(sibling.id for sibling in row.siblings)])
        found = known[row.id]
        if (found["state"], found["fence"], found["allocated"]) != (row.state, row.fence, row.allocated):
            raise InvariantError(f"settlement {row.id} has moved meanwhile: look at it again")
        for sibling in row.siblings:
            _release_unsent(connection, known[sibling.id], row)
        return row_of(connection, _release(connection, found, row.reason))


def _release_unsent(connection: Connection, found: Mapping[str, Any], row: Row) -> None:
    if found["sends"] == 0 and found["state"] in {State.READY, State.REVIEW}:
        _release(connection, found, f"the payment was released from settlement {row.id}")


def _release(connection: Connection, found: Mapping[str, Any], reason: str | None) -> dict[str, Any]:
    if State.RELEASED not in TRANSITIONS[State(found["state"])]:
        raise InvariantError(f"settlement {found['id']} is {found['state']}: it cannot be released")
    _give_back(connection, found["id"])
    freed = write(connection, found["id"], {"state": State.RELEASED, "fence": found["fence"] + 1})
    told: dict[str, Any] = {"state": found["state"], "fence": freed["fence"], "evidence": {"reason": reason}}
    events.append(connection, found["id"], "released", at=utc_now(connection), **told)
    cases.close_all(connection, found["id"])
    return freed


def _lock_payments(connection: Connection, settlement_id: int) -> None:
    # Payments first, as a hold takes them: the two must not wait for each other.
    mine = select(allocation.c.payment_id).where(allocation.c.settlement_id == settlement_id)
    held = select(payment.c.id).where(payment.c.id.in_(mine)).order_by(payment.c.id)
    connection.execute(held.with_for_update()).all()


def _give_back(connection: Connection, settlement_id: int) -> None:
    used = select(allocation.c.payment_id, allocation.c.amount).where(allocation.c.settlement_id == settlement_id)
    for payment_id, amount in connection.execute(used.order_by(allocation.c.payment_id)).all():
        this = update(payment).where(payment.c.id == payment_id)
        connection.execute(this.values(allocated=payment.c.allocated - amount))


def parted(connection: Connection, portal_id: int) -> dict[int, frozenset[Key]]:
    """By payment, the invoices (kind, id) of the portal that a person has parted from it."""
    pairs = (
        select(allocation.c.payment_id, settlement.c.kind, settlement.c.invoice_id)
        .join(settlement, settlement.c.id == allocation.c.settlement_id)
        .where(settlement.c.state == State.RELEASED, settlement.c.portal_id == portal_id)
    )
    found: dict[int, frozenset[Key]] = {}
    for payment_id, kind, invoice_id in connection.execute(pairs):
        found[payment_id] = found.get(payment_id, frozenset()) | {(kind, invoice_id)}
    return found


def accept(store: Store, payment_id: int, shown: int | None = None) -> bool:
    """Let a held payment stand as it was first delivered; a person has looked. False when it is not held.

    `shown` is the newest record that the person was shown of it (see `revisions.newest`). Its settlements lose their veto,
    and the cases that it opened are closed. Raises ValueError when the bank has changed it again since, UnknownIdError
    for an unknown id.
    """
    with store.transaction() as connection:
        query = select(payment.c.held).where(payment.c.id == payment_id).with_for_update()
        held = connection.execute(query).scalar_one_or_none()
        if held is None:
            raise InvariantError(
                f"PAYMENT_ID: {payment_id} is not in this ledger; `airflow b24 review` shows the numbers"
            )
        if shown is not None and revisions.newest(connection, payment_id) != shown:
            raise ValueError(f"PAYMENT_ID: {payment_id} has changed meanwhile; look at it again")
        if held:
            connection.execute(update(payment).where(payment.c.id == payment_id).values(held=False))
            _lift_vetoes(connection, payment_id)
        return bool(held)


def _lift_vetoes(connection: Connection, payment_id: int) -> None:
    mine = select(allocation.c.settlement_id).where(allocation.c.payment_id == payment_id)
    for settlement_id in connection.execute(mine.order_by(allocation.c.settlement_id)).scalars().all():
        found = locked(connection, settlement_id)
        # Asked with the row in hand: another payment may be held by somebody who had it a moment ago.
        if found["state"] == State.RELEASED or _is_held(connection, settlement_id):
            continue
        write(connection, settlement_id, {"hold": None})
        cases.close(connection, settlement_id, cases.AMENDED)
        now = utc_now(connection)
        events.append(connection, settlement_id, "accepted", state=found["state"], fence=found["fence"], at=now)


def _is_held(connection: Connection, settlement_id: int) -> bool:
    held = (
        select(payment.c.id)
        .join(allocation, allocation.c.payment_id == payment.c.id)
        .where(allocation.c.settlement_id == settlement_id, payment.c.held.is_(True))
    )
    return connection.execute(held.limit(1)).first() is not None
