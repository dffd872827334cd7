"""The sums behind the figures, and the end of a client that hangs."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from airflow_b24.sandbox.bucket import Bucket
from tests.benchmarks.arithmetic import ideal_s, in_order, in_words, least_s, middle, per_thousand
from tests.benchmarks.table import shown, table

ROOT = Path(__file__).parents[2]
HANGING = """
import time
from tests.benchmarks.measuring import ask
from tests.processes.children import Children

def hang(ready):
    ready()
    time.sleep(600)

with Children() as children:
    assert ask(children, lambda ready: (ready(), "done")[1], 10) == "done"
    assert ask(children, hang, 0.2) is None
    assert children.pids == set()
"""


@pytest.mark.parametrize(
    ("requests", "at_once", "page_s", "seconds"),
    [
        # 500 pays of 40 ms in ten requests, each 20 ms more.
        (10, 1, 0.0, 20.2),
        (10, 5, 0.0, 4.04),
        # Twice ten pages of 40 ms.
        (12, 10, 0.04, 2.104),
    ],
)
def test_the_least_is_the_portals_work_spread_evenly(
    requests: int, at_once: int, page_s: float, seconds: float
) -> None:
    assert least_s(500, requests, at_once, write_s=0.04, latency_s=0.02, page_s=page_s) == pytest.approx(seconds)


@pytest.mark.parametrize(("values", "median"), [([3.0, 1.0, 2.0], 2.0), ([4.0, 1.0], 2.5), ([7.0], 7.0)])
def test_the_median_is_the_value_in_the_middle(values: list[float], median: float) -> None:
    assert middle(values) == median


@pytest.mark.parametrize(
    ("requests", "each_s", "seconds"),
    [
        (0, 0.06, 0.0),
        (1, 0.06, 0.06),
        # Within the burst nobody waits for the bucket.
        (50, 0.06, 3.0),
        # The 120th finds room once 70 of those ahead of it have leaked out, two a second.
        (120, 0.06, 35.06),
        # Slow answers, not the bucket, are what takes so long.
        (60, 1.0, 60.0),
    ],
)
def test_the_ideal_is_bound_by_the_bucket_or_by_the_answers(requests: int, each_s: float, seconds: float) -> None:
    assert ideal_s(requests, each_s) == pytest.approx(seconds)


def test_the_ideal_is_what_the_sandbox_admits() -> None:
    start, bucket, now = datetime(2026, 11, 23, tzinfo=UTC), Bucket(), timedelta(0)
    for _ in range(120):
        while not bucket.admits(start + now):
            now += timedelta(milliseconds=1)
    assert ideal_s(120, 0.0) == pytest.approx(now.total_seconds(), abs=0.01)


def test_requests_are_counted_for_a_thousand_invoices() -> None:
    assert per_thousand(10, 500) == 20


def test_executed_pays_are_told_in_words() -> None:
    assert (in_words({1: 450, 2: 50}), in_words({11: 1}), in_words({})) == ("450 once, 50 twice", "1 11 times", "none")


def test_ids_are_in_order_or_not() -> None:
    assert in_order([1, 2, 3])
    assert not in_order([1, 3, 2])


def test_a_table_shows_each_row_without_its_raw_runs() -> None:
    lines = table("Title", [{"client": "ours", "seconds": 2.0, "runs": [1]}, {"client": "b", "seconds": None}]).split(
        "\n"
    )
    assert lines == ["Title", "", "client  seconds", "------  -------", "ours    2", "b       -", ""]


@pytest.mark.parametrize(("value", "cell"), [(2.0, "2"), (2.345, "2.35"), ("", "-"), (None, "-"), (0, "0")])
def test_a_cell_is_short(value: object, cell: str) -> None:
    assert shown(value) == cell


def test_a_client_that_hangs_is_ended_and_its_process_is_gone() -> None:
    command = [sys.executable, "-c", HANGING]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
