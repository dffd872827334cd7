"""What can be asked of the portal's invoices, whatever their kind."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Protocol

from airflow_b24.bitrix.errors import BitrixError
from airflow_b24.bitrix.flows import Flow
from airflow_b24.bitrix.invoice import Invoice
from airflow_b24.bitrix.listing import Listing


class Invoices(Protocol):
    """The invoices of one kind: the module `legacy_invoices`, or `SmartInvoices`."""

    def get_invoice(self, invoice_id: int) -> Flow[Invoice]:
        """Read one invoice. Raises BitrixError; repeating is safe."""

    def look(self, invoice_id: int) -> Flow[Invoice | BitrixError]:
        """Read one invoice at once, its slot being reserved; an error is returned, not raised. Repeating is safe."""

    def open_invoices(self) -> Listing[Invoice] | None:
        """Return the list of invoices that wait for their money, None where there can be none."""

    def paid_since(self, day: date) -> Listing[Invoice] | None:
        """Return the list of invoices paid on or after a day of the portal's calendar, None where there can be none."""

    def moved_since(self, day: date) -> Listing[Invoice] | None:
        """Return the list of invoices whose state changed on or after a day of the portal's, whatever it is now, or None."""

    def by_id(self, ids: Sequence[int]) -> Flow[list[Invoice]]:
        """Read these invoices, in order of id, 50 to a request; those that are gone are left out."""
