"""The canonical form of an invoice number: one form for every honest way of writing the same number."""

from __future__ import annotations

import re
import unicodedata

# Cyrillic and Greek capitals that look like a Latin one, and every dash that looks like a hyphen.
_LOOK_ALIKES = str.maketrans(
    "АВЕЁКМНОРСТУХІЇЈЅ" + "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ" + "‐‑‒–—―−",
    "ABEEKMHOPCTYXIIJS" + "ABEZHIKMNOPTYX" + "-------",
)
_MARK = re.compile(r"#|N[°O]?(?:[.\s]+|(?=[0-9]))")
_IDLE_ZEROS = re.compile(r"(?<![0-9])0+(?=[0-9])")
_SPACES = re.compile(r"\s+")


def canonical_number(number: str) -> str:
    """Return the form in which two spellings of one number are equal.

    Case, look-alike letters, kinds of dash, spaces, a leading number sign and leading zeros do not tell numbers apart.
    Two invoices of equal form must be treated as ambiguous, never as the same.
    """
    if number.isascii() and number.isdigit():
        return number.lstrip("0") or "0"
    plain = fold_look_alikes(_SPACES.sub("", fold_text(number)))
    mark = _MARK.match(plain)
    return _IDLE_ZEROS.sub("", plain[mark.end() :] if mark else plain)


def fold_look_alikes(text: str) -> str:
    """Return upper-case text with one letter for all that look alike, and one dash; its length stays."""
    return text if text.isascii() else text.translate(_LOOK_ALIKES)


def fold_text(text: str) -> str:
    """Return the text in upper case and compatibility form; a number sign becomes `#`, which NFKC would turn into "No"."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.replace("№", "#"))
    return text.upper()
