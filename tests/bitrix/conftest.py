"""Peers for the tests of the Bitrix24 client: a scripted driver, and a real socket which answers as it is told."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_b24.bitrix.flows import Effect, Flow
from airflow_b24.bitrix.protocol import Wait

Behaviour = Callable[[socket.socket, int], bool | None]
Talk = Callable[..., tuple[list[Effect], Any]]


@pytest.fixture
def talk() -> Talk:
    """Drive a flow with scripted replies; returns what it yielded and its result (an error it raised counts)."""

    def drive(flow: Flow[Any], *replies: Any) -> tuple[list[Effect], Any]:
        effects: list[Effect] = []
        script, reply = iter(replies), None
        try:
            while True:
                effects.append(flow.send(reply))
                reply = None if isinstance(effects[-1], Wait) else next(script)
        except StopIteration as stop:
            assert next(script, None) is None, "the flow ended before the script did"
            return effects, stop.value

    return drive


@dataclass
class Peer:
    """A server on a real socket. `behave(connection, n)` handles the n-th request, whose bytes are in `received`."""

    address: str
    received: list[bytes] = field(default_factory=list)
    connections: int = 0


@pytest.fixture
def peer() -> Iterator[Callable[..., Peer]]:
    """Start a server; its behaviour returns True to keep the connection, anything else closes it."""
    with contextlib.ExitStack() as stack:

        def start(behave: Behaviour, tls: ssl.SSLContext | None = None) -> Peer:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            server = Peer(f"http://127.0.0.1:{listener.getsockname()[1]}")
            thread = threading.Thread(target=_serve, args=(listener, server, behave, tls), daemon=True)
            thread.start()
            stack.callback(thread.join, 5)
            stack.callback(_stop, listener)
            return server

        yield start


def _stop(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)


def _serve(listener: socket.socket, server: Peer, behave: Behaviour, tls: ssl.SSLContext | None) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        server.connections += 1
        with connection, contextlib.suppress(OSError):
            connection.settimeout(5)
            _talk(tls.wrap_socket(connection, server_side=True) if tls else connection, server, behave)


def _talk(connection: socket.socket, server: Peer, behave: Behaviour) -> None:
    with connection:
        while _read_request(connection, server) and behave(connection, len(server.received)):
            pass


def _read_request(connection: socket.socket, server: Peer) -> bool:
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65536)
        if not chunk:
            return False
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
    while len(body) < length:
        body += connection.recv(65536)
    server.received.append(head + b"\r\n\r\n" + body)
    return True
