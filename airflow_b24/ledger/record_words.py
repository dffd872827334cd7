"""A person's words on records that cannot be read: dealt with, for a reason. Every word stays, the newest counts.

The database refuses to change or delete one. A record that is read as a payment after all is one, whatever was said.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, and_, insert, select

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
    return dict(found)


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
