"""Rules about the stage of parts: a move there un-pays nothing that we, or a person whom we could have seen, paid."""

from __future__ import annotations

from tests.simulation.checker import NEVER, Story, Verdict
from tests.simulation.history import Changed, PartialLeft, PartialMoved

TELLS = {"overtaken", "reversed"}


def every_partial_move_was_promised(story: Story, verdict: Verdict) -> None:
    """Before its first byte leaves its quiet time is durable, after a read that said unpaid."""
    for left in story.partial_left:
        promised = _promise(story, left)
        if promised is None or promised.at > left.at or promised.invoice != left.invoice:
            verdict.blame("partial_no_promise", left.at, f"{left}: no quiet time with this fence was durable")
        elif _read_of(story, promised) == NEVER:
            verdict.blame("partial_unread", left.at, f"{left}: moved without a read that said unpaid")


def nothing_is_sent_while_one_may_land(story: Story, verdict: Verdict) -> None:
    for changes in story.changes.values():
        quiet_until = None
        for change in changes:
            if change.after == "sending" and change.sends == 1 and quiet_until is not None and change.at < quiet_until:
                verdict.blame("partial_may_land", change.at, f"{change}: a move may land until {quiet_until}")
            quiet_until = change.quiet_until if change.sends == 0 else None


def nothing_is_unpaid_by_it(story: Story, verdict: Verdict) -> None:
    for move in story.partial_moved:
        verdict.partial["out of paid" if move.was_paid else "moved"] += 1
        if not move.was_paid:
            continue
        promised = _promise(story, move)
        read_of = _read_of(story, promised) if promised else NEVER
        paid = story.before(move.invoice, move.at)
        if move.left_at < move.send_before and (paid.by == "us" or paid.at < read_of):
            verdict.blame("unpaid_by_us", move.at, f"{move} took it out of {paid}")
        else:
            verdict.residuals["partial"] += 1
            _check_told(story, verdict, move)


def _check_told(story: Story, verdict: Verdict, move: PartialMoved) -> None:
    last = story.shown[move.invoice][-1]
    told = any(case["settlement_id"] == move.settlement and case["kind"] in TELLS for case in story.history.cases)
    rows = [row for row in story.history.settlements if row["id"] == move.settlement]
    if last.what == "partial" and not told and rows[0]["state"] not in {"review", "released"}:
        verdict.blame("partial_unseen", move.at, f"{move}: it stands there, and nobody was told")


def _promise(story: Story, move: PartialLeft | PartialMoved) -> Changed | None:
    for change in story.changes.get(move.settlement, ()):
        if change.fence == move.fence and change.after == "collecting" and change.quiet_until is not None:
            return change
    return None


def _read_of(story: Story, promised: Changed) -> float:
    """The moment whose truth the move was decided on."""
    read = story.last_read(promised.actor, promised.invoice, promised.at)
    return NEVER if read is None or read.paid else read.of


RULES = (every_partial_move_was_promised, nothing_is_sent_while_one_may_land, nothing_is_unpaid_by_it)
