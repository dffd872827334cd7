"""Every next step of anybody in a world of the exhaustive search: an attempt, the network, the clock, a person, the bank."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from airflow_b24.ledger.decide import retried, reviewed
from airflow_b24.ledger.facts import Answered, Decision, Refused, Row, Unknown
from airflow_b24.ledger.settlement import Commit, Committed, Exchange, Exchanged, Look, applied
from airflow_b24.ledger.states import State, may_follow
from tests.simulation.model import (
    DEAD,
    KNOWN,
    NOTHING,
    OVER,
    PRICE,
    QUIET_TICKS,
    TICK,
    Flight,
    Marks,
    World,
    at,
    number,
    settlement,
    waits_for,
)

OTHER_PRICE = 11900
# What moves with each change of being paid, and what a call goes through.
STATUS = {"legacy": "DATE_STATUS", "smart": "movedTime"}
THROUGH = {"legacy": "31", "smart": "stage:DT31_5:P"}
LOST, TOLD_TRUE = number(Unknown("lost")), number(Answered())


def following(world: World) -> Iterator[World]:
    """Every world that one more step of anybody leads to."""
    for who, log in enumerate(world.logs):
        place = who // 2
        effect = None if log == OVER or world.numbers[place] is None else waits_for(log)
        if effect is None:
            continue
        yield from step(world, who, effect, place)
        if world.acts and "crash" in world.left:
            yield _spent(world.reply(who, DEAD), "crash")
    for place, flight in enumerate(world.airborne):
        yield world.land(flight)._replace(airborne=world.airborne[:place] + world.airborne[place + 1 :])
    if world.clock < QUIET_TICKS + 1:
        flying = tuple(flight for flight in world.airborne if flight.sent + QUIET_TICKS > world.clock + 1)
        yield world._replace(clock=world.clock + 1, airborne=flying)
    if world.acts:
        yield from (_spent(after, act) for act in world.left for after in _act(world, act))


def _spent(world: World, act: str) -> World:
    return world._replace(left=world.left - {act}, acts=world.acts - 1)


def _act(world: World, act: str) -> Iterator[World]:
    """What a person, the bank or the sweep may do now."""
    row = world.row(0)
    assert row is not None
    if act == "hand" and not world.paid:
        yield world._replace(paid="hand", status=world.status + 1, hand_paid_at=world.status + 1)
    elif act == "comment" and world.paid:
        # EMP_PAYED_ID and DATE_PAYED become the person's; nothing that decides may look at them.
        yield world
    elif act == "reverse" and world.paid:
        yield world._replace(paid="", status=world.status + 1)
    elif act == "price":
        yield world._replace(price=OTHER_PRICE)
    elif act == "hold" and row.state not in {State.PAID, State.RELEASED}:
        yield world.put(replace(row, hold="amended"))
    elif act == "second" and world.numbers[1] is None and row.state is State.RELEASED:
        yield world.put(settlement(2, world.kind))
    elif act == "release":
        yield from _release(world, row)
    elif act in {"sweep", "retry"} and row.state is State.REVIEW:
        yield from _reopen(world, replace(row, claimed_at=world.now), act)


def _release(world: World, row: Row) -> Iterator[World]:
    if row.state not in {State.READY, State.REVIEW}:
        return
    quiet = row.quiet_until is None or row.quiet_until <= world.now
    safe = not row.in_flight or (quiet and not world.paid)
    if safe or "release" not in world.guards:
        after = world.put(replace(row, state=State.RELEASED, fence=row.fence + 1))
        yield after.blame("released while our pay stands") if world.paid == "us" and row.in_flight else after


def _reopen(world: World, row: Row, act: str) -> Iterator[World]:
    """The sweep closes a review by itself; a person may try once more, when nothing can land any more."""
    decision: Decision | None
    if act == "sweep":
        decision = reviewed(row, world.see())
    else:
        quiet = row.quiet_until is None or row.quiet_until <= world.now or not row.in_flight
        decision = retried(row, world.see()) if quiet and not world.paid else None
    if decision is not None and decision.state is not State.REVIEW:
        moved = world.put(replace(row, **_hashable(applied(row, decision))))
        yield _believed(moved._replace(retried=world.retried or act == "retry"), row, decision)


def step(world: World, who: int, effect: Any, place: int) -> Iterator[World]:
    row = world.row(place)
    assert row is not None
    match effect:
        case Commit():
            yield _commit(world, who, effect, row)
        case Exchange(pay=True) if world.told[who] == NOTHING:
            yield from _send(world, who, effect, row)
        case Exchange():
            yield world.reply(who, Exchanged(_told(world, who), world.see(), began=float(world.clock)))
        case Look():
            yield world.reply(who, replace(row, claimed_at=world.now))
        case _:
            yield _claim(world, who, row)


def _told(world: World, who: int) -> Any:
    return None if world.told[who] == NOTHING else KNOWN[world.told[who]]


def _claim(world: World, who: int, row: Row) -> World:
    row = replace(row, claimed_at=world.now)
    if row.state in {State.READY, State.SENDING, State.UNKNOWN}:
        state = State.READY if row.state is State.READY else State.UNKNOWN
        row = replace(row, fence=row.fence + 1, state=state)
        world = world.put(row)
    if "quiet" not in world.guards:
        row = replace(row, quiet_until=None)
    if "snapshot" not in world.guards:
        row = replace(row, snapshot=world.see().marks)
    return world.reply(who, row)


def _commit(world: World, who: int, effect: Commit, row: Row) -> World:
    if effect.is_stale(float(world.clock)):
        return world.reply(who, Committed(None, stale=True))
    sending = effect.decision.state is State.SENDING
    mine = (row.fence, row.state) == (effect.row.fence, effect.row.state)
    held = sending and row.hold is not None
    if ("fence" in world.guards and not mine) or ("hold" in world.guards and held):
        return world.reply(who, Committed(None))
    if not may_follow(effect.row.state, effect.decision.state):
        world = world.blame("no way through the table")
    changes = _hashable(applied(effect.row, effect.decision))
    if sending:
        changes |= {"quiet_until": world.now + QUIET_TICKS * TICK, "pay_system": THROUGH[world.kind]}
    moved = replace(row, **changes, claimed_at=world.now)
    if held:
        world = world.blame("sent while held")
    return _believed(world.put(moved), row, effect.decision).reply(
        who, Committed(moved, send_before=float(world.clock))
    )


def _hashable(changes: dict[str, Any]) -> dict[str, Any]:
    """A world must be a value, down to the marks in its rows."""
    return {name: Marks(value) if name == "snapshot" else value for name, value in changes.items()}


def _believed(world: World, row: Row, decision: Decision) -> World:
    """`paid` must be what the portal showed: paid, at the expected price, and by us only if we ever sent.

    Where the portal tells who it was, that is believed too; only what sent nothing may take our user for a person.
    """
    if decision.state is not State.PAID:
        return world
    shown = decision.evidence or {}
    if not shown.get("paid") or shown.get("amount") != PRICE:
        return world.blame("believed without proof")
    if decision.how == "sent" and not any(row and row.sends for row in world.rows):
        return world.blame("called ours, and nothing was sent")
    if decision.how == "sent" and shown.get("paid_by_us") is False:
        return world.blame("called ours, and a person did it")
    if decision.how == "by_hand" and shown.get("paid_by_us") and row.in_flight:
        return world.blame("called a person's, and we did it")
    return world


def _send(world: World, who: int, effect: Exchange, row: Row) -> Iterator[World]:
    """What can become of a pay: too late, refused, lost, executed with or without an answer, or still on its way."""
    if "window" in world.guards and effect.send_before != world.clock:
        refusal = Refused("SEND_WINDOW_PASSED", "", repeatable=True, wait_s=0.0)
        yield world.reply(who, Exchanged(refusal, Unknown("not read"), began=float(world.clock)))
        return
    refusal = Refused("QUERY_LIMIT_EXCEEDED", "", repeatable=True, wait_s=0.0)
    yield world.reply(who, Exchanged(refusal, Unknown("not read"), began=float(world.clock)))
    flight = Flight(row.id, world.clock, int(dict(effect.row.snapshot or {})[STATUS[world.kind]]))
    for told in (LOST, TOLD_TRUE):
        landed = world.land(flight)
        yield landed._replace(told=at(landed.told, who, told))
    yield world._replace(told=at(world.told, who, LOST))
    yield world._replace(told=at(world.told, who, LOST), airborne=(*world.airborne, flight))
