"""Settlement rows: claims, moves under a fence, and which of them are due."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, and_, or_, select, update

from airflow_b24.ledger import allocations, cases, events
from airflow_b24.ledger.decide import TRANSITIONS, Decision, Row, State
from airflow_b24.ledger.errors import InvariantError
from airflow_b24.ledger.schema import allocation, payment, settlement
from airflow_b24.ledger.settlement import Patience, applied
from airflow_b24.ledger.store import Store, utc_now
from airflow_b24.ledger.upsert import insert_if_absent


@dataclass(frozen=True, slots=True)
class Plain:
    """A pay without a payment behind it: a person or a DAG names the invoice, its price was read just now."""

    portal_id: int
    kind: str
    invoice_id: int
    invoice_number: str
    expected: int
    currency: str
    exponent: int


def claim(store: Store, settlement_id: int) -> Row:
    """Raise the fence and take the row; whoever claimed before can no longer commit anything.

    A `sending` left behind becomes `unknown` first: its call may have run.
    """
    with store.transaction() as connection:
        found = _locked(connection, settlement_id)
        if found["state"] not in {State.READY, State.SENDING, State.UNKNOWN}:
            return _row(connection, found)
        state = State.READY if found["state"] == State.READY else State.UNKNOWN
        changes = {"fence": found["fence"] + 1, "attempts": found["attempts"] + 1, "state": state}
        taken = _write(connection, settlement_id, changes)
        events.append(connection, settlement_id, "claimed", state=state, fence=taken["fence"], at=utc_now(connection))
        return _row(connection, taken)


def look(store: Store, settlement_id: int) -> Row:
    """The row as it is now."""
    with store.snapshot() as connection:
        found = connection.execute(select(settlement).where(settlement.c.id == settlement_id)).mappings().first()
        if found is None:
            raise InvariantError(f"settlement_id={settlement_id} is not in this ledger")
        return _row(connection, found)


def move(store: Store, row: Row, decision: Decision, patience: Patience, pay_system: str) -> Row | None:
    """Apply the decision if the fence and the state still are the row's, and for a send if nothing holds it.

    None when another attempt was faster; what was seen is kept as evidence all the same.
    """
    if decision.state not in TRANSITIONS[row.state]:
        raise InvariantError(f"settlement {row.id}: {row.state} -> {decision.state} is not in the table")
    with store.transaction() as connection:
        found = _locked(connection, row.id)
        now = utc_now(connection)
        sending = decision.state is State.SENDING
        mine = found["fence"] == row.fence and found["state"] == row.state and not (sending and found["hold"])
        what = decision.state if mine else "observed"
        evidence = {"reason": decision.reason, "how": decision.how, **(decision.evidence or {})}
        events.append(connection, row.id, what, state=found["state"], fence=row.fence, at=now, evidence=evidence)
        if not mine:
            return None
        changes = applied(row, decision) | {"evidence": evidence}
        if sending:
            changes |= {"quiet_until": now + timedelta(seconds=patience.quiet_s), "pay_system": pay_system}
        return _row(connection, _write(connection, row.id, changes))


def release(store: Store, row: Row) -> Row:
    """Free invoice and payments of a settlement in review; a person has decided that this money did not pay it.

    Raises InvariantError when the row has moved since it was looked at.
    """
    with store.transaction() as connection:
        # Payments first, as a hold takes them: the two must not wait for each other.
        mine = select(allocation.c.payment_id).where(allocation.c.settlement_id == row.id)
        held = select(payment.c.id).where(payment.c.id.in_(mine)).order_by(payment.c.id)
        connection.execute(held.with_for_update()).all()
        found = _locked(connection, row.id)
        if found["state"] != State.REVIEW or found["fence"] != row.fence:
            raise InvariantError(f"settlement {row.id} has moved meanwhile: look at it again")
        used = select(allocation.c.payment_id, allocation.c.amount).where(allocation.c.settlement_id == row.id)
        for payment_id, amount in connection.execute(used.order_by(allocation.c.payment_id)).all():
            this = update(payment).where(payment.c.id == payment_id)
            connection.execute(this.values(allocated=payment.c.allocated - amount))
        freed = _write(connection, row.id, {"state": State.RELEASED, "fence": found["fence"] + 1})
        evidence = {"reason": row.reason}
        now = utc_now(connection)
        events.append(
            connection, row.id, "released", state=State.REVIEW, fence=freed["fence"], at=now, evidence=evidence
        )
        return _row(connection, freed)


def record_of(store: Store, portal_id: int, pay_system: str, last: int) -> list[bool]:
    """Whether each of the newest settlements sent through a pay system was paid, newest first, at most `last`.

    False is an answer `true` that paid nothing; settlements without an end, released since, or sent more than a day ago
    say nothing: what was wrong may have been mended.
    """
    ended = or_(
        and_(settlement.c.state == State.PAID, settlement.c.how == "sent"),
        and_(settlement.c.state == State.REVIEW, settlement.c.reason == "true_but_unpaid"),
    )
    with store.snapshot() as connection:
        lately = settlement.c.quiet_until > utc_now(connection) - timedelta(days=1)
        query = (
            select(settlement.c.state == State.PAID)
            .where(settlement.c.portal_id == portal_id, settlement.c.pay_system == pay_system, ended, lately)
            .order_by(settlement.c.quiet_until.desc(), settlement.c.id.desc())
            .limit(last)
        )
        return [bool(paid) for paid in connection.execute(query).scalars()]


def open_plain(store: Store, plain: Plain) -> int:
    """The live settlement of the invoice, made as `origin=manual` if there is none."""
    with store.transaction() as connection:
        now = utc_now(connection)
        values = {
            **{name: getattr(plain, name) for name in plain.__slots__},
            "origin": "manual",
            "state": State.READY,
            "created_at": now,
            "updated_at": now,
        }
        made = insert_if_absent(connection, settlement, values)
        settlement_id = live(connection, plain.portal_id, plain.kind, plain.invoice_id)
        assert settlement_id is not None  # noqa: S101 - inserted above, by us or by another worker
        if made:
            evidence = {"expected": plain.expected, "currency": plain.currency}
            events.append(connection, settlement_id, "asked", state=State.READY, fence=0, at=now, evidence=evidence)
        return settlement_id


def reopen_plain(store: Store, row: Row, expected: int, currency: str, exponent: int) -> None:
    """Take a plain pay out of review when a person asks again and no call of ours can have run."""
    with store.transaction() as connection:
        found = _locked(connection, row.id)
        safe = found["origin"] == "manual" and found["state"] == State.REVIEW and not found["in_flight"]
        if not safe or found["fence"] != row.fence:
            return
        changes = {"state": State.READY, "reason": None, "expected": expected, "currency": currency}
        _write(connection, row.id, {**changes, "exponent": exponent})
        events.append(connection, row.id, "asked again", state=State.READY, fence=row.fence, at=utc_now(connection))


def live(connection: Connection, portal_id: int, kind: str, invoice_id: int) -> int | None:
    """The id of the invoice's one settlement that is not released."""
    return connection.execute(
        select(settlement.c.id).where(
            settlement.c.portal_id == portal_id,
            settlement.c.kind == kind,
            settlement.c.invoice_id == invoice_id,
            settlement.c.state != State.RELEASED,
        )
    ).scalar_one_or_none()


