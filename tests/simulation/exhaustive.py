"""Every order in which attempts, the network, the clock and people can act on one invoice, searched to the end.

`python -m tests.simulation.exhaustive [--acts 2]` searches all worlds with so many outside actions and prints what it
found. The decisions and the conversation are the real ones; see `model` for what a world is.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from airflow_b24.ledger.facts import Answered
from airflow_b24.ledger.states import State
from tests.simulation.model import ACTS, BEGIN, GUARDS, OVER, QUIET_TICKS, World, following, step, waits_for


def explore(begin: World) -> Iterator[World]:
    """Every world that can be reached, once."""
    found, waiting = {begin}, [begin]
    yield begin
    while waiting:
        for world in following(waiting.pop()):
            known = len(found)
            found.add(world)
            if len(found) > known:
                waiting.append(world)
                yield world


def finish(world: World) -> World:
    """What one more attempt makes of it once nothing is on its way, nobody acts, and the portal behaves."""
    world = replace(
        world, logs=((), OVER, OVER), told=(None,) * 3, clock=world.clock + QUIET_TICKS + 1, airborne=(), acts=0
    )
    while world.logs[0] != OVER:
        steps = list(step(world, 0, waits_for(world.logs[0]), 0))
        world = next((step for step in steps if isinstance(step.told[0], Answered)), steps[0])
    return world


def ended(world: World) -> bool:
    return world.logs[0] == world.logs[1] == OVER


@dataclass(slots=True)
class Found:
    """A search's sums: worlds, how they ended, what was wrong, and what no client can close."""

    worlds: int = 0
    seconds: float = 0.0
    ends: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    residuals: Counter[str] = field(default_factory=Counter)


def search(begin: World) -> Found:
    """Search everything, and let each world in which all attempts have ended be finished by one more."""
    found, started = Found(), time.perf_counter()
    for world in explore(begin):
        found.worlds += 1
        found.wrong.update(world.wrong)
        found.residuals.update(world.residuals)
        if not ended(world):
            continue
        last = finish(world)
        row = last.row(0)
        assert row is not None
        found.ends[f"{row.state.value} {row.how or row.reason or ''}".strip()] += 1
        found.wrong.update(last.wrong - world.wrong)
        if row.state not in {State.PAID, State.REVIEW, State.RELEASED}:
            found.wrong["waits for ever"] += 1
    found.seconds = time.perf_counter() - started
    return found


def main() -> int:
    """Print what the search found; 0 when nothing was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.exhaustive", description=__doc__)
    parser.add_argument("--acts", type=int, default=3, help=f"so many of {', '.join(sorted(ACTS))}, each at most once")
    parser.add_argument("--without", default="", help=f"take a guard away: {', '.join(sorted(GUARDS))}")
    options = parser.parse_args()
    guards = GUARDS - set(options.without.split("+"))
    found = search(replace(BEGIN, acts=options.acts, guards=guards))
    print(f"{found.worlds:,} worlds with up to {options.acts} outside actions in {found.seconds:.1f} s")
    for name in ("ends", "residuals", "wrong"):
        print(f"{name}: {dict(getattr(found, name).most_common())}")
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
