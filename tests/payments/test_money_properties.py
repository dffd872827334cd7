from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_b24.payments.currencies import EXPONENTS
from airflow_b24.payments.errors import AmountError, SourceFormatError
from airflow_b24.payments.money import Money, parse_money
from airflow_b24.payments.statements.records import Payment, Quarantined, RecordFields, read_record
from airflow_b24.payments.statements.strict_json import JsonFloat, decode_json
from tests.payments.round_trip import CURRENCIES, amounts, check

unhurried = settings(deadline=None)
NUMBER = st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
PLAIN = st.from_regex(r"[+-]?[0-9]{1,15}(\.[0-9]{1,6})?", fullmatch=True)
# Everything that some locale or some program writes into a number, and that is no digit, point or sign in front.
FOREIGN = st.sampled_from(
    [*", '_ \u00a0\u202f\u2009\t\n\r\u200b\u066b\u066c\u00b7eExdD:%-+.$€", "NaN", "Infinity", "１", "٣", "²", "RUB"]
)


def test_amounts_of_every_exponent_make_the_way_there_and_back_exactly() -> None:
    assert set(CURRENCIES.values()) == set(EXPONENTS.values())
    for minor, currency in amounts(5_000):
        check(minor, currency)


@unhurried
@given(NUMBER)
def test_a_json_number_is_kept_to_the_last_digit_and_is_never_a_float(text: str) -> None:
    body = json.dumps({"plain": 0, "list": [0]}).replace("0", text).encode()
    for value in _leaves(decode_json(body)):
        assert type(value) in {int, JsonFloat}
        assert Decimal(str(value)) == Decimal(text)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from (leaf for each in value.values() for leaf in _leaves(each))
    elif isinstance(value, list):
        yield from (leaf for each in value for leaf in _leaves(each))
    else:
        yield value


@unhurried
@given(NUMBER, st.sampled_from(sorted(CURRENCIES)))
def test_an_amount_that_is_read_is_exactly_what_was_written_whatever_the_context(text: str, currency: str) -> None:
    with localcontext() as context:
        context.prec = 3
        record = {"id": "1", "account": "1", "booked_on": "2026-03-12", "remittance": "", "currency": currency}
        record["amount"] = decode_json(text.encode())
        read = read_record(record, RecordFields(numbers_are_exact=True))
    if isinstance(read, Payment):
        exact = Decimal(text) * 10 ** CURRENCIES[currency]
        assert read.amount.minor == exact.to_integral_exact() == exact


@unhurried
@given(PLAIN, FOREIGN, st.floats(0, 1))
def test_one_foreign_character_makes_a_number_no_amount(number: str, foreign: str, place: float) -> None:
    at = round(place * len(number))
    spoilt = number[:at] + foreign + number[at:]
    try:
        money = parse_money(spoilt, "CLF")
    except AmountError:
        return
    # A point or a sign may have fallen where one belongs.
    assert foreign in {".", "+", "-"}
    assert money.decimal == Decimal(spoilt)


@unhurried
@given(st.floats() | st.complex_numbers() | st.booleans() | st.binary() | st.lists(st.integers()) | st.none())
def test_nothing_but_text_whole_numbers_and_decimals_is_money(value: Any) -> None:
    with pytest.raises(AmountError):
        parse_money(value, "RUB")


@unhurried
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_in_a_record_is_set_aside_even_where_numbers_are_exact(value: float) -> None:
    record = {
        "id": "1",
        "account": "1",
        "booked_on": "2026-03-12",
        "remittance": "",
        "currency": "RUB",
        "amount": value,
    }
    assert isinstance(read_record(record, RecordFields(numbers_are_exact=True)), Quarantined)


@unhurried
@given(st.integers(), st.sampled_from(["NaN", "Infinity", "-Infinity"]))
def test_no_document_with_an_infinite_number_is_read(number: int, word: str) -> None:
    with pytest.raises(SourceFormatError, match="finite"):
        decode_json(f'[{number}, {{"a": {word}}}]'.encode())


@unhurried
@given(st.dictionaries(st.text(max_size=5), st.integers(), min_size=1, max_size=5), st.integers(), st.data())
def test_a_key_given_twice_is_refused_wherever_it_stands(
    values: dict[str, int], other: int, data: st.DataObject
) -> None:
    twice = data.draw(st.sampled_from(sorted(values)))
    pairs = [*(f"{json.dumps(key)}: {value}" for key, value in values.items()), f"{json.dumps(twice)}: {other}"]
    order = data.draw(st.permutations(pairs))
    with pytest.raises(SourceFormatError, match="twice"):
        decode_json(f'[{{"a": [{{{", ".join(order)}}}]}}]'.encode())


@unhurried
@given(st.integers(-(2**63) + 1, 2**63 - 1), st.sampled_from(sorted(EXPONENTS)))
def test_the_text_of_money_orders_and_parses_for_every_currency(minor: int, currency: str) -> None:
    money = Money(minor, currency)
    text, code = str(money).split(" ")
    assert code == currency
    assert Decimal(text).scaleb(EXPONENTS[currency]) == minor
    assert -Decimal(text).as_tuple().exponent == EXPONENTS[currency]
