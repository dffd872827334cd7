"""Bombs: what an answer would become is never held, whatever it says of its size."""

from __future__ import annotations

import asyncio
import gzip
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from airflow_b24.bitrix.auth import Webhook
from airflow_b24.bitrix.client import AsyncClient, Client
from airflow_b24.bitrix.errors import BitrixError, ResponseError
from airflow_b24.bitrix.flows import attempt
from airflow_b24.bitrix.protocol import Request, Response, parse_json
from airflow_b24.payments.errors import SourceFormatError
from airflow_b24.payments.statements.strict_json import decode_json
from airflow_b24.sandbox import seed
from tests.wire.fault_server import Fault, FaultServer
from tests.wire.faults import GZIP_HEAD, GZIP_MIB, head, stream

MIB = 2**20
MOST = 64 * MIB
READ = Request("crm.status.list", write=False, send_before=float("inf"))


@contextmanager
def bounded() -> Iterator[None]:
    """Fail when the block held more than 64 MB at any time above what was held before."""
    tracemalloc.start()
    try:
        base = tracemalloc.get_traced_memory()[0]
        yield
        peak = tracemalloc.get_traced_memory()[1] - base
    finally:
        tracemalloc.stop()
    assert peak < MOST, f"{peak / MIB:.0f} MiB"


def ask_blocking(line: FaultServer, timeout_s: float) -> Response | BitrixError:
    with Client(Webhook.parse(line.address + seed.webhook_path()), timeout_s=timeout_s) as client:
        return client.run(attempt(READ))


def ask_asyncio(line: FaultServer, timeout_s: float) -> Response | BitrixError:
    async def run() -> Response | BitrixError:
        async with AsyncClient(Webhook.parse(line.address + seed.webhook_path()), timeout_s=timeout_s) as client:
            return await client.arun(attempt(READ))

    return asyncio.run(run())


GZIPPED = head(200, "content-type: application/json", "content-encoding: gzip")
CHUNK = b"%x\r\n%s\r\n" % (len(GZIP_MIB), GZIP_MIB)
EMPTY_BLOCKS = b"\x00\x00\x00\xff\xff" * 13_000

# Each of them has no end: the client must have enough before memory or time has.
BOMBS: dict[str, Fault] = {
    "gzip, 1,000 to 1": stream(GZIPPED + GZIP_HEAD, GZIP_MIB),
    "gzip in chunks": stream(
        head(200, "transfer-encoding: chunked", "content-encoding: gzip")
        + b"%x\r\n%s\r\n" % (len(GZIP_HEAD), GZIP_HEAD),
        CHUNK,
    ),
    "gzip and then more": stream(GZIPPED + gzip.compress(b'{"result": []}'), b"x" * MIB),
    "gzip of nothing": stream(GZIPPED + GZIP_HEAD[:10], EMPTY_BLOCKS),
    "spaces": stream(head(200), b" " * MIB),
    "chunks of two bytes": stream(head(200, "transfer-encoding: chunked"), b"2\r\n  \r\n" * 10_000),
    "headers": stream(b"HTTP/1.1 200 OK\r\n", b"x: " + b"y" * 60_000 + b"\r\n"),
    "one header": stream(b"HTTP/1.1 200 OK\r\nx: ", b"y" * 60_000),
    "garbage": stream(b"", b"\x00" * 60_000),
}


# Of these the client has enough by itself; the others end with the deadline.
TOLD = {
    "gzip, 1,000 to 1": "too large",
    "gzip in chunks": "too large",
    "spaces": "too large",
    "gzip and then more": "more behind",
}


@pytest.mark.parametrize("ask", [ask_blocking, ask_asyncio], ids=["blocking", "asyncio"])
@pytest.mark.parametrize("name", BOMBS)
def test_an_answer_without_an_end_is_refused_in_bounded_memory(
    ask: Callable[[FaultServer, float], Response | BitrixError], line: FaultServer, name: str
) -> None:
    line.spoil(READ.method, BOMBS[name])
    with bounded():
        outcome = ask(line, 30.0 if name in TOLD else 1.5)
    assert type(outcome) is ResponseError
    assert TOLD.get(name, "") in str(outcome)


BODIES: dict[str, Callable[[], bytes]] = {
    "lists in a list": lambda: b'{"result": [' + b"[]," * (5 * MIB) + b"[]]}",
    "objects in a list": lambda: b'{"result": [' + b"{}," * (5 * MIB) + b"{}]}",
    "numbers": lambda: b'{"result": [' + b"1.5," * (4 * MIB) + b"1]}",
    "names": lambda: b"{" + b",".join(b'"%d":0' % n for n in range(MIB)) + b"}",
    "depth": lambda: b"[" * (16 * MIB),
    "depth of objects": lambda: b'{"a":' * (3 * MIB),
    "an integer": lambda: b'{"result": ' + b"9" * (15 * MIB) + b"}",
    "integers of 4,300 digits": lambda: b"[" + (b"9" * 4300 + b",") * 3000 + b"9]",
    "no JSON": lambda: b"x" * (16 * MIB),
    "no end": lambda: b'{"result": "' + b"x" * (15 * MIB),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize(
    ("read", "refusal"), [(parse_json, ValueError), (decode_json, SourceFormatError)], ids=["portal", "bank"]
)
def test_a_body_that_would_grow_is_refused_at_once(
    read: Callable[[bytes], object], refusal: type[Exception], name: str
) -> None:
    body = BODIES[name]()
    began = time.process_time()
    with pytest.raises(refusal):
        read(body)
    assert time.process_time() - began < 1
    with bounded(), pytest.raises(refusal):
        read(body)
