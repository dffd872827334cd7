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
        (LARGEST_MINOR, "JPY", LARGEST_MINOR),
        ("118".zfill(64), "RUB", 11800),
        (Decimal("118." + "0" * 61), "RUB", 11800),
    ],
)
def test_exact_amount_is_read_to_the_minor_unit(amount: object, currency: str, minor: int) -> None:
    assert parse_money(amount, currency) == Money(minor, currency.upper())


PLAIN = 'write digits with a point before the fraction and nothing else, for example "1234.56"'
AT_ITS_SOURCE = "check it at its source"
REFUSED: dict[str, tuple[str, list[object]]] = {
    "not a plain decimal number": (PLAIN, [
        "", " ", "118,00", "1 234.56", "1,234.56", "1'234.56", "1_000", "1e3", "1E3", "0x10", "NaN", "Infinity", "-", ".", ".5", "5.",
        "--5", "5-", "１１８", "١١٨", "118.00 RUB", "118.00\n", "\u200b118",
    ]),
    "smaller than the smallest unit of RUB": (
        "RUB has 2 digits after the point: ask the source for an exact amount", ["118.001", "118.0010", Decimal("0.001"), Decimal("1E-63")],
    ),
    "too large to be an amount": (
        AT_ITS_SOURCE, ["92233720368547758.08", "9" * 64, 2**64 - 1, 1 - 2**64, Decimal("1E+63"), Decimal("9" * 64)],
    ),
    "too long to be an amount": (AT_ITS_SOURCE, [
        "9" * 65, "9" * 1000, 2**64, -(2**64), 10**5000, Decimal("1E+64"), Decimal("1E-64"), Decimal("9" * 65), Decimal("1E+1000000"),
        Decimal("1E-1000000"), Decimal("1." + "0" * 64),
    ]),
    "no amount": (PLAIN, [True, False, None]),
    "a float amount is not exact": ('send it as a string, for example "118.00"', [118.0, 0.1, float("nan")]),
    "not a finite number": (PLAIN, [Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity")]),
    "not an amount": (PLAIN, [[1], {}, b"118.00"]),
}  # fmt: skip


@pytest.mark.parametrize("problem", REFUSED)
def test_anything_else_is_refused_with_the_field_what_was_found_and_a_fix(problem: str) -> None:
    fix, amounts = REFUSED[problem]
    for amount in amounts:
        with pytest.raises(AmountError) as caught:
            parse_money(amount, "RUB", "sum")
        assert str(caught.value) == str(AmountError("sum", problem, fix, amount))
        assert str(caught.value).startswith(f"sum: {problem}")
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


def test_a_sum_and_a_difference_keep_the_currency_and_equal_sums_are_neither_less() -> None:
    dear, cheap = Money(300, "EUR"), Money(100, "EUR")
    assert (dear + cheap, dear - cheap, cheap - dear) == (Money(400, "EUR"), Money(200, "EUR"), Money(-200, "EUR"))
    assert (cheap < dear, dear < cheap, dear < Money(300, "EUR")) == (True, False, False)


def test_two_currencies_neither_add_nor_compare_and_are_never_equal() -> None:
    roubles, euros = Money(100, "RUB"), Money(100, "EUR")
    assert roubles != euros
    for calculate in (
        lambda: roubles + euros,
        lambda: roubles - euros,
        lambda: roubles < euros,
        lambda: roubles >= euros,
    ):
        with pytest.raises(CurrencyMismatchError) as caught:
            calculate()
        assert str(caught.value) == (
            "currency: two currencies in one calculation (found 'RUB and EUR'); convert neither: compare like with like"
        )


WHOLE, BITS = "not a whole number of minor units", "does not fit in 64 bits"
IN_USE = 'write the three-letter ISO 4217 code, for example "RUB" or "EUR"'


@pytest.mark.parametrize(
    ("minor", "currency", "error"),
    [
        (1.0, "RUB", AmountError("minor", WHOLE, "pass an int", 1.0)),
        (True, "RUB", AmountError("minor", WHOLE, "pass an int", True)),
        (2**63, "RUB", AmountError("minor", BITS, "check the amount at its source", 2**63)),
        (-(2**63), "RUB", AmountError("minor", BITS, "check the amount at its source", -(2**63))),
        (1, "rub", CurrencyError("currency", "not in upper case", 'write "RUB"', "rub")),
        (1, "XYZ", CurrencyError("currency", "not a currency in use", IN_USE, "XYZ")),
    ],
)
def test_money_cannot_be_made_of_anything_inexact(minor: int, currency: str, error: PaymentError) -> None:
    with pytest.raises(type(error)) as caught:
        Money(minor, currency)
    assert str(caught.value) == str(error)


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
