"""Many invoices at once: 500, by how many requests side by side; the others pay, ours also verifies."""

from __future__ import annotations

from tests.benchmarks.arithmetic import least_s, per_thousand
from tests.benchmarks.measuring import PEERS, Bench, Measured, Row, Task
from tests.benchmarks.portal import Setup

TITLE = "Paying many invoices (ours: paid and verified; the others: paid)"
# One at a time is how these two come; more at once are threads of their user's.
ONE_AT_A_TIME = ("b24pysdk", "b24api")
OURS = "ours"
# Left to itself it puts up to 48 pays into a request.
SMALLER = (20, 10, 5)


def measure(bench: Bench) -> list[Row]:
    """Measure each client at each concurrency, and what it costs to put fewer pays into a request."""
    scale = bench.scale
    rows = [
        _row(bench, client, at_once, scale.pays)
        for client in (*PEERS, OURS)
        for at_once in scale.concurrencies
        if at_once > 1 or client in ONE_AT_A_TIME
    ]
    rows += [_row(bench, OURS, scale.concurrencies[-1], scale.pays, most) for most in SMALLER]
    return [*rows, *(_row(bench, OURS, at_once, scale.many) for at_once in scale.concurrencies[-2:])]


def _row(bench: Bench, client: str, at_once: int, invoices: int, most: int | None = None) -> Row:
    scale = bench.scale
    arguments = (range(1, invoices + 1), at_once, *([] if most is None else [most]))
    measured = bench.measure(Task(client, "pay_in_bulk", arguments, Setup(invoices, scale.latency), scale.limit_s))
    more = {"invoices": invoices, "at once": at_once, "at most to a request": most}
    if measured.seconds is None:
        return measured.row(**more, **dict.fromkeys(("requests per 1,000", "at best", "of that"), ""))
    best = _best_s(bench, measured, client, at_once, invoices)
    counted = round(per_thousand(measured.requests, invoices), 1)
    return measured.row(**more, **{"requests per 1,000": counted, "at best": best, "of that": measured.seconds / best})


def _best_s(bench: Bench, measured: Measured, client: str, at_once: int, invoices: int) -> float:
    given = bench.scale.latency
    page_s = given.list_s if client == OURS else 0.0
    return least_s(
        invoices, measured.requests, at_once, write_s=given.write_s, latency_s=given.latency_s, page_s=page_s
    )
