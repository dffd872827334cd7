"""One story in one form, whichever ledger it was told by: the two ledgers of the simulation must not differ in a word."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any

from tests.simulation.history import History

Seconds = Callable[[Any], float | None]
AROUND = 60
TABLES = ("settlements", "payments", "allocations", "raws", "outcomes", "cases", "events")
LEFT_OUT = frozenset(
    {
        "id",
        "evidence",
        "created_at",
        "body",
        "source",
        "digest",
        "occurrence",
        "received_at",
        "portal_id",
        "quiet_clock",
    }
)
JSON = frozenset({"identity", "snapshot", "invoices"})
TIMES = frozenset({"quiet_until", "updated_at", "opened_at", "closed_at", "decided_at", "at"})


def comparable(history: History, seconds: Seconds) -> list[str]:
    """Every entry and every last row, a line for each."""
    rows = ((name, _plain(row, seconds)) for name in TABLES for row in getattr(history, name))
    return [*map(repr, history.entries), *(f"{name}: {row}" for name, row in rows)]


def difference(one: Sequence[str], other: Sequence[str]) -> str:
    """The first line that is not the same in both, "" when all are."""
    for mine, theirs in zip_longest(one, other, fillvalue="nothing"):
        if mine != theirs:
            # From shortly before the first letter that differs.
            same = next((place for place, pair in enumerate(zip(mine, theirs, strict=False)) if pair[0] != pair[1]), 0)
            start = max(same - AROUND, 0)
            return f"{mine[start:]} | {theirs[start:]}"
    return ""


def _plain(row: dict[str, Any], seconds: Seconds) -> dict[str, Any]:
    return {name: _value(name, value, seconds) for name, value in sorted(row.items()) if name not in LEFT_OUT}


def _value(name: str, value: Any, seconds: Seconds) -> Any:
    if name in TIMES:
        found = seconds(value)
        return None if found is None else round(found, 3)
    if name in JSON:
        return json.loads(value) if isinstance(value, str) else value
    if isinstance(value, bool):
        return int(value)
    return str(value) if name in {"booked_on", "state", "what"} else value
