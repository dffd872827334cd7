"""A long list, in order of id: beside a bare loop, which is as fast as the portal can be asked; and one too long to hold."""

from __future__ import annotations

from tests.benchmarks.arithmetic import in_order, middle
from tests.benchmarks.measuring import PEERS, Bench, Measured, Row, Task
from tests.benchmarks.portal import Setup
from tests.benchmarks.streamed import Streamed

TITLE = "Listing many invoices (the bare loop is a yardstick, no product: 10 batches of 10 ranges of ids, 4 at once)"
# So many times longer is the list that is not held.
LONGER = 20


def measure(bench: Bench) -> list[Row]:
    """Measure the bare loop, then each client against it; then ours on a list whose rows it forgets as they pass by."""
    bare = _measured(bench, "bare loop")
    rows = [_row(each, bare) for each in (bare, *(_measured(bench, client) for client in (*PEERS, "ours")))]
    return [*rows, _streamed(bench)]


def _measured(bench: Bench, client: str) -> Measured:
    setup = Setup(bench.scale.listed, bench.scale.latency)
    return bench.measure(Task(client, "list_all", (), setup, bench.scale.limit_s))


def _row(measured: Measured, bare: Measured) -> Row:
    ratio = round(measured.seconds / bare.seconds, 2) if measured.seconds and bare.seconds else ""
    ordered = all(in_order(outcome.said) for outcome in measured.outcomes)
    row = measured.row(**{"against the bare loop": ratio, "in order": "yes" if ordered else "no", "peak MiB": ""})
    return {name: value for name, value in row.items() if name != "executed"}


def _streamed(bench: Bench) -> Row:
    count = LONGER * bench.scale.listed
    setup = Setup(count, bench.scale.latency)
    measured = bench.count(Task("ours", "stream_all", (), setup, bench.scale.long_s))
    told = [outcome for outcome in measured.outcomes if isinstance(outcome, Streamed)]
    ordered = "yes" if told and all(each.in_order for each in told) else "no"
    peak = round(middle([each.peak_mib for each in told])) if told else ""
    row = measured.row(**{"against the bare loop": "", "in order": ordered, "peak MiB": peak})
    row |= {"client": f"ours, {count:,}", "said": " / ".join(sorted({f"{each.rows} listed" for each in told}))}
    return {name: value for name, value in row.items() if name != "executed"}
