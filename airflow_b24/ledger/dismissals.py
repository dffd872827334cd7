"""Dismissals: a person has dealt with a payment elsewhere. Every word of theirs stays, the newest counts.

The database refuses to change or delete one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, func, insert, select

from airflow_b24.ledger.errors import UnknownIdError
from airflow_b24.ledger.schema import allocation, dismissal, payment, record_word, settlement
from airflow_b24.ledger.states import State
from airflow_b24.ledger.store import Store, utc_now

DISMISSED: Final = "dismissed"
REOPENED: Final = "reopened"
# Who takes a dismissal back beside people.
BANK: Final = "the bank"
MAPPING: Final = "another mapping"

# What a person was shown of a payment, by column.
Facts = Mapping[str, Any]


def dismiss(store: Store, payment_id: int, by: str, shown: Facts | None = None) -> bool:
    """Take a payment out of matching and review, on the word of the person `by`. False when it is out already.

    `shown` is what the person was shown of it. Raises ValueError when that has changed since, or while any of it is put
    to an invoice, UnknownIdError for an unknown id. Repeating is safe.
    """
    with store.transaction() as connection:
        # A match that is promising it beside us takes this row too: whoever comes second sees what the first has done.
        _lock(connection, payment_id, shown)
        refuse_promised(connection, payment_id)
        return _say(connection, payment_id, DISMISSED, by)


def reopen(store: Store, payment_id: int, by: str, shown: Facts | None = None) -> bool:
    """Take a dismissal back: the payment is matched again. False when it is not dismissed. Repeating is safe.

    Raises ValueError when it is not as it was `shown` any more, UnknownIdError for an unknown id.
    """
    with store.transaction() as connection:
        _lock(connection, payment_id, shown)
        return _say(connection, payment_id, REOPENED, by)


def reopen_changed(connection: Connection, payment_id: int) -> None:
    """Take a dismissal back because the bank has changed the payment: what the person dealt with was another."""
    _say(connection, payment_id, REOPENED, BANK)


def reopen_misread(connection: Connection, payment_id: int) -> None:
    """Take a dismissal back because a mended mapping reads another payment: it was of what was read before.

    What a person has said of the record itself stays: that is what it was.
    """
    said = latest()
    query = select(said.c.id).where(said.c.payment_id == payment_id, said.c.word_id.is_(None))
    if connection.execute(query).first() is not None:
        _say(connection, payment_id, REOPENED, MAPPING)


def dismiss_new(connection: Connection, payment_id: int, word: RowMapping) -> None:
    """Dismiss a payment that came of a record which a person has dealt with; `word` is a row of `record_word`."""
    _say(connection, payment_id, DISMISSED, word["said_by"], word["id"])


def refuse_promised(connection: Connection, payment_id: int) -> None:
    """Raise ValueError, with the way on, when any of the payment is put to an invoice."""
    query = (
        select(settlement.c.id, settlement.c.invoice_number)
        .join(allocation, allocation.c.settlement_id == settlement.c.id)
        .where(allocation.c.payment_id == payment_id, settlement.c.state != State.RELEASED)
    )
    found = connection.execute(query.order_by(settlement.c.id)).first()
    if found is not None:
        raise ValueError(
            f"PAYMENT_ID: {payment_id} is put to invoice {found.invoice_number}: first "
            f"`airflow b24 ledger release {found.id}`, then dismiss the payment"
        )


def is_dismissed(connection: Connection, payment_id: int) -> bool:
    """Say whether the newest word on the payment is that it is dealt with."""
    return bool(dismissed_of(connection, [payment_id]))


def dismissed_of(connection: Connection, payment_ids: Sequence[int]) -> set[int]:
    """Those of the payments on which the newest word is that they are dealt with."""
    said = latest()
    return set(connection.execute(select(said.c.payment_id).where(said.c.payment_id.in_(payment_ids))).scalars())


@cache
def latest() -> Any:
    """A subquery with one row for each payment that is dismissed now: {id, payment_id, said_by, said_at, word_id, reason}.

    Where it rests on a word on the payment's record, it was said then and for that reason; else the reason is null.
    """
    newer = dismissal.alias("newer")
    later = select(newer.c.id).where(newer.c.payment_id == dismissal.c.payment_id, newer.c.id > dismissal.c.id)
    said_at = func.coalesce(record_word.c.said_at, dismissal.c.said_at).label("said_at")
    kept = (dismissal.c[name] for name in ("id", "payment_id", "said_by", "word_id"))
    columns = (*kept, said_at, record_word.c.reason)
    on_record = record_word.c.id == dismissal.c.word_id
    query = select(*columns).select_from(dismissal).outerjoin(record_word, on_record)
    return query.where(dismissal.c.what == DISMISSED, ~later.exists()).subquery("dismissed")


def _lock(connection: Connection, payment_id: int, shown: Facts | None) -> None:
    query = select(payment).where(payment.c.id == payment_id).with_for_update()
    found = connection.execute(query).mappings().first()
    if found is None:
        raise UnknownIdError(f"PAYMENT_ID: {payment_id} is not in this ledger; `airflow b24 review` shows the numbers")
    if any(found[name] != value for name, value in (shown or {}).items()):
        raise ValueError(f"PAYMENT_ID: {payment_id} has changed meanwhile; look at it again")


def _say(connection: Connection, payment_id: int, what: str, by: str, word_id: int | None = None) -> bool:
    if is_dismissed(connection, payment_id) == (what == DISMISSED):
        return False
    words = {"what": what, "said_by": by[:255], "said_at": utc_now(connection), "word_id": word_id}
    connection.execute(insert(dismissal).values(payment_id=payment_id, **words))
    return True
