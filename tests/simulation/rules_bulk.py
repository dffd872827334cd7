"""Rules about a task that pays many: it tells of each what is so, and asks for little."""

from __future__ import annotations

from tests.simulation.checker import Story, Verdict
from tests.simulation.history import RunEnded, Told

# A lane that has to wait too long for the portal's pace ends with this.
BREAKS = {"RefusedError"}
OPEN = {"ready", "sending", "unknown"}
MOST_REQUESTS = 20
LONGEST_S = 7_200.0


def each_is_told_of(story: Story, verdict: Verdict) -> None:
    """Whatever becomes of a batch, each settlement has an outcome, once, which agrees with the ledger."""
    given = {begun.run: begun.settlements for begun in story.runs}
    for end in story.runs_ended:
        if broken := set(end.broken) - BREAKS:
            verdict.blame("broken", end.at, f"{end}: a lane ended with {broken}")
        if end.cause in {"InvariantError", "LedgerError"}:
            verdict.blame("error", end.at, f"{end}")
        if end.cause:
            continue
        if [each.settlement for each in end.told] != list(given[end.run]):
            verdict.blame("untold", end.at, f"{end}: it was given {given[end.run]}")
        for told in end.told:
            _check_told(story, verdict, end, told)


def _check_told(story: Story, verdict: Verdict, end: RunEnded, told: Told) -> None:
    if not told.state:
        if not told.trouble:
            verdict.blame("untold", end.at, f"{told} of {end}: neither a state nor an error")
        return
    changes = story.changes.get(told.settlement, ())
    before = [each for each in changes if each.at < end.began][-1:]
    during = [each for each in changes if end.began <= each.at <= end.at]
    mine = [each.at for each in during if each.actor in {f"lane {number}" for number in end.lanes}]
    if mine:
        # What its own lanes have made of it is known to it.
        before, during = [], [each for each in during if each.at >= mine[-1]]
    said = {(each.after, each.how or "") for each in (*before, *during)}
    if (told.state, told.how) not in said:
        verdict.blame("told", end.at, f"{told} of {end}: the ledger says {said}")
    if (told.state in OPEN) is not bool(told.trouble):
        verdict.blame("told", end.at, f"{told} of {end}: what stands open is told with why, and nothing else is")


def nothing_begins_once_it_was_stopped(story: Story, verdict: Verdict) -> None:
    for stopped in story.runs_stopped:
        for left in story.left:
            promised = story.sending(left.settlement, left.fence) if left.attempt in stopped.lanes else None
            if promised is not None and promised.at > stopped.at:
                verdict.blame("sent_after_stop", left.at, f"{left}: {stopped} had been told to end")


def runs_ask_for_little(story: Story, verdict: Verdict) -> None:
    """The requests of all lanes, and the time they take, are bounded for each settlement."""
    given = {begun.run: begun.settlements for begun in story.runs}
    for end in story.runs_ended:
        verdict.bulk["runs"] += 1
        verdict.bulk["requests"] += end.requests
        if end.requests > MOST_REQUESTS * len(given[end.run]) or end.at - end.began > LONGEST_S:
            verdict.blame("unbounded", end.at, f"{end}")


def pays_are_counted(story: Story, verdict: Verdict) -> None:
    """How much went in batches, so that it is never none without anybody seeing it."""
    verdict.bulk["batches"] += len({left.batch for left in story.left if left.batch})
    verdict.bulk["pays"] += sum(1 for pay in story.executed if pay.batch and pay.moved)


RULES = (each_is_told_of, nothing_begins_once_it_was_stopped, runs_ask_for_little, pays_are_counted)
