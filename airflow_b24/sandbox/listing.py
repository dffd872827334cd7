"""The portal's list calls: filter, select, order and paging, quirks included."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from airflow_b24.sandbox.php import Arguments, either_case, items, to_int, to_text
from airflow_b24.sandbox.values import read, write
from airflow_b24.sandbox.wire import RestError

PAGE_SIZE = 50
_CONDITION = re.compile(r"([^A-Za-z]*)([A-Za-z]\w*)")
# Kinds of values that are neither filtered nor ordered by; `plain` is sent as it is.
_COMPOUND = frozenset({"list", "plain"})


@dataclass(frozen=True, slots=True)
class Column:
    """One field that can be selected, filtered and ordered by."""

    kind: str
    value: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Result:
    """What a method returned; `total` and `next` go into the envelope beside `result`."""

    value: object
    total: int | None = None
    next: int | None = None


Columns = Mapping[str, Column]
Condition = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a family of list methods writes values and orders by itself; a strict one refuses unknown names."""

    order: tuple[str, str] = ("ID", "DESC")
    writes: Callable[[Any, str, tzinfo], object] = write
    strict: bool = False


LEGACY = Dialect()


def page(
    rows: Sequence[Any],
    columns: Columns,
    arguments: Arguments,
    zone: tzinfo,
    *,
    counts_fast: bool = False,
    dialect: Dialect = LEGACY,
) -> Result:
    """One page of the rows; `counts_fast` tells what `total` is for start=-1: the rows returned, or 0."""
    names = _selected(either_case(arguments, "select"), columns, dialect)
    found = matching(rows, columns, arguments, zone, dialect)
    found = _ordered(found, columns, either_case(arguments, "order"), dialect)
    start = to_int(either_case(arguments, "start"))
    if start < 0:
        kept = found[:PAGE_SIZE]
        return Result(_written(kept, names, columns, zone, dialect), total=len(kept) if counts_fast else 0)
    # source-derived: a start out of range silently answers page 1.
    first = start // PAGE_SIZE * PAGE_SIZE
    first = first if first < len(found) else 0
    following = first + PAGE_SIZE
    kept = found[first:following]
    more = following if following < len(found) else None
    return Result(_written(kept, names, columns, zone, dialect), total=len(found), next=more)


def _written(
    rows: Sequence[Any], names: Sequence[str], columns: Columns, zone: tzinfo, dialect: Dialect
) -> list[dict[str, object]]:
    def cell(column: Column, row: Any) -> object:
        value = column.value(row)
        return value if column.kind == "plain" else dialect.writes(value, column.kind, zone)

    return [{name: cell(columns[name], row) for name in names} for row in rows]


def _selected(select: Any, columns: Columns, dialect: Dialect) -> list[str]:
    asked = [to_text(name) for _, name in items(select)] if isinstance(select, (list, dict)) else []
    if not asked or "*" in asked:
        return list(columns)
    customs = ("UF_CRM_", "ufCrm_") if {"UF_*", "uf*"} & set(asked) else ()
    names = [name for name in columns if name in asked or name.startswith(customs)]
    if not names and not dialect.strict:
        raise RestError(400, "", "Inadmissible fields for selection")
    # not established: what crm.item.list sends if none of the names is known; here rows with their id.
    return names or list(columns)[:1]


def _ordered(rows: list[Any], columns: Columns, order: Any, dialect: Dialect) -> list[Any]:
    unknown = [name for name, _ in items(order) if not _comparable(columns, name)]
    if dialect.strict and unknown:
        raise RestError(400, "INVALID_ARG_VALUE", f"Invalid order: field '{unknown[0]}' is not allowed in order")
    keys = [(name, to_text(way)) for name, way in items(order) if name not in unknown]
    for name, way in reversed(keys or [dialect.order]):
        rows.sort(key=partial(_sort_key, columns[name]), reverse=way.upper() == "DESC")
    return rows


def _comparable(columns: Columns, name: str) -> bool:
    return name in columns and columns[name].kind not in _COMPOUND


