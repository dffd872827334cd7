"""Findings: what one check of a portal found, and how a portal's refusal becomes one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

from airflow_b24.bitrix.errors import ADVICE, BitrixError

T = TypeVar("T")
State = Literal["ok", "problem", "warning", "not checkable"]

SETUP: Final = (
    "Run `airflow b24 setup` with an administrator's webhook and put the pay system it prints into the extra."
)
_DEPENDS: Final = "It depends on a finding above."
_FIRST: Final = "Mend the findings above, then run this again."


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; `fix` is empty only when all is well."""

    check: str
    state: State
    text: str
    fix: str = ""

    @property
    def waits(self) -> bool:
        """Whether the check was not made, because an earlier one failed."""
        return self.text == _DEPENDS


def ask(question: Callable[[], T]) -> T | BitrixError:
    """Ask a portal; what it refuses is a value."""
    try:
        return question()
    except BitrixError as error:
        return error


def skipped(*checks: str) -> list[Finding]:
    """Return findings for checks which cannot be made because an earlier one failed."""
    return [Finding(check, "not checkable", _DEPENDS, _FIRST) for check in checks]


def untrusted(error: BitrixError) -> bool:
    """Say whether a portal's certificate is of an authority that is not trusted here."""
    return "CERTIFICATE_VERIFY_FAILED" in error.description


def failed(check: str, error: BitrixError, state: State = "not checkable") -> Finding:
    """Return the finding that a portal answered a check with an error."""
    advice = ADVICE.get(error.code, error.advice)
    # "Nothing ran: add the scope": here, where nothing was to be run, only the second half speaks.
    fix = advice.partition(": ")[2] or advice
    if untrusted(error):
        fix = "put your certificate authority (a PEM file's path, or its text) into extra.ca_bundle."
    return Finding(check, state, f"{error.said}.", fix[0].upper() + fix[1:])
