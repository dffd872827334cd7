"""The sandbox over real sockets: HTTP and HTTPS on loopback, one event loop, a throw-away certificate authority."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import trustme
import uvicorn
from starlette import requests as starlette
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from airflow_b24.sandbox import portal, site
from airflow_b24.sandbox.state import State
from airflow_b24.sandbox.wire import Answer, Request

HOST = "127.0.0.1"
_CUT = "sandbox.cut"
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the sandbox listens; `ca_file` is what a client needs to trust its HTTPS."""

    http: str
    https: str
    ca_file: Path


class _CuttableProtocol(H11Protocol):
    """Lets the application end its connection without an answer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # Whatever logging somebody set up since: a path is a webhook's password.
        self.access_log = False
        self.app = _with_cut(self.app, transport.abort)


def _with_cut(app: Any, abort: Callable[[], None]) -> Any:
    async def cuttable(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        scope[_CUT] = abort
        await app(scope, receive, send)

    return cuttable


@dataclass(slots=True)
class _Workers:
    """The portal's PHP workers: who finds all of them busy waits for the first that is free."""

    _count: int = 0
    _places: contextlib.AbstractAsyncContextManager[None] = field(default_factory=contextlib.nullcontext)

    def place(self, count: int) -> contextlib.AbstractAsyncContextManager[None]:
        """A place among so many, 0 for any number; who waits already keeps to the bound of before."""
        if count != self._count:
            self._count, self._places = count, asyncio.Semaphore(count) if count else contextlib.nullcontext()
        return self._places


async def _answered(state: State, request: Request, workers: _Workers) -> Answer:
    now = datetime.now(UTC)
    if not request.path.startswith(portal.PREFIX):
        return await _in_time(site.answer(state, request, now))
    # The rate limiter in front of the portal needs none of its workers.
    if refusal := portal.refusal(state, request, now):
        return await _in_time(refusal)
    async with workers.place(state.settings.workers):
        return await _in_time(portal.work(state, request, datetime.now(UTC)))


async def _in_time(answer: Answer) -> Answer:
    await asyncio.sleep(answer.delay_s)
    return answer


def application(state: State) -> ASGIApp:
    """The sandbox as an ASGI application."""
    workers = _Workers()

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        asked = starlette.Request(scope, receive)
        try:
            request = await _read(asked)
        except starlette.ClientDisconnect:
            # Whoever asked died on the way: nothing runs, and nobody listens.
            return
        answer = await _answered(state, request, workers)
        if answer.cut:
            scope[_CUT]()
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        await Response(answer.body, answer.status, dict(answer.headers))(scope, receive, send)

    return serve


async def _read(asked: starlette.Request) -> Request:
    base = f"{asked.url.scheme}://{asked.headers.get('host', '')}"
    headers = {name.lower(): value for name, value in asked.headers.items()} | {"x-sandbox-base": base}
    query = asked.scope["query_string"].decode("latin-1")
    return Request(asked.method, asked.scope["path"], query, headers, await asked.body())


class _Server(uvicorn.Server):
    """A uvicorn server which leaves signals to us: two of them share one loop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _config(app: ASGIApp, context: ssl.SSLContext | None) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        http=_CuttableProtocol,
        ws="none",
        lifespan="off",
        # An access log would hold webhook secrets, which are part of the path.
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    config.load()
    config.ssl = context
    return config


def _certify(folder: Path) -> tuple[Path, ssl.SSLContext]:
    authority = trustme.CA()
    ca_file = folder / "sandbox-ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST, "localhost", "::1").configure_cert(context)
    return ca_file, context


def _listen(port: int) -> socket.socket:
    # The protocol is named so that asyncio sets TCP_NODELAY: without it each answer waits 40 ms for an ACK.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError:
        listener.close()
        raise
    listener.listen(128)
    return listener


async def _serve(
    state: State, ports: tuple[int, int], folder: Path, stop: asyncio.Event, ready: Callable[[Addresses], None]
) -> None:
    ca_file, context = _certify(folder)
    with contextlib.ExitStack() as stack:
        plain, secure = (stack.enter_context(_listen(port)) for port in ports)
        app = application(state)
        servers = [_Server(_config(app, None)), _Server(_config(app, context))]
        running = [
            asyncio.create_task(server.serve([listener]))
            for server, listener in zip(servers, (plain, secure), strict=True)
        ]
        ready(Addresses(_base("http", plain), _base("https", secure), ca_file))
        await stop.wait()
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*running)


def _base(scheme: str, listener: socket.socket) -> str:
    return f"{scheme}://{HOST}:{listener.getsockname()[1]}"


def run(
    state: State,
    *,
    folder: Path,
    ready: Callable[[Addresses], None],
    http_port: int = 0,
    https_port: int = 0,
) -> None:
    """Serve until SIGINT or SIGTERM; `folder` gets the certificate authority, port 0 means any free one."""

    async def main() -> None:
        stop = asyncio.Event()
        for number in _STOP_SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await _serve(state, (http_port, https_port), folder, stop, ready)

    asyncio.run(main())


@contextlib.contextmanager
def serving(state: State, folder: Path) -> Iterator[Addresses]:
    """Serve from a background thread for as long as the block runs."""
    started: SimpleQueue[tuple[Addresses, Callable[[], object]] | BaseException] = SimpleQueue()

    async def main() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()

        def ready(addresses: Addresses) -> None:
            started.put((addresses, lambda: loop.call_soon_threadsafe(stop.set)))

        await _serve(state, (0, 0), folder, stop, ready)

    def target() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            started.put(error)
            raise

    thread = threading.Thread(target=target, name="sandbox", daemon=True)
    thread.start()
    first = started.get()
    if isinstance(first, BaseException):
        raise first
    addresses, stop = first
    try:
        yield addresses
    finally:
        stop()
        thread.join(timeout=10)
