"""The states of a settlement, the ways between them, and the reasons for which a person is asked.

    collecting -> ready (allocated = expected)
    ready      -> sending | paid (by hand) | review
    sending    -> paid | unknown | ready (refused before running) | review
    unknown    -> paid | sending (after the quiet time, unpaid, nothing moved) | review
    review     -> ready (what stood in the way has gone) | paid
    collecting, ready, review, paid -> released (a person only)

`paid` and `released` are final for the machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


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

# A state in words for people who keep books, behind "the settlement is".
IN_WORDS: Mapping[State, str] = {
    State.COLLECTING: "waiting for the rest of its money",
    State.READY: "matched and to be paid by the next run",
    State.SENDING: "being asked of the portal",
    State.PAID: "paid",
    State.UNKNOWN: "asked of the portal, which has not answered yet",
    State.REVIEW: "in review",
    State.RELEASED: "released",
}
# What goes on while nobody has to do anything, and what comes next.
UNDER_WAY: Mapping[State, str] = {
    State.READY: "It is matched: the next paying run marks the invoice paid.",
    State.SENDING: (
        "The portal is being asked to mark the invoice paid; should that break off, the next run looks and finishes it."
    ),
    State.UNKNOWN: "We asked the portal to mark the invoice paid and have no answer yet: the next run looks and finishes it.",
}

# What a person has told of an invoice that is paid: not from this ledger; or with this very money.
ADOPTED = "adopted"
CONFIRMED = "confirmed"
# It was under way in a ledger of which this one is a copy: that one may have sent it.
RESTORED = "restored"
# It was in a stage that means paid and is in none: taken back, or moved on by a robot.
MOVED_ON = "moved_on_from_paid"
# Reviews that end by themselves when the invoice is again what the payment was matched with. Not among them: what a
# person has undone, and what the portal, our own call or a copy left in doubt.
PASSING = frozenset(
    {
        "amount_changed",
        "cancelled",
        "gave_up",
        "held",
        "invoice_changed",
        "invoice_not_found",
        "no_payment_document",
        "sibling_changed",
    }
)

# What was seen then: the portal may show something else by now, so that each must be true at any time.
REASONS: Mapping[str, str] = {
    "already_paid": "The invoice was already paid, and not provably with this money: confirm it if it was.",
    "amount_changed": "The invoice's amount or currency was not what the payment was matched with.",
    "cancelled": "The invoice was cancelled when it was read.",
    "gave_up": "Too many attempts came to no end: look at the invoice in Bitrix24, then retry.",
    "held": "The bank changed or took back the payment.",
    "invoice_changed": "The invoice's number, customer or own company was not what the payment was matched with.",
    "invoice_not_found": "The portal did not know the invoice when it was asked.",
    "landed_then_changed": "Our call may have landed and somebody changed the invoice since.",
    "may_have_landed": "Our call may have landed, and a payment that is taken back keeps no trace: look, then retry.",
    MOVED_ON: "The invoice had been in a stage of success: taken back (then retry), or filed (then confirm)?",
    "no_payment_document": "The invoice had not exactly one payment document of its whole sum: add or correct it.",
    "paid_other_amount": "The invoice was paid, but for another amount or currency than expected.",
    "portal_refused": "The portal refused to pay the invoice.",
    "required_field": "The stage of paid invoices asked for a field that was empty: fill it in there, then retry.",
    RESTORED: "The ledger went on from a copy while this was under way: look whether it was paid since, then retry.",
    "sibling_changed": "The same payment is for other invoices too, and one of them was not what it was matched with.",
    "stage_says_paid": "The invoice stood in a stage of success, yet its payment document was unpaid: look which is right.",
    "true_but_unpaid": "The portal answered true, yet the invoice stayed unpaid when it was read: check the pay system.",
}

# Where a claimed row is left when it was not even read.
_STAYING = frozenset({State.READY, State.UNKNOWN})


def may_follow(before: State, after: State) -> bool:
    """Say whether a decision may lead there."""
    return after in TRANSITIONS[before] or (after is before and after in _STAYING)
