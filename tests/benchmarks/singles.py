"""Pays one after the other, from a cold bucket: how near to what the portal's limit allows."""

from __future__ import annotations

from tests.benchmarks.arithmetic import ideal_s
from tests.benchmarks.measuring import PEERS, Bench, Row, Task
from tests.benchmarks.portal import Setup

TITLE = "Paying one invoice after the other from a cold bucket (50 requests, then 2 a second)"

COLUMNS = ("ideal", "of the ideal", "requests per invoice")


def measure(bench: Bench) -> list[Row]:
    """Measure each client against the best possible for the requests it needs."""
    return [_row(bench, client) for client in (*PEERS, "ours")]


def _row(bench: Bench, client: str) -> Row:
    scale = bench.scale
    setup = Setup(scale.singles, scale.latency)
    measured = bench.measure(Task(client, "pay_one_by_one", (range(1, scale.singles + 1),), setup, scale.long_s))
    if measured.seconds is None:
        return measured.row(**dict.fromkeys(COLUMNS, ""))
    ideal = ideal_s(round(measured.requests - measured.refused), scale.single_s)
    figures = (ideal, f"{ideal / measured.seconds:.0%}", measured.requests / scale.singles)
    return measured.row(**dict(zip(COLUMNS, figures, strict=True)))
