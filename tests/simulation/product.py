"""The product as it runs in a simulation: real code, whose clocks, jitter and network are the simulation's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from airflow_b24.bitrix import commands, flows, legacy_invoices, smart_invoices
from airflow_b24.bitrix.legacy_invoice import parse_invoice
from airflow_b24.bitrix.protocol import Request
from airflow_b24.payments import matching as payments_matching
from airflow_b24.payments import sieve as payments_sieve
from airflow_b24.payments.references import find_references
from airflow_b24.reconcile import bulk, collecting, lane, settling, translating
from airflow_b24.sandbox import invoices
from airflow_b24.sandbox import smart_invoices as sandbox_smart
from tests.simulation.attempts import Handoff
from tests.simulation.client import parsed, parsed_smart
from tests.simulation.runs import hand_over
from tests.simulation.sides import COLUMNS, STATE

if TYPE_CHECKING:
    from tests.simulation.simulating import Simulation

CURRENT: list[Simulation] = []
REAL_MOST_PAYS = bulk.MOST_PAYS
REAL_COLUMNS, REAL_SMART_COLUMNS = invoices.columns, sandbox_smart.columns


def _now_s() -> float:
    return CURRENT[-1].now_s()


def _columns(state: Any) -> Any:
    return COLUMNS["legacy"] if state is STATE else REAL_COLUMNS(state)


def _smart_columns(state: Any) -> Any:
    return COLUMNS["smart"] if state.smart_fields is STATE.smart_fields else REAL_SMART_COLUMNS(state)


def _parse(row: Any) -> Any:
    return parsed(row) if type(row) is dict and "ORDER_TOPIC" in row else parse_invoice(row)


class FewPays:
    """A request holds fewer pays than on a real portal, so that few invoices take many of them."""

    def get(self, kinds: Any, default: int) -> int:
        ways = CURRENT[-1].world.bulk
        return min(REAL_MOST_PAYS.get(kinds, default), ways.most if ways else default)


def _no_jitter() -> float:
    return 0.5


def _by_text(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Remember what is read out of a text; two readings of one text are one."""
    known: dict[str, Any] = {}

    def reads(reading: Any) -> Any:
        if reading.folded not in known:
            found = read(reading)
            known[reading.folded] = list(found) if isinstance(found, Iterator) else found
        return known[reading.folded]

    return reads


def _by_request(write: Callable[[Request], str]) -> Callable[[Request], str]:
    """Remember how a request is written."""
    known: dict[str, str] = {}

    def writes(request: Request) -> str:
        place = f"{request.method} {request.arguments}"
        if place not in known:
            if len(known) > 50_000:
                known.clear()
            known[place] = write(request)
        return known[place]

    return writes


def _once(read: Callable[..., Any]) -> Callable[..., Any]:
    """Read each of the bank's records once: they are never changed."""
    known: dict[int, tuple[Any, Any]] = {}

    def reads(record: Any, *arguments: Any) -> Any:
        found = known.get(id(record))
        if found is None or found[0] is not record:
            if len(known) > 1_000:
                known.clear()
            found = known[id(record)] = (record, read(record, *arguments))
        return found[1]

    return reads


@contextmanager
def replaced() -> Iterator[None]:
    """Swap what the simulation brings itself; pure functions are remembered, so that a run is fast."""
    with ExitStack() as stack:
        swap = stack.enter_context
        swap(patch.object(settling, "drive", Handoff))
        swap(patch.object(bulk, "_ride", hand_over))
        swap(patch.object(bulk, "MOST_PAYS", FewPays()))
        swap(patch.object(settling, "now_s", _now_s))
        swap(patch.object(lane, "now_s", _now_s))
        for module in (commands, lane):
            swap(patch.object(module, "encode", _by_request(module.encode)))
        swap(patch.object(invoices, "columns", _columns))
        swap(patch.object(sandbox_smart, "columns", _smart_columns))
        swap(patch.object(legacy_invoices, "parse_invoice", _parse))
        swap(patch.object(smart_invoices, "parse_invoice", parsed_smart))
        find, loose = lru_cache(maxsize=50_000)(find_references), _by_text(payments_matching.loose_numbers)
        for module in (payments_matching, payments_sieve):
            swap(patch.object(module, "find_references", find))
            swap(patch.object(module, "loose_numbers", loose))
        swap(
            patch.object(payments_matching, "speaks_of_replacement", _by_text(payments_matching.speaks_of_replacement))
        )
        swap(patch.object(translating, "parse_money", lru_cache(maxsize=50_000)(translating.parse_money)))
        swap(patch.object(collecting, "read_record", _once(collecting.read_record)))
        swap(patch.object(collecting, "_body", _once(collecting._body)))
        for repeats in (flows.REPEATS, flows.QUICK):
            stack.callback(object.__setattr__, repeats, "jitter", repeats.jitter)
            object.__setattr__(repeats, "jitter", _no_jitter)
        yield


@contextmanager
def simulated(simulation: Simulation) -> Iterator[None]:
    """Let the product's clock be this simulation's."""
    CURRENT.append(simulation)
    try:
        yield
    finally:
        CURRENT.pop()