def _sort_key(column: Column, row: Any) -> tuple[bool, Any]:
    value = column.value(row)
    return (value is not None, value)


def matching(
    rows: Sequence[Any], columns: Columns, arguments: Arguments, zone: tzinfo, dialect: Dialect = LEGACY
) -> list[Any]:
    """Rows which meet every condition that could be read; the others are dropped, or refused by a strict dialect."""
    wanted = []
    for key, value in items(either_case(arguments, "filter")):
        condition = _condition(key, value, columns, zone, dialect)
        if condition:
            wanted.append(condition)
        elif dialect.strict:
            # docs: crm.item.list. That an unreadable date is refused in the same words is not established.
            name = key.lstrip("!=<>@%?*") or key
            raise RestError(400, "INVALID_ARG_VALUE", f"Invalid filter: field '{name}' is not allowed in filter")
    return [row for row in rows if all(condition(row) for condition in wanted)]


def _condition(key: str, value: Any, columns: Columns, zone: tzinfo, dialect: Dialect) -> Condition | None:
    # source-derived: unknown field, unknown operator or unreadable date drops the condition: MORE rows come back.
    found = _CONDITION.fullmatch(key if dialect.strict else key.upper())
    operators = STRICT_OPERATORS if dialect.strict else OPERATORS
    if not found or not _comparable(columns, found[2]) or found[1] not in operators:
        return None
    column = columns[found[2]]
    try:
        operands = [read(each, column.kind, zone) for each in (value if isinstance(value, list) else [value])]
    except (ValueError, OverflowError):
        return None
    compare = OPERATORS["@"] if isinstance(value, list) and found[1] in {"", "="} else operators[found[1]]
    return lambda row: compare(column.value(row), operands)


Compare = Callable[[Any, Sequence[Any]], bool]


def _one_of(value: Any, operands: Sequence[Any]) -> bool:
    return any(value == operand or (value is None and operand in {"", 0}) for operand in operands)


def _above(value: Any, operands: Sequence[Any]) -> bool:
    return value is not None and bool(operands) and bool(value > operands[0])


def _below(value: Any, operands: Sequence[Any]) -> bool:
    return value is not None and bool(operands) and bool(value < operands[0])


def _between(value: Any, operands: Sequence[Any]) -> bool:
    return value is not None and len(operands) > 1 and bool(operands[0] <= value <= operands[1])


def _contains(value: Any, operands: Sequence[Any]) -> bool:
    return any(to_text(operand).casefold() in _text(value) for operand in operands)


def _like(value: Any, operands: Sequence[Any]) -> bool:
    patterns = (re.sub(r"([*?\[])", r"[\1]", to_text(operand).casefold()).replace("%", "*") for operand in operands)
    return any(fnmatchcase(_text(value), pattern) for pattern in patterns)


def _text(value: Any) -> str:
    return "" if value is None else str(value).casefold()


def _not(compare: Compare) -> Compare:
    return lambda value, operands: not compare(value, operands)


# source-derived: the complete set of prefixes; `?` and the `*` family are kept to "contains".
OPERATORS: Mapping[str, Compare] = {
    **dict.fromkeys(("", "=", "==", "@"), _one_of),
    **dict.fromkeys(("!", "!=", "!==", "!@"), _not(_one_of)),
    ">": _above,
    "<": _below,
    ">=": lambda value, operands: value is not None and not _below(value, operands),
    "<=": lambda value, operands: value is not None and not _above(value, operands),
    "><": _between,
    "!><": _not(_between),
    **dict.fromkeys(("%", "?", "*", "*=", "*%"), _contains),
    "!%": _not(_contains),
    **dict.fromkeys(("=%", "%="), _like),
    **dict.fromkeys(("!=%", "!%="), _not(_like)),
}
# docs: the prefixes that crm.item.list names.
STRICT_OPERATORS: Mapping[str, Compare] = {
    prefix: OPERATORS[prefix] for prefix in ("", *"=!@%<>", "!=", "!@", "!%", ">=", "<=", "=%", "%=", "!=%", "!%=")
}
