"""The two kinds of invoices of the simulated portal: how each is asked for and paid, and what is true of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from airflow_b24.sandbox import invoices, person, seed, smart_invoices
from airflow_b24.sandbox.funnel import FAILURE, SUCCESS
from airflow_b24.sandbox.invoice import Invoice
from airflow_b24.sandbox.smart_invoice import SmartInvoice
from airflow_b24.sandbox.stage_moves import move
from airflow_b24.sandbox.state import MOSCOW, Caller, State
from tests.simulation.funnels import FUNNELS, NOBODY, PARTS
from tests.simulation.history import Key, Shown
from tests.simulation.payers import Bill

TODAY = date(2026, 11, 20)
BORN = datetime(2026, 11, 1, 10, tzinfo=MOSCOW)
# A method, the kind of invoice it is about, and which of its arguments says which one.
Methods = Mapping[str, tuple[str, str]]
PAYS: Methods = {"sale.paysystem.pay.invoice": ("legacy", "INVOICE_ID"), "crm.item.update": ("smart", "id")}
GETS: Methods = {"crm.invoice.get": ("legacy", "id"), "crm.item.get": ("smart", "id")}
LISTS: Methods = {"crm.invoice.list": ("legacy", "ID"), "crm.item.list": ("smart", "id")}
HISTORY = "crm.stagehistory.list"
GET_OF = {kind: method for method, (kind, _) in GETS.items()}


def empty_portal() -> State:
    """A portal of our own without invoices: users, companies, pay systems, funnels."""
    state = seed.portal(TODAY)
    state.settings.rate_limit = False
    state.funnels = dict(FUNNELS)
    return state


STATE = empty_portal()
US = Caller(STATE.users[seed.TECHNICAL], frozenset({"crm", "pay_system"}), "technical")
COLUMNS = {"legacy": invoices.columns(STATE), "smart": smart_invoices.columns(STATE)}
MOVERS = {seed.TECHNICAL: "us", NOBODY: "nobody"}


def asked_for(methods: Methods, method: str, arguments: Mapping[str, Any]) -> Key:
    """The invoice that a call is about."""
    kind, name = methods[method]
    return kind, int(arguments[name])


def last_paid(invoice_id: int, stages: Collection[str], records: int) -> str:
    """The newest of the first `records` of the history with which the invoice came to one of these stages."""
    for record in reversed(STATE.stage_history[:records]):
        if record.owner_id == invoice_id and record.stage_id in stages:
            return str(record.id)
    return ""


def is_partial(arguments: Mapping[str, Any]) -> bool:
    """Whether a call moves an invoice to where it waits for the rest of its money."""
    return arguments.get("fields", {}).get("stageId") in PARTS


def begin_anew(kinds: tuple[str, ...], *, is_hidden: bool) -> None:
    """Another world begins; `is_hidden`: people do not see its legacy invoices any more, REST still does."""
    STATE.invoices, STATE.smart_invoices, STATE.stage_history = {}, {}, []
    STATE.settings.legacy_invoices = "legacy" in kinds and not is_hidden
    STATE.settings.smart_invoices = "smart" in kinds


def table(kind: str) -> dict[int, Any]:
    return STATE.invoices if kind == "legacy" else STATE.smart_invoices  # type: ignore[return-value]


def find(key: Key) -> Any:
    return table(key[0]).get(key[1])


def put(bill: Bill) -> None:
    """A fresh invoice, sent to the customer and unpaid."""
    table(bill.kind)[bill.id] = _legacy(bill) if bill.kind == "legacy" else _smart(bill)


def _legacy(bill: Bill) -> Invoice:
    return Invoice(
        bill.id,
        bill.number,
        Decimal(bill.minor).scaleb(-2),
        currency=bill.currency,
        topic="Оплата услуг",
        status_id="S",
        pay_system_id=seed.BILL_SYSTEM,
        billed_on=bill.billed_on,
        inserted_at=BORN,
        status_at=BORN,
        status_by=seed.ACCOUNTANT,
        company_id=bill.company,
        my_company_id=seed.OWN_COMPANY,
    )


def _smart(bill: Bill) -> SmartInvoice:
    invoice = SmartInvoice(
        bill.id,
        bill.number,
        Decimal(bill.minor).scaleb(-2),
        currency=bill.currency,
        title="Оплата услуг",
        category_id=bill.funnel,
        billed_on=bill.billed_on,
        created_at=BORN,
        company_id=bill.company,
        my_company_id=seed.OWN_COMPANY,
        custom={} if bill.lacks else dict.fromkeys(STATE.smart_fields, "17"),
    )
    funnel = FUNNELS[bill.funnel]
    for stage in funnel.stages[:2]:
        move(STATE, invoice, stage, seed.ACCOUNTANT, BORN)
    return invoice


def edit(key: Key, document: Mapping[str, Any], now: datetime) -> None:
    """What a person does on the invoice's page."""
    does = person.edit_invoice if key[0] == "legacy" else person.edit_smart_invoice
    does(STATE, key[1], {"by": seed.ACCOUNTANT, **document}, now)


def shown(now: float, by: str, what: str, key: Key, also_paid: frozenset[str]) -> Shown:
    """What is true of the invoice now."""
    invoice = find(key)
    if invoice is None:
        return Shown(now, by, what, key, False, False, 0, "", "", None, "", "", "", True)
    truth = _truth(invoice) if key[0] == "legacy" else _smart_truth(invoice, also_paid)
    return Shown(
        at=now,
        by=by,
        what=what,
        invoice=key,
        price=int(invoice.price * 100),
        currency=invoice.currency,
        number=invoice.number,
        company=invoice.company_id,
        gone=False,
        **truth,
    )


def _truth(invoice: Invoice) -> dict[str, Any]:
    return {
        "paid": invoice.paid,
        "cancelled": invoice.cancelled,
        "voucher_number": invoice.voucher_number,
        "voucher_day": str(invoice.voucher_date or ""),
        "paid_on": _paid_on(invoice),
    }


def _paid_on(invoice: Invoice) -> str:
    """The day it was marked paid; a later edit moves the date of the payment, but not that of the status."""
    days = [moment.date() for moment in (invoice.paid_at, invoice.status_at) if moment]
    return str(min(days)) if invoice.paid_at else ""


def _smart_truth(invoice: SmartInvoice, also_paid: frozenset[str]) -> dict[str, Any]:
    """A stage of success, or one to which a robot has moved it on from there; whom a robot works as is all it tells."""
    meant = {each.id: each.semantics for each in FUNNELS[invoice.category_id].stages}
    success = {each for each, semantics in meant.items() if semantics == SUCCESS} | also_paid
    mover = MOVERS.get(invoice.moved_by or NOBODY, "person")
    cancelled = meant[invoice.stage_id] == FAILURE
    was_paid, stands = invoice.previous_stage_id in success, invoice.stage_id in success
    on = not stands and not cancelled and last_paid(invoice.id, success, len(STATE.stage_history)) != ""
    # Where parts wait for the rest nothing is paid, whoever moved it there.
    paid = stands or (on and mover != "person" and invoice.stage_id not in PARTS)
    ending = next(each for each in FUNNELS[invoice.category_id].stages if each.semantics == SUCCESS)
    return {
        "paid": paid,
        "cancelled": cancelled,
        "voucher_number": "",
        "voucher_day": "",
        # From one stage of success to another, or out of it, it was moved; when it was paid nobody tells.
        "paid_on": str(invoice.moved_at.date()) if stands and not was_paid and invoice.moved_at else "",
        "mover": mover,
        "moved_on": on,
        "lacks": not all(invoice.custom.get(name) for name in ending.required),
    }
