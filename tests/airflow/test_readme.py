"""What the README shows is there: its DAG parses, its parts import, its commands exist."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from airflow.sdk import DAG

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
PARTS = sorted(set(re.findall(r"`(airflow_b24\.[a-z_.]+\.[A-Z]\w+)`", README)))


def test_the_dag_on_the_first_screen_parses() -> None:
    block = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert block is not None
    names: dict[str, object] = {}
    exec(compile(block[1], "README.md", "exec"), names)  # noqa: S102 - our own README
    dag = getattr(names["collect"], "dag", None)
    assert isinstance(dag, DAG)
    assert sorted(dag.task_ids) == ["collect", "match", "pay"]


@pytest.mark.parametrize("path", PARTS)
def test_every_part_named_can_be_imported(path: str) -> None:
    module, _, name = path.rpartition(".")
    if name == "Bitrix24RetryPolicy" and not hasattr(importlib.import_module("airflow.sdk"), "RetryPolicy"):
        return  # the README says: Airflow 3.3 and newer
    assert hasattr(importlib.import_module(module), name)


def test_the_table_of_parts_is_not_empty() -> None:
    assert len(PARTS) >= 8


def test_every_command_named_is_in_the_help() -> None:
    named = set(re.findall(r"`(?:airflow-b24 )?(demo|sandbox|init|setup|doctor|report|review|ledger)\b", README))
    shown = subprocess.run(
        [sys.executable, "-m", "airflow_b24.cli", "--help"], capture_output=True, text=True, check=True
    )
    assert len(named) == 8
    assert all(name in shown.stdout for name in named)


def test_the_commands_of_the_readme_are_the_ones_ci_runs() -> None:
    ci = (Path(__file__).parents[2] / ".ci" / "run").read_text(encoding="utf-8")
    assert "-e '.[dev]'" in README
    assert "-e '.[dev]'" in ci
