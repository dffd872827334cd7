"""Pins in Variables, as a task reaches them, and what they keep from paying."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import comms
from sqlalchemy import update

from airflow_b24.ledger.errors import ForeignLedgerError, LedgerError
from airflow_b24.ledger.identity import Identity
from airflow_b24.ledger.schema import ledger
from airflow_b24.operators import (
    CollectPaymentsOperator,
    MatchPaymentsOperator,
    PayInvoiceOperator,
    SweepLedgerOperator,
)
from airflow_b24.pins import VariablePins
from airflow_b24.sources import HttpSource

HOST = "portal.example"
KEY = f"airflow_b24_ledger:{HOST}"
ONE, OTHER = Identity("one", 7), Identity("other", 9)


@pytest.fixture
def pins(world: Any) -> VariablePins:
    return VariablePins()


def test_what_was_pinned_is_read_again_and_every_portal_has_its_own(world: Any, pins: VariablePins) -> None:
    assert pins.get(HOST) is None
    pins.put(HOST, ONE)
    pins.put("127.0.0.1:8443", OTHER)
    assert (pins.get(HOST), pins.get("127.0.0.1:8443")) == (ONE, OTHER)
    assert json.loads(world.api.variables[KEY]) == {"ledger": "one", "mark": 7}


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{}", '{"ledger": "one"}', '{"ledger": "one", "mark": "x"}', "one 7"]
)
def test_a_variable_that_is_no_pin_is_named(world: Any, pins: VariablePins, text: str) -> None:
    world.api.variables[KEY] = text
    with pytest.raises(ForeignLedgerError, match=rf"Variable {KEY}: it holds no pin"):
        pins.get(HOST)


@pytest.mark.parametrize("error", [ErrorType.API_SERVER_ERROR, ErrorType.GENERIC_ERROR])
@pytest.mark.parametrize("is_raised", [True, False])
def test_a_failure_of_the_api_server_is_never_taken_for_no_pin(
    world: Any, pins: VariablePins, monkeypatch: pytest.MonkeyPatch, error: ErrorType, is_raised: bool
) -> None:
    def fail(_: object) -> Any:
        answer = comms.ErrorResponse(error=error)
        if is_raised:
            raise AirflowRuntimeError(answer)
        return answer

    monkeypatch.setattr(world.api, "send", fail)
    with pytest.raises(AirflowRuntimeError):
        pins.get(HOST)


def test_a_variable_that_something_else_answers_for_is_found_out_and_named(
    world: Any, pins: VariablePins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"AIRFLOW_VAR_{KEY.upper()}", '{"ledger": "other", "mark": 9}')
    with pytest.raises(ForeignLedgerError) as caught:
        pins.put(HOST, ONE, instead_of=OTHER)
    said = str(caught.value)
    assert said.startswith(f"Variable {KEY}: ledger other at 9 is read back after ledger one at 7 was written")
    assert f"AIRFLOW_VAR_{KEY.upper()}" in said


def test_of_two_new_ledgers_the_second_to_be_pinned_is_refused(world: Any, pins: VariablePins) -> None:
    pins.put(HOST, ONE)
    with pytest.raises(ForeignLedgerError, match="ledger one was pinned a moment ago, not other"):
        pins.put(HOST, OTHER)
    assert pins.get(HOST) == ONE
    pins.put(HOST, OTHER, instead_of=ONE)
    assert pins.get(HOST) == OTHER


def test_a_variable_that_cannot_be_written_is_named(
    world: Any, pins: VariablePins, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = world.api.send
    monkeypatch.setattr(world.api, "send", lambda said: None if isinstance(said, comms.PutVariable) else plain(said))
    with pytest.raises(LedgerError, match="nothing is read back") as caught:
        pins.put(HOST, ONE)
    # It may pass: the task's retries count.
    assert not isinstance(caught.value, ForeignLedgerError)


def test_another_worker_that_writes_an_older_mark_in_between_is_no_shadow(
    world: Any, pins: VariablePins, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, late = world.api.send, [Identity("one", 5)]

    def send(said: Any) -> Any:
        answer = plain(said)
        if isinstance(said, comms.PutVariable) and late:
            older = late.pop()
            world.api.variables[KEY] = json.dumps({"ledger": older.id, "mark": older.mark})
        return answer

    monkeypatch.setattr(world.api, "send", send)
    pins.put(HOST, ONE)
    assert pins.get(HOST) == ONE
    pins.put(HOST, Identity("one", 6))
    # A pin never goes back.
    assert pins.get(HOST) == ONE


def _run(operator: Any) -> Any:
    task: Any = type("Task", (), {"xcom_push": lambda *_, **__: None})()
    operator.render_template_fields({"ti": task})
    return operator.execute({"ti": task})


BANK = HttpSource(http_conn_id="bank", endpoint="bank/payments", data_selector="payments")
PAYING: dict[str, Callable[[], Any]] = {
    "plain pay": lambda: PayInvoiceOperator(task_id="pay", invoice_id=5),
    "matched pay": lambda: PayInvoiceOperator(task_id="pay", invoice_id=5, settlement_id=1),
    "match": lambda: MatchPaymentsOperator(task_id="match", mode="pay"),
    "sweep": lambda: SweepLedgerOperator(task_id="sweep"),
}


@pytest.mark.parametrize("step", PAYING)
def test_a_ledger_that_is_not_the_pinned_one_stops_every_paying_step_for_good(world: Any, step: str) -> None:
    world.bill(5)
    world.pin()
    with world.store().transaction() as connection:
        connection.execute(update(ledger).values(id="a new file"))
    with pytest.raises(AirflowFailException, match=r"is paid from ledger .*Nothing was sent.*ledger adopt"):
        _run(PAYING[step]())
    assert world.pays() == {}


@pytest.mark.parametrize("step", ["plain pay", "match", "sweep"])
def test_a_pay_of_ours_that_an_unpinned_ledger_does_not_know_stops_every_paying_step(world: Any, step: str) -> None:
    world.bill(5)
    known = world.bill(6)
    _run(PayInvoiceOperator(task_id="pay", invoice_id=6))
    assert known.paid
    world.lose_ledger()
    world.api.variables.clear()
    with pytest.raises(AirflowFailException, match="this ledger did not pay: 2026/6"):
        _run(PAYING[step]())
    assert world.pays() == {6: 1}


def test_collecting_and_looking_go_on_with_any_ledger(world: Any) -> None:
    world.bill(5)
    world.payment(5)
    world.pin()
    world.lose_ledger()
    collect = CollectPaymentsOperator(task_id="collect", source=BANK, start_from="2026-01-01")
    assert _run(collect)["new"] == 1
    assert _run(MatchPaymentsOperator(task_id="match", mode="shadow")) == []
    with pytest.raises(AirflowFailException):
        _run(PAYING["match"]())


def test_a_new_ledger_is_pinned_by_its_first_run_and_the_pin_follows_it(world: Any) -> None:
    world.bill(5)
    world.bill(6)
    key = f"airflow_b24_ledger:{world.addresses.https.removeprefix('https://')}"
    marks = []
    for invoice_id in (5, 6):
        assert _run(PayInvoiceOperator(task_id="pay", invoice_id=invoice_id))["status"] == "paid"
        marks.append(json.loads(world.api.variables[key])["mark"])
    assert 0 < marks[0] < marks[1]


def test_adopt_in_a_real_airflow_writes_the_variable_and_check_reads_it(world: Any, airflow_db: Path) -> None:
    environment = os.environ | {"AIRFLOW_HOME": str(airflow_db)}

    def airflow(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "airflow", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)

    world.bill(7)
    world.paid_elsewhere(7)
    done = airflow("b24", "ledger", "adopt", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 invoice adopted as paid" in done.stdout
    # It would name a portal without its pin.
    again = airflow("b24", "ledger", "check", "--json")
    assert json.loads(again.stdout)["violations"] == []
