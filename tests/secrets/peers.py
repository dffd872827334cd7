"""Peers that repeat what they were told: a portal with every fault, and a database that quotes passwords."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import trustme

from airflow_b24.sandbox import access, seed, site
from airflow_b24.sandbox.state import State, Token, Webhook
from airflow_b24.sandbox.wire import Request
from tests.secrets.canaries import (
    ACCESS,
    BANK,
    CLIENT,
    ENCODINGS,
    NEW_ACCESS,
    NEW_REFRESH,
    OLD_ACCESS,
    REFRESH,
    WEBHOOK,
)

LOOPBACK: Final = "127.0.0.1"
TODAY: Final = datetime.now(UTC).date()
HANG_S: Final = 2.0
SEEDED: Final = (seed.ACCESS_TOKEN, seed.EXPIRED_TOKEN)
PAYING: Final = ("sale.paysystem", "batch")


@dataclass
class Portal:
    """A portal whose answers are spoilt: `fault` in `encoding`, for every call or for those that pay or renew alone.

    A call may choose for itself, by an argument or a query parameter `fault` and another, `encoding`.
    """

    state: State
    http: str = ""
    https: str = ""
    foreign_https: str = ""
    ca_file: str = ""
    fault: str = "none"
    encoding: str = "raw"
    only: str = ""
    interrupt: Callable[[], None] = lambda: None

    def spoils(self, path: str) -> bool:
        """Whether a call is one of those to be spoilt."""
        return {"": True, "pay": path.rpartition("/")[2].startswith(PAYING), "renew": path == access.OAUTH_PATH}[
            self.only
        ]


class _Visit(BaseHTTPRequestHandler):
    """One request: answered by the sandbox, or spoilt."""

    portal: ClassVar[Portal]
    protocol_version = "HTTP/1.1"
    # Else head and body, written one after the other, wait for each other's acknowledgement.
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Say nothing: this server's own log is no sink of ours."""

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("content-length") or 0)))

    def _answer(self, body: bytes) -> None:
        portal, parts = self.portal, urlsplit(self.path)
        form = dict(parse_qsl(body.decode())) if parts.path.startswith(access.OAUTH_PATH) else {}
        sent = json.loads(body) if body[:1] == b"{" else form
        asked = {**dict(parse_qsl(parts.query)), **sent}
        fault, encoding = asked.get("fault", portal.fault), asked.get("encoding", portal.encoding)
        if fault == "none" or not portal.spoils(parts.path.rstrip("/")):
            self._renew(form) if form else self._honest(body)
            return
        names = ("auth", "client_secret", "refresh_token")
        secrets = [*(sent.get(name) for name in names), self.headers.get("x-api-key")]
        path = unquote(parts.path.split("/")[-2])
        with contextlib.suppress(OSError):
            FAULTS[fault](self, ENCODINGS[encoding](" ".join(filter(None, secrets)) or path))

    def _renew(self, form: Mapping[str, str]) -> None:
        """Give the one pair there is; the sandbox makes up its own tokens, which are no canaries."""
        good = form.get("client_secret") == CLIENT.text and form.get("refresh_token") == REFRESH.text
        tokens = {"access_token": NEW_ACCESS.text, "refresh_token": NEW_REFRESH.text, "expires_in": 3600}
        self.give(200 if good else 400, json.dumps(tokens if good else {"error": "invalid_grant"}).encode())

    def _honest(self, body: bytes) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        parts = urlsplit(self.path)
        asked = Request(self.command, unquote(parts.path), parts.query, headers, body)
        given = site.answer(self.portal.state, asked, datetime.now(UTC))
        self.give(given.status, given.body, given.headers)

    def give(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status: int, code: str, said: str) -> None:
        self.give(status, json.dumps({"error": code, "error_description": said}).encode())

    def throw(self, data: bytes) -> None:
        """Send these bytes as they are, and hang up."""
        self.wfile.write(data)
        self.close_connection = True

    def move(self, address: str) -> None:
        self.give(302, b"", {"location": address})


def _cut(visit: _Visit, _: str) -> None:
    visit.close_connection = True
    visit.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def _hang(visit: _Visit, _: str) -> None:
    time.sleep(HANG_S)
    visit.close_connection = True


def _interrupt(visit: _Visit, said: str) -> None:
    visit.portal.interrupt()
    _hang(visit, said)


