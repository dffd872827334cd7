"""The thin part: two clients that perform flows over HTTP. The only module that knows httpx.

They speak to httpx's transports, not to its clients: those follow environment variables, keep cookies and log the
address of every request, and the address of a webhook is its password.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any, Final, Self, TypeVar, Unpack, cast

import httpx

from airflow_b24.bitrix import renewal
from airflow_b24.bitrix.auth import Auth, Origin, Secret
from airflow_b24.bitrix.deadline import KEEPALIVE_S, MAX_CONNECTIONS, pool, within
from airflow_b24.bitrix.flows import Flow, call
from airflow_b24.bitrix.gate import Body, Gate, UnfitAnswerError, WindowPassedError
from airflow_b24.bitrix.legacy_invoice import PayInvoice
from airflow_b24.bitrix.legacy_invoices import pay_invoice
from airflow_b24.bitrix.limits import now_s
from airflow_b24.bitrix.listing import Listing
from airflow_b24.bitrix.lookahead import Lookahead
from airflow_b24.bitrix.methods import is_write
from airflow_b24.bitrix.options import Options
from airflow_b24.bitrix.pipelining import in_tasks, in_threads
from airflow_b24.bitrix.protocol import Answer, Lost, Response
from airflow_b24.bitrix.redaction import Frameless
from airflow_b24.bitrix.renewal import Application, Grant
from airflow_b24.bitrix.session import HEADERS, Ask, Send, Session, Sleep, Step
from airflow_b24.bitrix.trust import proxy_url, tls_context

__all__ = ["AsyncClient", "Client", "Options", "now_s", "renew"]

T = TypeVar("T")

MAX_ANSWER: Final = 16 * 1024 * 1024
_LIMITS: Final = httpx.Limits(
    max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS, keepalive_expiry=KEEPALIVE_S
)
_NEVER_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
)
_FAILURES: Final = (
    WindowPassedError,
    UnfitAnswerError,
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.StreamError,
    OSError,
    UnicodeError,
)


class _Sender:
    """What every sender shares: a deadline, how much of an answer it takes, and how a step becomes a request."""

    def __init__(self, options: Options) -> None:
        self._timeout_s = options.get("timeout_s", 60.0)
        if not 0 < self._timeout_s < float("inf"):
            raise ValueError("timeout_s: give seconds above 0")
        self._max_answer = options.get("max_answer", MAX_ANSWER)

    def _request(self, step: Send, trace: Callable[[str, Any], object]) -> httpx.Request:
        extensions = {"timeout": httpx.Timeout(self._timeout_s).as_dict(), "trace": trace}
        headers = {**HEADERS, "Content-Type": step.content_type}
        return _Request("POST", step.url.reveal(), headers=headers, content=step.body, extensions=extensions)

    def _body(self, response: httpx.Response) -> Body:
        return Body(response.headers.get("content-encoding", ""), self._max_answer)


class _AtPortal:
    """What both clients know of their portal."""

    def __init__(self, auth: Auth, options: Options) -> None:
        self._session = Session(
            auth,
            pace=options.get("pace"),
            allowed_hosts=options.get("allowed_hosts", ()),
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.origin})"

    @property
    def origin(self) -> Origin:
        """Return where the portal is now."""
        return self._session.origin


class _BlockingSender(_Sender):
    """Sends one request at a time, blocking."""

    def __init__(self, origin: Origin, options: Options, transport: httpx.BaseTransport | None) -> None:
        super().__init__(options)
        self._transport = transport or _Transport(**_route(origin, options))

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def send(self, step: Send) -> Answer | Lost:
        """Send the bytes of a step, once."""
        gate = Gate(step.send_before)
        try:
            gate.check()
            with Frameless(), within(self._timeout_s):
                response = self._transport.handle_request(self._request(step, gate.pass_event))
                try:
                    body = self._body(response)
                    # As it came: httpx would decompress a piece of 64 KiB to 64 MiB at once.
                    for chunk in cast("httpx.SyncByteStream", response.stream):
                        body.add(chunk)
                    return _answer(response, body)
                finally:
                    response.close()
        except _FAILURES as error:
            return gate.explain(error, never_sent=isinstance(error, _NEVER_SENT))


class Client(_BlockingSender, _AtPortal):
    """Performs flows, blocking. Threads may share one. Close it, or use it in a `with`; `transport` is for tests."""

    def __init__(
        self,
        auth: Auth,
        *,
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx.BaseTransport | None = None,
        **options: Unpack[Options],
    ) -> None:
        _BlockingSender.__init__(self, auth.origin, options, transport)
        _AtPortal.__init__(self, auth, options)
        self._sleep = sleep

    def run(self, flow: Flow[T]) -> T:
        """Perform a flow and return its result; raises what the flow raises."""
        steps = self._session.steps(flow)
        try:
            step = next(steps)
            while True:
                step = steps.send(self._take(step))
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            steps.close()

    def call(
        self, method: str, arguments: Mapping[str, object] | None = None, *, write: bool | None = None
    ) -> Response:
        """Call one method. `write=None`: whatever is not known to read is a write. Raises BitrixError."""
        return self.run(call(method, arguments, is_write(method, write)))

    def pay_invoice(
        self, invoice_id: int, *, pay_system_id: int | None = None, bx_rest_handler: str | None = None
    ) -> Response:
        """Mark a legacy invoice paid; see `invoices.pay_invoice`. `true` proves nothing: read it back."""
        return self.run(pay_invoice(PayInvoice(invoice_id, pay_system_id, bx_rest_handler)))

    def iterate(self, listing: Listing[T]) -> Iterator[T]:
        """Read a list lazily, in order of id: a page of rows in one request, a longer list in several at once.

        What is on the list all the while is handed out, and nothing twice; what comes to it, leaves it or changes
        meanwhile is handed out or not, as it was when its page was read. No more is held than the five largest requests
        bring, and nothing is asked for before its first row is wanted. Raises BitrixError as reading page after page would;
        repeating is safe.
        """
        return in_threads(Lookahead(), lambda question: self.run(listing.read(question)))

    def _take(self, step: Step) -> object:
        if isinstance(step, Sleep):
            self._sleep(step.seconds)
            return None
        return step.question() if isinstance(step, Ask) else self.send(step)


class AsyncClient(_Sender, _AtPortal):
    """The same for asyncio; `arun` performs a flow. What may block (pace, tokens) runs in a thread."""

    def __init__(
        self,
        auth: Auth,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        transport: httpx.AsyncBaseTransport | None = None,
        **options: Unpack[Options],
    ) -> None:
        _Sender.__init__(self, options)
        _AtPortal.__init__(self, auth, options)
        self._sleep = sleep
        self._transport = transport or httpx.AsyncHTTPTransport(
            trust_env=False, limits=_LIMITS, retries=0, **_route(auth.origin, options)
        )

    async def arun(self, flow: Flow[T]) -> T:
        """Perform a flow and return its result; raises what the flow raises."""
        steps = self._session.steps(flow)
        try:
            step = next(steps)
            while True:
                step = steps.send(await self._take(step))
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            steps.close()

    async def call(
        self, method: str, arguments: Mapping[str, object] | None = None, *, write: bool | None = None
    ) -> Response:
        """Call one method, as `Client.call` does."""
        return await self.arun(call(method, arguments, is_write(method, write)))

    async def pay_invoice(
        self, invoice_id: int, *, pay_system_id: int | None = None, bx_rest_handler: str | None = None
    ) -> Response:
        """Mark a legacy invoice paid, as `Client.pay_invoice` does."""
        return await self.arun(pay_invoice(PayInvoice(invoice_id, pay_system_id, bx_rest_handler)))

    def iterate(self, listing: Listing[T]) -> AsyncIterator[T]:
        """Read a list lazily, as `Client.iterate` does."""
        return in_tasks(Lookahead(), lambda question: self.arun(listing.read(question)))

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def _take(self, step: Step) -> object:
        if isinstance(step, Sleep):
            await self._sleep(step.seconds)
            return None
        if isinstance(step, Ask):
            return await asyncio.to_thread(step.question)
        with Frameless():
            return await self.send(step)

    async def send(self, step: Send) -> Answer | Lost:
        """Send the bytes of a step, once."""
        gate = Gate(step.send_before)
        try:
            gate.check()
            async with asyncio.timeout(self._timeout_s):
                response = await self._transport.handle_async_request(self._request(step, gate.apass_event))
                try:
                    body = self._body(response)
                    async for chunk in cast("httpx.AsyncByteStream", response.stream):
                        body.add(chunk)
                    return _answer(response, body)
                finally:
                    await response.aclose()
        except _FAILURES as error:
            return gate.explain(error, never_sent=isinstance(error, _NEVER_SENT))


def renew(
    application: Application,
    refresh_token: Secret,
    *,
    transport: httpx.BaseTransport | None = None,
    **options: Unpack[Options],
) -> Grant:
    """Ask the authorisation server for new tokens, once; never repeat it blindly: a refresh token is good once.

    Raises AuthError (`invalid_grant`: this refresh token is no good any more), RefusedError, or UnknownOutcomeError
    when the answer is lost and the token may be used up.
    """
    with _BlockingSender(application.server, options, transport) as sender:
        outcome = renewal.read(application, refresh_token, sender.send(renewal.ask(application, refresh_token)))
    if isinstance(outcome, Grant):
        return outcome
    raise outcome


class _Request(httpx.Request):
    """A request whose repr holds no address: it stands in frames which an error reporter may show."""

    def __repr__(self) -> str:
        return f"<POST to {self.url.host}>"


class _Transport(httpx.HTTPTransport):
    """httpx's transport, with connections that keep a total deadline."""

    def __init__(self, verify: Any, proxy: str | None) -> None:
        super().__init__(verify=verify, trust_env=False, limits=_LIMITS, retries=0)
        address = httpx.Proxy(proxy) if proxy else None
        self._pool = pool(
            verify, proxy=str(address.url) if address else None, proxy_auth=address.raw_auth if address else None
        )


def _route(origin: Origin, options: Options) -> dict[str, Any]:
    trust_env = options.get("trust_env", False)
    context = tls_context(options.get("ca_bundle"), trust_env=trust_env)
    return {"verify": context, "proxy": proxy_url(origin, trust_env=trust_env)}


def _answer(response: httpx.Response, body: Body) -> Answer:
    # `items()`: looking each of 10,000 names up takes seconds.
    return Answer(response.status_code, dict(response.headers.items()), body.whole())
