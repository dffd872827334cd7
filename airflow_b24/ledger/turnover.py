"""What came in and what became of it, counted from the rows themselves: per own account and currency, in minor units.

Nothing here reads a sum that the ledger keeps (`allocated`); what came in is counted from raw records alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, Select, func, or_, select, union_all
from sqlalchemy import case as either

from airflow_b24.ledger import dismissals, outcomes
from airflow_b24.ledger.schema import allocation, payment, raw, settlement
from airflow_b24.ledger.states import State


@dataclass(slots=True)
class Turnover:
    """One account and currency; the rest is what the payments' money is doing now."""

    account: str
    currency: str
    came_in: int = 0
    paid: int = 0
    waiting: int = 0
    review: int = 0
    dismissed: int = 0

    @property
    def accounted_for(self) -> int:
        return self.paid + self.waiting + self.review + self.dismissed


def turnovers(connection: Connection) -> list[Turnover]:
    """Count all money in the ledger, by account and currency."""
    found: dict[tuple[str, str], Turnover] = {}
    for account, currency, column, amount in (*_came_in(connection), *_became(connection)):
        row = found.setdefault((account, currency or ""), Turnover(account, currency or ""))
        setattr(row, column, getattr(row, column) + int(amount))
    return [found[key] for key in sorted(found)]


def _came_in(connection: Connection) -> Iterator[tuple[str, str, str, int]]:
    # The same payment told twice, in other words, came in once.
    once = (
        select(raw.c.account, raw.c.currency, func.max(raw.c.amount).label("amount"))
        .where(raw.c.verdict == "payment")
        .group_by(raw.c.account, raw.c.key, raw.c.occurrence, raw.c.currency)
        .subquery()
    )
    query = select(once.c.account, once.c.currency, func.coalesce(func.sum(once.c.amount), 0))
    for account, currency, amount in connection.execute(query.group_by(once.c.account, once.c.currency)):
        yield account, currency, "came_in", amount


def _became(connection: Connection) -> Iterator[tuple[str, str, str, int]]:
    each = union_all(_promised(), _free()).subquery("each")
    groups = (each.c.account, each.c.currency, each.c.doing)
    sums = connection.execute(select(*groups, func.sum(each.c.amount)).group_by(*groups))
    yield from ((account, currency, doing, int(amount)) for account, currency, doing, amount in sums)


def _promised() -> Select[tuple[str, str, str, int]]:
    """Money in live settlements; what is paid stays paid, whatever the bank says later."""
    doing = either(
        (settlement.c.state == State.PAID, "paid"),
        (settlement.c.state == State.REVIEW, "review"),
        (payment.c.held.is_(True), "review"),
        else_="waiting",
    )
    return (
        select(payment.c.account, payment.c.currency, doing.label("doing"), allocation.c.amount)
        .join(allocation, allocation.c.payment_id == payment.c.id)
        .join(settlement, settlement.c.id == allocation.c.settlement_id)
        .where(settlement.c.state != State.RELEASED)
    )


def _free() -> Select[tuple[str, str, str, int]]:
    """Money that nothing is promised of: in review when matching or the bank has said so, unless a person has dismissed it."""
    live = (
        select(allocation.c.payment_id, func.sum(allocation.c.amount).label("amount"))
        .join(settlement, settlement.c.id == allocation.c.settlement_id)
        .where(settlement.c.state != State.RELEASED)
        .group_by(allocation.c.payment_id)
        .subquery("live")
    )
    said, dismissed = outcomes.latest(), dismissals.latest()
    rest = payment.c.amount - func.coalesce(live.c.amount, 0)
    # What a release has left over of a payment is nobody's until a person looks at it.
    left_over = live.c.amount > 0
    doubtful = or_(payment.c.held.is_(True), said.c.verdict == "review", left_over)
    doing = either((dismissed.c.id.is_not(None), "dismissed"), (doubtful, "review"), else_="waiting")
    return (
        select(payment.c.account, payment.c.currency, doing.label("doing"), rest.label("amount"))
        .outerjoin(live, live.c.payment_id == payment.c.id)
        .outerjoin(said, said.c.payment_id == payment.c.id)
        .outerjoin(dismissed, dismissed.c.payment_id == payment.c.id)
        .where(rest != 0)
    )
