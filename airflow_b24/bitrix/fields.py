"""Values of a portal's rows: texts and numbers alike, and an error that names the field for everything else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeGuard

from airflow_b24.bitrix.errors import ResponseError
from airflow_b24.bitrix.redaction import shown

UNEXPECTED_VALUE: Final = "UNEXPECTED_VALUE"


def is_rows(value: object) -> TypeGuard[list[dict[str, Any]]]:
    """Say whether it is a list of objects, as the rows of an answer are."""
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


def check_id(value: object, field_name: str) -> int:
    """Return a positive whole number, given as such or as its digits. Raises ValueError naming the field."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 10**18:
        raise ValueError(f"{field_name}: {shown(value)} is no id; give a whole number above 0")
    return value


def read_id(row: Mapping[str, Any], name: str) -> int:
    """Return an id of the portal's. Raises ResponseError."""
    try:
        return check_id(row.get(name), name)
    except ValueError:
        raise unexpected(name, "an id", row.get(name)) from None


def read_funnel_id(row: Mapping[str, Any], name: str) -> int:
    """Return a funnel's id. Raises ResponseError."""
    # docs: crm.category.list. A deal's first funnel has the id 0; nothing says that an invoice's has not.
    return 0 if row.get(name) in (0, "0") else read_id(row, name)


def read_link(row: Mapping[str, Any], name: str) -> int | None:
    """Return the id of another thing of the portal's, None when there is none. Raises ResponseError."""
    if row.get(name) in (None, "", "0", 0):
        return None
    return read_id(row, name)


def read_text(row: Mapping[str, Any], name: str) -> str:
    """Return a text; a number is one too. Raises ResponseError."""
    value = row.get(name)
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise unexpected(name, "a text", value)
    return str(value)


def read_yes_or_no(row: Mapping[str, Any], name: str) -> bool:
    """Return a flag that the portal writes as Y or N. Raises ResponseError."""
    value = row.get(name)
    if value == "Y":
        return True
    if value == "N":
        return False
    raise unexpected(name, "Y or N", value)


def read_amount(row: Mapping[str, Any], name: str) -> Decimal | None:
    """Return an amount in major units, None when it is no number that can be trusted."""
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, (str, int, Decimal)):
        return None
    try:
        amount = Decimal(value)
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and abs(amount.adjusted()) <= 18 else None


def read_currency(row: Mapping[str, Any], name: str) -> str:
    """Return a currency's code, "" when it is none."""
    value = row.get(name)
    return value if isinstance(value, str) and re.fullmatch(r"[A-Z]{3}", value) else ""


def read_moment(row: Mapping[str, Any], name: str) -> datetime | None:
    """Return an aware time, None when it is empty. Raises ResponseError."""
    value = row.get(name)
    if value is None or value == "":
        return None
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        raise unexpected(name, "an ISO time", value) from None
    if moment.tzinfo is None:
        raise unexpected(name, "an ISO time with its offset", value)
    return moment


def read_day(row: Mapping[str, Any], name: str) -> date | None:
    """Return a day of the portal's calendar, None when it is empty. Raises ResponseError."""
    value = row.get(name)
    if value is None or value == "":
        return None
    try:
        # source-derived: a date is written as that day's midnight with the portal's offset.
        return datetime.fromisoformat(str(value)).date()
    except ValueError:
        raise unexpected(name, "an ISO date", value) from None


def unexpected(name: str, expected: str, value: object) -> ResponseError:
    """Return the error for a value that is not what the documentation says."""
    return ResponseError(UNEXPECTED_VALUE, f"{name}: expected {expected}, got {str(value)[:60]!r}")
