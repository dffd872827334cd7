from __future__ import annotations

import asyncio
import gzip
import json
import logging
import ssl
import sys
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from airflow_b24.bitrix.auth import OAuth, Webhook
from airflow_b24.bitrix.client import AsyncClient, Client, now_s
from airflow_b24.bitrix.errors import (
    AuthError,
    BitrixError,
    RefusedError,
    RequestError,
    ResponseError,
    UnknownOutcomeError,
)
from airflow_b24.bitrix.exchange import exchange
from airflow_b24.bitrix.flows import attempt
from airflow_b24.bitrix.invoice import InvoiceKey
from airflow_b24.bitrix.legacy_invoice import PayInvoice
from airflow_b24.bitrix.legacy_invoices import look, open_invoices
from airflow_b24.bitrix.limits import LocalPace
from airflow_b24.bitrix.protocol import PAY_INVOICE, Request, Response

SECRET = "k1x7v9q2m4z8t6w3"
WEBHOOK = Webhook.parse(f"https://portal.example/rest/1/{SECRET}/")
OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{"result":true}'
PAY = Request(PAY_INVOICE, {"INVOICE_ID": 2, "PAY_SYSTEM_ID": 31}, write=True, send_before=float("inf"))
READ = Request("crm.invoice.get", {"id": 2}, write=False, send_before=float("inf"))

Handler = Callable[[httpx.Request], httpx.Response]
Ask = Callable[..., Any]


def webhook_at(address: str) -> Webhook:
    return Webhook.parse(f"{address}/rest/1/{SECRET}/")


def ask_blocking(auth: Any, request: Request, **options: Any) -> Response | BitrixError:
    with Client(auth, **options) as client:
        return client.run(attempt(request))


def ask_asyncio(auth: Any, request: Request, **options: Any) -> Response | BitrixError:
    async def run() -> Response | BitrixError:
        async with AsyncClient(auth, **options) as client:
            return await client.arun(attempt(request))

    return asyncio.run(run())


both = pytest.mark.parametrize("ask", [ask_blocking, ask_asyncio], ids=["blocking", "asyncio"])


@both
def test_a_request_is_one_json_post_to_the_secret_path(ask: Ask) -> None:
    seen: list[httpx.Request] = []

    def portal(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"result": True})

    assert ask(WEBHOOK, PAY, transport=httpx.MockTransport(portal)) == Response(True)
    (request,) = seen
    assert (request.method, str(request.url)) == ("POST", f"https://portal.example/rest/1/{SECRET}/{PAY_INVOICE}")
    assert json.loads(request.content) == {"INVOICE_ID": 2, "PAY_SYSTEM_ID": 31}
    assert request.headers["content-type"] == "application/json"
    assert "cookie" not in request.headers


def lying(body: bytes) -> Callable[[Any, int], None]:
    return lambda connection, n: connection.sendall(body)


CUTS = {
    "no answer": b"",
    "half a status line": b"HTTP/1.1 2",
    "half the headers": b"HTTP/1.1 200 OK\r\nContent-Le",
    "half the body": b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"result":true}',
    "half a chunk": b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nf\r\n{"result":t',
    "not http": b"220 smtp.example ready\r\n\r\n",
    "bad gzip": b'HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 15\r\n\r\n{"result":true}',
    "strange encoding": b'HTTP/1.1 200 OK\r\nContent-Encoding: x-lzma\r\nContent-Length: 15\r\n\r\n{"result":true}',
    "html": b"HTTP/1.1 503 Unavailable\r\nContent-Length: 6\r\n\r\n<html>",
}


@both
@pytest.mark.parametrize("data", CUTS.values(), ids=CUTS)
def test_an_answer_lost_on_the_way_is_unknown_for_a_write_and_sent_once(ask: Ask, peer: Any, data: bytes) -> None:
    server = peer(lying(data))
    assert type(ask(webhook_at(server.address), PAY)) is UnknownOutcomeError
    assert len(server.received) == 1
    assert type(ask(webhook_at(server.address), READ)) is ResponseError


