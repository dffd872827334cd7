"""Finding the invoices a payer named in the text of a payment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import chain

from airflow_b24.payments.invoice_number import canonical_number, fold_text
from airflow_b24.payments.reference_words import (
    COUNTED_WORDS,
    DATE_WORDS,
    FOREIGN_PREFIXES,
    INVOICE_WORDS,
    LIST_WORDS,
    MONTHS,
    OTHER_WORDS,
    UNIT_WORDS,
    YEAR_WORDS,
)

LONGEST_NUMBER = 64


@dataclass(frozen=True, slots=True)
class Reference:
    """One invoice number named in a text.

    `forms` holds its canonical readings: "INV-45" may be the number "45" or "INV-45". `dates` is None when no date
    stands beside it, else every date its digits can mean. `certain` is False for a bare number that only follows a comma.
    `span` is the fragment's place in the folded text.
    """

    forms: tuple[str, ...]
    fragment: str
    dates: frozenset[date] | None
    certain: bool
    span: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a text says: the references in it, whether hidden characters make it unfit as a proof, and its folded form."""

    references: tuple[Reference, ...]
    suspicious: bool
    folded: str


# Every repetition is bounded or possessive, so that the time stays linear in the text whatever it holds.
_LETTER_OR_DIGIT = r"[^\W_]"
_JOINERS = "-/_\\‐‑‒–—―−"
JOINER = f"[{re.escape(_JOINERS)}]"
_NUMBER = (
    rf"(?!{'|'.join(FOREIGN_PREFIXES)})(?=(?:[^\W\d_]|{JOINER}){{0,24}}\d)"
    rf"(?P<number>{_LETTER_OR_DIGIT}{{1,32}}+(?:(?:{JOINER}|(?<=\d)\.(?=\d)){_LETTER_OR_DIGIT}{{1,32}}+){{0,6}}+)"
    rf"(?!{_LETTER_OR_DIGIT}|{JOINER}{_LETTER_OR_DIGIT}|(?<=\d)\.\d)"
)
_MARK = r"(?P<mark>#\s{0,3}|(?:NUM(?:BER|MER|ERO|ÉRO|ER)?|N(?:[O°R]|RO)?|НОМЕР)S?(?:[.:\s]{1,3}|(?=\d)))"
DAY = r"\d{1,2}[./-]\d{1,2}[./-](?:\d{4}|\d{2})|\d{4}-\d{2}-\d{2}"
DATE_WORD = rf"(?:(?:{'|'.join(chain.from_iterable(DATE_WORDS.values()))})(?:[.:]?\s{{0,3}}))"
_DATE = rf"{DATE_WORD}?(?P<NAME>{DAY})(?!\d|[./-]\d)"
_DATE_AFTER = rf"(?:[\s,]{{0,3}}[(\[]?\s?{_DATE.replace('NAME', 'after')})?"
_DATE_BEFORE = rf"\s{{0,3}}[(]?{_DATE.replace('NAME', 'before')}\s?(?:Г(?:ОДА|\.)?|Р\.)?[),\s]{{0,3}}(?={_MARK.replace('?P<mark>', '?:')})"
_GAP = r"""(?:[\s.:"'«“„(\[]{1,4}|-|/|_|(?=#|N|\d))"""

# Without a number sign "118 руб", "118,00", "12 марта" and "2026 год" are a sum, a day and a year, whatever stands before.
_NO_YEAR = rf"(?!20\d\d\s{{0,3}}(?:{'|'.join(YEAR_WORDS)})(?!\w))"
_NO_COUNT = (
    rf"(?!,\d\d(?!\d)|(?:,\d)?\s{{0,3}}(?:{'|'.join(COUNTED_WORDS)})"
    rf"|[.]?\s{{0,3}}(?:(?:OF|DE)\s{{1,3}})?(?:{'|'.join(MONTHS)})(?!\w))"
)

