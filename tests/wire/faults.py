"""What can go wrong between a portal that works and a client: each a fault of one answer."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from airflow_b24.bitrix.protocol import Request
from airflow_b24.sandbox import seed
from airflow_b24.sandbox.wire import Request as Asked
from tests.wire.fault_server import Fault, FaultServer, Line, honest, wired

# 1 GiB of spaces, or as much of it as anybody wants to read; compressed 1,000 to 1.
_BOMB = zlib.compressobj(9, zlib.DEFLATED, 31)
GZIP_HEAD = _BOMB.compress(b'{"result": true' + b" " * 2**20) + _BOMB.flush(zlib.Z_SYNC_FLUSH)
GZIP_MIB = _BOMB.compress(b" " * 2**20) + _BOMB.flush(zlib.Z_SYNC_FLUSH)


@dataclass(frozen=True, slots=True)
class Trouble:
    """A fault; `ran` says that the portal did what was asked, `endless` that only the deadline ends it."""

    fault: Fault
    ran: bool = True
    endless: bool = False


def saying(data: bytes, *, ran: bool = True, endless: bool = False) -> Trouble:
    """These bytes stand in for the answer."""

    async def fault(line: Line) -> None:
        if ran:
            await line.answer()
        await line.send(data)
        if endless:
            await line.until_left()

    return Trouble(fault, ran, endless)


def answering(body: bytes, status: int = 200, *headers: str, ran: bool = True) -> Trouble:
    """A well-formed answer with this body and these headers."""
    return saying(head(status, f"content-length: {len(body)}", *headers) + body, ran=ran)


def head(status: int, *headers: str) -> bytes:
    """Status line and headers."""
    return "\r\n".join([f"HTTP/1.1 {status} Whatever", "connection: close", *headers, "", ""]).encode("latin-1")


def cut(at: int, *, reset: bool = False) -> Fault:
    """The first `at` bytes of the answer, never its last one, then an end or a reset."""

    async def fault(line: Line) -> None:
        await line.send((await line.answer())[:-1][:at])
        if reset:
            line.reset()

    return fault


def ending(how: Callable[[Line], object]) -> Fault:
    """The portal has done it; then this happens instead of an answer."""

    async def fault(line: Line) -> None:
        await line.answer()
        how(line)
        if how is not Line.reset:
            await line.until_left()

    return fault


async def deaf(line: Line) -> None:
    """The request has come and goes nowhere."""
    await line.until_left()


async def dropped(line: Line) -> None:
    """The request has come; a reset is all there is."""
    line.reset()


async def drip(line: Line) -> None:
    """One byte every now and then."""
    for byte in await line.answer():
        await line.send(bytes([byte]))
        await asyncio.sleep(0.02)


def stream(start: bytes, piece: bytes, times: int = 10**9) -> Fault:
    """A piece again and again, until the client has enough."""

    async def fault(line: Line) -> None:
        await line.answer()
        await line.send(start)
        for _ in range(times):
            await line.send(piece)

    return fault


def rewritten(change: Callable[[bytes], bytes], *headers: str) -> Fault:
    """The true answer's body, changed."""

    async def fault(line: Line) -> None:
        body = change(await line.body())
        await line.send(head(200, f"content-length: {len(body)}", *headers) + body)

    return fault


def chunked(*pieces: bytes) -> Trouble:
    """A chunked answer of these very bytes."""
    return saying(head(200, "transfer-encoding: chunked") + b"".join(pieces))


def result(text: str) -> Trouble:
    """A JSON answer of this text."""
    return answering(text.encode())


