"""A slice of the shared pace, as the command that also runs it whole: `python -m tests.processes.pace --help`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes.databases import DATABASES

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("database", DATABASES)
def test_many_processes_lose_nothing_and_stay_within_the_rate(request: pytest.FixtureRequest, database: str) -> None:
    if database == "postgresql":
        request.getfixturevalue("postgres")
    given = ["--workers", "12", "--rate", "10", "--each", "3", "--database", database, "--json"]
    command = [sys.executable, "-m", "tests.processes.pace", *given]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["settled"], told["least"], told["lost"], told["refused"]) == (36, 3, 0, 0)
    # Each was claimed once: nobody had to begin anew because a turn came late.
    assert (told["requests"], told["claims"]) == (3 * 36, 36)
    # Twelve processes on a busy machine, at five times the usual rate; the figures of record are the command's.
    assert told["share"] > 0.4
