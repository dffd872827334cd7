"""A real Airflow does to a paying task all that it may do to one; the portal's own books say: paid once.

API server, scheduler with LocalExecutor and DAG processor are processes of their own; between the workers and the API
server stands a proxy that spoils what the test tells it to.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from airflow_b24 import examples
from airflow_b24.sandbox import seed, server
from airflow_b24.sandbox.faults import Rule
from airflow_b24.sandbox.invoice import Invoice
from airflow_b24.sandbox.state import State
from tests.processes.api_proxy import PASS, Fate, Proxy, between
from tests.processes.stories import BILLED, COMPANY, PAY, TAX_ID, TODAY
from tests.secrets.deployment import Deployment, deploy

DAG_ID = "b24_pay_from_http"
LONGEST_S = 100
ENDED = {"success", "failed"}
# Long enough for a heartbeat to fall into the pay.
SLOW_S = 8.0
# What the shipped DAG leaves to its user, and waits that no test has time for.
CHANGES = {
    'Param("shadow"': 'Param("pay"',
    "            None,\n            type=[": '            "2026-01-01",\n            type=[',
    '"*/15 * * * *"': '"0 0 1 * *"',
    "retry_delay=timedelta(seconds=30)": "retry_delay=timedelta(seconds=1)",
    '"retry_delay": timedelta(seconds=30)': '"retry_delay": timedelta(seconds=1)',
}
SETTINGS = {
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "2",
    "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MIN": "0.1",
    "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "0.2",
}

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(find_spec("airflow") is None, reason="Airflow is not installed"),
]


@dataclass
class World:
    """The portal and bank of the sandbox, and the Airflow that pays from one to the other."""

    state: State
    airflow: Deployment
    proxy: Proxy

    def bill(self, invoice_id: int) -> None:
        """Put an open invoice on the portal, and its money on the account."""
        owners = {"company_id": COMPANY, "my_company_id": seed.OWN_COMPANY, "billed_on": BILLED, "status_id": "S"}
        self.state.invoices[invoice_id] = Invoice(invoice_id, f"2026/{invoice_id}", Decimal("118.00"), **owners)
        words = {"id": f"P{invoice_id}", "amount": "118.00", "payer": {"name": "", "tax_id": TAX_ID, "account": ""}}
        self.state.bank.add({**words, "purpose": f"Оплата по счету № 2026/{invoice_id}"}, TODAY)

    def pays(self) -> dict[int, int]:
        """How many pays ran, by invoice."""
        return {number: len(each.executed_pays) for number, each in self.state.invoices.items()}

    def calls(self) -> int:
        """How many pays were asked for, whether they ran or not."""
        return sum(entry.method == PAY for entry in self.state.journal)

    def ask(self, path: str, body: object = None) -> Any:
        """The API's answer; a few tries, for Airflow's own SQLite may be locked on a busy machine."""
        for _ in range(5):
            status, answer = self.airflow.ask(f"/api/v2{path}", body)
            if status < 500:
                break
            time.sleep(1)
        assert status < 300, answer
        return json.loads(answer)

    def runs(self) -> dict[str, str]:
        found = self.ask(f"/dags/{DAG_ID}/dagRuns?limit=100")["dag_runs"]
        return {each["dag_run_id"]: each["state"] for each in found}

    def trigger(self) -> str:
        run_id: str = self.ask(f"/dags/{DAG_ID}/dagRuns", {"logical_date": None})["dag_run_id"]
        return run_id

    def clear(self, run_id: str, **which: Any) -> None:
        """Clear tasks of a run, all of them unless told which, as its button does."""
        usual = {"dry_run": False, "dag_run_id": run_id, "only_failed": False, "reset_dag_runs": True}
        assert self.ask(f"/dags/{DAG_ID}/clearTaskInstances", {**usual, **which})["total_entries"]

    def wait(self, *run_ids: str) -> set[str]:
        """Wait until these runs have ended; returns their states."""
        until(lambda: all(self.runs().get(run_id) in ENDED for run_id in run_ids), f"{run_ids} do not end")
        return {self.runs()[run_id] for run_id in run_ids}

    def tries(self, run_id: str) -> list[tuple[str, int]]:
        """State and try number of each pay task."""
        found = self.ask(f"/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances?limit=100")["task_instances"]
        return sorted((each["state"], each["try_number"]) for each in found if each["task_id"] == "pay")


def until(happened: Callable[[], object], complaint: str) -> None:
    ends = time.monotonic() + LONGEST_S
    while not happened():
        assert time.monotonic() < ends, complaint
        # Airflow's processes need the processor more than we do.
        time.sleep(0.2)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One Airflow for all tests here: its start takes longer than any of them."""
    folder = tmp_path_factory.mktemp("processes")
    state = seed.portal(TODAY)
    # A portal with legacy invoices alone, as older ones are.
    state.settings.smart_invoices = False
    state.settings.rate_limit = False
    with server.serving(state, folder) as addresses, between() as proxy:
        made = deploy(
            folder / "home",
            [_dag_file(folder)],
            _connections(addresses.http),
            **SETTINGS,
            AIRFLOW__BITRIX24__LEDGER_URL=f"sqlite:///{folder}/ledger.db",
            AIRFLOW__CORE__EXECUTION_API_SERVER_URL=f"{proxy.url}/execution/",
        )
        proxy.upstream = made.url.removeprefix("http://")
        built = World(state, made, proxy)
        built.bill(5)
        built.bill(6)
        with made.running():
            until(lambda: made.ask(f"/api/v2/dags/{DAG_ID}")[0] == 200, "the DAG does not appear")
            yield built


