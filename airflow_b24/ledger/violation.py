"""A violation: a row of the ledger that contradicts its rules."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Violation:
    """`rule` is I1 to I5, `path` or `sum`; `row` names the row, such as `payment 7`."""

    rule: str
    row: str
    text: str
