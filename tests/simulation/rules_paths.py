"""Rules about settlements: their way lies in the table, each review's reason is true, and attempts report what is so."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from tests.simulation.checker import Story, Verdict
from tests.simulation.history import Changed, Shown

# Written anew from facts/settlement.md, not from the product.
TABLE = {
    (None, "collecting"),
    (None, "ready"),
    ("collecting", "ready"),
    ("collecting", "released"),
    ("ready", "sending"),
    ("ready", "paid"),
    ("ready", "review"),
    ("ready", "released"),
    ("sending", "paid"),
    ("sending", "unknown"),
    ("sending", "ready"),
    ("sending", "review"),
    ("unknown", "paid"),
    ("unknown", "sending"),
    ("unknown", "review"),
    ("review", "ready"),
    ("review", "paid"),
    ("review", "released"),
    ("paid", "released"),
}
BY_PEOPLE = {"released"}
MOST_REQUESTS = 120
LONGEST_S = 7_200.0


def the_path_lies_in_the_table(story: Story, verdict: Verdict) -> None:
    for changes in story.changes.values():
        state: str | None = None
        for change in changes:
            if change.before != state:
                verdict.blame("table", change.at, f"{change}: the row was {state}")
            state = change.after
            if change.before == change.after:
                continue
            verdict.edges[str(change.before), change.after] += 1
            if (change.before, change.after) not in TABLE:
                verdict.blame("table", change.at, f"{change}: {change.before} -> {change.after} is no way")
            if change.after in BY_PEOPLE and change.actor != "person":
                verdict.blame("table", change.at, f"{change}: only a person may do this")


def what_a_person_asks_for_is_what_is_paid(story: Story, verdict: Verdict) -> None:
    """A settlement without a payment is of an invoice that somebody named, and of its kind."""
    asked = [(act.at, act.invoice) for act in story.acts if act.invoice is not None]
    for changes in story.changes.values():
        made = changes[0]
        if made.origin == "manual" and not any(at <= made.at and key == made.invoice for at, key in asked):
            verdict.blame("unasked", made.at, f"{made}: nobody asked for this")


def fences_only_rise(story: Story, verdict: Verdict) -> None:
    for changes in story.changes.values():
        for before, after in itertools.pairwise(changes):
            if after.fence < before.fence:
                verdict.blame("fence", after.at, f"{after}: the fence was {before.fence}")


def every_paid_was_read(story: Story, verdict: Verdict) -> None:
    """`paid` only on a read-back that said so, for the expected amount and currency."""
    for changes in story.changes.values():
        for change in changes:
            if change.after != "paid" or change.before == "paid":
                continue
            read = story.last_read(change.actor, change.invoice, change.at)
            seen = story.at(change.invoice, read.of) if read else None
            if seen is None or not seen.paid:
                verdict.blame("not_read", change.at, f"{change}: no read-back said paid")
            elif (seen.price, seen.currency) != (change.expected, change.currency):
                verdict.blame("wrong_amount", change.at, f"{change}: the portal says {seen}")
            elif change.how == "sent" and not change.sends:
                verdict.blame("not_ours", change.at, f"{change}: nothing was ever sent")
            elif change.how not in {"sent", "by_hand"}:
                verdict.blame("how", change.at, f"{change}")
            elif change.how == "by_hand" and change.origin == "match" and not _fits(story, change, seen):
                verdict.blame("by_hand", change.at, f"{change}: {seen} was not paid with this money")
            if read is not None and change.before == "ready" and change.at - read.began > _oldest_s(story):
                verdict.blame("old_belief", change.at, f"{change}: {read} is too old to be believed")
            if seen is not None and seen.mover and not _is_attributed(story, change, seen):
                verdict.blame("attribution", change.at, f"{change}: {seen} was moved by {seen.mover}")


def _oldest_s(story: Story) -> float:
    limits = story.history.limits
    return limits["read_age_s"] + limits["window_s"] + limits["frozen_s"]


def every_reason_is_true(story: Story, verdict: Verdict) -> None:
    for changes in story.changes.values():
        for change in changes:
            if change.after != "review" or change.before == "review":
                continue
            reason = change.reason or ""
            verdict.reviews[reason] += 1
            is_true = REASONS.get(reason)
            if is_true is None:
                verdict.blame("reason", change.at, f"{change}: nobody knows this reason")
            elif not is_true(story, change, _looks(story, change)):
                verdict.blame("reason", change.at, f"{change}: {reason} was not so: {_looks(story, change)}")


def _looks(story: Story, change: Changed) -> list[Shown]:
    """All that whoever decided was shown since its claim."""
    since = _claimed_at(story, change)
    reads = story.reads.get((change.actor, change.invoice), ())
    return [story.at(change.invoice, read.of) for read in reads if since <= read.at <= change.at]


def _was_held(story: Story, change: Changed) -> bool:
    """A veto that a person lifts while somebody decides has been one: the review closes itself."""
    since = _claimed_at(story, change)
    return any(each.hold is not None for each in story.changes[change.settlement] if since <= each.at <= change.at)


def _claimed_at(story: Story, change: Changed) -> float:
    return next(each.at for each in story.changes[change.settlement] if each.fence == change.fence)


def _is_already_paid(story: Story, change: Changed, looks: list[Shown]) -> bool:
    return any(seen.paid and not _fits(story, change, seen) for seen in looks)


def _fits(story: Story, change: Changed, seen: Shown) -> bool:
    """Whether a person may have marked the invoice paid on seeing this very money."""
    meant = story.history.meant
    mine = [meant[each.payment] for each in story.money_of(change.settlement)]
    booked_on = max((each.booked_on for each in mine), default="")
    document = mine[0].document if len(mine) == 1 else ""
    return seen.paid_on >= booked_on and seen.voucher_number in {"", document}


def _is_another(story: Story, change: Changed, looks: list[Shown]) -> bool:
    made = story.changes[change.settlement][0].at
    matched = story.between(change.invoice, made - 5.0, made)
    return any((seen.number, seen.company) != (each.number, each.company) for seen in looks for each in matched)


def _landed_then_changed(story: Story, change: Changed, looks: list[Shown]) -> bool:
    sends = [each for each in story.changes[change.settlement] if each.after == "sending" and each.before != "sending"]
    reads = [story.last_read(each.actor, each.invoice, each.at) for each in sends]
    # What was seen before the first send, however long the process then froze.
    seen_at = min(read.of for read in reads if read is not None)
    moved = any(each.at > seen_at and each.by != "born" for each in story.shown[change.invoice])
    return moved and any(not seen.paid for seen in looks)


def _is_refused(story: Story, change: Changed, looks: list[Shown]) -> bool:
    versions = story.between(change.invoice, _claimed_at(story, change), change.at)
    return any(each.cancelled or each.gone for each in versions)


def _has_changed_sibling(story: Story, change: Changed, looks: list[Shown]) -> bool:
    for other in story.siblings(change.settlement):
        row = [each for each in story.changes[other] if each.at <= change.at]
        if not row:
            continue
        edited = any(each.by == "person" for each in story.shown[row[-1].invoice])
        if edited or row[-1].hold is not None or row[-1].after not in {"ready", "paid"} or row[-1].sends:
            return True
    return False


def _is_attributed(story: Story, change: Changed, seen: Shown) -> bool:
    """A smart invoice tells who moved it: what only a person did is never called ours, nor what our call did a person's.

    What the portal cannot tell: who else moved it before its last mover; who set off a robot that works as nobody; and
    of which settlement the call was, so that one with nothing on its way may take a pay of our user for a person's.
    """
    if seen.mover == "person":
        ours = any(pay.moved and pay.settlement == change.settlement and pay.at <= change.at for pay in story.executed)
        return change.how == "by_hand" or ours
    changes = story.changes[change.settlement]
    was_sent = changes[changes.index(change) - 1].in_flight
    return seen.mover != "us" or change.how == "sent" or not was_sent


def _was_paid_before(story: Story, change: Changed, looks: list[Shown]) -> bool:
    """The history may be newer than the invoice that was read beside it."""
    since = _claimed_at(story, change) - story.history.limits["lag_s"]
    return any(each.moved_on or each.paid for each in story.between(change.invoice, since, change.at))


def _lacks(story: Story, change: Changed, looks: list[Shown]) -> bool:
    return any(each.lacks for each in story.between(change.invoice, _claimed_at(story, change), change.at))


REASONS: dict[str, Callable[[Story, Changed, list[Shown]], bool]] = {
    "already_paid": _is_already_paid,
    "amount_changed": lambda _, change, looks: any(
        (seen.price, seen.currency) != (change.expected, change.currency) for seen in looks
    ),
    "cancelled": lambda _, change, looks: any(seen.cancelled for seen in looks),
    "gave_up": lambda _, change, looks: change.attempts > 20,
    "held": lambda story, change, looks: _was_held(story, change),
    "invoice_changed": _is_another,
    "invoice_not_found": lambda story, change, looks: any(each.gone for each in story.shown[change.invoice]),
    "landed_then_changed": _landed_then_changed,
    "moved_on_from_paid": _was_paid_before,
    "paid_other_amount": lambda _, change, looks: any(
        seen.paid and (seen.price, seen.currency) != (change.expected, change.currency) for seen in looks
    ),
    "portal_refused": _is_refused,
    "required_field": _lacks,
    "sibling_changed": _has_changed_sibling,
    "true_but_unpaid": lambda story, change, looks: (
        any(each.settlement == change.settlement and each.at <= change.at for each in story.answered)
        # A person has said of what stands open that it is not paid, whoever moved it there.
        and any(not seen.paid or seen.moved_on for seen in looks)
    ),
}


def attempts_report_what_is_so(story: Story, verdict: Verdict) -> None:
    """An attempt's last word is a state that the row had while it ran; it asks for little and ends in time."""
    for end in story.ended:
        if end.requests > MOST_REQUESTS or end.at - end.began > LONGEST_S:
            verdict.blame("unbounded", end.at, f"{end}")
        if end.trouble in {"InvariantError", "LedgerError"}:
            verdict.blame("error", end.at, f"{end}")
        if not end.state:
            continue
        changes = story.changes.get(end.settlement, ())
        before = [each for each in changes if each.at < end.began][-1:]
        during = [each for each in changes if end.began <= each.at <= end.at]
        said = {(each.after, each.how or "") for each in (*before, *during)}
        if (end.state, end.how) not in said:
            verdict.blame("result", end.at, f"{end}: the ledger says {said}")


RULES = (
    the_path_lies_in_the_table,
    what_a_person_asks_for_is_what_is_paid,
    fences_only_rise,
    every_paid_was_read,
    every_reason_is_true,
    attempts_report_what_is_so,
)
