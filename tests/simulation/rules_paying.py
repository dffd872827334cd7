"""Rules about what was sent: each pay has its promise on disk, its fresh read, its window, and happens once."""

from __future__ import annotations

import itertools

from tests.simulation.checker import NEVER, Story, Verdict
from tests.simulation.history import Changed, Executed, Left, Moved, Read

REPLICA_S = 5.0


def every_pay_was_promised(story: Story, verdict: Verdict) -> None:
    """Before the first byte leaves, `sending` with that fence is durable, after a claim and a read that followed it."""
    for left in story.left:
        promised = story.sending(left.settlement, left.fence)
        if promised is None or promised.at > left.at:
            verdict.blame("no_promise", left.at, f"{left}: no `sending` with this fence was durable")
            continue
        _check_read(story, verdict, left, promised)


def _check_read(story: Story, verdict: Verdict, left: Left, promised: Changed) -> None:
    read = story.last_read(promised.actor, left.invoice, promised.at)
    if read is None or read.paid:
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
    """One payment for several invoices: nothing is sent before each of them was seen as it was matched."""
    for settlement, changes in story.changes.items():
        for change in changes:
            if change.after != "sending" or change.before != "ready" or change.origin != "match":
                continue
            rows = [_row_at(story, each, change.at) for each in story.siblings(settlement)]
            live = [each for each in rows if each is not None and each.after != "released"]
            if any(each.sends for each in live):
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
    if story.history.idle and story.left:
        verdict.blame("idle", story.left[0].at, f"{story.left[0]}: this pay system pays nothing")


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
                if read is None or read.paid:
                    verdict.blame("resend_unread", change.at, f"{change}: sent again without an unpaid read")
                elif read.of < quiet_until - REPLICA_S:
                    verdict.blame(
                        "resend_early", change.at, f"{change}: the read is of {read.of}, quiet at {quiet_until}"
                    )
            if change.after == "sending" and change.quiet_until is not None:
                quiet_until = change.quiet_until
        # A send that the portal refused before running is no execution, and `ready` begins anew.
        fresh = sum(change.after == "sending" and change.before == "ready" for change in changes)
        done = sum(each.settlement == settlement for each in story.executed)
        if done > fresh + resends:
            verdict.blame("executions", changes[-1].at, f"settlement {settlement} was executed {done} times")


def nothing_is_paid_twice(story: Story, verdict: Verdict) -> None:
    """No invoice is paid by us again unless a person took the earlier pay back; its voucher date never moves then."""
    verdict.executed += len(story.executed)
    earlier: dict[int, list[Executed]] = {}
    for pay in story.executed:
        for before in earlier.get(pay.invoice, ()):
            if _taken_back(story, before, pay.at):
                continue
            if _is_zombie(pay) or (_is_zombie(before) and before.at > _read_for(story, pay)):
                verdict.residuals["zombie"] += 1
                continue
            verdict.blame("double", pay.at, f"{pay} repeats {before}")
            if pay.day != pay.day_before:
                verdict.blame("voucher_moved", pay.at, f"{pay} moved the voucher date of {before}")
            break
        earlier.setdefault(pay.invoice, []).append(pay)


def _is_zombie(pay: Executed) -> bool:
    """The first byte left after the window: only a process frozen behind its last look at the clock can do that."""
    return pay.left_at >= pay.send_before


def _taken_back(story: Story, pay: Executed, until: float) -> bool:
    return any(each.by == "person" and not each.paid for each in story.between(pay.invoice, pay.at, until)[1:])


def _read_for(story: Story, pay: Executed) -> float:
    """The moment whose truth this pay was decided on."""
    promised = story.sending(pay.settlement, pay.fence)
    read = story.last_read(promised.actor, pay.invoice, promised.at) if promised else None
    return read.of if isinstance(read, Read) else NEVER


def nothing_is_paid_against_a_person(story: Story, verdict: Verdict) -> None:
    """What a settlement paid and a person took back is paid by it again only when a person says so."""
    earlier: dict[int, Executed] = {}
    for pay in story.executed:
        before = earlier.setdefault(pay.settlement, pay)
        if before is pay or not _taken_back(story, before, pay.at):
            continue
        asked = any(
            each.actor == "person"
            and each.before == "review"
            and each.after == "ready"
            and before.at < each.at < pay.at
            for each in story.changes[pay.settlement]
        )
        if _is_zombie(pay):
            verdict.residuals["zombie"] += 1
        elif not asked and _read_for(story, pay) > before.at:
            verdict.blame("against_a_person", pay.at, f"{pay}: a person took back {before}")


