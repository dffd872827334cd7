"""The console: one page for people, which shows what the portal and the bank hold right now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from html import escape
from itertools import islice
from typing import Any

from airflow_b24.sandbox.faults import WHAT, Rule
from airflow_b24.sandbox.funnel import FAILURE, SUCCESS
from airflow_b24.sandbox.invoice import Invoice
from airflow_b24.sandbox.payment_documents import documents_of
from airflow_b24.sandbox.php import to_text
from airflow_b24.sandbox.sheet import STYLE, pill, row, table
from airflow_b24.sandbox.smart_invoice import SmartInvoice
from airflow_b24.sandbox.state import JournalEntry, State

REFRESH_S = 4
_SHOWN = 100


def page(state: State, now: datetime) -> str:
    """The page as HTML: no scripts, nothing from elsewhere, everything escaped."""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Sandbox: portal and bank</title>
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="refresh" content="{REFRESH_S}">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>{STYLE}</style></head><body><main>
<h1>Sandbox: portal and bank</h1>
<p>A practice portal and a practice bank on this computer. No real money, no real customers.
As of {_moment(state, now)}; this page renews itself.</p>
{_cards(state, now)}
<h2>Invoices</h2><p>What the portal's own books say, newest first.</p>{_invoices(state)}
<h2>Smart invoices</h2><p>The newer kind: an invoice is paid when it is in the success stage of its funnel.</p>
{_smart_invoices(state)}
<h2>Incoming payments</h2><p>What the bank reports, in the order it was delivered.</p>{_payments(state)}
<h2>Scripted faults</h2><p>What the next calls will meet; the first that fits counts, and is used up.</p>{_faults(state)}
<h2>Recent requests</h2><p>What programs asked the portal to do, latest first.</p>{_requests(state)}
</main></body></html>"""


def _cards(state: State, now: datetime) -> str:
    meanings = {invoice.id: _meaning(state, invoice) for invoice in state.smart_invoices.values()}
    unpaid: list[Invoice | SmartInvoice] = [each for each in state.invoices.values() if not each.paid | each.cancelled]
    unpaid += [each for each in state.smart_invoices.values() if meanings[each.id] not in {SUCCESS, FAILURE}]
    paid = sum(invoice.paid for invoice in state.invoices.values()) + list(meanings.values()).count(SUCCESS)
    double = state.double_paid()
    cards = (
        _card(str(len(unpaid)), f"unpaid invoices, {_sum(unpaid)}"),
        _card(str(paid), "paid invoices"),
        _card(str(double), "invoices paid more than once", "bad" if double else ""),
        _card(str(len(state.bank.records)), "records from the bank"),
        _card(str(state.requests), f"requests, {state.refused} refused as too many"),
        _gauge(state.bucket.level(now), state.bucket.burst),
    )
    return f'<div class="cards">{"".join(cards)}</div>'


def _gauge(level: float, burst: float) -> str:
    return (
        f'<div class="card"><b>{level:.0f} of {burst:.0f}</b><span>request allowance in use</span>'
        f'<meter min="0" max="{burst:.0f}" value="{level:.1f}"></meter></div>'
    )


def _card(figure: str, label: str, tone: str = "") -> str:
    shown = f'<span class="pill {tone}">{escape(figure)}</span>' if tone else escape(figure)
    return f'<div class="card"><b>{shown}</b><span>{escape(label)}</span></div>'


def _sum(invoices: Iterable[Invoice | SmartInvoice]) -> str:
    totals: dict[str, Decimal] = {}
    for invoice in invoices:
        totals[invoice.currency] = totals.get(invoice.currency, Decimal(0)) + invoice.price
    return ", ".join(f"{_amount(total)} {currency}" for currency, total in totals.items()) or "nothing owed"


def _amount(value: Decimal) -> str:
    return f"{value:,.2f}".replace(",", "\N{NO-BREAK SPACE}")


def _moment(state: State, at: datetime) -> str:
    return escape(at.astimezone(state.zone).strftime("%d.%m.%Y %H:%M:%S"))


def _invoices(state: State) -> str:
    heads = {"Invoice": "", "Customer": "", "Amount": "num", "State": "", "Paid on": "", "How": "", "Bank document": ""}
    names = {company.get("ID", ""): company.get("TITLE", "") for company in state.companies}
    newest = sorted(state.invoices.values(), key=lambda invoice: -invoice.id)
    rows = (_invoice(state, invoice, names) for invoice in newest[:_SHOWN])
    return table(heads, rows, "No invoices yet.")


def _invoice(state: State, invoice: Invoice, names: Mapping[str, str]) -> str:
    billed = f", of {invoice.billed_on:%d.%m.%Y}" if invoice.billed_on else ""
    voucher = f" of {invoice.voucher_date:%d.%m.%Y}" if invoice.voucher_date else ""
    return row(
        (f"{escape(invoice.number)}<br><small>id {invoice.id}{billed}</small>", "day"),
        (escape(names.get(str(invoice.company_id), "")), ""),
        (escape(f"{_amount(invoice.price)} {invoice.currency}"), "num"),
        (_state(invoice), ""),
        (_moment(state, invoice.paid_at) if invoice.paid_at else "", "day"),
        (_how(state, invoice), ""),
        (escape(invoice.voucher_number + voucher).strip(), ""),
    )


