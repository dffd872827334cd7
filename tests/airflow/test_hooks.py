from __future__ import annotations

import asyncio
import inspect
import json
import re
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException
from airflow.sdk.log import redact

from airflow_b24.bitrix.errors import AuthError
from airflow_b24.hooks import Bitrix24Hook, ledger_url
from airflow_b24.ledger import portals, records
from airflow_b24.ledger.records import Record
from airflow_b24.operators import PayInvoiceOperator
from airflow_b24.reconcile.desk import PaySystem
from airflow_b24.sandbox import seed

QUOTED = "canary%2Bwebhook~0001"
SECRET = "canary+webhook~0001"


def test_a_webhook_connection_calls_the_portal(world: Any) -> None:
    with Bitrix24Hook() as hook:
        answer = hook.call("profile")
    assert answer.result["ID"] == str(seed.TECHNICAL)


def test_an_oauth_connection_calls_the_portal(world: Any) -> None:
    host, extra = world.addresses.https, {"ca_bundle": str(world.addresses.ca_file)}
    world.connection(
        "b24_oauth", {"conn_type": "bitrix24", "host": host, "password": seed.ACCESS_TOKEN, "extra": extra}
    )
    with Bitrix24Hook("b24_oauth") as hook:
        assert hook.call("profile").result["ID"] == str(seed.TECHNICAL)
        assert hook.test_connection()[0]


def test_an_expired_token_asks_a_person(world: Any) -> None:
    host, extra = world.addresses.https, {"ca_bundle": str(world.addresses.ca_file)}
    expired = {"conn_type": "bitrix24", "host": host, "password": seed.EXPIRED_TOKEN, "extra": extra}
    world.connection("bitrix24_default", expired)
    with Bitrix24Hook() as hook, pytest.raises(AuthError, match="expired"):
        hook.call("profile")


def _names(world: Any) -> list[str]:
    with world.store().snapshot() as connection:
        return portals.names(connection, 1)


def test_a_renamed_portal_is_known_by_its_new_name_once_it_was_reached_there(world: Any) -> None:
    old, new = world.addresses.https, world.addresses.http
    world.connect(allowed_hosts=[new.removeprefix("http://")])
    with Bitrix24Hook() as hook:
        hook.call("profile")
    assert _names(world) == [old.removeprefix("https://")]
    world.fault("redirect", host=new)
    with Bitrix24Hook() as hook:
        hook.call("profile")
    assert set(_names(world)) == {old.removeprefix("https://"), new.removeprefix("http://")}


@pytest.fixture
def application(world: Any) -> Any:
    """The connection `bitrix24_default` of an OAuth application whose access token has expired."""
    secrets = {"client_secret": "canary+client/01", "refresh_token": "canary+seed/0001"}
    extra = {"client_id": "local.1.2", **secrets, "oauth_url": world.addresses.https, "pay_system_id": seed.REST_SYSTEM}
    extra |= {"ca_bundle": str(world.addresses.ca_file), "requests_per_second": 1000, "burst": 1000}
    fields = {"conn_type": "bitrix24", "host": world.addresses.https, "password": seed.EXPIRED_TOKEN, "extra": extra}
    world.connection("bitrix24_default", fields)
    world.state.application.client_id = "local.1.2"
    world.state.application.client_secret = secrets["client_secret"]
    world.state.application.refresh_token = secrets["refresh_token"]
    return world.state.application


def test_an_applications_token_is_renewed_once_and_kept_for_every_hook(world: Any, application: Any) -> None:
    for _ in range(3):
        with Bitrix24Hook() as hook:
            assert hook.call("profile").result["ID"] == str(seed.TECHNICAL)
    assert application.refreshes == 1


