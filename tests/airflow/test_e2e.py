"""The example DAGs in a real Airflow, against the sandbox's portal and bank."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.models.variable import Variable
from airflow.models.xcom import XComModel
from airflow.sdk.execution_time import supervisor
from airflow.utils.session import create_session
from sqlalchemy import delete

from airflow_b24.examples import EXAMPLES
from airflow_b24.ledger.schema import settlement
from airflow_b24.reconcile.reporting import lines
from airflow_b24.sandbox import seed

PAY = "sale.paysystem.pay.invoice"
SENDS = {PAY, "crm.item.update"}
KINDS = ("legacy", "smart")
FROM_HTTP, ONE_INVOICE = "b24_pay_from_http", "b24_pay_one_invoice"
START = "2026-01-01"
# A whole Airflow warns of much that is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore", "error:::airflow_b24")


@dataclass
class Run:
    """A finished DAG run: its state, its tasks' states and what they returned."""

    state: str
    tasks: dict[tuple[str, int], str]
    returned: dict[tuple[str, int], Any]
    links: dict[tuple[str, int], Any]

    def states(self, task_id: str) -> list[str]:
        return [state for (name, _), state in sorted(self.tasks.items()) if name == task_id]

    def statuses(self) -> dict[tuple[str, int], str]:
        """What became of each invoice, by the pay tasks' own words."""
        paid = [value for (name, _), value in self.returned.items() if name == "pay"]
        return {(value["invoice_type"], value["invoice_id"]): value["status"] for value in paid}


@pytest.fixture(scope="module", autouse=True)
def _one_api_server() -> Iterator[None]:
    """Airflow 3.3 keeps its in-process server by itself; 3.2 makes another for each task, which takes two seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervisor, "in_process_api_server", cache(supervisor.in_process_api_server))
        yield


@pytest.fixture(autouse=True)
def _no_pins(airflow_db: Path) -> None:
    """The tests share Airflow's database, but not their ledgers."""
    with create_session() as session:
        session.execute(delete(Variable))


@pytest.fixture
def run(airflow_db: Path, world: Any) -> Callable[..., Run]:
    """Run an example DAG in this process, in pay mode unless told otherwise."""

    def start(dag_id: str = FROM_HTTP, **conf: Any) -> Run:
        usual = {"mode": "pay", "start_from": START} if dag_id == FROM_HTTP else {}
        # Read anew, as each worker does: a run leaves its params in the DAG object.
        finished = DagBag(str(EXAMPLES)).dags[dag_id].test(run_conf={**usual, **conf})
        tasks = {(each.task_id, each.map_index): str(each.state) for each in finished.get_task_instances()}
        pushed = list(_pushed(finished.dag_id, finished.run_id))
        returned = {place: value for place, key, value in pushed if key == "return_value"}
        links = {place: value for place, key, value in pushed if key.startswith("_link_")}
        return Run(str(finished.state), tasks, returned, links)

    return start


def _pushed(dag_id: str, run_id: str) -> Iterator[tuple[tuple[str, int], str, Any]]:
    with create_session() as session:
        for row in session.query(XComModel).filter_by(dag_id=dag_id, run_id=run_id):
            yield (row.task_id, row.map_index), row.key, XComModel.deserialize_value(row)


