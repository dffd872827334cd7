"""Secrets that can be told from everything else wherever they turn up, and every way of writing them down."""

from __future__ import annotations

import base64
import json
import quopri
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

# In every canary three times, and nowhere else: whatever is cut, wrapped or re-written keeps one of them.
MARK: Final = "q7ZkX4vw"
# Each of these is written differently in an address, in JSON and by repr().
GAPS: Final = ('+"', "\\'")


@dataclass(frozen=True)
class Canary:
    """One secret; `code` is two lower-case letters that stand behind every mark in it."""

    name: str
    code: str

    @property
    def text(self) -> str:
        return self.parts[0] + GAPS[0] + self.parts[1] + GAPS[1] + self.parts[2]

    @property
    def parts(self) -> tuple[str, str, str]:
        first, second, third = (f"{MARK}{self.code}{number}" for number in (1, 2, 3))
        return first, second, third


WEBHOOK: Final = Canary("webhook secret", "wh")
ACCESS: Final = Canary("access token", "at")
OLD_ACCESS: Final = Canary("expired access token", "oa")
REFRESH: Final = Canary("refresh token", "rt")
CLIENT: Final = Canary("client secret", "cs")
DATABASE: Final = Canary("database password", "db")
BANK: Final = Canary("bank API key", "bk")
# What the portal hands out when a token is renewed: as secret as the ones it was given.
NEW_ACCESS: Final = Canary("renewed access token", "na")
NEW_REFRESH: Final = Canary("renewed refresh token", "nr")
ALL: Final = (WEBHOOK, ACCESS, OLD_ACCESS, REFRESH, CLIENT, DATABASE, BANK, NEW_ACCESS, NEW_REFRESH)

Encoding = Callable[[str], str]


def _every_percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def _escaped(text: str) -> str:
    return "".join(f"\\u{ord(char):04x}" for char in text)


def _base64(shift: int) -> Encoding:
    return lambda text: base64.b64encode(b"x" * shift + text.encode() + b"yy").decode()


def _terminal(text: str) -> str:
    rows = (f"\x1b[1m│\x1b[0m bank {row} │ \x1b[32m{part:<9}\x1b[0m │ ok │" for row, part in enumerate(_cut(text, 9)))
    return "\n".join(rows)


def _cut(text: str, width: int) -> list[str]:
    return [text[start : start + width] for start in range(0, len(text), width)]


def _mail(text: str) -> str:
    return quopri.encodestring(("Wrapped as in a letter. " * 3 + text).encode()).decode()


# Behind the stroke: which of the six kinds it is.
ENCODINGS: Final[Mapping[str, Encoding]] = {
    "raw": str,
    "percent / upper": lambda text: quote(text, safe=""),
    "percent / lower": lambda text: quote(text, safe="").lower().replace(MARK.lower(), MARK),
    "percent / every byte": _every_percent,
    "percent / twice": lambda text: quote(_every_percent(text), safe=""),
    "base64 / first": _base64(0),
    "base64 / second": _base64(1),
    "base64 / third": _base64(2),
    "base64 / for addresses": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64 / in lines": lambda text: "\n".join(_cut(_base64(1)(text), 19)),
    "JSON / escaped": json.dumps,
    "JSON / every letter": _escaped,
    "JSON / twice": lambda text: json.dumps(json.dumps({"said": text})),
    "wrapped / lines": lambda text: "\n    ".join(_cut(text, 7)),
    "wrapped / coloured table": _terminal,
    "wrapped / as in a letter": _mail,
    "wrapped / shown line feeds": lambda text: json.dumps("\n".join(_cut(text, 7))),
    "wrapped / words": lambda text: "\n".join(textwrap.wrap(f"the portal said {text}", 20)),
    "repr / text": repr,
    "repr / bytes": lambda text: repr(text.encode()),
    "repr / every byte": lambda text: "".join(f"\\x{byte:02x}" for byte in text.encode()),
    "repr / hex": lambda text: text.encode().hex(),
    "cut / to forty": lambda text: f"https://p.example/rest/1/{text}"[:40],
    "cut / from the end": lambda text: text[-11:],
    "small letters": str.lower,
}