def test_a_task_pays_with_a_renewed_token_also_when_it_expires_amid_the_pay(world: Any, application: Any) -> None:
    world.bill(2)
    world.fault("expired_token", method="sale.paysystem.pay.invoice")
    context: Any = {"ti": SimpleNamespace(xcom_push=lambda **_: None)}
    assert PayInvoiceOperator(task_id="pay", invoice_id=2).execute(context)["status"] == "paid"
    assert (world.pays(), application.refreshes) == ({2: 1}, 2)


def test_a_line_of_tokens_that_ended_fails_the_task_for_good_and_says_how_to_go_on(
    world: Any, application: Any
) -> None:
    world.bill(2)
    application.refresh_token = "used up by somebody else"
    context: Any = {"ti": SimpleNamespace(xcom_push=lambda **_: None)}
    with pytest.raises(AirflowFailException, match=r"authorise the application again.*connection's extra") as caught:
        PayInvoiceOperator(task_id="pay", invoice_id=2).execute(context)
    assert "canary" not in str(caught.value)
    assert world.pays() == {}


def test_every_token_of_an_application_is_masked_by_airflow(world: Any, application: Any, tmp_path: Any) -> None:
    with Bitrix24Hook() as hook:
        hook.call("profile")
    rotated = [application.refresh_token, *set(world.state.tokens) - {seed.ACCESS_TOKEN}]
    secrets = ["canary+client/01", "canary%2Bclient%2F01", "canary+seed/0001", "canary%2Bseed%2F0001", *rotated]
    assert redact(" ".join(secrets)) == " ".join(["***"] * len(secrets))
    assert not any(secret.encode() in (tmp_path / "ledger.db").read_bytes() for secret in secrets)


def test_without_the_ledger_an_applications_token_is_not_renewed(world: Any, application: Any, tmp_path: Any) -> None:
    ok, message = Bitrix24Hook().test_connection()
    assert (ok, "tasks renew it by themselves" in message) == (False, True)
    assert application.refreshes == 0
    assert not (tmp_path / "ledger.db").exists()


def test_airflow_makes_our_hook_for_the_connection(world: Any) -> None:
    made = BaseHook.get_hook("bitrix24_default")
    assert isinstance(made, Bitrix24Hook)
    assert made.bitrix24_conn_id == "bitrix24_default"


def test_one_hook_has_one_client_until_it_is_closed(world: Any) -> None:
    with Bitrix24Hook() as hook:
        first = hook.get_conn()
        assert hook.get_conn() is first
    with hook:
        assert hook.get_conn() is not first
        assert hook.call("profile").result["ID"] == str(seed.TECHNICAL)


@pytest.mark.parametrize(
    ("connection", "named"),
    [
        ({"conn_type": "bitrix24"}, r"password: .*no secret.*into Password"),
        (f"https://portal.test/rest/1/{QUOTED}/", r"password: .*no secret.*paste the inbound webhook's address"),
        (f"bitrix24://portal.test/rest/1/{QUOTED}/", r"password: .*no secret.*paste the inbound webhook's address"),
        ({"conn_type": "bitrix24", "password": f"http://portal.test/rest/1/{QUOTED}/"}, r"webhook: http .*https://"),
        ({"conn_type": "bitrix24", "password": f"https://a:{QUOTED}@portal.test/rest/1/{QUOTED}/"}, r"webhook: .*@"),
        (
            {"conn_type": "bitrix24", "host": f"https://portal.test/rest/1/{QUOTED}/", "password": "x"},
            r"host: .*Password",
        ),
        (
            {"conn_type": "bitrix24", "password": f"https://portal.test/rest/1/{QUOTED}/", "extra": {"webhook": "x"}},
            r"extra: webhook is not known; known are",
        ),
    ],
    ids=[
        "no secret",
        "raw webhook",
        "raw webhook, our scheme",
        "http",
        "credentials",
        "secret in host",
        "unknown extra",
    ],
)
def test_a_bad_connection_is_refused_with_the_fix_and_without_the_secret(
    world: Any, connection: Any, named: str
) -> None:
    world.connection("bitrix24_default", connection)
    with pytest.raises(ValueError, match=named) as caught:
        Bitrix24Hook().call("profile")
    assert "canary" not in str(caught.value)
    assert Bitrix24Hook().test_connection() == (False, str(caught.value))
    assert world.state.requests == 0


