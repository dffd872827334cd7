"""What holds for any text a payer may write."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_b24.payments.invoice_number import canonical_number
from airflow_b24.payments.loose_numbers import loose_numbers, speaks_of_replacement
from airflow_b24.payments.matching import Proven, match
from airflow_b24.payments.references import find_references
from tests.payments.remittances import invoice, payment

unhurried = settings(deadline=None)
NUMBERS = st.from_regex(r"(INV-|АБ-|FV/|)[0-9]{1,9}([-/][0-9]{1,4})?", fullmatch=True)
HONEST = st.sampled_from(
    [
        "Оплата по счету № 45 от 12.03.2026, в т.ч. НДС 20%",
        "счета 45, 46 и 47",
        "Invoices 45 and 46 dated 12.03.2026",
        "Rechnung Nr. 2026-0012 vom 01.02.2026",
        "счет 45 тел. 8 (800) 555-35-35 ИНН 7711000219",
    ]
)
HIDDEN = st.sampled_from(
    [
        "\u200b",
        "\u200d",
        "\u2060",
        "\ufeff",
        "\u00ad",
        "\u202e",
        "\u2066",
        "\u200f",
        "\x00",
        "\x1b",
        "\u0338",
        "\ufe0f",
        "\U000e0041",
    ]
)
SPACES = st.sampled_from(["\u00a0", "\u2009", "\u202f", "\u2003", "\u3000", "\t", "\n"])
PIECES = st.lists(
    st.sampled_from(
        [
            "счет ",
            "СЧЕТ № ",
            "45",
            "46",
            " и ",
            ", ",
            "от ",
            "12.03.2026",
            "№",
            "#",
            "N ",
            "invoice ",
            "INV-",
            "-",
            "/",
            " ",
            "0",
            "ИНН ",
            "шт",
            "руб",
            "НДС 20%",
            "марта",
            "x",
            "\u200b",
            "ﷺ",
            "é",
            "+",
            "(",
            ")",
        ]
    )
    | st.text(max_size=3),
    max_size=25,
).map("".join)


@unhurried
@given(PIECES)
def test_any_text_is_read_in_the_same_way_each_time_and_stays_in_its_bounds(text: str) -> None:
    reading = find_references(text)
    assert reading == find_references(text)
    end = 0
    for reference in reading.references:
        assert end <= reference.span[0] < reference.span[1] <= len(reading.folded)
        end = reference.span[1]
        assert all(canonical_number(form) == form for form in reference.forms)
    assert list(loose_numbers(reading)) == list(loose_numbers(reading))
    assert isinstance(speaks_of_replacement(reading), bool)


@unhurried
@given(HONEST, HIDDEN, st.floats(0, 1))
def test_one_hidden_character_anywhere_makes_a_text_no_proof(text: str, hidden: str, place: float) -> None:
    at = round(place * len(text))
    spoilt = text[:at] + hidden + text[at:]
    assert find_references(spoilt).suspicious
    assert not isinstance(match([payment(spoilt)], [invoice()])[0], Proven)


@unhurried
@given(HONEST, SPACES)
def test_the_kind_of_space_and_of_letters_says_nothing(text: str, space: str) -> None:
    usual = find_references(text)
    for same in (text.replace(" ", space), text.upper(), text.lower(), unicodedata.normalize("NFD", text)):
        read = find_references(same)
        if read.suspicious:
            # Decomposed letters stay apart where NFKC knows no single one.
            continue
        assert [each.forms for each in read.references] == [each.forms for each in usual.references]
        assert {each.form for each in loose_numbers(read)} == {each.form for each in loose_numbers(usual)}


@unhurried
@given(HONEST, st.sampled_from(["", " ", "  ", "\n", ".", " - "]), st.sampled_from(["", " ", "\r\n", ".", " !"]))
def test_what_stands_around_a_text_without_a_number_changes_no_reference(text: str, before: str, behind: str) -> None:
    around = find_references(before + text + behind)
    assert [each.forms for each in around.references] == [each.forms for each in find_references(text).references]


@unhurried
@given(NUMBERS)
def test_a_number_has_one_form_and_the_form_is_its_own(number: str) -> None:
    form = canonical_number(number)
    assert canonical_number(form) == form
    for same in (
        f" {number} ",
        f"№ {number}",
        f"#{number}",
        number.lower(),
        number.replace("-", "–"),
        "00" + number if number[0].isdigit() else number,
    ):
        assert canonical_number(same) == form


@unhurried
@given(NUMBERS, NUMBERS)
def test_numbers_of_other_digits_have_other_forms(one: str, other: str) -> None:
    def digits(number: str) -> list[str]:
        runs = "".join(character if character.isdigit() else " " for character in number).split()
        return [run.lstrip("0") or "0" for run in runs]

    if digits(one) != digits(other):
        assert canonical_number(one) != canonical_number(other)


# 200 kB, twenty times of what is ever read: linear work takes half a second on an idle core.
@pytest.mark.parametrize(
    "part",
    [
        *("1 ", "1", "1,", "1.1.", "1-", "A1", "N", "№ 1 ", " ", "ﷺ", "\u200b", "счет ", "счет 1 ", "счет 1, ", "счет 1 и ", "счет 12 марта "),
        *("счет 1 шт ", "счет от 1.1.26 ", "INV-1 ", "р/с ", "тел. 1 ", "дог. № 1 ", "НДС 20% ", "+7 (495) ", "1 000 ", "не по ", "rück"),
    ],
)  # fmt: skip
def test_a_text_of_200_kb_takes_no_longer_than_its_length(part: str) -> None:
    text = "счет 45 " + part * (200_000 // len(unicodedata.normalize("NFKC", part)))
    began = time.process_time()
    (outcome,) = match([payment(text)], [invoice()])
    assert time.process_time() - began < 4
    assert outcome.evidence is not None
