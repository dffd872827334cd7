"""A line to PostgreSQL that breaks around a COMMIT: before it arrives, or after it was done and before the answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

HOST = "127.0.0.1"
# docs: protocol - both the query and CommandComplete end with this text and a zero byte.
COMMIT = b"COMMIT\x00"


@dataclass
class Line:
    """Where it listens; breaks at the `breaks_at`-th COMMIT, before the server hears of it or after."""

    port: int
    breaks_at: int = 0
    after: bool = False
    commits: int = 0
    sockets: list[socket.socket] = field(default_factory=list)

    def arm(self, breaks_at: int, *, after: bool) -> None:
        """Count from here."""
        self.commits, self.breaks_at, self.after = 0, breaks_at, after

    def asks(self, data: bytes) -> bool:
        """Whether what a client sends may pass."""
        if COMMIT in data:
            self.commits += 1
        return not (COMMIT in data and self.commits == self.breaks_at and not self.after)

    def answers(self, data: bytes) -> bool:
        """Whether what the server sends may pass."""
        return not (COMMIT in data and self.commits == self.breaks_at and self.after)


@contextmanager
def broken_line(host: str, port: int) -> Iterator[Line]:
    """Listen on a free port of loopback and hand everything through, until told to break."""
    with socket.create_server((HOST, 0)) as listener:
        line = Line(listener.getsockname()[1])
        threading.Thread(target=_accept, args=(listener, line, (host, port)), daemon=True).start()
        try:
            yield line
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for each in line.sockets:
                _close(each)


def _accept(listener: socket.socket, line: Line, server: tuple[str, int]) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            upstream = socket.create_connection(server)
            line.sockets += [client, upstream]
            for source, target, may_pass in ((client, upstream, line.asks), (upstream, client, line.answers)):
                threading.Thread(target=_pump, args=(source, target, may_pass), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket, may_pass: Callable[[bytes], bool]) -> None:
    with suppress(OSError):
        while (data := source.recv(65536)) and may_pass(data):
            target.sendall(data)
    _close(source)
    _close(target)


def _close(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
