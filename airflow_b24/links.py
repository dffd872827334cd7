"""The button that opens the invoice in Bitrix24."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import XCom
from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk.types import TaskInstanceKey

INVOICE_URL = "b24_invoice_url"


class InvoiceLink(BaseOperatorLink):
    """Opens the invoice a task paid; no secret is in the address."""

    name = "Bitrix24 invoice"

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        """Return the address the task left, or nothing."""
        return XCom.get_value(key=INVOICE_URL, ti_key=ti_key) or ""
