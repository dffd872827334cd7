"""Operating time: batches that take 10 s of it each, of 480 s in ten minutes; nobody has a reason to wait."""

from __future__ import annotations

from airflow_b24.sandbox.settings import BilledTo
from tests.benchmarks.measuring import PEERS, Bench, Row, Task
from tests.benchmarks.portal import Latency, Setup
from tests.benchmarks.scale import QUICK

TITLE = "Operating time: batches one after the other, each of 10 s, of 480 s in ten minutes (the portal tells 10 s, and takes 40 ms)"
PAY_S, SIZE, HURRY = 5.0, 2, 250.0
BILLED_TO: tuple[BilledTo, ...] = ("methods", "batch")


def measure(bench: Bench) -> list[Row]:
    """See who stalls where a batch is billed to its methods, as documented, or to itself, as measured on a box."""
    ways = BILLED_TO[1:] if bench.scale is QUICK else BILLED_TO
    return [_row(bench, client, billed_to) for billed_to in ways for client in (*PEERS, "ours")]


def _row(bench: Bench, client: str, billed_to: BilledTo) -> Row:
    scale = bench.scale
    setup = Setup(scale.turns * SIZE, Latency(0.0, 0.0, 0.0, PAY_S, 0.0), billed_to=billed_to, hurry=HURRY)
    turns = [range(first, first + SIZE) for first in range(1, scale.turns * SIZE + 1, SIZE)]
    measured = bench.count(Task(client, "pay_in_turns", (turns,), setup, scale.limit_s))
    # Whoever is ended after more requests than there are batches has been slow, and has not stalled.
    stalls = measured.ended and measured.requests < scale.turns
    return measured.row(**{"batches": scale.turns, "billed to": billed_to, "stalls": "yes" if stalls else "no"})
