"""A payment document of an invoice: what says that a part of it was paid, whatever stage the invoice is in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(slots=True)
class PaymentDocument:
    """A document which belongs to one smart invoice and is bound to one pay system."""

    id: int
    invoice_id: int
    number: str
    amount: Decimal = Decimal(0)
    currency: str = "RUB"
    pay_system_id: int = 0
    paid: bool = False
    paid_at: datetime | None = None
    paid_by: int | None = None

    def pay(self, by: int, now: datetime) -> None:
        """Become paid; once paid it stays as it is."""
        # docs: crm.item.payment.pay on a paid one answers true; date and employee stay.
        if not self.paid:
            self.paid, self.paid_at, self.paid_by = True, now, by

    def unpay(self) -> None:
        """Become unpaid."""
        self.paid, self.paid_at, self.paid_by = False, None, None
