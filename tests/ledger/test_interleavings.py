"""Every order in which two attempts, the network, the clock and a person can act on one settlement, searched to the end.

A world is a value. An attempt is the list of replies it was given: replayed, they bring its generator to the same place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cache
from typing import Any

import pytest

from airflow_b24.ledger.decide import TRANSITIONS, Answered, Refused, Row, Seen, State, Unknown
from airflow_b24.ledger.settlement import (
    Commit,
    Committed,
    Exchange,
    Exchanged,
    Look,
    Patience,
    Pause,
    Reserve,
    applied,
    settle,
)

TICK = timedelta(seconds=60)
QUIET_TICKS = 1
PATIENCE = Patience(window_s=0, deadline_s=60, server_run_s=60, rounds=1, looks=(0.0,), longest_pause_s=0)
DEAD = "dead"
LOST = Unknown("lost")
GUARDS = frozenset({"fence", "window", "quiet", "hold"})


@dataclass(frozen=True)
class World:
    """The row, the portal, what is on its way, and what each attempt has been told so far."""

    row: Row
    logs: tuple[tuple[Any, ...], ...] = ((), ())
    told: tuple[Any, ...] = (None, None)
    paid: bool = False
    executed: int = 0
    touched: int = 0
    clock: int = 0
    airborne: tuple[int, ...] = ()
    crashes: int = 1
    reversals: int = 0
    holds: int = 0
    vetoed: bool = False
    guards: frozenset[str] = field(default=GUARDS, repr=False)

    def see(self) -> Seen:
        marks: Any = (("touched", str(self.touched)),)
        paid_on = date(2026, 11, 22) if self.paid else None
        return Seen(self.paid, cancelled=False, amount=11800, currency="RUB", paid_on=paid_on, marks=marks)

    def land(self) -> World:
        return replace(self, paid=True, executed=self.executed + 1, touched=self.touched + 1)

    def reply(self, who: int, said: Any) -> World:
        log = (*self.logs[who], said)
        if said is DEAD or waits_for(log) is None:
            # However it ended, it will do nothing more: such worlds are one.
            log = (DEAD,)
        return replace(self, logs=_at(self.logs, who, log), told=_at(self.told, who, None))


def _at(items: tuple[Any, ...], place: int, item: Any) -> tuple[Any, ...]:
    return (*items[:place], item, *items[place + 1 :])


@cache
def waits_for(log: tuple[Any, ...]) -> Any:
    """The effect an attempt is at after these replies, None when it has ended."""
    conversation, replies, reply = settle(1, PATIENCE), iter(log), None
    try:
        while True:
            effect = conversation.send(reply)
            if isinstance(effect, (Reserve, Pause)):
                reply = None
                continue
            reply = next(replies, DEAD)
            if reply is DEAD:
                return effect
    except StopIteration:
        return None


def following(world: World, begin: Row) -> Iterator[World]:
    """Every world that one more step of anybody leads to."""
    for who, log in enumerate(world.logs):
        effect = None if log == (DEAD,) else waits_for(log)
        if effect is None:
            continue
        yield from _step(world, who, effect, begin)
        if world.crashes:
            yield replace(world.reply(who, DEAD), crashes=world.crashes - 1)
    for place, _ in enumerate(world.airborne):
        yield replace(world.land(), airborne=world.airborne[:place] + world.airborne[place + 1 :])
    if world.clock < QUIET_TICKS + 1:
        left = tuple(sent for sent in world.airborne if sent + QUIET_TICKS > world.clock + 1)
        yield replace(world, clock=world.clock + 1, airborne=left)
    if world.reversals and world.paid:
        yield replace(world, paid=False, touched=world.touched + 1, reversals=world.reversals - 1)
    if world.holds and world.row.state is not State.PAID:
        yield replace(world, row=replace(world.row, hold="amended"), holds=world.holds - 1)


def _step(world: World, who: int, effect: Any, begin: Row) -> Iterator[World]:
    now = begin.claimed_at + world.clock * TICK
    match effect:
        case Commit():
            yield _commit(world, who, effect, now)
        case Exchange(pay=True) if world.told[who] is None:
            yield from _send(world, who, effect, now)
        case Exchange():
            yield world.reply(who, Exchanged(world.told[who], world.see(), began=float(world.clock)))
        case Look():
            yield world.reply(who, replace(world.row, claimed_at=now))
        case _:
            yield _claim(world, who, now)


def _claim(world: World, who: int, now: Any) -> World:
    row = replace(world.row, claimed_at=now)
    if row.state in {State.READY, State.SENDING, State.UNKNOWN}:
        state = State.READY if row.state is State.READY else State.UNKNOWN
        row = replace(row, fence=row.fence + 1, state=state)
        world = replace(world, row=row)
    if "quiet" not in world.guards:
        row = replace(row, quiet_until=None)
    return world.reply(who, row)


def _commit(world: World, who: int, effect: Commit, now: Any) -> World:
    sending = effect.decision.state is State.SENDING
    if sending and effect.read_at != world.clock:
        return world.reply(who, Committed(None, stale=True))
    mine = (world.row.fence, world.row.state) == (effect.row.fence, effect.row.state)
    held = sending and world.row.hold is not None
    if ("fence" in world.guards and not mine) or ("hold" in world.guards and held):
        return world.reply(who, Committed(None))
    assert effect.decision.state in TRANSITIONS[effect.row.state]
    changes = applied(effect.row, effect.decision)
    if sending:
        changes |= {"snapshot": tuple(changes["snapshot"].items()), "quiet_until": now + QUIET_TICKS * TICK}
    row = replace(world.row, **changes, claimed_at=now)
    vetoed = world.vetoed or held
    return replace(world, row=row, vetoed=vetoed).reply(who, Committed(row, send_before=float(world.clock)))


def _send(world: World, who: int, effect: Exchange, now: Any) -> Iterator[World]:
    """What can become of a pay: too late, refused, lost, executed with or without an answer, or still on its way."""
    if "window" in world.guards and effect.send_before != world.clock:
        refusal = Refused("SEND_WINDOW_PASSED", "", repeatable=True, wait_s=0.0)
        yield world.reply(who, Exchanged(refusal, Unknown("not read"), began=float(world.clock)))
        return
    refusal = Refused("QUERY_LIMIT_EXCEEDED", "", repeatable=True, wait_s=0.0)
    yield world.reply(who, Exchanged(refusal, Unknown("not read"), began=float(world.clock)))
    for told in (LOST, Answered()):
        yield replace(world.land(), told=_at(world.told, who, told))
    yield replace(world, told=_at(world.told, who, LOST))
    yield replace(world, told=_at(world.told, who, LOST), airborne=(*world.airborne, world.clock))


def explore(begin: World) -> Iterator[World]:
    """Every world that can be reached, once."""
    found, waiting = {begin}, [begin]
    yield begin
    while waiting:
        for world in following(waiting.pop(), begin.row):
            if world not in found:
                found.add(world)
                waiting.append(world)
                yield world


@cache
def reached(begin: World) -> frozenset[World]:
    return frozenset(explore(begin))


def finish(world: World) -> World:
    """What one more attempt makes of it once nothing is on its way and the portal behaves."""
    begin = replace(world.row, claimed_at=world.row.claimed_at - world.clock * TICK)
    world = replace(world, logs=((),), told=(None,), clock=world.clock + QUIET_TICKS + 1, airborne=(), crashes=0)
    while world.logs != ((DEAD,),):
        effect = waits_for(world.logs[0])
        steps = list(_step(world, 0, effect, begin))
        world = next((step for step in steps if isinstance(step.told[0], Answered)), steps[0])
    return world


@pytest.fixture
def begin(book: Any) -> World:
    return World(book.open())


def ended(world: World) -> bool:
    return all(log == (DEAD,) for log in world.logs)


def test_no_order_of_two_attempts_pays_twice_or_believes_without_proof(begin: World) -> None:
    found = reached(begin)
    assert len(found) > 10_000
    assert max(world.executed for world in found) == 1
    believed = [world for world in found if world.row.state is State.PAID]
    assert {(world.row.how, world.paid, world.executed) for world in believed} == {("sent", True, 1)}
    assert not [world for world in found if world.row.state is State.REVIEW]


def test_whatever_happened_one_more_attempt_after_the_quiet_time_ends_it_paid_once(begin: World) -> None:
    ends = {finish(world) for world in reached(begin) if ended(world)}
    assert {(world.row.state, world.executed) for world in ends} == {(State.PAID, 1)}


def test_with_a_reversal_in_between_nothing_is_paid_a_second_time(begin: World) -> None:
    found = set(explore(replace(begin, reversals=1)))
    ends = {finish(world) for world in found if ended(world)}
    assert max(world.executed for world in found | ends) == 1
    assert {world.row.reason for world in found | ends if world.row.state is State.REVIEW} == {
        "landed_then_changed",
        "true_but_unpaid",
    }


def test_a_hold_at_any_moment_stops_what_is_not_sent_yet_and_the_end_is_paid_once_or_a_review(begin: World) -> None:
    found = set(explore(replace(begin, holds=1)))
    ends = {finish(world) for world in found if ended(world)}
    assert not [world for world in found if world.vetoed]
    assert max(world.executed for world in found | ends) == 1
    assert {(world.row.state, world.row.reason, world.executed) for world in ends} == {
        (State.PAID, None, 1),
        (State.REVIEW, "held", 0),
    }


def test_without_the_veto_the_search_finds_a_send_of_held_money(begin: World) -> None:
    held = replace(begin, holds=1, guards=GUARDS - {"hold"})
    assert any(world.vetoed for world in explore(held))


@pytest.mark.parametrize("guard", sorted(GUARDS - {"hold"}))
def test_without_any_one_guard_the_search_finds_the_second_pay(begin: World, guard: str) -> None:
    assert any(world.executed > 1 for world in explore(replace(begin, guards=GUARDS - {guard})))
