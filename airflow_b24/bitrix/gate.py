"""Where one request is on its way, and whether it may still leave."""

from __future__ import annotations

import zlib
from typing import Any, Final, Literal

from airflow_b24.bitrix.limits import now_s
from airflow_b24.bitrix.protocol import Lost

_ENCODINGS: Final = frozenset({"", "identity", "gzip"})
_GZIP: Final = 16 + zlib.MAX_WBITS


class WindowPassedError(Exception):
    """The send window is over; not a byte has left."""


class UnfitAnswerError(Exception):
    """An answer is too large, or written in a way nobody asked for."""


class Gate:
    """Watches one request leave: it stops the first byte when the send window is over.

    The transport reports its events by name; the first byte follows `send_request_headers.started` at once, so a
    slow connect cannot make a request late.
    """

    def __init__(self, send_before: float | None) -> None:
        self._send_before = send_before
        self._phase: Literal["unseen", "connecting", "sending"] = "unseen"

    def check(self) -> None:
        """Raise WindowPassedError when it is too late to send."""
        if self._send_before is not None and now_s() >= self._send_before:
            raise WindowPassedError

    def pass_event(self, name: str, info: Any) -> None:
        """Take one event of a blocking transport."""
        if name.endswith(".send_request_headers.started"):
            self.check()
            self._phase = "sending"
        elif self._phase == "unseen":
            self._phase = "connecting"

    async def apass_event(self, name: str, info: Any) -> None:
        """Take one event of an asyncio transport."""
        self.pass_event(name, info)

    def explain(self, error: Exception, *, never_sent: bool) -> Lost:
        """Say what a failure proves: only what surely was not sent may be sent again."""
        if isinstance(error, WindowPassedError):
            return Lost("expired_window", "it was too late to send")
        if never_sent or (isinstance(error, TimeoutError) and self._phase == "connecting"):
            return Lost("not_sent", _describe(error))
        return Lost("lost", _describe(error))


class Body:
    """Collects an answer up to a size, counted after decompression; what is larger is never decompressed."""

    def __init__(self, encoding: str, limit: int) -> None:
        named = encoding.strip().lower()
        if named not in _ENCODINGS:
            raise UnfitAnswerError("the answer is compressed in a way nobody asked for")
        self._gzip = zlib.decompressobj(_GZIP) if named == "gzip" else None
        self._limit = limit
        self._body = bytearray()

    def add(self, chunk: bytes) -> None:
        """Take one piece as it came. Raises UnfitAnswerError when it is one too many, or no gzip where it should be."""
        left = self._limit - len(self._body)
        piece = self._inflate(chunk, left + 1)
        if len(piece) > left:
            raise UnfitAnswerError("the answer is too large")
        self._body += piece

    def whole(self) -> bytes:
        """Return everything taken. Raises UnfitAnswerError when a gzip has no end."""
        if self._gzip is not None and not self._gzip.eof:
            raise UnfitAnswerError("the answer is cut: its gzip has no end")
        return bytes(self._body)

    def _inflate(self, chunk: bytes, most: int) -> bytes:
        if self._gzip is None:
            return chunk
        try:
            piece = self._gzip.decompress(chunk, most)
        except zlib.error:
            raise UnfitAnswerError("the answer is not the gzip that it says it is") from None
        if self._gzip.unused_data:
            # zlib would keep all of it.
            raise UnfitAnswerError("there is more behind the answer's gzip")
        return piece


def _describe(error: Exception) -> str:
    if isinstance(error, UnfitAnswerError):
        return str(error)
    return f"{type(error).__name__}: {error}"[:300].rstrip(": ")