@both
def test_a_kept_connection_that_closes_under_a_write_is_unknown(ask: Ask, peer: Any) -> None:
    def close_on_the_second(connection: Any, n: int) -> bool:
        if n == 1:
            connection.sendall(OK)
        return n == 1

    server = peer(close_on_the_second)
    auth = webhook_at(server.address)
    if ask is ask_blocking:
        with Client(auth) as client:
            outcomes = [client.run(attempt(PAY)), client.run(attempt(PAY))]
    else:

        async def run() -> list[Any]:
            async with AsyncClient(auth) as client:
                return [await client.arun(attempt(PAY)), await client.arun(attempt(PAY))]

        outcomes = asyncio.run(run())
    assert [type(outcome) for outcome in outcomes] == [Response, UnknownOutcomeError]
    assert (len(server.received), server.connections) == (2, 1)


@both
def test_a_closed_port_proves_that_nothing_was_sent(ask: Ask) -> None:
    error = ask(webhook_at("http://127.0.0.1:1"), PAY)
    assert type(error) is RefusedError
    assert error.code == "NOT_SENT"


@both
def test_a_host_without_an_address_proves_that_nothing_was_sent(ask: Ask) -> None:
    assert type(ask(webhook_at("https://portal.invalid"), PAY)) is RefusedError


@both
@pytest.mark.parametrize(
    "failure", [httpx.ReadTimeout, httpx.WriteError, httpx.RemoteProtocolError, httpx.DecodingError]
)
def test_every_failure_after_sending_is_unknown_for_a_write(ask: Ask, failure: type[Exception]) -> None:
    def portal(request: httpx.Request) -> httpx.Response:
        raise failure(f"lost at {request.url}")

    error = ask(WEBHOOK, PAY, transport=httpx.MockTransport(portal))
    assert type(error) is UnknownOutcomeError
    assert SECRET not in str(error)


def drip(data: bytes) -> Callable[[Any, int], None]:
    def behave(connection: Any, n: int) -> None:
        pause = threading.Event()
        for byte in data:
            connection.sendall(bytes([byte]))
            pause.wait(0.02)

    return behave


DRIPS = {
    "headers": b"HTTP/1.1 200 OK\r\nX-Slow: " + b"a" * 100,
    "body": b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + b" " * 100,
}


@both
@pytest.mark.parametrize("data", DRIPS.values(), ids=DRIPS)
def test_a_peer_that_sends_byte_by_byte_cannot_pass_the_deadline(ask: Ask, peer: Any, data: bytes) -> None:
    server = peer(drip(data))
    started = time.monotonic()
    assert type(ask(webhook_at(server.address), PAY, timeout_s=0.2)) is UnknownOutcomeError
    assert time.monotonic() - started < 1.0


@both
def test_a_silent_peer_is_given_up_at_the_deadline(ask: Ask, peer: Any) -> None:
    release = threading.Event()
    server = peer(lambda connection, n: release.wait(5) and False)
    started = time.monotonic()
    outcome = ask(webhook_at(server.address), PAY, timeout_s=0.2)
    release.set()
    assert type(outcome) is UnknownOutcomeError
    assert time.monotonic() - started < 1.0


@both
def test_an_answer_may_be_compressed_but_not_without_end(ask: Ask) -> None:
    body = gzip.compress(json.dumps({"result": "x" * 10_000}).encode())
    portal = httpx.MockTransport(lambda _: httpx.Response(200, content=body, headers={"content-encoding": "gzip"}))
    read = Request("scope", write=False, send_before=float("inf"))
    assert ask(WEBHOOK, read, transport=portal) == Response("x" * 10_000)
    error = ask(WEBHOOK, read, transport=portal, max_answer=9_999)
    assert type(error) is ResponseError
    assert "too large" in str(error)


@both
def test_nothing_leaves_after_the_send_window(ask: Ask, peer: Any) -> None:
    server = peer(lying(OK))
    late = Request(PAY_INVOICE, PAY.arguments, send_before=now_s() - 0.001)
    error = ask(webhook_at(server.address), late)
    assert type(error) is RefusedError
    assert error.code == "SEND_WINDOW_PASSED"
    assert (server.received, server.connections) == ([], 0)


