from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

import airflow_b24
from airflow_b24 import commands
from airflow_b24.ledger import decide, portals
from airflow_b24.ledger.schema import raw, settlement
from airflow_b24.preparation import HANDLER_CODE
from airflow_b24.sandbox import seed

ROOT = Path(airflow_b24.__file__).parents[1]
NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
Run = Callable[..., tuple[int, str, str]]


class Terminal(io.StringIO):
    """Standard input at which a person sits."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `airflow b24 …` in this process; returns exit code, stdout and stderr."""
    # So that the commands' own setting of it ends with the test.
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "")

    def start(*words: str, stdin: str | io.StringIO = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin) if isinstance(stdin, str) else stdin)
        parser = argparse.ArgumentParser()
        (group,) = commands.airflow_commands()
        subparsers = parser.add_subparsers()
        for command in group.subcommands:
            subparser = subparsers.add_parser(command.name)
            for argument in command.args:
                argument.add_to_parser(subparser)
            subparser.set_defaults(func=command.func)
        options = parser.parse_args(words)
        capsys.readouterr()
        try:
            options.func(options)
            code = 0
        except SystemExit as stop:
            code = int(str(stop.code))
        said = capsys.readouterr()
        return code, said.out, said.err

    return start


def webhook(world: Any, user_id: int = seed.ADMINISTRATOR, secret: str = seed.ADMIN_SECRET) -> str:
    return f"{world.addresses.https}{seed.webhook_path(user_id, secret)}\n"


def test_setup_prepares_the_portal_of_a_connection_and_ends_with_the_extra(world: Any, run: Run) -> None:
    code, out, _ = run("setup", stdin=webhook(world))

    made = [system.id for system in world.state.pay_systems.values() if system.action_file == HANDLER_CODE]
    extra = json.loads(out.splitlines()[-1])
    assert code == 0
    assert extra["pay_system_id"] == made[0]
    # Pasting it must not lose what the connection says already.
    assert extra["ca_bundle"] == str(world.addresses.ca_file)
    assert out.count("  created  ") == 3
    assert seed.ADMIN_SECRET not in out


def test_setup_run_twice_says_that_everything_existed(world: Any, run: Run) -> None:
    _, first, _ = run("setup", stdin=webhook(world))
    code, second, _ = run("setup", stdin=webhook(world))

    assert code == 0
    assert (second.count("  created  "), second.count("  existed  ")) == (0, 3)
    assert first.splitlines()[-1] == second.splitlines()[-1]


def test_setup_needs_no_connection_when_it_is_told_whom_to_trust(world: Any, run: Run) -> None:
    ca_file = str(world.addresses.ca_file)
    arguments = ("--conn-id", "not_yet_made", "--ca-bundle", ca_file, "--name", "Оплата через банк")
    code, out, err = run("setup", *arguments, stdin=webhook(world))

    assert (code, err) == (0, "")
    assert json.loads(out.splitlines()[-1]).keys() == {"ca_bundle", "pay_system_id"}
    assert {each.name for each in world.state.pay_systems.values() if each.action_file == HANDLER_CODE} == {
        "Оплата через банк"
    }


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "webhook: standard input is empty"),
        ("nonsense\n", "webhook: the address does not begin with https://"),
        (
            "https://other.bitrix24.com/rest/1/sandboxadmin00000000001/\n",
            "webhook: it is of https://other.bitrix24.com",
        ),
    ],
)
def test_setup_refuses_a_webhook_it_cannot_use_in_one_line(world: Any, run: Run, given: str, said: str) -> None:
    code, out, err = run("setup", stdin=given)

    assert (code, out) == (2, "")
    assert err.startswith(said)
    assert err.count("\n") == 1
    assert seed.ADMIN_SECRET not in err
    assert HANDLER_CODE not in world.state.handlers


def test_setup_tells_a_technical_users_webhook_that_it_is_no_administrators(world: Any, run: Run) -> None:
    code, out, err = run("setup", stdin=webhook(world, seed.TECHNICAL, seed.TECHNICAL_SECRET))

    assert (code, out) == (2, "")
    assert "is no CRM administrator; let an administrator create" in err


