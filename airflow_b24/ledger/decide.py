"""What to do next with a settlement: pure rules over the table of `states`.

Only a read-back proves a payment; the portal's `true` proves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from airflow_b24.ledger.facts import Answered, Decision, Fact, Key, Kind, Refused, Row, Seen, Sibling, Unknown
from airflow_b24.ledger.states import CONFIRMED, MOVED_ON, PASSING, RESTORED, State

# So many claims more has a settlement that was given up and can be read again.
AGAIN = 5
# What a landed call of ours moves on an invoice, and no edit of it does.
MARK: Final[Mapping[Kind, str]] = {"legacy": "PAY_SYSTEM_ID", "smart": "movedTime", "payment": "datePaid"}


def before_sending(row: Row, seen: Seen, now: datetime, beside: Mapping[Key, Fact] | None = None) -> Decision:
    """Decide on a fresh read taken after the claim; `now` is the ledger's time, `beside` its siblings' invoices."""
    seen = as_sent(row, seen)
    if row.partial_may_land and row.state is State.READY:
        # It would un-pay what is paid by then, whoever paid it.
        return Decision(State.READY, evidence=_shown(seen))
    if row.state is State.UNKNOWN:
        return _resolve(row, seen, now)
    if seen.paid:
        return _paid_by_others(row, seen)
    return (
        _obstacle(row, seen) or _sibling_obstacle(row, beside or {}) or Decision(State.SENDING, evidence=_shown(seen))
    )


def may_be_partial(row: Row, seen: Seen) -> bool:
    """Say whether an invoice may be moved to where it waits for the rest of its money: it is as it was matched, unpaid."""
    # What was answered once is not asked for again: people may have moved it on since.
    waits = row.state is State.COLLECTING and row.allocated > 0 and not row.partial_may_land and not row.answered
    return waits and not seen.paid and _obstacle(row, seen) is None


def after_sending(row: Row, answer: Answered | Refused | Unknown, seen: Fact) -> Decision:
    """Decide on the portal's answer to our call and the read-back that followed it."""
    seen = as_sent(row, seen) if isinstance(seen, Seen) else seen
    if isinstance(answer, Refused):
        return _refused(row, answer, seen)
    told_true = isinstance(answer, Answered)
    if isinstance(seen, Seen) and seen.paid:
        # `true` says that our call ran, not that it moved anything: a person may have been faster.
        is_ours = told_true and seen.paid_by_us is not False
        return _paid_by_us(row, seen) if is_ours else _paid_by_somebody(row, seen)
    if not isinstance(seen, Seen):
        return Decision(State.UNKNOWN, answered=told_true, evidence={"read": seen.text})
    if told_true:
        return Decision(State.REVIEW, reason="true_but_unpaid", answered=True, look_again=True, evidence=_shown(seen))
    return Decision(State.UNKNOWN, evidence=_shown(seen))


def failed_reading(row: Row, trouble: Refused | Unknown) -> Decision | None:
    """What a reading that failed makes of a claim: one that met a busy portal, or a silent one, does not count."""
    attempts = _counted(row, trouble)
    if attempts == row.attempts:
        return None
    told = {"code": trouble.code} if isinstance(trouble, Refused) else {}
    return Decision(row.state, attempts=attempts, evidence={**told, "text": trouble.text})


def reviewed(row: Row, seen: Seen, beside: Mapping[Key, Fact] | None = None) -> Decision | None:
    """What the invoice, read again, makes of a review; None leaves it to a person."""
    seen = as_sent(row, seen)
    if seen.paid:
        is_ours = _shows_our_call(row, seen)
        closed = _paid_by_us(row, seen) if is_ours else _paid_by_others(row, seen)
        is_proved = is_ours or row.reason != "already_paid" or seen.voucher_number != ""
        return closed if closed.state is State.PAID and is_proved else None
    if row.origin != "match" or row.in_flight or row.reason not in PASSING:
        return None
    hindered = _obstacle(row, seen) or _sibling_obstacle(row, beside or {})
    # A few attempts more: one that was given up, and still comes to no end, is soon before a person again.
    attempts = max(row.attempts - AGAIN, 0)
    return None if hindered else Decision(State.READY, attempts=attempts, evidence=_shown(seen))


def as_sent(row: Row, seen: Seen) -> Seen:
    """The invoice as it stands to this settlement: one that a robot moved on out of paid is paid, if we sent for it.

    It must have come to paid since. For any other a person must look: nothing proves that it was not taken back. What a
    person has called paid, filed as it is, stays so.
    """
    is_ours = seen.moved_on and row.sends > 0 and _was_paid_since(row, seen)
    is_filed = row.reason == CONFIRMED and _is_told(row, seen)
    return replace(seen, paid=True, lacks=None) if is_ours or is_filed else seen


def is_overtaken(row: Row, seen: Seen) -> bool:
    """Say whether the invoice is settled otherwise, or another, while its parts wait for the rest."""
    was_paid = seen.paid or seen.lacks == MOVED_ON
    return was_paid or seen.cancelled or _is_another(row, seen) or not _same_money(row, seen)


def _was_paid_since(row: Row, seen: Seen) -> bool:
    """Say whether it came to a stage that means paid since it was looked at before our last move of it."""
    before = (row.snapshot or {}).get("paidBefore", "")
    return row.snapshot is not None and (seen.marks or {}).get("paidBefore", "") != before


