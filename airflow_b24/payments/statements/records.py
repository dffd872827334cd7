"""One record of a bank's answer becomes a payment, is ignored by a named rule, or is set aside with the fault named."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Literal

from airflow_b24.payments.errors import AmountError, PaymentError
from airflow_b24.payments.model import Payment
from airflow_b24.payments.money import Money, parse_money
from airflow_b24.payments.statements.record_fields import RecordFields, Selector, selectors, zone
from airflow_b24.payments.statements.strict_json import JsonFloat, decode_json

__all__ = ["Ignored", "JsonFloat", "Quarantined", "RecordFields", "decode_json", "identify", "read_record"]

LONGEST_KEY = 255
LONGEST_ACCOUNT = 255
LONGEST_REMITTANCE = 10_000
LONGEST_TEXT = 1_000

_TEXTS = ("remittance", "payer_name", "payer_tax_id", "payer_account", "document_number")
_LONGEST = dict.fromkeys(_TEXTS, LONGEST_TEXT) | {"account": LONGEST_ACCOUNT, "remittance": LONGEST_REMITTANCE}
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
)
# PostgreSQL stores no NUL, and no UTF-8 holds half a surrogate pair.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Ignored:
    """A record that is rightly no payment, and the rule that says so.

    `account` and `key` are those a payment of this record would have, so that a payment taken back is known again; each
    is empty where it cannot be read, `key` also where no id is trusted.
    """

    rule: Literal["not_a_credit", "not_booked"]
    account: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A record that cannot be read: which field, and what is wrong with it and how to mend it.

    `account` and `key` are as in `Ignored`.
    """

    field: str
    problem: str
    account: str = ""
    key: str = ""


def read_record(record: object, fields: RecordFields) -> Payment | Ignored | Quarantined:
    """Read one record; bad data is quarantined, never raised.

    A payment read without a trusted id has the empty key: pass all payments of a source through `identify`.
    """
    try:
        values = _select(record, fields)
        rule = _ignored_by(values, fields)
        if rule is None:
            amount = _amount(values, fields)
            if amount.minor > 0:
                return _payment(values, amount, fields)
            rule = _ignored_by_sign(amount, fields)
        return Ignored(rule, *_identity(record, fields))
    except PaymentError as error:
        return Quarantined(error.field, str(error), *_identity(record, fields))


def identify(payments: Iterable[Payment]) -> list[Payment]:
    """Give each payment without a key one made of its content, in the order given.

    Equal payments of one day are counted by `occurrence` from 0, so pass whole closed days: the same days give the
    same keys, however often they are read. Payments with a trusted id are returned as they are.
    """
    seen: Counter[tuple[str, str]] = Counter()
    identified = []
    for payment in payments:
        if payment.key:
            identified.append(payment)
            continue
        key = _content_key(payment)
        identified.append(replace(payment, key=key, occurrence=seen[payment.account, key]))
        seen[payment.account, key] += 1
    return identified


def _select(record: object, fields: RecordFields) -> dict[str, object]:
    if not isinstance(record, Mapping):
        raise PaymentError("record", "not an object", "select the list of payments in the answer", record)
    return {field: _value(record, field, select) for field, select in selectors(fields).items()}


def _value(record: object, field: str, select: Selector) -> object:
    try:
        return select(record)
    except (TypeError, ValueError):
        # jmespath's own errors are ValueErrors; its functions let others through.
        fix = f"make RecordFields.{field} fit the records"
        raise PaymentError(field, "its expression cannot be applied to this record", fix) from None


def _identity(record: object, fields: RecordFields) -> tuple[str, str]:
    """The account and key of a record that is no payment, each empty where it cannot be read."""
    readers: tuple[tuple[str, Callable[[object, RecordFields], str]], ...] = (("account", _account), ("id", _key))
    found = []
    for field, read in readers:
        try:
            found.append(read(_value(record, field, selectors(fields)[field]), fields))
        except PaymentError:
            found.append("")
    return found[0], found[1]


def _ignored_by(values: Mapping[str, object], fields: RecordFields) -> Literal["not_a_credit", "not_booked"] | None:
    if fields.status is not None and not _is_first("status", values["status"], "booked", "pending", fields):
        return "not_booked"
    if fields.direction is not None and not _is_first("direction", values["direction"], "credit", "debit", fields):
        return "not_a_credit"
    return None