@both
def test_a_window_that_ends_while_connecting_lets_nothing_out(
    ask: Ask, peer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = peer(lying(OK))
    ticks = iter([0.0, 10.0])
    monkeypatch.setattr("airflow_b24.bitrix.gate.now_s", lambda: next(ticks))
    error = ask(webhook_at(server.address), Request(PAY_INVOICE, PAY.arguments, send_before=5.0))
    assert error.code == "SEND_WINDOW_PASSED"
    assert server.received == []


@both
def test_a_window_still_open_is_no_obstacle(ask: Ask, peer: Any) -> None:
    server = peer(lying(OK))
    request = Request(PAY_INVOICE, PAY.arguments, send_before=now_s() + 5)
    assert ask(webhook_at(server.address), request) == Response(True)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_peer(peer: Any, authority: trustme.CA) -> Callable[[str], Any]:
    def start(name: str) -> Any:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)

        def behave(connection: Any, n: int) -> None:
            connection.sendall(OK)

        server = peer(behave, tls=context)
        server.address = server.address.replace("http://", "https://")
        return server

    return start


@both
@pytest.mark.parametrize("as_text", [True, False])
def test_a_private_authority_is_trusted_as_a_path_or_as_text(
    ask: Ask, tls_peer: Any, authority: trustme.CA, tmp_path: Path, as_text: bool
) -> None:
    server = tls_peer("127.0.0.1")
    pem = authority.cert_pem.bytes().decode()
    path = tmp_path / "ca.pem"
    path.write_text(pem)
    assert ask(webhook_at(server.address), PAY, ca_bundle=pem if as_text else str(path)) == Response(True)


@both
@pytest.mark.parametrize(("name", "trusted"), [("127.0.0.1", False), ("other.example", True)])
def test_a_certificate_that_does_not_verify_proves_that_nothing_was_sent(
    ask: Ask, tls_peer: Any, authority: trustme.CA, name: str, trusted: bool
) -> None:
    server = tls_peer(name)
    bundle = authority.cert_pem.bytes().decode() if trusted else None
    error = ask(webhook_at(server.address), PAY, ca_bundle=bundle)
    assert type(error) is RefusedError
    assert "certificate" in str(error)
    assert server.received == []


@pytest.mark.parametrize("bundle", ["/nowhere/ca.pem", "-----BEGIN CERTIFICATE-----\nx", ""])
def test_a_bundle_that_cannot_be_read_is_named(bundle: str) -> None:
    with pytest.raises(ValueError, match="ca_bundle"):
        Client(WEBHOOK, ca_bundle=bundle)


