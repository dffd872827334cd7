"""What became of each payment: derived from allocations, settlements, outcomes and dismissals, never stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, RowMapping, func, or_, select, true
from sqlalchemy import case as either

from airflow_b24.ledger import dismissals, notes, outcomes, revisions
from airflow_b24.ledger.errors import UnknownIdError
from airflow_b24.ledger.schema import allocation, payment, settlement
from airflow_b24.ledger.states import ADOPTED, CONFIRMED, State

ORDER: Final = (payment.c.booked_on, payment.c.id)


@dataclass(frozen=True, slots=True)
class Ended:
    """So many payments of one account and currency that are at their end, and their sum in minor units."""

    account: str
    currency: str
    by_hand: bool
    count: int
    amount: int


def ended(connection: Connection) -> list[Ended]:
    """Count the payments that are spent to the last, on invoices that are paid, and that nobody has a question about."""
    of = payment.c.account, payment.c.currency, either((_by_hand(), 1), else_=0)
    query = select(*of, func.count(), func.sum(payment.c.amount)).where(~_open()).group_by(*of)
    rows = connection.execute(query).all()
    return [
        Ended(account, currency, bool(by_hand), count, int(sum_)) for account, currency, by_hand, count, sum_ in rows
    ]


def _open() -> ColumnElement[bool]:
    """A payment that has a say of its own: all but those of `ended`."""
    going = settlement.c.state.not_in([State.PAID, State.RELEASED])
    unpaid = (
        select(allocation.c.payment_id).join(settlement, settlement.c.id == allocation.c.settlement_id).where(going)
    )
    return or_(
        payment.c.held.is_(True),
        payment.c.allocated < payment.c.amount,
        payment.c.id.in_(select(dismissals.latest().c.payment_id)),
        payment.c.id.in_(unpaid),
    )


def _by_hand() -> ColumnElement[bool]:
    """None of its invoices was paid by a call of ours."""
    by_hand = or_(settlement.c.how == "by_hand", func.coalesce(settlement.c.reason, "").in_([ADOPTED, CONFIRMED]))
    sent = (
        select(allocation.c.id)
        .join(settlement, settlement.c.id == allocation.c.settlement_id)
        .where(allocation.c.payment_id == payment.c.id, settlement.c.state == State.PAID, ~by_hand)
        .correlate(payment)
    )
    return ~sent.exists()


def payments(connection: Connection, *, unended: bool = False, newest: int | None = None) -> list[dict[str, Any]]:
    """Every payment with its live `settlements` (`put`: how much of it went there, `lacks`: why what was to be written on the invoice is not there), what the bank changed (`revision`), and the newest word of matching, and of a person, on it, in order of booking.

    `unended` leaves out those of `ended`; `newest`, instead, all but so many.
    """
    said, dismissed = outcomes.latest(), dismissals.latest()
    which = _open() if unended else true()
    if newest is not None:
        last = select(payment.c.id).order_by(*(column.desc() for column in ORDER)).limit(newest)
        which = payment.c.id.in_(last.correlate(None))
    query = (
        select(
            payment,
            said.c.verdict,
            said.c.reason.label("outcome_reason"),
            said.c.invoices,
            said.c.evidence.label("outcome_evidence"),
            dismissed.c.said_at.label("dismissed_at"),
            dismissed.c.said_by.label("dismissed_by"),
            dismissed.c.reason.label("dismissed_for"),
            _freed_since(said.c.decided_at).label("is_freed"),
        )
        .outerjoin(said, said.c.payment_id == payment.c.id)
        .outerjoin(dismissed, dismissed.c.payment_id == payment.c.id)
        .where(which)
        .order_by(*ORDER)
    )
    rows = connection.execute(query).mappings().all()
    live, revised = _live(connection, which), revisions.of_held(connection)
    return [
        {**_as_of_now(row), "settlements": live.get(row["id"], []), "revision": revised.get(row["id"])} for row in rows
    ]


def _freed_since(moment: ColumnElement[Any]) -> ColumnElement[bool]:
    freed = select(allocation.c.id).join(settlement, settlement.c.id == allocation.c.settlement_id)
    of_it = (allocation.c.payment_id == payment.c.id, settlement.c.state == State.RELEASED)
    return freed.where(*of_it, settlement.c.updated_at > moment).correlate_except(allocation, settlement).exists()


def _as_of_now(row: RowMapping) -> dict[str, Any]:
    # What matching said before a person parted the two is no word on what it will say.
    return {**row, **({"verdict": None, "outcome_reason": None} if row["is_freed"] else {})}


def _live(connection: Connection, which: ColumnElement[bool]) -> dict[int, list[dict[str, Any]]]:
    # A released settlement has given its money back: it says nothing of the payment any more.
    others = allocation.alias("others")
    added = select(func.max(others.c.created_at)).where(others.c.settlement_id == settlement.c.id)
    newest = added.correlate(settlement).scalar_subquery()
    names = (
        "id",
        "state",
        "how",
        "kind",
        "invoice_id",
        "invoice_number",
        "reason",
        "evidence",
        "expected",
        "allocated",
        "currency",
        "updated_at",
    )
    query = (
        select(
            allocation.c.payment_id,
            allocation.c.amount.label("put"),
            newest.label("newest"),
            *(settlement.c[name] for name in names),
        )
        .join(settlement, settlement.c.id == allocation.c.settlement_id)
        .join(payment, payment.c.id == allocation.c.payment_id)
        .where(settlement.c.state != State.RELEASED, which)
        .order_by(settlement.c.id)
    )
    lacking, found = notes.troubles(connection), dict[int, list[dict[str, Any]]]()
    for row in connection.execute(query).mappings():
        found.setdefault(row["payment_id"], []).append({**row, "lacks": lacking.get(row["id"], "")})
    return found


def paid_with(connection: Connection, settlement_id: int) -> list[dict[str, Any]]:
    """The payments of a settlement, each with how much of it was `put` there."""
    return paid_with_all(connection, [settlement_id])[settlement_id]


def paid_with_all(connection: Connection, ids: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    """The same for many settlements, by id."""
    query = (
        select(payment, allocation.c.amount.label("put"), allocation.c.settlement_id)
        .join(allocation, allocation.c.payment_id == payment.c.id)
        .where(allocation.c.settlement_id.in_(ids))
    )
    found: dict[int, list[dict[str, Any]]] = {each: [] for each in ids}
    for row in connection.execute(query.order_by(payment.c.id)).mappings():
        found[row["settlement_id"]].append(dict(row))
    return found


def payment_of(connection: Connection, payment_id: int) -> dict[str, Any]:
    """One payment. Raises UnknownIdError when it is not in this ledger."""
    found = connection.execute(select(payment).where(payment.c.id == payment_id)).mappings().first()
    if found is None:
        raise UnknownIdError(f"PAYMENT_ID: {payment_id} is not in this ledger; `airflow b24 review` shows the numbers")
    return dict(found)


def plain(connection: Connection) -> list[dict[str, Any]]:
    """Live settlements that no payment stands behind: invoices paid by their id, or adopted."""
    query = select(settlement).where(
        settlement.c.origin == "manual", settlement.c.allocated == 0, settlement.c.state != State.RELEASED
    )
    lacking, rows = notes.troubles(connection), connection.execute(query.order_by(settlement.c.id)).mappings()
    return [{**row, "lacks": lacking.get(row["id"], "")} for row in rows]
