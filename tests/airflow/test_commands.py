from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update

import airflow_b24
from airflow_b24.commands import bank, portal
from airflow_b24.hooks import Bitrix24Hook
from airflow_b24.ledger import identity, outcomes, payments, portals, states
from airflow_b24.ledger.schema import raw, settlement
from airflow_b24.pins import VariablePins
from airflow_b24.preparing.setup import HANDLER_CODE
from airflow_b24.sandbox import seed

ROOT = Path(airflow_b24.__file__).parents[1]
BANK_KEY = "canary bank/key+0001"
NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
Run = Callable[..., tuple[int, str, str]]


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


def test_setup_prints_no_key_of_an_application_and_says_that_they_stay(world: Any, run: Run) -> None:
    keys = {"client_id": "app.1", "client_secret": "canary-of-the-app", "refresh_token": "canary-of-the-token"}
    extra = {**keys, "ca_bundle": str(world.addresses.ca_file)}
    application = {"conn_type": "bitrix24", "host": world.addresses.https, "extra": extra}
    world.connection("bitrix24_default", application)
    code, out, err = run("setup", stdin=webhook(world))
    assert (code, err) == (0, "")
    assert "Add this to the extra of the connection 'bitrix24_default', and leave the application's keys" in out
    assert "canary" not in out


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

    monkeypatch.setattr(portal, "getpass", type_in)
    code, _, _ = run("setup", person="")

    assert (code, len(asked)) == (0, 1)


def test_doctor_finds_a_prepared_portal_well(world: Any, run: Run) -> None:
    world.bill(2)
    code, out, _ = run("doctor")

    assert code == 0
    assert [line[:2] for line in out.splitlines()[:-1]] == ["ok"] * 13
    assert out.splitlines()[-1] == "13 ok"


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
        (
            ("doctor", "--conn-id", "nobody"),
            "--conn-id: 'nobody' is not defined; add it in Airflow (Admin > Connections)",
        ),
        (("report", "--conn-id", "nobody"), "--conn-id: 'nobody' is not defined"),
        (("review", "--conn-id", "nobody"), "--conn-id: 'nobody' is not defined"),
        (("ledger", "check", "--conn-id", "nobody"), "--conn-id: 'nobody' is not defined"),
        (("review", "--ledger-conn-id", "nobody"), "--ledger-conn-id: The conn_id `nobody` isn't defined; add it"),
        (("report", "--ledger-conn-id", "nobody"), "--ledger-conn-id: The conn_id `nobody` isn't defined; add it"),
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
    world.store().close()
    assert run("review") == (0, f"Ledger {world.ledger_url}\nNothing waits for a person.\n", "")
    assert run("review", "--json") == (0, "[]\n", "")


def test_review_shows_what_waits_newest_first_without_control_characters(
    world: Any, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    _put_into_review(world)
    code, out, _ = run("review")

    lines = out.splitlines()
    assert code == 0
    assert lines[0] == f"Ledger {world.ledger_url}"
    assert lines[1] == "2026-11-22  118.00 EUR  settlement 1"
    assert lines[3] == "    invoices  2026/7"
    assert lines[4].startswith("    do        ")
    assert lines[5].startswith("    release   airflow b24 ledger release 1   if ")
    assert lines[6].startswith("    retry     airflow b24 ledger retry 1   if ")
    assert lines[7].startswith("    confirm   airflow b24 ledger confirm 1   if ")
    assert lines[8] == "record 1"
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
            "state": states.State.REVIEW,
            "reason": next(iter(states.REASONS)),
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
            "account": "",
            "key": "",
            "detail": "amount: missing",
            "received_at": NOW,
        }
        connection.execute(insert(settlement).values(plain))
        connection.execute(insert(raw).values(unread))
    store.close()


@pytest.mark.parametrize("command", ["review", "report"])
def test_a_ledger_that_does_not_exist_yet_is_named_and_not_created(world: Any, run: Run, command: str) -> None:
    path = Path(world.ledger_url.partition("///")[2])
    assert run(command) == (0, f"Ledger {world.ledger_url}\nNo run has written here yet.\n", "")
    assert run(command, "--json")[0] == 0
    assert list(path.parent.iterdir()) == []


def test_the_ledgers_password_is_in_no_line(world: Any, run: Run) -> None:
    world.setenv("AIRFLOW__BITRIX24__LEDGER_URL", "sqlite://someone:canaryword@/nowhere/at.db?password=canaryword")
    code, out, err = run("review")

    assert (code, "nowhere/at.db" in out + err) == (0, True)
    assert "canaryword" not in out + err


