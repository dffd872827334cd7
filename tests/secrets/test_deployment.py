"""A real Airflow, its tasks failing in every way: no canary in any log, console, table, file or answer of its API."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import create_engine, make_url, text

from airflow_b24.sandbox import seed
from airflow_b24.sandbox.invoice import Invoice
from tests.secrets import databases, deployment, peers, sinks
from tests.secrets.canaries import ACCESS, BANK, CLIENT, DATABASE, ENCODINGS, OLD_ACCESS, REFRESH, WEBHOOK
from tests.secrets.search import hits

pytestmark = [
    # A deployment for each level, started by the first of its tests; its parts take their time.
    pytest.mark.timeout(600),
    pytest.mark.skipif(find_spec("airflow") is None, reason="Airflow is not installed"),
]
FOLDER = Path(__file__).parent
POSTGRES = os.environ.get("B24_TEST_POSTGRES_URL")
SCHEMA = "b24_secrets"
# Repeated for as long as the portal asks for patience, which is all that this run would then do.
PATIENT = {"too many requests", "operating time", "expired token", "interrupted"}
FAULTS = [kind for kind in peers.FAULTS if kind not in PATIENT]
SPOILT = [*zip(FAULTS, [*ENCODINGS] * 2, strict=False)]
COMMANDS = [
    ["b24", "doctor", "--ledger-conn-id", "ledger", "--http-conn-id", "bank"],
    ["b24", "doctor", "--json", "--http-conn-id", "bank"],
    ["b24", "doctor", "--conn-id", "application", "--ledger-conn-id", "ledger"],
    ["b24", "report", "--ledger-conn-id", "ledger"],
    ["b24", "report", "--ledger-conn-id", "ledger", "--json"],
    ["b24", "report"],
    ["b24", "review", "--ledger-conn-id", "ledger"],
    ["b24", "review", "--ledger-conn-id", "ledger", "--json"],
    ["b24", "review", "--ledger-conn-id", "ledger_refusing"],
    ["b24", "ledger", "check", "--ledger-conn-id", "ledger"],
    ["b24", "ledger", "check", "--ledger-conn-id", "ledger", "--json"],
    ["b24", "ledger", "export", "--ledger-conn-id", "ledger"],
    ["b24", "ledger", "export", "--ledger-conn-id", "ledger", "--format", "json"],
    ["b24", "ledger", "adopt", "--ledger-conn-id", "ledger", "--yes"],
    ["b24", "ledger", "check"],
    ["config", "list", "--section", "bitrix24", "--hide-sensitive"],
    ["dags", "list-import-errors"],
]


@dataclass
class Outcome:
    """What one deployment left behind."""

    level: str
    states: dict[str, str]
    sinks: dict[str, bytes] = field(repr=False)

    def of(self, *words: str) -> str:
        """The text of the sinks whose names hold these words."""
        named = [data.decode(errors="replace") for sink, data in self.sinks.items() if all(w in sink for w in words)]
        return "\n".join(named)


def connections(portal: peers.Portal, refusing_port: int, ledger: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every connection in which a secret belongs, and one that leads nowhere."""
    usual = {"ca_bundle": portal.ca_file, "timeout": 1, "pay_system_id": seed.REST_SYSTEM, "burst": 1000}
    usual |= {"requests_per_second": 1000}
    application = {"client_id": "app.1", "client_secret": CLIENT.text, "refresh_token": REFRESH.text}
    path = f"/rest/{seed.TECHNICAL}/{quote(WEBHOOK.text, safe='')}/"
    database = {"login": "somebody", "password": DATABASE.text, "schema": "b24", "host": peers.LOOPBACK}

    def bitrix(password: str, host: str = "", **extra: Any) -> dict[str, Any]:
        return {"conn_type": "bitrix24", "password": password, "host": host, "extra": json.dumps({**usual, **extra})}

    def bank(password: str = "", **extra: Any) -> dict[str, Any]:
        own = {"verify": portal.ca_file, **extra}
        return {"conn_type": "http", "host": portal.https, "password": password, "extra": json.dumps(own)}

    return {
        "bitrix24_default": bitrix(portal.https + path),
        "token": bitrix(ACCESS.text, portal.https),
        "application": bitrix(OLD_ACCESS.text, portal.https, **application, oauth_url=portal.https),
        "unreachable": bitrix("https://127.0.0.1:9" + path),
        "bank": bank(**{"X-Api-Key": BANK.text}),
        "bank_query": bank(BANK.text),
        "ledger": ledger,
        "ledger_refusing": {"conn_type": "postgres", "port": refusing_port, **database},
    }


def _world(portal: peers.Portal) -> None:
    """Two invoices and their payments."""
    for number in (5, 6):
        invoice = Invoice(number, f"2026/{number}", Decimal("118.00"), company_id=21, status_id="S")
        invoice.my_company_id, invoice.billed_on = seed.OWN_COMPANY, peers.TODAY
        portal.state.invoices[number] = invoice
        payer = {"name": "ООО «Северный ветер»", "tax_id": "7711000219", "account": "40702810000000000021"}
        words = {"id": f"P{number}", "amount": "118.00", "payer": payer, "purpose": f"Оплата по счету № 2026/{number}"}
        portal.state.bank.add(words, peers.TODAY)


