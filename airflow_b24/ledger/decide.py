"""What to do next with a settlement: pure rules over a transition table that is data.

    collecting -> ready (allocated = expected)
    ready      -> sending | paid (by hand) | review
    sending    -> paid | unknown | ready (refused before running) | review
    unknown    -> paid | sending (after the quiet time, unpaid, nothing moved) | review
    review     -> ready (what stood in the way has gone) | paid
    collecting, ready, review, paid -> released (a person only)

`paid` and `released` are final for the machine. Only a read-back proves a payment; the portal's `true` proves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, TypeAlias


class State(StrEnum):
    COLLECTING = "collecting"
    READY = "ready"
    SENDING = "sending"
    PAID = "paid"
    UNKNOWN = "unknown"
    REVIEW = "review"
    RELEASED = "released"


TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.COLLECTING: frozenset({State.READY, State.RELEASED}),
    State.READY: frozenset({State.SENDING, State.PAID, State.REVIEW, State.RELEASED}),
    State.SENDING: frozenset({State.PAID, State.UNKNOWN, State.READY, State.REVIEW}),
    State.UNKNOWN: frozenset({State.PAID, State.SENDING, State.REVIEW}),
    State.REVIEW: frozenset({State.READY, State.PAID, State.RELEASED}),
    State.PAID: frozenset({State.RELEASED}),
    State.RELEASED: frozenset(),
}
FINAL = frozenset({State.PAID, State.RELEASED})
# So many claims more has a settlement that was given up and can be read again.
AGAIN = 5
# Reviews that end by themselves when the invoice is again what the payment was matched with. Not among them: what a
# person has undone, and what the portal or our own call left in doubt.
PASSING = frozenset(
    {
        *("amount_changed", "cancelled", "gave_up", "held", "invoice_changed", "invoice_not_found"),
        "sibling_changed",
    }
)

REASONS: Mapping[str, str] = {
    "already_paid": "The invoice was already paid, and not provably with this money.",
    "amount_changed": "The invoice's amount or currency is not what the payment was matched with.",
    "cancelled": "The invoice is cancelled.",
    "gave_up": "Too many attempts came to no end: look at the invoice in Bitrix24, then retry.",
    "held": "The bank changed or took back the payment.",
    "invoice_changed": "The invoice's number, customer or own company is not what the payment was matched with.",
    "invoice_not_found": "The portal does not know the invoice.",
    "landed_then_changed": "Our call may have landed and somebody changed the invoice since.",
    "paid_other_amount": "The invoice is paid, but for another amount or currency than expected.",
    "portal_refused": "The portal refused to pay the invoice.",
    "sibling_changed": "The same payment is for other invoices too, and one of them is not what it was matched with.",
    "true_but_unpaid": "The portal answered true, yet the invoice stays unpaid: check the pay system.",
}


@dataclass(frozen=True, slots=True)
class Sibling:
    """Another settlement that the same payment is for."""

    id: int
    invoice_id: int
    state: State
    expected: int
    currency: str
    sends: int
    hold: str | None
    reason: str | None
    identity: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class Row:
    """What the ledger knows of one settlement at the moment of its claim."""

    id: int
    portal_id: int
    kind: str
    invoice_id: int
    invoice_number: str
    origin: str
    state: State
    fence: int
    expected: int
    currency: str
    exponent: int
    claimed_at: datetime
    allocated: int = 0
    attempts: int = 0
    sends: int = 0
    in_flight: bool = False
    answered: bool = False
    # What it was last sent through, an id or `handler:code`.
    pay_system: str = ""
    hold: str | None = None
    how: str | None = None
    reason: str | None = None
    identity: Mapping[str, str] | None = None
    snapshot: Mapping[str, str] | None = None
    quiet_until: datetime | None = None
    booked_on: date | None = None
    document_number: str = ""
    siblings: tuple[Sibling, ...] = ()

    @property
    def unread_siblings(self) -> tuple[Sibling, ...]:
        """What must be read before this is sent: once the first of them is sent, each is on its own."""
        return () if any(sibling.sends for sibling in self.siblings) else self.siblings


@dataclass(frozen=True, slots=True)
class Seen:
    """What the portal shows of the invoice; `amount` in minor units, None when it is not exact in them."""

    paid: bool
    cancelled: bool
    amount: int | None
    currency: str
    paid_on: date | None = None
    voucher_number: str = ""
    identity: Mapping[str, str] | None = None
    marks: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The call did not run. `repeatable`: it may be made again, in `wait_s` seconds if that is known.

    Durations, not times: the ledger's clock and a worker's need not agree.
    """

    code: str
    text: str
    repeatable: bool
    reason: str = "portal_refused"
    wait_s: float | None = None
    cause: Exception | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """No clear answer came: a call may have run."""

    text: str
    cause: Exception | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """The portal answered `true`, which proves nothing."""


