"""The method crm.stagehistory.list: which stages each smart invoice has been in."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter

from airflow_b24.sandbox.listing import Column, Columns, Dialect, Result, page
from airflow_b24.sandbox.php import to_int
from airflow_b24.sandbox.smart_invoice import ENTITY_TYPE
from airflow_b24.sandbox.smart_invoices import argument, need_right
from airflow_b24.sandbox.state import Turn
from airflow_b24.sandbox.values import write_json

# docs: crm.stagehistory.list; names in upper case, values as in crm.item.*.
_COLUMNS: Columns = {
    "ID": Column("int", attrgetter("id")),
    "TYPE_ID": Column("int", attrgetter("type_id")),
    "OWNER_ID": Column("int", attrgetter("owner_id")),
    "CREATED_TIME": Column("datetime", attrgetter("at")),
    "CATEGORY_ID": Column("int", attrgetter("category_id")),
    "STAGE_SEMANTIC_ID": Column("text", attrgetter("semantics")),
    "STAGE_ID": Column("text", attrgetter("stage_id")),
}
# not established: the order where none is asked for, and whether an unknown field is refused as in crm.item.list.
_DIALECT = Dialect(("ID", "ASC"), write_json, strict=True)


def list_(turn: Turn) -> Result:
    """crm.stagehistory.list; of anything but smart invoices there is no history here."""
    smart = to_int(argument(turn, "entityTypeId")) == ENTITY_TYPE and turn.state.settings.smart_invoices
    need_right(turn, "read")
    rows = turn.state.stage_history if smart else []
    found = page(rows, _COLUMNS, turn.arguments, turn.state.zone, dialect=_DIALECT)
    return replace(found, value={"items": found.value})
