"""Raw records: all that sources ever delivered, each with what became of it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from itertools import groupby, repeat
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, bindparam, func, or_, select, update

from airflow_b24.ledger import cursors, dismissals, payments, record_words
from airflow_b24.ledger.cursors import Cursor
from airflow_b24.ledger.payments import NewPayment
from airflow_b24.ledger.schema import payment, raw
from airflow_b24.ledger.store import Store, utc_now
from airflow_b24.ledger.upsert import insert_if_absent

AMENDED = {"verdict": "quarantined", "rule": "amended", "detail": "the bank sent this payment before, different"}
# Short transactions: a long first reading must not keep paying workers out of an SQLite ledger.
CHUNK = 500


@dataclass(frozen=True)
class Record:
    """One delivered record: its whole text, and the payment it is, or the rule that set it aside.

    `account` and `key` say whose record it is, as far as that can be read, also when it is no payment. `number` tells
    equal ones that are no payment and have no key apart, as a payment's occurrence does.
    """

    body: str
    verdict: Literal["payment", "ignored", "quarantined"]
    payment: NewPayment | None = None
    rule: str = ""
    detail: str = ""
    account: str = ""
    key: str = ""
    number: int = 0

    @property
    def occurrence(self) -> int:
        return self.payment.occurrence if self.payment else self.number

    @property
    def read_as(self) -> dict[str, Any]:
        """The sum it brings in, kept beside the payment's own: {amount, currency}."""
        return {"amount": self.payment and self.payment.amount, "currency": self.payment and self.payment.currency}

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(self.body.encode()).hexdigest()

    @property
    def known(self) -> tuple[str, int]:
        """What it is known by among its source's records."""
        return self.digest, self.occurrence


@dataclass(frozen=True)
class _Delivery:
    """What one reading of a source brought: the payments, by account and key, and the digests of all its records."""

    source: str
    booked: AbstractSet[tuple[str, str]]
    said: AbstractSet[str]

    def known(self, record: Record) -> dict[str, Any]:
        return {"source": self.source, "digest": record.digest, "occurrence": record.occurrence}

    def row_of(self, record: Record) -> ColumnElement[bool]:
        return and_(*(raw.c[name] == value for name, value in self.known(record).items()))


def ingest(store: Store, source: str, records: Iterable[Record], read: Cursor | None) -> dict[str, int]:
    """Keep every record, and note with the last of them how far the source has been read.

    Repeating it is safe: a record is known by (source, content, occurrence), a payment by (account, key, occurrence).
    Returns counts: received, new, repeated, ignored, quarantined, amended.
    """
    counts: Counter[str] = Counter(received=0, new=0, repeated=0, ignored=0, quarantined=0, amended=0)
    ordered = sorted(records, key=_place)
    counts["received"] = len(ordered)
    booked = {(record.account, record.key) for record in ordered if record.payment is not None}
    delivery = _Delivery(source, booked, {record.digest for record in ordered})
    chunks: list[Sequence[Record]] = [ordered[start : start + CHUNK] for start in range(0, len(ordered), CHUNK)]
    for last, chunk in enumerate(chunks or [[]], start=1 - len(chunks or [[]])):
        with store.transaction() as connection:
            counts.update(_keep_all(connection, delivery, chunk))
            if last == 0 and read is not None:
                cursors.advance(connection, source, read)
    return dict(counts)


def _place(record: Record) -> tuple[str, str, bool, str, int]:
    """One order for all: two readings of the same payments must not wait for each other in a circle."""
    # Payments first: one that is taken back in the same delivery is known by then, and is held.
    return record.account, record.key, record.payment is None, record.digest, record.occurrence


def _keep_all(connection: Connection, delivery: _Delivery, chunk: Sequence[Record]) -> Iterator[str]:
    """Keep the records in their order; those that say nothing new are only counted, many at once."""
    same = _same(connection, delivery.source, chunk)
    for is_same, some in groupby(chunk, lambda record: record.known in same):
        if not is_same:
            yield from (_keep(connection, delivery, record) for record in some)
            continue
        again = [{"of": same[record.known]} for record in some]
        more = update(raw).where(raw.c.id == bindparam("of")).values(deliveries=raw.c.deliveries + 1)
        connection.execute(more, again)
        yield from repeat("repeated", len(again))


