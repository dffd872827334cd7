"""Where the product asks the SQL ledger, it is given the dictionaries: the same names, the same arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from airflow_b24.ledger import (
    adoptions,
    allocations,
    cases,
    cursors,
    moves,
    outcomes,
    payments,
    plain,
    portals,
    records,
    releases,
    rows,
    settlements,
)
from airflow_b24.reconcile import bulk, collecting, idle_pay_systems, lane, matching, releasing, settling, sweeping
from tests.simulation import lanes, people, simulating


def _method(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    """The dictionaries' function for a dictionary ledger, the real one for every other."""

    def call(store: Any, *arguments: Any, **named: Any) -> Any:
        if hasattr(store, "engine") or hasattr(store, "dialect"):
            return real(store, *arguments, **named)
        return getattr(store, name)(*arguments, **named)

    return call


STANDS_IN: dict[Any, dict[str, str]] = {
    adoptions: {"unfunded": "unfunded"},
    allocations: {"allocate_all": "allocate_all", "collected": "collected"},
    cases: {name: name for name in ("open_case", "notice", "is_noticed", "gone", "is_open", "close", "close_one")},
    cursors: {},
    outcomes: {"record_all": "record_outcomes"},
    payments: {"unallocated": "unallocated", "dismissed": "dismissed"},
    plain: {"open_plain": "open_plain", "reopen_plain": "reopen_plain"},
    portals: {},
    records: {"ingest": "ingest"},
    moves: {name: name for name in ("claim", "claim_all", "move", "move_all", "begin_partial", "end_partial")},
    rows: {"locked": "locked"},
    releases: {"parted": "parted", "release": "release", "accept": "accept"},
    settlements: {
        name: name
        for name in ("look", "look_all", "record_of", "live", "live_among", "due", "ended_since", "collecting")
    },
}
ASKING = (
    *(bulk, collecting, idle_pay_systems, lane, matching, releasing, settling, sweeping),
    *(lanes, people, simulating),
)


def _facade(module: Any, methods: dict[str, str]) -> SimpleNamespace:
    found = SimpleNamespace(**vars(module))
    for name, method in methods.items():
        setattr(found, name, _method(method, getattr(module, name)))
    if module is cursors:
        found.find = lambda store, source: (
            store.cursor.get(source)
            if hasattr(store, "cursor") and not hasattr(store, "dialect")
            else cursors.find(store, source)
        )
    if module is portals:
        found.count = lambda store: portals.count(store) if hasattr(store, "dialect") else 1
    return found


@contextmanager
def dictionaries() -> Iterator[None]:
    """Put the facades into every module that asks the ledger."""
    with ExitStack() as stack:
        for module, methods in STANDS_IN.items():
            facade = _facade(module, methods)
            for asking in ASKING:
                for name, value in list(vars(asking).items()):
                    if value is module:
                        stack.enter_context(patch.object(asking, name, facade))
                    elif callable(value) and getattr(value, "__module__", "") == module.__name__ and name in methods:
                        stack.enter_context(patch.object(asking, name, getattr(facade, name)))
        yield
