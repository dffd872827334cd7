"""Revisions: of a payment that the bank has changed, the record it was read from and the newest that says otherwise.

Where it was born with a question, because a person had dealt with other words of the bank's on it: those, and its record.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, and_, func, select

from airflow_b24.ledger.records import AMENDED
from airflow_b24.ledger.schema import payment, raw


@dataclass(frozen=True, slots=True)
class Revision:
    """The two records' texts, as they were delivered."""

    before: str
    now: str


def of_held(connection: Connection) -> dict[int, Revision]:
    """By payment that is held, what the bank changed in it; one whose records are not there is left out."""
    columns = (raw.c.payment_id, raw.c.source, raw.c.rule, raw.c.verdict, raw.c.body)
    # Found by their identity, for which there is an index.
    whose = and_(payment.c.id == raw.c.payment_id, payment.c.account == raw.c.account, payment.c.key == raw.c.key)
    query = select(*columns).join(payment, whose).where(payment.c.held.is_(True))
    first: dict[tuple[int, str], str] = {}
    newest: dict[int, tuple[str, str]] = {}
    unread: dict[int, str] = {}
    for payment_id, source, rule, verdict, body in connection.execute(query.order_by(raw.c.id)):
        if verdict == "payment":
            # Any source's record will do where the one that changed it has none of its own.
            first[payment_id, source] = first[payment_id, ""] = body
        elif rule == AMENDED["rule"]:
            newest[payment_id] = source, body
        else:
            unread[payment_id] = body
    found = {each: (first.get((each, source)) or first.get((each, "")), now) for each, (source, now) in newest.items()}
    changed = {each: Revision(before, now) for each, (before, now) in found.items() if before is not None}
    born = {each: Revision(before, first[each, ""]) for each, before in unread.items() if (each, "") in first}
    return {**born, **changed}


def newest(connection: Connection, payment_id: int) -> int:
    """The record with which the bank changed the payment last; 0 when it never did."""
    query = select(func.max(raw.c.id)).where(raw.c.payment_id == payment_id, raw.c.rule == AMENDED["rule"])
    return connection.execute(query).scalar_one() or 0