def _shortened(visit: _Visit, said: str) -> None:
    visit.throw(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n" + json.dumps({"result": said}).encode())


def _bomb(visit: _Visit, said: str) -> None:
    visit.give(200, gzip.compress(said.encode() + b"0" * 4_000_000), {"content-encoding": "gzip"})


def _one_line(said: str) -> bytes:
    return said.encode().replace(b"\n", b" ").replace(b"\r", b" ")


FAULTS: Final[Mapping[str, Callable[[_Visit, str], None]]] = {
    "refused credentials": lambda visit, said: visit.refuse(401, "INVALID_CREDENTIALS", f"no such token: {said}"),
    "expired token": lambda visit, said: visit.refuse(401, "expired_token", f"{said} has expired"),
    "in the error code": lambda visit, said: visit.refuse(400, f"BAD_{said}", ""),
    "at the cut of a code": lambda visit, said: visit.refuse(400, "B" * 170 + said, ""),
    "at the cut of a text": lambda visit, said: visit.refuse(400, "BAD", "b" * 970 + said),
    "server error": lambda visit, said: visit.refuse(500, "ERROR_CORE", said),
    "too many requests": lambda visit, said: visit.refuse(503, "QUERY_LIMIT_EXCEEDED", said),
    "operating time": lambda visit, said: visit.refuse(429, "OPERATION_TIME_LIMIT", said),
    "error of REST 3": lambda visit, said: visit.give(
        400, json.dumps({"error": {"code": said, "message": said}}).encode()
    ),
    "redirect": lambda visit, _: visit.move(f"https://elsewhere.example{visit.path}"),
    "redirect to a telling host": lambda visit, said: visit.move(
        f"https://{''.join(char for char in said if char.isascii() and char.isalnum())[:60]}.example/"
    ),
    "redirect to nowhere": lambda visit, said: visit.move("https://[" + _one_line(said).decode() + "/"),
    "HTML": lambda visit, said: visit.give(502, f"<h1>{visit.path}</h1><p>{said}".encode()),
    "HTML as success": lambda visit, said: visit.give(200, f"<h1>{visit.path}</h1><p>{said}".encode()),
    "cut JSON": lambda visit, said: visit.give(200, json.dumps({"result": said}).encode()[:-3]),
    # Without the secret: a result is data, which goes to the caller as it is.
    "strange result": lambda visit, _: visit.give(200, b'{"result": {"strange": "indeed"}}'),
    "no result": lambda visit, said: visit.give(200, json.dumps({said: said}).encode()),
    "garbage": lambda visit, said: visit.throw(_one_line(said) + b"\r\n\r\n"),
    "garbage in the status": lambda visit, said: visit.throw(b"HTTP/1.1 2x0 " + _one_line(said) + b"\r\n\r\n"),
    "garbage in a header": lambda visit, said: visit.throw(b"HTTP/1.1 200 OK\r\n" + _one_line(said) + b"\r\n\r\n"),
    "long garbage": lambda visit, said: visit.throw(b"g" * 230 + _one_line(said) + b"\r\n\r\n"),
    "strange compression": lambda visit, said: visit.give(200, said.encode(), {"content-encoding": "gzip"}),
    "gzip bomb": _bomb,
    "answer cut short": _shortened,
    "connection cut": _cut,
    "timeout": _hang,
    "interrupted": _interrupt,
}


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Portal]:
    """Serve a portal that knows the canaries: by HTTP, by HTTPS, and by HTTPS with a stranger's certificate."""
    portal = Portal(_state())
    authority, stranger = trustme.CA(), trustme.CA()
    portal.ca_file = str(folder / "ca.pem")
    authority.cert_pem.write_to_path(portal.ca_file)
    handler = type("Visit", (_Visit,), {"portal": portal})
    with contextlib.ExitStack() as stack:
        portal.http = f"http://{LOOPBACK}:{stack.enter_context(_listening(handler, None))}"
        portal.https = f"https://{LOOPBACK}:{stack.enter_context(_listening(handler, authority))}"
        portal.foreign_https = f"https://{LOOPBACK}:{stack.enter_context(_listening(handler, stranger))}"
        yield portal


@contextlib.contextmanager
def _listening(handler: type[_Visit], authority: trustme.CA | None) -> Iterator[int]:
    server = ThreadingHTTPServer((LOOPBACK, 0), handler)
    server.daemon_threads = True
    # A client that hangs up is what is tested here.
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    if authority:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(LOOPBACK).configure_cert(context)
        # The handshake is done by the thread that serves the connection, not by the one that accepts.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def _state() -> State:
    state = seed.portal(TODAY)
    # A portal with legacy invoices alone, as older ones are.
    state.settings.smart_invoices = False
    state.settings.rate_limit = False
    state.bank.api_key = BANK.text
    scopes = frozenset({"crm", "pay_system"})
    state.webhooks.append(Webhook(seed.TECHNICAL, WEBHOOK.text, scopes))
    good, past = (next(token for token in state.tokens.values() if token.value == value).expires_at for value in SEEDED)
    ends = {ACCESS: good, NEW_ACCESS: good, OLD_ACCESS: past}
    state.tokens = {each.text: Token(each.text, seed.TECHNICAL, scopes, until) for each, until in ends.items()}
    return state