def test_a_connection_that_does_not_exist_is_airflows_own_error(world: Any) -> None:
    with pytest.raises(AirflowNotFoundException, match="nowhere"):
        Bitrix24Hook("nowhere").call("profile")


def test_the_test_button_says_who_we_are_and_writes_no_ledger(world: Any, tmp_path: Any) -> None:
    ok, message = Bitrix24Hook().test_connection()
    assert (ok, world.addresses.https in message, "Airflow" in message) == (True, True, True)
    assert not (tmp_path / "ledger.db").exists()


def test_all_workers_keep_to_the_share_of_the_limit_that_the_connection_names(world: Any) -> None:
    world.connect(requests_per_second=0.2, burst=20, rate_share=0.5)
    with Bitrix24Hook() as one, Bitrix24Hook() as other:
        one.call("profile")
        # Of ten requests in a row two are a margin, and three for what is urgent alone.
        assert [next(other.desk().pace.reserve(2, 60.0), 0.0) for _ in range(2)] == [0.0, 0.0]
        assert 5 < next(other.desk().pace.reserve(1, 60.0), 0.0) <= 10


def test_the_test_button_says_what_is_wrong_and_how_to_mend_it(world: Any) -> None:
    world.connect(secret="canary-unknown~01")
    ok, message = Bitrix24Hook().test_connection()
    assert not ok
    assert "webhook" in message
    assert "canary" not in message


def test_a_client_for_an_event_loop_neither_blocks_it_nor_needs_a_ledger(world: Any, tmp_path: Any) -> None:
    async def ask() -> Any:
        hook = Bitrix24Hook()
        async with await hook.aget_conn() as client:
            return hook, await client.call("profile")

    hook, answer = asyncio.run(ask())
    assert answer.result["ID"] == str(seed.TECHNICAL)
    assert hook.settings.pay_system_id == seed.REST_SYSTEM
    assert not (tmp_path / "ledger.db").exists()


def test_the_ledger_is_the_named_connections_else_the_configured_one_else_in_airflow_home(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = {
        "conn_type": "postgres",
        "host": "db.test",
        "port": 5433,
        "login": "u",
        "password": "p/w",
        "schema": "b24",
    }
    world.connection("b24_ledger", {**database, "extra": {"sslmode": "require", "cursor": "dictcursor"}})
    assert ledger_url("b24_ledger") == "postgres://u:p%2Fw@db.test:5433/b24?sslmode=require"
    assert ledger_url() == world.ledger_url
    monkeypatch.delenv("AIRFLOW__BITRIX24__LEDGER_URL")
    home = sys.modules["airflow.configuration"].AIRFLOW_HOME
    assert ledger_url() == f"sqlite:///{home}/airflow_b24.db"


def test_an_sqlite_ledger_can_be_named_by_a_connection(world: Any, tmp_path: Any) -> None:
    world.connection("b24_ledger", {"conn_type": "sqlite", "host": str(tmp_path / "named.db")})
    with Bitrix24Hook(ledger_conn_id="b24_ledger") as hook:
        assert hook.report()["payments"] == 0
    assert (tmp_path / "named.db").exists()


@pytest.mark.parametrize(
    ("extra", "arguments", "chosen"),
    [
        ({"pay_system_id": 31}, (None, None), PaySystem(31)),
        ({"pay_system_id": 31}, (6, None), PaySystem(6)),
        ({"pay_system_id": 31}, (None, "airflowbank"), PaySystem(None, "airflowbank")),
        ({"pay_system_id": 31}, ("6", "airflowbank"), PaySystem(6, "airflowbank")),
        ({"pay_system_id": None, "bx_rest_handler": "airflowbank"}, (None, None), PaySystem(None, "airflowbank")),
        ({"pay_system_id": 31, "bx_rest_handler": "airflowbank"}, (None, None), PaySystem(31, "airflowbank")),
    ],
    ids=["extra", "argument beats extra", "handler beats extra's id", "both", "extra's handler", "extra's both"],
)
def test_an_argument_beats_the_extra(
    world: Any, extra: dict[str, Any], arguments: tuple[Any, Any], chosen: PaySystem
) -> None:
    world.connect(**extra)
    assert Bitrix24Hook().pay_system(*arguments) == chosen


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("5.0", None), r"pay_system_id: '5\.0'.*whole number"),
        ((0, "airflowbank"), r"pay_system_id: '0'.*whole number"),
        ((None, " "), r"bx_rest_handler: .*code of a REST handler"),
        ((None, 7), r"bx_rest_handler: .*code of a REST handler"),
    ],
)
def test_a_pay_system_that_cannot_be_is_refused_at_once(world: Any, arguments: tuple[Any, Any], named: str) -> None:
    world.connect(pay_system_id=None)
    with pytest.raises(ValueError, match=named):
        Bitrix24Hook().pay_system(*arguments)


