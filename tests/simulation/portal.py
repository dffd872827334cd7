"""The sandbox's portal in virtual time: its own methods, and what each invoice looked like at every moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from airflow_b24.sandbox import invoices, person, seed
from airflow_b24.sandbox.faults import Rule
from airflow_b24.sandbox.invoice import Invoice
from airflow_b24.sandbox.methods import METHODS
from airflow_b24.sandbox.state import MOSCOW, Caller, State, Turn
from tests.simulation.history import Answered, Executed, History, Shown
from tests.simulation.timeline import Timeline

TODAY = date(2026, 11, 20)
BORN = datetime(2026, 11, 1, 10, tzinfo=MOSCOW)
PAY = "sale.paysystem.pay.invoice"
GET = "crm.invoice.get"
UNPAID = Rule("unpaid")
# What the portal shows of an invoice that is not there (any more).
Row = dict[str, Any]


def empty_portal() -> State:
    """A portal of our own without invoices: users, companies, pay systems."""
    state = seed.portal(TODAY)
    state.settings.rate_limit = False
    return state


STATE = empty_portal()
US = Caller(STATE.users[seed.TECHNICAL], frozenset({"crm", "pay_system"}), "technical")
COLUMNS = invoices.columns(STATE)


class Portal:
    """One world's invoices on the shared portal; reads may show them as they were some seconds ago."""

    def __init__(self, timeline: Timeline, history: History, begins: datetime, happened: Callable[[str], None]) -> None:
        self.happened = happened
        self.timeline = timeline
        self.history = history
        self.begins = begins
        self.versions: dict[int, list[tuple[float, Row | None]]] = {}
        STATE.invoices = {}

    @property
    def now(self) -> datetime:
        return self.begins + timedelta(seconds=self.timeline.now)

    def born(self, invoice: Invoice) -> None:
        STATE.invoices[invoice.id] = invoice
        self.versions[invoice.id] = []
        self._remember(invoice.id, "born", "born")

    def shows(self, invoice_id: int, of: float) -> Row | None:
        """The row that crm.invoice.get answered at that moment."""
        versions = self.versions.get(invoice_id)
        if not versions:
            return None
        for at, row in reversed(versions):
            if at <= of:
                return row
        return versions[0][1]

    def listed(self, of: float) -> list[Row]:
        shown = (self.shows(invoice_id, of) for invoice_id in sorted(self.versions))
        return [row for row in shown if row is not None]

    def call(self, method: str, arguments: Mapping[str, Any]) -> Any:
        """Any method but a pay, as it is now. Raises RestError."""
        return METHODS[method].run(Turn(STATE, US, dict(arguments), self.now))

    def pay(
        self,
        arguments: Mapping[str, Any],
        *,
        attempt: int,
        settlement: int,
        fence: int,
        left_at: float,
        send_before: float,
        unpaid: bool,
    ) -> bool:
        """Run our pay now and note what it really did. Raises RestError."""
        invoice_id = int(arguments["INVOICE_ID"])
        invoice = STATE.invoices.get(invoice_id)
        done = len(invoice.executed_pays) if invoice else 0
        was_paid = invoice is not None and invoice.paid
        day = str(invoice.voucher_date or "") if invoice else ""
        told = METHODS[PAY].run(Turn(STATE, US, dict(arguments), self.now, UNPAID if unpaid else None)).value
        now = self.timeline.now
        assert invoice is not None
        if len(invoice.executed_pays) > done:
            price, after = int(invoice.price * 100), str(invoice.voucher_date or "")
            who = (attempt, settlement, invoice_id, fence, left_at, send_before)
            self.history.entries.append(Executed(now, *who, was_paid, price, invoice.currency, day, after))
            self._remember(invoice_id, "us", "pay")
            self.happened("executed")
        self.history.entries.append(Answered(now, attempt, settlement, invoice_id, invoice.paid))
        return bool(told)

    def edit(self, invoice_id: int, what: str, document: Mapping[str, Any]) -> None:
        """What a person does on the invoice's page."""
        if invoice_id not in STATE.invoices:
            return
        person.edit_invoice(STATE, invoice_id, {"by": seed.ACCOUNTANT, **document}, self.now)
        self._remember(invoice_id, "person", what)

    def delete(self, invoice_id: int) -> None:
        if STATE.invoices.pop(invoice_id, None) is not None:
            self._remember(invoice_id, "person", "delete")

    def _remember(self, invoice_id: int, by: str, what: str) -> None:
        now, invoice = self.timeline.now, STATE.invoices.get(invoice_id)
        row: Row | None = None
        if invoice is None:
            self.history.entries.append(
                Shown(now, by, what, invoice_id, False, False, 0, "", "", None, "", "", "", True)
            )
        else:
            row = METHODS[GET].run(Turn(STATE, US, {"id": invoice_id}, self.now)).value  # type: ignore[assignment]
            self.history.entries.append(_shown(now, by, what, invoice))
        self.versions[invoice_id].append((now, row))


def _shown(now: float, by: str, what: str, invoice: Invoice) -> Shown:
    return Shown(
        at=now,
        by=by,
        what=what,
        invoice=invoice.id,
        paid=invoice.paid,
        cancelled=invoice.cancelled,
        price=int(invoice.price * 100),
        currency=invoice.currency,
        number=invoice.number,
        company=invoice.company_id,
        voucher_number=invoice.voucher_number,
        voucher_day=str(invoice.voucher_date or ""),
        paid_on=_paid_on(invoice),
        gone=False,
    )


def _paid_on(invoice: Invoice) -> str:
    """The day it was marked paid; a later edit moves the date of the payment, but not that of the status."""
    days = [moment.date() for moment in (invoice.paid_at, invoice.status_at) if moment]
    return str(min(days)) if invoice.paid_at else ""


def bill(invoice_id: int, number: str, minor: int, currency: str, billed_on: date, company: int) -> Invoice:
    """A fresh invoice, sent to the customer and unpaid."""
    return Invoice(
        invoice_id,
        number,
        Decimal(minor).scaleb(-2),
        currency=currency,
        topic="Оплата услуг",
        status_id="S",
        pay_system_id=seed.BILL_SYSTEM,
        billed_on=billed_on,
        inserted_at=BORN,
        status_at=BORN,
        status_by=seed.ACCOUNTANT,
        company_id=company,
        my_company_id=seed.OWN_COMPANY,
    )
