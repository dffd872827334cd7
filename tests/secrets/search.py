"""Finding canaries in anything: in text and bytes, however they are escaped, encoded, wrapped or laid out in tables."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from tests.secrets.canaries import ALL, MARK

NAMES: Final = {canary.code: canary.name for canary in ALL}
_PLAIN: Final = re.compile(MARK.encode() + rb"(?:(\w\w)\d)?", re.IGNORECASE)
_HEX: Final = re.compile(MARK.encode().hex().encode() + rb"((?:[0-9a-f]{2}){0,2})", re.IGNORECASE)
_ESCAPES: Final = re.compile(
    rb"%([0-9A-Fa-f]{2})|\\u00([0-9A-Fa-f]{2})|\\x([0-9A-Fa-f]{2})|&#x([0-9A-Fa-f]{2});|=([0-9A-F]{2})"
    rb"|&#(\d{2,3});|\\+([nrt])|(\\u[0-9a-f]{4})|=\r?\n"
)
_ANSI: Final = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_NO_WORD: Final = re.compile(rb"[^0-9A-Za-z]+")
_BORDER: Final = re.compile("[|│┃║]".encode() + rb"|\xe2\x94\x82|\xe2\x94\x83|  +")
_EVENT: Final = re.compile(rb'"event":\s*"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, order=True)
class Hit:
    """A canary, or a piece of one, in a sink."""

    sink: str
    canary: str
    how: str


def hits(sinks: Mapping[str, bytes]) -> list[Hit]:
    """Return every canary found in the sinks, named; none is shown."""
    return sorted({Hit(sink, canary, how) for sink, data in sinks.items() for canary, how in find(data)})


def find(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield the name of each canary in some bytes, and how it is written there."""
    yield from _marks(data, "raw")
    # Two bytes to a letter, too.
    plain = _unescaped(data.replace(b"\0", b""))
    if plain != data:
        yield from _marks(plain, "escaped")
    events = _events(plain)
    views = {"wrapped": plain, "in a table": _columns(plain), "in log lines": events}
    for how, text in {**views, "in a table in log lines": _columns(events)}.items():
        joined = _joined(text)
        yield from _marks(joined, how)
        yield from _encoded(joined)


def _marks(text: bytes, how: str) -> Iterator[tuple[str, str]]:
    for found in _PLAIN.finditer(text):
        yield _name(found.group(1) or b""), how


def _encoded(joined: bytes) -> Iterator[tuple[str, str]]:
    for found in _HEX.finditer(joined):
        yield _name(bytes.fromhex(found.group(1).decode())), "hex"
    for found in _BASE64.finditer(joined):
        rest = joined[found.start() : found.start() + 13]
        yield (
            next((name for start, name in _BASE64_NAMES.items() if rest.startswith(start)), "a piece of one"),
            "base64",
        )


def _name(code: bytes) -> str:
    return NAMES.get(code.decode("ascii", "replace").lower(), "a piece of one")


def _unescaped(data: bytes) -> bytes:
    """Undo percent, JSON, repr(), HTML and quoted-printable, also where it was done three times."""
    for _ in range(3):
        before, data = data, _ESCAPES.sub(_byte, data)
        if data == before:
            break
    return data


def _byte(found: re.Match[bytes]) -> bytes:
    *hexes, decimal, control, other = found.groups()
    if control is not None or other is not None:
        return b"\n" if control else b"|"
    if decimal is not None:
        return bytes([int(decimal)]) if int(decimal) < 256 else b""
    digits = next((each for each in hexes if each is not None), b"")
    return bytes.fromhex(digits.decode())


def _joined(text: bytes) -> bytes:
    """Leave letters and digits alone, so that nothing which breaks or colours a line stands between them."""
    return _NO_WORD.sub(b"", _ANSI.sub(b"", text))


def _columns(text: bytes) -> bytes:
    """Read the cells of each table column downwards."""
    columns: dict[int, list[bytes]] = {}
    for line in _ANSI.sub(b"", text).splitlines():
        cells = _BORDER.split(line) if b"  " in line or b"|" in line or b"\xe2\x94" in line else []
        for place, cell in enumerate(cells):
            columns.setdefault(place, []).append(cell)
    return b"\n".join(cell for column in columns.values() for cell in column)


def _events(text: bytes) -> bytes:
    """Read the events of a log of JSON lines without what stands between them."""
    return b"\n".join(_EVENT.findall(text))


def _sure(text: bytes, shift: int) -> bytes:
    """The letters of a text's base64 which do not depend on what stands before and behind it."""
    encoded = base64.b64encode(b"\0" * shift + text + b"\0\0")
    first, last = -(-shift * 8 // 6), (shift + len(text)) * 8 // 6
    return _NO_WORD.sub(b"", encoded[first:last])


_BASE64: Final = re.compile(b"|".join(_sure(MARK.encode(), shift) for shift in range(3)))
_BASE64_NAMES: Final = {
    _sure((MARK + canary.code).encode(), shift): canary.name for canary in ALL for shift in range(3)
}
