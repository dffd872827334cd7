"""Seed data: a portal ready for paying invoices, and the demo's day on top of it.

The credentials are fixed and public, because nothing behind them is real: each webhook path is `/rest/<user>/<secret>/`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from airflow_b24.sandbox.bank import OWN_ACCOUNT, Bank
from airflow_b24.sandbox.companies import COMPANY
from airflow_b24.sandbox.funnel import SUCCESS
from airflow_b24.sandbox.invoice import Invoice
from airflow_b24.sandbox.methods import ALL_SCOPES
from airflow_b24.sandbox.scenarios import COMPANIES, SCENARIOS, UNPAID, Bill, End, Scenario
from airflow_b24.sandbox.seed_funnels import CONTRACT, FUNNELS, STANDARD
from airflow_b24.sandbox.smart_invoice import SmartInvoice
from airflow_b24.sandbox.stage_moves import move
from airflow_b24.sandbox.state import MOSCOW, Application, Handler, PaySystem, State, Token, User, Webhook

ADMINISTRATOR, ACCOUNTANT, TECHNICAL, READER = 1, 2, 9, 11
ADMIN_SECRET = "sandboxadmin00000000001"  # noqa: S105 - public, see above
TECHNICAL_SECRET = "sandboxtechnical0000001"  # noqa: S105
CRM_ONLY_SECRET = "sandboxcrmonly000000001"  # noqa: S105
READER_SECRET = "sandboxreader0000000001"  # noqa: S105
ACCESS_TOKEN = "q7vtk2xw9mzr4bdj8hnc3pfs6gly5a01"  # noqa: S105
EXPIRED_TOKEN = "w3jnd8ckz5rhx9vqt2mbf7pgs4ly6e02"  # noqa: S105
REFRESH_TOKEN = "k9zgp4xtb7mwv2cnr6hdj3fqs8ly5r03"  # noqa: S105
CLIENT_ID = "app.sandbox00000000.00000001"
CLIENT_SECRET = "sandboxclientsecret0000000000001"  # noqa: S105
BANK_API_KEY = "sandboxbankapikey0000001"

OWN_COMPANY = 7
HANDLER = "airflowbank"
REST_SYSTEM, BILL_SYSTEM, GATEWAY_SYSTEM, ORDER_SYSTEM = 31, 6, 32, 33


@dataclass(frozen=True, slots=True)
class Expectation:
    """How the story of one payment must end; `kind` and `invoice_id` are the invoice it is about, if there is just one."""

    scenario: str
    payment_id: str
    end: End
    invoice_id: int | None
    kind: str


@dataclass(frozen=True, slots=True)
class SmartBill:
    """A smart invoice in short; without a stage it was sent to the customer, `state` sets further attributes."""

    id: int
    number: str
    price: str
    company_id: int
    days_ago: int
    funnel_id: int = STANDARD
    stage_id: str = ""
    state: Mapping[str, Any] = field(default_factory=dict)


def _payment_id(index: int) -> str:
    return f"B{index + 1:04d}"


def _expectation(index: int, scenario: Scenario) -> Expectation:
    invoice_id = scenario.bills[0].id if len(scenario.bills) == 1 else None
    kind = "smart" if scenario.bills and scenario.bills[0].funnel_id is not None else "legacy"
    return Expectation(scenario.name, _payment_id(index), scenario.end, invoice_id, kind)


DEMO: tuple[Expectation, ...] = tuple(_expectation(index, scenario) for index, scenario in enumerate(SCENARIOS))


def webhook_path(user_id: int = TECHNICAL, secret: str = TECHNICAL_SECRET) -> str:
    """The path of a webhook, to be put behind the portal's address."""
    return f"/rest/{user_id}/{secret}/"


def portal(today: date) -> State:
    """A portal with users, credentials, pay systems of each kind, funnels and companies, but no invoices."""
    state = State(zone=MOSCOW, bank=Bank(BANK_API_KEY), smart_fields={CONTRACT: "Договор"})
    state.funnels = {funnel.id: funnel for funnel in FUNNELS}
    _people(state, today)
    _pay_systems(state)
    _companies(state)
    return state


