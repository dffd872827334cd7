"""Rules about what was sent: each pay has its promise on disk, its fresh read and its window."""

from __future__ import annotations

from tests.simulation.checker import NEVER, Story, Verdict
from tests.simulation.history import Changed, Left, Shown

REPLICA_S = 5.0


def every_pay_was_promised(story: Story, verdict: Verdict) -> None:
    """Before the first byte leaves, `sending` with that fence is durable, after a claim and a read that followed it."""
    for left in story.left:
        promised = story.sending(left.settlement, left.fence)
        if promised is not None and promised.invoice != left.invoice:
            verdict.blame("misdirected", left.at, f"{left}: its settlement is of {promised.invoice}")
            continue
        if promised is None or promised.at > left.at:
            verdict.blame("no_promise", left.at, f"{left}: no `sending` with this fence was durable")
            continue
        _check_read(story, verdict, left, promised)


def _is_told(story: Story, settlement: int, seen: Shown) -> bool:
    """Whether a person has looked at what had come out of a stage of success, and has it paid all the same."""
    changes = story.changes[settlement]
    asked = any((each.actor, each.before, each.after) == ("person", "review", "ready") for each in changes)
    return seen.moved_on and asked


def _check_read(story: Story, verdict: Verdict, left: Left, promised: Changed) -> None:
    read = story.last_read(promised.actor, left.invoice, promised.at)
    if read is None or (read.paid and not _is_told(story, left.settlement, story.at(left.invoice, read.of))):
        return verdict.blame("unread", left.at, f"{left}: sent without a read that said unpaid: {read}")
    seen = story.at(left.invoice, read.of)
    as_matched = (promised.expected, promised.currency, False)
    if (seen.price, seen.currency, seen.cancelled) != as_matched:
        verdict.blame("not_as_matched", left.at, f"{left}: the portal showed {seen}")
    if read.began < _claimed_at(story, promised):
        verdict.blame("read_before_claim", left.at, f"{left}: {read} began before the claim")
    limits = story.history.limits
    if left.at < left.send_before and left.at - read.began > limits["read_age_s"] + limits["window_s"]:
        verdict.blame("old_read", left.at, f"{left}: {read} is too old")
    return None


def _claimed_at(story: Story, promised: Changed) -> float:
    """When the fence of this promise was raised."""
    return next(each.at for each in story.changes[promised.settlement] if each.fence == promised.fence)


def nothing_begins_while_held(story: Story, verdict: Verdict) -> None:
    """Once the bank has taken back or changed a payment, nothing is sent with it until a person accepts it."""
    for changes in story.changes.values():
        for change in changes:
            if change.after != "sending" or change.before == "sending":
                continue
            if change.hold is not None:
                verdict.blame("held", change.at, f"{change}: sent while held")
            for money in story.money_of(change.settlement):
                since = _in_trouble_since(story, money.payment, change.at)
                if since is not None:
                    verdict.blame("held", change.at, f"{change}: {money.payment} was taken back or changed at {since}")


def _in_trouble_since(story: Story, payment: str, until: float) -> float | None:
    """When the bank first told something else of the payment than what it was known by, unless a person accepted it."""
    known: str | None = None
    seen: set[str] = set()
    trouble: float | None = None
    accepted = [act.at for act in story.acts if act.what == "accept" and act.done]
    for each in story.delivered.get(payment, ()):
        if each.at >= until:
            break
        if known is None:
            known = each.content if each.booked else None
        elif each.content != known and each.content not in seen:
            trouble = each.at
        seen.add(each.content)
    if trouble is not None and any(trouble <= at <= until for at in accepted):
        return None
    return trouble


def the_first_of_several_waits_for_all(story: Story, verdict: Verdict) -> None:
    """One payment for several invoices: until a call for one may have run, each of them was seen as it was matched."""
    for settlement, changes in story.changes.items():
        for change in changes:
            if change.after != "sending" or change.before != "ready" or change.origin != "match":
                continue
            rows = [_row_at(story, each, change.at) for each in story.siblings(settlement)]
            live = [each for each in rows if each is not None and each.after != "released"]
            if any(each.sends and (each.in_flight or each.answered or each.after == "paid") for each in live):
                continue
            for each in live:
                _check_sibling(story, verdict, change, each)


def _row_at(story: Story, settlement: int, when: float) -> Changed | None:
    found = None
    for change in story.changes[settlement]:
        if change.at <= when:
            found = change
    return found


def _check_sibling(story: Story, verdict: Verdict, change: Changed, sibling: Changed) -> None:
    since = _claimed_at(story, change) - story.history.limits["lag_s"]
    looks = story.between(sibling.invoice, since, change.at)
    if not any(
        (each.price, each.currency, each.cancelled) == (sibling.expected, sibling.currency, False) for each in looks
    ):
        verdict.blame("sibling", change.at, f"{change}: beside it {sibling} is {looks[-1]}")


def nothing_goes_through_an_idle_pay_system(story: Story, verdict: Verdict) -> None:
    for left in story.left:
        # A smart invoice needs none. One that is deleted by now tells nothing of its pay system: the portal refuses both.
        asked = story.history.idle and left.invoice[0] == "legacy"
        if asked and not story.at(left.invoice, left.at).gone:
            return verdict.blame("idle", left.at, f"{left}: this pay system pays nothing")
    return None


def sends_are_few(story: Story, verdict: Verdict) -> None:
    """One send, and one more for each time the portal was read unpaid when no earlier one could land any more."""
    for settlement, changes in story.changes.items():
        resends = 0
        quiet_until = NEVER
        for change in changes:
            if change.after == "sending" and change.before == "unknown":
                resends += 1
                if any(each.answered for each in changes if each.at < change.at and each.sends == change.sends - 1):
                    verdict.blame("resend_after_true", change.at, f"{change}: the portal had answered true")
                read = story.last_read(change.actor, change.invoice, change.at)
                if read is None or (read.paid and not _is_told(story, settlement, story.at(change.invoice, read.of))):
                    verdict.blame("resend_unread", change.at, f"{change}: sent again without an unpaid read")
                elif read.of < quiet_until - REPLICA_S:
                    verdict.blame(
                        "resend_early", change.at, f"{change}: the read is of {read.of}, quiet at {quiet_until}"
                    )
            if change.after == "sending" and change.quiet_until is not None:
                quiet_until = change.quiet_until
        # A send that the portal refused before running is no execution, and `ready` begins anew.
        fresh = sum(change.after == "sending" and change.before == "ready" for change in changes)
        done = sum(each.settlement == settlement and not each.again for each in story.executed)
        if done > fresh + resends:
            verdict.blame("executions", changes[-1].at, f"settlement {settlement} was executed {done} times")


RULES = (
    every_pay_was_promised,
    nothing_begins_while_held,
    the_first_of_several_waits_for_all,
    nothing_goes_through_an_idle_pay_system,
    sends_are_few,
)
