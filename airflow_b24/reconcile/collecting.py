"""Collect: a source's records become payments in the ledger, each kept whole, none lost and none counted twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta

from airflow_b24.ledger import cursors, records
from airflow_b24.ledger.payments import NewPayment
from airflow_b24.ledger.records import Record
from airflow_b24.ledger.store import Store
from airflow_b24.payments.model import Payment
from airflow_b24.payments.statements.records import Ignored, Quarantined, RecordFields, identify, read_record

BEFORE_START = "before_start"

# What the ledger's column holds; PostgreSQL would refuse the whole delivery for one longer text.
LONGEST_ACCOUNT = 255


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
        watermark = cursors.watermark(connection, source)
    # Whole days and `>=`: what arrives late or twice is sorted out by the ledger, never by the window.
    since = max(start_from, (watermark or start_from) - overlap)
    delivered = list(read(since))
    return records.ingest(store, source, _records(delivered, fields, start_from), today)


def _records(delivered: Sequence[object], fields: RecordFields, start_from: date) -> list[Record]:
    read = [read_record(record, fields) for record in delivered]
    identified = iter(identify([item for item in read if isinstance(item, Payment)]))
    kept = (next(identified) if isinstance(item, Payment) else item for item in read)
    return [_record(_body(raw), item, start_from) for raw, item in zip(delivered, kept, strict=True)]


def _record(body: str, item: Payment | Ignored | Quarantined, start_from: date) -> Record:
    match item:
        case Ignored():
            return Record(body, "ignored", rule=item.rule)
        case Quarantined():
            return Record(body, "quarantined", rule=item.field, detail=item.problem)
        case Payment() if len(item.account) > LONGEST_ACCOUNT:
            detail = f"account: longer than {LONGEST_ACCOUNT} characters; make RecordFields.account select its number"
            return Record(body, "quarantined", rule="account", detail=detail)
        case Payment() if item.booked_on < start_from:
            return Record(body, "ignored", rule=BEFORE_START)
    return Record(body, "payment", payment=_new_payment(item))


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
