"""Settlement rows: claims, moves under a fence, and which of them are due."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, or_, select, update

from airflow_b24.ledger import allocations, cases, events, quiet
from airflow_b24.ledger.errors import InvariantError, UnknownIdError
from airflow_b24.ledger.facts import Decision, Key, Kind, Row
from airflow_b24.ledger.schema import allocation, case, settlement
from airflow_b24.ledger.settlement import Patience, applied
from airflow_b24.ledger.states import TRANSITIONS, State
from airflow_b24.ledger.store import Store, utc_now


def claim(store: Store, settlement_id: int) -> Row:
    """Raise the fence and take the row; whoever claimed before can no longer commit anything.

    A `sending` left behind becomes `unknown` first: its call may have run.
    """
    with store.transaction() as connection:
        found = locked(connection, settlement_id)
        if found["state"] not in {State.READY, State.SENDING, State.UNKNOWN}:
            return row_of(connection, found)
        state = State.READY if found["state"] == State.READY else State.UNKNOWN
        changes = {"fence": found["fence"] + 1, "attempts": found["attempts"] + 1, "state": state}
        taken = write(connection, settlement_id, changes)
        events.append(connection, settlement_id, "claimed", state=state, fence=taken["fence"], at=utc_now(connection))
        return row_of(connection, taken)


def look(store: Store, settlement_id: int) -> Row:
    """The row as it is now."""
    with store.snapshot() as connection:
        found = connection.execute(select(settlement).where(settlement.c.id == settlement_id)).mappings().first()
        if found is None:
            raise UnknownIdError(
                f"settlement_id={settlement_id} is not in this ledger: give one that was matched from it"
            )
        return row_of(connection, found)


def move(store: Store, row: Row, decision: Decision, patience: Patience, pay_system: str) -> Row | None:
    """Apply the decision if the fence and the state still are the row's, and for a send if nothing holds it.

    None when another attempt was faster; what was seen is kept as evidence all the same.
    """
    if decision.state not in TRANSITIONS[row.state]:
        raise InvariantError(f"settlement {row.id}: {row.state} -> {decision.state} is not in the table")
    with store.transaction() as connection:
        found = locked(connection, row.id)
        now = utc_now(connection)
        sending = decision.state is State.SENDING
        mine = found["fence"] == row.fence and found["state"] == row.state and not (sending and found["hold"])
        what = decision.state if mine else "observed"
        evidence = {"reason": decision.reason, "how": decision.how, **(decision.evidence or {})}
        events.append(connection, row.id, what, state=found["state"], fence=row.fence, at=now, evidence=evidence)
        if not mine:
            return None
        if decision.state is State.PAID and found["hold"]:
            # The bank's word came while ours was on its way: paid is paid, and a person must know.
            cases.open_case(connection, row.id, found["hold"], {})
        changes = applied(row, decision) | {"evidence": evidence}
        if sending:
            changes |= {**quiet.begin(connection, patience.quiet_s), "pay_system": pay_system}
        return row_of(connection, write(connection, row.id, changes))


def begin_partial(store: Store, row: Row, patience: Patience, stage: str) -> Row | None:
    """Begin the quiet time of a move to the stage of parts; None when the row has moved, or takes no more money."""
    with store.transaction() as connection:
        found = locked(connection, row.id)
        mine = (found["state"], found["fence"]) == (State.COLLECTING, row.fence) and found["hold"] is None
        if not mine:
            return None
        fence = found["fence"] + 1
        told = {"state": State.COLLECTING, "fence": fence, "at": utc_now(connection), "evidence": {"stage": stage}}
        events.append(connection, row.id, "partial", **told)
        changes = {**quiet.begin(connection, patience.quiet_s), "fence": fence, "pay_system": stage}
        return row_of(connection, write(connection, row.id, changes))


def end_partial(store: Store, row: Row, *, again: bool, overtaken: bool) -> None:
    """End that quiet time: the portal has answered. `again`: the same move may be made another time."""
    with store.transaction() as connection:
        found = locked(connection, row.id)
        if overtaken and found["state"] == State.COLLECTING:
            cases.notice(connection, row.id, cases.OVERTAKEN, {"invoice_id": row.invoice_id})
        if found["fence"] == row.fence:
            pay_system = "" if again else row.pay_system
            write(connection, row.id, {"quiet_until": None, "quiet_clock": None, "pay_system": pay_system})


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


def live(connection: Connection, portal_id: int, kind: Kind, invoice_id: int) -> int | None:
    """The id of the invoice's one settlement that is not released."""
    return connection.execute(
        select(settlement.c.id).where(
            settlement.c.portal_id == portal_id,
            settlement.c.kind == kind,
            settlement.c.invoice_id == invoice_id,
            settlement.c.state != State.RELEASED,
        )
    ).scalar_one_or_none()


def live_invoices(connection: Connection, portal_id: int) -> set[Key]:
    """(kind, id) of every invoice that has a live settlement."""
    query = select(settlement.c.kind, settlement.c.invoice_id).where(
        settlement.c.portal_id == portal_id, settlement.c.state != State.RELEASED
    )
    return {(kind, invoice_id) for kind, invoice_id in connection.execute(query)}


