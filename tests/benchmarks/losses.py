"""Answers that are lost after the portal has paid: how often it pays then, and what the client says of it."""

from __future__ import annotations

from airflow_b24.sandbox.faults import Rule
from tests.benchmarks.measuring import PEERS, Bench, Row, Task
from tests.benchmarks.portal import PAY, Setup
from tests.benchmarks.scale import QUICK

TITLE = "Answers lost after paying (b24api's first pause is cut from 5 s to 0.2 s: it changes its waits, not its sends)"
HASTE = {"BITRIX24_API_RETRY_DELAY": "0.2"}
ONCE, ALWAYS = 1, 10**9


def measure(bench: Bench) -> list[Row]:
    """Lose one answer, then every one: of a single pay, and of a batch."""
    losses = {"one answer": ONCE} if bench.scale is QUICK else {"one answer": ONCE, "every answer": ALWAYS}
    return [
        _row(bench, client, count, lost, times)
        for lost, times in losses.items()
        for count in (1, bench.scale.batch)
        for client in (*PEERS, "ours")
    ]


def _row(bench: Bench, client: str, count: int, lost: str, times: int) -> Row:
    setup = Setup(count, bench.scale.latency, rules=(Rule("lost_after", method=PAY, times=times),))
    single = count == 1
    function, more = ("pay_one_by_one", ()) if single else ("pay_in_bulk", (1,))
    task = Task(client, function, (range(1, count + 1), *more), setup, bench.scale.long_s, HASTE)
    return bench.count(task).row(pays="a single one" if single else f"a batch of {count}", lost=lost)
