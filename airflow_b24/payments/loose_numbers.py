"""The numbers of a text that no word explains: each may be a second invoice."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from airflow_b24.payments.invoice_number import canonical_number, fold_look_alikes
from airflow_b24.payments.reference_words import (
    CONTRACT_WORDS,
    COUNTED_WORDS,
    IDENTIFIER_WORDS,
    MONEY_WORDS,
    MONTHS,
    REPLACEMENT_WORDS,
    YEAR_WORDS,
)
from airflow_b24.payments.references import DATE_WORD, DAY, JOINER, Reading


@dataclass(frozen=True, slots=True)
class LooseNumber:
    """The canonical form of a number; `whole` is False for digits cut out of a longer word, such as 46 in "46/47"."""

    form: str
    whole: bool


# Every repetition is bounded or possessive, as in `references`.
_START = r"(?<![^\W_])"
_WORD = rf"[^\W_]++(?:(?:{JOINER}|(?<=\d)\.(?=\d))[^\W_]++)*+"
# Behind a number sign stands a number, not an amount.
_UNMARKED = r"(?<!#)(?<!#\s)(?<!N)(?<!N\s)"
_THOUSANDS = rf"{_UNMARKED}\d{{1,3}}+(?:[\s'.,]\d{{3}}(?!\d))++"
_FRACTION = r"[.,=]\d{1,2}(?!\d|[.,/-]\d)"
_VALUE = rf"(?=(?:[^\W\d_]|{JOINER}){{0,24}}\d)(?:{_THOUSANDS}|\d++(?={_FRACTION})|{_WORD})(?:{_FRACTION})?"
_GAP = r"""[\s:=(«"–—-]{0,4}"""
_MARKED_GAP = rf"(?![^\W\d_]){_GAP}(?:#\s{{0,3}}|(?:N[O°R]?|НОМЕР)[.:\s]{{0,3}})?"
_MONTH = rf"(?:{'|'.join(MONTHS)})(?!\w)"
# Parted by the first character, because most of a text is neither.
_BEHIND_A_WORD = (
    rf"(?:{'|'.join(MONEY_WORDS)}){_MARKED_GAP}{_VALUE}(?:\s?%[)]?{_GAP}{_VALUE})?",
    rf"(?:{'|'.join(CONTRACT_WORDS)})(?:\s(?:{DATE_WORD}){DAY}(?:\s?Г[.]?)?)?{_MARKED_GAP}{_VALUE}",
    rf"(?:{'|'.join(IDENTIFIER_WORDS)}){_MARKED_GAP}[+]?{_VALUE}(?:[\s()-]{{1,3}}\d{{2,4}}(?!\w)){{0,8}}+",
    rf"{DATE_WORD}{DAY}(?!\d)",
    rf"{_MONTH}\s{{1,3}}20\d\d(?!\d)",
    r"[A-Z]{2}\d{2}(?:\s?[A-Z0-9]{4}){3,7}(?:\s?[A-Z0-9]{1,3})?(?!\w)",
)
_TOLD_BY_ITSELF = (
    r"\d{1,2}[.]\d{1,2}[.](?:\d{4}|\d{2})(?!\d)",
    r"(?:0?[1-9]|1[0-2])[.]20\d\d(?!\d|[./-]\d)",
    rf"\d{{1,2}}\s{{1,3}}{_MONTH}(?:\s{{1,3}}20\d\d(?!\d))?",
    rf"{_UNMARKED}20\d\d\s{{0,3}}(?:{'|'.join(YEAR_WORDS)})(?!\w)",
    rf"{_UNMARKED}{_VALUE}\s{{0,3}}(?:{'|'.join(COUNTED_WORDS)})",
    rf"{_UNMARKED}(?:{_THOUSANDS}|\d++){_FRACTION}",
)
_PHONE = r"[+]\d(?:[\s()-]{0,2}\d){9,14}(?!\d)"
_ITEM = re.compile(
    rf"(?P<explained>(?=[^\W\d]|[€$]){_START}(?:{'|'.join(_BEHIND_A_WORD)})"
    rf"|(?=\d){_START}(?:{'|'.join(_TOLD_BY_ITSELF)})|{_PHONE})|(?P<number>(?=\d){_THOUSANDS}|{_WORD})"
)
_JOINT = re.compile(rf"\s{{0,3}}{JOINER}?\s{{0,3}}")
# A month or a day, whose digits are no numbers of their own; as a whole it may be one: Polish invoices are numbered so.
_CALENDAR = re.compile(rf"{DAY}|\d{{1,2}}[/-]20\d\d")
_DIGITS = re.compile(r"\d+")
_REPLACEMENT = re.compile(rf"(?<![^\W_])(?:{fold_look_alikes('|'.join(REPLACEMENT_WORDS))})")


def loose_numbers(reading: Reading) -> Iterator[LooseNumber]:
    """Yield every number that stands outside the references and behind no word that explains it.

    Two neighbours are also read as one number: "45 46" may mean 4546. Linear in the text.
    """
    start, named = 0, ""
    for reference in reading.references:
        yield from _stretch(reading.folded, start, reference.span[0], named)
        start, named = reference.span[1], "" if reference.dates is not None else reference.forms[0]
    yield from _stretch(reading.folded, start, len(reading.folded), named)


def speaks_of_replacement(reading: Reading) -> bool:
    """Say whether the text calls something cancelled, replaced or mistaken, in whatever script its letters are."""
    return _REPLACEMENT.search(fold_look_alikes(reading.folded)) is not None


def _stretch(text: str, start: int, stop: int, left: str) -> Iterator[LooseNumber]:
    end = start
    for item in _ITEM.finditer(text, start, stop):
        word, gap, end = item["number"], text[end : item.start()], item.end()
        if word is None:
            left = ""
            continue
        yield from _readings(word)
        if left and _DIGITS.search(left + word) and _JOINT.fullmatch(gap):
            yield LooseNumber(canonical_number(left + gap + word), whole=True)
        left = word


def _readings(word: str) -> Iterator[LooseNumber]:
    digits = _DIGITS.findall(word)
    if not digits:
        return
    yield LooseNumber(canonical_number(word), whole=True)
    if digits[0] != word and not _CALENDAR.fullmatch(word):
        yield from (LooseNumber(canonical_number(run), whole=False) for run in digits)
