"""One smart invoice: its fields as crm.item.* knows them, and everything that can happen to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from airflow_b24.sandbox.invoice import Field

# docs: smart invoices are CRM items of this type, with ids of their own.
ENTITY_TYPE = 31


@dataclass(frozen=True, slots=True)
class SmartPay:
    """One REST call that set, or set again, an invoice's stage or a document of it paid."""

    at: datetime
    by: int
    method: str
    document_id: int | None = None


@dataclass(frozen=True, slots=True)
class StageRecord:
    """One line of the stage history; `type_id` is 1 for creation, 2 on the way, 3 at an end."""

    id: int
    type_id: int
    owner_id: int
    at: datetime
    category_id: int
    semantics: str
    stage_id: str


@dataclass(slots=True)
class SmartInvoice:
    """A row of the portal's books; `executed_pays` is what a portal would never tell."""

    id: int
    number: str
    price: Decimal
    currency: str = "RUB"
    title: str = ""
    category_id: int = 0
    stage_id: str = ""
    previous_stage_id: str = ""
    manual_price: bool = True
    tax: Decimal = Decimal(0)
    company_id: int | None = None
    contact_id: int | None = None
    contact_ids: list[int] = field(default_factory=list)
    my_company_id: int | None = None
    billed_on: date | None = None
    pay_before: date | None = None
    comments: str = ""
    source_id: str = ""
    source_description: str = ""
    location_id: int | None = None
    xml_id: str = ""
    assigned_to: int | None = 1
    created_by: int | None = 1
    updated_by: int | None = 1
    moved_by: int | None = 1
    created_at: datetime | None = None
    updated_at: datetime | None = None
    moved_at: datetime | None = None
    opened: bool = True
    deal_id: int | None = None
    quote_id: int | None = None
    observers: list[int] = field(default_factory=list)
    custom: dict[str, str] = field(default_factory=dict)
    executed_pays: list[SmartPay] = field(default_factory=list)

    def edit(self, values: Mapping[str, object], by: int, now: datetime) -> None:
        """Take over new values; only what really changes anything moves the date of the change."""
        changed = {name: value for name, value in values.items() if getattr(self, name) != value}
        for name, value in changed.items():
            setattr(self, name, value)
        if changed:
            self.updated_by, self.updated_at = by, now

    def move(self, stage_id: str, by: int, now: datetime) -> None:
        """Enter another stage."""
        self.previous_stage_id, self.stage_id = self.stage_id, stage_id
        self.moved_by = self.updated_by = by
        self.moved_at = self.updated_at = now


# docs: crm.item.fields for entityTypeId 31. `link` is the id of something that may be missing.
FIELDS: Mapping[str, Field] = {
    "id": Field("id", "int"),
    "xmlId": Field("xml_id", writable=True, size=255),
    "title": Field("title", writable=True, size=255),
    "accountNumber": Field("number", writable=True, size=100),
    "stageId": Field("stage_id"),
    "previousStageId": Field("previous_stage_id"),
    "categoryId": Field("category_id", "int"),
    "opportunity": Field("price", "money", writable=True),
    "isManualOpportunity": Field("manual_price", "flag", writable=True),
    "taxValue": Field("tax", "money"),
    "currencyId": Field("currency", writable=True, size=3),
    "companyId": Field("company_id", "link", writable=True),
    "contactId": Field("contact_id", "link", writable=True),
    "contactIds": Field("contact_ids", "list", writable=True),
    "mycompanyId": Field("my_company_id", "link", writable=True),
    "begindate": Field("billed_on", "date", writable=True),
    "closedate": Field("pay_before", "date", writable=True),
    "comments": Field("comments", writable=True),
    "sourceId": Field("source_id", writable=True, size=50),
    "sourceDescription": Field("source_description", writable=True),
    "locationId": Field("location_id", "int", writable=True),
    "assignedById": Field("assigned_to", "int", writable=True),
    "createdBy": Field("created_by", "int"),
    "updatedBy": Field("updated_by", "int"),
    "movedBy": Field("moved_by", "int"),
    "createdTime": Field("created_at", "datetime"),
    "updatedTime": Field("updated_at", "datetime"),
    "movedTime": Field("moved_at", "datetime"),
    "opened": Field("opened", "flag", writable=True),
    "parentId2": Field("deal_id", "int", writable=True),
    "parentId7": Field("quote_id", "int", writable=True),
    "observers": Field("observers", "list", writable=True),
}