@contextmanager
def _ledger(home: Path) -> Iterator[dict[str, Any]]:
    """A connection to a ledger: PostgreSQL, which then knows the password, where there is one."""
    if POSTGRES is None:
        yield {"conn_type": "sqlite", "host": f"{home}/ledger.db"}
        return
    url = make_url(POSTGRES)
    engine = create_engine(url.set(drivername="postgresql+psycopg"))
    role = f"CREATE ROLE {SCHEMA} LOGIN PASSWORD '{DATABASE.text.replace(chr(39), chr(39) * 2)}'"
    try:
        with engine.begin() as connection:
            for statement in (*DROPS, role, f"CREATE SCHEMA {SCHEMA} AUTHORIZATION {SCHEMA}"):
                connection.execute(text(statement))
            connection.execute(text(f"ALTER ROLE {SCHEMA} SET search_path TO {SCHEMA}"))
        where = {"host": url.host, "port": url.port, "schema": url.database}
        yield {"conn_type": "postgres", "login": SCHEMA, "password": DATABASE.text, **where}
    finally:
        with engine.begin() as connection:
            for statement in DROPS:
                connection.execute(text(statement))
        engine.dispose()


DROPS = (f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE", f"DROP ROLE IF EXISTS {SCHEMA}")


def _ledger_rows(home: Path) -> dict[str, bytes]:
    if POSTGRES is None:
        return sinks.sqlite_rows(home / "ledger.db")
    engine = create_engine(make_url(POSTGRES).set(drivername="postgresql+psycopg"))
    try:
        return {**sinks.tables(engine, SCHEMA), "pg_stat_activity": sinks.activity(engine)}
    finally:
        engine.dispose()


@pytest.fixture(scope="module", params=["INFO", "DEBUG"])
def outcome(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Run it all once at each level."""
    home, safe = tmp_path_factory.mktemp("airflow") / "home", tmp_path_factory.mktemp("ca")
    with peers.serving(safe) as portal, databases.refusing() as port, _ledger(home) as ledger:
        _world(portal)
        told = {
            "faults": {
                name: SPOILT[place::3] for place, name in enumerate(("bitrix24_default", "token", "application"))
            },
            "bank_faults": SPOILT,
        }
        made = deployment.deploy(
            home,
            [FOLDER / "dag_file.py"],
            connections(portal, port, ledger),
            B24_SECRETS_TOLD=json.dumps(told),
            AIRFLOW__LOGGING__LOGGING_LEVEL=request.param,
            AIRFLOW__BITRIX24__LEDGER_URL=f"postgresql://u:{quote(DATABASE.text, safe='')}@127.0.0.1:{port}/b24",
        )
        with made.running():
            states = made.finished("secrets")
            answers = _pages(made)
        made.run("commands", "-c", deployment.COMMANDS, stdin=json.dumps(COMMANDS))
        rows = sinks.within("metadata", sinks.sqlite_rows(home / "airflow.db"))
        return Outcome(
            request.param,
            states,
            {**sinks.files(home), **answers, **rows, **sinks.within("ledger", _ledger_rows(home))},
        )


def _pages(made: deployment.Deployment) -> dict[str, bytes]:
    """What the pages of Airflow show: connections and their test, settings, tasks with rendered fields, logs, XComs."""
    runs = "/api/v2/dags/secrets/dagRuns"
    instances = f"{runs}/~/taskInstances?limit=100"
    paths = [instances, f"{runs}/~/taskInstances/~/xcomEntries?limit=100", "/api/v2/importErrors", "/api/v2/config"]
    paths += [f"/api/v2/connections/{name}" for name in ("bitrix24_default", "token", "application", "ledger")]
    answers = {path: made.ask(path)[1] for path in [*paths, "/api/v2/eventLogs?limit=1000"]}
    (run,) = json.loads(made.ask(runs)[1])["dag_runs"]
    for task in json.loads(answers[instances])["task_instances"]:
        place = f"{runs}/{quote(run['dag_run_id'])}/taskInstances/{task['task_id']}"
        for path in (f"{place}/logs/1?map_index={task['map_index']}", f"{place}/xcomEntries/return_value"):
            answers[path] = made.ask(path)[1]
    for name in ("bitrix24_default", "token", "application"):
        stored = json.loads(answers[f"/api/v2/connections/{name}"])
        answers[f"test of {name}"] = made.ask("/api/v2/connections/test", {**stored, "connection_id": name})[1]
    return answers


def test_the_deployment_did_what_it_is_searched_for(outcome: Outcome) -> None:
    well = {"collect.-1", "match.-1", "pay.0", "pay.1", "report.-1", "careless.-1"}
    assert {task for task, state in outcome.states.items() if state == "success"} == well, outcome.states
    said = outcome.of("logs", "careless")
    assert all(f"{fault} failed" in said for fault in FAULTS)
    # The expired token was renewed: what the server gave is searched for as well.
    assert "application: Response(" in outcome.of("metadata: xcom")
    assert '"paid": 2' in outcome.of("console/commands")
    assert "HTTP 200" in outcome.of("console/commands")
    assert ("httpcore.http11" in said) == (outcome.level == "DEBUG")


def test_no_canary_is_in_any_log_console_table_file_or_page(outcome: Outcome) -> None:
    assert hits(outcome.sinks) == []


@pytest.mark.parametrize("sink", ["logs/", "console/scheduler", "console/commands", "airflow.db", "metadata: xcom"])
def test_a_canary_planted_there_is_found(outcome: Outcome, sink: str) -> None:
    name, data = next((name, data) for name, data in outcome.sinks.items() if name.startswith(sink))
    for canary in (WEBHOOK, BANK):
        for encoding, written in ENCODINGS.items():
            planted = data[:100_000] + b"\n" + written(canary.text).encode() + b"\n" + data[-100_000:]
            assert [hit.sink for hit in hits({name: planted})], (sink, encoding)