def due(store: Store, portal_id: int, limit: int, *, begun: bool = False) -> list[dict[str, int]]:
    """What can be settled now: [{"invoice_id", "settlement_id"}], least tried first.

    Every `ready` row, not only this run's, so that a crash orphans nothing; `sending` and `unknown` rows once their
    quiet time is over. `begun`: these last alone, whoever asked for them.
    """
    with store.snapshot() as connection:
        quiet = and_(
            settlement.c.state.in_([State.SENDING, State.UNKNOWN]), settlement.c.quiet_until <= utc_now(connection)
        )
        query = (
            select(settlement.c.invoice_id, settlement.c.id.label("settlement_id"))
            .where(
                settlement.c.portal_id == portal_id,
                *(
                    [quiet]
                    if begun
                    else [settlement.c.origin == "match", or_(_can_be_sent(utc_now(connection)), quiet)]
                ),
            )
            .order_by(settlement.c.attempts, settlement.c.id)
            .limit(limit)
        )
        return [dict(row) for row in connection.execute(query).mappings()]


def _can_be_sent(now: datetime) -> ColumnElement[bool]:
    """`ready`, and no move to the stage of parts that may still land."""
    lands = settlement.c.quiet_until
    return and_(settlement.c.state == State.READY, or_(settlement.c.sends > 0, lands.is_(None), lands <= now))


def ended_since(store: Store, portal_id: int, ago: timedelta) -> list[Row]:
    """What is to be read again, oldest first: all in review or collecting, and what was paid or released so lately.

    An open case keeps a settlement among them, however long ago it ended.
    """
    with store.snapshot() as connection:
        lately = settlement.c.updated_at > utc_now(connection) - ago
        in_trouble = settlement.c.id.in_(select(case.c.settlement_id).where(case.c.closed_at.is_(None)))
        ended = settlement.c.state.in_([State.PAID, State.RELEASED])
        query = select(settlement).where(
            settlement.c.portal_id == portal_id,
            or_(settlement.c.state.in_([State.REVIEW, State.COLLECTING]), and_(ended, or_(lately, in_trouble))),
        )
        return [row_of(connection, found) for found in connection.execute(query.order_by(settlement.c.id)).mappings()]


def collecting(store: Store, portal_id: int, kind: Kind) -> list[Row]:
    """The settlements whose parts wait for the rest of their money, oldest first."""
    with store.snapshot() as connection:
        query = select(settlement).where(
            settlement.c.portal_id == portal_id, settlement.c.kind == kind, settlement.c.state == State.COLLECTING
        )
        return [row_of(connection, found) for found in connection.execute(query.order_by(settlement.c.id)).mappings()]


def hold_for_payment(connection: Connection, payment_id: int, why: str) -> None:
    """Veto every settlement that uses the payment; one already paid keeps its state and becomes a case."""
    touched = select(allocation.c.settlement_id).where(allocation.c.payment_id == payment_id)
    # Locked before it is judged: a sender may be writing `paid` at this moment.
    states = select(settlement.c.id, settlement.c.state).where(settlement.c.id.in_(touched)).order_by(settlement.c.id)
    for settlement_id, state in connection.execute(states.with_for_update()).all():
        if state == State.PAID:
            cases.open_case(connection, settlement_id, why, {"payment_id": payment_id})
        elif state != State.RELEASED:
            write(connection, settlement_id, {"hold": why})


def locked(connection: Connection, settlement_id: int) -> RowMapping:
    """The row, locked until the end of the transaction."""
    query = select(settlement).where(settlement.c.id == settlement_id).with_for_update()
    found = connection.execute(query).mappings().first()
    if found is None:
        raise UnknownIdError(f"settlement_id={settlement_id} is not in this ledger: give one that was matched from it")
    return found


def write(connection: Connection, settlement_id: int, changes: dict[str, Any]) -> RowMapping:
    """Change columns of a locked row; returns all of it."""
    statement = update(settlement).where(settlement.c.id == settlement_id)
    values = {**changes, "updated_at": utc_now(connection)}
    return connection.execute(statement.values(**values).returning(settlement)).mappings().one()


COPIED = (
    *("id", "portal_id", "kind", "invoice_id", "invoice_number", "origin", "fence", "expected", "currency", "exponent"),
    *(
        "allocated",
        "attempts",
        "sends",
        "in_flight",
        "answered",
        "pay_system",
        "hold",
        "how",
        "reason",
        "identity",
        "snapshot",
    ),
)


def row_of(connection: Connection, found: RowMapping) -> Row:
    """The row as decisions see it, with its payments' facts and its siblings."""
    copied = {name: found[name] for name in COPIED}
    money = allocations.settled_by(connection, found["id"])
    beside = allocations.siblings(connection, found["id"])
    now = utc_now(connection)
    until = quiet.ends_at(connection, found, now)
    state = State(found["state"])
    return Row(**copied, **money, quiet_until=until, siblings=beside, state=state, claimed_at=now)
