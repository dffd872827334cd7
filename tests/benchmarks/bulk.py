"""Many invoices at once: 500, by how many requests side by side; the others pay, ours also verifies."""

from __future__ import annotations

from tests.benchmarks.arithmetic import per_thousand
from tests.benchmarks.measuring import PEERS, Bench, Row, Task
from tests.benchmarks.portal import Setup

TITLE = "Paying many invoices (ours: paid and verified; the others: paid)"
# One at a time is how these two come; more at once are threads of their user's.
ONE_AT_A_TIME = ("b24pysdk", "b24api")


def measure(bench: Bench) -> list[Row]:
    """Measure each client at each concurrency."""
    return [
        _row(bench, client, concurrency)
        for client in (*PEERS, "ours")
        for concurrency in bench.scale.concurrencies
        if concurrency > 1 or client in ONE_AT_A_TIME
    ]


def _row(bench: Bench, client: str, concurrency: int) -> Row:
    scale = bench.scale
    setup = Setup(scale.pays, scale.latency)
    arguments = (range(1, scale.pays + 1), concurrency)
    measured = bench.measure(Task(client, "pay_in_bulk", arguments, setup, scale.limit_s))
    counted = "" if measured.ended else round(per_thousand(measured.requests, scale.pays), 1)
    return measured.row(**{"at once": concurrency, "requests per 1,000": counted})
