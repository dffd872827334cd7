"""What this layer refuses, and how to mend it.

    ValueError
    └── PaymentError               field, problem, fix, value
        ├── AmountError            not an exact amount of its currency
        ├── CurrencyError          not an active ISO 4217 code
        ├── CurrencyMismatchError  two currencies in one sum or comparison
        ├── MappingError           the description of a source is wrong, not its data
        └── SourceFormatError      bytes which cannot be read; line

None of these is worth repeating: the same input fails in the same way.
"""

from __future__ import annotations

from decimal import Decimal

SHOWN_CHARACTERS = 80


class PaymentError(ValueError):
    """A value this layer does not accept; the message names the field, the value and the fix."""

    def __init__(self, field: str, problem: str, fix: str, value: object = "") -> None:
        shown = _shorten(value)
        # All arguments, so that the error survives pickling between processes.
        super().__init__(field, problem, fix, shown)
        self.field = field
        self.problem = problem
        self.fix = fix
        self.value = shown

    def __str__(self) -> str:
        found = f" (found {self.value!r})" if self.value else ""
        return f"{self.field}: {self.problem}{found}; {self.fix}"


class AmountError(PaymentError):
    """An amount that is not exact in the minor units of its currency."""


class CurrencyError(PaymentError):
    """A currency that is not an active ISO 4217 code."""


class CurrencyMismatchError(PaymentError):
    """Two currencies met where only one can be meant."""


class MappingError(PaymentError):
    """The description of a source is wrong; no record of it can be read until that is mended."""


class SourceFormatError(PaymentError):
    """Bytes of a source that cannot be read; `line` counts from 1 where it is known."""

    def __init__(self, field: str, problem: str, fix: str, value: object = "", line: int | None = None) -> None:
        super().__init__(field, problem, fix, value)
        self.args = (*self.args, line)
        self.line = line

    def __str__(self) -> str:
        text = super().__str__()
        return text if self.line is None else f"line {self.line}: {text}"


def _shorten(value: object) -> str:
    if isinstance(value, str):
        text = value
    elif isinstance(value, int) and value.bit_length() > 256:
        # Python refuses to print integers of thousands of digits.
        text = f"an integer of {value.bit_length()} bits"
    elif isinstance(value, (int, float, Decimal)):
        text = str(value)
    else:
        text = "null" if value is None else type(value).__name__
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