Fact: TypeAlias = Seen | Refused | Unknown


@dataclass(frozen=True, slots=True)
class Decision:
    """The next state and why."""

    state: State
    how: str | None = None
    reason: str | None = None
    in_flight: bool | None = None
    answered: bool | None = None
    attempts: int | None = None
    look_again: bool = False
    evidence: Mapping[str, Any] | None = None


def before_sending(row: Row, seen: Seen, now: datetime, beside: Mapping[int, Fact] | None = None) -> Decision:
    """Decide on a fresh read taken after the claim; `now` is the ledger's time, `beside` its siblings' invoices by id."""
    if row.state is State.UNKNOWN:
        return _resolve(row, seen, now)
    if seen.paid:
        return _paid_by_others(row, seen)
    return (
        _obstacle(row, seen) or _sibling_obstacle(row, beside or {}) or Decision(State.SENDING, evidence=_shown(seen))
    )


def after_sending(row: Row, answer: Answered | Refused | Unknown, seen: Fact) -> Decision:
    """Decide on the portal's answer to our call and the read-back that followed it."""
    if isinstance(answer, Refused):
        return _refused(row, answer, seen)
    if isinstance(seen, Seen) and seen.paid:
        return _paid_by_us(row, seen)
    told_true = isinstance(answer, Answered)
    if not isinstance(seen, Seen):
        return Decision(State.UNKNOWN, answered=told_true, evidence={"read": seen.text})
    if told_true:
        return Decision(State.REVIEW, reason="true_but_unpaid", answered=True, look_again=True, evidence=_shown(seen))
    return Decision(State.UNKNOWN, evidence=_shown(seen))


def reviewed(row: Row, seen: Seen, beside: Mapping[int, Fact] | None = None) -> Decision | None:
    """What the invoice, read again, makes of a review; None leaves it to a person."""
    if seen.paid:
        closed = _paid_by_us(row, seen) if _shows_our_call(row, seen) else _paid_by_others(row, seen)
        is_proved = row.reason != "already_paid" or seen.voucher_number != ""
        return closed if closed.state is State.PAID and is_proved else None
    if row.origin != "match" or row.in_flight or row.reason not in PASSING:
        return None
    hindered = _obstacle(row, seen) or _sibling_obstacle(row, beside or {})
    # A few attempts more: one that was given up, and still comes to no end, is soon before a person again.
    attempts = max(row.attempts - AGAIN, 0)
    return None if hindered else Decision(State.READY, attempts=attempts, evidence=_shown(seen))


def is_overtaken(row: Row, seen: Seen) -> bool:
    """Say whether the invoice is settled otherwise, or another, while its parts wait for the rest."""
    return seen.paid or seen.cancelled or _is_another(row, seen) or not _same_money(row, seen)


def _shows_our_call(row: Row, seen: Seen) -> bool:
    """Only a hint, for what is in doubt: our call binds the invoice to our pay system and leaves its voucher alone."""
    if not row.in_flight or seen.voucher_number not in {"", row.document_number}:
        return False
    bound_to = (seen.marks or {}).get("PAY_SYSTEM_ID", "")
    return bound_to == row.pay_system or bound_to != (row.snapshot or {}).get("PAY_SYSTEM_ID", "")


def retried(row: Row, seen: Seen, beside: Mapping[int, Fact] | None = None) -> Decision:
    """What a person's word makes of a review once no call of ours can land any more: `ready`, or why it cannot be."""
    hindered = _obstacle(row, seen) or _sibling_obstacle(row, beside or {})
    return hindered or Decision(State.READY, in_flight=False, answered=False, attempts=0, evidence=_shown(seen))


def _resolve(row: Row, seen: Seen, now: datetime) -> Decision:
    if seen.paid:
        return _paid_by_us(row, seen)
    if row.quiet_until is not None and now < row.quiet_until:
        # Reading is free at once; sending again waits until the earlier call cannot land any more.
        return Decision(State.UNKNOWN, evidence=_shown(seen))
    if row.answered:
        return Decision(State.REVIEW, reason="true_but_unpaid", evidence=_shown(seen))
    if dict(seen.marks or {}) != dict(row.snapshot or {}):
        evidence = {**_shown(seen), "before": dict(row.snapshot or {})}
        return Decision(State.REVIEW, reason="landed_then_changed", evidence=evidence)
    return _obstacle(row, seen) or Decision(State.SENDING, evidence=_shown(seen))


