"""Keeping secrets out of what others write: portals repeat what they are sent, httpx and httpcore log addresses.

A text is read twice, as it stands and with escapes, colours and line breaks undone. Eight characters in a row of a
secret are masked, and as much of its base64 and hexadecimal forms: so is a secret that was cut, wrapped or encoded.
"""

from __future__ import annotations

import logging
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

MASK: Final = "***"
# How much of a secret, of its base64 and of its hexadecimal form gives it away.
_RAW, _BASE64, _HEX = 8, 12, 16
# A row of zeros is part of an account number, whatever secret it is also a part of.
_FEWEST_LETTERS: Final = 5
_ESCAPE: Final = re.compile(
    r"%(?:25)*([0-9A-Fa-f]{2})|\\+u00([0-9A-Fa-f]{2})|\\+x([0-9A-Fa-f]{2})|&#x([0-9A-Fa-f]{2});|=([0-9A-F]{2})"
    r"|&#(\d{2,3});|\\+([\"'/])|(\x1b\[[0-9;]*[A-Za-z]|\\+[nrt]|=?\s+|\\+)"
)
# Hosts are written in small letters; base64 for addresses has two letters of its own.
_FOLDED: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ-_", "abcdefghijklmnopqrstuvwxyz+/")
_LOGGERS: Final = (
    "httpx",
    "httpcore",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
    # The bank's side: addresses with their queries.
    "urllib3.connection",
    "urllib3.connectionpool",
    "urllib3.util.retry",
)

# Shorter than any secret: a longer value may be one, put into the wrong field.
_SHOWN: Final = 12

Piece = tuple[str, int, int]
Grams = Mapping[int, frozenset[str]]


def shown(value: object) -> str:
    """Name a value in an error about it, unless it may be a secret in the wrong place."""
    text = str(value)
    return repr(text[:40]) if len(text) <= _SHOWN or text.isdecimal() else "what stands there"


class Redactor(logging.Filter):
    """Masks the secrets it has learnt, in texts and in log records; what holds none passes untouched."""

    def __init__(self) -> None:
        super().__init__()
        self._secrets: frozenset[str] = frozenset()
        self._grams: Grams = {}

    def learn(self, secrets: Iterable[str]) -> None:
        """Mask these from now on, until the process ends: late records name them too."""
        if not self._secrets.issuperset(secrets := frozenset(secrets)):
            self._secrets |= secrets
            self._grams = _table(gram for secret in self._secrets for gram in _grams(secret))
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self)

    def scrub(self, text: str) -> str:
        """Mask every secret in a text, however it is written there."""
        return _masked(text, self._grams)

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask secrets in the message, and leave out an error that names one; never drop a record."""
        message = record.getMessage()
        masked = self.scrub(message)
        if masked != message:
            record.msg, record.args = masked, ()
        if record.exc_info and self._is_told_by(record.exc_info[1]):
            record.exc_info = None
        return True

    def _is_told_by(self, error: BaseException | None) -> bool:
        return error is not None and self.scrub(repr(error)) != repr(error)


REDACTOR: Final = Redactor()


class Frameless:
    """Let errors out of a block without the frames below it and without their chain: a secret stands among the locals.

    Tracebacks that show locals are common: error reporters have them, and Airflow's console with DEV=1.
    """

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, frames: object) -> None:
        """Raise the same error, from here."""
        if error is not None:
            error.__cause__ = error.__context__ = None
            raise error.with_traceback(None)


def _grams(secret: str) -> Iterator[str]:
    data = secret.encode()
    forms = [(secret, _RAW), (data.hex(), _HEX), *((_sure_base64(data, shift), _BASE64) for shift in range(3))]
    for form, size in forms:
        for start in range(max(len(form) - size, 0) + 1):
            gram = form[start : start + size].translate(_FOLDED)
            if len(set(gram)) >= _FEWEST_LETTERS:
                yield gram


def _sure_base64(data: bytes, shift: int) -> str:
    """The letters of base64 which do not depend on what stands before and behind."""
    first, last = -(-shift * 8 // 6), (shift + len(data)) * 8 // 6
    return b64encode(bytes(shift) + data + bytes(2))[first:last].decode()


def _table(grams: Iterable[str]) -> Grams:
    by_size: dict[int, set[str]] = {}
    for gram in grams:
        by_size.setdefault(len(gram), set()).add(gram)
    return {size: frozenset(alike) for size, alike in by_size.items()}


def _masked(text: str, grams: Grams) -> str:
    if not grams:
        return text
    # Escapes first: half of a secret that is masked as it stands would hide the other half.
    text = _cover(text, [*_unescaped(text)], grams)
    return _cover(text, [(letter, place, place + 1) for place, letter in enumerate(text)], grams)


def _cover(text: str, pieces: Sequence[Piece], grams: Grams) -> str:
    letters = "".join(letter for letter, _, _ in pieces).translate(_FOLDED)
    shown, end = "", 0
    for first, last in _runs(letters, grams):
        shown, end = shown + text[end : pieces[first][1]] + MASK, pieces[last][2]
    return shown + text[end:]


def _runs(letters: str, grams: Grams) -> Iterator[tuple[int, int]]:
    """Yield where grams stand, the first and the last letter of each unbroken run of them."""
    found = [
        (start, start + size - 1)
        for size, alike in grams.items()
        for start in range(len(letters) - size + 1)
        if letters[start : start + size] in alike
    ]
    run: tuple[int, int] | None = None
    for first, last in sorted(found):
        if run and first > run[1] + 1:
            yield run
            run = None
        run = (run[0], max(run[1], last)) if run else (first, last)
    if run:
        yield run


def _unescaped(text: str) -> Iterator[Piece]:
    end = 0
    for found in _ESCAPE.finditer(text):
        yield from ((text[place], place, place + 1) for place in range(end, found.start()))
        *hexes, decimal, quoted, _ = found.groups()
        digits = next(filter(None, hexes), None)
        letter = chr(int(digits, 16)) if digits else chr(int(decimal)) if decimal else quoted
        if letter:
            yield letter, *found.span()
        end = found.end()
    yield from ((text[place], place, place + 1) for place in range(end, len(text)))
