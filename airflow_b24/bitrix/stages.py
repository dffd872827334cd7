"""The stages of smart invoices: which ones mean paid, which ones lost, and where a paid invoice is to be moved."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from airflow_b24.bitrix.errors import RequestError, ResponseError
from airflow_b24.bitrix.fields import UNEXPECTED_VALUE, is_rows, read_funnel_id, read_text
from airflow_b24.bitrix.flows import Flow, batch, call
from airflow_b24.bitrix.protocol import Response

# docs: the page of invoices, crm/universal/invoice
SMART_INVOICE: Final = 31
# docs: the page of crm.status.list
_SEMANTICS: Final[Mapping[str, Semantics]] = {"S": "success", "F": "failure", "": "process"}
_STAGE_ID: Final = re.compile(r"DT31_(\d{1,18}):\S{1,50}")

Semantics = Literal["process", "success", "failure"]
MarkWith = Literal["stage", "payment"]
# What can be written of an invoice's progress: what is paid and left in major units, how many payments, the last one's day.
PROGRESS: Final = ("paid", "balance", "payments", "last_paid_on")


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of one funnel; its id names the funnel, e.g. `DT31_5:P`."""

    id: str
    category_id: int
    name: str
    semantics: Semantics


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a portal's people mean by paid, where it is not just the success stage of the invoice's own funnel.

    `paid_stage`: where a paid invoice is moved, one for a funnel. `also_paid`: stages in which it counts as paid, too.
    `mark_with`: what is marked, the stage, or the payment document of the exact sum; the two are never mixed.
    `partial_stage`: where an invoice is moved while parts wait for the rest, at most one for a funnel. `fields`: the
    custom fields in which people want to see its progress, by PROGRESS.
    """

    paid_stage: tuple[str, ...] = ()
    also_paid: tuple[str, ...] = ()
    mark_with: MarkWith = "stage"
    partial_stage: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Stages:
    """All stages of the portal's smart invoices, by id."""

    by_id: Mapping[str, Stage]
    wishes: Wishes = field(default_factory=Wishes)

    def __post_init__(self) -> None:
        wishes = self.wishes
        named = {"paid_stage": wishes.paid_stage, "also_paid_stages": wishes.also_paid}
        for name, listed in {**named, "partial_stage": wishes.partial_stage}.items():
            for stage_id in listed:
                if stage_id not in self.by_id:
                    raise ValueError(f"{name}: there is no stage {stage_id!r} here; there are {', '.join(self.by_id)}")
        for stage_id in wishes.partial_stage:
            if stage_id not in self.open_ids:
                raise ValueError(f"partial_stage: {stage_id} means paid or lost; name one in which money is waited for")

    def is_paid(self, stage_id: str) -> bool:
        """Say whether an invoice in this stage is paid."""
        stage = self.by_id.get(stage_id)
        wished = stage_id in self.wishes.paid_stage or stage_id in self.wishes.also_paid
        return wished or (stage is not None and stage.semantics == "success")

    def is_lost(self, stage_id: str) -> bool:
        """Say whether an invoice in this stage is not to be paid any more."""
        stage = self.by_id.get(stage_id)
        return stage is not None and stage.semantics == "failure" and not self.is_paid(stage_id)

    @property
    def open_ids(self) -> list[str]:
        """The stages in which an invoice waits for its money."""
        return [each for each in self.by_id if not self.is_paid(each) and not self.is_lost(each)]

    @property
    def paid_ids(self) -> list[str]:
        """The stages that mean paid."""
        return [each for each in self.by_id if self.is_paid(each)]

    @property
    def ended_ids(self) -> list[str]:
        """The stages in which it does not."""
        return [each for each in self.by_id if self.is_paid(each) or self.is_lost(each)]

    def is_first(self, stage_id: str) -> bool:
        """Say whether new invoices of its funnel begin in this stage."""
        # docs: crm.status.list answers in the order of the funnel.
        stage = self.by_id.get(stage_id)
        mine = (each for each in self.by_id.values() if stage and each.category_id == stage.category_id)
        return stage is not None and next(mine) == stage

    def paid_stage(self, category_id: int) -> str:
        """Return the stage to which a paid invoice of the funnel is moved. Raises ValueError when there is not one."""
        mine = [stage for stage in self.by_id.values() if stage.category_id == category_id]
        wished = [stage.id for stage in mine if stage.id in self.wishes.paid_stage]
        found = wished or [stage.id for stage in mine if stage.semantics == "success"]
        if len(found) == 1:
            return found[0]
        why = f"funnel {category_id} has {len(found)} stages of success" if found else f"funnel {category_id} has none"
        raise ValueError(f"paid_stage: {why}; name the one that means paid, like DT31_{category_id}:P")

    def partial_stage(self, category_id: int) -> str | None:
        """Return the stage in which an invoice of the funnel waits for the rest of its money, if people wish for one."""
        wished = [each for each in self.wishes.partial_stage if self.by_id[each].category_id == category_id]
        return wished[0] if wished else None


def check_stage_id(value: object, field_name: str) -> str:
    """Return the id of a stage of smart invoices. Raises ValueError naming the field."""
    if isinstance(value, str) and _STAGE_ID.fullmatch(value.strip()):
        return value.strip()
    raise ValueError(f"{field_name}: {str(value)[:60]!r} is no stage of smart invoices; write it like DT31_5:P")


def read_stages(wishes: Wishes | None = None) -> Flow[Stages]:
    """Read every funnel's stages, in two requests; they are empty where there are no smart invoices. Repeating is safe.

    Raises ValueError when a wished stage is not there, BitrixError while running.
    """
    try:
        listed = (yield from call("crm.category.list", {"entityTypeId": SMART_INVOICE})).result
    except RequestError as error:
        # docs: crm.category.list. What a portal answers that has no such type, or does not support its funnels.
        if error.code not in {"NOT_FOUND", "ENTITY_TYPE_NOT_SUPPORTED"}:
            raise
        return Stages({})
    found = yield from _stages_of(_category_ids(listed))
    return Stages({stage.id: stage for stage in found}, wishes or Wishes())


def _category_ids(result: object) -> list[int]:
    rows = _rows(result.get("categories") if isinstance(result, dict) else None, "categories")
    return [read_funnel_id(row, "id") for row in rows]


def _stages_of(category_ids: Sequence[int]) -> Flow[list[Stage]]:
    # docs: how to get stages with semantics.
    wanted = {str(each): f"SMART_INVOICE_STAGE_{each}" for each in category_ids}
    commands = {key: ("crm.status.list", {"filter": {"ENTITY_ID": name}}) for key, name in wanted.items()}
    outcomes = yield from batch(commands)
    found: list[Stage] = []
    for key, outcome in outcomes.items():
        if not isinstance(outcome, Response):
            raise outcome
        found += _read(outcome.result, int(key), wanted[key])
    return found


def _read(result: object, category_id: int, entity_id: str) -> Iterable[Stage]:
    for row in _rows(result, "rows"):
        # The portal drops a condition that it does not know, and returns more.
        if row.get("ENTITY_ID") == entity_id:
            semantics = _SEMANTICS.get(read_text(row, "SEMANTICS"), "process")
            yield Stage(read_text(row, "STATUS_ID"), category_id, read_text(row, "NAME"), semantics)


def _rows(value: object, name: str) -> list[dict[str, Any]]:
    if is_rows(value):
        return value
    raise ResponseError(UNEXPECTED_VALUE, f"{name}: expected a list of objects")
