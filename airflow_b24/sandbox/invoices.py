"""The methods crm.invoice.*."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from operator import attrgetter
from typing import Any

from airflow_b24.sandbox.invoice import FIELDS, Invoice
from airflow_b24.sandbox.listing import Column, Columns, Result, page
from airflow_b24.sandbox.php import either_case, items, to_int, to_text
from airflow_b24.sandbox.state import State, Turn, User
from airflow_b24.sandbox.values import read, read_money, write
from airflow_b24.sandbox.wire import RestError

_NOBODY = User(0, "", "")


def columns(state: State) -> Columns:
    """What crm.invoice.list can select, filter and order by."""
    named = {name: Column(field.kind, attrgetter(field.attribute)) for name, field in FIELDS.items()}
    custom = {name: Column("text", _custom(name)) for name in state.custom_fields}
    return named | _responsible(state) | custom


def _custom(name: str) -> Callable[[Invoice], str]:
    return lambda invoice: invoice.custom.get(name, "")


def _responsible(state: State) -> dict[str, Column]:
    def of(attribute: str) -> Callable[[Invoice], str]:
        return lambda invoice: str(getattr(state.users.get(invoice.responsible_id or 0, _NOBODY), attribute))

    return {
        "RESPONSIBLE_NAME": Column("text", of("name")),
        "RESPONSIBLE_LAST_NAME": Column("text", of("last_name")),
    }


def _require(turn: Turn, right: str) -> None:
    # source-derived: crm.invoice.* answers 400 with an empty code, not 403.
    if right not in turn.caller.user.invoice_rights:
        raise RestError(400, "", "Access denied.")


def list_(turn: Turn) -> Result:
    """crm.invoice.list."""
    _require(turn, "read")
    rows = list(turn.state.invoices.values())
    # source-derived: for legacy invoices start=-1 answers total = rows returned.
    return page(rows, columns(turn.state), turn.arguments, turn.state.zone, counts_fast=True)


def get(turn: Turn) -> Result:
    """crm.invoice.get."""
    invoice = _find(turn, "read")
    known = columns(turn.state)
    row: dict[str, Any] = {
        name: write(column.value(invoice), column.kind, turn.state.zone) for name, column in known.items()
    }
    extras = {"PR_LOCATION": "", "INVOICE_PROPERTIES": invoice.properties or [], "PRODUCT_ROWS": invoice.product_rows}
    return Result(row | extras)


def _find(turn: Turn, right: str) -> Invoice:
    invoice_id = to_int(either_case(turn.arguments, "id"))
    if invoice_id <= 0:
        raise RestError(400, "", "Invalid identifier.")
    _require(turn, right)
    if invoice_id not in turn.state.invoices:
        raise RestError(400, "", "Not found.")
    return turn.state.invoices[invoice_id]


def _fields(turn: Turn) -> dict[str, Any]:
    fields = either_case(turn.arguments, "fields")
    if not isinstance(fields, Mapping):
        raise RestError(400, "", "Invalid parameters.")
    return {str(name).upper(): value for name, value in fields.items()}


def update(turn: Turn) -> Result:
    """crm.invoice.update: the fields are merged over the invoice, which is then saved whole."""
    invoice = _find(turn, "update")
    fields = _fields(turn)
    status_id = to_text(fields.get("STATUS_ID", invoice.status_id))
    _check(turn.state, invoice, fields, status_id)
    _merge(turn.state, invoice, fields)
    invoice.save(status_id, turn.state.sorts(), turn.caller.user.id, turn.now.astimezone(turn.state.zone))
    return Result(invoice.id)


def add(turn: Turn) -> Result:
    """crm.invoice.add: returns the new id; an empty ACCOUNT_NUMBER is numbered by the portal."""
    _require(turn, "add")
    fields = _fields(turn)
    state, now = turn.state, turn.now.astimezone(turn.state.zone)
    invoice_id = max(state.invoices, default=0) + 1
    user = turn.caller.user.id
    invoice = Invoice(invoice_id, str(invoice_id), Decimal(0), inserted_at=now, created_by=user, responsible_id=user)
    if not to_text(fields.get("ORDER_TOPIC")):
        raise _invalid("ORDER_TOPIC is required")
    if not items(fields.get("PRODUCT_ROWS")):
        raise _invalid("PRODUCT_ROWS is required")
    fields = {name: value for name, value in fields.items() if name != "ACCOUNT_NUMBER" or to_text(value)}
    status_id = to_text(fields.get("STATUS_ID") or "N")
    _check(state, invoice, fields, status_id)
    _merge(state, invoice, fields)
    invoice.save(status_id, state.sorts(), user, now)
    state.invoices[invoice_id] = invoice
    return Result(invoice_id)


def _check(state: State, invoice: Invoice, fields: Mapping[str, Any], status_id: str) -> None:
    number = to_text(fields.get("ACCOUNT_NUMBER", invoice.number))
    sorts = state.sorts()
    if not number or state.number_is_taken(number, invoice.id):
        raise _invalid("ACCOUNT_NUMBER is empty or already used")
    if status_id not in sorts:
        raise _invalid("STATUS_ID is not a known status")
    # source-derived: the voucher number's length is only checked when the status is a success.
    if sorts["P"] <= sorts[status_id] < sorts["D"] and len(to_text(fields.get("PAY_VOUCHER_NUM"))) > 20:
        raise _invalid("PAY_VOUCHER_NUM is too long")


def _invalid(reason: str) -> RestError:
    # source-derived: a pending application exception overrides the code; each text ends "<br />\n".
    return RestError(400, "ERROR_CORE", f"{reason}<br />\n")


def _merge(state: State, invoice: Invoice, fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        field = FIELDS.get(name)
        if name in state.custom_fields:
            invoice.custom[name] = to_text(value)
        if field is None or not field.writable or name == "STATUS_ID":
            continue
        setattr(invoice, field.attribute, _read(state, field.kind, value, field.size))
    if isinstance(fields.get("INVOICE_PROPERTIES"), Mapping):
        invoice.properties.update({key: to_text(value) for key, value in fields["INVOICE_PROPERTIES"].items()})
    if items(fields.get("PRODUCT_ROWS")):
        invoice.product_rows = [dict(row) for _, row in items(fields["PRODUCT_ROWS"]) if isinstance(row, Mapping)]
        invoice.price = sum((_sum(row) for row in invoice.product_rows), Decimal(0)).quantize(Decimal("0.01"))


def _read(state: State, kind: str, value: Any, size: int) -> object:
    if kind in {"date", "datetime"} and not to_text(value):
        return None
    try:
        found = read(value, kind, state.zone)
    except ValueError:
        return None
    return found[:size] if isinstance(found, str) and size else found


def _sum(row: Mapping[str, Any]) -> Decimal:
    return read_money(row.get("PRICE", 0)) * read_money(row.get("QUANTITY", 1))
