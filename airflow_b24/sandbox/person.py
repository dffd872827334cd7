"""What a person does in the portal's own pages: enter an invoice, mark it paid, cancel, reverse, edit, set up funnels."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from airflow_b24.sandbox.funnel import FAILURE, SUCCESS, Funnel, Stage, read_funnel
from airflow_b24.sandbox.invoice import FIELDS, Invoice
from airflow_b24.sandbox.payment_document import PaymentDocument
from airflow_b24.sandbox.payment_documents import new_document
from airflow_b24.sandbox.php import to_text
from airflow_b24.sandbox.smart_invoice import FIELDS as SMART_FIELDS
from airflow_b24.sandbox.smart_invoice import SmartInvoice
from airflow_b24.sandbox.stage_moves import last_open, move
from airflow_b24.sandbox.state import State
from airflow_b24.sandbox.values import read

_KINDS = {field.attribute: field.kind for field in FIELDS.values()} | {"cancelled": "yes"}
_SMART_KINDS = {field.attribute: field.kind for field in SMART_FIELDS.values()} | {"custom": "custom"}
_DOCUMENT_KINDS = {"id": "int", "invoice_id": "int", "pay_system_id": "int", "sum": "money", "paid": "yes", "by": "by"}
_ACTIONS = {"pay": "P", "cancel": "D", "reverse": "N", "edit": ""}
_ORDER = ("do", "by", "fields")
_FIELD = re.compile(r"ufCrm_?[0-9A-Za-z_]{1,40}", re.ASCII)
_AMOUNT = re.compile(r"\d{1,15}(\.\d{1,2})?", re.ASCII)


def put_invoice(state: State, document: Mapping[str, Any], now: datetime) -> Invoice:
    """Add an invoice, or overwrite the one with that id; number and price are required."""
    values = _values(state, document, _KINDS, "number", "price")
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
    action, values, by = _order(state, document, _KINDS)
    invoice = state.invoices[invoice_id]
    invoice.save(_ACTIONS[action] or invoice.status_id, state.sorts(), by, now.astimezone(state.zone))
    for name, value in values.items():
        setattr(invoice, name, value)
    return invoice


def put_smart_invoice(state: State, document: Mapping[str, Any], now: datetime) -> SmartInvoice:
    """Add a smart invoice, or overwrite the one with that id; without a stage it enters its funnel's first one."""
    values = _values(state, document, _SMART_KINDS, "number", "price")
    invoice_id = values.pop("id", None) or max(state.smart_invoices, default=0) + 1
    _need_free_number(state, values["number"], invoice_id)
    funnel = _funnel(state, values.pop("category_id", None))
    stage = _stage(funnel, values.pop("stage_id", None) or funnel.first.id)
    born = values.get("created_at") or now.astimezone(state.zone)
    defaults: dict[str, Any] = {"title": f"Invoice {values['number']}", "created_at": born, "billed_on": born.date()}
    invoice = SmartInvoice(invoice_id, category_id=funnel.id, **(defaults | values))
    move(state, invoice, stage, invoice.created_by or 0, born)
    state.smart_invoices[invoice_id] = invoice
    return invoice


def edit_smart_invoice(state: State, invoice_id: int, document: Mapping[str, Any], now: datetime) -> SmartInvoice:
    """Do what a person does: pay and cancel move it to its funnel's end, reverse to the last stage before."""
    if invoice_id not in state.smart_invoices:
        raise LookupError(f"id: no smart invoice {invoice_id}")
    action, values, by = _order(state, document, _SMART_KINDS)
    for name in ("id", "category_id"):
        if name in values:
            raise ValueError(f"{name}: stays as it is; add another smart invoice instead")
    invoice, local = state.smart_invoices[invoice_id], now.astimezone(state.zone)
    _need_free_number(state, values.get("number", invoice.number), invoice_id)
    funnel = _funnel(state, invoice.category_id)
    stage = _stage(funnel, values.pop("stage_id", None) or invoice.stage_id)
    stages = {"pay": funnel.ending(SUCCESS), "cancel": funnel.ending(FAILURE), "reverse": last_open(state, invoice)}
    invoice.edit(values | {"custom": invoice.custom | values.get("custom", {})}, by, local)
    move(state, invoice, stages.get(action, stage), by, local)
    return invoice


def _need_free_number(state: State, number: str | None, invoice_id: int) -> None:
    if not number or state.smart_number_is_taken(number, invoice_id):
        raise ValueError(f"number: {to_text(number)[:40]!r} is empty or another smart invoice's; choose a free one")


def _funnel(state: State, funnel_id: int | None) -> Funnel:
    for funnel in state.funnels.values():
        if funnel.id == funnel_id or (funnel_id is None and funnel.default):
            return funnel
    raise ValueError(f"category_id: no funnel {funnel_id}; use one of {sorted(state.funnels)}")


def _stage(funnel: Funnel, stage_id: str) -> Stage:
    stage = funnel.stage(stage_id)
    if stage is None:
        known = ", ".join(each.id for each in funnel.stages)
        raise ValueError(f"stage_id: {stage_id[:40]!r} is no stage of funnel {funnel.id}; use {known}")
    return stage


