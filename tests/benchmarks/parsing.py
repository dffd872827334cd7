"""What it costs Airflow to read the DAG files, which it does again and again: beside a file that uses Airflow alone.

Counted in time of a processor, which is what it takes; what else the machine does meanwhile is left out of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from airflow_b24.examples import EXAMPLES
from tests.benchmarks.arithmetic import middle
from tests.benchmarks.measuring import Bench, Row
from tests.benchmarks.scale import QUICK

TITLE = (
    "Reading DAG files, each in a fresh process that has Airflow's SDK loaded, as Airflow's own parser has (milliseconds of "
    "a processor)"
)
TIMES, TIMES_QUICK = 7, 1
TRIVIAL = """
from airflow.sdk import DAG, Param, task

with DAG("trivial", schedule="*/15 * * * *", params={"mode": Param("shadow")}):

    @task
    def nothing() -> None:
        pass

    nothing()
"""
# What no file that only describes work has a use for.
HEAVY = ("httpx", "sqlalchemy", "alembic", "starlette", "uvicorn", "requests", "aiohttp", "trustme", "psycopg")
READ = """
import json, runpy, sys, time
began = time.process_time()
import airflow.sdk
airflow.sdk.DAG, airflow.sdk.Param, airflow.sdk.task, airflow.sdk.BaseOperator
sdk_s, before, began = time.process_time() - began, set(sys.modules), time.process_time()
runpy.run_path(sys.argv[1])
read_s, new = time.process_time() - began, sorted(set(sys.modules) - before)
print("\\n" + json.dumps({"sdk_s": sdk_s, "read_s": read_s, "new": new}))
"""


def measure(bench: Bench) -> list[Row]:
    """Read each file several times."""
    times = TIMES_QUICK if bench.scale is QUICK else TIMES
    with tempfile.TemporaryDirectory(prefix="bench-parsing-") as name:
        folder = Path(name)
        alone = read(_file(folder, "trivial.py", TRIVIAL), times, folder)
        imports = {
            "import airflow_b24": "import airflow_b24",
            "import airflow_b24.operators": "import airflow_b24.operators",
        }
        files = [_file(folder, f"imported_{number}.py", text) for number, text in enumerate(imports.values())]
        named = [*zip(imports, files, strict=True), *((path.name, path) for path in sorted(EXAMPLES.glob("b24_*.py")))]
        rows = [_row(what, read(path, times, folder), alone) for what, path in named]
        return [_row("a DAG of Airflow's alone", alone, alone), *rows]


def _file(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def read(path: Path, times: int, home: Path) -> list[dict[str, Any]]:
    """Let fresh processes read a file; of each `sdk_s`, `read_s` and the modules that were `new` by it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environment = kept | {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    found = []
    for _ in range(times):
        command = [sys.executable, "-c", READ, str(path)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr[-4000:])
        found.append(json.loads(done.stdout.splitlines()[-1]))
    return found


def _row(what: str, seen: Sequence[dict[str, Any]], alone: Sequence[dict[str, Any]]) -> Row:
    read_s, new = middle([each["read_s"] for each in seen]), set(seen[0]["new"])
    ours = {name for name in new if name.partition(".")[0] == "airflow_b24"}
    beyond = {name for name in new - ours if name not in alone[0]["new"]}
    return {
        "file": what,
        "ms": 1000 * read_s,
        "ms beyond Airflow's alone": 1000 * (read_s - middle([each["read_s"] for each in alone])),
        "the SDK before, ms": 1000 * middle([each["sdk_s"] for each in seen]),
        "modules of ours": len(ours),
        "of others": len(beyond),
        "heavy ones": ", ".join(name for name in HEAVY if name in new) or "none",
        "runs": [{"read_s": each["read_s"], "sdk_s": each["sdk_s"], "new": len(each["new"])} for each in seen],
    }