def raw_deflate(data: bytes) -> bytes:
    """Deflate without a zlib header, as some servers send it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


TRUE = '{"result": true}'
PAGE = b"<html><body><h1>Oops</h1></body></html>"
DEEP = 100_000

# The portal may have done it, and nothing that came back says so clearly: a write's outcome is unknown.
UNCLEAR: dict[str, Trouble] = {
    "a reset instead of an answer": Trouble(ending(Line.reset)),
    "a reset after the request": Trouble(dropped, ran=False),
    "an end instead of an answer": saying(b""),
    "half a close and silence": Trouble(ending(Line.half_close), endless=True),
    "silence, and it ran": Trouble(ending(lambda _: None), endless=True),
    "silence, and it did not run": Trouble(deaf, ran=False, endless=True),
    "a drip": Trouble(drip, endless=True),
    "a drip of 1xx": Trouble(stream(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100), endless=True),
    "a drip of 103 with headers": Trouble(stream(b"", b"HTTP/1.1 103 Hint\r\nx: y\r\n\r\n"), endless=True),
    "switching protocols": saying(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
    "garbage": saying(bytes(range(256)) * 40),
    "no HTTP": saying(b"220 smtp.example ready\r\n\r\n"),
    "HTTP/0.9": saying(TRUE.encode()),
    "a status of two digits": saying(b"HTTP/1.1 20 OK\r\ncontent-length: 16\r\n\r\n" + TRUE.encode()),
    "a status of 999": answering(TRUE.encode(), 999),
    "a TLS alert": saying(b"\x15\x03\x01\x00\x02\x02\x28"),
    "a length too long": saying(head(200, "content-length: 99") + TRUE.encode()),
    "a length too short": saying(head(200, "content-length: 9") + TRUE.encode()),
    "a length too long, and waiting": saying(head(200, "content-length: 99") + TRUE.encode(), endless=True),
    "a negative length": saying(head(200, "content-length: -1") + TRUE.encode()),
    "a length in words": saying(head(200, "content-length: x") + TRUE.encode()),
    "a length of 5,000 digits": saying(head(200, f"content-length: {'9' * 5000}") + TRUE.encode()),
    "two lengths": saying(head(200, "content-length: 16", "content-length: 15") + TRUE.encode()),
    "chunks of nonsense": chunked(b"zz\r\n", TRUE.encode()),
    "a chunk cut short": chunked(b"10\r\n", TRUE.encode()[:9]),
    "chunks without an end": chunked(b"10\r\n", TRUE.encode(), b"\r\n"),
    "a negative chunk": chunked(b"-10\r\n", TRUE.encode(), b"\r\n0\r\n\r\n"),
    "a chunk of 10^30 bytes": chunked(b"f" * 25, b"\r\n", TRUE.encode()),
    "a chunk of 10^18 bytes": chunked(b"f" * 15, b"\r\n", TRUE.encode()),
    "an extension of 1 MB": chunked(b"10;", b"x" * 2**20, b"\r\n", TRUE.encode(), b"\r\n0\r\n\r\n"),
    "an unknown transfer coding": saying(head(200, "transfer-encoding: gzip, chunked") + b"10\r\n" + TRUE.encode()),
    "a header of 1 MB": saying(head(200, "x: " + "y" * 2**20, "content-length: 16") + TRUE.encode()),
    "100,000 headers": saying(
        head(200, *(f"x-{n}: {n}" for n in range(100_000)), "content-length: 16") + TRUE.encode()
    ),
    "a header folded and split": saying(b"HTTP/1.1 200 OK\r\n x\r\ncontent-length: 16\r\n\r\n" + TRUE.encode()),
    "deflate": Trouble(rewritten(zlib.compress, "content-encoding: deflate")),
    "raw deflate": Trouble(rewritten(raw_deflate, "content-encoding: deflate")),
    "br": answering(b"\x8f\x07\x80" + TRUE.encode() + b"\x03", 200, "content-encoding: br"),
    "zstd": answering(b"\x28\xb5\x2f\xfd\x00\x58\x81\x00\x00", 200, "content-encoding: zstd"),
    "gzip twice": Trouble(rewritten(lambda body: gzip.compress(gzip.compress(body)), "content-encoding: gzip, gzip")),
    "gzip that is none": answering(TRUE.encode(), 200, "content-encoding: gzip"),
    "half a gzip": Trouble(rewritten(lambda body: gzip.compress(body)[:-10], "content-encoding: gzip")),
    "a gzip without its sum": Trouble(rewritten(lambda body: gzip.compress(body)[:-8], "content-encoding: gzip")),
    "a gzip with a wrong sum": Trouble(
        rewritten(lambda body: gzip.compress(body)[:-8] + bytes(8), "content-encoding: gzip")
    ),
    "more behind a gzip": Trouble(rewritten(lambda body: gzip.compress(body) + b"x", "content-encoding: gzip")),
    "204": saying(head(204)),
    "205": answering(b"", 205),
    "206": answering(TRUE.encode(), 206),
    "303, where an answer may be seen": answering(b"", 303, "location: https://other.example/"),
    "304": saying(head(304, "location: https://other.example/")),
    "300": answering(b"", 300, "location: https://other.example/"),
    **{f"a page of {status}": answering(PAGE, status) for status in (200, 400, 403, 404, 500, 502, 503, 504, 521)},
    "nothing": answering(b""),
    "null": result("null"),
    "a list": result("[]"),
    "a text": result('"true"'),
    "an object without anything": result("{}"),
    "false": result('{"result": false}'),
    "1": result('{"result": 1}'),
    "true as a text": result('{"result": "true"}'),
    "true twice": result(TRUE * 2),
    "a result given twice": result('{"result": false, "result": true}'),
    "true in UTF-16": answering(TRUE.encode("utf-16")),
    "true in Latin-1": answering(b'{"result": true, "x": "\xe9"}'),
    "half a surrogate in UTF-8": answering(b'{"result": true, "x": "\xed\xa0\x80"}'),
    "NaN": result('{"result": true, "x": NaN}'),
    "Infinity": result('{"result": true, "x": -Infinity}'),
    "an integer of 1 MB": result('{"result": true, "x": ' + "9" * 2**20 + "}"),
    "lists in lists": result('{"result": true, "x": ' + "[" * DEEP + "]" * DEEP + "}"),
    "objects in objects": result('{"result": true, "x": ' + '{"a":' * DEEP + "1" + "}" * DEEP + "}"),
    "lists as deep as Python bears": result('{"result": true, "x": ' + "[" * 400 + "]" * 400 + "}"),
    "an error beside the result": result('{"result": true, "error": "QUERY_LIMIT_EXCEEDED"}'),
    "a denial beside the result": result('{"result": true, "error": "ACCESS_DENIED", "error_description": "x"}'),
    "an error nobody knows": answering(b'{"error": "WHATEVER"}', 400),
    "an error after the work": answering(b'{"error": "INTERNAL_SERVER_ERROR"}', 500),
}

# The portal says that it did not run.
REFUSED: dict[str, Trouble] = {
    "too many requests": answering(b'{"error": "QUERY_LIMIT_EXCEEDED"}', 503, ran=False),
    "operating time used up": answering(b'{"error": "OPERATION_TIME_LIMIT"}', 429, ran=False),
    "a page of 429": answering(PAGE, 429, ran=False),
}
CLOSED: dict[str, Trouble] = {
    "no right": answering(b'{"error": "ACCESS_DENIED"}', 403, ran=False),
    "a page of 401": answering(PAGE, 401, ran=False),
    **{
        f"{status} to {where}": answering(b"", status, f"location: {where}", ran=False)
        for status in (301, 302, 307, 308)
        for where in ("https://other.example/rest/", "http://127.0.0.1:9/", "ftp://x/", "//other.example/", "http://[")
    },
    "302 to nowhere": answering(b"", 302, ran=False),
    "302 to 60 kB": answering(b"", 302, "location: https://" + "x" * 60_000, ran=False),
}

# Odd, and clear all the same.
CLEAR: dict[str, Trouble] = {
    "an honest answer": Trouble(honest),
    "gzip": Trouble(rewritten(gzip.compress, "content-encoding: gzip")),
    "a byte order mark": Trouble(rewritten(lambda body: b"\xef\xbb\xbf" + body)),
    "chunks of one byte": chunked(*(b"1\r\n%c\r\n" % byte for byte in TRUE.encode()), b"0\r\n\r\n"),
    "HTTP/9.9": saying(head(200, "content-length: 16").replace(b"1.1", b"9.9") + TRUE.encode()),
    "1xx before the answer": saying(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hint\r\nx: y\r\n\r\n"
        + head(200, "content-length: 16")
        + TRUE.encode()
    ),
    "a number beyond every float": result('{"result": true, "x": 1e999999999, "y": 1e-999999999}'),
    "the end of the connection ends it": saying(head(200) + TRUE.encode()),
    "an answer behind the answer": saying((head(200, "content-length: 16") + TRUE.encode()) * 2),
    "8,000 headers": saying(head(200, *(f"{n}:" for n in range(8_000)), "content-length: 16") + TRUE.encode()),
}


def longest(line: FaultServer, request: Request) -> int:
    """How many bytes the honest answer to a request has."""
    body = json.dumps(dict(request.arguments)).encode()
    headers = {"content-type": "application/json"}
    return len(wired(line.run(Asked("POST", f"{seed.webhook_path()}{request.method}", headers=headers, body=body))))
