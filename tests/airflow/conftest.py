"""A real Airflow in a temporary home, and a sandbox portal and bank it talks to over HTTP."""

from __future__ import annotations

import argparse
import atexit
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

# Airflow reads these when it is imported, and any of our modules here imports it.
assert "airflow.configuration" not in sys.modules, "Airflow was imported before its temporary home was made"
HOME = Path(tempfile.mkdtemp(prefix="airflow-b24-tests-"))
DAGS = HOME / "dags"
atexit.register(shutil.rmtree, HOME, ignore_errors=True)
for _name in [name for name in os.environ if name.startswith("AIRFLOW_")]:
    del os.environ[_name]
os.environ |= {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(HOME / "logs"),
}

from airflow_b24.examples import write_examples  # noqa: E402 - after the temporary home
from airflow_b24.ledger import identity  # noqa: E402
from airflow_b24.ledger.store import Store  # noqa: E402
from airflow_b24.sandbox import control, seed, server  # noqa: E402
from airflow_b24.sandbox.faults import Rule  # noqa: E402
from airflow_b24.sandbox.invoice import Invoice  # noqa: E402
from airflow_b24.sandbox.state import State, Webhook  # noqa: E402

TODAY = datetime.now(UTC).date()
# Percent-encoding changes both, so that each has two spellings to leak in.
WEBHOOK_SECRET, BANK_KEY = "canary+webhook~0001", "canary bank/key+0001"


def pytest_pycollect_makemodule() -> None:
    """Leave the whole folder out, with a reason, where Airflow is not installed."""
    pytest.importorskip("airflow.sdk", reason="Airflow is not installed")


class ApiServer:
    """What a task reaches through its supervisor, as far as ours ask for it: Variables. It knows no connections."""

    def __init__(self) -> None:
        self.variables: dict[str, str] = {}

    def send(self, message: Any) -> Any:
        from airflow.sdk.exceptions import ErrorType
        from airflow.sdk.execution_time import comms

        if isinstance(message, comms.PutVariable):
            self.variables[message.key] = message.value
        if isinstance(message, comms.GetVariable):
            if message.key in self.variables:
                return comms.VariableResult(key=message.key, value=self.variables[message.key])
            return comms.ErrorResponse(error=ErrorType.VARIABLE_NOT_FOUND)
        return comms.ErrorResponse() if isinstance(message, comms.GetConnection) else None


@dataclass
class World:
    """A portal, a bank and a ledger of one test, and Airflow's connections to them."""

    state: State
    addresses: server.Addresses
    ledger_url: str
    setenv: Callable[[str, str], None]
    api: ApiServer

    def connect(self, secret: str = WEBHOOK_SECRET, bank_key: str = BANK_KEY, **extra: Any) -> None:
        """Set the connections `bitrix24_default` and `bank`; `extra` adds to the portal's or, with None, takes away."""
        ca_file = str(self.addresses.ca_file)
        usual = {"pay_system_id": seed.REST_SYSTEM, "ca_bundle": ca_file, "requests_per_second": 1000, "burst": 1000}
        given = {name: value for name, value in {**usual, **extra}.items() if value is not None}
        password = self.addresses.https + seed.webhook_path(secret=secret.replace("+", "%2B"))
        self.connection("bitrix24_default", {"conn_type": "bitrix24", "password": password, "extra": given})
        bank = {"X-Api-Key": bank_key, "verify": ca_file}
        self.connection("bank", {"conn_type": "http", "host": self.addresses.https, "extra": bank})

    def connection(self, name: str, fields: dict[str, Any] | str) -> None:
        """Set one connection by its environment variable."""
        self.setenv(f"AIRFLOW_CONN_{name.upper()}", fields if isinstance(fields, str) else json.dumps(fields))

    def bill(self, invoice_id: int, price: str = "118.00", **more: Any) -> Invoice:
        """Put an open invoice on the portal."""
        invoice = Invoice(invoice_id, f"2026/{invoice_id}", Decimal(price), company_id=21, status_id="S")
        invoice.my_company_id = seed.OWN_COMPANY
        invoice.billed_on = TODAY
        for name, value in more.items():
            setattr(invoice, name, value)
        self.state.invoices[invoice_id] = invoice
        return invoice

    def payment(self, invoice_id: int, amount: str = "118.00", **more: Any) -> None:
        """Let the bank report a payment that proves itself: number and tax id."""
        payer = {"name": "ООО «Северный ветер»", "tax_id": "7711000219", "account": "40702810000000000021"}
        words = {
            "id": f"P{invoice_id}",
            "amount": amount,
            "payer": payer,
            "purpose": f"Оплата по счету № 2026/{invoice_id}",
        }
        self.state.bank.add({**words, **more}, TODAY)

    def fault(self, kind: str, **rule: Any) -> None:
        """Script a fault; see `sandbox.faults.Rule`."""
        self.state.faults.rules.append(Rule(kind, **rule))

    def smart_bill(self, invoice_id: int, price: str = "118.00") -> Any:
        """A smart invoice, on a portal that has such ones from now on."""
        self.state.settings.smart_invoices = True
        bill = seed.SmartBill(invoice_id, f"2026/S{invoice_id}", price, 21, 9)
        return seed.add_smart_invoice(self.state, bill, TODAY)

    def smart_pays(self) -> dict[int, int]:
        """The same of smart invoices, whose ids are a space of their own."""
        books: Any = control.books(self.state)
        return {row["id"]: row["executed_pays"] for row in books["smart_invoices"] if row["executed_pays"]}

    def pays(self) -> dict[int, int]:
        """The portal's own books: how many pays ran, by invoice; those without any are left out."""
        books: Any = control.books(self.state)
        return {row["id"]: row["executed_pays"] for row in books["invoices"] if row["executed_pays"]}

    def store(self) -> Store:
        """The ledger of this test."""
        return Store.open(self.ledger_url)

    def lose_ledger(self) -> None:
        """Put an empty ledger in its place."""
        for path in Path(self.ledger_url.removeprefix("sqlite:///")).parent.glob("ledger.db*"):
            path.unlink()

    def paid_elsewhere(self, invoice_id: int, by: int = seed.TECHNICAL) -> None:
        """Let the invoice be paid as our own call would, though not from this ledger."""
        invoice = self.state.invoices[invoice_id]
        invoice.pay_system_id = seed.REST_SYSTEM
        invoice.save("P", self.state.sorts(), by, datetime.now(UTC))

    def pin(self) -> None:
        """Let this test's ledger be the one that pays on the portal, before anything is in it."""
        from airflow_b24.pins import VariablePins

        with self.store().snapshot() as connection:
            ours = identity.read(connection)
        VariablePins().put(self.addresses.https.removeprefix("https://"), ours)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[State, server.Addresses]]:
    """One sandbox server for all tests; what it serves is replaced for each."""
    state = State()
    with server.serving(state, tmp_path_factory.mktemp("sandbox")) as addresses:
        yield state, addresses