def _ignored_by_sign(amount: Money, fields: RecordFields) -> Literal["not_a_credit"]:
    # Only a source without directions tells its debits by their sign.
    if fields.direction is None:
        return "not_a_credit"
    fix = "ask the source what such a record means"
    raise AmountError("amount", "not positive, though the record is a credit", fix, str(amount))


def _is_first(field: str, value: object, yes: str, no: str, fields: RecordFields) -> bool:
    text = _text(field, value).casefold()
    if not text:
        raise PaymentError(field, "missing", f"check RecordFields.{field}, or set it to None", value)
    for words, found in ((yes, True), (no, False)):
        if text in {word.casefold() for word in getattr(fields, words)}:
            return found
    # A word nobody listed may be money: it is put before a person, not dropped.
    raise PaymentError(field, "a word that is not listed", f"add it to RecordFields.{yes} or RecordFields.{no}", value)


def _payment(values: Mapping[str, object], amount: Money, fields: RecordFields) -> Payment:
    texts: dict[str, Any] = {field: _text(field, values[field]) for field in _TEXTS}
    return Payment(
        account=_account(values["account"], fields),
        key=_key(values["id"], fields),
        occurrence=0,
        amount=amount,
        booked_on=_day(values["booked_on"], fields.time_zone),
        **texts,
    )


def _account(value: object, fields: RecordFields) -> str:
    account = _text("account", value) or _text("account", fields.own_account)
    if not account:
        raise PaymentError("account", "missing", "map RecordFields.account, or set own_account for all records")
    return account


def _amount(values: Mapping[str, object], fields: RecordFields) -> Money:
    amount = values["amount"]
    if isinstance(amount, JsonFloat) and not fields.numbers_are_exact:
        fix = (
            'ask the source for a string such as "118.00", '
            "or set RecordFields.numbers_are_exact=True if its numbers are exact decimal text"
        )
        raise AmountError("amount", "a float amount is not exact", fix, amount)
    currency = values["currency"] or fields.own_currency
    if not currency:
        raise PaymentError("currency", "missing", "map RecordFields.currency, or set own_currency for all records")
    return parse_money(amount, currency)


def _day(value: object, time_zone: str) -> date:
    fix = 'send a date as "2026-03-12", or a time as "2026-03-12T09:30:00+03:00"'
    try:
        moment = _moment(value)
        if isinstance(moment, datetime):
            return (moment.astimezone(zone(time_zone)) if moment.tzinfo else moment).date()
    except (ValueError, OverflowError):
        raise PaymentError("booked_on", "no day of the calendar", fix, value) from None
    if moment is None:
        raise PaymentError("booked_on", "not a date", fix, value)
    return moment


def _moment(value: object) -> date | datetime | None:
    if isinstance(value, date):
        return value
    text = value.strip() if isinstance(value, str) else ""
    if _DAY.fullmatch(text):
        return date.fromisoformat(text)
    return datetime.fromisoformat(text) if _TIME.fullmatch(text) else None


def _text(field: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= 256:
        value = str(value)
    if not isinstance(value, str):
        raise PaymentError(field, "not text", f"make RecordFields.{field} select one text", value)
    if _UNSTORABLE.search(value):
        raise PaymentError(field, "holds characters that cannot be stored", "ask the source for clean text", value)
    text = value.strip()
    longest = _LONGEST.get(field)
    if longest is not None and len(text) > longest:
        fix = f"make RecordFields.{field} select that text alone"
        raise PaymentError(field, f"longer than {longest} characters", fix, text)
    return text


def _key(value: object, fields: RecordFields) -> str:
    if fields.id is None:
        return ""
    trusted = _text("id", value)
    if not trusted:
        raise PaymentError("id", "missing", "map RecordFields.id, or set it to None to tell payments by their content")
    key = f"id:{trusted}"
    return key if len(key) <= LONGEST_KEY else f"long-id:{_digest(trusted)}"


def _content_key(payment: Payment) -> str:
    content = [
        payment.account,
        payment.booked_on.isoformat(),
        payment.amount.minor,
        payment.amount.currency,
        payment.payer_account,
        payment.document_number,
        " ".join(unicodedata.normalize("NFKC", payment.remittance).casefold().split()),
    ]
    return f"sha256:{_digest(json.dumps(content))}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
