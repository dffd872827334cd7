"""A portal and a ledger examined: what works, what does not, and how to mend it. Nothing is changed anywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal, TypeVar

from sqlalchemy import false, update
from sqlalchemy.exc import SQLAlchemyError

from airflow_b24.bitrix.client import Client
from airflow_b24.bitrix.companies import bank_accounts, requisites
from airflow_b24.bitrix.errors import ADVICE, AuthError, BitrixError, RequestError
from airflow_b24.bitrix.invoice import Invoice, PayInvoice
from airflow_b24.bitrix.invoices import invoice_listing
from airflow_b24.bitrix.paysystems import (
    INVOICE_REGISTRY,
    Handler,
    Profile,
    invoice_pay_system_ids,
    invoice_settings,
    invoice_status_types,
    may_pay_invoices,
    pay_systems,
    profile,
    scopes,
)
from airflow_b24.bitrix.paysystems import PaySystem as Registered
from airflow_b24.bitrix.paysystems import handlers as read_handlers
from airflow_b24.ledger.errors import LedgerError
from airflow_b24.ledger.schema import portal as portal_table
from airflow_b24.ledger.store import Store
from airflow_b24.reconcile.desk import PaySystem

T = TypeVar("T")
State = Literal["ok", "problem", "warning", "not checkable"]

OPEN_INVOICES_READ: Final = 500
NEEDED_SCOPES: Final = frozenset({"crm", "pay_system"})

_FIRST: Final = "Mend the findings above, then run this again."
_AS_ADMINISTRATOR: Final = "Run this once with a connection whose webhook is a CRM administrator's."
_SETUP: Final = (
    "Run `airflow b24 setup` with an administrator's webhook and put the pay system it prints into the extra."
)
_RIGHTS: Final = "Give the webhook's user read and update for invoices in CRM > Settings > Access permissions."
_OLD_INVOICES: Final = (
    "If they are in use, switch invoices (old version) on in CRM > Settings > Other > Other settings."
)
_DOES_NOTHING: Final = "the portal would answer true and pay nothing"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; `fix` is empty only when all is well."""

    check: str
    state: State
    text: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class _Invoices:
    """Open invoices, the oldest first and not all of them, and any one invoice."""

    open: Sequence[Invoice]
    any: Invoice | None


def examine(client: Client, pay_system: PaySystem | None, open_store: Callable[[], Store]) -> list[Finding]:
    """Check portal, connection and ledger, in the order in which one depends on another. Raises nothing of theirs.

    `open_store` opens the ledger or raises LedgerError. No secret is in any text.
    """
    who = _ask(lambda: client.run(profile()))
    granted = _ask(lambda: client.run(scopes())) if isinstance(who, Profile) else None
    has = granted if isinstance(granted, frozenset) else frozenset()
    read = _ask(lambda: _read(client)) if "crm" in has else None
    invoices = read if isinstance(read, _Invoices) else None
    rights = _ask(lambda: client.run(may_pay_invoices())) if "pay_system" in has else None
    return [
        _reachable(client, who),
        _user(who),
        _scopes(granted),
        _reading(read),
        _paying(rights),
        *(_kinds(client, invoices) if "crm" in has else _skipped("legacy invoices", "smart invoices")),
        _configured(pay_system),
        _really_pays(client, pay_system, invoices, rights),
        *(_coverage(client, invoices.open) if invoices else _skipped("payers' tax ids", "own bank accounts")),
        _ledger(open_store),
    ]


def _ask(question: Callable[[], T]) -> T | BitrixError:
    try:
        return question()
    except BitrixError as error:
        return error


def _read(client: Client) -> _Invoices:
    unpaid = islice(client.iterate(invoice_listing({"=PAYED": "N"})), OPEN_INVOICES_READ)
    # source-derived: a declined invoice is unpaid too, and is refused when paid.
    waiting = [invoice for invoice in unpaid if invoice.status_id != "D"]
    return _Invoices(waiting, waiting[0] if waiting else next(client.iterate(invoice_listing()), None))


def _skipped(*checks: str) -> list[Finding]:
    return [Finding(check, "not checkable", "It depends on a finding above.", _FIRST) for check in checks]


def _failed(check: str, error: BitrixError, state: State = "not checkable") -> Finding:
    said = ": ".join(part for part in (error.method, error.code, error.description) if part)
    advice = ADVICE.get(error.code, error.advice)
    # "Nothing ran: add the scope": here, where nothing was to be run, only the second half speaks.
    fix = advice.partition(": ")[2] or advice
    if "CERTIFICATE_VERIFY_FAILED" in error.description:
        fix = "put your certificate authority (a PEM file's path, or its text) into extra.ca_bundle."
    return Finding(check, state, f"{' '.join(said.split())}.", fix[0].upper() + fix[1:])


