"""Raw records: all that sources ever delivered, each with what became of it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, and_, select, update

from airflow_b24.ledger import cursors, payments
from airflow_b24.ledger.payments import NewPayment
from airflow_b24.ledger.schema import raw
from airflow_b24.ledger.store import Store, utc_now
from airflow_b24.ledger.upsert import insert_if_absent

AMENDED = {"verdict": "quarantined", "rule": "amended", "detail": "the bank sent this payment before, different"}


@dataclass(frozen=True, slots=True)
class Record:
    """One delivered record: its whole text, and the payment it is, or the rule that set it aside."""

    body: str
    verdict: Literal["payment", "ignored", "quarantined"]
    payment: NewPayment | None = None
    rule: str = ""
    detail: str = ""

    @property
    def occurrence(self) -> int:
        return self.payment.occurrence if self.payment else 0

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.body.encode()).hexdigest()


def ingest(store: Store, source: str, records: Iterable[Record], watermark: date | None) -> dict[str, int]:
    """Keep every record and advance the source's watermark in one transaction.

    Repeating it is safe: a record is known by (source, content, occurrence), a payment by (account, key, occurrence).
    Returns counts: received, new, repeated, ignored, quarantined, amended.
    """
    counts: Counter[str] = Counter(received=0, new=0, repeated=0, ignored=0, quarantined=0, amended=0)
    with store.transaction() as connection:
        for record in records:
            counts["received"] += 1
            counts[_keep(connection, source, record)] += 1
        if watermark is not None:
            cursors.advance(connection, source, watermark)
    return dict(counts)


def _keep(connection: Connection, source: str, record: Record) -> str:
    row = {"verdict": record.verdict, "rule": record.rule, "detail": record.detail}
    known = {"source": source, "digest": record.digest, "occurrence": record.occurrence}
    this = and_(*(raw.c[name] == value for name, value in known.items()))
    new = {**known, **row, "body": record.body, "received_at": utc_now(connection)}
    if not insert_if_absent(connection, raw, new):
        connection.execute(update(raw).where(this).values(deliveries=raw.c.deliveries + 1))
        if record.payment is None or not _was_set_aside(connection, this):
            return "repeated"
    if record.payment is None:
        return record.verdict
    payment_id, fate = payments.record(connection, record.payment)
    row = {**row, **AMENDED} if fate == "amended" else row
    connection.execute(update(raw).where(this).values(payment_id=payment_id, **row))
    return fate


def _was_set_aside(connection: Connection, this: ColumnElement[bool]) -> bool:
    # A mapping that was mended since reads the same record as a payment: then it is one.
    return connection.execute(select(raw.c.payment_id).where(this)).scalar_one() is None


def set_aside(connection: Connection) -> list[dict[str, Any]]:
    """Records that are no payment of their own, oldest first: {id, source, verdict, rule, detail, body, received_at}.

    An amendment is not among them: it speaks of a payment that the ledger has.
    """
    columns = (raw.c.id, raw.c.source, raw.c.verdict, raw.c.rule, raw.c.detail, raw.c.body, raw.c.received_at)
    query = select(*columns).where(raw.c.payment_id.is_(None)).order_by(raw.c.id)
    return [dict(row) for row in connection.execute(query).mappings()]