def live_invoices(connection: Connection, portal_id: int) -> set[tuple[str, int]]:
    """(kind, id) of every invoice that has a live settlement."""
    query = select(settlement.c.kind, settlement.c.invoice_id).where(
        settlement.c.portal_id == portal_id, settlement.c.state != State.RELEASED
    )
    return {(kind, invoice_id) for kind, invoice_id in connection.execute(query)}


def due(store: Store, portal_id: int, limit: int) -> list[dict[str, int]]:
    """What can be settled now: [{"invoice_id", "settlement_id"}], least tried first.

    Every `ready` row, not only this run's, so that a crash orphans nothing; `sending` and `unknown` rows once their
    quiet time is over.
    """
    with store.snapshot() as connection:
        quiet = and_(
            settlement.c.state.in_([State.SENDING, State.UNKNOWN]), settlement.c.quiet_until <= utc_now(connection)
        )
        query = (
            select(settlement.c.invoice_id, settlement.c.id.label("settlement_id"))
            .where(
                settlement.c.portal_id == portal_id,
                settlement.c.origin == "match",
                or_(settlement.c.state == State.READY, quiet),
            )
            .order_by(settlement.c.attempts, settlement.c.id)
            .limit(limit)
        )
        return [dict(row) for row in connection.execute(query).mappings()]


def hold_for_payment(connection: Connection, payment_id: int, why: str) -> None:
    """Veto every settlement that uses the payment; one already paid keeps its state and becomes a case."""
    touched = select(allocation.c.settlement_id).where(allocation.c.payment_id == payment_id)
    paid = select(settlement.c.id).where(settlement.c.id.in_(touched), settlement.c.state == State.PAID)
    for settlement_id in connection.execute(paid).scalars().all():
        cases.open_case(connection, settlement_id, why, {"payment_id": payment_id})
    connection.execute(
        update(settlement)
        .where(settlement.c.id.in_(touched), settlement.c.state.not_in([State.PAID, State.RELEASED]))
        .values(hold=why, updated_at=utc_now(connection))
    )


def _locked(connection: Connection, settlement_id: int) -> RowMapping:
    query = select(settlement).where(settlement.c.id == settlement_id).with_for_update()
    found = connection.execute(query).mappings().first()
    if found is None:
        raise InvariantError(f"settlement_id={settlement_id} is not in this ledger")
    return found


def _write(connection: Connection, settlement_id: int, changes: dict[str, Any]) -> RowMapping:
    statement = update(settlement).where(settlement.c.id == settlement_id)
    values = {**changes, "updated_at": utc_now(connection)}
    return connection.execute(statement.values(**values).returning(settlement)).mappings().one()


COPIED = (
    *(
        "id",
        "portal_id",
        "kind",
        "invoice_id",
        "invoice_number",
        "origin",
        "fence",
        "expected",
        "currency",
        "exponent",
        "sends",
    ),
    *("in_flight", "answered", "hold", "how", "reason", "identity", "snapshot", "quiet_until"),
)


def _row(connection: Connection, found: RowMapping) -> Row:
    copied = {name: found[name] for name in COPIED}
    money = allocations.settled_by(connection, found["id"])
    return Row(**copied, **money, state=State(found["state"]), claimed_at=utc_now(connection))
