"""Between a worker and Airflow's execution API: hands every request on, except those it is told to spoil."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

# What happens to a request: handed on, answered so without being handed on, or handed on and then answered so.
Fate = tuple[Literal["pass", "before", "after"], int]
PASS: Fate = ("pass", 200)
HOP_BY_HOP = frozenset({"connection", "content-length", "host", "transfer-encoding", "accept-encoding", "keep-alive"})


@dataclass
class Proxy:
    """`judge(verb, path)` decides; what was spoilt is kept, as `(verb, path)`."""

    url: str
    upstream: str = ""
    judge: Callable[[str, str], Fate] = lambda _verb, _path: PASS
    spoilt: list[tuple[str, str]] = field(default_factory=list)


@contextmanager
def between() -> Iterator[Proxy]:
    """Listen on a free port of loopback; `upstream` (`host:port`) may be named later."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Else head and body, written one after the other, wait for each other's acknowledgement.
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            _answer(self, proxy)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _serve  # noqa: N815 - the library's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Say nothing: a request's headers hold a token."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        proxy = Proxy(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()


def _answer(asked: BaseHTTPRequestHandler, proxy: Proxy) -> None:
    body = asked.rfile.read(int(asked.headers.get("Content-Length") or 0))
    when, status = proxy.judge(asked.command, asked.path)
    if when != "pass":
        proxy.spoilt.append((asked.command, asked.path))
    answered = (status, b'{"detail": {"reason": "spoilt", "message": "spoilt"}}', {"Content-Type": "application/json"})
    if when != "before":
        told = _hand_on(asked, proxy.upstream, body)
        answered = told if when == "pass" else answered
    _send(asked, *answered)


def _hand_on(asked: BaseHTTPRequestHandler, upstream: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
    headers = {name: value for name, value in asked.headers.items() if name.lower() not in HOP_BY_HOP}
    connection = HTTPConnection(upstream, timeout=60)
    try:
        connection.request(asked.command, asked.path, body or None, headers)
        response = connection.getresponse()
        kept = {name: value for name, value in response.getheaders() if name.lower() not in HOP_BY_HOP}
        return response.status, response.read(), kept
    finally:
        connection.close()


def _send(asked: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]) -> None:
    asked.send_response(status)
    for name, value in headers.items():
        asked.send_header(name, value)
    if status != 204:
        asked.send_header("Content-Length", str(len(body)))
    asked.end_headers()
    asked.wfile.write(body)
