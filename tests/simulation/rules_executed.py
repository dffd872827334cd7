"""Rules about what the portal executed: once, against nobody's will, for money that is free, and never without an owner."""

from __future__ import annotations

import itertools

from tests.simulation.checker import NEVER, Story, Verdict, key_of
from tests.simulation.history import Executed, Key, Moved, Read, Shown

REPLICA_S = 5.0


def nothing_is_paid_twice(story: Story, verdict: Verdict) -> None:
    """No invoice is paid by us again unless a person took the earlier pay back; its voucher date never moves then.

    A smart one that is in its stage of success already is moved by nothing, and nothing has happened twice.
    """
    verdict.executed.update(pay.invoice[0] if pay.moved else "smart, in vain" for pay in story.executed)
    verdict.residuals.update("delivered_twice" for pay in story.executed if pay.again and pay.moved)
    earlier: dict[Key, list[Executed]] = {}
    for pay in _moving(story):
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


def _moving(story: Story) -> list[Executed]:
    """What came of our requests; no client can help that the network brings one of them twice."""
    return [pay for pay in story.executed if pay.moved and not pay.again]


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
    for pay in _moving(story):
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
    """What a person took back after our read is not paid by us: the read would have said so.

    The portal refuses to pay a cancelled legacy invoice. A smart one it moves, whoever has lost it since our read.
    """
    for pay in _moving(story):
        last = story.before(pay.invoice, pay.at)
        if last.cancelled:
            verdict.residuals["lost_meanwhile"] += 1
        seen_at = _read_for(story, pay)
        if last.by == "person" and last.what == "pay" and not last.paid:
            _judge_moved_on(story, verdict, pay, last)
        if seen_at == NEVER:
            continue
        versions = story.between(pay.invoice, seen_at, pay.at - 1e-9)
        for before, after in itertools.pairwise(versions):
            if not (after.by == "person" and before.paid and not after.paid and not after.gone):
                continue
            if _is_zombie(pay) or _paid_by_zombie(story, pay, seen_at, after.at):
                verdict.residuals["zombie"] += 1
            elif _paid_by_person(story, pay, seen_at, after.at):
                verdict.residuals["paid_and_reversed"] += 1
            else:
                verdict.blame("over_reversal", pay.at, f"{pay}: a person had taken it back at {after.at}")


def _judge_moved_on(story: Story, verdict: Verdict, pay: Executed, last: Shown) -> None:
    """A person paid it, and a robot that works as the person moved it on: our read would have shown that something was."""
    told = [each for each in story.changes[pay.settlement] if each.actor == "person" and each.before == "review"]
    if last.at > _read_for(story, pay) or _is_zombie(pay):
        verdict.residuals["moved_on"] += 1
    elif not told:
        verdict.blame("over_a_person", pay.at, f"{pay}: a person had paid it, and a robot moved it on: {last}")


def _paid_by_zombie(story: Story, pay: Executed, since: float, until: float) -> bool:
    mine = [each for each in story.executed if each.invoice == pay.invoice and since < each.at < until]
    return any(_is_zombie(each) for each in mine)


def _paid_by_person(story: Story, pay: Executed, since: float, until: float) -> bool:
    return any(each.by == "person" and each.paid for each in story.between(pay.invoice, since, until)[1:])


def every_pay_is_owned(story: Story, verdict: Verdict) -> None:
    """Whatever we paid belongs to a settlement that says so, or to a person's review, or is shown as a late effect."""
    last = {row["id"]: row for row in story.history.settlements}
    for pay in story.executed:
        row = last.get(pay.settlement)
        if row is None:
            verdict.blame("orphan", pay.at, f"{pay}: no such settlement")
        elif row["state"] in {"ready", "collecting"} and pay.moved and not _taken_back(story, pay, float("inf")):
            verdict.blame("orphan", pay.at, f"{pay}: its settlement is {row['state']}")
        elif row["state"] == "released":
            _check_release(story, verdict, pay)


def _check_release(story: Story, verdict: Verdict, pay: Executed) -> None:
    released = next(each for each in story.changes[pay.settlement] if each.after == "released")
    if pay.at <= released.at:
        # The person's read and the release are not one moment.
        versions = story.between(pay.invoice, max(released.at - REPLICA_S, pay.at), released.at)
        if pay.moved and all(each.paid for each in versions) and not _taken_back(story, pay, released.at):
            verdict.blame("released_paid", released.at, f"{released}: our {pay} stands")
        return
    if not _is_zombie(pay):
        verdict.blame("landed_after_release", pay.at, f"{pay} landed after {released}")
        return
    verdict.residuals["zombie"] += 1
    now = story.shown[pay.invoice][-1]
    taken = any(key_of(row) == pay.invoice and row["state"] != "released" for row in story.history.settlements)
    told = any(
        case["settlement_id"] == pay.settlement and case["kind"] == "late_effect" for case in story.history.cases
    )
    if now.by == "us" and now.paid and not taken and not told:
        verdict.blame("late_effect", pay.at, f"{pay} landed after its release and no case says so")


def money_is_not_used_again(story: Story, verdict: Verdict) -> None:
    """A pair that a person has parted is never brought together again."""
    parted: dict[tuple[str, Key | None], float] = {}
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
        since = parted.get((each.payment, invoices.get(each.settlement)))
        if since is not None and each.at > since:
            verdict.blame("parted", each.at, f"{each}: a person had parted the two at {since}")


RULES = (
    nothing_is_paid_twice,
    nothing_is_paid_over_a_reversal,
    nothing_is_paid_against_a_person,
    every_pay_is_owned,
    money_is_not_used_again,
)
