"""A database that refuses every password, and may quote it."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Final

from tests.secrets.peers import LOOPBACK

# PostgreSQL: frontend/backend protocol, message formats.
_SSL_REQUEST: Final = 80877103
_GSS_REQUEST: Final = 80877104
_ASK_CLEARTEXT: Final = b"R" + struct.pack("!ii", 8, 3)


@contextlib.contextmanager
def refusing(*, quoting: bool = True) -> Iterator[int]:
    """Listen like PostgreSQL; yields the port."""
    listener = socket.create_server((LOOPBACK, 0))
    thread = threading.Thread(target=_accept, args=(listener, quoting), daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def _accept(listener: socket.socket, quoting: bool) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError, struct.error):
                connection.settimeout(5)
                _refuse(connection, quoting)


def _refuse(connection: socket.socket, quoting: bool) -> None:
    while True:
        (length,) = struct.unpack("!i", _read(connection, 4))
        (code,) = struct.unpack("!i", _read(connection, length - 4)[:4])
        if code not in {_SSL_REQUEST, _GSS_REQUEST}:
            break
        connection.sendall(b"N")
    connection.sendall(_ASK_CLEARTEXT)
    (length,) = struct.unpack("!i", _read(connection, 5)[1:])
    password = _read(connection, length - 4).rstrip(b"\0")
    told = b", it was " + password if quoting else b""
    fields = b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed" + told + b"\0\0"
    connection.sendall(b"E" + struct.pack("!i", len(fields) + 4) + fields)


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise OSError
        data += more
    return data
