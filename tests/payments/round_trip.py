"""`python -m tests.payments.round_trip --amounts 1000000`: generated amounts, written in every honest way, read back exactly.

What an amount is worth is computed here from its digits alone, apart from the code that is tried.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from decimal import Decimal
from random import Random

from airflow_b24.payments.errors import AmountError
from airflow_b24.payments.money import LARGEST_MINOR, parse_money
from airflow_b24.payments.statements.strict_json import decode_json

CURRENCIES = {"JPY": 0, "RUB": 2, "EUR": 2, "KWD": 3, "CLF": 4}
LENGTHS = (1, 2, 3, 5, 9, 15, 18, 19)


def amounts(count: int, seed: int = 0) -> Iterator[tuple[int, str]]:
    """Yield amounts in minor units with their currency: few digits and many, and the borders."""
    rng, names = Random(seed), sorted(CURRENCIES)  # noqa: S311 - repeatable
    borders = (0, 1, 9, 10, 99, 100, 999, 1000, 9999, 10_000, LARGEST_MINOR)
    for number in range(count):
        minor = borders[number] if number < len(borders) else rng.randrange(10 ** rng.choice(LENGTHS))
        yield min(minor, LARGEST_MINOR) * rng.choice((1, 1, -1)), rng.choice(names)


def written(minor: int, exponent: int) -> str:
    """Write an amount in major units."""
    digits = str(abs(minor)).rjust(exponent + 1, "0")
    whole, fraction = (digits[:-exponent], digits[-exponent:]) if exponent else (digits, "")
    return ("-" if minor < 0 else "") + whole + ("." + fraction if exponent else "")


def check(minor: int, currency: str) -> None:
    """Raise AssertionError when any way of writing this amount is not read as this amount."""
    exponent = CURRENCIES[currency]
    text = written(minor, exponent)
    money = parse_money(text, currency)
    assert (money.minor, money.currency) == (minor, currency)
    assert str(money) == f"{text} {currency}"
    as_number = decode_json(text.encode())
    longer = text + ("00" if exponent else ".00")
    for same in (
        Decimal(text),
        money.decimal,
        as_number,
        longer,
        text.replace("-", "-00"),
        text if minor < 0 else f"+{text}",
    ):
        assert parse_money(same, currency) == money, same
    assert format(money.decimal, "f") == text
    _refuse(text + ("1" if exponent else ".1"), currency)
    _refuse(text.replace(".", ",") if exponent else text + ",", currency)


def _refuse(text: str, currency: str) -> None:
    try:
        money = parse_money(text, currency)
    except AmountError:
        return
    raise AssertionError(f"{text} was read as {money}")


def main() -> int:
    """Check so many amounts."""
    parser = argparse.ArgumentParser(prog="python -m tests.payments.round_trip", description=__doc__)
    parser.add_argument("--amounts", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    for minor, currency in amounts(asked.amounts, asked.seed):
        check(minor, currency)
    sys.stdout.write(f"{asked.amounts} amounts, seed {asked.seed}: all exact\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
