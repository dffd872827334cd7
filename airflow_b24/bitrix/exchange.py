"""Paying and reading back in one go: the part of a settlement that a portal sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from airflow_b24.bitrix.errors import EXPIRED_TOKEN, AuthError, BitrixError, RefusedError
from airflow_b24.bitrix.flows import Flow, answered
from airflow_b24.bitrix.invoice import Invoice, InvoiceKey
from airflow_b24.bitrix.protocol import Request, Response

Look = Callable[[], Flow[Invoice | BitrixError]]


class Order(Protocol):
    """A call that marks one invoice paid."""

    @property
    def key(self) -> InvoiceKey:
        """Return what it pays."""

    def request(self, send_before: float | None = None) -> Request:
        """Return the call, its slot being reserved already."""

    def is_answered(self, response: Response) -> bool:
        """Say whether the portal says that it is done, which proves nothing."""


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What became of each pay (True, or why not) and each read, by invoice; reads may be left out."""

    pays: dict[InvoiceKey, bool | BitrixError]
    reads: dict[InvoiceKey, Invoice | BitrixError]


def exchange(
    pays: Sequence[Order], reads: Mapping[InvoiceKey, Look], send_before: float | None = None
) -> Flow[Exchanged]:
    """Pay invoices, then read invoices back at once. Errors are values; nothing is raised for one.

    A pay is sent once, not after `send_before` (an instant of `now_s`), and never repeated. `True` proves nothing:
    the read does. Reads are skipped when not one pay can have run. Slots for all requests must be reserved before.
    """
    if len({pay.key for pay in pays}) != len(pays):
        raise ValueError("pays: an invoice is named twice; pay it once")
    paid = yield from _pay_all(pays, send_before)
    if pays and all(isinstance(outcome, (RefusedError, AuthError)) for outcome in paid.values()):
        return Exchanged(paid, {})
    seen: dict[InvoiceKey, Invoice | BitrixError] = {}
    for key, look in reads.items():
        seen[key] = yield from look()
    return Exchanged(paid, seen)


def _pay_all(pays: Sequence[Order], send_before: float | None) -> Flow[dict[InvoiceKey, bool | BitrixError]]:
    outcomes: dict[InvoiceKey, bool | BitrixError] = {}
    shut: BitrixError | None = None
    for pay in pays:
        # The door is shut for all of them: the others are not sent.
        outcome = shut or (yield pay.request(send_before))
        outcomes[pay.key] = outcome if isinstance(outcome, BitrixError) else pay.is_answered(answered(outcome))
        shut = shut or (outcome if isinstance(outcome, BitrixError) and _shuts(outcome) else None)
    return outcomes


def _shuts(error: BitrixError) -> bool:
    return isinstance(error, AuthError) or error.code == EXPIRED_TOKEN