def nothing_is_paid_over_a_reversal(story: Story, verdict: Verdict) -> None:
    """What a person took back after our read is not paid by us: the read would have said so."""
    for pay in story.executed:
        seen_at = _read_for(story, pay)
        if seen_at == NEVER:
            continue
        versions = story.between(pay.invoice, seen_at, pay.at - 1e-9)
        for before, after in itertools.pairwise(versions):
            if not (after.by == "person" and before.paid and not after.paid and not after.gone):
                continue
            if _is_zombie(pay):
                verdict.residuals["zombie"] += 1
            elif _paid_by_person(story, pay, seen_at, after.at):
                verdict.residuals["paid_and_reversed"] += 1
            else:
                verdict.blame("over_reversal", pay.at, f"{pay}: a person had taken it back at {after.at}")


def _paid_by_person(story: Story, pay: Executed, since: float, until: float) -> bool:
    return any(each.by == "person" and each.paid for each in story.between(pay.invoice, since, until)[1:])


def every_pay_is_owned(story: Story, verdict: Verdict) -> None:
    """Whatever we paid belongs to a settlement that says so, or to a person's review, or is shown as a late effect."""
    last = {row["id"]: row for row in story.history.settlements}
    for pay in story.executed:
        row = last.get(pay.settlement)
        if row is None:
            verdict.blame("orphan", pay.at, f"{pay}: no such settlement")
        elif row["state"] in {"ready", "collecting"} and not _taken_back(story, pay, float("inf")):
            verdict.blame("orphan", pay.at, f"{pay}: its settlement is {row['state']}")
        elif row["state"] == "released":
            _check_release(story, verdict, pay)


def _check_release(story: Story, verdict: Verdict, pay: Executed) -> None:
    released = next(each for each in story.changes[pay.settlement] if each.after == "released")
    if pay.at <= released.at:
        # The person's read and the release are not one moment.
        versions = story.between(pay.invoice, max(released.at - REPLICA_S, pay.at), released.at)
        if all(each.paid for each in versions) and not _taken_back(story, pay, released.at):
            verdict.blame("released_paid", released.at, f"{released}: our {pay} stands")
        return
    if not _is_zombie(pay):
        verdict.blame("landed_after_release", pay.at, f"{pay} landed after {released}")
        return
    verdict.residuals["zombie"] += 1
    now = story.shown[pay.invoice][-1]
    taken = any(row["invoice_id"] == pay.invoice and row["state"] != "released" for row in story.history.settlements)
    told = any(
        case["settlement_id"] == pay.settlement and case["kind"] == "late_effect" for case in story.history.cases
    )
    if now.by == "us" and now.paid and not taken and not told:
        verdict.blame("late_effect", pay.at, f"{pay} landed after its release and no case says so")


def money_is_not_used_again(story: Story, verdict: Verdict) -> None:
    """A pair that a person has parted is never brought together again."""
    parted: dict[tuple[str, int], float] = {}
    invoices = {settlement: changes[0].invoice for settlement, changes in story.changes.items()}
    released = {
        settlement: change.at
        for settlement, changes in story.changes.items()
        for change in changes
        if change.after == "released"
    }
    moved: list[Moved] = story.moved
    for settlement, at in released.items():
        for each in moved:
            if each.settlement == settlement:
                parted[each.payment, invoices[settlement]] = at
    for each in moved:
        since = parted.get((each.payment, invoices.get(each.settlement, 0)))
        if since is not None and each.at > since:
            verdict.blame("parted", each.at, f"{each}: a person had parted the two at {since}")


RULES = (
    every_pay_was_promised,
    nothing_begins_while_held,
    the_first_of_several_waits_for_all,
    nothing_goes_through_an_idle_pay_system,
    sends_are_few,
    nothing_is_paid_twice,
    nothing_is_paid_over_a_reversal,
    nothing_is_paid_against_a_person,
    every_pay_is_owned,
    money_is_not_used_again,
)
