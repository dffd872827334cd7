"""A portal and a ledger examined: what works, what does not, and how to mend it. Nothing is changed anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import false, update
from sqlalchemy.exc import SQLAlchemyError

from airflow_b24.bitrix.client import Client
from airflow_b24.bitrix.companies import bank_accounts, requisites
from airflow_b24.bitrix.errors import AuthError, BitrixError, RequestError
from airflow_b24.bitrix.invoice import Kind
from airflow_b24.bitrix.paysystems import Profile, may_pay_invoices, profile, scopes
from airflow_b24.bitrix.stages import Wishes
from airflow_b24.ledger.errors import LedgerError
from airflow_b24.ledger.schema import portal as portal_table
from airflow_b24.ledger.store import Store
from airflow_b24.preparing.findings import Finding, ask, failed, skipped
from airflow_b24.preparing.invoice_kinds import (
    LEGACY,
    RIGHTS,
    SMART,
    Read,
    counted,
    left_out_finding,
    legacy_finding,
    read,
    smart_finding,
)
from airflow_b24.preparing.pay_system import CHECK, configured, really_pays
from airflow_b24.preparing.progress_fields import progress_finding
from airflow_b24.reconcile.desk import PaySystem
from airflow_b24.reconcile.portal import InvoiceType, PortalInvoices

__all__ = ["Finding", "examine"]


def examine(
    client: Client,
    pay_system: PaySystem | None,
    open_store: Callable[[], Store],
    invoice_type: InvoiceType = "auto",
    wishes: Wishes | None = None,
) -> list[Finding]:
    """Check portal, connection and ledger, in the order in which one depends on another. Raises nothing of theirs.

    `open_store` opens the ledger or raises LedgerError. No secret is in any text.
    """
    who = ask(lambda: client.run(profile()))
    granted = ask(lambda: client.run(scopes())) if isinstance(who, Profile) else None
    has = granted if isinstance(granted, frozenset) else frozenset()
    portal = PortalInvoices(client, invoice_type, wishes)
    asked = ask(lambda: portal.there) if "crm" in has else None
    kinds: tuple[Kind, ...] = asked if isinstance(asked, tuple) else ("legacy",)
    invoices = {kind: _read(client, portal, kind) for kind in kinds} if "crm" in has else {}
    return [
        _reachable(client, who),
        _user(who),
        _scopes(granted, kinds),
        *(_invoices(client, portal, invoices, asked) if asked else skipped("reading invoices", LEGACY, SMART)),
        *([progress_finding(client, wishes.fields)] if wishes and wishes.fields and "smart" in invoices else []),
        *(_paying(client, pay_system or PaySystem(), invoices.get("legacy"), has) if "legacy" in kinds else []),
        *_coverage(client, invoices.values()),
        _ledger(open_store),
    ]


def _read(client: Client, portal: PortalInvoices, kind: Kind) -> Read | BitrixError | str:
    try:
        return read(client, portal, kind)
    except ValueError as error:
        # A stage that the connection wishes for is not there.
        return str(error)


def _of_kind(client: Client, portal: PortalInvoices, kind: Kind, found: Read | BitrixError | str | None) -> Finding:
    if found is None:
        return left_out_finding(kind, portal.left_out(kind))
    return legacy_finding(client, _checked(found)) if kind == "legacy" else smart_finding(portal, found)


def _invoices(
    client: Client,
    portal: PortalInvoices,
    found: Mapping[Kind, Read | BitrixError | str],
    asked: tuple[Kind, ...] | BitrixError,
) -> list[Finding]:
    return [
        *([_reading(found["legacy"])] if "legacy" in found else []),
        _of_kind(client, portal, "legacy", found.get("legacy")),
        failed(SMART, asked)
        if isinstance(asked, BitrixError)
        else _of_kind(client, portal, "smart", found.get("smart")),
    ]


def _checked(found: Read | BitrixError | str | None) -> Read | None:
    return found if isinstance(found, Read) else None


def _paying(
    client: Client, chosen: PaySystem, found: Read | BitrixError | str | None, has: frozenset[str]
) -> list[Finding]:
    rights = ask(lambda: client.run(may_pay_invoices())) if "pay_system" in has else None
    invoices = _checked(found)
    probe = invoices.any if invoices and rights is True else None
    named = configured(chosen)
    pays = skipped(CHECK) if named.fix or rights is None else [really_pays(client, chosen, probe)]
    return [_right(rights), named, *pays]


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


def _scopes(granted: frozenset[str] | BitrixError | None, kinds: Sequence[Kind]) -> Finding:
    if granted is None:
        return skipped("scopes")[0]
    if isinstance(granted, BitrixError):
        return failed("scopes", granted)
    needed = {"crm", "pay_system"} if "legacy" in kinds else {"crm"}
    if missing := sorted(needed - granted):
        text = f"The webhook lacks {' and '.join(missing)}."
        return Finding("scopes", "problem", text, f"Add {' and '.join(missing)} to the webhook's permissions.")
    return Finding("scopes", "ok", f"The webhook has {' and '.join(sorted(needed))}.")


def _reading(read: Read | BitrixError | str) -> Finding:
    assert not isinstance(read, str)  # noqa: S101 - only smart invoices have stages to wish for
    if isinstance(read, (AuthError, RequestError)):
        return Finding("reading invoices", "problem", f"{failed('', read).text}", RIGHTS)
    if isinstance(read, BitrixError):
        return failed("reading invoices", read)
    return Finding("reading invoices", "ok", f"{counted(read.open, 'legacy')} can be read.")


def _right(rights: bool | BitrixError | None) -> Finding:
    if rights is None:
        return skipped("right to pay")[0]
    if isinstance(rights, BitrixError):
        return failed("right to pay", rights)
    if not rights:
        return Finding("right to pay", "problem", "The webhook's user may neither add nor update invoices.", RIGHTS)
    return Finding("right to pay", "ok", "The webhook's user may mark invoices paid.")


def _coverage(client: Client, found: Iterable[Read | BitrixError | str]) -> list[Finding]:
    read = [each for each in found if isinstance(each, Read)]
    if not read:
        return skipped("payers' tax ids", "own bank accounts")
    waiting = [invoice for each in read for invoice in each.open]
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
