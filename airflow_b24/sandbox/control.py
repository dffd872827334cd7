"""The control surface below `/sandbox/`: the portal's books, scripted faults, and doors for a person's hands."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from airflow_b24.sandbox.access import REFRESH
from airflow_b24.sandbox.bank import check_record
from airflow_b24.sandbox.faults import WHAT, Rule, read_rule
from airflow_b24.sandbox.funnel import FAILURE, SUCCESS
from airflow_b24.sandbox.invoice import FIELDS, ExecutedPay, Invoice
from airflow_b24.sandbox.knobs import change_settings
from airflow_b24.sandbox.methods import METHODS
from airflow_b24.sandbox.payment_documents import documents_of, row
from airflow_b24.sandbox.person import (
    edit_invoice,
    edit_smart_invoice,
    put_funnel,
    put_invoice,
    put_payment_document,
    put_smart_field,
    put_smart_invoice,
)
from airflow_b24.sandbox.smart_invoice import SmartInvoice, SmartPay, StageRecord
from airflow_b24.sandbox.state import Comment, JournalEntry, State
from airflow_b24.sandbox.values import write
from airflow_b24.sandbox.wire import Answer, Request, json_answer

PREFIX = "/sandbox/"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_KINDS = {field.attribute: field.kind for field in FIELDS.values()}


def trusted(request: Request) -> bool:
    """Whether a browser or tool on this machine asks: a loopback Host, and no write from another origin."""
    host = request.headers.get("host", "")
    if urlsplit(f"//{host}").hostname not in _LOOPBACK:
        return False
    if request.verb in {"GET", "HEAD"}:
        return True
    origin = request.headers.get("origin")
    site = request.headers.get("sec-fetch-site", "none")
    return (origin is None or urlsplit(origin).netloc == host) and site in {"none", "same-origin"}


def answer(state: State, request: Request, now: datetime) -> Answer:
    """Read or change the sandbox; 400 names the field and the fix, 403 is for strangers."""
    if not trusted(request):
        return json_answer({"error": "Host, Origin: only this machine may ask; use http://127.0.0.1"}, 403)
    try:
        return json_answer(_route(state, request, now))
    except LookupError as error:
        return json_answer({"error": str(error.args[0])}, 404)
    except ValueError as error:
        return json_answer({"error": str(error)}, 400)


def _route(state: State, request: Request, now: datetime) -> object:
    place = request.path.removeprefix(PREFIX).strip("/")
    head, _, tail = place.partition("/")
    if tail.isdecimal() and (request.verb, head) == ("POST", "invoices"):
        return _invoice(edit_invoice(state, int(tail), _documents(request)[0], now), state)
    if tail.isdecimal() and (request.verb, head) == ("POST", "smart-invoices"):
        return _smart_invoice(edit_smart_invoice(state, int(tail), _documents(request)[0], now), state)
    act = _PLACES.get((request.verb, place))
    if act is None:
        raise LookupError(f"{request.verb} {request.path}: no such place in the sandbox")
    return act(state, request, now)


def _faults(state: State, _: Request, __: datetime) -> object:
    return [_fault(rule) for rule in state.faults.rules]


def _fault(rule: Rule) -> dict[str, object]:
    # A rule's further fields count for some kinds alone.
    further = [field.name for field in fields(Rule)[4:] if getattr(rule, field.name) != field.default]
    names = ("kind", "method", "match", *further)
    return {name: getattr(rule, name) for name in names} | {"left": rule.times, "what": WHAT[rule.kind]}


def _add_faults(state: State, request: Request, _: datetime) -> object:
    methods = (*METHODS, "batch", REFRESH)
    state.faults.rules.extend([read_rule(rule, methods) for rule in _documents(request)])
    return {"rules": len(state.faults.rules)}


def _clear_faults(state: State, _: Request, __: datetime) -> object:
    state.faults.rules.clear()
    return {"rules": 0}


def _add_payments(state: State, request: Request, now: datetime) -> object:
    records, today = _documents(request), now.astimezone(state.zone).date()
    for record in records:
        check_record(record)
    return [state.bank.add(record, today) for record in records]


def _add_invoices(state: State, request: Request, now: datetime) -> object:
    return [_invoice(put_invoice(state, each, now), state) for each in _documents(request)]


def _add_smart_invoices(state: State, request: Request, now: datetime) -> object:
    return [_smart_invoice(put_smart_invoice(state, each, now), state) for each in _documents(request)]


def _put_payment_documents(state: State, request: Request, now: datetime) -> object:
    return [row(state, put_payment_document(state, each, now)) for each in _documents(request)]


def _put_funnels(state: State, request: Request, _: datetime) -> object:
    return [asdict(put_funnel(state, each)) for each in _documents(request)]


def _put_smart_fields(state: State, request: Request, _: datetime) -> object:
    return [put_smart_field(state, each) for each in _documents(request)][-1]


def _documents(request: Request) -> list[Mapping[str, Any]]:
    try:
        document = json.loads(request.body)
    except (ValueError, RecursionError):
        raise ValueError("body: not JSON; send one object or a list of them") from None
    listed = document if isinstance(document, list) else [document]
    if not listed or not all(isinstance(each, Mapping) for each in listed):
        raise ValueError("body: send one JSON object or a list of them")
    return listed


def books(state: State) -> dict[str, object]:
    """What really happened on the portal, which its REST would not tell."""
    invoices = [_invoice(invoice, state) for invoice in state.invoices.values()]
    smart = [_smart_invoice(invoice, state) for invoice in state.smart_invoices.values()]
    counts = {"requests": state.requests, "refused": state.refused, "double_paid": state.double_paid()}
    return {"invoices": invoices, "smart_invoices": smart, **counts}


def _invoice(invoice: Invoice, state: State) -> dict[str, object]:
    def text(attribute: str) -> str:
        return write(getattr(invoice, attribute), _KINDS[attribute], state.zone)

    plain = ("id", "number", "currency", "paid", "status_id", "cancelled", "pay_system_id", "company_id", "comments")
    return {name: getattr(invoice, name) for name in plain} | {
        "price": text("price"),
        "date_payed": text("paid_at"),
        "emp_payed_id": invoice.paid_by,
        "voucher_number": invoice.voucher_number,
        "voucher_date": text("voucher_date"),
        "ps_fields": dict(invoice.ps_fields),
        "executed_pays": len(invoice.executed_pays),
        "pays": [_entry(pay) for pay in invoice.executed_pays],
    }


def _smart_invoice(invoice: SmartInvoice, state: State) -> dict[str, object]:
    stage = state.stage(invoice)
    plain = ("id", "number", "title", "currency", "category_id", "stage_id", "previous_stage_id", "company_id")
    people = ("created_by", "updated_by", "moved_by", "comments", "custom")
    history = [record for record in state.stage_history if record.owner_id == invoice.id]
    return {name: getattr(invoice, name) for name in (*plain, *people)} | {
        "price": write(invoice.price, "money", state.zone),
        "updated_at": write(invoice.updated_at, "datetime", state.zone),
        "moved_at": write(invoice.moved_at, "datetime", state.zone),
        "paid": stage is not None and stage.semantics == SUCCESS,
        "cancelled": stage is not None and stage.semantics == FAILURE,
        "payment_documents": [row(state, document) for document in documents_of(state, invoice.id)],
        "history": [_entry(record) for record in history],
        "timeline": [_entry(comment) for comment in state.comments_on("dynamic_31", invoice.id)],
        "executed_pays": len(invoice.executed_pays),
        "pays": [_entry(pay) for pay in invoice.executed_pays],
    }


def _entry(record: JournalEntry | ExecutedPay | SmartPay | StageRecord | Comment) -> dict[str, object]:
    shown = {field.name: getattr(record, field.name) for field in fields(record)}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in shown.items()}


_PLACES: Mapping[tuple[str, str], Callable[[State, Request, datetime], object]] = {
    ("GET", "books"): lambda state, _, __: books(state),
    ("GET", "requests"): lambda state, _, __: [_entry(entry) for entry in state.journal],
    ("GET", "faults"): _faults,
    ("POST", "faults"): _add_faults,
    ("DELETE", "faults"): _clear_faults,
    ("POST", "payments"): _add_payments,
    ("POST", "invoices"): _add_invoices,
    ("POST", "smart-invoices"): _add_smart_invoices,
    ("POST", "payment-documents"): _put_payment_documents,
    ("GET", "funnels"): lambda state, _, __: [asdict(funnel) for funnel in state.funnels.values()],
    ("POST", "funnels"): _put_funnels,
    ("GET", "smart-fields"): lambda state, _, __: state.smart_fields,
    ("POST", "smart-fields"): _put_smart_fields,
    ("POST", "settings"): lambda state, request, _: change_settings(state, _documents(request)[0]),
}
