"""Which settlements there are: one, an invoice's, those that are due, those that have ended lately."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select
from sqlalchemy import case as either

from airflow_b24.ledger import cases
from airflow_b24.ledger.errors import UnknownIdError
from airflow_b24.ledger.facts import Key, Kind, Row
from airflow_b24.ledger.rows import AT_ONCE, row_of, rows_of, write
from airflow_b24.ledger.schema import allocation, case, settlement
from airflow_b24.ledger.states import State
from airflow_b24.ledger.store import Store, utc_now


def look(store: Store, settlement_id: int) -> Row:
    """The row as it is now."""
    with store.snapshot() as connection:
        found = connection.execute(select(settlement).where(settlement.c.id == settlement_id)).mappings().first()
        if found is None:
            raise UnknownIdError(
                f"settlement_id={settlement_id} is not in this ledger: give one that was matched from it"
            )
        return row_of(connection, dict(found))


def look_all(store: Store, ids: Iterable[int]) -> dict[int, Row]:
    """The rows as they are now, by id; those that are not in this ledger are left out."""
    wanted, found = sorted(set(ids)), list[Row]()
    for start in range(0, len(wanted), AT_ONCE):
        with store.snapshot() as connection:
            chunk = wanted[start : start + AT_ONCE]
            found += _rows(connection, select(settlement).where(settlement.c.id.in_(chunk)))
    return {row.id: row for row in found}


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


def live_among(connection: Connection, portal_id: int, keys: Iterable[Key]) -> dict[Key, bool]:
    """Those of the invoices that have a live settlement, and whether somebody named them by their id: it has no payment."""
    by_id = either((and_(settlement.c.origin == "manual", settlement.c.allocated == 0), 1), else_=0)
    found: dict[Key, bool] = {}
    for kind, ids in _by_kind(keys).items():
        for start in range(0, len(ids), AT_ONCE):
            query = select(settlement.c.invoice_id, by_id).where(
                settlement.c.portal_id == portal_id,
                settlement.c.kind == kind,
                settlement.c.invoice_id.in_(ids[start : start + AT_ONCE]),
                settlement.c.state != State.RELEASED,
            )
            found |= {(kind, invoice_id): bool(named) for invoice_id, named in connection.execute(query)}
    return found


def _by_kind(keys: Iterable[Key]) -> dict[Kind, list[int]]:
    found: dict[Kind, list[int]] = {}
    for kind, invoice_id in sorted(set(keys)):
        found.setdefault(kind, []).append(invoice_id)
    return found


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
                # Said once more, for the index: most of a long ledger has ended.
                settlement.c.state.in_([State.READY, State.SENDING, State.UNKNOWN]),
                *(
                    [quiet]
                    if begun
                    else [settlement.c.origin == "match", or_(_can_be_sent(utc_now(connection)), quiet)]
                ),
            )
            # Each claim raises the fence, counted or not: what is refused again and again lets others go first.
            .order_by(settlement.c.fence, settlement.c.id)
            .limit(limit)
        )
        return [dict(row) for row in connection.execute(query).mappings()]


def still_quiet(store: Store, portal_id: int) -> tuple[int, datetime | None]:
    """How many were begun whose call may still land, so that nothing is to be done for them yet, and until when at most."""
    with store.snapshot() as connection:
        query = select(func.count(), func.max(settlement.c.quiet_until)).where(
            settlement.c.portal_id == portal_id,
            settlement.c.state.in_([State.SENDING, State.UNKNOWN]),
            settlement.c.quiet_until > utc_now(connection),
        )
        count, until = connection.execute(query).one()
        return int(count), until


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
        return _rows(connection, query)


def collecting(store: Store, portal_id: int, kind: Kind, limit: int) -> list[Row]:
    """The settlements whose parts wait for the rest of their money, at most `limit`, those first that changed last."""
    with store.snapshot() as connection:
        query = select(settlement).where(
            settlement.c.portal_id == portal_id, settlement.c.kind == kind, settlement.c.state == State.COLLECTING
        )
        latest = query.order_by(settlement.c.updated_at.desc(), settlement.c.id).limit(limit)
        return rows_of(connection, [dict(each) for each in connection.execute(latest).mappings()])


def _rows(connection: Connection, query: Select[Any]) -> list[Row]:
    found = connection.execute(query.order_by(settlement.c.id)).mappings()
    return rows_of(connection, [dict(each) for each in found])


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