@pytest.mark.parametrize("command", ["review", "report", "doctor"])
def test_an_unreadable_ledger_address_is_no_traceback_and_shows_no_piece_of_its_password(
    world: Any, run: Run, command: str
) -> None:
    world.setenv("AIRFLOW__BITRIX24__LEDGER_URL", "postgresql://someone:part/canaryword@host:portcanary/db")
    code, out, err = run(command)

    assert code == (1 if command == "doctor" else 2)
    assert "ledger_url" in out + err
    assert "canary" not in out + err


def _collected(world: Any) -> None:
    """Two payments as shadow mode leaves them: one is proven, one names no invoice."""
    store = world.store()
    with store.transaction() as connection:
        portal_id = portals.portal_id(connection, "portal.example")
        for key, verdict, reason in (("P1", "proven", "number_and_tax_id"), ("P2", "review", "no_reference")):
            identity = ("DE02", f"id:{key}", 1, 11800, "EUR", 2, NOW.date())
            payment_id, _ = payments.record(connection, payments.NewPayment(*identity, "text", "Payer", "", "", ""))
            outcomes.record_all(connection, portal_id, "shadow", [outcomes.Outcome(payment_id, verdict, reason)])
    store.close()


def test_report_shows_what_shadow_mode_would_pay_and_totals(world: Any, run: Run) -> None:
    _collected(world)
    code, out, err = run("report")

    lines = out.splitlines()
    assert (code, err, lines[0]) == (0, "", f"Ledger {world.ledger_url}")
    (proven,) = (line for line in lines if line.startswith("P1"))
    (doubtful,) = (line for line in lines if line.startswith("P2"))
    assert ("would pay" in proven, "review" in doubtful) == (True, True)
    assert lines[-2] == (
        "2 payments: 0 paid (0 of them by hand), 1 for review, 1 waiting (1 of them would be paid), 0 ignored."
    )
    assert lines[-1].endswith(": 236.00 EUR")


@pytest.mark.parametrize(
    ("status", "shown"),
    [("would_pay", ["P1"]), ("waiting", ["P1"]), ("review", ["P2"]), ("paid", []), ("ignored", [])],
)
def test_report_shows_one_status_alone_and_totals_of_all(world: Any, run: Run, status: str, shown: list[str]) -> None:
    _collected(world)
    told = json.loads(run("report", "--json", "--status", status)[1])

    assert [each["payment"] for each in told["payments"]] == shown
    assert all((each["status"] == "waiting") == each["would_pay"] for each in told["payments"])
    assert (told["totals"]["payments"], told["ledger"]) == (2, world.ledger_url)


def test_report_refuses_a_status_that_there_is_not(world: Any, run: Run) -> None:
    code, _, err = run("report", "--status", "lost")
    assert (code, "would_pay" in err) == (2, True)


def _in_review(world: Any) -> None:
    """A settlement of the world's own portal, in review."""
    _put_into_review(world)
    store = world.store()
    with store.transaction() as connection, Bitrix24Hook() as hook:
        own = portals.portal_id(connection, hook.settings.auth.origin.netloc)
        connection.execute(update(settlement).values(portal_id=own))
        host = hook.settings.auth.origin.netloc
    with store.snapshot() as connection:
        VariablePins().put(host, identity.read(connection))
    store.close()


def _state(world: Any) -> str:
    store = world.store()
    with store.snapshot() as connection:
        state = str(connection.scalar(select(settlement.c.state)))
    store.close()
    return state


def test_release_asks_what_it_means_and_releases_after_a_yes(world: Any, run: Run) -> None:
    _in_review(world)
    code, out, err = run("ledger", "release", "1", person="yes\n")

    assert (code, _state(world)) == (0, "released")
    assert "Settlement 1: invoice 2026/7, 118.00 EUR, in review (" in err
    assert "I have looked: this money did not pay this invoice. They are parted for good; each is free" in err
    # Nobody's money stood behind it.
    assert out == "Settlement 1 is released: invoice 2026/7 is free for a payment again.\n"


@pytest.mark.parametrize("answer", ["", "\n", "no\n"])
def test_release_without_a_yes_changes_nothing(world: Any, run: Run, answer: str) -> None:
    _in_review(world)
    code, out, err = run("ledger", "release", "1", person=answer)

    assert (code, out, _state(world)) == (1, "", "review")
    assert err.endswith("Nothing was changed.\n")


