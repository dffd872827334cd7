"""How PHP reads what a client sent: form keys, emptiness, casts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

Arguments = dict[str, Any]

_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
_LEADING_INT = re.compile(r"\s*([+-]?\d{1,18})")
_MAX_NESTING = 64


def parse_str(text: str) -> Arguments:
    """Read a query string or form body into nested values, as `$_REQUEST` would hold them."""
    tree: dict[str, Any] = {}
    for key, value in parse_qsl(text, keep_blank_values=True):
        _place(tree, _path(key), value)
    return {key: _listed(value) for key, value in tree.items()}


def _path(key: str) -> list[str]:
    head, bracket, rest = key.partition("[")
    if not bracket or not head:
        return [key]
    return [head.replace(".", "_").replace(" ", "_"), *_BRACKETS.findall("[" + rest)[:_MAX_NESTING]]


def _place(tree: dict[str, Any], path: Sequence[str], value: str) -> None:
    node = tree
    for name in path[:-1]:
        child = node.setdefault(name or _next_index(node), {})
        if not isinstance(child, dict):
            child = node[name] = {}
        node = child
    node[path[-1] or _next_index(node)] = value


def _next_index(node: Mapping[str, Any]) -> str:
    return str(1 + max((int(key) for key in node if key.isdecimal()), default=-1))


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    children = {key: _listed(child) for key, child in value.items()}
    if list(children) == [str(index) for index in range(len(children))]:
        return list(children.values())
    return children


def items(value: Any) -> list[tuple[str, Any]]:
    """Key-value pairs of a PHP array, which JSON may have sent as an object or as a list."""
    if isinstance(value, Mapping):
        return [(str(key), child) for key, child in value.items()]
    if isinstance(value, list):
        return [(str(index), child) for index, child in enumerate(value)]
    return []


def is_set(arguments: Mapping[str, Any], key: str) -> bool:
    """PHP `isset`: a JSON null counts as absent."""
    return arguments.get(key) is not None


def is_empty(value: Any) -> bool:
    """PHP `empty`: null, false, zero, "0", "" and an empty array."""
    return value in (None, False, 0, "", "0") or (isinstance(value, (list, dict)) and not value)


def to_int(value: Any) -> int:
    """PHP `(int)`: leading digits count, everything else is 0."""
    if isinstance(value, (bool, int, float)):
        return int(value)
    found = _LEADING_INT.match(value) if isinstance(value, str) else None
    return int(found[1]) if found else 0


def to_text(value: Any) -> str:
    """PHP `(string)`."""
    if value is None or value is False:
        return ""
    if value is True:
        return "1"
    return "Array" if isinstance(value, (list, dict)) else str(value)


def upper_keys(value: Any) -> Any:
    """The same value with every key in upper case, at every depth."""
    if isinstance(value, Mapping):
        return {str(key).upper(): upper_keys(child) for key, child in value.items()}
    return [upper_keys(child) for child in value] if isinstance(value, list) else value


def either_case(arguments: Mapping[str, Any], name: str) -> Any:
    """A crm parameter: accepted only fully lower or fully upper."""
    # source-derived: crm list methods look for `filter` and `FILTER`, not `Filter`.
    return arguments.get(name.lower(), arguments.get(name.upper()))
