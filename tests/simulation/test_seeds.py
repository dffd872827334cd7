"""A slice of the simulation for every day; `python -m tests.simulation --seeds 1000000 --jobs 2` runs it at length."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.checker import check
from tests.simulation.comparing import difference
from tests.simulation.crowds import Settling
from tests.simulation.offices import Kinds
from tests.simulation.rules_paths import TABLE
from tests.simulation.running import Progress, Tally, kept, run, simulate, stage
from tests.simulation.tracing import trace

MANY: tuple[tuple[int, Settling], ...] = ((7, "single"), (8, "single"), (12, "bulk"))
TOP = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tally() -> Tally:
    """2,000 seeds on the dictionary ledger."""
    return run(2000)


def test_no_seed_violates_a_rule(tally: Tally) -> None:
    assert tally.seeds == 2000
    assert tally.failed == {}
    assert tally.executed["legacy"] > 500
    assert tally.executed["smart"] > 300


def test_a_quarter_of_the_worlds_settles_in_bulk_and_that_is_never_none_of_them(tally: Tally) -> None:
    assert tally.bulk["pays"] > 600
    # Some of them carry several, and hardly more is asked than that, though some portals refuse nearly every batch.
    assert 400 < tally.bulk["batches"] < tally.bulk["pays"] * 0.95
    assert tally.bulk["requests"] < tally.bulk["batches"] * 5
    assert run(50, settling="bulk").bulk["pays"] > 50
    assert run(50, settling="single").bulk == {"pays": 0, "batches": 0}


def test_every_way_through_the_table_is_taken(tally: Tally) -> None:
    assert {(str(before), after) for before, after in TABLE} - set(tally.edges) == set()
    assert set(tally.edges) <= {(str(before), after) for before, after in TABLE}


def test_every_reason_for_a_review_is_met(tally: Tally) -> None:
    assert set(tally.reviews) >= {
        *("already_paid", "amount_changed", "cancelled", "held", "invoice_changed", "invoice_not_found"),
        *("landed_then_changed", "paid_other_amount", "portal_refused", "required_field", "sibling_changed"),
        "true_but_unpaid",
    }


def test_what_can_be_proven_hardly_ever_goes_before_a_person(tally: Tally) -> None:
    assert tally.provable[0.1] > 100
    assert tally.avoidable[0.1] <= tally.provable[0.1] / 1000


def test_faults_that_stop_leave_nothing_waiting() -> None:
    assert run(500, mode="liveness").failed == {}


def test_the_ledger_in_dictionaries_and_the_one_on_sqlite_tell_one_story() -> None:
    both = run(75, store="both")
    assert (both.seeds, both.failed) == (75, {})
    assert both.bulk["pays"] > 10


def test_two_stories_that_differ_in_a_word_are_told_apart() -> None:
    assert difference(["a", "b"], ["a", "b"]) == ""
    assert difference(["a", "b"], ["a", "c", "d"]) == "b | c"
    assert difference(["a"], ["a", "c"]) == "nothing | c"


@pytest.mark.parametrize(("mode", "seed", "kinds", "settling"), kept())
def test_a_seed_that_ever_failed_does_not_fail_again(mode: str, seed: int, kinds: Kinds, settling: Settling) -> None:
    with stage("dict") as books:
        assert check(simulate(seed, books, mode, kinds, settling)).violations == []


def test_seeds_spread_over_processes_come_to_the_same() -> None:
    assert run(700, jobs=2) == run(700)


def test_how_far_it_is_is_told_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(3000, tells=True)
    progress.tell(Tally(seeds=1000))
    progress.next = progress.began
    progress.tell(Tally(seeds=2000, failures=1))
    assert capsys.readouterr().err.startswith("2,000 of 3,000 seeds, 1 failed, ")


def test_a_seed_is_the_same_story_each_time() -> None:
    stories = []
    for _ in range(2):
        with stage("dict") as books:
            stories.append([list(trace(simulate(seed, books, settling=how))) for seed, how in MANY])
    assert stories[0] == stories[1]
    assert any("EXECUTED" in line for story in stories[0] for line in story)


def test_guards_are_taken_away_on_the_dictionary_ledger_alone() -> None:
    with pytest.raises(ValueError, match="--without"), stage("sqlite", ["fence"]):
        pass


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--seeds", "30", "--json"], 0, '"violations": {}'),
        (["--seeds", "1", "--start", "7"], 0, "0 violations, commit"),
        (["--seeds", "60", "--without", "intent"], 1, "FAILED --mode safety --kinds mixed --settling mixed --start"),
        (["--seeds", "60", "--without", "intent", "--json"], 1, '"keep": [\n    "safety '),
        (["--seeds", "4", "--store", "both"], 0, "failed_seeds                      0"),
    ],
)
def test_the_command_says_what_it_found(options: list[str], code: int, said: str) -> None:
    command = [sys.executable, "-m", "tests.simulation", *options]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False, timeout=100)
    assert (done.returncode, said in done.stdout) == (code, True), done.stderr