def put_payment_document(state: State, document: Mapping[str, Any], now: datetime) -> PaymentDocument:
    """Add a payment document to a smart invoice, or change the one with that id."""
    values = _values(state, document, _DOCUMENT_KINDS, *(() if "id" in document else ("invoice_id",)))
    if "invoice_id" in values and values["invoice_id"] not in state.smart_invoices:
        raise ValueError(f"invoice_id: no smart invoice {values['invoice_id']}; add it first")
    if "id" in values and values["id"] not in state.payment_documents:
        raise ValueError(f"id: no payment document {values['id']}; leave it out to add one")
    changed = state.payment_documents[values["id"]] if "id" in values else new_document(state, values["invoice_id"])
    changed.amount = values.get("sum", changed.amount)
    changed.pay_system_id = values.get("pay_system_id", changed.pay_system_id)
    if values.get("paid", changed.paid):
        changed.pay(values.get("by", 1), now.astimezone(state.zone))
    else:
        changed.unpay()
    return changed


def put_funnel(state: State, document: Mapping[str, Any]) -> Funnel:
    """Add a funnel of smart invoices, or overwrite the one with that id; exactly one is the default."""
    names = {name for name, field in SMART_FIELDS.items() if field.writable} | set(state.smart_fields)
    others = [each for each in state.funnels.values() if each.id != document.get("id")]
    funnel = read_funnel(document, names, default=not any(each.default for each in others))
    for invoice in state.smart_invoices.values():
        if invoice.category_id == funnel.id and not funnel.stage(invoice.stage_id):
            raise ValueError(f"stages: smart invoice {invoice.id} is in {invoice.stage_id}; keep it or move it first")
    if funnel.default:
        state.funnels.update({each.id: replace(each, default=False) for each in others})
    state.funnels[funnel.id] = funnel
    return funnel


def put_smart_field(state: State, document: Mapping[str, Any]) -> Mapping[str, str]:
    """Add a text field of smart invoices, or rename the one of that name; returns all of them, by name, with their titles."""
    if unknown := sorted(set(document) - {"name", "title"}):
        raise ValueError(f"{unknown[0]}: no such field; use name, title")
    name, title = document.get("name"), document.get("title", "")
    if not isinstance(name, str) or not _FIELD.fullmatch(name):
        raise ValueError(
            f'name: {to_text(name)[:40]!r} is no custom field; write UF_CRM_PAID as "ufCrm_PAID", as crm.item.* does'
        )
    if not isinstance(title, str):
        raise ValueError("title: send what people call the field as a string")  # noqa: TRY004 - one error group for bad input
    state.smart_fields[name] = title or name
    return state.smart_fields


def _order(state: State, document: Mapping[str, Any], kinds: Mapping[str, str]) -> tuple[str, dict[str, Any], int]:
    if unknown := document.keys() - _ORDER:
        name = min(unknown)
        raise ValueError(f'{name}: use {", ".join(_ORDER)}; new values go into fields: {{"fields": {{"{name}": ...}}}}')
    action = document.get("do", "edit")
    if action not in _ACTIONS:
        raise ValueError(f"do: {action!r} is unknown; use {', '.join(_ACTIONS)}")
    sent = document.get("fields") or {}
    if not isinstance(sent, Mapping):
        raise ValueError('fields: not an object; use {"price": "118.00"}')  # noqa: TRY004 - one error group for bad input
    return action, _values(state, sent, kinds), _employee(document.get("by", 1))


def _values(state: State, document: Mapping[str, Any], kinds: Mapping[str, str], *required: str) -> dict[str, Any]:
    values = {name: _value(state, name, value, kinds) for name, value in document.items()}
    for name in required:
        if name not in values:
            raise ValueError(f"{name}: missing; send it as a {'number' if kinds[name] == 'int' else 'string'}")
    return values


def _value(state: State, name: str, value: Any, kinds: Mapping[str, str]) -> Any:
    if name not in kinds:
        raise ValueError(f"{name}: no such field; use {', '.join(sorted(kinds))}")
    readers: dict[str, Callable[[], Any]] = {
        "yes": lambda: value is True,
        "by": lambda: _employee(value),
        "money": lambda: _money(name, value),
        "custom": lambda: _custom(state, value),
    }
    if kinds[name] in readers:
        return readers[kinds[name]]()
    if value is None or isinstance(value, bool):
        return value
    try:
        return read(value, kinds[name], state.zone)
    except ValueError:
        raise ValueError(f"{name}: {to_text(value)[:40]!r} is no date; use YYYY-MM-DD") from None


def _custom(state: State, sent: Any) -> dict[str, str]:
    if not isinstance(sent, Mapping) or not set(sent) <= set(state.smart_fields):
        raise ValueError(f"custom: send an object of {', '.join(state.smart_fields) or 'nothing, there are no fields'}")
    return {str(name): to_text(value) for name, value in sent.items()}


def _employee(sent: Any) -> int:
    if isinstance(sent, bool) or not isinstance(sent, int):
        raise ValueError("by: send the id of an employee as a number")  # noqa: TRY004 - one error group for bad input
    return sent


def _money(name: str, value: Any) -> Decimal:
    if not isinstance(value, str) or not _AMOUNT.fullmatch(value):
        raise ValueError(f'{name}: send an amount as a string like "118.00"')
    return Decimal(value)
