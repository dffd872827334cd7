"""Collect: a source's records become payments in the ledger, each kept whole, none lost and none counted twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import TypeAlias

from airflow_b24.ledger import cursors, records
from airflow_b24.ledger.cursors import Cursor
from airflow_b24.ledger.payments import NewPayment
from airflow_b24.ledger.records import Record
from airflow_b24.ledger.store import Store
from airflow_b24.payments.model import Payment
from airflow_b24.payments.statements.records import Ignored, Quarantined, RecordFields, identify, read_record

BEFORE_START = "before_start"

# A record as it came, and what it was read as.
Delivered: TypeAlias = tuple[object, Payment | Ignored | Quarantined]


def collect(
    store: Store,
    source: str,
    read: Callable[[date], Iterable[object]],
    fields: RecordFields,
    *,
    start_from: date,
    today: date,
    overlap: timedelta,
) -> dict[str, int]:
    """Read the source from its watermark less the overlap, and keep every record; repeating is safe.

    `read(since)` yields the source's records booked on or after that day. Payments booked before `start_from` are
    ignored by the rule `before_start`. Returns counts: received, new, repeated, ignored, quarantined, amended.
    """
    with store.snapshot() as connection:
        cursor = cursors.find(connection, source)
    # Whole days and `>=`: what arrives late or twice is sorted out by the ledger, never by the window.
    since = cursor.since(start_from, today, overlap) if cursor else start_from
    delivered = [(record, read_record(record, fields)) for record in read(since)]
    kept = delivered if fields.id is not None else _closed(delivered, today)
    return records.ingest(store, source, _records(kept, start_from), Cursor(today, start_from))


def _closed(delivered: Sequence[Delivered], today: date) -> list[Delivered]:
    """Without a trusted id equal payments are told apart by counting, and only a day that is over can be counted."""
    return [(record, item) for record, item in delivered if not isinstance(item, Payment) or item.booked_on < today]


def _records(delivered: Sequence[Delivered], start_from: date) -> list[Record]:
    identified = iter(identify([item for _, item in delivered if isinstance(item, Payment)]))
    known = (next(identified) if isinstance(item, Payment) else item for _, item in delivered)
    return _numbered(_record(_body(raw), item, start_from) for (raw, _), item in zip(delivered, known, strict=True))


def _numbered(found: Iterable[Record]) -> list[Record]:
    """Count equal records without an id from 0, as equal payments are: each may be money of its own."""
    seen: Counter[str] = Counter()
    numbered = []
    for record in found:
        if record.key:
            numbered.append(record)
        else:
            numbered.append(replace(record, number=seen[record.body]))
            seen[record.body] += 1
    return numbered


def _record(body: str, item: Payment | Ignored | Quarantined, start_from: date) -> Record:
    match item:
        case Ignored():
            return Record(body, "ignored", rule=item.rule, account=item.account, key=item.key)
        case Quarantined():
            return Record(body, "quarantined", None, item.field, item.problem, item.account, item.key)
        case Payment() if item.booked_on < start_from:
            return Record(body, "ignored", rule=BEFORE_START, account=item.account, key=item.key)
    return Record(body, "payment", _new_payment(item), account=item.account, key=item.key)


def _new_payment(payment: Payment) -> NewPayment:
    return NewPayment(
        account=payment.account,
        key=payment.key,
        occurrence=payment.occurrence,
        amount=payment.amount.minor,
        currency=payment.amount.currency,
        exponent=payment.amount.exponent,
        booked_on=payment.booked_on,
        remittance=payment.remittance,
        payer_name=payment.payer_name,
        payer_tax_id=payment.payer_tax_id,
        payer_account=payment.payer_account,
        document_number=payment.document_number,
    )


def _body(record: object) -> str:
    # A number stays apart from its text: {"number": "118.5"} is not "118.5".
    text = json.dumps(record, ensure_ascii=False, sort_keys=True, default=lambda number: {"number": str(number)})
    return text.encode("utf-8", "backslashreplace").decode()
