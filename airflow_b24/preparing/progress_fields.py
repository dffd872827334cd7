"""Whether the fields in which people want to see an invoice's progress are there, and can hold it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from airflow_b24.bitrix.client import Client
from airflow_b24.bitrix.errors import BitrixError
from airflow_b24.bitrix.item_fields import ItemField, read_item_fields
from airflow_b24.preparing.findings import Finding, ask, failed

PROGRESS_FIELDS: Final = "progress fields"
_SUM: Final = ("double", "string")
# docs: the types of custom fields. By what is written there, which types can hold it; an amount of money wants its currency.
FITTING: Final[Mapping[str, tuple[str, ...]]] = {
    "paid": _SUM,
    "balance": _SUM,
    "payments": ("integer", *_SUM),
    "last_paid_on": ("date", "datetime", "string"),
}
_WORDS: Final = {"double": "number", "string": "text", "integer": "whole number", "datetime": "date with time"}
_FIX: Final = "Make such a field for invoices in CRM > Settings, or name another one in extra.progress_fields."


def progress_finding(client: Client, wished: Mapping[str, str]) -> Finding:
    """Say whether each wished field of smart invoices exists, can be written, and is of a fitting type."""
    known = ask(lambda: client.run(read_item_fields()))
    if isinstance(known, BitrixError):
        return failed(PROGRESS_FIELDS, known)
    troubles = [trouble for what, name in wished.items() for trouble in _troubles(what, name, known)]
    if troubles:
        return Finding(PROGRESS_FIELDS, "problem", f"extra.progress_fields: {'; '.join(troubles)}.", _FIX)
    where = ", ".join(f"{what} in {name} ({known[name].title})" for what, name in wished.items())
    return Finding(PROGRESS_FIELDS, "ok", f"The progress of smart invoices is written: {where}.")


def _troubles(what: str, name: str, known: Mapping[str, ItemField]) -> Iterator[str]:
    field = known.get(name)
    if field is None:
        custom = ", ".join(f"{each.name} ({each.title})" for each in known.values() if each.custom)
        yield f"{what} names {name}, which smart invoices do not have (they have {custom or 'no custom fields'})"
    elif field.read_only:
        yield f"{what} names {name} ({field.title}), which is read-only"
    elif field.multiple or field.type not in FITTING[what]:
        shown = f"a list of type {field.type}" if field.multiple else f"of type {field.type}"
        fitting = " or ".join(_WORDS.get(each, each) for each in FITTING[what])
        yield f"{what} names {name} ({field.title}), which is {shown}; give one of type {fitting}"