def test_release_wants_yes_where_nobody_can_be_asked(world: Any, run: Run) -> None:
    _in_review(world)
    code, out, err = run("ledger", "release", "1", stdin="yes\n")
    assert (code, out, _state(world)) == (2, "", "review")
    assert err.splitlines()[2].startswith("--yes: ")

    assert run("ledger", "release", "1", "--yes")[0] == 0
    assert _state(world) == "released"


@pytest.mark.parametrize(
    ("number", "said"), [("1", "1 is released, and nothing of that can be released"), ("99", "99")]
)
def test_release_of_what_cannot_be_released_is_one_line(world: Any, run: Run, number: str, said: str) -> None:
    _in_review(world)
    run("ledger", "release", "1", "--yes")
    code, out, err = run("ledger", "release", number, "--yes")

    assert (code, out) == (2, "")
    assert said in err.splitlines()[-1]


def test_a_person_shows_no_copy_of_the_ledger_what_to_do(world: Any, run: Run) -> None:
    _in_review(world)
    key = next(key for key in world.api.variables if key.startswith("airflow_b24_ledger:"))
    world.api.variables[key] = json.dumps({"ledger": "another", "mark": 1})
    for command in ("release", "retry"):
        code, out, err = run("ledger", command, "1", "--yes")
        assert (code, out, err.count("\n"), _state(world)) == (2, "", 1, "review")
        assert "is paid from ledger another" in err


def test_retry_makes_a_review_ready_again(world: Any, run: Run) -> None:
    _in_review(world)
    code, _, err = run("ledger", "retry", "1", "--yes")
    # The portal does not know the invoice of this test: what stands in the way is named.
    assert (code, _state(world)) == (2, "review")
    assert "INVOICE_GONE" in err.splitlines()[-1]


def test_accept_and_close_name_what_is_not_there(world: Any, run: Run) -> None:
    _in_review(world)
    for command, said in (("accept", "PAYMENT_ID: 7 is not in this ledger"), ("close", "CASE_ID: 7 is no open case")):
        code, _, err = run("ledger", command, "7", "--yes")
        assert (code, said in err) == (2, True)


def test_release_creates_no_ledger(world: Any, run: Run) -> None:
    code, _, err = run("ledger", "release", "1", "--yes")

    assert code == 2
    assert "no run has written here yet" in err
    assert not Path(world.ledger_url.partition("///")[2]).exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ('{"conn_type": "bitrix24"', "it is set, but it is not JSON"),
        ('{"conn_type": "bitrix24", "webhook": "canaryword"}', "it is JSON, but not of a connection"),
        ("https://p.example/rest/1/canaryword1/", "a webhook's bare address is no connection"),
    ],
)
def test_a_variable_that_is_no_connection_is_told_the_json_form(world: Any, run: Run, given: str, said: str) -> None:
    world.connection("bitrix24_default", given)
    code, out, err = run("doctor")

    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"AIRFLOW_CONN_BITRIX24_DEFAULT: {said}")
    assert """AIRFLOW_CONN_BITRIX24_DEFAULT='{"conn_type": "bitrix24", "password": "https://""" in err
    assert "canaryword" not in err


@pytest.mark.parametrize("conn_type", ["bitrix24", "http"])
def test_a_secret_in_host_is_out_and_a_new_one_is_needed(world: Any, run: Run, conn_type: str) -> None:
    world.connection("bitrix24_default", {"conn_type": conn_type, "host": "https://p.example/rest/1/canaryword1/"})
    code, _, err = run("doctor")

    assert (code, "canaryword1" in err) == (2, False)
    assert "everybody" in err
    assert "make a new webhook" in err


