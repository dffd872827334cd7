"""Field values of the portal's REST: how each kind is written out and read in."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any

from airflow_b24.sandbox.php import items, to_int, to_text

_DAY_FIRST = ("%d.%m.%Y", "%d.%m.%Y %H:%M:%S")


def write(value: object, kind: str, zone: tzinfo) -> str:
    """A scalar as crm.invoice.* sends it: a string, empty when there is nothing."""
    # docs: bitrix scalars are strings ("PRICE":"118.00"); date-typed fields come as midnight with offset.
    if value is None:
        return ""
    if isinstance(value, bool):
        return "Y" if value else "N"
    if isinstance(value, datetime):
        return value.astimezone(zone).isoformat(timespec="seconds")
    if isinstance(value, date):
        return datetime.combine(value, time(), zone).isoformat(timespec="seconds")
    return f"{value:.2f}" if kind == "money" else str(value)


def write_json(value: Any, kind: str, zone: tzinfo) -> object:
    """A value as crm.item.* sends it: numbers as numbers, nothing as null or, for a link, as 0."""
    if kind == "link":
        return value or 0
    if value is None or kind in {"int", "list"}:
        return value
    if kind == "money":
        # docs: a JSON number, a double of PHP; both write the shortest text that reads back as the same double.
        return int(value) if value == int(value) else float(value)
    if kind == "date":
        # docs: 2024-07-23T02:00:00+02:00, which is midnight in UTC written in the portal's zone.
        return datetime.combine(value, time(), UTC).astimezone(zone).isoformat(timespec="seconds")
    return write(value, kind, zone)


def read(value: Any, kind: str, zone: tzinfo) -> object:
    """The value a client meant; a date that cannot be read raises ValueError."""
    if kind in {"int", "link"}:
        return to_int(value)
    if kind == "list":
        return [to_int(each) for _, each in items(value)]
    if kind == "flag":
        return to_text(value) == "Y"
    if kind == "money":
        return read_money(value)
    if kind in {"date", "datetime"}:
        moment = read_moment(to_text(value), zone)
        return moment.astimezone(zone).date() if kind == "date" else moment
    return to_text(value)


def read_money(value: Any) -> Decimal:
    """A number in a filter; what is no number counts as 0, as PHP casts it."""
    try:
        number = Decimal(to_text(value).strip())
    except InvalidOperation:
        return Decimal(0)
    return number if number.is_finite() else Decimal(0)


def read_moment(text: str, zone: tzinfo) -> datetime:
    """A date or a time in ISO or day-first form; without offset it is the portal's."""
    for pattern in _DAY_FIRST:
        try:
            return datetime.strptime(text.strip(), pattern).replace(tzinfo=zone)
        except ValueError:
            continue
    moment = datetime.fromisoformat(text.strip())
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def utc(moment: datetime) -> datetime:
    """The same moment in UTC, for comparing."""
    return moment.astimezone(UTC)
