"""Preparing a portal: scopes, person types, REST handlers and the pay system that can really pay.

Only a pay system built on a REST handler, of the registry CRM_INVOICE, pays an invoice: with the usual kinds (bill,
cash, ...) the portal answers `true` and does nothing. # source-derived
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from airflow_b24.bitrix.errors import AuthError, RequestError, ResponseError
from airflow_b24.bitrix.fields import UNEXPECTED_VALUE, is_rows, read_id
from airflow_b24.bitrix.flows import Flow, call
from airflow_b24.bitrix.legacy_invoice import PayInvoice

T = TypeVar("T")

INVOICE_REGISTRY: Final = "CRM_INVOICE"


@dataclass(frozen=True, slots=True)
class PersonType:
    """A kind of payer."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Handler:
    """A REST handler: what a pay system of ours is built on."""

    id: int
    code: str
    name: str


@dataclass(frozen=True, slots=True)
class PaySystem:
    """A pay system; `handler` is the code of its REST handler, or the name of a built-in kind."""

    id: int
    name: str
    handler: str
    registry: str
    active: bool
    person_type_id: int | None
    xml_id: str = ""

    def can_pay_invoices(self, handlers: Mapping[str, Handler]) -> bool:
        """Say whether it is of the kind that pays, given the REST handlers by code."""
        return self.registry == INVOICE_REGISTRY and self.handler in handlers


@dataclass(frozen=True, slots=True)
class Profile:
    """The portal user behind a webhook or token."""

    id: int
    admin: bool
    name: str


def scopes() -> Flow[frozenset[str]]:
    """Read the scopes granted to us; paying needs `pay_system`, reading `crm`."""
    result = (yield from call("scope")).result
    if not isinstance(result, list):
        raise _unexpected("scope", "a list")
    return frozenset(str(scope) for scope in result)


def profile() -> Flow[Profile]:
    """Read who we are on the portal."""
    row = (yield from call("profile")).result
    if not isinstance(row, dict):
        raise _unexpected("profile", "an object")
    name = " ".join(str(row[part]) for part in ("NAME", "LAST_NAME") if row.get(part))
    return Profile(read_id(row, "ID"), row.get("ADMIN") is True or row.get("ADMIN") == "Y", name)


def person_types() -> Flow[tuple[PersonType, ...]]:
    """Read the kinds of payers of legacy invoices."""
    return _rows("crm.persontype.list", lambda row: PersonType(read_id(row, "ID"), str(row.get("NAME") or "")))


def handlers() -> Flow[dict[str, Handler]]:
    """Read the REST handlers by code; CRM administrators only."""
    rows = yield from _rows("sale.paysystem.handler.list", _handler)
    return {row.code: row for row in rows}


def pay_systems() -> Flow[tuple[PaySystem, ...]]:
    """Read all pay systems; CRM administrators only."""
    return _rows("sale.paysystem.list", _pay_system)


def invoice_pay_system_ids() -> Flow[frozenset[int]]:
    """Read the ids of the pay systems meant for invoices; needs scope crm, and no administrator."""
    # docs: crm.paysystem.list. Whether it shows inactive ones is not established: absence proves nothing.
    rows = yield from _rows("crm.paysystem.list", lambda row: read_id(row, "ID"))
    return frozenset(rows)


def invoice_status_types() -> Flow[frozenset[str]]:
    """Read which kinds of statuses exist: INVOICE_STATUS is there only where legacy invoices are switched on.

    SMART_INVOICE_STAGE_<category> stands for smart invoices.
    """
    # source-derived: the switch is not shown anywhere else.
    names = yield from _rows("crm.status.entity.types", lambda row: str(row.get("ID") or ""))
    return frozenset(names)


def may_pay_invoices() -> Flow[bool]:
    """Say whether our user may pay legacy invoices, by a question which is refused either way and changes nothing."""
    # source-derived: rights are looked at before arguments, the same rights as those of paying.
    try:
        yield from call("sale.paysystem.settings.invoice.get")
    except RequestError as error:
        if error.code != "ERROR_CHECK_FAILURE":
            raise
        return True
    except AuthError as error:
        if error.code != "ACCESS_DENIED" or error.status != 403:
            raise
        return False
    raise _unexpected("sale.paysystem.settings.invoice.get", "a refusal of empty arguments")


def add_handler(name: str, code: str, settings: Mapping[str, object]) -> Flow[int]:
    """Register a REST handler and return its id. The portal refuses a second one of the same code."""
    arguments = {"NAME": name, "CODE": code, "SETTINGS": settings}
    return _add("sale.paysystem.handler.add", arguments)


def add_pay_system(name: str, handler: str, person_type_id: int, *, active: bool = True, xml_id: str = "") -> Flow[int]:
    """Create a pay system for legacy invoices and return its id. NOT safe to repeat: each call makes another one."""
    arguments: dict[str, object] = {
        "NAME": name,
        "BX_REST_HANDLER": handler,
        "PERSON_TYPE_ID": person_type_id,
        "ENTITY_REGISTRY_TYPE": INVOICE_REGISTRY,
        "ACTIVE": "Y" if active else "N",
    }
    if xml_id:
        arguments["XML_ID"] = xml_id
    return _add("sale.paysystem.add", arguments)


def invoice_settings(pay: PayInvoice) -> Flow[dict[str, Any]]:
    """Read a pay system's values for an invoice: it proves, without paying, that both exist and we may pay."""
    result = (yield from call("sale.paysystem.settings.invoice.get", pay.arguments)).result
    # source-derived: PHP writes an empty map as [].
    if result == []:
        return {}
    if not isinstance(result, dict):
        raise _unexpected("sale.paysystem.settings.invoice.get", "an object")
    return result


def _rows(method: str, parse: Callable[[Mapping[str, Any]], T]) -> Flow[tuple[T, ...]]:
    result = (yield from call(method)).result
    if not is_rows(result):
        raise _unexpected(method, "a list of objects")
    return tuple(parse(row) for row in result)


def _add(method: str, arguments: Mapping[str, object]) -> Flow[int]:
    response = yield from call(method, arguments, write=True)
    return read_id({"result": response.result}, "result")


def _handler(row: Mapping[str, Any]) -> Handler:
    return Handler(read_id(row, "ID"), str(row.get("CODE") or ""), str(row.get("NAME") or ""))


def _pay_system(row: Mapping[str, Any]) -> PaySystem:
    return PaySystem(
        id=read_id(row, "ID"),
        name=str(row.get("NAME") or ""),
        handler=str(row.get("ACTION_FILE") or ""),
        registry=str(row.get("ENTITY_REGISTRY_TYPE") or ""),
        active=row.get("ACTIVE") == "Y",
        person_type_id=read_id(row, "PERSON_TYPE_ID") if row.get("PERSON_TYPE_ID") not in (None, "", "0", 0) else None,
        xml_id=str(row.get("XML_ID") or ""),
    )


def _unexpected(method: str, expected: str) -> ResponseError:
    return ResponseError(UNEXPECTED_VALUE, f"expected {expected}", method=method)
