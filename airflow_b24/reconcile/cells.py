"""Cells of a CSV file that people open in a spreadsheet: a bank's text must stay text, and never run.

Semicolons and decimal commas: what Excel and LibreOffice expect wherever people write 118,00. In JSON it is 118.00.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

# OWASP, CSV injection: what makes a cell a formula, also in full width; TAB and CR are gone with all control characters.
_STARTS: Final = "=+-@＝＋－＠"
# A spreadsheet that splits at commas would begin a cell inside our text.
_INNER: Final = re.compile(rf"([,;|]\s*[\"']?\s*)(?=[{re.escape(_STARTS)}])")
# Digits and signs alone are read as a number or a date: accounts lose digits, tax ids their zero, 2026/2 becomes a day.
_NUMBERLIKE: Final = re.compile(r"[\d\s.,:/()%eE+-]+")
BOM: Final = "\ufeff"


def lines(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Write rows as lines of CSV without their ends, the byte order mark first, by which Excel knows UTF-8."""
    yield BOM + _line(header)
    for row in rows:
        yield _line(row)


def text(value: str) -> str:
    """Make a cell of somebody else's text: one line, and nothing that a spreadsheet would read as more than text."""
    flat = " ".join("".join(char if char.isprintable() else " " for char in value).split())
    inner = _INNER.sub(r"\1'", flat)
    is_more = inner.startswith(tuple(_STARTS)) or (_NUMBERLIKE.fullmatch(inner) and any(map(str.isdigit, inner)))
    return f"'{inner}" if is_more else inner


def number(decimal: str) -> str:
    """Make a cell of our own decimal text, such as "118.00": it stays a number."""
    return decimal.replace(".", ",")


def _line(row: Sequence[str]) -> str:
    written = io.StringIO()
    csv.writer(written, delimiter=";", quoting=csv.QUOTE_MINIMAL, lineterminator="").writerow(row)
    return written.getvalue()
