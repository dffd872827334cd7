"""A slice of the kills, as its own command: `python -m tests.processes.kills --kills 2000`, of which the README tells."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes.databases import DATABASES

ROOT = Path(__file__).parents[2]
KILLS = {"single": 30, "bulk": 10}
LONGEST_S = 60


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tests.processes.kills", *arguments]


@pytest.mark.parametrize("way", KILLS)
@pytest.mark.parametrize("database", DATABASES)
def test_killed_and_frozen_workers_leave_every_invoice_paid_once(
    request: pytest.FixtureRequest, database: str, way: str
) -> None:
    if database == "postgresql":
        request.getfixturevalue("postgres")
    given = command("--kills", str(KILLS[way]), "--store", database, "--way", way, "--json")
    done = subprocess.run(given, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["violations"], told["kills"]) == ([], KILLS[way])
    # Killed in the middle, not between two: else this proves nothing.
    assert told["within_settlements"] > KILLS[way] / 2
    assert told["paid"] > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_ended_leaves_no_process_behind(tmp_path: Path, number: signal.Signals) -> None:
    marked = os.environ | {"TMPDIR": str(tmp_path), "B24_KILLS_MARK": str(tmp_path)}
    given = command("--kills", "1000", "--store", "sqlite", "--workers", "2")
    with subprocess.Popen(given, cwd=ROOT, env=marked, stderr=subprocess.DEVNULL) as running:
        try:
            # Its portal and its workers are processes with the same mark, once they have started.
            until(lambda: len(marked_processes(str(tmp_path))) >= 4, running)
            running.send_signal(number)
            running.wait(timeout=LONGEST_S)
        finally:
            running.kill()
    until(lambda: not marked_processes(str(tmp_path)))
    assert number == signal.SIGKILL or list(tmp_path.iterdir()) == []


def until(happened: Callable[[], object], running: subprocess.Popen[bytes] | None = None) -> None:
    ends = time.monotonic() + LONGEST_S
    while not happened():
        assert time.monotonic() < ends
        assert running is None or running.poll() is None


def marked_processes(mark: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"B24_KILLS_MARK={mark}".encode() in (process / "environ").read_bytes():
                found.append(process.name)
        except OSError:
            continue
    return found
