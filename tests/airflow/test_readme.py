"""What the README shows is there: its DAG parses, its parts import, its commands exist."""

from __future__ import annotations

import importlib
import inspect
import re
import shlex
import subprocess
import sys
import urllib.request
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_b24 import operators
from airflow_b24.sandbox import seed

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


OPERATORS = sorted(name for name in set(re.findall(r"`airflow_b24\.operators\.(\w+)`", README)))


def told(operator: str) -> dict[str, Any]:
    """The arguments that the table names of an operator, each with its default."""
    rows = re.findall(rf"^\| (?:`{operator}`|every one) \| `(\w+)` \| (?:`(.*?)`)? ?\|", README, re.MULTILINE)
    defaults = {"timedelta": timedelta}
    return {name: eval(default, defaults) if default else inspect.Parameter.empty for name, default in rows}  # noqa: S307


@pytest.mark.parametrize("name", OPERATORS)
def test_the_table_of_arguments_is_what_the_operators_take(name: str) -> None:
    operator = getattr(operators, name)
    taken = [*inspect.signature(operator.__init__).parameters.values()]
    shared = inspect.signature(operators.portal.PortalOperator.__init__).parameters.values()
    named = {each.name: each.default for each in (*shared, *taken) if each.kind is inspect.Parameter.KEYWORD_ONLY}
    assert told(name) == named


@pytest.mark.parametrize("day", [seed.demo], indirect=True)
def test_the_calls_of_the_sandboxes_doors_work_as_printed(world: Any) -> None:
    commands = [shlex.split(line) for line in README.splitlines() if line.startswith("curl ")]
    for _, _, body, address in commands:
        url = address.replace("http://127.0.0.1:8024", world.addresses.http)
        with urllib.request.urlopen(urllib.request.Request(url, body.encode()), timeout=10) as answer:  # noqa: S310
            assert answer.status == 200
    assert len(commands) == 6
    settings = world.state.settings
    assert (settings.write_s, settings.workers, world.state.operating.limit_s) == (0.5, 4, 20)
    assert world.state.faults.rules[-1].times == 2
    assert world.state.bank.records[-1]["purpose"] == "Invoice 2026/900"
    made = next(each for each in world.state.invoices.values() if each.number == "2026/900")
    assert (made.company_id, made.my_company_id) == (23, seed.OWN_COMPANY)
    assert world.state.smart_fields["ufCrm_PAID"] == "Paid so far"
