"""A portal and a ledger examined: what works, what does not, and how to mend it. Nothing is changed anywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from sqlalchemy import false, update
from sqlalchemy.exc import SQLAlchemyError

from airflow_b24.bitrix.client import Client
from airflow_b24.bitrix.companies import bank_accounts, requisites
from airflow_b24.bitrix.errors import AuthError, BitrixError, RequestError
from airflow_b24.bitrix.invoice import Invoice
from airflow_b24.bitrix.legacy_invoices import invoice_listing
from airflow_b24.bitrix.paysystems import Profile, invoice_status_types, may_pay_invoices, profile, scopes
from airflow_b24.ledger.errors import LedgerError
from airflow_b24.ledger.schema import portal as portal_table
from airflow_b24.ledger.store import Store
from airflow_b24.preparing.findings import Finding, ask, failed, skipped
from airflow_b24.preparing.pay_system import CHECK, configured, really_pays
from airflow_b24.reconcile.desk import PaySystem

__all__ = ["Finding", "examine"]

OPEN_INVOICES_READ: Final = 500
NEEDED_SCOPES: Final = frozenset({"crm", "pay_system"})

_RIGHTS: Final = "Give the webhook's user read and update for invoices in CRM > Settings > Access permissions."
_OLD_INVOICES: Final = (
    "If they are in use, switch invoices (old version) on in CRM > Settings > Other > Other settings."
)


@dataclass(frozen=True, slots=True)
class _Invoices:
    """Open invoices, the oldest first and not all of them, and any one invoice."""

    open: Sequence[Invoice]
    any: Invoice | None


def examine(client: Client, pay_system: PaySystem | None, open_store: Callable[[], Store]) -> list[Finding]:
    """Check portal, connection and ledger, in the order in which one depends on another. Raises nothing of theirs.

    `open_store` opens the ledger or raises LedgerError. No secret is in any text.
    """
    who = ask(lambda: client.run(profile()))
    granted = ask(lambda: client.run(scopes())) if isinstance(who, Profile) else None
    has = granted if isinstance(granted, frozenset) else frozenset()
    read = ask(lambda: _read(client)) if "crm" in has else None
    invoices = read if isinstance(read, _Invoices) else None
    rights = ask(lambda: client.run(may_pay_invoices())) if "pay_system" in has else None
    probe = invoices.any if invoices and rights is True else None
    chosen = pay_system or PaySystem()
    named = configured(chosen)
    return [
        _reachable(client, who),
        _user(who),
        _scopes(granted),
        _reading(read),
        _paying(rights),
        *(_kinds(client, invoices) if "crm" in has else skipped("legacy invoices", "smart invoices")),
        named,
        *(skipped(CHECK) if named.fix or rights is None else [really_pays(client, chosen, probe)]),
        *(_coverage(client, invoices.open) if invoices else skipped("payers' tax ids", "own bank accounts")),
        _ledger(open_store),
    ]


def _read(client: Client) -> _Invoices:
    unpaid = islice(client.iterate(invoice_listing({"=PAYED": "N"})), OPEN_INVOICES_READ)
    # source-derived: a declined invoice is unpaid too, and is refused when paid.
    waiting = [invoice for invoice in unpaid if invoice.status_id != "D"]
    return _Invoices(waiting, waiting[0] if waiting else next(client.iterate(invoice_listing()), None))


def _reachable(client: Client, who: Profile | BitrixError) -> Finding:
    if isinstance(who, BitrixError):
        found = failed("reachable", who, "problem")
        return replace(found, text=f"{client.origin}: {found.text}")
    how = "with a verified certificate" if client.origin.scheme == "https" else "without TLS, on this machine"
    return Finding("reachable", "ok", f"{client.origin} answers {how}.")


def _user(who: Profile | BitrixError) -> Finding:
    if isinstance(who, BitrixError):
        return skipped("user")[0]
    name = f"{who.id} ({who.name})"
    if who.admin:
        text = f"The webhook is of user {name}, an administrator: whoever gets hold of it may do anything."
        return Finding("user", "warning", text, "Make a webhook of a technical user with rights on invoices alone.")
    return Finding("user", "ok", f"The webhook is of user {name}, no administrator.")


def _scopes(granted: frozenset[str] | BitrixError | None) -> Finding:
    if granted is None:
        return skipped("scopes")[0]
    if isinstance(granted, BitrixError):
        return failed("scopes", granted)
    if missing := sorted(NEEDED_SCOPES - granted):
        text = f"The webhook lacks {' and '.join(missing)}."
        return Finding("scopes", "problem", text, f"Add {' and '.join(missing)} to the webhook's permissions.")
    return Finding("scopes", "ok", "The webhook has crm and pay_system.")


def _reading(read: _Invoices | BitrixError | None) -> Finding:
    if read is None:
        return skipped("reading invoices")[0]
    if isinstance(read, (AuthError, RequestError)):
        return Finding("reading invoices", "problem", f"{failed('', read).text}", _RIGHTS)
    if isinstance(read, BitrixError):
        return failed("reading invoices", read)
    return Finding("reading invoices", "ok", f"{_count(read.open)} can be read.")


def _count(waiting: Sequence[Invoice]) -> str:
    more = "At least " if len(waiting) >= OPEN_INVOICES_READ else ""
    return f"{more}{len(waiting)} open legacy invoice{'' if len(waiting) == 1 else 's'}"


def _paying(rights: bool | BitrixError | None) -> Finding:
    if rights is None:
        return skipped("right to pay")[0]
    if isinstance(rights, BitrixError):
        return failed("right to pay", rights)
    if not rights:
        return Finding("right to pay", "problem", "The webhook's user may neither add nor update invoices.", _RIGHTS)
    return Finding("right to pay", "ok", "The webhook's user may mark invoices paid.")


def _kinds(client: Client, invoices: _Invoices | None) -> list[Finding]:
    types = ask(lambda: client.run(invoice_status_types()))
    if isinstance(types, BitrixError):
        return [failed("legacy invoices", types), failed("smart invoices", types)]
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


def _coverage(client: Client, waiting: Sequence[Invoice]) -> list[Finding]:
    if not waiting:
        text, fix = "There is no open invoice to look at.", "Run this again when there is one."
        return [Finding(check, "not checkable", text, fix) for check in ("payers' tax ids", "own bank accounts")]
    payers, own = [invoice.company_id for invoice in waiting], [invoice.my_company_id for invoice in waiting]
    tax_ids = ask(lambda: client.run(requisites(filter(None, payers))))
    accounts = ask(lambda: client.run(bank_accounts(filter(None, own))))
    return [
        _covered("payers' tax ids", "name a company with a tax id", payers, tax_ids),
        _covered("own bank accounts", "name our company with a bank account", own, accounts),
    ]


def _covered(
    check: str, what: str, companies: Sequence[int | None], known: Mapping[int, frozenset[str]] | BitrixError
) -> Finding:
    if isinstance(known, BitrixError):
        return failed(check, known)
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
