from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import certifi
import pytest
from airflow.sdk import DAG, task

from airflow_b24.operators import CollectPaymentsOperator
from airflow_b24.paginators import (
    HeaderLinkPaginator,
    JSONLinkPaginator,
    JSONResponseCursorPaginator,
    OffsetPaginator,
    PageNumberPaginator,
)
from airflow_b24.payments.errors import SourceFormatError
from airflow_b24.sources import HttpSource, SourceError

SINCE = date(2026, 11, 1)
BANK = HttpSource(
    http_conn_id="bank",
    endpoint="bank/payments",
    data_selector="payments",
    paginator=JSONResponseCursorPaginator(),
)
Answer = tuple[int, dict[str, str], Any]


@pytest.fixture
def bank(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[str]]]:
    """Serve what a test's bank answers, by path with query; returns the list of what was asked."""
    asked: list[str] = []
    answers: dict[str, Answer] = {}

    class Bank(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            status, headers, body = answers.get(self.path, (404, {}, {}))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

        def log_message(self, *_: Any) -> None: ...

    def serve(told: dict[str, Answer]) -> list[str]:
        answers.update(told)
        return asked

    with ThreadingHTTPServer(("127.0.0.1", 0), Bank) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        host = f"http://127.0.0.1:{server.server_port}/api"
        monkeypatch.setenv("AIRFLOW_CONN_BANK", json.dumps({"conn_type": "http", "host": host}))
        yield serve
        server.shutdown()


def _read(source: HttpSource) -> list[Any]:
    return list(source.read(SINCE))


def test_every_page_of_the_bank_is_read_in_order(world: Any) -> None:
    for number in range(1, 8):
        world.payment(number)
    assert [record["id"] for record in _read(BANK)] == [f"P{number}" for number in range(1, 8)]


def test_the_connections_own_certificate_authority_beats_the_environments(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.payment(1)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    assert len(_read(BANK)) == 1


@pytest.mark.parametrize(
    ("connection", "named"),
    [
        ({"host": "http://bank.test"}, "http_conn_id: bank is asked in clear text; write https://"),
        ({"host": "https://127.0.0.1:9", "extra": {"verify": False}}, "http_conn_id: bank has verify off; .*CA bundle"),
    ],
    ids=["clear text", "not verified"],
)
def test_a_bank_that_anybody_could_speak_for_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, connection: dict[str, Any], named: str
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_BANK", json.dumps({"conn_type": "http", **connection}))
    with pytest.raises(ValueError, match=named):
        _read(BANK)


def test_only_what_was_booked_since_is_asked_for(world: Any) -> None:
    world.payment(1, booked_on="2026-10-31")
    world.payment(2, booked_on="2026-11-01")
    assert [record["id"] for record in _read(BANK)] == ["P2"]


def test_numbers_are_read_as_written(bank: Callable[..., list[str]]) -> None:
    bank({"/api/p?from=2026-11-01": (200, {}, b'[{"amount": 118.10}]')})
    assert str(_read(HttpSource(http_conn_id="bank", endpoint="p"))[0]["amount"]) == "118.10"


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_an_error_for_a_person(bank: Callable[..., list[str]], status: int) -> None:
    asked = bank({"/api/p?from=2026-11-01": (status, {}, {"canary": "canary"})})
    with pytest.raises(ValueError, match=rf"http_conn_id: bank is refused \(HTTP {status}\); check its key") as caught:
        _read(HttpSource(http_conn_id="bank", endpoint="p"))
    assert "canary" not in str(caught.value)
    assert len(asked) == 1


def test_the_sandbox_bank_refuses_a_missing_key(world: Any) -> None:
    world.connect(bank_key="")
    with pytest.raises(ValueError, match=r"bank is refused \(HTTP 401\)"):
        _read(BANK)


@pytest.mark.parametrize(
    ("status", "headers"), [(500, {}), (503, {}), (404, {}), (204, {}), (429, {"Retry-After": "9"})]
)
def test_any_other_status_is_worth_asking_again(
    bank: Callable[..., list[str]], status: int, headers: dict[str, str]
) -> None:
    bank({"/api/p?from=2026-11-01": (status, headers, b"")})
    with pytest.raises(SourceError, match=f"bank: HTTP {status} from p"):
        _read(HttpSource(http_conn_id="bank", endpoint="p"))


def test_a_redirect_is_not_followed_for_the_key_would_go_with_it(bank: Callable[..., list[str]]) -> None:
    asked = bank(
        {"/api/p?from=2026-11-01": (302, {"Location": "/api/elsewhere"}, b""), "/api/elsewhere": (200, {}, [])}
    )
    with pytest.raises(SourceError, match="HTTP 302"):
        _read(HttpSource(http_conn_id="bank", endpoint="p"))
    assert asked == ["/api/p?from=2026-11-01"]


def test_a_bank_that_is_not_there_is_worth_asking_again_and_its_address_is_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_BANK", json.dumps({"conn_type": "http", "host": "http://127.0.0.1:9/canary"}))
    with pytest.raises(SourceError) as caught:
        _read(BANK)
    assert str(caught.value) == "bank: no answer (ConnectionError)"
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"<html>", "body: not JSON"),
        (b"", "body: not JSON"),
        (b'{"payments": [', "body: not JSON"),
        (b'{"payments": [NaN]}', "body: not a finite number"),
        (b"\xff", "body: not UTF-8"),
        (b'{"payments": {"a": 1}}', r"data_selector: 'payments' finds no list.*of bank"),
        (b'{"items": []}', "data_selector: 'payments' finds no list"),
        (b"[]", "data_selector: 'payments' finds no list"),
        (b"null", "data_selector: 'payments' finds no list"),
    ],
)
def test_an_answer_of_the_wrong_shape_is_refused_with_the_field_and_the_fix(
    bank: Callable[..., list[str]], body: bytes, named: str
) -> None:
    bank({"/api/p?from=2026-11-01": (200, {}, body)})
    with pytest.raises(SourceFormatError, match=named):
        _read(replace(BANK, endpoint="p"))