def test_every_spelling_of_the_webhooks_secret_is_masked_by_airflow(world: Any) -> None:
    with Bitrix24Hook() as hook:
        hook.get_conn()
    shown = redact(f"raw {SECRET} quoted {QUOTED} lower {QUOTED.lower()}")
    assert shown == "raw *** quoted *** lower ***"


def test_the_password_of_a_configured_ledger_is_masked_by_airflow(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__BITRIX24__LEDGER_URL", "postgresql://u:canary-ledger@127.0.0.1:9/b24")
    assert "canary-ledger" not in str(redact(f"it is {ledger_url()}"))


def test_a_hook_shows_no_secret(world: Any) -> None:
    hook = Bitrix24Hook()
    hook.get_conn()
    shown = [repr(hook), repr(hook.settings), repr(hook.get_conn()), json.dumps(vars(hook), default=repr)]
    assert not any("canary" in text for text in shown)


def test_calls_through_the_hook_leave_the_portals_errors_as_they_are(world: Any) -> None:
    world.connect(secret=seed.CRM_ONLY_SECRET)
    with Bitrix24Hook() as hook, pytest.raises(AuthError, match="scope"):
        hook.call("sale.paysystem.pay.invoice", {"INVOICE_ID": 1, "PAY_SYSTEM_ID": 31})


def test_a_report_is_the_ledgers(world: Any) -> None:
    with Bitrix24Hook() as hook:
        assert hook.report()["payments"] == 0


def test_a_report_that_is_cut_says_so_and_begins_with_what_waits_for_a_person(
    world: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = [Record("{bad}", "quarantined", rule="amount", detail="no number", account="40702", key="id:Q1")]
    debits = [Record(f"{{{n}}}", "ignored", rule="not_a_credit", account="40702", key=f"id:D{n}") for n in range(3)]
    with Bitrix24Hook() as hook:
        records.ingest(hook.ledger, "bank", [*odd, *debits], None)
        hook.report()
        whole = capsys.readouterr().out
        monkeypatch.setattr("airflow_b24.hooks.SHOWN", 2)
        hook.report()
        cut = capsys.readouterr().out
    assert "What waits for a person first, then the newest payments:\n" in whole
    assert "newest payments (2 of 4; `airflow-b24 report` shows all):\n" in cut
    assert re.findall(r"^[QD]\d", cut, re.MULTILINE) == ["Q1", "D2"]


def test_every_argument_of_the_hook_has_a_default() -> None:
    signature = inspect.signature(Bitrix24Hook)
    assert all(parameter.default is not inspect.Parameter.empty for parameter in signature.parameters.values())
