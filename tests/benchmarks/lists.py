"""A long list, in order of id: beside a bare loop, which is as fast as the portal can be asked."""

from __future__ import annotations

from tests.benchmarks.arithmetic import in_order
from tests.benchmarks.measuring import PEERS, Bench, Measured, Row, Task
from tests.benchmarks.portal import Setup

TITLE = "Listing many invoices (the bare loop is a yardstick, no product: 10 batches of 10 ranges of ids, 4 at once)"


def measure(bench: Bench) -> list[Row]:
    """Measure the bare loop, then each client against it."""
    bare = _measured(bench, "bare loop")
    return [_row(each, bare) for each in (bare, *(_measured(bench, client) for client in (*PEERS, "ours")))]


def _measured(bench: Bench, client: str) -> Measured:
    setup = Setup(bench.scale.listed, bench.scale.latency)
    return bench.measure(Task(client, "list_all", (), setup, bench.scale.limit_s))


def _row(measured: Measured, bare: Measured) -> Row:
    ratio = round(measured.seconds / bare.seconds, 2) if measured.seconds and bare.seconds else ""
    ordered = all(in_order(outcome.said) for outcome in measured.outcomes)
    row = measured.row(**{"against the bare loop": ratio, "in order": "yes" if ordered else "no"})
    return {name: value for name, value in row.items() if name != "executed"}
