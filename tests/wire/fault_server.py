"""A server on loopback that asks the sandbox, and hands its answers over as a fault pleases: on one loop, in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import Any

from airflow_b24.sandbox import site
from airflow_b24.sandbox.state import State
from airflow_b24.sandbox.wire import Answer, Request

HOST = "127.0.0.1"


class Line:
    """One request on one connection, as a fault sees it."""

    def __init__(self, server: FaultServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer
        self.asked: Request = Request("", "")

    async def hear(self) -> bool:
        """Read one request; False when the client has gone."""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return False
        first, *lines = head.decode("latin-1").split("\r\n")
        verb, target, _ = first.split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
        body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        path, _, query = target.partition("?")
        self.asked = Request(verb, path, query, headers, body)
        self._server.heard.append((self.method, head + body))
        return True

    @property
    def method(self) -> str:
        """The last word of the path: a REST method, or `payments`."""
        return self.asked.path.rsplit("/", 1)[-1]

    async def answer(self) -> bytes:
        """Let the sandbox do what is asked; its answer as it would go over the wire."""
        return wired(self._server.run(self.asked))

    async def body(self) -> bytes:
        """Let the sandbox do what is asked; the body of its answer."""
        return self._server.run(self.asked).body

    async def send(self, data: bytes) -> None:
        """Send, and wait until the client has taken most of it."""
        self._writer.write(data)
        await self._writer.drain()

    def half_close(self) -> None:
        """Say that nothing more will come, and stay."""
        if self._writer.can_write_eof():
            self._writer.write_eof()

    def reset(self) -> None:
        """Throw the connection away so that the client sees a reset, not an end."""
        stream = self._writer.get_extra_info("socket")
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def until_left(self) -> None:
        """Wait until the client hangs up."""
        while await self._reader.read(65536):
            pass


Fault = Callable[[Line], Awaitable[object]]


def wired(answer: Answer, *, close: bool = True) -> bytes:
    """The bytes of an ordinary answer."""
    lines = [f"HTTP/1.1 {answer.status} Whatever", *(f"{name}: {value}" for name, value in answer.headers.items())]
    lines += [f"content-length: {len(answer.body)}", *(["connection: close"] if close else [])]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + answer.body


async def honest(line: Line) -> None:
    """No fault at all."""
    await line.send(await line.answer())


@dataclass
class FaultServer:
    """A sandbox behind a bad line. `heard` holds (method, bytes) of all requests, `connections` counts also silent ones."""

    state: State
    context: ssl.SSLContext | None = None
    address: str = ""
    heard: list[tuple[str, bytes]] = field(default_factory=list)
    connections: int = 0
    _faults: list[tuple[str, Fault]] = field(default_factory=list)
    _resets: list[int] = field(default_factory=list)

    def spoil(self, method: str, *faults: Fault) -> None:
        """The next requests for a method meet these faults, one each; all others are answered honestly."""
        self._faults += [(method, fault) for fault in faults]

    def reset_unheard(self, *, after: int) -> None:
        """The connection after so many more is reset as soon as it is there, before a byte of it is read."""
        self._resets.append(self.connections + after)

    def calm(self) -> None:
        """From now on everything is answered honestly."""
        self._faults.clear()
        self._resets.clear()

    def asked(self, method: str) -> int:
        """How many requests for a method arrived whole."""
        return sum(heard == method for heard, _ in self.heard)

    def run(self, request: Request) -> Answer:
        """What the sandbox answers."""
        return site.answer(self.state, request, datetime.now(UTC))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk on one connection; a fault that ends without closing has it closed."""
        number, self.connections = self.connections, self.connections + 1
        line = Line(self, reader, writer)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            if number in self._resets:
                line.reset()
            elif await line.hear():
                await self._next(line.method)(line)
        writer.close()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await writer.wait_closed()

    def _next(self, method: str) -> Fault:
        for place, (spoilt, fault) in enumerate(self._faults):
            if spoilt == method:
                del self._faults[place]
                return fault
        return honest


@contextlib.contextmanager
def serving(server: FaultServer) -> Iterator[FaultServer]:
    """Serve from a background thread for as long as the block runs."""
    started: SimpleQueue[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = SimpleQueue()

    async def main() -> None:
        stop = asyncio.Event()
        talks: set[asyncio.Task[Any]] = set()

        def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(server.serve(reader, writer))
            talks.add(task)
            task.add_done_callback(talks.discard)

        listening = await asyncio.start_server(talk, HOST, 0, ssl=server.context)
        scheme = "https" if server.context else "http"
        server.address = f"{scheme}://{HOST}:{listening.sockets[0].getsockname()[1]}"
        started.put((asyncio.get_running_loop(), stop))
        await stop.wait()
        listening.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)

    thread = threading.Thread(target=asyncio.run, args=(main(),), name="faults", daemon=True)
    thread.start()
    loop, stop = started.get(timeout=10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(timeout=10)
