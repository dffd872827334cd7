"""Check: the ledger's rules, asked of its rows in one read-only snapshot.

It shares nothing with the code that writes: sums are counted from allocations and raw records, not from the columns
that are kept up beside them.

I1 money is promised once; I2 an invoice has one live settlement; I3 what is paid was seen paid; I4 every record and
every payment has a fate, and the sums agree; I5 the story of each settlement is whole, and neither it nor a person's word on a payment or record can be changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date
from typing import Any

from sqlalchemy import Connection, Select, and_, func, or_, select, text

from airflow_b24.ledger import dismissals, record_words, records, turnover
from airflow_b24.ledger.schema import allocation, event, payment, raw, settlement
from airflow_b24.ledger.states import State
from airflow_b24.ledger.store import Store, utc_now
from airflow_b24.ledger.stories import Checkpoint, read_stories
from airflow_b24.ledger.turnover import Turnover
from airflow_b24.ledger.violation import Violation

FUNDED = (State.READY, State.SENDING, State.UNKNOWN, State.PAID)


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found; amounts in minor units. `unread` records may hold money that is in no sum.

    So may the `told_of` ones: a person has said that they are dealt with by hand, or hold none.
    """

    violations: list[Violation]
    turnovers: list[Turnover]
    checkpoint: Checkpoint
    unread: int = 0
    told_of: int = 0


def check(store: Store, before: date | None = None) -> Checked:
    """Verify the whole ledger; reads only. The checkpoint is of the events before that day (UTC), today if None."""
    with store.snapshot() as connection:
        return examine(connection, before or utc_now(connection).astimezone(UTC).date())


def examine(connection: Connection, before: date) -> Checked:
    """Verify the ledger as one transaction sees it."""
    checkpoint = Checkpoint(before)
    sums = turnover.turnovers(connection)
    found = [violation for question in _questions() for violation in _named(connection, *question)]
    found += [*_unequal(sums), *read_stories(connection, checkpoint), *_unguarded(connection)]
    aside = records.set_aside(connection)
    unread = sum(row["verdict"] == "quarantined" for row in aside)
    told_of = sum(row["rule"] == record_words.RULE for row in aside)
    return Checked(found, sums, checkpoint, unread, told_of)


def _named(connection: Connection, rule: str, row: str, said: str, query: Select[Any]) -> Iterator[Violation]:
    for found in connection.execute(query).mappings():
        yield Violation(rule, row.format(**found), said.format(**found))


def _unequal(sums: list[Turnover]) -> Iterator[Violation]:
    for each in sums:
        if each.came_in != each.accounted_for:
            said = f"{each.came_in} came in, {each.accounted_for} is accounted for (minor units)"
            yield Violation("I4", f"account {each.account} {each.currency}", said)


# Each: the rule, how to name the row, what is wrong with it, and the query that finds such rows.
Question = tuple[str, str, str, Select[Any]]


def _questions() -> Iterator[Question]:
    yield from _promises()
    yield from _settlements()
    yield from _records()


def _live() -> Select[Any]:
    """Allocations that count: a released settlement has given its money back."""
    of_live = select(allocation).join(settlement, settlement.c.id == allocation.c.settlement_id)
    return of_live.where(settlement.c.state != State.RELEASED)


def _promises() -> Iterator[Question]:
    live = _live().subquery("live")
    given = func.coalesce(func.sum(live.c.amount), 0)
    columns = (payment.c.id, payment.c.amount, payment.c.allocated, given.label("given"))
    promised = select(*columns).outerjoin(live, live.c.payment_id == payment.c.id).group_by(payment.c.id)
    yield "I1", "payment {id}", "{given} of its {amount} is promised", promised.having(given > payment.c.amount)
    said = "{given} of it is promised, but {allocated} is noted"
    yield "I1", "payment {id}", said, promised.having(given != payment.c.allocated)
    dismissed = promised.where(payment.c.id.in_(select(dismissals.latest().c.payment_id)))
    yield "I1", "payment {id}", "it is dismissed, yet {given} of it is promised", dismissed.having(given > 0)
    pair = (
        select(allocation.c.id, payment.c.currency, settlement.c.currency.label("other"))
        .join(payment, payment.c.id == allocation.c.payment_id)
        .join(settlement, settlement.c.id == allocation.c.settlement_id)
    )
    unlike = or_(payment.c.currency != settlement.c.currency, payment.c.exponent != settlement.c.exponent)
    yield "I1", "allocation {id}", "{currency} is promised to an invoice in {other}", pair.where(unlike)
    yield "I1", "allocation {id}", "it is of nothing", select(allocation.c.id).where(allocation.c.amount <= 0)


