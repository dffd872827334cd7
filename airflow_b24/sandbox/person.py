"""What a person does in the portal's own pages: enter an invoice, mark it paid, cancel, reverse, edit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from airflow_b24.sandbox.invoice import FIELDS, Invoice
from airflow_b24.sandbox.php import to_text
from airflow_b24.sandbox.state import State
from airflow_b24.sandbox.values import read

_KINDS = {field.attribute: field.kind for field in FIELDS.values()}
_ACTIONS = {"pay": "P", "cancel": "D", "reverse": "N", "edit": ""}
_AMOUNT = re.compile(r"\d{1,15}(\.\d{1,2})?", re.ASCII)


def put_invoice(state: State, document: Mapping[str, Any], now: datetime) -> Invoice:
    """Add an invoice, or overwrite the one with that id; number and price are required."""
    values = _values(state, document)
    for name in ("number", "price"):
        if name not in values:
            raise ValueError(f"{name}: missing; send it as a string")
    invoice_id = values.pop("id", max(state.invoices, default=0) + 1)
    local = now.astimezone(state.zone)
    defaults: dict[str, Any] = {"topic": f"Invoice {values['number']}", "inserted_at": local, "billed_on": local.date()}
    invoice = Invoice(invoice_id, **(defaults | values))
    state.invoices[invoice_id] = invoice
    return invoice


def edit_invoice(state: State, invoice_id: int, document: Mapping[str, Any], now: datetime) -> Invoice:
    """Do what a person does in the portal: `do` is pay, cancel, reverse or edit; `fields` are new values."""
    if invoice_id not in state.invoices:
        raise LookupError(f"id: no invoice {invoice_id}")
    action = document.get("do", "edit")
    if action not in _ACTIONS:
        raise ValueError(f"do: {action!r} is unknown; use {', '.join(_ACTIONS)}")
    sent = document.get("fields") or {}
    if not isinstance(sent, Mapping):
        raise ValueError('fields: not an object; use {"price": "118.00"}')  # noqa: TRY004 - one error group for bad input
    values = _values(state, sent)
    invoice, by = state.invoices[invoice_id], document.get("by", 1)
    invoice.save(_ACTIONS[action] or invoice.status_id, state.sorts(), _employee(by), now.astimezone(state.zone))
    for name, value in values.items():
        setattr(invoice, name, value)
    return invoice


def _values(state: State, document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _value(state, name, value) for name, value in document.items()}


def _value(state: State, name: str, value: Any) -> Any:
    if name == "cancelled":
        return value is True
    if name not in _KINDS:
        raise ValueError(f"{name}: no such field; use {', '.join(sorted(_KINDS))}")
    if _KINDS[name] == "money":
        return _money(name, value)
    if value is None:
        return None
    if isinstance(value, bool):
        return value
    try:
        return read(value, _KINDS[name], state.zone)
    except ValueError:
        raise ValueError(f"{name}: {to_text(value)[:40]!r} is no date; use YYYY-MM-DD") from None


def _employee(sent: Any) -> int:
    if isinstance(sent, bool) or not isinstance(sent, int):
        raise ValueError("by: send the id of an employee as a number")  # noqa: TRY004 - one error group for bad input
    return sent


def _money(name: str, value: Any) -> Decimal:
    if not isinstance(value, str) or not _AMOUNT.fullmatch(value):
        raise ValueError(f'{name}: send an amount as a string like "118.00"')
    return Decimal(value)
