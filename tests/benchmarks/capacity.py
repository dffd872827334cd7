"""What saturates first with 1,000,000 invoices a month on one portal, and with 1,000 portals: a model, not a measurement."""

from __future__ import annotations

from dataclasses import asdict

from tests.benchmarks.capacity_model import Inputs, Load, uses
from tests.benchmarks.curve import inputs_of
from tests.benchmarks.measuring import Bench, Row

TITLE = (
    "What saturates first: a model, whose costs were measured on the sandbox and whose operating time (40 ms a pay, 42 with its share of a batch), "
    "processors (2), time to start a task (2 s of one) and writers of PostgreSQL (8) are assumed; a run every 15 minutes, "
    "a week collected again and 45 days of paid invoices listed again in each, all payments of 12 months in one ledger; above 100 % it cannot be done"
)
LOADS = {
    "1 portal, 1,000,000 a month, day and night": Load(1, 1_000_000),
    "1 portal, 1,000,000 a month, in 8 hours of 21 days": Load(1, 1_000_000, hours=8, days=21),
    "1,000 portals, 1,000 a month each, day and night": Load(1_000, 1_000),
}


COUNT = len(uses(Inputs(), Load(1, 1)))


def measure(bench: Bench) -> list[Row]:
    """Put the measured costs into the model; the limits of each load come in the order in which they saturate."""
    inputs, origin = inputs_of(bench.found)
    return [_row(name, load, inputs, place, origin) for name, load in LOADS.items() for place in range(COUNT)]


def _row(name: str, load: Load, inputs: Inputs, place: int, origin: str) -> Row:
    use = uses(inputs, load)[place]
    return {
        "load": name,
        "place": place + 1,
        "limit": use.limit,
        "use": f"{use.share:.1%}",
        "most invoices a month of each": _told(use.most_invoices),
        "most portals": _told(use.most_portals) if load.portals > 1 else "",
        "ledger, GB a year": 12 * load.portals * load.invoices * inputs.ledger_bytes / 1e9 if place == 0 else "",
        "runs": [{**asdict(use), "load": asdict(load), "inputs": asdict(inputs), "costs of": origin}],
    }


def _told(most: float) -> str:
    return "any number" if most == float("inf") else f"{most:,.0f}"