def _same(connection: Connection, source: str, chunk: Sequence[Record]) -> dict[tuple[str, int], int]:
    """Records that were delivered before, and are read as the payment which they became still is: {known: raw's id}.

    Not those that speak of their payment together with another one here: their order counts.
    """
    told = Counter((record.account, record.key) for record in chunk)
    alone = {each.known: each for each in chunk if each.payment is not None and told[each.account, each.key] == 1}
    as_read = (raw.c[name].label(f"raw_{name}") for name in ("id", "digest", "occurrence", "amount", "currency"))
    query = (
        select(*as_read, payment)
        .join(payment, payment.c.id == raw.c.payment_id)
        .where(raw.c.source == source, raw.c.digest.in_([digest for digest, _ in alone]), raw.c.verdict == "payment")
    )
    rows = [row for row in connection.execute(query).mappings() if (row["raw_digest"], row["raw_occurrence"]) in alone]
    known = (((row["raw_digest"], row["raw_occurrence"]), row) for row in rows)
    return {each: row["raw_id"] for each, row in known if _is_read_as(alone[each], row)}


def _is_read_as(record: Record, row: RowMapping) -> bool:
    assert record.payment is not None  # noqa: S101 - asked by the caller
    is_counted = record.read_as == {"amount": row["raw_amount"], "currency": row["raw_currency"]}
    return is_counted and payments.is_as_known(record.payment, row)


def _keep(connection: Connection, delivery: _Delivery, record: Record) -> str:
    judged = {"verdict": record.verdict, "rule": record.rule, "detail": record.detail}
    whose = {"account": record.account, "key": record.key, **record.read_as}
    new = {**delivery.known(record), **whose, **judged, "body": record.body, "received_at": _now_of(connection, record)}
    if not insert_if_absent(connection, raw, new):
        return _again(connection, delivery, record, {**judged, **whose})
    return _judge(connection, delivery, record, judged)


def _judge(connection: Connection, delivery: _Delivery, record: Record, judged: dict[str, str]) -> str:
    if record.payment is not None:
        return _as_payment(connection, delivery, record, record.payment, judged)
    # The bank calls a payment we know pending, cancelled or a debit: it may be taking it back.
    taken_back = payments.hold_if_known(connection, record.account, record.key) if record.key else None
    if taken_back is None:
        return record.verdict
    connection.execute(update(raw).where(delivery.row_of(record)).values(payment_id=taken_back, **AMENDED))
    return "amended"


def _again(connection: Connection, delivery: _Delivery, record: Record, judged: dict[str, Any]) -> str:
    this = delivery.row_of(record)
    connection.execute(update(raw).where(this).values(deliveries=raw.c.deliveries + 1))
    # A mapping that was mended since may read the same record in another way: then that counts.
    known = connection.execute(select(raw.c.payment_id, raw.c.verdict, raw.c.rule).where(this)).one()
    if known.payment_id is not None:
        if record.payment is not None and known.verdict == "payment":
            _read_anew(connection, known.payment_id, record)
        # Un-booked in the very words of before it was booked, and booked nowhere in this delivery.
        was_set_aside = known.verdict != "payment" and known.rule != AMENDED["rule"]
        unbooked = record.payment is None and (record.account, record.key) not in delivery.booked
        return _judge(connection, delivery, record, judged) if was_set_aside and unbooked else "repeated"
    connection.execute(update(raw).where(this).values(**judged))
    fate = _judge(connection, delivery, record, judged)
    if fate == record.verdict and record.key:
        _speak_again(connection, delivery, record)
    return "repeated" if fate == record.verdict else fate


def _speak_again(connection: Connection, delivery: _Delivery, record: Record) -> None:
    """Let it speak from now on, and wait for a person, when the bank has gone back to these words of before."""
    newest = raw.c.id == record_words.newest_about(record.account, record.key).scalar_subquery()
    said = connection.execute(select(raw.c.source, raw.c.digest).where(newest)).one()
    # A delivery of both says nothing new, and what another source said is for that source to take back.
    if said.source == delivery.source and said.digest not in delivery.said:
        connection.execute(update(raw).where(delivery.row_of(record)).values(received_at=_now_of(connection, record)))
        record_words.reopen_changed(connection, _aside(record.account, record.key))


