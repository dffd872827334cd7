"""The methods crm.status.*: the statuses of legacy invoices and the stages of each funnel of smart ones."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo
from operator import itemgetter

from airflow_b24.sandbox.funnel import FAILURE, PROCESS, SUCCESS, Funnel, Stage
from airflow_b24.sandbox.listing import Column, Columns, Dialect, Result, page
from airflow_b24.sandbox.smart_invoice import ENTITY_TYPE
from airflow_b24.sandbox.state import State, Status, Turn
from airflow_b24.sandbox.values import write

_LEGACY = "INVOICE_STATUS"
_MEANINGS = {PROCESS: "process", SUCCESS: "success", FAILURE: "failure"}
_COLUMNS: Columns = {
    name: Column(kind, itemgetter(name))
    for name, kind in (
        *(("ID", "int"), ("ENTITY_ID", "text"), ("STATUS_ID", "text"), ("NAME", "text"), ("NAME_INIT", "text")),
        *(("SORT", "int"), ("SYSTEM", "flag"), ("CATEGORY_ID", "text"), ("COLOR", "text"), ("SEMANTICS", "text")),
        ("EXTRA", "plain"),
    )
}


def _write(value: object, kind: str, zone: tzinfo) -> object:
    # docs: a status on the way has the SEMANTICS null.
    return None if value is None else write(value, kind, zone)


_DIALECT = Dialect(writes=_write)


def list_(turn: Turn) -> Result:
    """crm.status.list: the statuses of everything, unless the filter names an ENTITY_ID."""
    rows = _legacy_rows(turn.state)
    if turn.state.settings.smart_invoices:
        rows += [_stage_row(funnel, stage) for funnel in turn.state.funnels.values() for stage in funnel.stages]
    return _page(turn, rows)


def invoice_list(turn: Turn) -> Result:
    """crm.invoice.status.list, the older name for the statuses of legacy invoices."""
    return _page(turn, _legacy_rows(turn.state))


def _page(turn: Turn, rows: list[dict[str, object]]) -> Result:
    numbered = [{"ID": number} | row for number, row in enumerate(rows, 100)]
    return page(numbered, _COLUMNS, {"order": {"SORT": "ASC"}} | turn.arguments, turn.state.zone, dialect=_DIALECT)


def _legacy_rows(state: State) -> list[dict[str, object]]:
    return [_row(_LEGACY, status, status.semantics, "", "") for status in state.statuses]


def _row(entity: str, status: Status | Stage, semantics: str, category: str, color: str) -> dict[str, object]:
    initial = status.name if isinstance(status, Status) else status.original
    return {
        "ENTITY_ID": entity,
        "STATUS_ID": status.id,
        "NAME": status.name,
        "NAME_INIT": initial,
        "SORT": status.sort,
        "SYSTEM": status.system if isinstance(status, Status) else bool(initial),
        "CATEGORY_ID": category,
        "COLOR": color,
        "SEMANTICS": semantics or None,
        "EXTRA": {"SEMANTICS": _MEANINGS[semantics or PROCESS], "COLOR": color},
    }


def _stage_row(funnel: Funnel, stage: Stage) -> dict[str, object]:
    # docs: a stage on the way has no semantics, the first failure is "failure" and others are an "apology".
    semantics = "" if stage.semantics == PROCESS else stage.semantics
    row = _row(_entity(funnel), stage, semantics, str(funnel.id), stage.color)
    if semantics == FAILURE and stage != funnel.ending(FAILURE):
        row["EXTRA"] = {"SEMANTICS": "apology", "COLOR": stage.color}
    return row


def _entity(funnel: Funnel) -> str:
    return f"SMART_INVOICE_STAGE_{funnel.id}"


def entity_types(turn: Turn) -> Result:
    """crm.status.entity.types: what a portal has statuses for, which tells the kinds of its invoices."""
    settings = turn.state.settings
    # source-derived: INVOICE_STATUS is listed only where legacy invoices are switched on.
    legacy = [_legacy_type()] if settings.legacy_invoices else []
    smart = [_type(funnel) for funnel in turn.state.funnels.values()] if settings.smart_invoices else []
    return Result([*legacy, *smart])


def _legacy_type() -> Mapping[str, object]:
    semantics = {"START_FIELD": "N", "FINAL_SUCCESS_FIELD": "P", "FINAL_UNSUCCESS_FIELD": "D", "FINAL_SORT": 0}
    return {"ID": _LEGACY, "NAME": "Статусы счета", "SEMANTIC_INFO": semantics}


def _type(funnel: Funnel) -> Mapping[str, object]:
    # docs: crm.status.entity.types.
    return {
        "ID": _entity(funnel),
        "NAME": "Стадии счета",
        "SEMANTIC_INFO": [],
        "PREFIX": funnel.prefix,
        "FIELD_ATTRIBUTE_SCOPE": f"category_{funnel.id}",
        "ENTITY_TYPE_ID": ENTITY_TYPE,
        "IS_ENABLED": True,
        "CATEGORY_ID": funnel.id,
    }
