"""Secrets in the wrong place: what can be refused is refused, and neither the error nor any object shows them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from airflow.sdk import DAG, BaseHook
from airflow.sdk.log import redact
from airflow.serialization.serialized_objects import DagSerialization

from airflow_b24.bitrix.redaction import REDACTOR
from airflow_b24.hooks import Bitrix24Hook
from airflow_b24.operators import Bitrix24Operator, CollectPaymentsOperator, PayInvoiceOperator
from airflow_b24.payments.statements.records import RecordFields
from airflow_b24.sources import HttpSource, SourceError
from tests.secrets import databases, sinks
from tests.secrets.canaries import ACCESS, BANK, CLIENT, DATABASE, REFRESH, WEBHOOK
from tests.secrets.search import hits

PATH = f"/rest/9/{quote(WEBHOOK.text, safe='')}/"
URL = f"https://portal.test{PATH}"
DATABASE_URL = f"postgresql://u:{quote(DATABASE.text, safe='')}@db.test/b24"
OAUTH = {"client_id": "app.1", "client_secret": CLIENT.text, "refresh_token": REFRESH.text}


def failure(act: Callable[[], object]) -> BaseException:
    """What an attempt fails with; in a frame of its own, which is part of the error."""
    try:
        act()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is searched
        return error
    raise AssertionError("nothing was refused")


def shown(error: BaseException) -> list[Any]:
    return hits({"error": sinks.chain(error)})


MISTAKES: dict[str, dict[str, Any]] = {
    "in Host, alone": {"host": URL},
    "in Host, beside a token": {"host": URL, "password": ACCESS.text},
    "in Host, without a scheme": {"host": f"portal.test{PATH}", "password": ACCESS.text},
    "in Host, as its user": {"host": f"https://u:{quote(WEBHOOK.text, safe='')}@portal.test", "password": ACCESS.text},
    "with credentials": {"password": f"https://a:{quote(WEBHOOK.text, safe='')}@portal.test{PATH}"},
    "by http": {"password": f"http://portal.test{PATH}"},
    "with a query": {"password": f"{URL}?auth={ACCESS.text}"},
    "as no address": {"password": WEBHOOK.text},
    "without the user": {"password": f"https://portal.test/rest/{quote(WEBHOOK.text, safe='')}/"},
    "in an unknown extra": {"password": "x", "extra": {"webhook": URL}},
    "in the authorisation server": {"password": "x", "host": "p.test", "extra": {**OAUTH, "oauth_url": URL}},
    "in the application's secret": {"host": "p.test", "extra": {**OAUTH, "client_secret": f"{CLIENT.text} x"}},
    "an application without a portal": {"password": ACCESS.text, "extra": OAUTH},
    "half an application": {"password": ACCESS.text, "host": "p.test", "extra": {"refresh_token": REFRESH.text}},
    **{
        f"in extra.{name}": {"password": URL, "extra": {name: WEBHOOK.text}}
        for name in ("timeout", "burst", "trust_env", "pay_system_id", "requests_per_second", "rate_share")
    },
    "in extra.ca_bundle": {"password": URL, "extra": {"ca_bundle": URL}},
    "in extra.bx_rest_handler": {"password": URL, "extra": {"bx_rest_handler": URL}},
    "in extra.allowed_hosts": {"password": URL, "extra": {"allowed_hosts": {"host": URL}}},
}


@pytest.mark.parametrize("fields", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_secret_in_the_wrong_field_of_a_connection_is_refused_unseen(world: Any, fields: dict[str, Any]) -> None:
    world.connection("bitrix24_default", {"conn_type": "bitrix24", **fields})
    error = failure(lambda: Bitrix24Hook().get_conn())
    assert isinstance(error, ValueError)
    assert shown(error) == []
    ok, message = Bitrix24Hook().test_connection()
    assert not ok
    assert hits({"the Test button": message.encode()}) == []
    assert world.state.requests == 0


def _bank(**changed: Any) -> HttpSource:
    return HttpSource(**{"http_conn_id": "bank", "endpoint": "bank/payments", **changed})


ARGUMENTS: dict[str, Callable[[], object]] = {
    "as the connection of a hook": lambda: Bitrix24Hook(URL),
    "as the ledger of a hook": lambda: Bitrix24Hook(ledger_conn_id=DATABASE_URL),
    "as a method": lambda: Bitrix24Hook().call(URL + "profile"),
    "as a token among arguments": lambda: Bitrix24Operator(task_id="t", method="x", arguments={"auth": ACCESS.text}),
    "as an invoice": lambda: Bitrix24Hook().pay_system(WEBHOOK.text),
    "as the connection of a bank": lambda: _bank(http_conn_id=URL),
    "as the endpoint of a bank": lambda: _bank(endpoint=f"https://bank.test/?api_key={BANK.text}"),
    "in the query of a bank": lambda: _bank(endpoint=f"payments?api_key={quote(BANK.text)}"),
    "as a parameter of a bank": lambda: _bank(params={"api_key": BANK.text}),
}


@pytest.mark.parametrize("act", ARGUMENTS.values(), ids=ARGUMENTS.keys())
def test_a_secret_as_an_argument_is_refused_and_its_error_does_not_say_it(world: Any, act: Any) -> None:
    error = failure(act)
    # The frames are the author's own: the argument stands in them.
    assert hits({"error": f"{error} {error!r} {error.args}".encode()}) == []


@pytest.mark.parametrize("name", ["key", "Api-Key", "access_token", "TOKEN", "password"])
def test_a_template_may_stand_where_a_key_may_not(name: str) -> None:
    with pytest.raises(ValueError, match=r"params\.\S+: a key does not belong into a DAG"):
        _bank(params={name: "0123456789"})
    assert _bank(params={name: "{{ conn.bank.password }}"}).params[name].startswith("{{")
    assert _bank(params={"page_token_size": "10", "status": "booked"}).params["status"] == "booked"


def test_a_rendered_key_is_masked_everywhere_and_left_out_of_the_sources_name(world: Any) -> None:
    template = _bank(params={"api_key": "{{ conn.bank_query.password }}"})
    rendered = template.rendered(lambda value: {"api_key": BANK.text} if isinstance(value, dict) else value)
    assert rendered.name == template.name
    world.connection("bank", {"conn_type": "http", "host": "https://127.0.0.1:9"})
    error = failure(lambda: list(rendered.read(date(2026, 1, 1))))
    assert isinstance(error, SourceError)
    assert (error.__cause__, error.__context__) == (None, None)
    said = f"asked {quote(BANK.text)} and {BANK.text}"
    assert hits({"error": repr(error).encode(), "ours": REDACTOR.scrub(said).encode()}) == []
    assert hits({"Airflow's": str(redact(said)).encode()}) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"password": f"https://127.0.0.1:9{PATH}"},
        {"password": ACCESS.text, "host": "https://127.0.0.1:9", "extra": OAUTH},
    ],
    ids=["webhook", "application"],
)
def test_no_object_of_a_task_shows_what_opens_the_portal(world: Any, fields: dict[str, Any]) -> None:
    world.connection("bitrix24_default", {"conn_type": "bitrix24", **fields})
    hook = Bitrix24Hook()
    client, desk = hook.get_conn(), hook.desk()
    objects = [hook, hook.settings, hook.settings.auth, client, client._session, desk]
    with hook:
        assert hits({type(each).__name__: sinks.shapes(each) for each in objects}) == []


def test_a_ledger_that_refuses_its_password_does_not_show_it(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with databases.refusing() as port:
        database = {"login": "u", "password": DATABASE.text, "schema": "b24", "host": "127.0.0.1", "port": port}
        world.connection("refusing", {"conn_type": "postgres", **database})
        named = failure(lambda: Bitrix24Hook(ledger_conn_id="refusing").report())
        address = f"postgresql://u:{quote(DATABASE.text, safe='')}@127.0.0.1:{port}/b24"
        monkeypatch.setenv("AIRFLOW__BITRIX24__LEDGER_URL", address)
        configured = failure(lambda: Bitrix24Hook().report())
    assert shown(named) == []
    assert shown(configured) == []


def test_a_serialized_dag_holds_ids_of_connections_and_nothing_of_what_is_in_them(world: Any) -> None:
    world.connect(secret=WEBHOOK.text, bank_key=BANK.text)
    assert BaseHook.get_connection("bitrix24_default").password
    source = _bank(params={"api_key": "{{ conn.bank.password }}"}, record_fields=RecordFields(remittance="purpose"))
    with DAG("some", schedule=None) as dag:
        collect = CollectPaymentsOperator(task_id="collect", source=source, start_from="2026-01-01")
        PayInvoiceOperator(task_id="pay", invoice_id=5, retry_delay=timedelta(seconds=1))
        Bitrix24Operator(task_id="ask", method="profile", arguments={"id": 1})
    stored = json.dumps(DagSerialization.to_dict(dag)).encode()
    assert b"CollectPaymentsOperator" in stored
    assert hits({"serialized": stored, "operator": sinks.shapes(collect), "source": sinks.shapes(source)}) == []
