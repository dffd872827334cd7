"""One run of a shipped DAG by `airflow dags test`, in an Airflow home and a process of its own, and what it took."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow_b24.demo import _environment
from airflow_b24.examples import write_examples
from airflow_b24.ledger.store import Store
from airflow_b24.reconcile.reporting import report
from airflow_b24.sandbox.server import Addresses
from tests.benchmarks.portal import TODAY
from tests.benchmarks.watched import Spell

ROOT = Path(__file__).parents[2]
MIGRATE_S = 120.0
# The plan of the portal is an ordinary one.
ORDINARY: Mapping[str, int] = {}
SEEN, SAID, LEDGER, METADATA = "seen.json", "said.txt", "airflow_b24.db", "airflow.db"


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when, in seconds since 1970."""

    began: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began


@dataclass(frozen=True, slots=True)
class DagRun:
    """What a run took: of the whole command, of the run in Airflow's own books, and of each task's instances there.

    `busy_s` is for how long anybody was in the ledger, `ledger_s` the same summed over all threads; `pace_s` and
    `opening_s` are likewise of the pace's own file, and of opening the ledger.
    """

    state: str
    command_s: float
    run_s: float
    tasks: Mapping[str, float]
    busy: Mapping[str, float]
    busy_s: float
    ledger_s: float
    pace_s: float
    opening_s: float
    transactions: int
    ledger_bytes: int
    peak_mb: float
    before_mb: float


def prepare(folder: Path) -> Path:
    """Make an empty metadata database, once for all runs; returns its file."""
    folder.mkdir()
    path = folder / METADATA
    environment = _environment(
        folder, Addresses("http://127.0.0.1:1", "https://127.0.0.1:1", folder / "none"), ORDINARY
    )
    _airflow(["-m", "airflow", "db", "migrate"], environment, folder, MIGRATE_S)
    return path


def make_home(home: Path, empty: Path) -> None:
    """Make an Airflow home with an empty metadata database and the shipped DAG files."""
    home.mkdir()
    # A copy of the file alone would miss what its write-ahead log still holds.
    with closing(sqlite3.connect(empty)) as here, closing(sqlite3.connect(home / METADATA)) as there:
        here.backup(there)
    write_examples(home / "dags")


def run_dag(dag_id: str, home: Path, addresses: Addresses, limit_s: float) -> DagRun:
    """Run a DAG of that home as it is shipped, in `pay` mode.

    Raises RuntimeError with the end of what Airflow said when the DAG did not run at all.
    """
    (home / SEEN).unlink(missing_ok=True)
    conf = {"mode": "pay", "start_from": (TODAY - timedelta(days=60)).isoformat()}
    command = ["-m", "tests.benchmarks.watched", str(home / SEEN), "dags", "test", "-c", json.dumps(conf), dag_id]
    began = time.perf_counter()
    _airflow(command, _environment(home, addresses, ORDINARY) | {"PYTHONPATH": str(ROOT)}, home, limit_s)
    return _read(home, time.perf_counter() - began)


def count_s(home: Path) -> float:
    """Return the seconds that counting everything in the ledger of a home takes, at best of three."""
    store, seconds = Store.open(f"sqlite:///{home / LEDGER}"), list[float]()
    with closing(store):
        for _ in range(3):
            began = time.perf_counter()
            report(store)
            seconds.append(time.perf_counter() - began)
    return min(seconds)


def _airflow(command: list[str], environment: Mapping[str, str], home: Path, limit_s: float) -> None:
    """Run Python to its end, in a group that ends with us or after that time; what it says goes into a file."""
    with (home / SAID).open("ab") as said:
        process = subprocess.Popen(
            [sys.executable, *command],
            env=environment,
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            process_group=0,
        )
        try:
            process.wait(limit_s)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise


def _read(home: Path, command_s: float) -> DagRun:
    if not (home / SEEN).exists():
        raise RuntimeError((home / SAID).read_text(errors="replace")[-4000:])
    seen = json.loads((home / SEEN).read_text(encoding="utf-8"))
    spells: list[Spell] = [(kind, began, seconds) for kind, began, seconds in seen["spells"]]
    with closing(sqlite3.connect(home / METADATA)) as connection:
        newest = "SELECT state, start_date, end_date, run_id FROM dag_run ORDER BY id DESC LIMIT 1"
        ((state, *run, run_id),) = connection.execute(newest)
        told = "SELECT task_id, start_date, end_date FROM task_instance WHERE run_id = ?"
        tasks = _tasks(connection.execute(told, (run_id,)))
    inside = {name: busy_s(spells, spans) for name, spans in tasks.items()}
    return DagRun(
        state=state,
        command_s=command_s,
        run_s=_span(*run).seconds,
        tasks={name: sum(span.seconds for span in spans) for name, spans in tasks.items()},
        busy=inside,
        busy_s=sum(inside.values()),
        **{f"{kind}_s": sum(each[2] for each in spells if each[0] == kind) for kind in ("ledger", "pace", "opening")},
        transactions=sum(each[0] == "ledger" for each in spells),
        ledger_bytes=sum(path.stat().st_size for path in home.glob(f"{LEDGER}*") if "-pace" not in path.name),
        peak_mb=seen["peak_kb"] / 1024,
        before_mb=seen["before_kb"] / 1024,
    )


def _tasks(rows: Iterable[tuple[str, str | None, str | None]]) -> dict[str, list[Span]]:
    """By task, the spans of its instances; one that never began has none."""
    found: defaultdict[str, list[Span]] = defaultdict(list)
    for task_id, began, ended in rows:
        if began and ended:
            found[task_id].append(_span(began, ended))
    return found


def _span(began: str, ended: str) -> Span:
    return Span(*(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() for text in (began, ended)))


def busy_s(spells: Iterable[Spell], spans: Iterable[Span]) -> float:
    """Return for how many seconds within these spans at least one thread was in the ledger itself."""
    begun = sorted((began, began + seconds) for kind, began, seconds in spells if kind == "ledger")
    total = 0.0
    for span in spans:
        reached = span.began
        for began, ended in begun:
            first, last = max(began, reached), min(ended, span.ended)
            total += max(last - first, 0.0)
            reached = max(reached, last)
    return total


def plain(run: DagRun) -> dict[str, Any]:
    """Return it for a file of figures."""
    return {name: getattr(run, name) for name in run.__dataclass_fields__}
