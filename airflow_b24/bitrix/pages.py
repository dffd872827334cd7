"""Where people look at an invoice in Bitrix24."""

from __future__ import annotations

from airflow_b24.bitrix.auth import Origin
from airflow_b24.bitrix.fields import check_id
from airflow_b24.bitrix.invoice import Kind
from airflow_b24.bitrix.stages import SMART_INVOICE


def invoice_url(portal: str | Origin, kind: Kind, invoice_id: int) -> str:
    """Return the page of an invoice, for people. No secret is in it."""
    origin = portal if isinstance(portal, Origin) else Origin.parse(portal)
    checked = check_id(invoice_id, "invoice_id")
    return f"{origin}/crm/" + (
        f"invoice/show/{checked}/" if kind == "legacy" else f"type/{SMART_INVOICE}/details/{checked}/"
    )
