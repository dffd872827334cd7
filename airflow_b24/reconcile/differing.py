"""What a bank has changed in a record, in the bank's own names of fields."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

MOST: Final = 8
LONGEST: Final = 60
ABSENT: Final = "nothing"


def changes(before: str, now: str) -> str:
    """Name every field that two records (JSON texts) differ in, as `field: old -> new`; empty when they cannot be read."""
    try:
        old, new = (dict(_fields("", json.loads(text))) for text in (before, now))
    except (ValueError, RecursionError):
        return ""
    differing = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    shown = [f"{name}: {_short(old.get(name))} -> {_short(new.get(name))}" for name in differing[:MOST]]
    more = len(differing) - len(shown)
    return ", ".join([*shown, f"and {more} more"] if more else shown)


def _fields(name: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value.keys() != {"number"}:
        for inner, each in value.items():
            yield from _fields(f"{name}.{inner}" if name else inner, each)
    elif isinstance(value, list):
        for place, each in enumerate(value, start=1):
            yield from _fields(f"{name}[{place}]", each)
    else:
        # An exact number is kept apart from its text: see `reconcile.collecting`.
        yield name or "record", str(value["number"]) if isinstance(value, dict) else _told(value)


def _told(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _short(text: str | None) -> str:
    if text is None:
        return ABSENT
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