def _state(invoice: Invoice) -> str:
    if len(invoice.executed_pays) > 1:
        return pill(f"paid {len(invoice.executed_pays)} times", "bad")
    if invoice.paid:
        return pill("paid", "good")
    return pill("cancelled", "idle") if invoice.cancelled else pill("not paid", "warn")


def _how(state: State, invoice: Invoice) -> str:
    return _hand(state, invoice.paid_by, by_program=bool(invoice.executed_pays)) if invoice.paid else ""


def _hand(state: State, user_id: int | None, *, by_program: bool) -> str:
    user = state.users.get(user_id or 0)
    name = f"{user.name} {user.last_name}".strip() if user else "unknown"
    return escape(f"{'by program' if by_program else 'by hand'}, {name}")


def _meaning(state: State, invoice: SmartInvoice) -> str:
    stage = state.stage(invoice)
    return stage.semantics if stage else ""


def _smart_invoices(state: State) -> str:
    heads = {"Invoice": "", "Customer": "", "Amount": "num", "Stage": "", "Since": "", "How": "", "Documents": ""}
    names = {company.get("ID", ""): company.get("TITLE", "") for company in state.companies}
    newest = sorted(state.smart_invoices.values(), key=lambda invoice: -invoice.id)
    rows = (_smart_invoice(state, invoice, names) for invoice in newest[:_SHOWN])
    return table(heads, rows, "No smart invoices yet.")


def _smart_invoice(state: State, invoice: SmartInvoice, names: Mapping[str, str]) -> str:
    billed = f", of {invoice.billed_on:%d.%m.%Y}" if invoice.billed_on else ""
    documents = documents_of(state, invoice.id)
    paid = f"{sum(document.paid for document in documents)} of {len(documents)} paid" if documents else ""
    return row(
        (f"{escape(invoice.number)}<br><small>id {invoice.id}{billed}</small>", "day"),
        (escape(names.get(str(invoice.company_id), "")), ""),
        (escape(f"{_amount(invoice.price)} {invoice.currency}"), "num"),
        (_stage(state, invoice), ""),
        (_moment(state, invoice.moved_at) if invoice.moved_at else "", "day"),
        (_hand(state, invoice.moved_by, by_program=bool(invoice.executed_pays)), ""),
        (escape(paid), ""),
    )


def _stage(state: State, invoice: SmartInvoice) -> str:
    stage, funnel = state.stage(invoice), state.funnels.get(invoice.category_id)
    place = f"<br><small>{escape(f'{funnel.name if funnel else invoice.category_id}, {invoice.stage_id}')}</small>"
    if len(invoice.executed_pays) > 1:
        return pill(f"paid {len(invoice.executed_pays)} times", "bad") + place
    tone = {SUCCESS: "good", FAILURE: "idle"}.get(_meaning(state, invoice), "warn")
    return pill(stage.name if stage else invoice.stage_id, tone) + place


def _payments(state: State) -> str:
    heads = {"Booked on": "", "Payer": "", "Amount": "num", "Purpose": "", "Document": "", "Kind": ""}
    rows = (_payment(record) for record in state.bank.records[-_SHOWN:])
    return table(heads, rows, "The bank has nothing yet.")


def _payment(record: Mapping[str, Any]) -> str:
    payer = record.get("payer")
    name = to_text(payer.get("name")) if isinstance(payer, Mapping) else ""
    tax_id = to_text(payer.get("tax_id")) if isinstance(payer, Mapping) else ""
    incoming = record.get("direction") == "credit"
    kind = pill("money in", "good") if incoming else pill("money out", "idle")
    pending = "" if record.get("status") == "booked" else " " + pill("not booked yet", "warn")
    return row(
        (escape(to_text(record.get("booked_on"))), "day"),
        (f"{escape(name)}<br><small>{escape(tax_id)}</small>", ""),
        (escape(f"{to_text(record.get('amount'))} {to_text(record.get('currency'))}"), "num"),
        (escape(to_text(record.get("purpose"))), "text"),
        (escape(to_text(record.get("document_number"))), ""),
        (kind + pending, ""),
    )


def _faults(state: State) -> str:
    heads = {"Method": "", "Arguments": "", "What happens": "", "Calls left": "num"}
    return table(heads, map(_fault, state.faults.rules[:_SHOWN]), "None: the portal works as it should.")


def _fault(rule: Rule) -> str:
    match = ", ".join(f"{name} = {value}" for name, value in rule.match.items())
    return row(
        ("every method" if rule.method == "*" else escape(rule.method), ""),
        (escape(match), ""),
        (f"{pill(rule.kind, 'warn')}<br><small>{escape(WHAT[rule.kind])}</small>", ""),
        (str(rule.times), "num"),
    )


def _requests(state: State) -> str:
    heads = {"Time": "", "Method": "", "Outcome": "", "Took": "num"}
    rows = (_request(state, entry) for entry in islice(reversed(state.journal), 40))
    return table(heads, rows, "Nobody has asked anything yet.")


def _request(state: State, entry: JournalEntry) -> str:
    several = f" <small>{entry.commands} commands</small>" if entry.commands else ""
    fine = entry.status == 200 and not entry.error
    outcome = pill("done", "good") if fine else pill(entry.error or f"HTTP {entry.status}", "bad")
    return row(
        (_moment(state, entry.at), "day"),
        (escape(entry.method) + several, ""),
        (outcome, ""),
        (f"{entry.duration_s * 1000:.0f} ms", "num"),
    )
