from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_b24 import cli, demo
from airflow_b24.payments.money import Money
from airflow_b24.reconcile.reporting import Line
from airflow_b24.sandbox import seed

# Half a minute on an idle machine; the rest of the suite keeps both cores busy beside it.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """The demo's command, run once from an empty home as a newcomer would."""
    place = tmp_path_factory.mktemp("newcomer")
    for name in ("home", "tmp", "cwd"):
        (place / name).mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))}
    environment = kept | {"HOME": str(place / "home"), "TMPDIR": str(place / "tmp"), "B24_DEMO_MARK": str(place)}
    command = [sys.executable, "-B", "-m", "airflow_b24.cli", "demo", "--json"]
    package = {"PYTHONPATH": str(Path(demo.__file__).parent.parent)}
    done = subprocess.run(
        command, env=environment | package, cwd=place / "cwd", capture_output=True, text=True, timeout=280, check=False
    )
    return done, place


def test_the_demo_ends_well_and_its_last_line_says_so_to_a_program(finished: Any) -> None:
    done, _ = finished
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    ends = Counter(story.end for story in seed.DEMO)
    received = told.pop("received")
    assert 0 < told.pop("seconds") < 280
    assert (told.pop("legacy"), told.pop("smart")) == (14, 5)
    assert told == {
        "payments": len(seed.DEMO),
        "paid": ends["paid"] + ends["by_hand"],
        "by_hand": ends["by_hand"],
        "review": ends["review"],
        "waiting": 0,
        "ignored": ends["ignored"],
        "dismissed": 0,
        "open_cases": 0,
        "not_written": 0,
        "would_pay": 0,
        "double_paid": 0,
        "agrees": True,
    }
    assert told["payments"] == told["paid"] + told["review"] + told["waiting"] + told["ignored"]
    assert list(received.values()) == ["1084610.49 RUB"]


def test_the_demo_shows_every_payment_and_what_became_of_it(finished: Any) -> None:
    shown = finished[0].stdout
    assert [
        story.payment_id
        for story in seed.DEMO
        if story.end != "ignored" and story.scenario != "malformed_amount" and story.payment_id not in shown
    ] == []
    assert "The portal's own books agree." in shown


def test_the_demo_shows_no_secret(finished: Any) -> None:
    shown = finished[0].stdout + finished[0].stderr
    assert [secret for secret in (seed.TECHNICAL_SECRET, seed.BANK_API_KEY) if secret in shown] == []


def test_the_demo_leaves_nothing_behind(finished: Any) -> None:
    _, place = finished
    assert [str(path.relative_to(place)) for name in ("home", "tmp", "cwd") for path in (place / name).rglob("*")] == []
    assert list(_survivors(str(place))) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_stopped_says_so_in_one_line_and_leaves_nothing_behind(
    tmp_path: Path, number: signal.Signals
) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))}
    marked = {
        "TMPDIR": str(tmp_path),
        "B24_DEMO_MARK": str(tmp_path),
        "PYTHONPATH": str(Path(demo.__file__).parents[1]),
    }
    command = [sys.executable, "-B", "-m", "airflow_b24.cli", "demo"]
    with subprocess.Popen(
        command, env=kept | marked, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if "Preparing a temporary Airflow" in line:
                break
        # Its Airflow is a second process with the mark, once it has started.
        while len(list(_survivors(str(tmp_path)))) < 2:
            assert running.poll() is None
        running.send_signal(number)
        out, err = running.communicate(timeout=30)
    assert (running.returncode, out, err) == (130, "", f"{cli.STOPPED}\n")
    assert list(_survivors(str(tmp_path))) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("count", "said"), [(0, "0 invoices were"), (1, "1 invoice was"), (2, "2 invoices were")])
def test_one_invoice_was_and_more_were_paid(count: int, said: str) -> None:
    invoices = [{"executed_pays": int(index < count)} for index in range(3)]
    assert demo._paid({"invoices": invoices[:1], "smart_invoices": invoices[1:]}) == said


def _survivors(mark: str) -> Iterator[str]:
    """Processes that still carry the demo's environment."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"B24_DEMO_MARK={mark}".encode() in (process / "environ").read_bytes():
                yield (process / "cmdline").read_bytes().decode()
        except OSError:
            continue


def _line(status: str, number: str) -> Line:
    return Line(status, "", "", "B0001", Money(100, "RUB"), invoices=number)


@pytest.mark.parametrize(
    ("status", "paid", "pays", "double", "complaints"),
    [
        ("paid", True, 1, 0, 0),
        ("paid", False, 1, 0, 1),
        ("paid", True, 0, 0, 1),
        ("paid", True, 2, 1, 2),
        ("review", True, 1, 0, 1),
        ("review", False, 0, 0, 0),
        ("by_hand", True, 0, 0, 0),
        ("by_hand", False, 0, 0, 1),
        ("by_hand", True, 1, 0, 2),
    ],
)
@pytest.mark.parametrize("kind", ["invoices", "smart_invoices"])
def test_any_difference_between_the_ledger_and_the_portals_books_is_a_complaint(
    *, kind: str, status: str, paid: bool, pays: int, double: int, complaints: int
) -> None:
    books = {"double_paid": double, "invoices": [], "smart_invoices": []}
    books[kind] = [{"number": "2026/1", "executed_pays": pays, "paid": paid}]
    assert len(demo._disagreements([_line(status, "2026/1")], books)) == complaints


def test_a_story_that_ends_otherwise_is_a_complaint() -> None:
    assert demo._surprises([_line("paid", "")]) == []
    assert demo._surprises([_line("review", "")]) == ["B0001 (number_and_tax_id) ended review, not paid"]
