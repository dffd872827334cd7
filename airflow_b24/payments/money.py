"""Exact money: an integer of minor units and its currency, never a float."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import total_ordering

from airflow_b24.payments.currencies import EXPONENTS, read_currency
from airflow_b24.payments.errors import AmountError, CurrencyError, CurrencyMismatchError

# What a signed 64-bit column of a database holds.
LARGEST_MINOR = 2**63 - 1

# Long enough for every amount that fits, with many idle zeros; short enough to be harmless.
_LONGEST_TEXT = 64
_PLAIN_DECIMAL = re.compile(r"([+-]?)([0-9]+)(?:\.([0-9]+))?")
_PLAIN_FIX = 'write digits with a point before the fraction and nothing else, for example "1234.56"'


@total_ordering
@dataclass(frozen=True, slots=True)
class Money:
    """An amount in the minor units of its currency (kopecks, cents, fils); ordered only within one currency."""

    minor: int
    currency: str

    def __post_init__(self) -> None:
        if type(self.minor) is not int:
            raise AmountError("minor", "not a whole number of minor units", "pass an int", self.minor)
        if self.currency not in EXPONENTS:
            code = read_currency(self.currency)
            raise CurrencyError("currency", "not in upper case", f'write "{code}"', self.currency)
        if abs(self.minor) > LARGEST_MINOR:
            raise AmountError("minor", "does not fit in 64 bits", "check the amount at its source", self.minor)

    @property
    def exponent(self) -> int:
        """How many digits the currency's minor unit has: 2 for RUB, 0 for JPY, 3 for KWD."""
        return EXPONENTS[self.currency]

    @property
    def decimal(self) -> Decimal:
        """The amount in major units, with every digit of the minor unit."""
        # From text, because arithmetic would round to the context's precision.
        return Decimal(str(self).split(" ")[0])

    def __str__(self) -> str:
        sign, digits = "-" if self.minor < 0 else "", str(abs(self.minor)).zfill(self.exponent + 1)
        point = len(digits) - self.exponent
        return f"{sign}{digits[:point]}{'.' if self.exponent else ''}{digits[point:]} {self.currency}"

    def __add__(self, other: Money) -> Money:
        return Money(self.minor + self._same_currency(other).minor, self.currency)

    def __sub__(self, other: Money) -> Money:
        return Money(self.minor - self._same_currency(other).minor, self.currency)

    def __lt__(self, other: Money) -> bool:
        return self.minor < self._same_currency(other).minor

    def _same_currency(self, other: Money) -> Money:
        if self.currency != other.currency:
            both = f"{self.currency} and {other.currency}"
            raise CurrencyMismatchError(
                "currency", "two currencies in one calculation", "convert neither: compare like with like", both
            )
        return other


def parse_money(amount: object, currency: object, field: str = "amount") -> Money:
    """Read an exact amount in major units: a Decimal, an int, or text such as "118.00".

    The sign is kept; callers decide whether a negative amount is a debit. Raises AmountError naming `field`, or
    CurrencyError naming `currency`. A float, an exponent, a grouping mark or a digit too many is refused, not rounded.
    """
    code = read_currency(currency)
    text = _plain_text(amount, field)
    parts = _PLAIN_DECIMAL.fullmatch(text)
    if parts is None:
        raise AmountError(field, "not a plain decimal number", _PLAIN_FIX, amount)
    sign, whole, fraction = parts[1], parts[2], parts[3] or ""
    exponent = EXPONENTS[code]
    if fraction[exponent:].strip("0"):
        fix = f"{code} has {exponent} digits after the point: ask the source for an exact amount"
        raise AmountError(field, f"smaller than the smallest unit of {code}", fix, amount)
    minor = int(whole + fraction[:exponent].ljust(exponent, "0"))
    if minor > LARGEST_MINOR:
        raise AmountError(field, "too large to be an amount", "check it at its source", amount)
    return Money(-minor if sign == "-" else minor, code)


def _plain_text(amount: object, field: str) -> str:
    match amount:
        case bool() | None:
            raise AmountError(field, "no amount", _PLAIN_FIX, amount)
        case float():
            raise AmountError(field, "a float amount is not exact", 'send it as a string, for example "118.00"', amount)
        case str() if len(amount) <= _LONGEST_TEXT:
            return amount
        case int() if amount.bit_length() <= 64:
            return str(amount)
        case Decimal() if not amount.is_finite():
            raise AmountError(field, "not a finite number", _PLAIN_FIX, amount)
        case Decimal() if abs(amount.adjusted()) < _LONGEST_TEXT and len(amount.as_tuple().digits) <= _LONGEST_TEXT:
            return f"{amount:f}"
        case str() | int() | Decimal():
            raise AmountError(field, "too long to be an amount", "check it at its source", amount)
    raise AmountError(field, "not an amount", _PLAIN_FIX, amount)
