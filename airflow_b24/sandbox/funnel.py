"""A funnel of smart invoices: its stages in their order, and what each of them means, asks for and sets off."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

PROCESS, SUCCESS, FAILURE = "P", "S", "F"
_CODE = re.compile(r"[A-Z0-9_]{1,20}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Robot:
    """Moves an invoice on to another stage at once; without `by` it acts as the user who triggered it."""

    to: str
    # not established: as whom a robot moves an invoice.
    by: int | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage; an invoice enters it only with the required fields filled, and a robot may wait there."""

    id: str
    name: str
    sort: int
    semantics: str = PROCESS
    original: str = ""
    color: str = "#39A8EF"
    required: tuple[str, ...] = ()
    robot: Robot | None = None


@dataclass(frozen=True, slots=True)
class Funnel:
    """A category of smart invoices; exactly one stage is its success."""

    id: int
    name: str
    stages: tuple[Stage, ...]
    sort: int = 100
    default: bool = False

    @property
    def prefix(self) -> str:
        """What the ids of its stages begin with."""
        return prefix(self.id)

    @property
    def first(self) -> Stage:
        """The stage of a new invoice."""
        return min(self.stages, key=lambda stage: stage.sort)

    def stage(self, stage_id: str) -> Stage | None:
        """The stage with that full id, if this funnel has it."""
        return next((stage for stage in self.stages if stage.id == stage_id), None)

    def ending(self, semantics: str) -> Stage:
        """The first stage with that meaning."""
        return min((stage for stage in self.stages if stage.semantics == semantics), key=lambda stage: stage.sort)


def prefix(funnel_id: int) -> str:
    """What the ids of a funnel's stages begin with."""
    # docs: 31 is the type of smart invoices.
    return f"DT31_{funnel_id}"


def standard(funnel_id: int, name: str, **more: Any) -> Funnel:
    """A funnel with the four stages that a portal gives a new one."""
    # docs: codes, sorts and semantics of the default funnel's stages.
    kinds = (
        ("N", "Новый", 100, PROCESS),
        ("S", "Отправлен", 110, PROCESS),
        ("P", "Оплачен", 130, SUCCESS),
        ("D", "Не оплачен", 140, FAILURE),
    )
    stages = [
        Stage(f"{prefix(funnel_id)}:{code}", title, sort, kind, original=title) for code, title, sort, kind in kinds
    ]
    return Funnel(funnel_id, name, tuple(stages), **more)


def read_funnel(document: Mapping[str, Any], fields: Collection[str], *, default: bool) -> Funnel:
    """A funnel from JSON; ValueError names the field and the fix. `fields` may be required by a stage."""
    funnel_id, listed = document.get("id"), document.get("stages")
    unknown = set(document) - {"id", "name", "sort", "default", "stages"}
    if unknown:
        raise ValueError(f"{min(unknown)}: no such field; use id, name, sort, default, stages")
    if type(funnel_id) is not int or funnel_id < 1:
        raise ValueError("id: send the id of the funnel as a number, like 8")
    if not isinstance(listed, list) or not all(isinstance(each, Mapping) for each in listed):
        raise ValueError('stages: send a list like [{"id": "DT31_8:NEW", "name": "New", "semantics": "P"}]')
    sort, chosen = _number("sort", document.get("sort", 100)), document.get("default", False)
    if not isinstance(chosen, bool):
        raise ValueError("default: send true or false")  # noqa: TRY004 - one error group for bad input
    stages = tuple(_stage(funnel_id, place, each, fields) for place, each in enumerate(listed))
    funnel = Funnel(funnel_id, _text("name", document.get("name")), stages, sort, chosen or default)
    _check(funnel)
    return funnel


def _stage(funnel_id: int, place: int, document: Mapping[str, Any], fields: Collection[str]) -> Stage:
    unknown = set(document) - set(Stage.__dataclass_fields__)
    if unknown:
        raise ValueError(f"stages: no such field {min(unknown)}; use {', '.join(Stage.__dataclass_fields__)}")
    stage_id, meaning = _text("stages: id", document.get("id")), document.get("semantics", PROCESS)
    head, _, code = stage_id.partition(":")
    if head != prefix(funnel_id) or not _CODE.fullmatch(code):
        raise ValueError(f"stages: id {stage_id[:40]!r} is none of this funnel; use {prefix(funnel_id)}:CODE")
    if meaning not in {PROCESS, SUCCESS, FAILURE}:
        raise ValueError(f"stages: semantics {meaning!r} is unknown; use P, S or F")
    sort = _number("stages: sort", document.get("sort", 100 + 10 * place))
    texts = {name: _text(f"stages: {name}", document[name]) for name in ("original", "color") if document.get(name)}
    required = _required(document.get("required", []), fields)
    name = _text("stages: name", document.get("name"))
    return Stage(stage_id, name, sort, meaning, required=required, robot=_robot(document.get("robot")), **texts)


def _required(names: Any, fields: Collection[str]) -> tuple[str, ...]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError('stages: required is no list; use ["comments"]')
    for name in names:
        if name not in fields:
            raise ValueError(f"stages: required {name[:40]!r} is no field; use {', '.join(sorted(fields))}")
    return tuple(names)


def _robot(document: Any) -> Robot | None:
    if document is None:
        return None
    if not isinstance(document, Mapping) or not set(document) <= {"to", "by"}:
        raise ValueError('stages: robot is no object of to and by; use {"to": "DT31_8:UC_PAID01"}')
    by = document.get("by")
    return Robot(
        _text("stages: robot: to", document.get("to")), None if by is None else _number("stages: robot: by", by)
    )


def _check(funnel: Funnel) -> None:
    meanings = [stage.semantics for stage in funnel.stages]
    if meanings.count(SUCCESS) != 1 or PROCESS not in meanings or FAILURE not in meanings:
        raise ValueError("stages: a funnel has one stage with semantics S, and at least one each with P and F")
    ids = {stage.id for stage in funnel.stages}
    if len(ids) < len(funnel.stages):
        raise ValueError("stages: two of them have the same id; give each its own")
    for stage in funnel.stages:
        if stage.robot and stage.robot.to not in ids:
            raise ValueError(f"stages: robot to {stage.robot.to[:40]!r} is no stage of this funnel")


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name}: missing or no text; send a string")
    return value


def _number(name: str, value: Any) -> int:
    if type(value) is not int:
        raise ValueError(f"{name}: {value!r} is no whole number")
    return value
