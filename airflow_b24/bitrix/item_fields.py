"""The fields of smart invoices as the portal describes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from airflow_b24.bitrix.errors import ResponseError
from airflow_b24.bitrix.fields import UNEXPECTED_VALUE, read_text
from airflow_b24.bitrix.flows import Flow, call
from airflow_b24.bitrix.stages import SMART_INVOICE

_METHOD: Final = "crm.item.fields"


@dataclass(frozen=True, slots=True)
class ItemField:
    """One field: its `title` is what people call it, `type` the portal's own word; `custom` if people have made it."""

    name: str
    title: str
    type: str
    read_only: bool
    multiple: bool
    custom: bool


def read_item_fields() -> Flow[Mapping[str, ItemField]]:
    """Read what fields smart invoices have, by name, in one request. Raises BitrixError; repeating is safe."""
    # docs: the page of crm.item.fields
    result = (yield from call(_METHOD, {"entityTypeId": SMART_INVOICE})).result
    fields = result.get("fields") if isinstance(result, dict) else None
    if not isinstance(fields, dict) or not all(isinstance(each, dict) for each in fields.values()):
        raise ResponseError(UNEXPECTED_VALUE, "fields: expected an object of objects", method=_METHOD)
    return {name: _field(name, each) for name, each in fields.items()}


def _field(name: str, row: Mapping[str, object]) -> ItemField:
    return ItemField(
        name=name,
        title=read_text(row, "title"),
        type=read_text(row, "type"),
        read_only=row.get("isReadOnly") is True,
        multiple=row.get("isMultiple") is True,
        custom=row.get("isDynamic") is True,
    )
