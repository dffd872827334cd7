"""What the SQL ledger was asked since its last write it is asked once: building a query takes longer than running it.

Each query of the product still runs, anew after every change of any row; only the same question to the same rows is not.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from airflow_b24.ledger import adoptions, allocations, payments, portals, releases, settlements

# Reads that depend on rows alone, not on the time.
READS: dict[Any, tuple[str, ...]] = {
    adoptions: ("unfunded",),
    allocations: ("settled_by", "siblings", "collected"),
    payments: ("unallocated", "dismissed"),
    portals: ("count",),
    releases: ("parted",),
    settlements: ("live_among",),
}


def _hashable(argument: Any) -> Any:
    return tuple(argument) if isinstance(argument, list) else argument


class Memory:
    """Answers of one connection; all of them are forgotten with any change of a row, and when one is taken back."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self.raw = raw
        self.known: dict[tuple[Any, ...], Any] = {}
        self.changes = -1
        self.kept = 0

    def forget(self) -> None:
        self.known.clear()

    def committed(self) -> None:
        self.kept = self.raw.total_changes

    def rolled_back(self) -> None:
        # Changes that are taken back are counted all the same.
        if self.raw.total_changes != self.kept:
            self.known.clear()
            self.kept = self.raw.total_changes

    def asks(self, read: Callable[..., Any]) -> Callable[..., Any]:
        def remembered(connection: Any, *arguments: Any, **named: Any) -> Any:
            if self.raw.total_changes != self.changes:
                self.known.clear()
                self.changes = self.raw.total_changes
            place = (read, *map(_hashable, arguments), *sorted(named.items()))
            if place not in self.known:
                self.known[place] = read(connection, *arguments, **named)
            return self.known[place]

        return remembered

    @contextmanager
    def remembering(self) -> Iterator[None]:
        with ExitStack() as stack:
            for module, names in READS.items():
                for name in names:
                    stack.enter_context(patch.object(module, name, self.asks(getattr(module, name))))
            yield
