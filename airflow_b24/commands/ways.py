"""The ways on from what waits for a person: what to do in words, and the commands that fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from airflow_b24.ledger.states import REASONS as SETTLEMENT_REASONS
from airflow_b24.payments.reasons import ADVICE
from airflow_b24.reconcile.reporting import PART_OVERDUE, REST_FREE, Line

# A command, the number it is given, and when it fits.
Way = tuple[str, int, str]

WHEN: Final[Mapping[str, str]] = {
    "accept": "if the payment stands as it was first delivered",
    "close": "when it is dealt with",
    "confirm": "if the invoice is paid by now, and with this money",
    "dismiss": "when it is dealt with elsewhere: paid back, put to an invoice by hand, or not ours",
    "release": "if this money does not pay this invoice",
    "retry": "if what stood in the way is mended",
}
# Settlements whose money a person may take away from their invoice, though nothing is wrong with the invoice itself.
RELEASABLE: Final = frozenset({"amended", "overtaken", "ready", "reversed", PART_OVERDUE, REST_FREE})
# What is to be done about a settlement is said by its reason, but for these.
OF_SETTLEMENTS: Final[Mapping[str, str]] = {
    "reversed": "Mark the invoice paid again in Bitrix24, and the next sweep closes the case by itself.",
    "late_effect": "Take the payment back in Bitrix24 if it was ours, and the next sweep closes the case by itself.",
    REST_FREE: "Mark the other invoice paid in Bitrix24 by hand, or pay the rest back.",
}


def advice(line: Line) -> str:
    """What a person can do outside of here, in one sentence; empty where the commands say it all."""
    if line.reason == "quarantined":
        return "Let RecordFields read it, or ask the bank to mend it: it is read again when it is delivered again."
    return (ADVICE if line.settlement_id is None else OF_SETTLEMENTS).get(line.reason, "")


def ways_on(line: Line) -> Iterator[Way]:
    """The commands by which a person can decide."""
    yield from ((word, number, WHEN[word]) for word, number in _commands(line))


def _commands(line: Line) -> Iterator[tuple[str, int]]:
    if line.case_id is not None:
        yield "close", line.case_id
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
