"""Everything the sandbox knows: the portal's tables, its settings, the bank, the faults and the journal."""

from __future__ import annotations

from collections import deque
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone

from airflow_b24.sandbox.bank import Bank
from airflow_b24.sandbox.bucket import Bucket
from airflow_b24.sandbox.faults import Faults, Rule
from airflow_b24.sandbox.funnel import Funnel, Stage
from airflow_b24.sandbox.invoice import Invoice
from airflow_b24.sandbox.operating import OperatingTime
from airflow_b24.sandbox.payment_document import PaymentDocument
from airflow_b24.sandbox.php import Arguments
from airflow_b24.sandbox.settings import Settings
from airflow_b24.sandbox.smart_invoice import SmartInvoice, StageRecord

MOSCOW = timezone(timedelta(hours=3))
JOURNAL_LENGTH = 2000


@dataclass(frozen=True, slots=True)
class User:
    """An employee; `invoice_rights` holds any of read, add, update, `closed_stages` are closed to moves by it."""

    id: int
    name: str
    last_name: str
    admin: bool = False
    crm_admin: bool = False
    invoice_rights: frozenset[str] = frozenset({"read", "add", "update"})
    closed_stages: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Webhook:
    """An incoming webhook; its secret is its password."""

    user_id: int
    secret: str = field(repr=False)
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Token:
    """An OAuth access token of an application."""

    value: str = field(repr=False)
    user_id: int
    scopes: frozenset[str]
    expires_at: datetime


@dataclass(slots=True)
class Application:
    """The portal's one OAuth application, with the refresh token that is good now."""

    client_id: str
    client_secret: str = field(repr=False)
    refresh_token: str = field(repr=False)
    user_id: int
    scopes: frozenset[str]
    refreshes: int = 0


@dataclass(frozen=True, slots=True)
class Handler:
    """A REST payment handler: what makes a pay system really pay."""

    id: int
    name: str
    code: str
    sort: int = 100
    settings: Arguments = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PaySystem:
    """A pay system; its kind (rest, bill, gateway) follows from `action_file`."""

    id: int
    name: str
    action_file: str
    registry: str = "CRM_INVOICE"
    person_type_id: int = 2
    active: bool = True
    sort: int = 100
    xml_id: str = ""
    description: str = ""
    settings: Arguments = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Status:
    """An invoice status; its sort relative to P and D decides what it means."""

    id: str
    name: str
    sort: int
    system: bool
    semantics: str = ""


STATUSES = (
    Status("N", "Черновик", 100, system=True),
    Status("S", "Отправлен клиенту", 110, system=False),
    Status("P", "Оплачен", 130, system=True, semantics="S"),
    Status("D", "Не оплачен", 140, system=True, semantics="F"),
)


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment in the timeline of anything; `entity_type` is deal, company, dynamic_31, ..."""

    id: int
    entity_type: str
    entity_id: int
    text: str
    by: int
    at: datetime


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One REST request, without anything secret; status 0 means the connection was cut."""

    at: datetime
    method: str
    status: int
    error: str = ""
    duration_s: float = 0.0
    commands: int = 0


@dataclass(slots=True)
class State:
    """The whole sandbox; every change to it happens inside one request."""

    settings: Settings = field(default_factory=Settings)
    zone: timezone = MOSCOW
    users: dict[int, User] = field(default_factory=dict)
    webhooks: list[Webhook] = field(default_factory=list)
    tokens: dict[str, Token] = field(default_factory=dict, repr=False)
    application: Application | None = None
    invoices: dict[int, Invoice] = field(default_factory=dict)
    custom_fields: tuple[str, ...] = ()
    statuses: tuple[Status, ...] = STATUSES
    smart_invoices: dict[int, SmartInvoice] = field(default_factory=dict)
    # The title of each custom field of smart invoices, by its name in REST.
    smart_fields: dict[str, str] = field(default_factory=dict)
    funnels: dict[int, Funnel] = field(default_factory=dict)
    stage_history: list[StageRecord] = field(default_factory=list)
    payment_documents: dict[int, PaymentDocument] = field(default_factory=dict)
    comments: list[Comment] = field(default_factory=list)
    handlers: dict[str, Handler] = field(default_factory=dict)
    pay_systems: dict[int, PaySystem] = field(default_factory=dict)
    companies: list[dict[str, str]] = field(default_factory=list)
    requisites: list[dict[str, str]] = field(default_factory=list)
    bank_details: list[dict[str, str]] = field(default_factory=list)
    bank: Bank = field(default_factory=Bank)
    faults: Faults = field(default_factory=Faults)
    bucket: Bucket = field(default_factory=Bucket)
    operating: OperatingTime = field(default_factory=OperatingTime)
    journal: deque[JournalEntry] = field(default_factory=lambda: deque(maxlen=JOURNAL_LENGTH))
    requests: int = 0
    refused: int = 0

    def sorts(self) -> dict[str, int]:
        """The sort of each invoice status."""
        return {status.id: status.sort for status in self.statuses}

    def number_is_taken(self, number: str, invoice_id: int) -> bool:
        """Whether another legacy invoice has this account number."""
        return any(each.number == number and each.id != invoice_id for each in self.invoices.values())

    def smart_number_is_taken(self, number: str, invoice_id: int) -> bool:
        """Whether another smart invoice has this account number."""
        return any(each.number == number and each.id != invoice_id for each in self.smart_invoices.values())

    def stage(self, invoice: SmartInvoice) -> Stage | None:
        """The stage that a smart invoice is in, if its funnel has it."""
        funnel = self.funnels.get(invoice.category_id)
        return funnel.stage(invoice.stage_id) if funnel else None

    def comments_on(self, entity_type: str, entity_id: int) -> list[Comment]:
        """The timeline of one thing."""
        return [each for each in self.comments if (each.entity_type, each.entity_id) == (entity_type, entity_id)]

    def double_paid(self) -> int:
        """How many invoices, legacy and smart, were paid through REST more than once."""
        every: list[Invoice | SmartInvoice] = [*self.invoices.values(), *self.smart_invoices.values()]
        return sum(len(invoice.executed_pays) > 1 for invoice in every)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and with which scopes; `credential` is a label, never the secret."""

    user: User
    scopes: frozenset[str]
    credential: str
    application: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """One execution of one method, in portal time."""

    state: State
    caller: Caller
    arguments: Arguments
    now: datetime
    fault: Rule | None = None

    def acted(self) -> Turn:
        """The same turn; where a fault says `unpaid`, one on copies, so that its answer tells of what is not stored."""
        # A fault injected by a test, not documented for smart invoices.
        if self.fault is None or self.fault.kind != "unpaid":
            return self
        state = self.state
        invoices, documents = deepcopy(state.smart_invoices), deepcopy(state.payment_documents)
        history = list(state.stage_history)
        copied = replace(state, smart_invoices=invoices, payment_documents=documents, stage_history=history)
        return replace(self, state=copied)
