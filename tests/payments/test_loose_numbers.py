from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_b24.payments.loose_numbers import LooseNumber, loose_numbers, speaks_of_replacement
from airflow_b24.payments.references import find_references


@pytest.mark.parametrize(
    ("text", "whole", "parts"),
    [
        ("счет 45", set(), set()),
        ("счет 45 от 12.03.2026", set(), set()),
        ("счет 45 и 46, 47", set(), set()),
        ("счет 45 46", {"46", "4546"}, set()),
        ("счет 45. 12/03/2026", {"12/3/2026"}, set()),
        ("счет 45. 46/2026", {"46/2026"}, set()),
        ("счет 45. 46/47", {"46/47"}, {"46", "47"}),
        ("счет 45. АБ 46", {"46", "AБ46"}, set()),
        ("счет 45. 46 147", {"46147"}, {"46", "147"}),
        ("счет 45. № 46 147 000", {"46", "147000", "46147000"}, {"147", "0"}),
    ],
)
def test_numbers_outside_the_references_are_read_alone_and_with_their_neighbours(
    text: str, whole: set[str], parts: set[str]
) -> None:
    found = set(loose_numbers(find_references(text)))
    assert found == {LooseNumber(form, True) for form in whole} | {LooseNumber(form, False) for form in parts}


@given(st.text())
def test_any_text_can_be_searched(text: str) -> None:
    reading = find_references(text)
    speaks_of_replacement(reading)
    assert all(any(character.isdigit() for character in number.form) for number in loose_numbers(reading))


@pytest.mark.parametrize(
    "part",
    [
        *("1", "1 ", "000 ", "1-", "1.", "1,", "1.1.", "СУММА ", "НДС 20% ", "ДОГОВОР ПОСТАВКИ ", "ДОГ. ОТ 1.1.2026 "),
        *(
            "ТЕЛ. 12 ",
            "12 ",
            "+7 ",
            "DE12 ",
            "1234 ",
            "12 МАРТА ",
            "EUR ",
            "# ",
            "№ 1 ",
            "А-",
            "S",
            "СЧЕТ 1 ",
            "№46 000 ",
        ),
    ],
)
@pytest.mark.parametrize("start", ["", "ТЕЛ. ", "НДС "])
def test_time_is_linear_in_a_hostile_text(start: str, part: str) -> None:
    reading = find_references(start + part * (100_000 // len(part)))
    began = time.process_time()
    list(loose_numbers(reading))
    speaks_of_replacement(reading)
    # Linear reading takes under 0.5 s; a quadratic one takes minutes.
    assert time.process_time() - began < 3
