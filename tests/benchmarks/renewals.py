"""An access token that ends when half of six batches are paid: how often it is renewed, and what is lost by it."""

from __future__ import annotations

from tests.benchmarks.measuring import PEERS, Bench, Row, Task
from tests.benchmarks.portal import Setup

TITLE = "An access token that ends in the middle of six batches, three side by side"
BATCHES, AT_ONCE, SIZE = 6, 3, 50


def measure(bench: Bench) -> list[Row]:
    """Count how often each client asks for a new token."""
    return [_row(bench, client) for client in (*PEERS, "ours")]


def _row(bench: Bench, client: str) -> Row:
    count = BATCHES * SIZE
    setup = Setup(count, bench.scale.latency, expire_after=count // 2)
    task = Task(client, "pay_as_application", (range(1, count + 1), AT_ONCE), setup, bench.scale.limit_s)
    measured = bench.count(task)
    asked = sorted({report.renewals for _, report in measured.runs}) if measured.can else []
    return measured.row(renewals=" / ".join(map(str, asked)))