def _reachable(client: Client, who: Profile | BitrixError) -> Finding:
    if isinstance(who, BitrixError):
        return _failed("reachable", who, "problem")
    how = "with a verified certificate" if client.origin.scheme == "https" else "without TLS, on this machine"
    return Finding("reachable", "ok", f"{client.origin} answers {how}.")


def _user(who: Profile | BitrixError) -> Finding:
    if isinstance(who, BitrixError):
        return _skipped("user")[0]
    name = f"{who.id} ({who.name})"
    if who.admin:
        text = f"The webhook is of user {name}, an administrator: whoever gets hold of it may do anything."
        return Finding("user", "warning", text, "Make a webhook of a technical user with rights on invoices alone.")
    return Finding("user", "ok", f"The webhook is of user {name}, no administrator.")


def _scopes(granted: frozenset[str] | BitrixError | None) -> Finding:
    if granted is None:
        return _skipped("scopes")[0]
    if isinstance(granted, BitrixError):
        return _failed("scopes", granted)
    if missing := sorted(NEEDED_SCOPES - granted):
        text = f"The webhook lacks {' and '.join(missing)}."
        return Finding("scopes", "problem", text, f"Add {' and '.join(missing)} to the webhook's permissions.")
    return Finding("scopes", "ok", "The webhook has crm and pay_system.")


def _reading(read: _Invoices | BitrixError | None) -> Finding:
    if read is None:
        return _skipped("reading invoices")[0]
    if isinstance(read, (AuthError, RequestError)):
        return Finding("reading invoices", "problem", f"{_failed('', read).text}", _RIGHTS)
    if isinstance(read, BitrixError):
        return _failed("reading invoices", read)
    return Finding("reading invoices", "ok", f"{_count(read.open)} can be read.")


def _count(waiting: Sequence[Invoice]) -> str:
    more = "at least " if len(waiting) >= OPEN_INVOICES_READ else ""
    return f"{more}{len(waiting)} open legacy invoice{'' if len(waiting) == 1 else 's'}"


def _paying(rights: bool | BitrixError | None) -> Finding:
    if rights is None:
        return _skipped("right to pay")[0]
    if isinstance(rights, BitrixError):
        return _failed("right to pay", rights)
    if not rights:
        return Finding("right to pay", "problem", "The webhook's user may neither add nor update invoices.", _RIGHTS)
    return Finding("right to pay", "ok", "The webhook's user may mark invoices paid.")


def _kinds(client: Client, invoices: _Invoices | None) -> list[Finding]:
    types = _ask(lambda: client.run(invoice_status_types()))
    if isinstance(types, BitrixError):
        return [_failed("legacy invoices", types), _failed("smart invoices", types)]
    smart = Finding("smart invoices", "ok", "There are none.")
    if any(name.startswith("SMART_INVOICE_STAGE_") for name in types):
        text = "They are switched on, but only legacy invoices are read and paid."
        smart = Finding(smart.check, "warning", text, "Mark smart invoices paid by hand, or bill with legacy ones.")
    return [_legacy("INVOICE_STATUS" in types, exist=bool(invoices and invoices.any)), smart]


def _legacy(switched_on: bool, *, exist: bool) -> Finding:
    if switched_on:
        return Finding("legacy invoices", "ok", "They are switched on" + ("." if exist else "; there are none yet."))
    if exist:
        text = "There are some, but they are switched off: people cannot see them."
        return Finding("legacy invoices", "warning", text, _OLD_INVOICES)
    return Finding("legacy invoices", "problem", "They are switched off: there is nothing to pay.", _OLD_INVOICES)


def _configured(pay_system: PaySystem | None) -> Finding:
    chosen = pay_system or PaySystem()
    try:
        PayInvoice(1, chosen.pay_system_id, chosen.bx_rest_handler)
    except ValueError as error:
        return Finding("pay system", "problem", f"extra.{error}.", _SETUP)
    return Finding("pay system", "ok", f"The connection names {_named(chosen)}.")


def _named(chosen: PaySystem) -> str:
    if chosen.pay_system_id is not None:
        return f"pay system {chosen.pay_system_id}"
    return f"the REST handler {chosen.bx_rest_handler!r}"


def _really_pays(
    client: Client, chosen: PaySystem | None, invoices: _Invoices | None, rights: bool | BitrixError | None
) -> Finding:
    if chosen is None or _configured(chosen).fix or rights is None:
        return _skipped("it really pays")[0]
    known = _ask(lambda: (client.run(pay_systems()), client.run(read_handlers())))
    if not isinstance(known, BitrixError):
        return _as_listed(chosen, *known)
    if known.code != "ACCESS_DENIED":
        return _failed("it really pays", known)
    if rights is not True or invoices is None or invoices.any is None:
        text = "Only an administrator may list pay systems, and there is no invoice on which this user could try one."
        return Finding("it really pays", "not checkable", text, _AS_ADMINISTRATOR)
    return _as_probed(client, chosen, invoices.any)