@both
def test_the_environments_proxy_is_used_only_when_asked(ask: Ask, peer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = peer(lying(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"))
    monkeypatch.setenv("HTTPS_PROXY", proxy.address)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    auth = webhook_at("https://portal.invalid")
    ask(auth, PAY)
    assert proxy.received == []
    error = ask(auth, PAY, trust_env=True)
    assert proxy.received[0].startswith(b"CONNECT portal.invalid:443")
    assert type(error) is RefusedError
    assert SECRET.encode() not in b"".join(proxy.received)


@both
def test_a_real_redirect_reaches_no_stranger(ask: Ask, peer: Any) -> None:
    stranger = peer(lying(OK))
    location = f"{stranger.address}/rest/1/{SECRET}/x".encode()
    portal = peer(lying(b"HTTP/1.1 307 Moved\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n"))
    error = ask(webhook_at(portal.address), PAY)
    assert type(error) is AuthError
    assert stranger.address in str(error)
    assert SECRET not in str(error)
    assert stranger.connections == 0


class Script:
    """A portal which gives the same answers to both clients, and writes down what it saw."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bytes]] = []
        self.answers = [
            httpx.Response(503, json={"error": "QUERY_LIMIT_EXCEEDED"}),
            httpx.Response(401, json={"error": "expired_token"}),
            httpx.Response(302, headers={"location": "https://new.example/rest/"}),
            httpx.Response(502, text="<html>"),
            httpx.Response(200, json={"result": [self.row(1), self.row(2)]}),
            httpx.Response(200, json={"result": []}),
        ]

    @staticmethod
    def row(invoice_id: int) -> dict[str, str]:
        return {"ID": str(invoice_id), "PAYED": "N", "PRICE": "1.00", "CURRENCY": "RUB"}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append((str(request.url), request.content))
        return self.answers.pop(0)


class Tokens:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def current(self) -> str:
        self.calls.append("current")
        return "token-a-123456" if "refresh" not in self.calls else "token-b-123456"

    def refresh(self, expired: str) -> str:
        self.calls.append("refresh")
        return "token-b-123456"


def test_both_clients_hold_the_same_conversation() -> None:
    traces = []
    for kind in ("blocking", "asyncio"):
        script, tokens, slept = Script(), Tokens(), []
        pace = LocalPace(burst=3, rate=2.0, margin=0, clock=lambda: 0.0)
        options: dict[str, Any] = {"pace": pace, "allowed_hosts": ["new.example"]}
        auth, transport = OAuth.at("https://old.example", tokens), httpx.MockTransport(script)
        if kind == "blocking":
            with Client(auth, transport=transport, sleep=slept.append, **options) as client:
                found = client.run(open_invoices().all())
        else:

            async def run(
                slept: list[float] = slept, auth: OAuth = auth, transport: Any = transport, options: Any = options
            ) -> Any:
                async def sleep(seconds: float) -> None:
                    slept.append(seconds)

                async with AsyncClient(auth, transport=transport, sleep=sleep, **options) as client:
                    return await client.arun(open_invoices().all())

            found = asyncio.run(run())
        traces.append((script.seen, tokens.calls, [s for s in slept if s in {0.5, 1.0, 1.5}], len(slept), found))
    assert traces[0] == traces[1]
    assert [invoice.id for invoice in traces[0][4]] == [1, 2]
    assert [url.split("/")[2] for url, _ in traces[0][0]] == ["old.example"] * 3 + ["new.example"] * 3


def answering(*answers: Any) -> httpx.MockTransport:
    script = iter(answers)
    return httpx.MockTransport(lambda _: httpx.Response(200, json={"result": next(script)}))


def test_the_blocking_client_calls_and_pays() -> None:
    with Client(WEBHOOK, transport=answering(["crm"], True)) as client:
        assert client.call("scope").result == ["crm"]
        assert client.pay_invoice(2, pay_system_id=31).result is True


def test_the_asyncio_client_calls_and_pays() -> None:
    async def run() -> None:
        async with AsyncClient(WEBHOOK, transport=answering(["crm"], True)) as client:
            assert (await client.call("scope")).result == ["crm"]
            assert (await client.pay_invoice(2, bx_rest_handler="bank")).result is True

    asyncio.run(run())


def test_an_unknown_method_is_a_write_and_not_repeated() -> None:
    calls: list[int] = []

    def portal(request: httpx.Request) -> httpx.Response:
        calls.append(1)
        return httpx.Response(500, text="oops")

    with Client(WEBHOOK, transport=httpx.MockTransport(portal)) as client, pytest.raises(UnknownOutcomeError):
        client.call("unheard.of")
    assert calls == [1]


def test_a_pay_is_a_write_whatever_the_caller_says() -> None:
    portal = httpx.MockTransport(lambda _: httpx.Response(500, text="oops"))
    with Client(WEBHOOK, transport=portal) as client, pytest.raises(UnknownOutcomeError):
        client.call(PAY_INVOICE, {"INVOICE_ID": 2, "PAY_SYSTEM_ID": 31}, write=False)


KEY = InvoiceKey("legacy", 2)


def test_an_exchange_over_a_real_socket_reads_back_after_a_lost_answer(peer: Any) -> None:
    row = json.dumps({"result": Script.row(2) | {"PAYED": "Y"}}).encode()
    good = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(row), row)
    server = peer(lambda connection, n: connection.sendall(good) if n == 2 else None)
    with Client(webhook_at(server.address)) as client:
        done = client.run(exchange([PayInvoice(2, 31)], {KEY: partial(look, 2)}, now_s() + 5))
    assert isinstance(done.pays[KEY], UnknownOutcomeError)
    assert done.reads[KEY].paid is True  # type: ignore[union-attr]
    assert len(server.received) == 2


@pytest.mark.parametrize("timeout_s", [0, -1, float("inf"), float("nan")])
def test_a_deadline_is_needed(timeout_s: float) -> None:
    with pytest.raises(ValueError, match="timeout_s"):
        Client(WEBHOOK, timeout_s=timeout_s)


def test_threads_may_share_a_client(peer: Any) -> None:
    # A connection that is closed unannounced may be taken by the next thread, and its pay is then truly unknown.
    server = peer(lying(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")))
    outcomes: list[Any] = []
    with Client(webhook_at(server.address)) as client:
        threads = [threading.Thread(target=lambda: outcomes.append(client.run(attempt(PAY)))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert outcomes == [Response(True)] * 8


class TestCanary:
    """The secret must be seen in no text that this process makes."""

    @both
    @pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
    @pytest.mark.parametrize("status", [b"200 OK", b"302 Found", b"404 Not Found", b"500 Oops"])
    def test_no_log_holds_the_secret(
        self, ask: Ask, peer: Any, caplog: pytest.LogCaptureFixture, level: int, status: bytes
    ) -> None:
        caplog.set_level(level)
        echo = f"https://new.example/rest/1/{SECRET}/x".encode()
        head = (
            b"HTTP/1.1 " + status + b"\r\nLocation: " + echo + b"\r\nX-Echo: " + echo + b"\r\nContent-Length: 0\r\n\r\n"
        )
        ask(webhook_at(peer(lying(head)).address), PAY)
        assert SECRET not in caplog.text
        assert level > logging.DEBUG or "httpcore" in {record.name.split(".")[0] for record in caplog.records}

    def test_a_foreign_client_does_not_log_it_either(self, caplog: pytest.LogCaptureFixture) -> None:
        # By name: where Airflow is loaded it has silenced this logger.
        caplog.set_level(logging.DEBUG, logger="httpx")
        Client(WEBHOOK).close()
        with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200))) as foreign:
            foreign.get(f"https://portal.example/rest/1/{SECRET}/scope")
        assert "HTTP Request" in caplog.text
        assert SECRET not in caplog.text

    @both
    @pytest.mark.parametrize("data", CUTS.values(), ids=CUTS)
    def test_no_error_holds_the_secret(self, ask: Ask, peer: Any, data: bytes) -> None:
        error = ask(webhook_at(peer(lying(data)).address), PAY)
        assert SECRET not in f"{error} {error!r} {vars(error)}"

    def test_no_traceback_holds_the_secret_not_even_its_variables(self) -> None:
        def portal(request: httpx.Request) -> httpx.Response:
            text = json.dumps({"error": "ERROR_CHECK_FAILURE", "error_description": f"no {request.url}"})
            return httpx.Response(400, text=text)

        with pytest.raises(RequestError) as caught, Client(WEBHOOK, transport=httpx.MockTransport(portal)) as client:
            client.pay_invoice(2, pay_system_id=31)
        shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True, compact=False)
        assert SECRET not in "".join(shown.format(chain=True))

    def test_an_interrupt_amid_a_request_shows_none_of_our_variables(self) -> None:
        class Interrupting(httpx.BaseTransport):
            def handle_request(self, request: httpx.Request) -> httpx.Response:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt) as caught:
            ask_blocking(WEBHOOK, PAY, transport=Interrupting())
        shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        assert SECRET not in "".join(shown.format())

    def test_an_oauth_token_is_masked_from_its_first_use(self, caplog: pytest.LogCaptureFixture) -> None:
        with Client(OAuth.at("https://portal.example", Tokens()), transport=answering(True)) as client:
            client.call("scope")
        logging.getLogger("httpcore.http11").setLevel(logging.DEBUG)
        logging.getLogger("httpcore.http11").warning("body %s", b'{"auth": "token-a-123456"}')
        assert "token-a-123456" not in caplog.text

    def test_reprs_hold_no_secret(self) -> None:
        client = Client(WEBHOOK)
        assert repr(client) == "Client(https://portal.example)"
        assert SECRET not in repr(vars(client))
        client.close()


def test_only_the_client_module_imports_httpx() -> None:
    folder = Path(sys.modules["airflow_b24.bitrix.client"].__file__ or "").parent
    users = [file.name for file in folder.glob("*.py") if "import httpx" in file.read_text(encoding="utf-8")]
    assert users == ["client.py"]
