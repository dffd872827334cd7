"""The method crm.item.fields: what the fields of a smart invoice are."""

from __future__ import annotations

import re

from airflow_b24.sandbox.listing import Column, Result
from airflow_b24.sandbox.smart_invoice import FIELDS
from airflow_b24.sandbox.smart_invoices import columns, need_right, need_type
from airflow_b24.sandbox.state import State, Turn

_KINDS = {
    "text": "string",
    "money": "double",
    "flag": "boolean",
    "link": "integer",
    "int": "integer",
    "list": "integer",
}
_TYPES = {
    "stageId": "crm_status",
    "previousStageId": "crm_status",
    "categoryId": "crm_category",
    "comments": "text",
    "currencyId": "crm_currency",
    "companyId": "crm_company",
    "mycompanyId": "crm_company",
    "contactId": "crm_contact",
    **dict.fromkeys(("assignedById", "createdBy", "updatedBy", "movedBy", "observers"), "user"),
}


def fields(turn: Turn) -> Result:
    """crm.item.fields."""
    need_type(turn)
    need_right(turn, "read")
    described = {name: _described(turn.state, name, column) for name, column in columns(turn.state).items()}
    return Result({"fields": described})


def _described(state: State, name: str, column: Column) -> dict[str, object]:
    field, custom = FIELDS.get(name), name in state.smart_fields
    writable = custom or name in {"stageId", "categoryId"} or bool(field and field.writable)
    # docs: crm.item.fields.
    return {
        "type": _TYPES.get(name, _KINDS.get(column.kind, column.kind)),
        "isRequired": False,
        "isReadOnly": not writable,
        "isImmutable": name == "entityTypeId",
        "isMultiple": column.kind == "list",
        "isDynamic": custom,
        "title": state.smart_fields.get(name, name),
        "upperName": re.sub(r"(?<=[a-z])(?=[A-Z0-9])", "_", name).upper(),
    }