def _shows_our_call(row: Row, seen: Seen) -> bool:
    """Only a hint, for what is in doubt: our call binds the invoice to our pay system and leaves its voucher alone."""
    if not row.in_flight or seen.voucher_number not in {"", row.document_number}:
        return False
    return bears_our_mark(row, seen)


def bears_our_mark(row: Row, seen: Seen) -> bool:
    """Only a hint, for what was sent: our user moved it, or it is bound to our pay system or otherwise than before."""
    if seen.paid_by_us is not None:
        return seen.paid_by_us
    mark = (seen.marks or {}).get(MARK[row.kind], "")
    moved = mark != (row.snapshot or {}).get(MARK[row.kind], "")
    return mark != "" and (mark == row.pay_system or moved)


def retried(row: Row, seen: Seen, beside: Mapping[Key, Fact] | None = None) -> Decision:
    """What a person's word makes of a review once no call of ours can land any more: `ready`, or why it cannot be."""
    told = replace(row, snapshot=seen.marks)
    hindered = _obstacle(told, seen) or _sibling_obstacle(row, beside or {})
    ready = Decision(State.READY, in_flight=False, answered=False, attempts=0, evidence=_shown(seen), is_told=True)
    return hindered or ready


def confirmed(row: Row, seen: Seen) -> Decision:
    """What a person's word makes of a review whose invoice is paid, or filed since: `paid`, or why it cannot be."""
    if not _same_money(row, seen):
        return Decision(State.REVIEW, reason="paid_other_amount", evidence=_shown(seen))
    told = Decision(State.PAID, how="by_hand", reason=CONFIRMED, in_flight=False, is_told=True)
    return replace(told, evidence=_shown(seen))


def _resolve(row: Row, seen: Seen, now: datetime) -> Decision:
    if seen.paid:
        return _paid_by_somebody(row, seen)
    if row.quiet_until is not None and now < row.quiet_until:
        # Reading is free at once; sending again waits until the earlier call cannot land any more.
        return Decision(State.UNKNOWN, evidence=_shown(seen))
    if row.answered:
        return Decision(State.REVIEW, reason="true_but_unpaid", evidence=_shown(seen))
    if row.leaves_no_trace:
        # Paid and taken back looks like never paid.
        return Decision(State.REVIEW, reason="may_have_landed", evidence=_shown(seen))
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
        (seen.lacks is not None and not _is_told(row, seen), seen.lacks),
    ):
        if found:
            return Decision(State.REVIEW, reason=reason, evidence=_shown(seen))
    return None


def _is_told(row: Row, seen: Seen) -> bool:
    """Say whether a person has looked at the invoice as it is now, and has said that it is to be paid."""
    return seen.lacks == MOVED_ON and row.snapshot is not None and dict(row.snapshot) == dict(seen.marks or {})


def _sibling_obstacle(row: Row, beside: Mapping[Key, Fact]) -> Decision | None:
    """One payment for several invoices: none is sent while the sum is not that of all of them any more."""
    for sibling in row.unread_siblings:
        if not _is_as_matched(sibling, beside.get(sibling.key), row):
            evidence = {"sibling": sibling.id, "invoice_id": sibling.invoice_id}
            return Decision(State.REVIEW, reason="sibling_changed", evidence=evidence)
    return None


def _is_as_matched(sibling: Sibling, seen: Fact | None, row: Row) -> bool:
    # What stood in its way may have gone: its invoice is looked at below, and two must not wait for each other.
    waits = sibling.state is State.REVIEW and sibling.reason in PASSING | {RESTORED}
    if sibling.hold is not None or not (sibling.state in {State.READY, State.PAID} or waits):
        return False
    if not isinstance(seen, Seen) or seen.cancelled or _is_another(sibling, seen) or not _same_money(sibling, seen):
        return False
    return _fits_payment(row, seen) if seen.paid else sibling.state is not State.PAID


def _refused(row: Row, answer: Refused, seen: Fact) -> Decision:
    evidence = {"code": answer.code, "text": answer.text}
    if isinstance(seen, Seen) and seen.paid:
        # Ours did not run, so somebody else paid in the same moment; an earlier call of ours, if the portal says so.
        return _paid_by_us(row, seen) if seen.paid_by_us else _paid_by_others(row, seen)
    if answer.repeatable:
        return Decision(State.READY, in_flight=False, attempts=_counted(row, answer), evidence=evidence)
    return Decision(State.REVIEW, reason=answer.reason, in_flight=False, evidence=evidence)


def _counted(row: Row, trouble: Refused | Unknown) -> int:
    """How many claims count after this one."""
    is_of_portal = trouble.is_busy if isinstance(trouble, Refused) else trouble.is_of_all
    return max(row.attempts - 1, 0) if is_of_portal else row.attempts


def _paid_by_somebody(row: Row, seen: Seen) -> Decision:
    """No answer told who paid: we, unless the invoice shows another user, or a document, which our call never writes."""
    if seen.paid_by_us is False:
        # Nothing is known of our own call: it may land on what is paid already.
        return replace(_paid_by_others(row, seen), in_flight=None)
    own = {"", row.document_number, (row.snapshot or {}).get("PAY_VOUCHER_NUM", "")}
    if seen.voucher_number in own:
        return _paid_by_us(row, seen)
    return Decision(State.REVIEW, reason="already_paid", evidence=_shown(seen))


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
        "paid_by_us": seen.paid_by_us,
        "lacks": seen.lacks,
        "moved_on": seen.moved_on,
    }
