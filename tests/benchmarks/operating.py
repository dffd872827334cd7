"""Operating time, of which a method has 480 s in ten minutes: who stalls below the limit, and how long over it.

Below it nobody has a reason to wait. Over it the portal refuses until the oldest minute is dropped, soon or late: what is
near may be slept for, what is far should free the worker.
"""

from __future__ import annotations

from airflow_b24.sandbox.settings import BilledTo
from tests.benchmarks.arithmetic import middle
from tests.benchmarks.measuring import PEERS, Bench, Measured, Row, Task
from tests.benchmarks.portal import PAY, Latency, Setup, Spent
from tests.benchmarks.scale import QUICK

TITLE = "Operating time: batches one after the other, each of 10 s, of 480 s in ten minutes (the portal tells 10 s, and takes 40 ms)"
PAY_S, SIZE, HURRY = 5.0, 2, 250.0
BILLED_TO: tuple[BilledTo, ...] = ("methods", "batch")
# What was used before, so that the first batch crosses the limit; and, in bulk, one in the middle.
NEARLY_S, MOSTLY_S = 475.0, 400.0
SOON_S, LATE_S, LANES = 5.0, 300.0, 3
# A lane that is refused before any answer has said until when waits a minute before it knows more.
UNTOLD_S = 60.0


def measure(bench: Bench) -> list[Row]:
    """See who stalls where a batch is billed to its methods, as documented, or to itself, as measured on a box."""
    ways = BILLED_TO[1:] if bench.scale is QUICK else BILLED_TO
    clients = (*PEERS, "ours")
    below = [_below(bench, client, billed_to) for billed_to in ways for client in clients]
    soon = [_soon(bench, client, billed_to) for billed_to in ways for client in clients]
    return [*below, *soon, *(_late(bench, billed_to) for billed_to in ways)]


def _below(bench: Bench, client: str, billed_to: BilledTo) -> Row:
    measured = bench.count(
        Task(client, "pay_in_turns", (_turns(bench),), _setup(bench, billed_to), bench.scale.limit_s)
    )
    return _row(measured, bench, billed_to, "not reached")


def _soon(bench: Bench, client: str, billed_to: BilledTo) -> Row:
    """The first batch crosses the limit, for some seconds."""
    setup = _setup(bench, billed_to, Spent(_method(billed_to), NEARLY_S, SOON_S))
    measured = bench.count(Task(client, "pay_in_turns", (_turns(bench),), setup, bench.scale.limit_s + SOON_S))
    return _row(measured, bench, billed_to, f"crossed, for {SOON_S:g} s")


def _late(bench: Bench, billed_to: BilledTo) -> Row:
    """The limit is crossed in the middle of one run in bulk, for longer than a worker should sleep."""
    setup = _setup(bench, billed_to, Spent(_method(billed_to), MOSTLY_S, LATE_S))
    invoices = range(1, setup.invoices + 1)
    measured = bench.count(Task("ours", "pay_as_task", (invoices, LANES), setup, bench.scale.limit_s + UNTOLD_S))
    return _row(measured, bench, billed_to, f"crossed, for {LATE_S:g} s")


def _method(billed_to: BilledTo) -> str:
    return "batch" if billed_to == "batch" else PAY


def _setup(bench: Bench, billed_to: BilledTo, spent: Spent | None = None) -> Setup:
    latency = Latency(0.0, 0.0, 0.0, PAY_S, 0.0)
    return Setup(bench.scale.turns * SIZE, latency, billed_to=billed_to, hurry=HURRY, spent=spent)


def _turns(bench: Bench) -> list[range]:
    return [range(first, first + SIZE) for first in range(1, bench.scale.turns * SIZE + 1, SIZE)]


def _row(measured: Measured, bench: Bench, billed_to: BilledTo, limit: str) -> Row:
    # Whoever is ended after more requests than there are batches has been slow, and has not stalled.
    stalls = measured.ended and measured.requests < bench.scale.turns
    row = measured.row(
        **{"batches": bench.scale.turns, "billed to": billed_to, "limit": limit, "stalls": "yes" if stalls else "no"}
    )
    return {**row, "resumed after s": _resumed_s(measured), "given back until": _given_back(measured)}


def _resumed_s(measured: Measured) -> float | None:
    """How long after the portal had freed the method its next pay ran, at worst."""
    return max((report.resumed_s for _, report in measured.runs if report.resumed_s is not None), default=None)


def _given_back(measured: Measured) -> str:
    """When the client says that trying again helps, by how far from when it does."""
    late_s = [
        outcome.retry_at - report.freed_at
        for outcome, report in measured.runs
        if outcome is not None and outcome.retry_at is not None and report.freed_at is not None
    ]
    return f"{middle(late_s):+.1f} s from then" if late_s else ""