def test_setup_does_not_echo_what_is_typed_at_a_terminal(world: Any, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def type_in(prompt: str, stream: object) -> str:
        asked.append(prompt)
        assert stream is sys.stderr
        return webhook(world).strip()

    monkeypatch.setattr(commands, "getpass", type_in)
    code, _, _ = run("setup", stdin=Terminal())

    assert (code, len(asked)) == (0, 1)


def test_doctor_finds_a_prepared_portal_well(world: Any, run: Run) -> None:
    world.bill(2)
    code, out, _ = run("doctor")

    assert code == 0
    assert [line[:2] for line in out.splitlines()[:-1]] == ["ok"] * 12
    assert out.splitlines()[-1] == "12 ok (ok)"


def test_doctor_says_how_to_mend_a_problem_and_exits_with_1(world: Any, run: Run) -> None:
    world.connect(pay_system_id=seed.BILL_SYSTEM)
    world.bill(2)
    code, out, _ = run("doctor")

    lines = out.splitlines()
    at = next(index for index, line in enumerate(lines) if line.startswith("!!"))
    assert code == 1
    assert "not built on a REST handler" in lines[at]
    assert lines[at + 1].lstrip().startswith("-> Run `airflow b24 setup`")


def test_doctor_prints_json_for_programs(world: Any, run: Run) -> None:
    code, out, _ = run("doctor", "--json")

    found = json.loads(out)
    assert code == 0
    assert {frozenset(each) for each in found} == {frozenset({"check", "state", "text", "fix"})}


def test_doctor_examines_the_portal_while_the_ledger_is_out_of_order(world: Any, run: Run, tmp_path: Path) -> None:
    world.setenv("AIRFLOW__BITRIX24__LEDGER_URL", f"sqlite:///{tmp_path}/missing/ledger.db")
    code, out, _ = run("doctor", "--json")

    found = {each["check"]: each["state"] for each in json.loads(out)}
    assert code == 1
    assert (found["reachable"], found["ledger"]) == ("ok", "problem")


def test_doctor_reports_a_ledger_connection_that_does_not_exist(world: Any, run: Run) -> None:
    code, out, _ = run("doctor", "--json", "--ledger-conn-id", "nowhere")

    (ledger,) = (each for each in json.loads(out) if each["check"] == "ledger")
    assert (code, ledger["state"]) == (1, "problem")
    assert "--ledger-conn-id" in ledger["text"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("doctor", "--conn-id", "nobody"), "--conn-id: The conn_id `nobody` isn't defined; add it"),
        (("review", "--ledger-conn-id", "nobody"), "--ledger-conn-id: The conn_id `nobody` isn't defined"),
    ],
)
def test_a_connection_that_does_not_exist_is_one_line_and_exit_code_2(
    world: Any, run: Run, words: tuple[str, ...], said: str
) -> None:
    code, out, err = run(*words)

    assert (code, out) == (2, "")
    assert err.startswith(said)
    assert err.count("\n") == 1


def test_a_connection_with_a_mistake_in_it_is_named_and_its_secret_is_not(world: Any, run: Run) -> None:
    world.connect(burst="many")
    code, _, err = run("doctor")

    assert (code, err.startswith("extra.burst: ")) == (2, True)
    assert "canary" not in err


def test_review_of_an_empty_ledger_says_so(world: Any, run: Run) -> None:
    assert run("review") == (0, "Nothing waits for a person.\n", "")
    assert run("review", "--json") == (0, "[]\n", "")


def test_review_shows_what_waits_newest_first_without_control_characters(
    world: Any, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    _put_into_review(world)
    code, out, _ = run("review")

    lines = out.splitlines()
    assert code == 0
    assert lines[0] == "2026-11-22  118.00 EUR  settlement 1"
    assert lines[2] == "    invoices  2026/7"
    assert lines[3] == "record 1"
    assert lines[-1] == "2 wait for a person."
    assert max(len(line) for line in lines if line.startswith("    text")) == 60
    assert "\x1b" not in out


def test_review_prints_json_for_programs(world: Any, run: Run) -> None:
    _put_into_review(world)
    _, out, _ = run("review", "--json")

    assert [(each["payment"], each["amount"], each["invoices"]) for each in json.loads(out)] == [
        ("settlement 1", "118.00 EUR", "2026/7"),
        ("record 1", None, ""),
    ]


def _put_into_review(world: Any) -> None:
    """A plain pay that a person must look at, and a record that could not be read."""
    store = world.store()
    with store.transaction() as connection:
        plain = {
            "portal_id": portals.portal_id(connection, "portal.example"),
            "kind": "legacy",
            "invoice_id": 7,
            "invoice_number": "2026/7",
            "origin": "manual",
            "state": decide.State.REVIEW,
            "reason": next(iter(decide.REASONS)),
            "expected": 11800,
            "currency": "EUR",
            "exponent": 2,
            "created_at": NOW,
            "updated_at": NOW,
        }
        unread = {
            "source": "bank",
            "digest": "0" * 64,
            "occurrence": 1,
            "body": "\x1b[31m" + "x" * 200,
            "verdict": "quarantined",
            "rule": "",
            "detail": "amount: missing",
            "received_at": NOW,
        }
        connection.execute(insert(settlement).values(plain))
        connection.execute(insert(raw).values(unread))
    store.close()


@pytest.fixture
def installed(tmp_path: Path, world: Any, airflow_db: Path) -> dict[str, str]:
    """The environment of a process which sees this source tree as an installed provider, and no connection at all."""
    metadata = tmp_path / "site" / "airflow_b24-0.0.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: airflow-b24\nVersion: 0.0.0\n")
    entry = "[apache_airflow_provider]\nprovider_info = airflow_b24:get_provider_info\n"
    (metadata / "entry_points.txt").write_text(entry)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_CONN_")}
    return kept | {"PYTHONPATH": os.pathsep.join((str(metadata.parent), str(ROOT)))}


def test_doctor_sees_a_connection_made_in_airflow(installed: dict[str, str], world: Any) -> None:
    installed.pop("_AIRFLOW_PROCESS_CONTEXT", None)

    def airflow(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "airflow", *words]
        return subprocess.run(command, env=installed, capture_output=True, text=True, check=False, timeout=100)

    world.bill(2)
    password = webhook(world, seed.TECHNICAL, seed.TECHNICAL_SECRET).strip()
    extra = {"pay_system_id": seed.REST_SYSTEM, "ca_bundle": str(world.addresses.ca_file)}
    fields = {"conn_type": "bitrix24", "password": password, "extra": extra}
    added = airflow("connections", "add", "made_in_airflow", "--conn-json", json.dumps(fields))
    assert added.returncode == 0, added.stderr

    done = airflow("b24", "doctor", "--conn-id", "made_in_airflow", "--json")

    assert done.returncode == 0, done.stdout + done.stderr
    assert {each["state"] for each in json.loads(done.stdout)} == {"ok"}
    assert seed.TECHNICAL_SECRET not in done.stdout + done.stderr
