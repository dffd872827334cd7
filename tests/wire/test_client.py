"""Both clients on a bad line: every failure lands in its group, within its deadline, and nothing is sent twice."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_b24.bitrix.auth import Webhook
from airflow_b24.bitrix.client import AsyncClient, Client
from airflow_b24.bitrix.errors import (
    AuthError,
    BitrixError,
    RefusedError,
    RequestError,
    ResponseError,
    UnknownOutcomeError,
)
from airflow_b24.bitrix.flows import attempt
from airflow_b24.bitrix.protocol import PAY_INVOICE, Request, Response
from airflow_b24.sandbox import seed
from tests.wire.fault_server import FaultServer, honest
from tests.wire.faults import CLEAR, CLOSED, REFUSED, UNCLEAR, Trouble, cut, longest

# Each request is sent once here, reads too.
ONCE = float("inf")
READ = Request("crm.status.list", write=False, send_before=ONCE)
BRIEF_S, LONG_S = 0.25, 10.0
# What a busy machine may add to a deadline.
SLACK_S = 2.0

Ask = Callable[[Request, float], Response | BitrixError]


@pytest.fixture(scope="module", params=["blocking", "asyncio"])
def ask(request: pytest.FixtureRequest, line: FaultServer) -> Iterator[Ask]:
    """Ask through a client that lives as long as this module: what one fault leaves behind is there for the next."""
    webhook = Webhook.parse(line.address + seed.webhook_path())
    with contextlib.ExitStack() as stack:
        if request.param == "blocking":
            blocking = {
                seconds: stack.enter_context(Client(webhook, timeout_s=seconds)) for seconds in (BRIEF_S, LONG_S)
            }
            yield lambda asked, seconds: blocking[seconds].run(attempt(asked))
        else:
            runner = stack.enter_context(asyncio.Runner())
            clients = {seconds: AsyncClient(webhook, timeout_s=seconds) for seconds in (BRIEF_S, LONG_S)}
            yield lambda asked, seconds: runner.run(clients[seconds].arun(attempt(asked)))
            for client in clients.values():
                runner.run(client.close())


@pytest.fixture(scope="module")
def office(offices: Callable[..., Any]) -> Any:
    """Where new invoices come from."""
    return offices(LONG_S)


@pytest.fixture
def pay(office: Any) -> Request:
    """A pay of a new invoice."""
    order = {"INVOICE_ID": office.bill(), "PAY_SYSTEM_ID": seed.REST_SYSTEM}
    return Request(PAY_INVOICE, order, write=True, send_before=ONCE)


def meet(ask: Ask, line: FaultServer, request: Request, trouble: Trouble) -> Response | BitrixError:
    """Send a request into a fault: it leaves once, and it comes back in time."""
    line.spoil(request.method, trouble.fault)
    before, deadline = len(line.heard), BRIEF_S if trouble.endless else LONG_S
    began = time.monotonic()
    outcome = ask(request, deadline)
    assert time.monotonic() - began < deadline + SLACK_S
    assert len(line.heard) - before == 1
    return outcome


@pytest.mark.parametrize("name", UNCLEAR)
def test_an_unclear_answer_to_a_pay_is_an_unknown_outcome(ask: Ask, line: FaultServer, pay: Request, name: str) -> None:
    outcome = meet(ask, line, pay, UNCLEAR[name])
    assert type(outcome) is UnknownOutcomeError, outcome
    assert len(str(outcome)) < 1000


@pytest.mark.parametrize(
    ("name", "group"),
    [*((name, RefusedError) for name in REFUSED), *((name, AuthError) for name in CLOSED)],
)
def test_a_pay_that_certainly_did_not_run_is_told_apart(
    ask: Ask, line: FaultServer, pay: Request, name: str, group: type[BitrixError]
) -> None:
    assert type(meet(ask, line, pay, {**REFUSED, **CLOSED}[name])) is group


@pytest.mark.parametrize("name", CLEAR)
def test_an_odd_answer_that_is_clear_is_taken(ask: Ask, line: FaultServer, pay: Request, name: str) -> None:
    outcome = meet(ask, line, pay, CLEAR[name])
    assert isinstance(outcome, Response), outcome
    assert outcome.result is True


@pytest.mark.parametrize("name", [*UNCLEAR, *REFUSED, *CLOSED, *CLEAR])
def test_a_read_meets_the_same_faults_within_its_groups(ask: Ask, line: FaultServer, name: str) -> None:
    outcome = meet(ask, line, READ, {**UNCLEAR, **REFUSED, **CLOSED, **CLEAR}[name])
    assert type(outcome) in {Response, ResponseError, RefusedError, AuthError, RequestError}, outcome
    if name in CLOSED | REFUSED:
        assert type(outcome) in {AuthError, RefusedError}


def test_an_answer_cut_at_any_byte_is_unknown_to_a_pay(ask: Ask, line: FaultServer, pay: Request) -> None:
    for at in range(longest(line, pay)):
        assert type(meet(ask, line, pay, Trouble(cut(at, reset=at % 2 == 0)))) is UnknownOutcomeError, at


def test_a_connection_reset_before_a_byte_was_read_is_refused_or_unknown(
    ask: Ask, line: FaultServer, pay: Request
) -> None:
    for _ in range(20):
        line.reset_unheard(after=0)
        assert type(ask(pay, LONG_S)) in {RefusedError, UnknownOutcomeError}
    assert line.state.invoices[int(str(pay.arguments["INVOICE_ID"]))].executed_pays == []


def test_many_headers_are_read_in_a_moment(ask: Ask, line: FaultServer) -> None:
    began = time.process_time()
    assert isinstance(meet(ask, line, READ, CLEAR["8,000 headers"]), Response)
    # Linear reading takes half a second, client and server together; a quadratic one ten.
    assert time.process_time() - began < 2


def test_the_line_itself_is_no_fault(ask: Ask, line: FaultServer) -> None:
    assert isinstance(meet(ask, line, READ, Trouble(honest)), Response)
