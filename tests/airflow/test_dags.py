from __future__ import annotations

import json
import os
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.exceptions import ParamValidationError
from airflow.serialization.serialized_objects import DagSerialization

from airflow_b24.examples import EXAMPLES

IDS = ("b24_pay_from_http", "b24_pay_in_bulk", "b24_pay_one_invoice", "b24_sweep_ledger")
SERIALIZED = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
from airflow.models.serialized_dag import SerializedDagModel
from airflow.serialization.serialized_objects import DagSerialization
bag = DagBag(sys.argv[1])
told, again = ({name: DagSerialization.to_dict(dag) for name, dag in sorted(bag.dags.items())} for _ in range(2))
assert told == again
hashes = {name: SerializedDagModel.hash(dict(encoded)) for name, encoded in told.items()}
print("\\n" + json.dumps([told, hashes], sort_keys=True))
"""


@pytest.fixture(scope="module")
def bag(airflow_db: Path) -> Any:
    return DagBag(str(EXAMPLES))


def test_every_example_is_read_without_an_error_or_a_warning(bag: Any) -> None:
    assert bag.import_errors == {}
    assert bag.captured_warnings == {}
    assert sorted(bag.dags) == sorted(IDS)


def test_every_example_is_named_as_its_file(bag: Any) -> None:
    assert (
        {Path(dag.fileloc).stem for dag in bag.dags.values()}
        == {path.stem for path in EXAMPLES.glob("b24_*.py")}
        == set(bag.dags)
    )


@pytest.mark.parametrize("dag_id", IDS)
def test_an_example_never_catches_up_and_states_its_retries(bag: Any, dag_id: str) -> None:
    dag = bag.dags[dag_id]
    assert dag.catchup is False
    assert dag.doc_md
    operators = [task.partial_kwargs if task.is_mapped else vars(task) for task in dag.tasks]
    assert all(kwargs["retries"] >= 1 for kwargs in operators)


def test_the_scheduled_example_runs_once_at_a_time_and_starts_by_only_looking(bag: Any) -> None:
    dag = bag.dags["b24_pay_from_http"]
    assert dag.max_active_runs == 1
    # A scheduled DAG whose params need a value does not parse; these stand for themselves.
    dag.params.validate()
    assert dag.params.dump() == {"mode": "shadow", "start_from": None}


@pytest.mark.parametrize("wrong", [{"mode": "both"}, {"mode": None}, {"start_from": "1 December"}, {"start_from": 7}])
def test_a_param_that_means_nothing_is_refused_by_the_form(bag: Any, wrong: dict[str, Any]) -> None:
    params = deepcopy(bag.dags["b24_pay_from_http"].params)
    with pytest.raises(ParamValidationError):
        params.update(wrong)


def test_the_report_always_runs_and_hides_no_failure(bag: Any) -> None:
    report = bag.dags["b24_pay_from_http"].get_task("report")
    assert (report.is_teardown, report.on_failure_fail_dagrun) == (True, False)
    assert report.upstream_task_ids == {"pay"}


def _serialize(seed: str) -> list[Any]:
    """Serialise the examples in a new process; returns them and Airflow's own hash of each."""
    environment = os.environ | {"PYTHONHASHSEED": seed}
    command = [sys.executable, "-c", SERIALIZED, str(EXAMPLES)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_serialized_dag_is_the_same_in_every_process_and_can_be_loaded_again(airflow_db: Path) -> None:
    # What differs makes a new DAG version in Airflow with every parse.
    first, second = _serialize("1"), _serialize("2")
    assert first == second
    loaded = [DagSerialization.from_dict(encoded) for encoded in first[0].values()]
    assert sorted(dag.dag_id for dag in loaded) == sorted(IDS)