_FIRST = re.compile(
    rf"\b(?:(?P<other>{'|'.join(OTHER_WORDS)})"
    rf"|(?:{'|'.join(chain.from_iterable(INVOICE_WORDS.values()))})"
    rf"(?:{_DATE_BEFORE}|{_GAP}){_MARK}?(?(mark)|{_NO_YEAR}){_NUMBER}(?(mark)|{_NO_COUNT}){_DATE_AFTER})"
)
_NEXT = re.compile(
    rf"\s{{0,3}}(?P<joint>[,;&+]|(?:{'|'.join(LIST_WORDS)})(?=\W))(?:\s{{0,3}}(?:{'|'.join(LIST_WORDS)})(?=\W))?\s{{0,3}}"
    rf"{_MARK}?{_NUMBER}(?!\s{{0,3}}(?:{'|'.join(UNIT_WORDS)})){_DATE_AFTER}"
)
# "№45от01.02.2026": the date's preposition glued to the number.
_GLUED_DATE = re.compile(r"(?P<number>.*\d)ОТ(?P<day>\d{1,2}\.\d{1,2}\.\d{2,4})?")
_DAY_PARTS = re.compile(r"[./-]")
_GROUPED_DIGITS = re.compile(r"\s\d{3}(?![\d./-])")

# Control and format characters, bidi marks, fillers, variation selectors, lone marks and surrogates: a person and a program read such a text differently.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u0300-\u036f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u20d0-\u20ff\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff\ud800-\udfff"
    "\ue000-\uf8ff\U000e0000-\U0010ffff]"
)
# NFKC would glue such a digit to the number before it.
_RAISED_DIGIT = re.compile(r"[0-9][²³¹⁰-₎①-⓿¼-¾⅐-↉]")


def find_references(text: str) -> Reading:
    """Read every invoice number that an invoice word introduces, in time linear in the text."""
    folded = fold_text(text)
    # A fragment is shown as the payer wrote it, unless folding moved its place.
    shown = text if len(text) == len(folded) else folded
    suspicious = not text.isascii() and _RAISED_DIGIT.search(text) is not None
    return Reading(tuple(_references(folded, shown)), suspicious or _HIDDEN.search(folded) is not None, folded)


def _references(text: str, shown: str) -> Iterator[Reference]:
    position = 0
    while found := _FIRST.search(text, position):
        if _is_inside_a_number(text, found.start()):
            position = found.start() + 1
            continue
        position = found.end()
        if found["other"] is not None:
            continue
        while found is not None:
            position = found.end()
            if not _is_part_of_a_longer_number(text, found):
                yield _reference(text, shown, found)
            found = _NEXT.match(text, position)


def _is_inside_a_number(text: str, start: int) -> bool:
    before = text[max(start - 2, 0) : start]
    return before[-1:] in _JOINERS and before[:1].isalnum()


def _is_part_of_a_longer_number(text: str, found: re.Match[str]) -> bool:
    number = found["number"]
    if len(number) <= 3:
        return number.isdigit() and _GROUPED_DIGITS.match(text, found.end("number")) is not None
    return len(number) > LONGEST_NUMBER


def _reference(text: str, shown: str, found: re.Match[str]) -> Reference:
    number, mark = found["number"], found["mark"]
    is_first = found.re is _FIRST
    day = (found["before"] if is_first else None) or found["after"]
    if "ОТ" in number and (glued := _GLUED_DATE.fullmatch(number)):
        number, day = glued["number"], glued["day"] or day
    spellings = [number]
    if mark and mark.isalpha():
        spellings.append(mark + number)
    elif is_first and not mark:
        spellings.append(text[found.start() : found.start("number") + len(number)])
    return Reference(
        forms=tuple(dict.fromkeys(map(canonical_number, spellings))),
        fragment=shown[found.start() : found.end()].strip(" ,;"),
        dates=_dates(day) if day else None,
        certain=is_first or found["joint"] != "," or mark is not None,
        span=found.span(),
    )


def _dates(text: str) -> frozenset[date]:
    first, second, third = map(int, _DAY_PARTS.split(text))
    if first > 31:
        readings = [(first, second, third)]
    else:
        year = third if third > 99 else 2000 + third
        readings = [(year, second, first)]
        # Only dots tell that the day comes first; with slashes and dashes half the world begins with the month.
        if "." not in text:
            readings.append((year, first, second))
    return frozenset(day for reading in readings if (day := _date(*reading)) is not None)


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None