def _dag_file(folder: Path) -> Path:
    text = (examples.EXAMPLES / f"{DAG_ID}.py").read_text(encoding="utf-8")
    for old, new in CHANGES.items():
        assert old in text, f"the shipped DAG has no {old!r} any more"
        text = text.replace(old, new)
    path = folder / f"{DAG_ID}.py"
    path.write_text(text, encoding="utf-8")
    return path


def _connections(address: str) -> dict[str, dict[str, Any]]:
    extra = {"pay_system_id": seed.REST_SYSTEM, "requests_per_second": 1000, "burst": 1000, "timeout": 30}
    portal = {"conn_type": "bitrix24", "password": address + seed.webhook_path(), "extra": json.dumps(extra)}
    bank = {"conn_type": "http", "host": address, "extra": json.dumps({"X-Api-Key": seed.BANK_API_KEY})}
    return {"bitrix24_default": portal, "bank": bank}


@pytest.fixture
def paid(world: World) -> Iterator[World]:
    """Whatever was open before is paid, so that each test counts its own; afterwards nothing is spoilt any more."""
    assert world.wait(world.trigger()) == {"success"}
    yield world
    world.proxy.judge = lambda _verb, _path: PASS
    world.proxy.spoilt.clear()
    world.state.faults.rules.clear()


def test_clear_rerun_and_backfill_of_old_runs_pay_nothing_again(paid: World) -> None:
    (first, *_) = (run_id for run_id, state in paid.runs().items() if state == "success" and paid.tries(run_id)[0][1])
    before, calls = paid.pays(), paid.calls()
    assert set(before.values()) == {1}
    # The pay tasks alone, with what was matched then; then the whole run.
    paid.clear(first, task_ids=["pay"])
    assert paid.wait(first) == {"success"}
    paid.clear(first)
    assert paid.wait(first) == {"success"}
    backfill = {"dag_id": DAG_ID, "from_date": "2026-08-01T00:00:00Z", "to_date": "2026-09-02T00:00:00Z"}
    made = paid.ask("/backfills", {**backfill, "max_active_runs": 1, "reprocess_behavior": "completed"})
    until(lambda: paid.ask(f"/backfills/{made['id']}")["completed_at"], "the backfill does not end")
    old = [run_id for run_id in paid.runs() if run_id.startswith("backfill__")]
    assert len(old) == 2
    assert paid.wait(*old) == {"success"}
    assert (paid.pays(), paid.calls()) == (before, calls)


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_api_server_that_fails_while_a_paid_task_reports_is_paid_once(paid: World, when: Any) -> None:
    invoice_id = max(paid.pays()) + 1
    paid.bill(invoice_id)
    victims: set[str] = set()

    def judge(verb: str, path: str) -> Fate:
        # The first to report a state after the pay ran is the task that paid; its next try has another id.
        if verb == "PATCH" and path.endswith("/state") and paid.pays()[invoice_id]:
            victims.add(path) if not victims else None
            return (when, 500) if path in victims else PASS
        return PASS

    paid.proxy.judge = judge
    run_id = paid.trigger()
    assert paid.wait(run_id) == {"success"}
    assert paid.proxy.spoilt
    assert (paid.pays()[invoice_id], paid.calls()) == (1, len(paid.pays()))
    # Not told: tried again, and found paid. Told, but not answered: it was done.
    assert paid.tries(run_id) == [("success", 2 if when == "before" else 1)]


@pytest.mark.parametrize("how", ["cleared by a person", "gone, says the server"])
def test_a_heartbeat_conflict_that_kills_a_task_within_its_pay_is_paid_once(paid: World, how: str) -> None:
    invoice_id = max(paid.pays()) + 1
    paid.bill(invoice_id)
    paid.state.faults.rules.append(Rule("slow", PAY, {"INVOICE_ID": str(invoice_id)}, seconds=SLOW_S))
    victims: set[str] = set()

    def judge(verb: str, path: str) -> Fate:
        if path.endswith("/heartbeat") and paid.pays()[invoice_id] and how.startswith("gone"):
            victims.add(path) if not victims else None
            return ("before", 410) if path in victims else PASS
        return PASS

    paid.proxy.judge = judge
    run_id = paid.trigger()
    until(lambda: paid.pays()[invoice_id], "the pay does not run")
    if how.startswith("cleared"):
        paid.clear(run_id, task_ids=["pay"])
    assert paid.wait(run_id) == {"success"}
    assert (paid.pays()[invoice_id], paid.calls()) == (1, len(paid.pays()))
    ((state, tries),) = paid.tries(run_id)
    assert (state, tries > 1) == ("success", True)