def _obstacle(row: Row, seen: Seen) -> Decision | None:
    for found, reason in (
        (row.hold is not None, "held"),
        (seen.cancelled, "cancelled"),
        (_is_another(row, seen), "invoice_changed"),
        (not _same_money(row, seen), "amount_changed"),
    ):
        if found:
            return Decision(State.REVIEW, reason=reason, evidence=_shown(seen))
    return None


def _sibling_obstacle(row: Row, beside: Mapping[int, Fact]) -> Decision | None:
    """One payment for several invoices: none is sent while the sum is not that of all of them any more."""
    for sibling in row.unread_siblings:
        if not _is_as_matched(sibling, beside.get(sibling.invoice_id), row):
            evidence = {"sibling": sibling.id, "invoice_id": sibling.invoice_id}
            return Decision(State.REVIEW, reason="sibling_changed", evidence=evidence)
    return None


def _is_as_matched(sibling: Sibling, seen: Fact | None, row: Row) -> bool:
    waits_only_for_us = sibling.state is State.REVIEW and sibling.reason == "sibling_changed"
    if sibling.hold is not None or not (sibling.state in {State.READY, State.PAID} or waits_only_for_us):
        return False
    if not isinstance(seen, Seen) or seen.cancelled or _is_another(sibling, seen) or not _same_money(sibling, seen):
        return False
    return _fits_payment(row, seen) if seen.paid else sibling.state is not State.PAID


def _refused(row: Row, answer: Refused, seen: Fact) -> Decision:
    evidence = {"code": answer.code, "text": answer.text}
    if isinstance(seen, Seen) and seen.paid:
        # Ours did not run, so somebody else paid in the same moment.
        return _paid_by_others(row, seen)
    if answer.repeatable:
        return Decision(State.READY, in_flight=False, evidence=evidence)
    return Decision(State.REVIEW, reason=answer.reason, in_flight=False, evidence=evidence)


def _paid_by_us(row: Row, seen: Seen) -> Decision:
    if _is_another(row, seen):
        return Decision(State.REVIEW, reason="invoice_changed", evidence=_shown(seen))
    if not _same_money(row, seen):
        return Decision(State.REVIEW, reason="paid_other_amount", evidence=_shown(seen))
    return Decision(State.PAID, how="sent", in_flight=False, evidence=_shown(seen))


def _paid_by_others(row: Row, seen: Seen) -> Decision:
    """Accountants pay by hand daily: with full proof the payment is consumed and nothing is sent."""
    if row.hold is not None:
        return Decision(State.REVIEW, reason="held", in_flight=False, evidence=_shown(seen))
    if _is_another(row, seen):
        return Decision(State.REVIEW, reason="invoice_changed", in_flight=False, evidence=_shown(seen))
    if not _same_money(row, seen):
        return Decision(State.REVIEW, reason="paid_other_amount", in_flight=False, evidence=_shown(seen))
    if row.origin == "match" and not _fits_payment(row, seen):
        return Decision(State.REVIEW, reason="already_paid", in_flight=False, evidence=_shown(seen))
    return Decision(State.PAID, how="by_hand", in_flight=False, evidence=_shown(seen))


def _fits_payment(row: Row, seen: Seen) -> bool:
    dated = seen.paid_on is not None and row.booked_on is not None and seen.paid_on >= row.booked_on
    return dated and seen.voucher_number in {"", row.document_number}


def _is_another(row: Row | Sibling, seen: Seen) -> bool:
    """The id is the same, but what the proof rested on (number, payer, own company) is not."""
    return row.identity is not None and dict(row.identity) != dict(seen.identity or {})


def _same_money(row: Row | Sibling, seen: Seen) -> bool:
    return seen.amount == row.expected and seen.currency == row.currency


def _shown(seen: Seen) -> dict[str, Any]:
    return {
        "paid": seen.paid,
        "cancelled": seen.cancelled,
        "amount": seen.amount,
        "currency": seen.currency,
        "paid_on": seen.paid_on and seen.paid_on.isoformat(),
        "voucher_number": seen.voucher_number,
        "identity": dict(seen.identity or {}),
        "marks": dict(seen.marks or {}),
    }
