"""A redirect is told to a person, never followed: what we carry is a password."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Iterator

import pytest
import trustme

from airflow_b24.bitrix.auth import OAuth, Webhook
from airflow_b24.bitrix.client import AsyncClient, Client
from airflow_b24.bitrix.errors import AuthError, BitrixError, RefusedError
from airflow_b24.bitrix.flows import attempt
from airflow_b24.bitrix.protocol import PAY_INVOICE, Request, Response
from airflow_b24.sandbox import seed
from tests.wire.fault_server import FaultServer, serving
from tests.wire.faults import answering

ORDER = {"INVOICE_ID": 1, "PAY_SYSTEM_ID": seed.REST_SYSTEM}
PAY = Request(PAY_INVOICE, ORDER, send_before=float("inf"))
READ = Request("crm.status.list", write=False, send_before=float("inf"))
MOVED = (300, 301, 302, 303, 307, 308)


class Tokens:
    """The sandbox's access token."""

    def current(self) -> str:
        return seed.ACCESS_TOKEN

    def refresh(self, expired: str) -> str:
        raise AssertionError("nothing has expired here")


@pytest.fixture(scope="module")
def stranger(line: FaultServer) -> Iterator[FaultServer]:
    """Another host, as far as a port makes one, in clear text."""
    with serving(FaultServer(line.state)) as server:
        yield server


@pytest.fixture(scope="module")
def strangers(line: FaultServer, stranger: FaultServer) -> Iterator[tuple[FaultServer, FaultServer]]:
    """Another host, and one under another scheme."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with serving(FaultServer(line.state, context)) as secured:
        yield stranger, secured


Ask = Callable[[Request], Iterator[Response | BitrixError]]


def asking(line: FaultServer, stack: contextlib.ExitStack, allowed: str = "") -> Ask:
    """Asks through both clients, each with a webhook and with a token."""
    runner = stack.enter_context(asyncio.Runner())
    auths = (Webhook.parse(line.address + seed.webhook_path()), OAuth.at(line.address, Tokens()))
    blocking = [stack.enter_context(Client(auth, allowed_hosts=[allowed])) for auth in auths]
    others = [AsyncClient(auth, allowed_hosts=[allowed]) for auth in auths]
    for other in others:
        stack.callback(lambda other=other: runner.run(other.close()))

    def ask(request: Request) -> Iterator[Response | BitrixError]:
        yield from (client.run(attempt(request)) for client in blocking)
        yield from (runner.run(client.arun(attempt(request))) for client in others)

    return ask


@pytest.fixture(scope="module")
def ask(line: FaultServer) -> Iterator[Ask]:
    """The clients of this module, which nothing allows to go elsewhere."""
    with contextlib.ExitStack() as stack:
        yield asking(line, stack)


@pytest.mark.parametrize("status", MOVED)
@pytest.mark.parametrize("where", ["{0}/", "{0}{1}crm.status.list", "{2}/", "//{3}/", "{4}/"])
def test_nothing_reaches_another_host_port_or_scheme(
    ask: Ask, line: FaultServer, strangers: tuple[FaultServer, FaultServer], status: int, where: str
) -> None:
    stranger, secured = strangers
    netloc = stranger.address.removeprefix("http://")
    by_name = stranger.address.replace("127.0.0.1", "localhost")
    location = where.format(stranger.address, seed.webhook_path(), secured.address, netloc, by_name)
    for request in (PAY, READ):
        line.spoil(request.method, *[answering(b"", status, f"location: {location}", ran=False).fault] * 4)
        before = len(line.heard)
        for outcome in ask(request):
            assert isinstance(outcome, BitrixError)
            assert not isinstance(outcome, RefusedError)
            assert isinstance(outcome, AuthError) is (status in {301, 302, 307, 308})
            assert seed.TECHNICAL_SECRET not in str(outcome)
            assert seed.ACCESS_TOKEN not in str(outcome)
        assert len(line.heard) - before == 4
    assert (stranger.connections, secured.connections) == (0, 0)


@pytest.mark.parametrize("status", MOVED)
def test_even_an_allowed_host_gets_no_pay_that_was_meant_for_another(
    line: FaultServer, stranger: FaultServer, status: int
) -> None:
    allowed = stranger.address.removeprefix("http://")
    fault = answering(b"", status, f"location: {stranger.address}/", ran=False).fault
    line.spoil(PAY_INVOICE, *[fault] * 4)
    with contextlib.ExitStack() as stack:
        for outcome in asking(line, stack, allowed)(PAY):
            assert isinstance(outcome, RefusedError) is (status in {301, 302, 307, 308})
    assert stranger.connections == 0
