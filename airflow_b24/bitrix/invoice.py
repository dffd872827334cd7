"""An invoice as a value, of either kind. Each kind has ids of its own: an id alone says nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple

# A payment of an order is settled as an invoice is, by its own id.
Kind = Literal["legacy", "smart", "payment"]


Mover = Literal["robot", "person"]


class InvoiceKey(NamedTuple):
    """What names an invoice on its portal: legacy (crm.invoice), smart (crm.item) and payments' ids are spaces apart."""

    kind: Kind
    id: int


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice as the portal shows it. `price` is in major units; dates are the portal's days.

    A price or currency that cannot be read is None or "": such an invoice is never paid, and still holds its number.
    `paid_by` is who marked it paid, `lacks` why that cannot be done; `paid_by_us` is None where the portal does not tell that for sure.
    """

    kind: Kind
    id: int
    number: str
    topic: str
    status_id: str
    paid: bool
    cancelled: bool
    paid_at: datetime | None
    paid_by: int | None
    price: Decimal | None
    currency: str
    status_changed_at: str
    company_id: int | None
    contact_id: int | None
    my_company_id: int | None
    billed_on: date | None
    raw: dict[str, Any] = field(repr=False, compare=False)
    paid_by_us: bool | None = None
    # Legacy invoices alone have these.
    pay_system_id: int | None = None
    person_type_id: int | None = None
    deal_id: int | None = None
    voucher_number: str = ""
    voucher_date: date | None = None
    # Smart invoices alone have these.
    category_id: int | None = None
    # When it came to a stage that means paid last, as far as the portal remembers; empty when it never did.
    paid_before: str = ""
    moved_by: int | None = None
    document_id: int | None = None
    lacks: str | None = None
    # Out of a stage that means paid: by a robot, whom the portal shows as our user or as nobody, or by a person.
    moved_on: Mover | None = None

    @property
    def key(self) -> InvoiceKey:
        return InvoiceKey(self.kind, self.id)
