"""What a DAG file loads when Airflow reads it, which it does every few seconds: what describes, not what works."""

from __future__ import annotations

import json
import subprocess
import sys

from airflow_b24.examples import EXAMPLES

READ = """
import json, runpy, sys
import airflow.sdk
airflow.sdk.DAG, airflow.sdk.Param, airflow.sdk.task, airflow.sdk.BaseOperator
before = set(sys.modules)
for path in sys.argv[1:]:
    runpy.run_path(path)
print("\\n" + json.dumps(sorted({name.split(".")[0] for name in set(sys.modules) - before})))
"""
# Airflow's SDK brings httpx and SQLAlchemy by itself; where it does not, they would be ours.
HEAVY = {"aiohttp", "alembic", "httpx", "psycopg", "requests", "sqlalchemy", "starlette", "trustme", "uvicorn"}


def test_reading_the_examples_loads_no_library_that_only_their_tasks_need() -> None:
    command = [sys.executable, "-c", READ, *map(str, sorted(EXAMPLES.glob("b24_*.py")))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert "airflow_b24" in loaded
    assert loaded & HEAVY == set()
