"""What every step of a reconciliation needs at hand: one portal, its client and the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from airflow_b24.bitrix.client import Client
from airflow_b24.bitrix.limits import Pace
from airflow_b24.bitrix.stages import Wishes
from airflow_b24.ledger.settlement import Patience
from airflow_b24.ledger.store import Store
from airflow_b24.reconcile.portal import InvoiceType, PortalInvoices


@dataclass(frozen=True, slots=True)
class PaySystem:
    """How legacy invoices are marked paid; when both are given the id wins."""

    pay_system_id: int | None = None
    bx_rest_handler: str | None = None

    @classmethod
    def named(cls, name: str) -> PaySystem:
        """Read what `name` wrote."""
        handler = name.removeprefix("handler:")
        return cls(bx_rest_handler=handler) if handler != name else cls(int(name))

    @property
    def name(self) -> str:
        """How the ledger calls it."""
        return str(self.pay_system_id) if self.pay_system_id is not None else f"handler:{self.bx_rest_handler}"


@dataclass(frozen=True, slots=True)
class Desk:
    """One portal as the ledger knows it; `sleep` is an argument so that tests need no real time.

    `invoice_type` is the kind of invoices to work with, `wishes` what paid means for smart ones.
    """

    store: Store
    client: Client
    portal_id: int
    pace: Pace
    patience: Patience = field(default_factory=Patience)
    sleep: Callable[[float], None] = time.sleep
    invoice_type: InvoiceType = "auto"
    wishes: Wishes = field(default_factory=Wishes)
    invoices: PortalInvoices = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "invoices", PortalInvoices(self.client, self.invoice_type, self.wishes))