@pytest.mark.parametrize(
    ("paginator", "answers"),
    [
        (
            JSONLinkPaginator(),
            {
                "/api/p?from=2026-11-01": (200, {}, {"payments": [1], "next": "/api/p?page=2"}),
                "/api/p?page=2": (200, {}, {"payments": [2], "next": None}),
            },
        ),
        (
            HeaderLinkPaginator(),
            {
                "/api/p?from=2026-11-01": (200, {"Link": '</api/p?page=2>; rel="next"'}, {"payments": [1]}),
                "/api/p?page=2": (200, {}, {"payments": [2]}),
            },
        ),
        (
            PageNumberPaginator(),
            {
                "/api/p?from=2026-11-01&page=1": (200, {}, {"payments": [1]}),
                "/api/p?from=2026-11-01&page=2": (200, {}, {"payments": [2]}),
                "/api/p?from=2026-11-01&page=3": (200, {}, {"payments": []}),
            },
        ),
        (
            OffsetPaginator(limit=9),
            {
                "/api/p?from=2026-11-01&offset=0&limit=9": (200, {}, {"payments": [1]}),
                "/api/p?from=2026-11-01&offset=1&limit=9": (200, {}, {"payments": [2]}),
                "/api/p?from=2026-11-01&offset=2&limit=9": (200, {}, {"payments": []}),
            },
        ),
    ],
    ids=["JSON link", "header link", "page number", "offset"],
)
def test_each_paginator_reads_to_the_end_over_http(
    bank: Callable[..., list[str]], paginator: Any, answers: dict[str, Answer]
) -> None:
    asked = bank(answers)
    assert _read(replace(BANK, endpoint="p", paginator=paginator)) == [1, 2]
    assert asked == list(answers)


def test_a_next_page_outside_the_connections_address_is_refused(bank: Callable[..., list[str]]) -> None:
    asked = bank({"/api/p?from=2026-11-01": (200, {}, {"payments": [1], "next": "/apiary/p"})})
    with pytest.raises(SourceFormatError, match="not below the connection's address"):
        _read(replace(BANK, endpoint="p", paginator=JSONLinkPaginator()))
    assert len(asked) == 1


def test_a_source_without_a_parameter_for_the_first_day_sends_none(bank: Callable[..., list[str]]) -> None:
    asked = bank({"/api/p?account=1": (200, {}, [])})
    assert _read(HttpSource(http_conn_id="bank", endpoint="p", since_param=None, params={"account": "1"})) == []
    assert asked == ["/api/p?account=1"]


def test_the_output_of_another_task_inside_a_source_is_refused_with_the_fix() -> None:
    with DAG("d", schedule=None):

        @task
        def other() -> str:
            return "x"

        output = other()
        for inside in ({"endpoint": output}, {"endpoint": "p", "params": {"account": output}}):
            with pytest.raises(TypeError, match=r"(endpoint|params): another task's output.*ti\.xcom_pull"):
                HttpSource(http_conn_id="bank", **inside)


@pytest.mark.parametrize("selector", ["[", "a b", ""])
def test_a_selector_that_is_no_jmespath_is_refused_when_the_dag_is_read(selector: str) -> None:
    with pytest.raises(ValueError, match=r"data_selector: .*not a jmespath expression"):
        HttpSource(http_conn_id="bank", endpoint="p", data_selector=selector)


def test_templates_in_text_fields_are_rendered_into_a_copy(bank: Callable[..., list[str]], world_less: Any) -> None:
    asked = bank({"/api/p/7?account=7&from=2026-11-01": (200, {}, {"rows": []})})
    source = HttpSource(
        http_conn_id="{{ params.conn }}",
        endpoint="p/{{ params.account }}",
        data_selector="rows",
        params={"account": "{{ params.account }}"},
    )
    context: Any = {"params": {"conn": "bank", "account": "7"}, "ti": None}
    operator = CollectPaymentsOperator(task_id="collect", source=source, start_from="2026-11-01")
    assert operator.execute(context)["received"] == 0
    assert asked == ["/api/p/7?account=7&from=2026-11-01"]
    assert operator.source is source


@pytest.fixture
def world_less(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger alone."""
    monkeypatch.setenv("AIRFLOW__BITRIX24__LEDGER_URL", f"sqlite:///{tmp_path}/ledger.db")


def test_a_source_is_named_by_its_connection_and_endpoint_and_by_what_it_asks_for() -> None:
    assert BANK.name.startswith("http:bank:bank/payments#")
    assert replace(BANK).name == BANK.name
    others = [replace(BANK, params={"account": "7"}), replace(BANK, data_selector="rows"), replace(BANK, endpoint="p")]
    assert len({BANK.name, *(other.name for other in others)}) == 4


def test_the_text_of_a_source_is_complete_and_the_same_each_time() -> None:
    shown = repr(BANK)
    assert shown == repr(replace(BANK))
    assert " at 0x" not in shown
    assert all(name in shown for name in ("http_conn_id='bank'", "endpoint='bank/payments'", "cursor_path"))


def test_a_source_has_nothing_that_airflow_would_take_for_its_own() -> None:
    assert [name for name in ("template_fields", "resolve", "serialize") if hasattr(BANK, name)] == []