def _as_listed(chosen: PaySystem, systems: Sequence[Registered], handlers: Mapping[str, Handler]) -> Finding:
    if chosen.pay_system_id is not None:
        meant = [system for system in systems if system.id == chosen.pay_system_id]
    else:
        # source-derived: the portal takes the first one with this handler, in no stated order.
        meant = [system for system in systems if system.handler == chosen.bx_rest_handler]
    faults = [_fault(system, handlers) for system in meant if not system.can_pay_invoices(handlers)]
    if not meant or faults:
        return Finding("it really pays", "problem", " ".join(faults) or f"No pay system is {_named(chosen)}.", _SETUP)
    return Finding("it really pays", "ok", f"{meant[0].name!r} is built on a REST handler, for invoices.")


def _fault(system: Registered, handlers: Mapping[str, Handler]) -> str:
    if system.handler not in handlers:
        return f"Pay system {system.id} is built on {system.handler!r}, which is no REST handler: {_DOES_NOTHING}."
    return f"Pay system {system.id} belongs to {system.registry}, not to {INVOICE_REGISTRY}: it cannot pay invoices."


def _as_probed(client: Client, chosen: PaySystem, invoice: Invoice) -> Finding:
    pay = PayInvoice(invoice.id, chosen.pay_system_id, chosen.bx_rest_handler)
    answer = _ask(lambda: client.run(invoice_settings(pay)))
    if isinstance(answer, BitrixError):
        return _refused_probe(chosen, answer)
    for_invoices = _ask(lambda: client.run(invoice_pay_system_ids()))
    if not isinstance(for_invoices, BitrixError) and chosen.pay_system_id in for_invoices:
        return Finding("it really pays", "ok", "It is built on a REST handler, for invoices.")
    text = f"It is built on a REST handler; whether it is for invoices ({INVOICE_REGISTRY}) is not shown to this user."
    return Finding("it really pays", "not checkable", text, _AS_ADMINISTRATOR)


def _refused_probe(chosen: PaySystem, error: BitrixError) -> Finding:
    if error.code == "ACCESS_DENIED":
        # source-derived: with rights on invoices, which were checked before, only such a system is refused.
        text = f"{_named(chosen)} is not built on a REST handler (or is another app's): {_DOES_NOTHING}."
        return Finding("it really pays", "problem", text[0].upper() + text[1:], _SETUP)
    if error.code in {"ERROR_CHECK_FAILURE", "ERROR_PAY_SYSTEM_NOT_FOUND"}:
        return Finding("it really pays", "problem", f"{error.description or error.code}.", _SETUP)
    return _failed("it really pays", error)


def _coverage(client: Client, waiting: Sequence[Invoice]) -> list[Finding]:
    if not waiting:
        text, fix = "There is no open invoice to look at.", "Run this again when there is one."
        return [Finding(check, "not checkable", text, fix) for check in ("payers' tax ids", "own bank accounts")]
    payers, own = [invoice.company_id for invoice in waiting], [invoice.my_company_id for invoice in waiting]
    tax_ids = _ask(lambda: client.run(requisites(filter(None, payers))))
    accounts = _ask(lambda: client.run(bank_accounts(filter(None, own))))
    return [
        _covered("payers' tax ids", "name a company with a tax id", payers, tax_ids),
        _covered("own bank accounts", "name our company with a bank account", own, accounts),
    ]


def _covered(
    check: str, what: str, companies: Sequence[int | None], known: Mapping[int, frozenset[str]] | BitrixError
) -> Finding:
    if isinstance(known, BitrixError):
        return _failed(check, known)
    count = sum(1 for company in companies if company and known.get(company))
    text = f"{count} of {len(companies)} open invoices {what}."
    if count:
        return Finding(check, "ok", text)
    fix = "Fill in the requisites of these companies in the CRM: without them payments cannot be proved."
    return Finding(check, "warning", text, fix)


def _ledger(open_store: Callable[[], Store]) -> Finding:
    fix = (
        "Correct [bitrix24] ledger_url, or the database behind it: while the ledger cannot be written nothing is paid."
    )
    try:
        store = open_store()
        with store.transaction() as connection:
            # Changes no row, yet a database that is read-only for us refuses it.
            connection.execute(update(portal_table).where(false()).values(id=portal_table.c.id))
    except LedgerError as error:
        return Finding("ledger", "problem", f"{error}.", fix)
    except (SQLAlchemyError, ImportError) as error:
        # The driver's own text may quote the address with its password.
        return Finding("ledger", "problem", f"It cannot be written ({type(error).__name__}).", fix)
    return Finding("ledger", "ok", f"{store.engine.url.render_as_string(hide_password=True)} can be written.")
