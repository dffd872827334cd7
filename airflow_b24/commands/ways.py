"""The ways on from what waits for a person: what to do in words, and the commands that fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from airflow_b24.ledger.states import MOVED_ON, RESTORED
from airflow_b24.ledger.states import REASONS as SETTLEMENT_REASONS
from airflow_b24.payments.reasons import ADVICE
from airflow_b24.reconcile.reporting import PART_OVERDUE, REST_FREE, Line

# A command, the number it is given, and when it fits.
Way = tuple[str, int, str]

WHEN: Final[Mapping[str, str]] = {
    "accept": "if the payment stands as it was first delivered",
    "close": "when it is dealt with",
    "confirm": "if the invoice is paid by now, and with this money",
    "ignore": 'with --reason "...", when nobody has to look at it: dealt with by hand, or no money',
    "dismiss": "when it is dealt with elsewhere: paid back, put to an invoice by hand, or not ours",
    "release": "if this money does not pay this invoice",
    "retry": "if what stood in the way is mended",
}
# Settlements whose money a person may take away from their invoice, though nothing is wrong with the invoice itself.
RELEASABLE: Final = frozenset({"amended", "overtaken", "ready", "reversed", PART_OVERDUE, REST_FREE})
_GOES_ON: Final = "and the next sweep goes on by itself"
_BY_HAND: Final = "If the money is there, mark the invoice paid by hand, and the next sweep closes this by itself."
_MOVE_BY_HAND: Final = (
    "If the money is there, move the invoice to its stage of success by hand, and the next sweep closes this by itself"
)
# What can be done in Bitrix24 about an invoice, by the reason of its settlement or case.
OF_SETTLEMENTS: Final[Mapping[str, str]] = {
    "already_paid": (
        "If it was with this money, write the payment's document number into the invoice, and the next sweep closes this by "
        "itself; or confirm it."
    ),
    "amount_changed": f"Give the invoice its amount and currency back, {_GOES_ON}; or release it.",
    "cancelled": f"If it is to be paid after all, take the cancellation back, {_GOES_ON}.",
    "gave_up": _BY_HAND,
    "held": "Ask the bank which of its two words is right; then accept the payment, or release the invoice.",
    "invoice_changed": f"Give the invoice its number, customer and own company back, {_GOES_ON}; or release it.",
    "invoice_not_found": f"Restore the invoice, or let the webhook's user see it, {_GOES_ON}; or release it.",
    "landed_then_changed": _BY_HAND,
    "late_effect": "Take the payment back in Bitrix24 if it was ours, and the next sweep closes the case by itself.",
    "may_have_landed": _BY_HAND,
    MOVED_ON: f"{_MOVE_BY_HAND}; if such stages always mean paid, name them in extra.also_paid_stages.",
    "no_payment_document": f"Let exactly one payment document be of the invoice's whole sum, {_GOES_ON}.",
    "paid_other_amount": "If the amount was changed by mistake, give it back, and the next sweep closes this by itself.",
    "portal_refused": _BY_HAND,
    "required_field": f"Fill in the field. {_MOVE_BY_HAND}; or retry it.",
    RESTORED: _BY_HAND,
    "reversed": "Mark the invoice paid again in Bitrix24, and the next sweep closes the case by itself.",
    "sibling_changed": f"Put the other invoices of this payment right, {_GOES_ON}.",
    "stage_says_paid": (
        "If the money is there, mark the payment document paid, and the next sweep closes this by itself; else move the "
        "invoice back to an open stage, then retry it."
    ),
    "true_but_unpaid": _BY_HAND,
    REST_FREE: "Mark the other invoice paid in Bitrix24 by hand, or pay the rest back.",
}
# Smart invoices are cancelled and paid by their stage, and have no field for a document's number.
OF_SMART: Final[Mapping[str, str]] = {
    **{reason: f"{_MOVE_BY_HAND}." for reason, words in OF_SETTLEMENTS.items() if words == _BY_HAND},
    "already_paid": "Its history in Bitrix24 shows who moved it, and when: confirm it if it was for this money.",
    "cancelled": f"If it is to be paid after all, move it back to an open stage, {_GOES_ON}.",
    "reversed": "Move the invoice to its stage of success again, and the next sweep closes the case by itself.",
    "late_effect": "Move the invoice back to an open stage if it was ours, and the next sweep closes the case by itself.",
}


def advice(line: Line) -> str:
    """What a person can do outside of here, in one sentence; empty where the commands say it all."""
    if line.reason == "quarantined":
        return "Let RecordFields read it, or ask the bank to mend it: it is read again when it is delivered again."
    if line.settlement_id is None:
        return ADVICE.get(line.reason, "")
    of_kind = OF_SMART if line.kinds == ("smart",) else {}
    words = of_kind.get(line.reason) or OF_SETTLEMENTS.get(line.reason, "")
    # No sweep goes on with what somebody asked for by the invoice's id.
    is_plain = line.payment_id is None and line.case_id is None
    return words.replace(_GOES_ON, "then run its task again") if is_plain else words


def ways_on(line: Line) -> Iterator[Way]:
    """The commands by which a person can decide."""
    yield from ((word, number, WHEN[word]) for word, number in _commands(line))


def _commands(line: Line) -> Iterator[tuple[str, int]]:
    if line.case_id is not None:
        yield "close", line.case_id
    elif line.record_id is not None:
        yield "ignore", line.record_id
    elif line.reason == "amended" and line.payment_id is not None:
        yield "accept", line.payment_id
    if line.settlement_id is not None:
        yield from _of_settlement(line.reason, line.settlement_id)
    elif line.payment_id is not None:
        yield "dismiss", line.payment_id


def _of_settlement(reason: str, settlement_id: int) -> Iterator[tuple[str, int]]:
    if reason in SETTLEMENT_REASONS or reason in RELEASABLE:
        yield "release", settlement_id
    if reason in SETTLEMENT_REASONS:
        yield "retry", settlement_id
        # Whatever it is in review for, a person may have marked the invoice paid since; what is held must be accepted first.
        if reason != "held":
            yield "confirm", settlement_id
