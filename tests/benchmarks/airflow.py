"""The whole DAG in a real Airflow, from bank to paid: one mapped task for each invoice, and all of them in one task.

The DAG files are run as they are shipped. The mapped one takes 500 invoices a run at most, the other 10,000, so that one
run pays all of each size. `airflow dags test` runs all tasks one after the other in its own process: the memory is that
process's, at most, and before its first look at the ledger.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from airflow_b24.sandbox.server import Addresses
from tests.benchmarks.arithmetic import middle
from tests.benchmarks.dag_run import DagRun, count_s, make_home, plain, prepare, run_dag
from tests.benchmarks.measuring import Bench, Row
from tests.benchmarks.portal import Report, Setup, open_portal

TITLE = (
    "The whole DAG by `airflow dags test`, from bank to paid, in an empty home, with a ledger on SQLite, at a portal's own "
    "pace (50 requests, then 2 a second); `again` is the next run, which finds nothing new; memory of the one process that "
    "runs Airflow and all tasks"
)
MAPPED, BULK = "b24_pay_from_http", "b24_pay_in_bulk"
TASKS = ("collect", "match", "pay", "report")
LIMIT_S = 1800.0


@dataclass(frozen=True, slots=True)
class Size:
    """A DAG, so many invoices, and how often that is measured."""

    dag_id: str
    invoices: int
    times: int


# The largest is measured once: it takes minutes.
SIZES: Mapping[str, Sequence[Size]] = {
    "full": (Size(MAPPED, 100, 3), Size(BULK, 100, 3), Size(BULK, 1_000, 3), Size(BULK, 10_000, 1)),
    "quick": (Size(MAPPED, 20, 1), Size(BULK, 100, 1)),
}


@dataclass(frozen=True, slots=True)
class Story:
    """A first run that pays everything, the next one, which finds nothing new, and what the portal saw of them.

    `report_s` is what counting everything in the ledger takes then, by itself.
    """

    first: DagRun
    again: DagRun
    requests: int
    requests_again: int
    report_s: float
    report: Report

    def raw(self) -> dict[str, object]:
        """Everything that was seen."""
        seen = {"requests": self.requests, "requests again": self.requests_again, "503": self.report.refused}
        told = {**seen, "executed": self.report.executed, "methods of both": self.report.methods}
        told |= {"report_s": self.report_s}
        return {**plain(self.first), **told, "again": plain(self.again)}


def measure(bench: Bench) -> list[Row]:
    """Run each DAG at each size, every time in a new home, with a new ledger, on a fresh portal."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="bench-airflow-") as name:
        folder = Path(name)
        empty = prepare(folder / "empty")
        for number, size in enumerate(SIZES[bench.scale.name]):
            stories = [_tell(bench, size, folder / f"{number}-{time}", empty) for time in range(size.times)]
            rows.append(_row(size, stories, _smaller(rows, size)))
    return rows


def _tell(bench: Bench, size: Size, home: Path, empty: Path) -> Story:
    make_home(home, empty)
    setup = Setup(size.invoices, bench.scale.latency, bank=True)
    with open_portal(bench.children, setup, bench.certified) as portal:
        first = run_dag(size.dag_id, home, portal.addresses, LIMIT_S)
        requests = _requests(portal.addresses)
        again = run_dag(size.dag_id, home, portal.addresses, LIMIT_S)
        report = portal.end()
    sys.stderr.write(f"{size.dag_id} {size.invoices}: {first.run_s:.1f} s, then {again.run_s:.1f} s\n")
    return Story(first, again, requests, report.requests - requests, count_s(home), report)


def _requests(addresses: Addresses) -> int:
    with urlopen(f"{addresses.http}/sandbox/books", timeout=60) as answer:  # noqa: S310 - the sandbox
        found: int = json.load(answer)["requests"]
        return found


def _smaller(rows: Sequence[Row], size: Size) -> Row | None:
    """The largest of the smaller sizes of the same DAG."""
    found = [row for row in rows if row["DAG"] == size.dag_id]
    return found[-1] if found else None


def _row(size: Size, stories: Sequence[Story], smaller: Row | None) -> Row:
    """A line of medians; `growth` is how many times the seconds of the next smaller size it takes."""

    def mid(of: Callable[[Story], float]) -> float:
        return middle([of(story) for story in stories])

    seconds = mid(lambda story: story.first.run_s)
    row: Row = {"DAG": size.dag_id, "invoices": size.invoices, "seconds": seconds}
    row |= {name: mid(_task_s(name)) for name in TASKS}
    row |= {"growth": seconds / smaller["seconds"] if smaller else "", "ms each": 1000 * seconds / size.invoices}
    row["again"] = mid(lambda story: story.again.run_s)
    row["ledger, ms each"] = 1000 * mid(lambda story: story.first.busy_s) / size.invoices
    row["ledger, share"] = f"{mid(lambda story: story.first.busy_s / story.first.run_s):.0%}"
    row["ledger, KB each"] = mid(lambda story: story.first.ledger_bytes) / 1024 / size.invoices
    row |= {"MB at most": mid(lambda story: story.first.peak_mb), "MB before": mid(lambda story: story.first.before_mb)}
    row |= {"requests": mid(lambda story: story.requests), "503": mid(lambda story: story.report.refused)}
    row["paid once"] = min(story.report.executed.get(1, 0) for story in stories)
    row["paid twice"] = max(sum(story.report.executed.values()) for story in stories) - row["paid once"]
    return {**row, "states": _states(stories), "runs": [story.raw() for story in stories]}


def _task_s(name: str) -> Callable[[Story], float]:
    return lambda story: story.first.tasks.get(name, 0.0)


def _states(stories: Sequence[Story]) -> str:
    return " / ".join(sorted({story.first.state for story in stories} | {story.again.state for story in stories}))