def _settlements() -> Iterator[Question]:
    is_live = settlement.c.state != State.RELEASED
    invoice = (settlement.c.portal_id, settlement.c.kind, settlement.c.invoice_id)
    twice = select(*invoice, func.count().label("count")).where(is_live).group_by(*invoice).having(func.count() > 1)
    yield "I2", "invoice {invoice_id} ({kind}) of portal {portal_id}", "it has {count} live settlements", twice
    given = func.coalesce(func.sum(allocation.c.amount), 0)
    columns = (settlement.c.id, settlement.c.expected, settlement.c.allocated, given.label("given"))
    funded = (
        select(*columns)
        .outerjoin(allocation, allocation.c.settlement_id == settlement.c.id)
        .where(is_live)
        .group_by(settlement.c.id)
    )
    said = "{given} is allocated to it, but {allocated} is noted"
    yield "I1", "settlement {id}", said, funded.having(given != settlement.c.allocated)
    matched = funded.where(settlement.c.origin == "match", settlement.c.state.in_(FUNDED))
    said = "{given} is allocated to it, of {expected}, yet it may be paid"
    yield "I1", "settlement {id}", said, matched.having(given != settlement.c.expected)
    untold = and_(
        settlement.c.state == State.PAID, or_(settlement.c.how.is_(None), settlement.c.how.not_in(["sent", "by_hand"]))
    )
    yield "I3", "settlement {id}", "it is paid, but not how", select(settlement.c.id).where(untold)
    silent = select(settlement.c.id).where(settlement.c.id.not_in(select(event.c.settlement_id)))
    yield "I5", "settlement {id}", "it has no story", silent


def _records() -> Iterator[Question]:
    is_payment = raw.c.verdict == "payment"
    fate = (
        is_payment,
        and_(raw.c.verdict == "ignored", raw.c.rule != ""),
        and_(raw.c.verdict == "quarantined", raw.c.rule != ""),
    )
    yield "I4", "record {id}", "it has no fate", select(raw.c.id).where(~or_(*fate))
    beside = select(raw.c.id, raw.c.payment_id).outerjoin(payment, payment.c.id == raw.c.payment_id).where(is_payment)
    yield "I4", "record {id}", "its payment is not in the ledger", beside.where(payment.c.id.is_(None))
    unlike = or_(
        raw.c.amount.is_distinct_from(payment.c.amount),
        raw.c.currency.is_distinct_from(payment.c.currency),
        raw.c.account != payment.c.account,
        raw.c.key != payment.c.key,
        raw.c.occurrence != payment.c.occurrence,
    )
    said = "it was not read as payment {payment_id} is written"
    yield "I4", "record {id}", said, beside.where(payment.c.id.is_not(None), unlike)
    brought = select(raw.c.payment_id).where(is_payment, raw.c.payment_id.is_not(None))
    yield "I4", "payment {id}", "no record brought it", select(payment.c.id).where(payment.c.id.not_in(brought))


# What keeps rows as they are, by the end of its name: see migrations 0001, 0004, 0007 and 0008.
GUARDED = ("event", "dismissal", "record_word")
GUARDS = {
    "sqlite": (
        "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :table AND sql LIKE '%RAISE(ABORT%'",
        {"update", "delete", "insert"},
    ),
    "postgresql": (
        (
            "SELECT tgname FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid "
            "WHERE tgrelid = to_regclass(:table) AND tgenabled IN ('O', 'A') AND prosrc LIKE '%RAISE EXCEPTION%'"
        ),
        {"fixed", "kept"},
    ),
}


def _unguarded(connection: Connection) -> Iterator[Violation]:
    query, expected = GUARDS[connection.dialect.name]
    for rows in GUARDED:
        there = set(connection.execute(text(query), {"table": f"b24_{rows}"}).scalars())
        for name in sorted({f"b24_{rows}_{end}" for end in expected} - there):
            yield Violation("I5", f"trigger {name}", f"it is missing: {rows}s could be changed")