@pytest.fixture
def day(request: pytest.FixtureRequest) -> State:
    """What the portal and the bank hold when a test begins: no invoices, or by parametrize what is seeded there."""
    seeded: State = getattr(request, "param", seed.portal)(TODAY)
    # With legacy invoices alone, as older portals are, unless both kinds are seeded.
    seeded.settings.smart_invoices = bool(seeded.smart_invoices)
    return seeded


@pytest.fixture
def world(served: tuple[State, server.Addresses], day: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """The served sandbox, a new ledger, and connections to both."""
    state, addresses = served
    for each in fields(State):
        setattr(state, each.name, getattr(day, each.name))
    # The tests' own pace is no subject here.
    state.settings.rate_limit = False
    state.bank.api_key = BANK_KEY
    state.webhooks.append(Webhook(seed.TECHNICAL, WEBHOOK_SECRET, frozenset({"crm", "pay_system"})))
    ledger_url = f"sqlite:///{tmp_path}/ledger.db"
    monkeypatch.setenv("AIRFLOW__BITRIX24__LEDGER_URL", ledger_url)
    from airflow.sdk.execution_time import task_runner

    # Tests execute operators themselves: as a worker does, and with a way to the API server.
    api = ApiServer()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", api, raising=False)
    made = World(state, addresses, ledger_url, monkeypatch.setenv, api)
    made.connect()
    return made


@pytest.fixture(scope="session")
def airflow_db() -> Path:
    """The example DAGs in a DAG folder and a migrated metadata database, once for all; returns AIRFLOW_HOME."""
    write_examples(DAGS)
    migrate = [sys.executable, "-m", "airflow", "db", "migrate"]
    done = subprocess.run(migrate, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return HOME


class Terminal(io.StringIO):
    """Standard input at which a person sits."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Run `airflow b24 …` in this process; returns exit code, stdout and stderr. `person` types at a terminal."""
    from airflow_b24 import commands

    # So that the commands' own setting of it ends with the test.
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "")

    def start(*words: str, stdin: str = "", person: str | None = None) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin) if person is None else Terminal(person))
        parser = argparse.ArgumentParser()
        (group,) = commands.airflow_commands()
        _add(parser, group)
        capsys.readouterr()
        try:
            options = parser.parse_args(words)
            options.func(options)
            code = 0
        except SystemExit as stop:
            code = int(str(stop.code))
        said = capsys.readouterr()
        return code, said.out, said.err

    return start


def _add(parser: argparse.ArgumentParser, group: Any) -> None:
    """Build the parser as Airflow does, groups within groups."""
    subparsers = parser.add_subparsers(required=True)
    for command in group.subcommands:
        subparser = subparsers.add_parser(command.name)
        if hasattr(command, "subcommands"):
            _add(subparser, command)
            continue
        for argument in command.args:
            argument.add_to_parser(subparser)
        subparser.set_defaults(func=command.func)
