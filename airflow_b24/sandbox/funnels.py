"""The method crm.category.list: the funnels of smart invoices."""

from __future__ import annotations

from airflow_b24.sandbox.funnel import Funnel
from airflow_b24.sandbox.listing import Result
from airflow_b24.sandbox.smart_invoice import ENTITY_TYPE
from airflow_b24.sandbox.smart_invoices import need_right, need_type
from airflow_b24.sandbox.state import Turn


def list_(turn: Turn) -> Result:
    """crm.category.list: in their sort, and never paged."""
    need_type(turn)
    need_right(turn, "read")
    funnels = sorted(turn.state.funnels.values(), key=lambda funnel: (funnel.sort, funnel.id))
    return Result({"categories": [_row(funnel) for funnel in funnels]}, total=len(funnels))


def _row(funnel: Funnel) -> dict[str, object]:
    # docs: crm.category.list.
    return {
        "id": funnel.id,
        "name": funnel.name,
        "sort": funnel.sort,
        "entityTypeId": ENTITY_TYPE,
        "isDefault": "Y" if funnel.default else "N",
    }