def _now_of(connection: Connection, record: Record) -> datetime:
    """The time, later than that of anything that was said of the same: a clock may have been set back since."""
    now = utc_now(connection)
    if record.payment is not None or not record.key:
        return now
    last = connection.execute(select(func.max(raw.c.received_at)).where(_aside(record.account, record.key))).scalar()
    return now if last is None else max(now, last + timedelta(microseconds=1))


def _aside(account: str, key: str) -> ColumnElement[bool]:
    return and_(raw.c.account == account, raw.c.key == key, raw.c.payment_id.is_(None))


def _read_anew(connection: Connection, payment_id: int, record: Record) -> None:
    assert record.payment is not None  # noqa: S101 - asked by the caller
    if not payments.read_anew(connection, payment_id, record.payment):
        return
    # Every record that told of this payment: another one of them may never be delivered again. Found by their identity,
    # for which there is an index.
    whose = (raw.c.account == record.account, raw.c.key == record.key)
    told = (*whose, raw.c.payment_id == payment_id, raw.c.verdict == "payment")
    other = or_(*(raw.c[name].is_distinct_from(value) for name, value in record.read_as.items()))
    connection.execute(update(raw).where(*told, other).values(**record.read_as))


def _as_payment(
    connection: Connection, delivery: _Delivery, record: Record, new: NewPayment, judged: dict[str, str]
) -> str:
    payment_id, fate = payments.record(connection, new)
    row = {**judged, **AMENDED} if fate == "amended" else judged
    connection.execute(update(raw).where(delivery.row_of(record)).values(payment_id=payment_id, **row))
    # What the bank said of it before it was booked belongs to the payment, and is nobody's question any more.
    if new.occurrence == 0:
        connection.execute(update(raw).where(_aside(new.account, new.key)).values(payment_id=payment_id))
    if fate == "new":
        _heed_words(connection, payment_id, delivery.known(record))
    return fate


def _heed_words(connection: Connection, payment_id: int, known: Mapping[str, Any]) -> None:
    """A person has dealt with what a new payment was read from: so with it. Of other words than those they are asked again."""
    word = record_words.on_record(connection, known)
    if word is not None:
        dismissals.dismiss_new(connection, payment_id, word)
        shifted = (raw.c.id == word["raw_id"], raw.c.payment_id.is_(None))
        connection.execute(update(raw).where(*shifted).values(payment_id=payment_id))
    elif record_words.on_other_words(connection, payment_id):
        payments.hold(connection, payment_id)


def set_aside(connection: Connection) -> list[dict[str, Any]]:
    """Records that are no payment of their own, oldest first: {id, source, key, verdict, rule, detail, body, received_at}.

    Of several about the same (account, key) the one speaks that the bank said last. An amendment is not among them: it
    speaks of a payment that the ledger has. What a person has dealt with is ignored by the rule `dismissed`, with their
    reason as `detail`, and has `said_by` and `said_at`.
    """
    names = ("id", "source", "key", "verdict", "rule", "detail", "body", "received_at")
    newest = record_words.newest_about(raw.c.account, raw.c.key).scalar_subquery()
    said = record_words.latest()
    words = (said.c.reason, said.c.said_by, said.c.said_at)
    query = (
        select(*(raw.c[name] for name in names), *words)
        .outerjoin(said, and_(said.c.raw_id == raw.c.id, raw.c.verdict == "quarantined"))
        .where(raw.c.payment_id.is_(None), or_(raw.c.key == "", raw.c.id == newest))
        .order_by(raw.c.id)
    )
    return [_with_word(dict(row)) for row in connection.execute(query).mappings()]


def _with_word(row: dict[str, Any]) -> dict[str, Any]:
    reason = row.pop("reason")
    return row if reason is None else {**row, "verdict": "ignored", "rule": record_words.RULE, "detail": reason}
