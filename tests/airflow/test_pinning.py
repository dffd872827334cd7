"""A ledger that does not pay is told by doctor, and by what only shows it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from airflow_b24.operators import PayInvoiceOperator

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def paid(world: Any) -> Any:
    """A ledger that has paid an invoice, and its pin."""
    world.bill(5)
    context: Any = {"ti": type("Task", (), {"xcom_push": lambda *_, **__: None})()}
    PayInvoiceOperator(task_id="pay", invoice_id=5, invoice_type="legacy").execute(context)
    (world.key,) = world.api.variables
    return world


def another(world: Any) -> None:
    world.api.variables[world.key] = json.dumps({"ledger": "another", "mark": 1})


def behind(world: Any) -> None:
    pin = json.loads(world.api.variables[world.key])
    world.api.variables[world.key] = json.dumps({**pin, "mark": pin["mark"] + 9})


def foreign_word(world: Any) -> None:
    world.api.variables[world.key] = "a word"


TROUBLE = [
    (another, "is paid from ledger another"),
    (behind, "is older than what was paid from it"),
    (lambda world: world.api.variables.clear(), "nothing is pinned"),
    (lambda world: world.lose_ledger(), "is paid from ledger"),
    (foreign_word, "holds no pin"),
]
TOLD = pytest.mark.parametrize(("befalls", "said"), TROUBLE, ids=["another", "behind", "unpinned", "new", "no pin"])


def pin_of(run: Run) -> tuple[int, dict[str, str]]:
    code, out, _ = run("doctor", "--json")
    findings = json.loads(out)
    return code, next(each for each in findings if each["check"] == "ledger pin")


def test_doctor_finds_the_ledger_that_pays_well(paid: Any, run: Run) -> None:
    assert pin_of(run)[1]["state"] == "ok"


@TOLD
def test_doctor_finds_a_ledger_that_cannot_pay_and_names_the_way_on(
    paid: Any, run: Run, befalls: Callable[[Any], None], said: str
) -> None:
    befalls(paid)
    code, found = pin_of(run)
    assert (code, found["state"]) == (1, "problem")
    assert said in found["text"].replace("Nothing", "nothing")
    assert found["text"][-2:].count(".") == 1
    assert "`airflow b24 ledger adopt`" in found["fix"]


@pytest.mark.parametrize("command", ["report", "review"])
@TOLD
def test_what_is_shown_of_such_a_ledger_comes_with_a_warning_in_one_line(
    paid: Any, run: Run, befalls: Callable[[Any], None], said: str, command: str
) -> None:
    assert run(command)[2] == ""
    befalls(paid)
    code, _, err = run(command)
    assert (code, err.count("\n"), err.startswith("Warning: ")) == (0, 1, True)
    assert said in err
    assert json.loads(run(command, "--json")[1]) is not None


@pytest.mark.parametrize("command", ["report", "review"])
def test_a_ledger_is_shown_where_no_pin_can_be_read(
    paid: Any, run: Run, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
    from airflow.sdk.execution_time import comms

    def fail(message: Any) -> Any:
        raise AirflowRuntimeError(comms.ErrorResponse(error=ErrorType.API_SERVER_ERROR))

    monkeypatch.setattr(paid.api, "send", fail)
    code, out, err = run(command)
    assert (code, err, out.startswith("Ledger ")) == (0, "", True)
    assert pin_of(run)[1]["state"] == "not checkable"


def test_before_airflow_is_migrated_doctor_says_what_to_run_without_a_traceback(
    world: Any, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow import settings
    from airflow.sdk.execution_time import task_runner

    monkeypatch.delattr(task_runner, "SUPERVISOR_COMMS")
    monkeypatch.setattr(settings, "engine", create_engine("sqlite://"))
    world.bill(5)
    code, found = pin_of(run)
    assert (code, found["state"], "airflow db migrate" in found["fix"]) == (1, "problem", True)
    code, out, err = run("doctor")
    assert "Traceback" not in out + err
    code, _, err = run("doctor", "--conn-id", "not_there")
    assert (code, "airflow db migrate" in err, err.count("\n")) == (2, True, 1)


def test_a_pin_that_airflows_database_does_not_give_is_not_called_none(
    world: Any, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk.execution_time import task_runner
    from airflow.secrets.metastore import MetastoreBackend

    def fail(*_: Any, **__: Any) -> str | None:
        raise OperationalError("SELECT", {}, Exception("canaryword"))

    monkeypatch.delattr(task_runner, "SUPERVISOR_COMMS")
    monkeypatch.setattr(MetastoreBackend, "get_variable", lambda *_, **__: None)
    assert pin_of(run)[1]["state"] == "ok"
    monkeypatch.setattr(MetastoreBackend, "get_variable", fail)
    found = pin_of(run)[1]
    assert (found["state"], "canaryword" in str(found)) == ("not checkable", False)
    assert found["text"].endswith("Airflow's own database cannot be read (OperationalError).")
