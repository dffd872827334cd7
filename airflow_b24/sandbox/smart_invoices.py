"""The methods crm.item.* for smart invoices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from operator import attrgetter
from typing import Any

from airflow_b24.sandbox.funnel import SUCCESS, Funnel, Stage
from airflow_b24.sandbox.listing import Column, Columns, Dialect, Result, page
from airflow_b24.sandbox.php import is_set, items, to_int, to_text
from airflow_b24.sandbox.smart_invoice import ENTITY_TYPE, FIELDS, SmartInvoice, SmartPay
from airflow_b24.sandbox.stage_moves import move
from airflow_b24.sandbox.state import State, Turn
from airflow_b24.sandbox.values import read, write_json
from airflow_b24.sandbox.wire import RestError

_LEGACY_TYPE = 5
# not established: the order of crm.item.list where none is asked for.
_DIALECT = Dialect(("id", "ASC"), write_json, strict=True)
_LARGEST = Decimal(10) ** 15


def argument(turn: Turn, name: str) -> Any:
    """An argument that a method cannot do without; its name is case-sensitive."""
    if not is_set(turn.arguments, name):
        # docs: the code of a missing argument is 100.
        raise RestError(400, "100", f"Could not find value for parameter {{{name}}}")
    return turn.arguments[name]


def need_type(turn: Turn) -> None:
    """Refuse every entityTypeId but that of smart invoices, and that too where the portal has none."""
    asked = to_int(argument(turn, "entityTypeId"))
    if asked == _LEGACY_TYPE:
        raise RestError(400, "ENTITY_TYPE_NOT_SUPPORTED", "Entity type `INVOICE` is not supported")
    if asked != ENTITY_TYPE or not turn.state.settings.smart_invoices:
        raise RestError(400, "NOT_FOUND", "Smart process not found")


def need_right(turn: Turn, right: str) -> None:
    """Refuse who has not that right to invoices."""
    if right not in turn.caller.user.invoice_rights:
        # docs: the status is 400, unlike that of sale.*.
        raise RestError(400, "ACCESS_DENIED", "Access denied")


def columns(state: State) -> Columns:
    """What crm.item.* shows of a smart invoice."""
    named = {name: Column(field.kind, attrgetter(field.attribute)) for name, field in FIELDS.items()}
    custom = {name: Column("text", _custom(name)) for name in state.smart_fields}
    return named | {"entityTypeId": Column("int", lambda _: ENTITY_TYPE)} | custom


def _custom(name: str) -> Callable[[SmartInvoice], str]:
    return lambda invoice: invoice.custom.get(name, "")


def _item(state: State, invoice: SmartInvoice) -> Result:
    shown = {name: write_json(each.value(invoice), each.kind, state.zone) for name, each in columns(state).items()}
    return Result({"item": shown})


def find(turn: Turn, name: str, right: str) -> SmartInvoice:
    """The smart invoice that an argument names; what is not there is told before what is not allowed."""
    need_type(turn)
    invoice = turn.state.smart_invoices.get(to_int(argument(turn, name)))
    if invoice is None:
        raise RestError(400, "NOT_FOUND", "Element not found")
    need_right(turn, right)
    return invoice


def get(turn: Turn) -> Result:
    """crm.item.get."""
    return _item(turn.state, find(turn, "id", "read"))


def list_(turn: Turn) -> Result:
    """crm.item.list: unlike the legacy one it refuses a filter that it cannot read."""
    need_type(turn)
    need_right(turn, "read")
    rows = list(turn.state.smart_invoices.values())
    # docs: start=-1 counts nothing, and total is 0.
    found = page(rows, columns(turn.state), turn.arguments, turn.state.zone, dialect=_DIALECT)
    return replace(found, value={"items": found.value})


def update(turn: Turn) -> Result:
    """crm.item.update: the fields are merged over the item, and the answer is all of it."""
    turn = turn.acted()
    state, invoice = turn.state, find(turn, "id", "update")
    _need_plan(turn)
    fields = dict(items(argument(turn, "fields")))
    changes = _changes(state, invoice, fields)
    stage = _stage(turn, invoice, fields)
    _need_required(state, replace(invoice, **changes), stage)
    _save(turn, invoice, changes, stage, "crm.item.update", asked="stageId" in fields)
    return _item(state, invoice)


def add(turn: Turn) -> Result:
    """crm.item.add: an item without a number is numbered by the portal."""
    turn = turn.acted()
    need_type(turn)
    need_right(turn, "add")
    _need_plan(turn)
    state, fields = turn.state, dict(items(argument(turn, "fields")))
    invoice = _new(turn, _funnel(state, fields))
    changes = _changes(state, invoice, fields)
    stage = _stage(turn, invoice, fields) or state.funnels[invoice.category_id].first
    _need_required(state, replace(invoice, **changes), stage)
    state.smart_invoices[invoice.id] = invoice
    _save(turn, invoice, changes, stage, "crm.item.add", asked=True)
    return _item(state, invoice)


def _new(turn: Turn, funnel: Funnel) -> SmartInvoice:
    state, user, now = turn.state, turn.caller.user.id, turn.now.astimezone(turn.state.zone)
    invoice_id = max(state.smart_invoices, default=0) + 1
    invoice = SmartInvoice(invoice_id, free_number(state, invoice_id), Decimal(0), category_id=funnel.id)
    invoice.title, invoice.billed_on, invoice.created_at = f"Invoice #{invoice.number}", now.date(), now
    invoice.assigned_to = invoice.created_by = user
    return invoice


def _save(
    turn: Turn, invoice: SmartInvoice, changes: Mapping[str, Any], stage: Stage | None, method: str, *, asked: bool
) -> None:
    state, user, now = turn.state, turn.caller.user.id, turn.now.astimezone(turn.state.zone)
    invoice.edit(changes, user, now)
    succeeded = move(state, invoice, stage, user, now)
    # A success asked for again moves nothing, but it is a second pay all the same.
    if succeeded or (asked and stage and stage.semantics == SUCCESS):
        invoice.executed_pays.append(SmartPay(now, user, method))


def _need_plan(turn: Turn) -> None:
    if turn.state.settings.smart_plan_restricted:
        text = "You cannot change the item due to your plan restrictions"
        raise RestError(400, "UPDATE_DYNAMIC_ITEM_RESTRICTED", text)


def _funnel(state: State, fields: Mapping[str, Any]) -> Funnel:
    chosen = [funnel for funnel in state.funnels.values() if funnel.default]
    if is_set(fields, "categoryId"):
        chosen = [funnel for funnel in state.funnels.values() if funnel.id == to_int(fields["categoryId"])]
    if not chosen:
        raise _not_valid("categoryId")
    return chosen[0]


def _stage(turn: Turn, invoice: SmartInvoice, fields: Mapping[str, Any]) -> Stage | None:
    if "stageId" not in fields:
        return turn.state.stage(invoice)
    funnel = turn.state.funnels.get(invoice.category_id)
    stage = funnel.stage(to_text(fields["stageId"])) if funnel else None
    # A stage of another funnel is no stage of this item.
    if stage is None:
        raise _not_valid("stageId")
    if stage.id != invoice.stage_id and stage.id in turn.caller.user.closed_stages:
        raise RestError(400, "", "Insufficient permissions to change the stage")
    return stage


def _need_required(state: State, merged: SmartInvoice, stage: Stage | None) -> None:
    known = columns(state)
    empty = [name for name in (stage.required if stage else ()) if not known[name].value(merged)]
    if empty:
        # not established: how several fields share the text.
        text = "; ".join(f'Field "{state.smart_fields.get(name, name)}" is required' for name in empty)
        raise RestError(400, "CRM_FIELD_ERROR_REQUIRED", text)


def _changes(state: State, invoice: SmartInvoice, fields: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: FIELDS[name] for name in fields if name in FIELDS and FIELDS[name].writable}
    changes = {field.attribute: _read(state, name, fields[name]) for name, field in known.items()}
    changes["custom"] = invoice.custom | {name: to_text(fields[name]) for name in state.smart_fields if name in fields}
    number = str(changes.get("number", invoice.number)) or free_number(state, invoice.id)
    if state.smart_number_is_taken(number, invoice.id):
        # not established: the code for a number that another smart invoice has.
        raise RestError(400, "CRM_FIELD_ERROR_VALUE_NOT_UNIQUE", 'Field "accountNumber" must be unique')
    return changes | {"number": number}


def free_number(state: State, invoice_id: int) -> str:
    """The number that the portal gives: the id, or the next one that is free."""
    number = invoice_id
    while state.smart_number_is_taken(str(number), invoice_id):
        number += 1
    return str(number)


def _read(state: State, name: str, value: Any) -> object:
    field = FIELDS[name]
    if field.kind in {"date", "datetime"} and not to_text(value):
        return None
    try:
        found = read(value, field.kind, state.zone)
    except (ValueError, OverflowError):
        raise _not_valid(name) from None
    if isinstance(found, Decimal) and abs(found) >= _LARGEST:
        raise _not_valid(name)
    return found[: field.size] if isinstance(found, str) and field.size else found


def _not_valid(name: str) -> RestError:
    return RestError(400, "CRM_FIELD_ERROR_VALUE_NOT_VALID", f'Invalid value for field "{name}"')
