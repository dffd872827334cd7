"""Slices of the races, as the command that also runs them whole: `python -m tests.processes.race --help`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.processes import race, verdict
from tests.processes.databases import DATABASES
from tests.processes.promises import AMOUNT

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("database", DATABASES)
def test_of_processes_that_reach_for_one_invoice_one_wins_and_one_may_send(
    request: pytest.FixtureRequest, database: str
) -> None:
    told = raced(request, database, "claims", "--processes", "16", "--rounds", "20")
    assert (told["processes"], told["rounds"], told["violations"]) == (16, 20, [])


@pytest.mark.parametrize("database", DATABASES)
def test_of_processes_that_meet_an_expired_token_one_renews_it(request: pytest.FixtureRequest, database: str) -> None:
    told = raced(request, database, "tokens", "--processes", "16", "--rounds", "4")
    assert (told["rounds"], told["renewals"], told["lost"], told["violations"]) == (4, 4, 0, [])


def raced(request: pytest.FixtureRequest, database: str, *given: str) -> dict[str, Any]:
    """Run the command and return what it says."""
    if database == "postgresql":
        request.getfixturevalue("postgres")
    command = [sys.executable, "-m", "tests.processes.race", *given, "--store", database, "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize(
    ("settlements", "allocations", "sent", "used", "complaints"),
    [(1, 1, 1, AMOUNT, 0), (2, 1, 1, AMOUNT, 1), (1, 2, 1, AMOUNT, 1), (1, 1, 2, AMOUNT, 1), (1, 1, 1, 2 * AMOUNT, 1)],
)
def test_rows_of_a_second_winner_are_a_complaint(
    settlements: int, allocations: int, sent: int, used: int, complaints: int
) -> None:
    events = [{"what": "claimed"}] + [{"what": "sending"}] * sent
    ledger = verdict.Ledger([{}] * settlements, events, [{}] * allocations, [{"allocated": used}, {"allocated": 0}])
    assert len(race._books(ledger, rounds=1)) == complaints