@pytest.mark.parametrize("day", [seed.demo], indirect=True)
def test_every_payment_ends_as_it_must_and_a_second_run_pays_nothing_twice(run: Callable[..., Run], world: Any) -> None:
    # Its refusals are seconds of waiting; the demo's own test keeps them.
    world.state.faults.rules = [rule for rule in world.state.faults.rules if rule.kind != "refused"]
    first = run()
    assert (first.state, first.tasks["report", -1]) == ("success", "success")
    assert _ends(world) == {story.payment_id: story.end for story in seed.DEMO if story.end != "ignored"} | {
        "ignored": 2
    }
    # The last two are the invoices of one payment. The same ids in the other space are other invoices.
    paid = {kind: {each.invoice_id for each in seed.DEMO if each.end == "paid" and each.kind == kind} for kind in KINDS}
    paid["legacy"] = paid["legacy"] - {None} | {126, 127}
    assert world.pays() == dict.fromkeys(paid["legacy"], 1)
    assert world.smart_pays() == dict.fromkeys(paid["smart"], 1)
    ends = {("legacy", 110): "already_paid", ("legacy", 117): "review", ("smart", 106): "already_paid"}
    ends |= {("smart", 108): "review"} | {(kind, each): "paid" for kind in KINDS for each in paid[kind]}
    assert first.statuses() == ends
    totals = first.returned["report", -1]
    assert {name: totals[name] for name in ("payments", "paid", "by_hand", "review", "waiting", "ignored")} == {
        "payments": 31,
        "paid": 19,
        "by_hand": 2,
        "review": 10,
        "waiting": 0,
        "ignored": 2,
    }
    executed = world.pays() | world.smart_pays()
    journal = len([entry for entry in world.state.journal if entry.method in SENDS])
    second = run()
    assert (second.state, second.states("pay")) == ("success", ["skipped"])
    assert second.returned["report", -1] == totals
    assert world.pays() | world.smart_pays() == executed
    assert len([entry for entry in world.state.journal if entry.method in SENDS]) == journal


def _ends(world: Any) -> dict[str, Any]:
    """How each payment ended by the ledger's report; records that count for nothing are counted."""
    found = lines(world.store())
    ends = {line.payment: line.status for line in found if line.status != "ignored"}
    return {**ends, "ignored": sum(line.status == "ignored" for line in found)}


def test_shadow_mode_pays_nothing_and_says_what_it_would_do(run: Callable[..., Run], world: Any) -> None:
    world.bill(5)
    world.payment(5)
    done = run(mode="shadow")
    assert done.state == "success"
    assert done.returned["match", -1] == []
    assert done.states("pay") == ["skipped"]
    assert not any(entry.method == PAY for entry in world.state.journal)
    (line,) = lines(world.store())
    assert (line.status, line.invoices, line.why.startswith("Would be paid.")) == ("waiting", "2026/5", True)
    with world.store().snapshot() as connection:
        assert connection.execute(settlement.select()).all() == []
    assert run().statuses() == {("legacy", 5): "paid"}


def test_one_invoice_that_fails_stops_no_other_and_fails_the_run(run: Callable[..., Run], world: Any) -> None:
    for number in (5, 6, 7):
        world.bill(number)
        world.payment(number)
    world.fault("error", method=PAY, match={"INVOICE_ID": "6"}, status=403, code="ACCESS_DENIED", times=9)
    done = run()
    assert done.state == "failed"
    assert sorted(done.states("pay")) == ["failed", "success", "success"]
    assert done.states("report") == ["success"]
    assert done.returned["report", -1]["waiting"] == 1
    assert world.pays() == {5: 1, 7: 1}
    world.state.faults.rules.clear()
    again = run()
    assert (again.state, again.statuses()) == ("success", {("legacy", 6): "paid"})
    assert world.pays() == {5: 1, 6: 1, 7: 1}


def test_without_payments_the_run_is_green_and_still_reports(run: Callable[..., Run], world: Any) -> None:
    done = run()
    assert (done.state, done.states("pay"), done.states("report")) == ("success", ["skipped"], ["success"])
    assert done.returned["report", -1]["payments"] == 0


@pytest.mark.parametrize("kind", ["lost_after", "html_502_after", "truncated_after"])
def test_an_invoice_whose_answer_was_lost_is_paid_exactly_once(run: Callable[..., Run], world: Any, kind: str) -> None:
    world.bill(5)
    world.payment(5)
    world.fault(kind, method=PAY)
    done = run()
    assert (done.state, done.statuses()) == ("success", {("legacy", 5): "paid"})
    assert world.pays() == {5: 1}


