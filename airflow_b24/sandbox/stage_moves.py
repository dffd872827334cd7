"""How a smart invoice comes from one stage to the next: what the history keeps, and robots that move it on."""

from __future__ import annotations

from datetime import datetime

from airflow_b24.sandbox.funnel import PROCESS, SUCCESS, Stage
from airflow_b24.sandbox.smart_invoice import SmartInvoice, StageRecord
from airflow_b24.sandbox.state import State

_CREATED, _UNDERWAY, _ENDED = 1, 2, 3


def move(state: State, invoice: SmartInvoice, stage: Stage | None, by: int, now: datetime) -> bool:
    """Move an invoice, and on while robots of the stages it enters say so; whether a success was among them."""
    entered: list[Stage] = []
    # source-derived: saving the stage that an invoice is in already moves nothing and sets no robot off.
    while stage and stage.id != invoice.stage_id and stage not in entered:
        kind = _kind(stage) if invoice.stage_id else _CREATED
        invoice.move(stage.id, by, now)
        number = len(state.stage_history) + 1
        place = (invoice.category_id, stage.semantics, stage.id)
        state.stage_history.append(StageRecord(number, kind, invoice.id, now, *place))
        entered.append(stage)
        robot = stage.robot
        by = by if robot is None or robot.by is None else robot.by
        stage = state.funnels[invoice.category_id].stage(robot.to) if robot else None
    return any(stage.semantics == SUCCESS for stage in entered)


def _kind(stage: Stage) -> int:
    return _UNDERWAY if stage.semantics == PROCESS else _ENDED


def last_open(state: State, invoice: SmartInvoice) -> Stage:
    """The stage on the way that an invoice was in last, or its funnel's first one."""
    funnel = state.funnels[invoice.category_id]
    for record in reversed(state.stage_history):
        stage = funnel.stage(record.stage_id)
        if record.owner_id == invoice.id and stage and stage.semantics == PROCESS and stage.id != invoice.stage_id:
            return stage
    return funnel.first
