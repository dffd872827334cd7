"""A portal or a bank that cannot prove who it is gets not a byte of a request."""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trustme

from airflow_b24.bitrix.auth import Webhook
from airflow_b24.bitrix.client import AsyncClient, Client
from airflow_b24.bitrix.errors import BitrixError, RefusedError, UnknownOutcomeError
from airflow_b24.bitrix.flows import attempt
from airflow_b24.bitrix.protocol import PAY_INVOICE, Request, Response
from airflow_b24.sandbox import seed
from tests.wire.fault_server import FaultServer, serving
from tests.wire.faults import UNCLEAR, cut, ending

LONG_AGO = datetime.now(UTC) - timedelta(days=400)
HOST = "127.0.0.1"
TRUSTED, STRANGE = trustme.CA(), trustme.CA()


def _context(authority: trustme.CA, name: str, **dates: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name, **dates).configure_cert(context)
    return context


CERTIFICATES: dict[str, tuple[ssl.SSLContext, str]] = {
    "of an authority nobody knows": (_context(STRANGE, HOST), "certificate"),
    "of another host": (_context(TRUSTED, "other.example"), "certificate"),
    "that has expired": (
        _context(TRUSTED, HOST, not_before=LONG_AGO, not_after=LONG_AGO + timedelta(days=9)),
        "expired",
    ),
    "that is not yet good": (_context(TRUSTED, HOST, not_before=datetime.now(UTC) + timedelta(days=9)), "certificate"),
}


def ask_blocking(line: FaultServer, request: Request, **options: Any) -> Response | BitrixError:
    with Client(Webhook.parse(line.address + seed.webhook_path()), ca_bundle=PEM, **options) as client:
        return client.run(attempt(request))


def ask_asyncio(line: FaultServer, request: Request, **options: Any) -> Response | BitrixError:
    async def run() -> Response | BitrixError:
        async with AsyncClient(Webhook.parse(line.address + seed.webhook_path()), ca_bundle=PEM, **options) as client:
            return await client.arun(attempt(request))

    return asyncio.run(run())


PEM = TRUSTED.cert_pem.bytes().decode()
Ask = Callable[..., Response | BitrixError]
both = pytest.mark.parametrize("ask", [ask_blocking, ask_asyncio], ids=["blocking", "asyncio"])


@pytest.fixture(scope="module")
def office(offices: Callable[..., Any]) -> Any:
    """Where new invoices come from."""
    return offices(10.0)


def pay(office: Any) -> Request:
    order = {"INVOICE_ID": office.bill(), "PAY_SYSTEM_ID": seed.REST_SYSTEM}
    return Request(PAY_INVOICE, order, send_before=float("inf"))


@pytest.fixture(scope="module")
def secure(line: FaultServer) -> Iterator[FaultServer]:
    """The same portal over TLS, with a good certificate."""
    with serving(FaultServer(line.state, _context(TRUSTED, HOST))) as server:
        yield server


@both
@pytest.mark.parametrize("name", CERTIFICATES)
def test_a_certificate_that_does_not_prove_the_host_stops_the_request(
    ask: Ask, line: FaultServer, office: Any, name: str
) -> None:
    context, told = CERTIFICATES[name]
    with serving(FaultServer(line.state, context)) as impostor:
        outcome = ask(impostor, pay(office))
    assert type(outcome) is RefusedError
    assert told in str(outcome)
    assert impostor.heard == []


@both
# Cancelled amid a handshake, httpcore leaves its socket to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_peer_that_speaks_no_tls_or_hangs_up_amid_the_handshake_gets_nothing(
    ask: Ask, line: FaultServer, secure: FaultServer, office: Any
) -> None:
    request = pay(office)
    clear = FaultServer(line.state)
    with serving(clear):
        clear.address = clear.address.replace("http://", "https://")
        assert type(ask(clear, request, timeout_s=1.0)) is RefusedError
    assert clear.heard == []
    gc.collect()
    secure.reset_unheard(after=0)
    assert type(ask(secure, request)) in {RefusedError, UnknownOutcomeError}
    assert secure.heard == []


@both
def test_an_answer_cut_on_tls_is_as_unknown_as_any(
    ask: Ask, line: FaultServer, secure: FaultServer, office: Any
) -> None:
    assert isinstance(ask(secure, pay(office)), Response)
    for fault in (*(cut(at, reset=at % 2 == 0) for at in range(0, 340, 85)), UNCLEAR["garbage"].fault):
        request = pay(office)
        secure.spoil(PAY_INVOICE, fault)
        assert type(ask(secure, request)) is UnknownOutcomeError
        assert len(line.state.invoices[int(str(request.arguments["INVOICE_ID"]))].executed_pays) <= 1
    secure.spoil(PAY_INVOICE, ending(lambda _: None))
    assert type(ask(secure, pay(office), timeout_s=0.3)) is UnknownOutcomeError
