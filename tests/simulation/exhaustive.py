"""Every order in which attempts, the network, the clock and people can act on one invoice, searched to the end.

`python -m tests.simulation.exhaustive [--acts 2] [--json]` searches all worlds with so many outside actions and prints
what it found. The decisions and the conversation are the real ones; see `model` for what a world is.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from airflow_b24.ledger.facts import Answered
from airflow_b24.ledger.states import State
from tests.simulation.model import ACTS, BEGIN, BEGIN_SMART, GUARDS, KNOWN, NOTHING, OVER, QUIET_TICKS, World, waits_for
from tests.simulation.model_steps import following, step

MOST_LINES = 60
BEGINS = {"legacy": BEGIN, "smart": BEGIN_SMART}


def explore(begin: World, known: dict[World, World | None] | None = None) -> Iterator[World]:
    """Every world that can be reached, once, the nearest first; `known` is told from where."""
    found = {} if known is None else known
    found[begin] = None
    waiting = deque((begin,))
    while waiting:
        world = waiting.popleft()
        yield world
        for after in map(_alike, following(world)):
            if after not in found:
                found[after] = world
                waiting.append(after)


def _alike(world: World) -> World:
    """The two attempts are alike: worlds that differ only in which of them is which are one."""
    (one, other, third), (told, told_other, told_third) = world.logs, world.told
    if (one, told) <= (other, told_other):
        return world
    return world._replace(logs=(other, one, third), told=(told_other, told, told_third))


def finish(world: World) -> World:
    """What one more attempt makes of it once nothing is on its way, nobody acts, and the portal behaves."""
    later = world.clock + QUIET_TICKS + 1
    world = world._replace(logs=((), OVER, OVER), told=(NOTHING,) * 3, clock=later, airborne=(), acts=0)
    while world.logs[0] != OVER:
        steps = list(step(world, 0, waits_for(world.logs[0]), 0))
        world = next((step for step in steps if _is_answered(step)), steps[0])
    return world


def _is_answered(world: World) -> bool:
    return world.told[0] != NOTHING and isinstance(KNOWN[world.told[0]], Answered)


def ended(world: World) -> bool:
    return world.logs[0] == world.logs[1] == OVER


@dataclass(slots=True)
class Found:
    """A search's sums: worlds, how they ended, what was wrong, what no client can close, and the way to each of these."""

    worlds: int = 0
    seconds: float = 0.0
    ends: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    residuals: Counter[str] = field(default_factory=Counter)
    ways: dict[str, list[str]] = field(default_factory=dict)


def search(begin: World) -> Found:
    """Search everything, and let each world in which all attempts have ended be finished by one more."""
    found, started = Found(), time.perf_counter()
    known: dict[World, World | None] = {}
    # Nothing here goes in circles, and looking through millions of worlds for that takes longer than the search.
    gc.disable()
    try:
        for world in explore(begin, known):
            found.worlds += 1
            _note(found, world, known)
            if ended(world):
                _finish(found, world)
    finally:
        gc.enable()
    found.seconds = time.perf_counter() - started
    return found


def _finish(found: Found, world: World) -> None:
    last = finish(world)
    row = last.row(0)
    assert row is not None
    found.ends[f"{row.state.value} {row.how or row.reason or ''}".strip()] += 1
    found.wrong.update(last.wrong - world.wrong)
    if row.state not in {State.PAID, State.REVIEW, State.RELEASED}:
        found.wrong["waits for ever"] += 1


def _note(found: Found, world: World, known: dict[World, World | None]) -> None:
    found.wrong.update(world.wrong)
    found.residuals.update(world.residuals)
    for what in world.wrong | world.residuals:
        if what not in found.ways:
            # The nearest worlds come first, so this way is one of the shortest.
            found.ways[what] = way_to(world, known)


def way_to(world: World, known: dict[World, World | None]) -> list[str]:
    """How a world came to be, a line for each step."""
    steps, before = [_shown(world, known[world])], known[world]
    while before is not None and len(steps) < MOST_LINES:
        steps.append(_shown(before, known[before]))
        before = known[before]
    return steps[::-1]


def _shown(world: World, before: World | None) -> str:
    rows = ", ".join(f"{row.state.value} fence {row.fence}" for row in world.rows if row is not None)
    portal = f"paid by {world.paid}" if world.paid else "unpaid"
    return (
        f"{_step(world, before):24} minute {world.clock}  row {rows}; portal {portal}; in the air {len(world.airborne)}"
    )


def _step(world: World, before: World | None) -> str:
    if before is None:
        return "begin"
    acted = before.left - world.left
    if acted:
        return next(iter(acted))
    if world.clock > before.clock:
        return "a minute passes"
    if len(world.airborne) < len(before.airborne):
        return "a late pay lands"
    return "an attempt goes on"


def main() -> int:
    """Print what the search found; 0 when nothing was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.exhaustive", description=__doc__)
    parser.add_argument("--acts", type=int, default=2, help=f"so many of {', '.join(sorted(ACTS))}, each at most once")
    parser.add_argument("--kind", choices=sorted(BEGINS), default="legacy", help="of the invoice")
    parser.add_argument("--without", default="", help=f"take a guard away: {', '.join(sorted(GUARDS))}")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = search(BEGINS[options.kind]._replace(acts=options.acts, guards=GUARDS - set(options.without.split("+"))))
    told = {"kind": options.kind, **_summary(found, options.acts)}
    print(json.dumps(told, indent=2) if options.json else _text(told))
    return 1 if found.wrong else 0


def _summary(found: Found, acts: int) -> dict[str, Any]:
    return {
        "worlds": found.worlds,
        "outside_actions": acts,
        "seconds": round(found.seconds, 1),
        "violations": dict(found.wrong),
        "residuals": dict(found.residuals),
        "ends": dict(found.ends.most_common()),
        "ways": found.ways,
    }


def _text(told: dict[str, Any]) -> str:
    lines = [
        f"{told['kind']}: {told['worlds']:,} worlds with up to {told['outside_actions']} outside actions in {told['seconds']} s"
    ]
    lines += [f"{name}: {told[name]}" for name in ("ends", "residuals", "violations")]
    for what, steps in told["ways"].items():
        lines += [f"{what}:", *(f"  {step}" for step in steps)]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
