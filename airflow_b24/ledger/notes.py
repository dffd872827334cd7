"""Notes: who writes on an invoice what it was paid with, as people wish, and whether that could be done.

Each is an event of its story.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, FromClause, and_, case, func, literal, literal_column, or_, select

from airflow_b24.ledger import events
from airflow_b24.ledger.facts import Kind, Row
from airflow_b24.ledger.rows import Found, locked_all, rows_of
from airflow_b24.ledger.schema import event, settlement
from airflow_b24.ledger.states import State
from airflow_b24.ledger.store import Store, utc_now

# Of what a portal says; its words may be long.
LONGEST: Final = 500
# Whoever looks first for what stands there must do so alone: two who look find nothing, and write twice.
TAKEN: Final = "noting"
WRITTEN: Final = "noted"
NOT_WRITTEN: Final = "not noted"
# So long what is missing on a paid invoice is tried again.
TRIED_FOR: Final = timedelta(days=7)
# Who paid it writes at once, perhaps after many others, and so does who has taken it: they must not meet.
LEFT_ALONE: Final = timedelta(hours=1)
# From the first try to the second, and so on; the last of them again and again.
PAUSES: Final = (LEFT_ALONE, *(timedelta(hours=hours) for hours in (2, 4, 8, 24)))


def take_all(store: Store, ids: Sequence[int]) -> list[Row]:
    """Take what is to be written on: of these, what is still paid by our calls, and nobody else has taken.

    Who takes one has it for an hour, or until it is noted. Raises UnknownIdError. Repeating returns fewer.
    """
    with store.transaction() as connection:
        found, now = locked_all(connection, ids), utc_now(connection)
        last = _last(connection, ids)
        free = [each for each in found.values() if _is_ours(each) and not _is_taken(last.get(each["id"]), now)]
        events.append_all(
            connection, [events.Event(each["id"], TAKEN, each["state"], each["fence"], now) for each in free]
        )
        return rows_of(connection, free)


def _is_ours(found: Found) -> bool:
    return (found["state"], found["how"]) == (State.PAID, "sent")


def _is_taken(last: Any, now: datetime) -> bool:
    return bool(last and last.what == TAKEN and last.at > now - LEFT_ALONE)


def note(store: Store, row: Row, trouble: str = "") -> None:
    """Add that all is written, or why not; nothing where the story says so already. Repeating is safe."""
    note_all(store, [(row, trouble)])


def note_all(store: Store, said: Sequence[tuple[Row, str]]) -> None:
    """The same for many, each named once."""
    with store.snapshot() as connection:
        last = _last(connection, [row.id for row, _ in said])
    news = {row.id: trouble[:LONGEST] for row, trouble in said if not _says(last.get(row.id), row, trouble[:LONGEST])}
    if not news:
        return
    with store.transaction() as connection:
        found, now = locked_all(connection, news), utc_now(connection)
        events.append_all(connection, [_event(found[each], trouble, now) for each, trouble in news.items()])


def _event(found: Found, trouble: str, now: datetime) -> events.Event:
    what, evidence = (NOT_WRITTEN, {"text": trouble}) if trouble else (WRITTEN, {})
    return events.Event(found["id"], what, found["state"], found["fence"], now, evidence)


def _last(connection: Connection, ids: Sequence[int]) -> dict[int, Any]:
    newest = select(func.max(event.c.id)).where(
        event.c.settlement_id.in_(ids), event.c.what.in_([TAKEN, WRITTEN, NOT_WRITTEN])
    )
    query = select(event).where(event.c.id.in_(newest.group_by(event.c.settlement_id)))
    return {each.settlement_id: each for each in connection.execute(query)}


def _is_note(events: FromClause) -> ColumnElement[bool]:
    # In the words of the index of notes, not as values that are bound: else it is not found to be of use.
    return events.c.what.in_([literal_column(f"'{what}'") for what in (WRITTEN, NOT_WRITTEN)])


def _is_newest() -> ColumnElement[bool]:
    later = event.alias("later")
    of_same = (later.c.settlement_id == event.c.settlement_id, later.c.id > event.c.id)
    return ~select(later.c.id).where(*of_same, _is_note(later)).exists()


def _says(last: Any, row: Row, trouble: str) -> bool:
    what = NOT_WRITTEN if trouble else WRITTEN
    if last is None:
        # Of parts only what went wrong is news, and that it has gone.
        return what == WRITTEN and row.state is State.COLLECTING
    return (last.what, last.state, last.evidence.get("text", "")) == (what, row.state, trouble)


def unwritten(store: Store, portal_id: int, kinds: Iterable[Kind], limit: int) -> list[Row]:
    """What our calls have paid lately, and nothing says that it was written on the invoice, or is being written.

    What was tried least comes first, and is left alone for longer after each try: what fails again and again hides no
    other, and its story does not grow by the hour.
    """
    mine = and_(event.c.settlement_id == settlement.c.id, event.c.what == TAKEN)
    times = select(func.count(event.c.id)).where(mine).correlate(settlement).scalar_subquery()
    last = select(func.max(event.c.at)).where(mine).correlate(settlement).scalar_subquery()
    is_written = select(event.c.id).where(
        event.c.settlement_id == settlement.c.id,
        _is_note(event),
        event.c.what == WRITTEN,
        event.c.state == State.PAID,
    )
    with store.snapshot() as connection:
        now = utc_now(connection)
        query = (
            select(settlement)
            .where(
                settlement.c.portal_id == portal_id,
                settlement.c.kind.in_(kinds),
                settlement.c.state == State.PAID,
                settlement.c.how == "sent",
                settlement.c.updated_at.between(now - TRIED_FOR, now - LEFT_ALONE),
                ~is_written.exists(),
                or_(last.is_(None), last <= _tried_before(times, now)),
            )
            .order_by(times, settlement.c.id)
            .limit(limit)
        )
        return rows_of(connection, [dict(each) for each in connection.execute(query).mappings()])


def _tried_before(times: ColumnElement[int], now: datetime) -> ColumnElement[datetime]:
    """When what was tried so often must have been tried last, to be tried again."""
    moments = [literal(now - pause, event.c.at.type) for pause in PAUSES]
    return case(*((times == number, moment) for number, moment in enumerate(moments, start=1)), else_=moments[-1])


def troubles(connection: Connection, within: timedelta | None = None) -> dict[int, str]:
    """By settlement that is paid or waits for parts, why its invoice lacks what was to be written on it."""
    query = (
        select(event.c.settlement_id, event.c.evidence)
        .join(settlement, settlement.c.id == event.c.settlement_id)
        .where(_is_note(event), event.c.what == NOT_WRITTEN, _is_newest())
        .where(settlement.c.state.in_([State.PAID, State.COLLECTING]))
    )
    if within is not None:
        query = query.where(event.c.at > utc_now(connection) - within)
    return {settlement_id: _text(evidence) for settlement_id, evidence in connection.execute(query)}


def _text(evidence: dict[str, Any]) -> str:
    return str(evidence.get("text", ""))