def _people(state: State, today: date) -> None:
    people = (
        User(ADMINISTRATOR, "Анна", "Администратор", admin=True, crm_admin=True),
        User(ACCOUNTANT, "Ольга", "Бухгалтер"),
        User(TECHNICAL, "Airflow", "Робот"),
        User(READER, "Павел", "Читатель", invoice_rights=frozenset({"read"})),
    )
    state.users = {user.id: user for user in people}
    pay_scopes = frozenset({"crm", "pay_system"})
    state.webhooks = [
        Webhook(ADMINISTRATOR, ADMIN_SECRET, frozenset(ALL_SCOPES)),
        Webhook(TECHNICAL, TECHNICAL_SECRET, pay_scopes),
        Webhook(TECHNICAL, CRM_ONLY_SECRET, frozenset({"crm"})),
        Webhook(READER, READER_SECRET, pay_scopes),
    ]
    good, past = _at(today + timedelta(days=365)), _at(today - timedelta(days=1))
    tokens = ((ACCESS_TOKEN, good), (EXPIRED_TOKEN, past))
    state.tokens = {value: Token(value, TECHNICAL, pay_scopes, until) for value, until in tokens}
    state.application = Application(CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN, TECHNICAL, pay_scopes)


def _pay_systems(state: State) -> None:
    codes = {"REST_SERVICE_ID": {"NAME": "Номер магазина", "SORT": "100"}, "PAYMENT_PAID": _provided("PAID")}
    form = {"ACTION_URI": "https://127.0.0.1/", "METHOD": "POST"}
    handler = Handler(1, "Банк через Airflow", HANDLER, settings={"FORM_DATA": form, "CODES": codes})
    state.handlers = {HANDLER: handler}
    systems = (
        PaySystem(BILL_SYSTEM, "Счёт (Россия)", "bill"),
        PaySystem(REST_SYSTEM, "Банк через Airflow", HANDLER, active=False, xml_id="airflow_b24"),
        PaySystem(GATEWAY_SYSTEM, "ЮKassa", "yandexcheckout"),
        PaySystem(ORDER_SYSTEM, "Оплата заказов", HANDLER, registry="ORDER", person_type_id=4),
    )
    state.pay_systems = {system.id: system for system in systems}


def _provided(value: str) -> dict[str, object]:
    preset = {"PROVIDER_KEY": "PAYMENT", "PROVIDER_VALUE": value}
    return {"NAME": value, "SORT": "200", "GROUP": "PAYMENT", "DEFAULT": preset}


def _companies(state: State) -> None:
    own = ("ООО «Ромашка»", "7700000070")
    for company_id, (title, tax_id) in {OWN_COMPANY: own, **COMPANIES}.items():
        mine = "Y" if company_id == OWN_COMPANY else "N"
        owner = {"ENTITY_TYPE_ID": COMPANY, "ENTITY_ID": str(company_id)}
        state.companies.append({"ID": str(company_id), "TITLE": title, "IS_MY_COMPANY": mine, "CURRENCY_ID": "RUB"})
        names = {"ID": str(200 + company_id), "NAME": title, "RQ_COMPANY_NAME": title, "RQ_INN": tax_id}
        state.requisites.append(owner | names)
    account = {"ID": "1", "ENTITY_ID": str(200 + OWN_COMPANY), "NAME": "Расчётный счёт", "RQ_ACC_NUM": OWN_ACCOUNT}
    state.bank_details.append(account | {"RQ_BIK": "044525000", "RQ_ACC_CURRENCY": "RUB"})


def demo(today: date) -> State:
    """The demo's day: open invoices, a bank statement in which everything happens that can, and its faults."""
    state = portal(today)
    for index, scenario in enumerate(SCENARIOS):
        _add_invoices(state, scenario.bills, today)
        state.bank.records.append(_record(_payment_id(index), scenario, today))
        state.faults.rules.extend(scenario.faults)
    again = [record for record, story in zip(state.bank.records, SCENARIOS, strict=True) if story.deliveries > 1]
    state.bank.records.extend(again)
    _add_invoices(state, UNPAID, today)
    return state


def _add_invoices(state: State, bills: Iterable[Bill], today: date) -> None:
    for bill in bills:
        if bill.funnel_id is None:
            state.invoices[bill.id] = _invoice(bill, today)
        else:
            _add_smart(state, bill, bill.funnel_id, today)


