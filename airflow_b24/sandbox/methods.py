"""The table of REST methods, and the small ones which tell about the portal itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from airflow_b24.sandbox import (
    companies,
    funnels,
    invoices,
    item_fields,
    payment_documents,
    paysystems,
    smart_invoices,
    stage_history,
    statuses,
    timeline,
)
from airflow_b24.sandbox.listing import Result
from airflow_b24.sandbox.php import either_case, is_empty, to_text
from airflow_b24.sandbox.state import Turn, User
from airflow_b24.sandbox.wire import RestError

ALL_SCOPES = ("crm", "im", "pay_system", "user")


@dataclass(frozen=True, slots=True)
class Method:
    """What a method does and the scope it needs; an empty scope means any, `alone` that some portals batch it not."""

    run: Callable[[Turn], Result]
    scope: str = ""
    # How long it takes is set by kind.
    kind: Literal["read", "list", "write"] = "read"
    counts: bool = False
    alone: bool = False


def _scope(turn: Turn) -> Result:
    every = not is_empty(either_case(turn.arguments, "full"))
    return Result(list(ALL_SCOPES) if every else sorted(turn.caller.scopes))


def _person(user: User) -> dict[str, object]:
    return {"ID": str(user.id), "ADMIN": user.admin, "NAME": user.name, "LAST_NAME": user.last_name}


def _profile(turn: Turn) -> Result:
    return Result(_person(turn.caller.user) | {"PERSONAL_GENDER": "", "TIME_ZONE": ""})


def _current_user(turn: Turn) -> Result:
    return Result(_person(turn.caller.user) | {"ACTIVE": True, "EMAIL": "", "UF_DEPARTMENT": [1]})


def _is_admin(turn: Turn) -> Result:
    return Result(turn.caller.user.admin)


def _server_time(turn: Turn) -> Result:
    return Result(turn.now.astimezone(turn.state.zone).isoformat(timespec="seconds"))


def _method_get(turn: Turn) -> Result:
    name = to_text(either_case(turn.arguments, "name")).lower()
    exists = name == "batch" or name in METHODS
    scope = METHODS[name].scope if name in METHODS else ""
    return Result({"isExisting": exists, "isAvailable": exists and (not scope or scope in turn.caller.scopes)})


def _app_info(turn: Turn) -> Result:
    if not turn.caller.application:
        raise RestError(403, "ACCESS_DENIED", "Access denied! Application context required")
    return Result({"ID": 1, "CODE": "sandbox.app", "VERSION": 1, "STATUS": "L", "INSTALLED": True})


METHODS: Mapping[str, Method] = {
    "scope": Method(_scope),
    "profile": Method(_profile),
    "user.current": Method(_current_user, "user"),
    "user.admin": Method(_is_admin),
    "method.get": Method(_method_get),
    "server.time": Method(_server_time),
    "app.info": Method(_app_info),
    "crm.invoice.get": Method(invoices.get, "crm"),
    "crm.invoice.list": Method(invoices.list_, "crm", "list", counts=True),
    "crm.invoice.add": Method(invoices.add, "crm", "write"),
    "crm.invoice.update": Method(invoices.update, "crm", "write"),
    "crm.invoice.status.list": Method(statuses.invoice_list, "crm", "list"),
    "crm.item.get": Method(smart_invoices.get, "crm"),
    "crm.item.list": Method(smart_invoices.list_, "crm", "list", counts=True),
    "crm.item.add": Method(smart_invoices.add, "crm", "write"),
    "crm.item.update": Method(smart_invoices.update, "crm", "write", alone=True),
    "crm.item.fields": Method(item_fields.fields, "crm"),
    "crm.item.payment.list": Method(payment_documents.list_, "crm", "list", alone=True),
    "crm.item.payment.get": Method(payment_documents.get, "crm", alone=True),
    "crm.item.payment.add": Method(payment_documents.add, "crm", "write", alone=True),
    "crm.item.payment.pay": Method(payment_documents.pay, "crm", "write", alone=True),
    "crm.item.payment.unpay": Method(payment_documents.unpay, "crm", "write", alone=True),
    "crm.category.list": Method(funnels.list_, "crm", "list"),
    "crm.stagehistory.list": Method(stage_history.list_, "crm", "list", counts=True),
    "crm.timeline.comment.add": Method(timeline.add, "crm", "write"),
    "crm.timeline.comment.list": Method(timeline.list_, "crm", "list", counts=True),
    "crm.status.list": Method(statuses.list_, "crm", "list"),
    "crm.status.entity.types": Method(statuses.entity_types, "crm", "list"),
    "crm.company.list": Method(companies.companies, "crm", "list", counts=True),
    "crm.requisite.list": Method(companies.requisites, "crm", "list", counts=True),
    "crm.requisite.bankdetail.list": Method(companies.bank_details, "crm", "list", counts=True),
    "crm.paysystem.list": Method(paysystems.crm_list, "crm", "list"),
    "crm.persontype.list": Method(paysystems.person_types, "crm", "list"),
    "sale.paysystem.pay.invoice": Method(paysystems.pay_invoice, "pay_system", "write"),
    "sale.paysystem.pay.payment": Method(payment_documents.pay_payment, "pay_system", "write"),
    "sale.paysystem.settings.invoice.get": Method(paysystems.invoice_settings, "pay_system"),
    "sale.paysystem.list": Method(paysystems.list_, "pay_system", "list"),
    "sale.paysystem.add": Method(paysystems.add, "pay_system", "write"),
    "sale.paysystem.handler.list": Method(paysystems.handlers, "pay_system", "list"),
    "sale.paysystem.handler.add": Method(paysystems.add_handler, "pay_system", "write"),
}
