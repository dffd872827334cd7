"""What people do meanwhile, on the portal's pages and with the ledger's commands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_b24.bitrix.errors import BitrixError
from airflow_b24.ledger import cases as ledger_cases
from airflow_b24.ledger import releases
from airflow_b24.ledger.errors import LedgerError
from airflow_b24.reconcile import releasing
from airflow_b24.sandbox.seed_funnels import CONTRACT
from tests.simulation.history import Act
from tests.simulation.wire import Crash
from tests.simulation.worlds import IN_THE_LEDGER, Deed

if TYPE_CHECKING:
    from tests.simulation.simulating import Simulation


def do(simulation: Simulation, deed: Deed) -> None:
    """Let it happen now."""
    if deed.what in IN_THE_LEDGER:
        _in_the_ledger(simulation, deed)
    else:
        _on_the_portal(simulation, deed)


def _on_the_portal(simulation: Simulation, deed: Deed) -> None:
    portal, target = simulation.portal, deed.target
    if deed.what == "delete":
        portal.delete(target)
    elif deed.what == "pay_and_reverse":
        portal.edit(target, "pay", _pay(simulation) if target[0] == "legacy" else {"do": "pay"})
        portal.edit(target, "reverse", {"do": "reverse"})
    else:
        what = "pay" if deed.what.startswith("pay_") and deed.what != "pay_system" else deed.what
        document = _document(simulation, deed) if target[0] == "legacy" else _on_a_smart_one(simulation, deed)
        # A portal that had been told late, or whose clock was wrong: there is no date that a person could set.
        earlier = portal.now - timedelta(days=5) if deed.what == "pay_earlier" and target[0] == "smart" else None
        portal.edit(target, what, document, earlier)


def _document(simulation: Simulation, deed: Deed) -> dict[str, Any]:
    match deed.what:
        case "pay":
            return _pay(simulation)
        case "pay_earlier":
            return _pay(simulation, days=-5)
        case "pay_voucher":
            return _pay(simulation, voucher_number=simulation.document_of(deed.target))
        case "pay_other_voucher":
            return _pay(simulation, voucher_number="4711")
        case "cancel":
            return {"do": "cancel"}
        case "uncancel" | "reverse":
            return {"do": "reverse"}
        case "price":
            return {"do": "edit", "fields": {"price": simulation.rng.choice(("119.00", "360.00", "118.00"))}}
        case "number":
            return {"do": "edit", "fields": {"number": f"2026/9{deed.target[1]}"}}
        case "company":
            return {"do": "edit", "fields": {"company_id": 29}}
        case "undo":
            # Taken back, and at its old price.
            return {"do": "reverse", "fields": {"price": simulation.price_of(deed.target)}}
        case "pay_system":
            return {"do": "edit", "fields": {"pay_system_id": 6}}
        case _:
            return {"do": "edit", "fields": {"comments": "checked"}}


def _on_a_smart_one(simulation: Simulation, deed: Deed) -> dict[str, Any]:
    """It has no voucher and no date of its own: being paid is a stage."""
    if deed.what.startswith("pay"):
        return {"do": "pay"}
    if deed.what == "fill":
        return {"do": "edit", "fields": {"custom": {CONTRACT: "17"}}}
    return _document(simulation, deed)


def _pay(simulation: Simulation, days: int = 0, **fields: Any) -> dict[str, Any]:
    now = simulation.portal.now + timedelta(days=days)
    return {"do": "pay", "fields": {"paid_at": now.isoformat(), "voucher_date": now.date().isoformat(), **fields}}


def _in_the_ledger(simulation: Simulation, deed: Deed) -> None:
    if deed.what == "plain_pay":
        simulation.entries.append(Act(simulation.timeline.now, deed.what, 0, True, deed.target))
        # Where an id may be of either kind, some give the id alone: nothing may come of that.
        vague = len(simulation.world.office.kinds) > 1 and simulation.rng.random() < 0.5
        simulation.begin(None, deed.target[1], "" if vague else deed.target[0])
        return
    if deed.what == "sweep":
        # Somebody starts its DAG by hand.
        simulation.sweep_alone()
        return
    found = [each for each in CANDIDATES[deed.what](simulation) if each is not None]
    if not found:
        return
    target = simulation.rng.choice(found)
    before, simulation.actor = simulation.actor, "person"
    done = True
    try:
        DOINGS[deed.what](simulation, target)
    except (ValueError, LedgerError, BitrixError, Crash):
        done = False
    simulation.actor = before
    simulation.entries.append(Act(simulation.timeline.now, deed.what, target, done))


def _in_state(*states: str) -> Callable[[Simulation], list[int]]:
    return lambda simulation: [row["id"] for row in simulation.books.settlements() if row["state"] in states]


def _held(simulation: Simulation) -> list[int]:
    return [row["id"] for row in simulation.books.payments() if row["held"]]


def _close(simulation: Simulation, case_id: int) -> None:
    with simulation.store.transaction() as connection:
        ledger_cases.close_one(connection, case_id)


CANDIDATES: dict[str, Callable[[Simulation], list[int]]] = {
    # Reviews first; a person may also try what is refused.
    "release": lambda simulation: (
        _in_state("review")(simulation) or _in_state("collecting", "ready", "sending", "unknown")(simulation)
    ),
    "release_paid": _in_state("paid"),
    "retry": _in_state("review"),
    "accept": _held,
    "close": lambda simulation: [row["id"] for row in simulation.books.cases() if row["closed_at"] is None],
}
DOINGS: dict[str, Callable[[Simulation, int], Any]] = {
    "release": lambda simulation, target: releasing.release(simulation.desk, target),
    "release_paid": lambda simulation, target: releasing.release(simulation.desk, target),
    "retry": lambda simulation, target: releasing.retry(simulation.desk, target),
    "accept": lambda simulation, target: releases.accept(simulation.store, target),
    "close": _close,
}