def test_doctor_puts_what_waits_for_a_fault_into_one_line_below_it(world: Any, run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        password = f"{address}{seed.webhook_path()}"
        world.connection("bitrix24_default", {"conn_type": "bitrix24", "password": password})
        code, out, _ = run("doctor")

    lines = out.splitlines()
    assert code == 1
    # Bound, but nobody listens: the connection is refused.
    assert (lines[0][:2], address in lines[0]) == ("!!", True)
    assert lines[2].lstrip("? ").startswith("9 checks wait for this: user, scopes, reading invoices")
    assert len([line for line in lines if line.startswith("??")]) == 1


def _doctored(run: Run, *words: str) -> tuple[int, dict[str, str]]:
    code, out, _ = run("doctor", "--json", *words)
    return code, next(each for each in json.loads(out) if each["check"] == "bank")


def test_doctor_asks_the_banks_connection_when_it_is_told_which(world: Any, run: Run) -> None:
    world.bill(2)
    code, found = _doctored(run, "--http-conn-id", "bank", "--http-endpoint", "bank/payments")
    assert (code, found["state"]) == (0, "ok")
    assert found["text"] == f"{world.addresses.https} answers (HTTP 200)."


@pytest.mark.parametrize(
    ("key", "endpoint", "status"), [(BANK_KEY, "bank/nothing/here", 404), ("wrong", "bank/payments", 401)]
)
def test_doctor_takes_a_banks_refusal_for_a_problem_and_says_how_to_mend_it(
    world: Any, run: Run, key: str, endpoint: str, status: int
) -> None:
    world.bill(2)
    world.connect(bank_key=key)
    code, found = _doctored(run, "--http-conn-id", "bank", "--http-endpoint", endpoint)
    assert (code, found["state"], found["fix"]) == (1, "problem", bank.REFUSALS[status])
    assert found["text"].endswith(f"answers (HTTP {status}).")


@pytest.mark.parametrize(
    ("status", "state"), [(200, "ok"), (302, "ok"), (400, "ok"), (403, "problem"), (500, "problem"), (503, "problem")]
)
def test_every_answer_but_a_refusal_shows_that_the_way_to_the_bank_is_open(status: int, state: str) -> None:
    found = bank._answered("https://bank.example", status)
    assert (found.state, bool(found.fix)) == (state, state == "problem")


@pytest.mark.parametrize(
    ("fields", "said", "fix"),
    [
        (None, "is not defined", "Admin > Connections"),
        ({"host": "http://bank.example"}, "in clear text", "https://"),
        ({"extra": {"verify": False}}, "verify is off", "CA bundle"),
        ({"extra": {}}, "does not answer (SSLError)", '"verify"'),
    ],
)
def test_doctor_says_how_to_mend_the_banks_connection(
    world: Any, run: Run, fields: dict[str, Any] | None, said: str, fix: str
) -> None:
    world.bill(2)
    if fields is not None:
        world.connection("other", {"conn_type": "http", "host": world.addresses.https, **fields})
    code, found = _doctored(run, "--http-conn-id", "other")

    assert (code, found["state"]) == (1, "problem")
    assert said in found["text"]
    assert fix in found["fix"]


def test_setup_at_an_untrusted_certificate_names_the_option(world: Any, run: Run) -> None:
    code, out, err = run("setup", "--conn-id", "not_yet_made", stdin=webhook(world))

    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("webhook: ")
    assert err.endswith("Give your certificate authority with --ca-bundle.\n")


def test_setup_with_a_wrong_secret_also_doubts_the_address(world: Any, run: Run) -> None:
    code, _, err = run("setup", stdin=webhook(world, secret="wrongsecret0000000001"))

    assert (code, err.startswith("webhook: ")) == (2, True)
    assert "mistyped" in err
    assert "wrongsecret" not in err


def test_setup_names_a_ca_bundle_that_is_not_there(world: Any, run: Run) -> None:
    code, _, err = run("setup", "--ca-bundle", "nowhere.pem", stdin=webhook(world))
    assert (code, err.startswith("--ca-bundle: there is no file ")) == (2, True)


def test_a_command_that_is_interrupted_says_so_in_one_line(
    world: Any, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(portal, "getpass", interrupt)
    assert run("setup", person="") == (130, "", "Stopped.\n")


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
    # Airflow 3.2 writes log lines of its own before the command begins.
    found = json.loads(done.stdout[done.stdout.index("[\n") :])
    assert {each["state"] for each in found} == {"ok"}
    assert seed.TECHNICAL_SECRET not in done.stdout + done.stderr


def test_what_a_program_asks_for_is_all_there_is_on_stdout(installed: dict[str, str], tmp_path: Path) -> None:
    # Whatever Airflow says before the command begins, and while it works.
    (tmp_path / "sitecustomize.py").write_text("print('a line of Airflow')\n", encoding="utf-8")
    installed["PYTHONPATH"] += os.pathsep + str(tmp_path)
    command = [sys.executable, "-m", "airflow_b24.cli", "report", "--json"]
    done = subprocess.run(command, env=installed, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0, done.stderr
    # Once from this program itself, which Airflow is not.
    assert json.loads(done.stdout.removeprefix("a line of Airflow\n"))["payments"] == []
    assert "a line of Airflow" in done.stderr


def test_airflow_itself_knows_the_group_within_the_group(installed: dict[str, str]) -> None:
    command = [sys.executable, "-m", "airflow", "b24", "ledger", "release", "--help"]
    done = subprocess.run(command, env=installed, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0, done.stderr
    assert [word for word in ("settlement_id", "--conn-id", "--yes") if word not in done.stdout] == []
