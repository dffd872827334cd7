"""One legacy invoice: its fields as REST knows them, and everything that can happen to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

PAID, DECLINED = "P", "D"


@dataclass(frozen=True, slots=True)
class ExecutedPay:
    """One time a service handler really set, or set again, this invoice paid."""

    at: datetime
    by: int
    pay_system_id: int


@dataclass(slots=True)
class Invoice:
    """A row of the portal's books; `executed_pays` is what a portal would never tell."""

    id: int
    number: str
    price: Decimal
    currency: str = "RUB"
    topic: str = ""
    status_id: str = "N"
    paid: bool = False
    paid_at: datetime | None = None
    paid_by: int | None = None
    cancelled: bool = False
    status_at: datetime | None = None
    status_by: int | None = None
    tax: Decimal = Decimal("0.00")
    pay_system_id: int | None = 1
    person_type_id: int | None = 2
    voucher_number: str = ""
    voucher_date: date | None = None
    reason_marked: str = ""
    marked_at: datetime | None = None
    billed_on: date | None = None
    pay_before: date | None = None
    inserted_at: datetime | None = None
    updated_at: datetime | None = None
    created_by: int | None = 1
    responsible_id: int | None = 1
    site_id: str = "s1"
    xml_id: str = ""
    is_recurring: str = "N"
    comments: str = ""
    user_description: str = ""
    company_id: int | None = None
    contact_id: int | None = None
    my_company_id: int | None = None
    deal_id: int | None = None
    quote_id: int | None = None
    properties: dict[str, str] = field(default_factory=dict)
    product_rows: list[dict[str, Any]] = field(default_factory=list)
    custom: dict[str, str] = field(default_factory=dict)
    ps_fields: dict[str, str] = field(default_factory=dict)
    executed_pays: list[ExecutedPay] = field(default_factory=list)

    def pay_through(self, pay_system_id: int, by: int, now: datetime, ps_fields: Mapping[str, str]) -> None:
        """Pay as a service handler does: state once, pay system and voucher date every time."""
        # source-derived: PAY_SYSTEM_ID is re-bound and PAY_VOUCHER_DATE becomes the day of the call even on a repeat.
        self.pay_system_id = pay_system_id
        if not self.paid:
            self._mark_paid(by, now)
            # source-derived: an inconsistent row (status D, not cancelled) gets PAYED=Y but keeps its status.
            if self.status_id != DECLINED:
                self._move(PAID, by, now)
        self.voucher_date = now.date()
        self.updated_at = now
        self.ps_fields.update(ps_fields)
        self.executed_pays.append(ExecutedPay(now, by, pay_system_id))

    def save(self, status_id: str, sorts: Mapping[str, int], by: int, now: datetime) -> None:
        """Save as `crm.invoice.update` and the invoice form do: the sort of the status decides what it means."""
        if status_id != self.status_id:
            self._move(status_id, by, now)
        sort = sorts.get(status_id, 0)
        self.cancelled = sort >= sorts[DECLINED]
        if sorts[PAID] <= sort < sorts[DECLINED]:
            # source-derived: saving a paid invoice un-pays and re-pays it, so date and employee are reset.
            self._mark_paid(by, now)
        else:
            self.paid, self.paid_at, self.paid_by = False, None, None
        self.updated_at = now

    def _mark_paid(self, by: int, now: datetime) -> None:
        self.paid, self.paid_at, self.paid_by = True, now, by

    def _move(self, status_id: str, by: int, now: datetime) -> None:
        self.status_id, self.status_at, self.status_by = status_id, now, by


@dataclass(frozen=True, slots=True)
class Field:
    """How one REST field is kept: its attribute, its kind, and whether a client may write it."""

    attribute: str
    kind: str = "text"
    writable: bool = False
    size: int = 0


# docs: crm.invoice.fields. `kind` is text, int, money, flag, date or datetime.
FIELDS: Mapping[str, Field] = {
    "ID": Field("id", "int"),
    "ACCOUNT_NUMBER": Field("number", writable=True, size=100),
    "ORDER_TOPIC": Field("topic", writable=True, size=255),
    "STATUS_ID": Field("status_id", writable=True, size=1),
    "PAYED": Field("paid", "flag"),
    "DATE_PAYED": Field("paid_at", "datetime"),
    "EMP_PAYED_ID": Field("paid_by", "int"),
    "DATE_STATUS": Field("status_at", "datetime"),
    "EMP_STATUS_ID": Field("status_by", "int"),
    "PRICE": Field("price", "money"),
    "TAX_VALUE": Field("tax", "money"),
    "CURRENCY": Field("currency"),
    "PAY_SYSTEM_ID": Field("pay_system_id", "int", writable=True),
    "PERSON_TYPE_ID": Field("person_type_id", "int", writable=True),
    "PAY_VOUCHER_NUM": Field("voucher_number", writable=True, size=20),
    "PAY_VOUCHER_DATE": Field("voucher_date", "date", writable=True),
    "REASON_MARKED": Field("reason_marked", writable=True, size=255),
    "DATE_MARKED": Field("marked_at", "datetime", writable=True),
    "DATE_BILL": Field("billed_on", "date", writable=True),
    "DATE_PAY_BEFORE": Field("pay_before", "date", writable=True),
    "DATE_INSERT": Field("inserted_at", "datetime", writable=True),
    "DATE_UPDATE": Field("updated_at", "datetime"),
    "CREATED_BY": Field("created_by", "int"),
    "RESPONSIBLE_ID": Field("responsible_id", "int", writable=True),
    "LID": Field("site_id"),
    "XML_ID": Field("xml_id", writable=True, size=255),
    "IS_RECURRING": Field("is_recurring", writable=True, size=1),
    "COMMENTS": Field("comments", writable=True, size=2000),
    "USER_DESCRIPTION": Field("user_description", writable=True, size=2000),
    "UF_COMPANY_ID": Field("company_id", "int", writable=True),
    "UF_CONTACT_ID": Field("contact_id", "int", writable=True),
    "UF_MYCOMPANY_ID": Field("my_company_id", "int", writable=True),
    "UF_DEAL_ID": Field("deal_id", "int", writable=True),
    "UF_QUOTE_ID": Field("quote_id", "int", writable=True),
}
