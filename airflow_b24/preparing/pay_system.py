"""Does the connection's pay system really pay? With the usual kinds the portal answers `true` and pays nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from airflow_b24.bitrix.client import Client
from airflow_b24.bitrix.errors import BitrixError
from airflow_b24.bitrix.invoice import Invoice
from airflow_b24.bitrix.legacy_invoice import PayInvoice
from airflow_b24.bitrix.paysystems import (
    INVOICE_REGISTRY,
    Handler,
    invoice_pay_system_ids,
    invoice_settings,
    pay_systems,
)
from airflow_b24.bitrix.paysystems import PaySystem as Registered
from airflow_b24.bitrix.paysystems import handlers as read_handlers
from airflow_b24.preparing.findings import SETUP, Finding, ask, failed
from airflow_b24.reconcile.desk import PaySystem

CHECK: Final = "it really pays"

_AS_ADMINISTRATOR: Final = "Run this once with a connection whose webhook is a CRM administrator's."
_DOES_NOTHING: Final = "the portal would answer true and pay nothing"


def configured(chosen: PaySystem) -> Finding:
    """Say whether a pay system is named at all, in a form that can be sent."""
    if chosen == PaySystem():
        text = "The connection's extra names none: only tasks which name one themselves can pay."
        return Finding("pay system", "problem", text, SETUP)
    try:
        PayInvoice(1, chosen.pay_system_id, chosen.bx_rest_handler)
    except ValueError as error:
        return Finding("pay system", "problem", f"extra.{error}.", SETUP)
    return Finding("pay system", "ok", f"The connection names {_named(chosen)}.")


def _named(chosen: PaySystem) -> str:
    if chosen.pay_system_id is not None:
        return f"pay system {chosen.pay_system_id}"
    return f"the REST handler {chosen.bx_rest_handler!r}"


def really_pays(client: Client, chosen: PaySystem, invoice: Invoice | None) -> Finding:
    """Look at the pay system, if the portal lets us; else try it on an invoice, without paying.

    `invoice` is any one which may be asked about, None when there is none, or no right to pay.
    """
    known = ask(lambda: (client.run(pay_systems()), client.run(read_handlers())))
    if not isinstance(known, BitrixError):
        return _as_listed(chosen, *known)
    if known.code != "ACCESS_DENIED":
        return failed(CHECK, known)
    if invoice is None:
        text = "Only an administrator may list pay systems, and there is no invoice on which this user may try one."
        return Finding(CHECK, "not checkable", text, _AS_ADMINISTRATOR)
    return _as_probed(client, chosen, invoice)


def _as_listed(chosen: PaySystem, systems: Sequence[Registered], handlers: Mapping[str, Handler]) -> Finding:
    if chosen.pay_system_id is not None:
        meant = [system for system in systems if system.id == chosen.pay_system_id]
    else:
        # source-derived: the portal takes the first one with this handler, in no stated order.
        meant = [system for system in systems if system.handler == chosen.bx_rest_handler]
    faults = [_fault(system, handlers) for system in meant if not system.can_pay_invoices(handlers)]
    if not meant or faults:
        return Finding(CHECK, "problem", " ".join(faults) or f"No pay system is {_named(chosen)}.", SETUP)
    return Finding(CHECK, "ok", f"{meant[0].name!r} is built on a REST handler, for invoices.")


def _fault(system: Registered, handlers: Mapping[str, Handler]) -> str:
    if system.handler not in handlers:
        return f"Pay system {system.id} is built on {system.handler!r}, which is no REST handler: {_DOES_NOTHING}."
    return f"Pay system {system.id} belongs to {system.registry}, not to {INVOICE_REGISTRY}: it cannot pay invoices."


def _as_probed(client: Client, chosen: PaySystem, invoice: Invoice) -> Finding:
    pay = PayInvoice(invoice.id, chosen.pay_system_id, chosen.bx_rest_handler)
    answer = ask(lambda: client.run(invoice_settings(pay)))
    if isinstance(answer, BitrixError):
        return _refused_probe(chosen, answer)
    for_invoices = ask(lambda: client.run(invoice_pay_system_ids()))
    if not isinstance(for_invoices, BitrixError) and chosen.pay_system_id in for_invoices:
        return Finding(CHECK, "ok", "It is built on a REST handler, for invoices.")
    text = f"It is built on a REST handler; whether it is for invoices ({INVOICE_REGISTRY}) is not shown to this user."
    return Finding(CHECK, "not checkable", text, _AS_ADMINISTRATOR)


def _refused_probe(chosen: PaySystem, error: BitrixError) -> Finding:
    if error.code == "ACCESS_DENIED":
        # source-derived: with rights on invoices, which were checked before, only such a system is refused.
        text = f"{_named(chosen)} is not built on a REST handler (or is another app's): {_DOES_NOTHING}."
        return Finding(CHECK, "problem", text[0].upper() + text[1:], SETUP)
    if error.code in {"ERROR_CHECK_FAILURE", "ERROR_PAY_SYSTEM_NOT_FOUND"}:
        return Finding(CHECK, "problem", f"{error.description or error.code}.", SETUP)
    return failed(CHECK, error)
