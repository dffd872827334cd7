"""A total deadline for blocking calls: httpx's own time limits begin anew with every byte a slow peer sends."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import httpcore

MAX_CONNECTIONS: Final = 20
# Short: a write that meets a connection which the portal has just closed is an unknown outcome.
KEEPALIVE_S: Final = 5.0

_ENDS_AT: Final[ContextVar[float]] = ContextVar("ends_at", default=float("inf"))


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Bound everything read and written in this block, in this thread, on connections of a `Backend`."""
    token = _ENDS_AT.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _ENDS_AT.reset(token)


def _left(timeout: float | None, late: type[Exception]) -> float | None:
    left = _ENDS_AT.get() - time.monotonic()
    if left <= 0:
        raise late("the deadline of the whole call has passed")
    return min(left, float("inf") if timeout is None else timeout) if left != float("inf") else timeout


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class Backend(httpcore.NetworkBackend):
    """Opens connections which keep the deadline of `within`."""

    def __init__(self) -> None:
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Open one connection."""
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.connect_tcp(host, port, left, local_address, socket_options))

    def sleep(self, seconds: float) -> None:
        """Sleep, as httpcore does between its own retries (which stay off)."""
        self._inner.sleep(seconds)


def pool(
    context: ssl.SSLContext, *, proxy: str | None = None, proxy_auth: tuple[bytes, bytes] | None = None
) -> httpcore.ConnectionPool:
    """Return a pool of connections which keep the deadline of `within`; it never sends anything twice."""
    settings: dict[str, Any] = {
        "ssl_context": context,
        "max_connections": MAX_CONNECTIONS,
        "keepalive_expiry": KEEPALIVE_S,
        "network_backend": Backend(),
    }
    if proxy is None:
        return httpcore.ConnectionPool(**settings)
    return httpcore.HTTPProxy(proxy, proxy_auth=proxy_auth, **settings)
