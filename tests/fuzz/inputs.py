"""Inputs: honest ones, changed as accidents and attackers change them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

# What parsers trip over.
TOKENS: tuple[bytes, ...] = tuple(
    text.encode("utf-8", "surrogatepass")
    for text in (
        *(
            "",
            "null",
            "true",
            "false",
            "NaN",
            "Infinity",
            "-Infinity",
            "-0",
            "1e999",
            "1e-999",
            "1e99999999999999999999",
        ),
        *(
            "9" * 20,
            "9" * 101,
            "9" * 5000,
            "0." + "1" * 400,
            "1_000",
            "１２",
            "٣",
            "²",
            "1,5",
            "0x1f",
            "+1",
            "--1",
            ".5",
        ),
        *('"', "'", "\\", "\\u0000", "\\ud800", "{", "}", "[", "]", ":", ",", "[" * 60, '{"a":' * 60, "[" * 2000),
        *(
            "\x00",
            "\x1b[31m",
            "\r\n",
            "\t",
            "\ufeff",
            "\u200b",
            "\u202e",
            "\u2028",
            "\xa0",
            "\ud800",
            "\U0010ffff",
            "İ",
            "ß",
            "ﷺ",
        ),
        *(
            "http://",
            "https://",
            "//evil.example",
            "@",
            "[::1]",
            "[",
            "%00",
            "%2e%2e",
            "..",
            "?",
            "#",
            ":99999",
            "xn--a",
        ),
        *(
            "2026-02-30",
            "0001-01-01",
            "9999-12-31T23:59:59-23:59",
            "24:00",
            "+99:99",
            "Y",
            "N",
            "RUB",
            "error",
            "result",
        ),
        *("a[", "a[]", "a[b]" * 70, "a[" + "9" * 5000 + "]=1&a[]=2", "&" * 50, "=", "%", "%zz", "+"),
        *("счет", "№", "45", "от", "invoice", "И", "СЧЕТ 1 И ", "{{ 7*7 }}", "=cmd()", "' OR 1=1 --"),
    )
)
BYTES = [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\x80" * 9, b"\xef\xbb\xbf", b"\xff\xfe", b"\x1f\x8b\x08\x00"]

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**30), 10**30)
    | st.text(max_size=20)
    | st.sampled_from([token.decode("utf-8", "replace") for token in TOKENS])
)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)


@st.composite
def changed_bytes(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """An honest input with a few pieces cut, doubled, moved or replaced."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 5))):
        start = draw(st.integers(0, len(data)))
        stop = min(start + draw(st.integers(0, 12)), len(data))
        piece = draw(st.sampled_from([*TOKENS, *BYTES]) | st.binary(max_size=4) | st.just(data[start:stop] * 2))
        data = data[:start] + piece + data[stop:]
    return data


@st.composite
def changed_json(draw: st.DrawFn, seeds: Sequence[Any]) -> bytes:
    """An honest document in which some values have become others, or keys have gone."""
    document = json.loads(json.dumps(draw(st.sampled_from(seeds))))
    for _ in range(draw(st.integers(0, 4))):
        place, key = draw(st.sampled_from(_places(document)))
        if place is None:
            document = draw(JSON)
        elif draw(st.integers(0, 5)):
            place[key] = draw(JSON)
        else:
            del place[key]
    return json.dumps(document).encode()


def _places(document: Any) -> list[tuple[Any, Any]]:
    """Every place of a document where a value stands: its container and key; (None, None) is the whole."""
    found: list[tuple[Any, Any]] = [(None, None)]
    level = [document]
    while level:
        node = level.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        found += [(node, key) for key in keys]
        level += [node[key] for key in keys]
    # Of a list only the last may go without moving the others.
    return found


def mixed(*seeds: Any) -> st.SearchStrategy[bytes]:
    """Both kinds of change to honest documents."""
    written = [json.dumps(seed, ensure_ascii=False).encode() for seed in seeds]
    return changed_json(seeds) | changed_bytes(written)


def texts(*seeds: str) -> st.SearchStrategy[bytes]:
    """Changed texts, and any text at all, as UTF-8."""
    return changed_bytes([seed.encode() for seed in seeds]) | st.text(max_size=200).map(_utf8)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


Run = Callable[[bytes], None]
