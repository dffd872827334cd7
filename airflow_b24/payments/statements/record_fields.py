"""Where in a bank's record each fact of a payment stands."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from zoneinfo import ZoneInfo

import jmespath
from jmespath.exceptions import JMESPathError

from airflow_b24.payments.currencies import read_currency
from airflow_b24.payments.errors import MappingError

Selector = Callable[[object], object]

EXPRESSIONS = (
    "id",
    "account",
    "amount",
    "currency",
    "booked_on",
    "remittance",
    "payer_name",
    "payer_tax_id",
    "payer_account",
    "document_number",
    "direction",
    "status",
)
_REQUIRED = ("amount", "booked_on", "remittance")
_PLAIN_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class RecordFields:
    """How to read one record: a jmespath expression for each fact, None where the source has none.

    Without `id`, a payment is told by its content. `direction` is one of the words `credit` or `debit`, `status` one of
    `booked` or `pending`, whatever the case; a word in neither list is quarantined, for nobody knows what it means.
    None means that the source sends only credits, or only booked ones. `own_account` and
    `own_currency` stand in where a record names none. `time_zone` is the account's: a time with an offset is booked on
    its date there. `numbers_are_exact` accepts amounts sent as JSON numbers with a fraction. A fault raises MappingError.
    """

    id: str | None = "id"
    account: str | None = "account"
    amount: str = "amount"
    currency: str | None = "currency"
    booked_on: str = "booked_on"
    remittance: str = "remittance"
    payer_name: str | None = "payer_name"
    payer_tax_id: str | None = "payer_tax_id"
    payer_account: str | None = "payer_account"
    document_number: str | None = "document_number"
    direction: str | None = None
    status: str | None = None
    credit: tuple[str, ...] = ("credit",)
    debit: tuple[str, ...] = ("debit",)
    booked: tuple[str, ...] = ("booked",)
    pending: tuple[str, ...] = ("pending",)
    own_account: str | None = None
    own_currency: str | None = None
    time_zone: str = "UTC"
    numbers_are_exact: bool = False

    def __post_init__(self) -> None:
        for field in EXPRESSIONS:
            _check_expression(field, getattr(self, field))
        for field in ("credit", "debit", "booked", "pending"):
            words = getattr(self, field)
            if not isinstance(words, tuple) or not words or not all(isinstance(word, str) for word in words):
                raise MappingError(field, "not a tuple of words", f'write {field}=("{field}",)', words)
        for field, stand_in in (("account", self.own_account), ("currency", self.own_currency)):
            if getattr(self, field) is None and not stand_in:
                raise MappingError(field, "neither mapped nor given", f"set {field}, or own_{field} for all records")
        if self.own_currency is not None:
            read_currency(self.own_currency, "own_currency")
        zone(self.time_zone)


@lru_cache(maxsize=64)
def selectors(fields: RecordFields) -> dict[str, Selector]:
    """Return a function for each fact that finds it in a record, or None; an expression is compiled once."""
    return {field: _selector(getattr(fields, field)) for field in EXPRESSIONS}


@lru_cache(maxsize=64)
def zone(name: str) -> ZoneInfo:
    """Return the time zone of that IANA name, or raise MappingError."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError):
        fix = 'write an IANA name, for example "Europe/Moscow"'
        raise MappingError("time_zone", "not a known time zone", fix, name) from None


def _check_expression(field: str, expression: object) -> None:
    if expression is None and field not in _REQUIRED:
        return
    fix = f'write a jmespath expression, for example {field}="{field}"'
    if not isinstance(expression, str):
        raise MappingError(field, "not an expression", fix, expression)
    try:
        jmespath.compile(expression)
    except JMESPathError:
        raise MappingError(field, "not a valid jmespath expression", fix, expression) from None


def _selector(expression: str | None) -> Selector:
    if expression is None:
        return lambda record: None
    if _PLAIN_PATH.fullmatch(expression):
        return _path_selector(tuple(expression.split(".")))
    search: Selector = jmespath.compile(expression).search
    return search


def _path_selector(path: tuple[str, ...]) -> Selector:
    # Ten times faster than jmespath, and the same answer.
    def select(record: object) -> object:
        for name in path:
            if not isinstance(record, dict):
                return None
            record = record.get(name)
        return record

    return select