def _add_smart(state: State, bill: Bill, funnel_id: int, today: date) -> None:
    facts = (bill.id, _number(bill, today), bill.price, bill.company_id, bill.days_ago, funnel_id, bill.stage_id)
    invoice = add_smart_invoice(state, SmartBill(*facts, bill.state), today)
    if bill.paid_days_ago is not None:
        funnel = state.funnels[funnel_id]
        move(state, invoice, funnel.ending(SUCCESS), ACCOUNTANT, _at(today - timedelta(days=bill.paid_days_ago)))


def _invoice(bill: Bill, today: date) -> Invoice:
    billed = today - timedelta(days=bill.days_ago)
    invoice = Invoice(
        bill.id,
        _number(bill, today),
        Decimal(bill.price),
        topic="Оплата услуг",
        status_id="S",
        pay_system_id=BILL_SYSTEM,
        billed_on=billed,
        pay_before=billed + timedelta(days=14),
        inserted_at=_at(billed),
        status_at=_at(billed),
        status_by=ACCOUNTANT,
        company_id=bill.company_id,
        my_company_id=OWN_COMPANY,
    )
    for name, value in bill.state.items():
        setattr(invoice, name, value)
    if bill.paid_days_ago is not None:
        _pay_by_hand(invoice, today - timedelta(days=bill.paid_days_ago))
    return invoice


def _pay_by_hand(invoice: Invoice, day: date) -> None:
    invoice.status_id, invoice.paid, invoice.paid_by = "P", True, ACCOUNTANT
    invoice.paid_at = invoice.status_at = invoice.updated_at = _at(day)
    invoice.voucher_date = day


def _number(bill: Bill, today: date) -> str:
    # Each kind has ids of its own, and people see numbers alone.
    number = bill.id if bill.funnel_id is None else 400 + bill.id
    return f"{(today - timedelta(days=bill.days_ago)).year}/{number}"


def add_smart_invoice(state: State, bill: SmartBill, today: date) -> SmartInvoice:
    """Add a smart invoice that the accountant entered in its funnel so many days ago."""
    billed, funnel = today - timedelta(days=bill.days_ago), state.funnels[bill.funnel_id]
    invoice = SmartInvoice(bill.id, bill.number, Decimal(bill.price), title=f"Счёт {bill.number}")
    invoice.category_id, invoice.company_id, invoice.my_company_id = funnel.id, bill.company_id, OWN_COMPANY
    invoice.billed_on, invoice.pay_before, invoice.created_at = billed, billed + timedelta(days=14), _at(billed)
    invoice.created_by = invoice.assigned_to = ACCOUNTANT
    for name, value in bill.state.items():
        setattr(invoice, name, value)
    move(state, invoice, funnel.first, ACCOUNTANT, _at(billed))
    sent = sorted(funnel.stages, key=lambda stage: stage.sort)[1]
    move(state, invoice, funnel.stage(bill.stage_id) or sent, ACCOUNTANT, _at(billed))
    state.smart_invoices[invoice.id] = invoice
    return invoice


def _record(payment_id: str, scenario: Scenario, today: date) -> dict[str, object]:
    title, tax_id = COMPANIES[scenario.company_id]
    account = f"40702810{scenario.company_id:012d}"
    words = {f"n{place}": _number(bill, today) for place, bill in enumerate(scenario.bills)}
    for place, bill in enumerate(scenario.bills):
        words[f"d{place}"] = f"{today - timedelta(days=bill.days_ago):%d.%m.%Y}"
    return {
        "id": payment_id,
        "account": OWN_ACCOUNT,
        "amount": scenario.amount,
        "currency": "RUB",
        "booked_on": (today - timedelta(days=scenario.days_ago)).isoformat(),
        "direction": scenario.direction,
        "status": scenario.status,
        "payer": {"name": title, "tax_id": tax_id if scenario.knows_tax_id else "", "account": account},
        "document_number": scenario.document or str(1000 + int(payment_id[1:])),
        "purpose": scenario.purpose.format(**words),
    }


def _at(day: date) -> datetime:
    return datetime.combine(day, time(10), MOSCOW)