def test_a_scheduled_run_without_a_first_day_fails_before_anything_is_asked_and_still_reports(
    run: Callable[..., Run], world: Any
) -> None:
    done = run(start_from=None)
    assert done.state == "failed"
    assert (done.states("collect"), done.states("report")) == (["failed"], ["success"])
    assert world.state.requests == 0


@pytest.mark.parametrize("conf", [{"invoice_id": 5}, {"invoice_id": 5, "pay_system_id": seed.REST_SYSTEM}], ids=str)
def test_one_invoice_is_paid_from_a_form_however_often_it_is_pressed(
    run: Callable[..., Run], world: Any, conf: dict[str, int]
) -> None:
    world.bill(5)
    first, second = run(ONE_INVOICE, **conf), run(ONE_INVOICE, **conf)
    assert (first.state, second.state) == ("success", "success")
    assert first.statuses() == second.statuses() == {("legacy", 5): "paid"}
    assert world.pays() == {5: 1}
    assert list(first.links.values()) == [f"{world.addresses.https}/crm/invoice/show/5/"]


def test_the_form_without_an_invoice_fails_at_once(run: Callable[..., Run], world: Any) -> None:
    assert run(ONE_INVOICE).state == "failed"
    assert world.state.requests == 0


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
def test_no_secret_reaches_a_log_the_console_a_database_or_a_file(
    world: Any, airflow_db: Path, tmp_path: Path, level: str
) -> None:
    for number in (5, 6, 7, 8):
        world.bill(number)
        world.payment(number)
    world.fault("lost_after", method=PAY, match={"INVOICE_ID": "6"})
    world.fault("error", method=PAY, match={"INVOICE_ID": "7"}, status=403, code="ACCESS_DENIED")
    # Lost and not run: ends as an unknown outcome, with a traceback; no retry, for that is minutes away.
    world.fault("lost_before", method=PAY, match={"INVOICE_ID": "8"})
    home = _home(airflow_db, tmp_path)
    shown = _airflow(home, level, "dags", "test", "-c", json.dumps({"mode": "pay", "start_from": START}), FROM_HTTP)
    assert world.pays() == {5: 1, 6: 1}
    assert "ACCESS_DENIED" in shown
    assert "2026/8" in shown
    kept = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {"home/airflow.db", "ledger.db"} <= set(kept)
    # Airflow's in-process supervisor, which only `dags test` has, prints at DEBUG what it was told to mask.
    kept["console"] = "\n".join(line for line in shown.splitlines() if "msg=MaskSecret(" not in line).encode()
    assert [(where, secret) for where, text in kept.items() for secret in _spellings() if secret.encode() in text] == []


def _home(airflow_db: Path, tmp_path: Path) -> Path:
    """A home of its own, with the migrated database, and an example that gives up at once."""
    home = tmp_path / "home"
    (home / "dags").mkdir(parents=True)
    # A copy of the file alone would miss what its write-ahead log still holds.
    with (
        closing(sqlite3.connect(airflow_db / "airflow.db")) as here,
        closing(sqlite3.connect(home / "airflow.db")) as there,
    ):
        here.backup(there)
    text = (EXAMPLES / f"{FROM_HTTP}.py").read_text(encoding="utf-8")
    (home / "dags" / f"{FROM_HTTP}.py").write_text(text.replace("retries=5", "retries=0"), encoding="utf-8")
    return home


def _airflow(home: Path, level: str, *arguments: str) -> str:
    """Run one Airflow command in that home; returns all it showed."""
    environment = os.environ | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": level,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    command = [sys.executable, "-m", "airflow", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110, check=False)
    return done.stdout + done.stderr


def _spellings() -> set[str]:
    secrets = {"canary+webhook~0001", "canary bank/key+0001"}
    forms = {
        form
        for secret in secrets
        for form in (secret, quote(secret, safe=""), quote(secret), quote(secret, safe="").lower())
    }
    # Each has parts of its own, so that a secret cut or spelt in yet another way is seen as well.
    return forms | {"webhook~0001", "key+0001", "key%2B0001"}
