from __future__ import annotations

import pickle
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_b24.payments.currencies import EXPONENTS
from airflow_b24.payments.errors import (
    AmountError,
    CurrencyError,
    CurrencyMismatchError,
    PaymentError,
    SourceFormatError,
)
from airflow_b24.payments.money import LARGEST_MINOR, Money, parse_money

MONEY = st.builds(Money, st.integers(-LARGEST_MINOR, LARGEST_MINOR), st.sampled_from(sorted(EXPONENTS)))


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("118.00", "RUB", 11800),
        ("118", "RUB", 11800),
        ("118.5", "RUB", 11850),
        ("118.0000", "RUB", 11800),
        ("0118.00", "rub", 11800),
        ("-118.00", "RUB", -11800),
        ("+0.01", "EUR", 1),
        ("118", "JPY", 118),
        ("118.00", "JPY", 118),
        ("1.234", "KWD", 1234),
        ("1.2345", "CLF", 12345),
        (118, "RUB", 11800),
        (Decimal("118.00"), "RUB", 11800),
        (Decimal("1E+2"), "RUB", 10000),
        (Decimal("1234567890123456.78"), "RUB", 123456789012345678),
        ("92233720368547758.07", "RUB", LARGEST_MINOR),
    ],
)
def test_exact_amount_is_read_to_the_minor_unit(amount: object, currency: str, minor: int) -> None:
    assert parse_money(amount, currency) == Money(minor, currency.upper())


@pytest.mark.parametrize(
    "amount",
    [
        "", " ", "118,00", "1 234.56", "1,234.56", "1'234.56", "1_000", "1e3", "1E3", "0x10", "NaN", "Infinity", "-", ".", ".5", "5.",
        "--5", "5-", "118.001", "１１８", "١١٨", "118.00 RUB", "118.00\n", "\u200b118", "9" * 1000, "92233720368547758.08",
        True, False, None, 118.0, 0.1, float("nan"), Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Decimal("0.001"),
        Decimal("1E+1000000"), Decimal("1E-1000000"), pytest.param(10**5000, id="huge"), -(2**63) * 100, [], {}, b"118.00",
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_the_field_and_a_fix(amount: object) -> None:
    with pytest.raises(AmountError) as caught:
        parse_money(amount, "RUB", "sum")
    assert caught.value.field == "sum"
    assert str(caught.value).startswith("sum: ")
    assert caught.value.fix in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_float_is_named_as_one_and_told_to_come_as_a_string() -> None:
    with pytest.raises(
        AmountError, match=r"amount: a float amount is not exact \(found .118\.5.\); send it as a string"
    ):
        parse_money(118.5, "RUB")


@pytest.mark.parametrize("currency", ["", "RU", "XXX", "XAU", "643", "ЕUR", " RUB", "ｒｕｂ", None, 643, True])
def test_unknown_currency_is_refused_by_its_field(currency: object) -> None:
    with pytest.raises(CurrencyError) as caught:
        parse_money("1", currency)
    assert caught.value.field == "currency"


@pytest.mark.parametrize(("old", "new"), [("RUR", "RUB"), ("BGN", "EUR"), ("ANG", "XCG")])
def test_withdrawn_currency_is_refused_with_its_successor(old: str, new: str) -> None:
    with pytest.raises(CurrencyError, match=new):
        parse_money("1", old)


@given(MONEY)
def test_money_survives_its_own_decimal_and_text(money: Money) -> None:
    assert parse_money(money.decimal, money.currency) == money
    assert parse_money(*str(money).split()) == money


@pytest.mark.parametrize(
    ("money", "text"),
    [
        (Money(11800, "RUB"), "118.00 RUB"),
        (Money(-5, "EUR"), "-0.05 EUR"),
        (Money(7, "JPY"), "7 JPY"),
        (Money(1, "KWD"), "0.001 KWD"),
    ],
)
def test_text_shows_every_digit_of_the_minor_unit(money: Money, text: str) -> None:
    assert str(money) == text


@given(st.integers(-(10**15), 10**15), st.integers(-(10**15), 10**15))
def test_sum_difference_and_order_are_those_of_the_minor_units(a: int, b: int) -> None:
    left, right = Money(a, "RUB"), Money(b, "RUB")
    assert (left + right).minor == a + b
    assert (left - right).minor == a - b
    assert (left < right, left <= right, left > right) == (a < b, a <= b, a > b)


def test_two_currencies_neither_add_nor_compare_and_are_never_equal() -> None:
    roubles, euros = Money(100, "RUB"), Money(100, "EUR")
    assert roubles != euros
    for calculate in (
        lambda: roubles + euros,
        lambda: roubles - euros,
        lambda: roubles < euros,
        lambda: roubles >= euros,
    ):
        with pytest.raises(CurrencyMismatchError, match="EUR"):
            calculate()


@pytest.mark.parametrize(
    ("minor", "currency"), [(1.0, "RUB"), (True, "RUB"), (2**63, "RUB"), (-(2**63), "RUB"), (1, "rub"), (1, "XYZ")]
)
def test_money_cannot_be_made_of_anything_inexact(minor: int, currency: str) -> None:
    with pytest.raises(PaymentError):
        Money(minor, currency)


def test_a_sum_that_leaves_64_bits_is_refused() -> None:
    with pytest.raises(AmountError, match="64 bits"):
        Money(LARGEST_MINOR, "RUB") + Money(1, "RUB")


@pytest.mark.parametrize(
    "error",
    [AmountError("amount", "wrong", "mend it", 1.5), SourceFormatError("body", "wrong", "mend it", "x" * 500, line=3)],
)
def test_errors_survive_the_way_between_processes(error: PaymentError) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (type(copy), str(copy), copy.__dict__) == (type(error), str(error), error.__dict__)
