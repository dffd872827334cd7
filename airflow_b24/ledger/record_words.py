"""A person's words on records that cannot be read: dealt with, for a reason. Every word stays, the newest counts.

The database refuses to change or delete one. A record that is read as a payment after all is one, which such a word
dismisses.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, and_, bindparam, insert, or_, select

from airflow_b24.ledger import dismissals
from airflow_b24.ledger.errors import UnknownIdError
from airflow_b24.ledger.schema import raw, record_word
from airflow_b24.ledger.store import Store, utc_now

IGNORED: Final = "ignored"
REOPENED: Final = "reopened"
# The rule by which such a record is ignored.
RULE: Final = "dismissed"


def ignore(store: Store, raw_id: int, by: str, reason: str) -> bool:
    """Ignore a record that cannot be read, on the word of the person `by`. False when it is ignored already.

    Raises ValueError without a reason, or when the record waits for nobody, UnknownIdError for an unknown id. Repeating
    is safe.
    """
    check_reason(reason)
    with store.transaction() as connection:
        unread_of(connection, raw_id, lock=True)
        return _say(connection, raw_id, IGNORED, by, " ".join(reason.split()))


def reopen(store: Store, raw_id: int, by: str) -> bool:
    """Let a record wait for a person again. False when it is not ignored. Raises as `ignore`; repeating is safe."""
    with store.transaction() as connection:
        unread_of(connection, raw_id, lock=True)
        return _say(connection, raw_id, REOPENED, by, "")


def check_reason(reason: str) -> None:
    """Raise ValueError when there is none."""
    if not reason.strip():
        raise ValueError('--reason: it is empty; say why nobody has to look at this record, like "no money, a notice"')


def unread_of(connection: Connection, raw_id: int, *, lock: bool = False) -> dict[str, Any]:
    """One record that cannot be read, ignored or not. Raises UnknownIdError, and ValueError for any other record."""
    query = select(raw).where(raw.c.id == raw_id)
    found = connection.execute(query.with_for_update() if lock else query).mappings().first()
    if found is None:
        raise UnknownIdError(f"RECORD_ID: {raw_id} is not in this ledger; `airflow b24 review` shows the numbers")
    if found["verdict"] != "quarantined" or found["payment_id"] is not None:
        raise ValueError(f"RECORD_ID: {raw_id} can be read, or speaks of a payment: there is nothing to be said of it")
    newest = connection.execute(newest_about(found["account"], found["key"])).scalar() if found["key"] else raw_id
    if newest != raw_id:
        raise ValueError(f"RECORD_ID: {raw_id} is not the bank's last word on this: decide on record {newest}")
    return dict(found)


def newest_about(account: Any, key: Any) -> Select[Any]:
    """Of the records with this identity that are no payment's, the id of the one which the bank said last."""
    about = raw.alias("about")
    known = (about.c.account == account, about.c.key == key, about.c.payment_id.is_(None))
    return select(about.c.id).where(*known).order_by(about.c.received_at.desc(), about.c.id.desc()).limit(1)


def on_record(connection: Connection, known: Mapping[str, Any]) -> RowMapping | None:
    """The word by which a record is ignored that can be read by now; each dismisses one payment at most.

    `known`: the record's source, digest and occurrence.
    """
    return connection.execute(_word_on(), known).mappings().first()


def on_other_words(connection: Connection, payment_id: int) -> bool:
    """Say whether a person has dealt with what the bank has said of a payment in words that could not be read."""
    said = latest()
    query = select(said.c.id).join(raw, raw.c.id == said.c.raw_id).where(raw.c.payment_id == payment_id)
    return connection.execute(query.limit(1)).first() is not None


@cache
def _word_on() -> Any:
    # Made once: it is asked for every payment that comes in.
    same = and_(*(raw.c[name] == bindparam(name) for name in ("source", "digest")))
    # Equal records without an id may have been counted in another order while they could not be read; one that has
    # found its payment speaks of no other.
    before = and_(raw.c.payment_id.is_(None), raw.c.occurrence < bindparam("occurrence"))
    said = latest()
    query = select(said).join(raw, raw.c.id == said.c.raw_id)
    query = query.where(same, or_(raw.c.occurrence == bindparam("occurrence"), before))
    return query.order_by(raw.c.occurrence.desc()).limit(1)


def reopen_changed(connection: Connection, which: ColumnElement[bool]) -> None:
    """Take back every word by which one of these records is ignored, because the bank says something else now."""
    said = latest()
    ignored = select(said.c.raw_id).join(raw, raw.c.id == said.c.raw_id).where(which).order_by(said.c.id)
    for raw_id in connection.execute(ignored).scalars().all():
        _say(connection, raw_id, REOPENED, dismissals.BANK, "")


@cache
def latest() -> Any:
    """A subquery with one row for each record that is ignored now: {raw_id, reason, said_by, said_at}."""
    newer = record_word.alias("newer")
    later = select(newer.c.id).where(and_(newer.c.raw_id == record_word.c.raw_id, newer.c.id > record_word.c.id))
    return select(record_word).where(record_word.c.what == IGNORED, ~later.exists()).subquery("ignored")


def _say(connection: Connection, raw_id: int, what: str, by: str, reason: str) -> bool:
    said = latest()
    is_ignored = connection.execute(select(said.c.id).where(said.c.raw_id == raw_id)).first() is not None
    if is_ignored == (what == IGNORED):
        return False
    words = {"what": what, "reason": reason, "said_by": by[:255], "said_at": utc_now(connection)}
    connection.execute(insert(record_word).values(raw_id=raw_id, **words))
    return True
