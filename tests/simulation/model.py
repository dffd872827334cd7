"""One invoice, its attempts, the network, the clock and people, as a value; and every next step of anybody."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

from airflow_b24.ledger.decide import retried, reviewed
from airflow_b24.ledger.facts import Answered, Decision, Refused, Row, Seen, Unknown
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
from airflow_b24.ledger.states import TRANSITIONS, State

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
TICK = timedelta(seconds=60)
QUIET_TICKS = 1
PATIENCE = Patience(window_s=0, deadline_s=60, server_run_s=60, rounds=1, looks=(0.0,), longest_pause_s=0)
DEAD = "dead"
LOST = Unknown("lost")
GUARDS = frozenset({"fence", "window", "quiet", "hold", "snapshot", "release"})
ACTS = frozenset({"crash", "hand", "comment", "reverse", "price", "release", "hold", "second", "sweep", "retry"})
PRICE, OTHER_PRICE = 11800, 11900


class Marks(dict[str, str]):
    """What the portal shows, as a part of a state."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(self.items()))


# Rows and replies by a number, and back: a world is compared with thousands of others.
NUMBERS: dict[Any, int] = {}
KNOWN: list[Any] = []


def number(value: Any) -> int:
    """The number that stands for a value in every world."""
    found = NUMBERS.setdefault(value, len(KNOWN))
    if found == len(KNOWN):
        KNOWN.append(value)
    return found


@dataclass(frozen=True, slots=True)
class Flight:
    """A pay on its way: whose, since when, and what the portal's status had been when it was decided."""

    settlement: int
    sent: int
    status: int


@dataclass(frozen=True, slots=True)
class World:
    """The ledger's rows, the portal, what is on its way, what each attempt has been told, and who may still act."""

    numbers: tuple[int | None, ...]
    logs: tuple[tuple[int, ...], ...] = ((), (), ())
    told: tuple[Any, ...] = (None, None, None)
    paid: str = ""
    price: int = PRICE
    status: int = 0
    bound: bool = False
    clock: int = 0
    airborne: tuple[Flight, ...] = ()
    left: frozenset[str] = ACTS
    acts: int = 0
    wrong: frozenset[str] = frozenset()
    residuals: frozenset[str] = frozenset()
    guards: frozenset[str] = field(default=GUARDS, repr=False, compare=False)
    done: frozenset[int] = frozenset()
    retried: bool = False
    hand_paid_at: int = -1

    def row(self, place: int) -> Row | None:
        found = self.numbers[place]
        return None if found is None else KNOWN[found]

    @property
    def rows(self) -> tuple[Row | None, ...]:
        return tuple(None if each is None else KNOWN[each] for each in self.numbers)

    @property
    def now(self) -> datetime:
        return NOON + self.clock * TICK

    def see(self) -> Seen:
        marks = Marks(PRICE=str(self.price), DATE_STATUS=str(self.status), PAY_SYSTEM_ID="31" if self.bound else "6")
        paid_on = date(2026, 11, 22) if self.paid else None
        return Seen(bool(self.paid), cancelled=False, amount=self.price, currency="RUB", paid_on=paid_on, marks=marks)

    def blame(self, what: str) -> World:
        return replace(self, wrong=self.wrong | {what})

    def put(self, row: Row) -> World:
        place = row.id - 1
        return replace(self, numbers=_at(self.numbers, place, number(row)))

    def reply(self, who: int, said: Any) -> World:
        log = (*self.logs[who], number(said))
        if said is DEAD or waits_for(log) is None:
            # However it ended, it will do nothing more: such worlds are one.
            log = OVER
        return replace(self, logs=_at(self.logs, who, log), told=_at(self.told, who, None))

    def land(self, flight: Flight) -> World:
        """Our pay runs on the portal."""
        row = self.row(flight.settlement - 1)
        world = self
        if self.paid == "us":
            world = world.blame("double")
        if row is not None and row.state is State.RELEASED:
            world = world.blame("landed after its release")
        if not self.paid and flight.settlement in self.done and not self.retried:
            world = world.blame("against a person")
        if not self.paid and self.status > flight.status:
            crossed = self.hand_paid_at > flight.status
            world = (
                replace(world, residuals=world.residuals | {"paid and reversed"})
                if crossed
                else world.blame("over a reversal")
            )
        # The pay system is bound anew each time, the status moves once.
        status = self.status if self.paid else self.status + 1
        return replace(world, paid="us", status=status, bound=True, done=self.done | {flight.settlement})


def _at(items: tuple[Any, ...], place: int, item: Any) -> tuple[Any, ...]:
    return (*items[:place], item, *items[place + 1 :])


def settlement(settlement_id: int) -> Row:
    return Row(
        id=settlement_id,
        portal_id=1,
        kind="legacy",
        invoice_id=2,
        invoice_number="2026/2",
        origin="match",
        state=State.READY,
        fence=0,
        expected=PRICE,
        currency="RUB",
        exponent=2,
        claimed_at=NOON,
        booked_on=date(2026, 11, 20),
        document_number="17",
    )


OVER = (number(DEAD),)
BEGIN = World((number(settlement(1)), None))


@cache
def waits_for(log: tuple[int, ...]) -> Any:
    """The effect an attempt is at after these replies, None when it has ended."""
    conversation, replies, reply = settle(1, PATIENCE), iter(log), None
    try:
        while True:
            effect = conversation.send(reply)
            if isinstance(effect, (Reserve, Pause)):
                reply = None
                continue
            said = next(replies, None)
            if said is None:
                return effect
            reply = KNOWN[said]
    except StopIteration:
        return None


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
        yield replace(world.land(flight), airborne=world.airborne[:place] + world.airborne[place + 1 :])
    if world.clock < QUIET_TICKS + 1:
        flying = tuple(flight for flight in world.airborne if flight.sent + QUIET_TICKS > world.clock + 1)
        yield replace(world, clock=world.clock + 1, airborne=flying)
    if world.acts:
        yield from (_spent(after, act) for act in world.left for after in _act(world, act))


def _spent(world: World, act: str) -> World:
    return replace(world, left=world.left - {act}, acts=world.acts - 1)


def _act(world: World, act: str) -> Iterator[World]:
    """What a person, the bank or the sweep may do now."""
    row = world.row(0)
    assert row is not None
    if act == "hand" and not world.paid:
        yield replace(world, paid="hand", status=world.status + 1, hand_paid_at=world.status + 1)
    elif act == "comment" and world.paid:
        # EMP_PAYED_ID and DATE_PAYED become the person's; nothing that decides may look at them.
        yield replace(world)
    elif act == "reverse" and world.paid:
        yield replace(world, paid="", status=world.status + 1)
    elif act == "price":
        yield replace(world, price=OTHER_PRICE)
    elif act == "hold" and row.state not in {State.PAID, State.RELEASED}:
        yield world.put(replace(row, hold="amended"))
    elif act == "second" and world.numbers[1] is None and row.state is State.RELEASED:
        yield world.put(settlement(2))
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
        yield _believed(replace(moved, retried=world.retried or act == "retry"), decision)


def step(world: World, who: int, effect: Any, place: int) -> Iterator[World]:
    row = world.row(place)
    assert row is not None
    match effect:
        case Commit():
            yield _commit(world, who, effect, row)
        case Exchange(pay=True) if world.told[who] is None:
            yield from _send(world, who, effect, row)
        case Exchange():
            yield world.reply(who, Exchanged(world.told[who], world.see(), began=float(world.clock)))
        case Look():
            yield world.reply(who, replace(row, claimed_at=world.now))
        case _:
            yield _claim(world, who, row)


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
    sending = effect.decision.state is State.SENDING
    if sending and effect.read_at != world.clock:
        return world.reply(who, Committed(None, stale=True))
    mine = (row.fence, row.state) == (effect.row.fence, effect.row.state)
    held = sending and row.hold is not None
    if ("fence" in world.guards and not mine) or ("hold" in world.guards and held):
        return world.reply(who, Committed(None))
    if effect.decision.state not in TRANSITIONS[effect.row.state]:
        world = world.blame("no way through the table")
    changes = _hashable(applied(effect.row, effect.decision))
    if sending:
        changes |= {"quiet_until": world.now + QUIET_TICKS * TICK, "pay_system": "31"}
    moved = replace(row, **changes, claimed_at=world.now)
    if held:
        world = world.blame("sent while held")
    return _believed(world.put(moved), effect.decision).reply(who, Committed(moved, send_before=float(world.clock)))


def _hashable(changes: dict[str, Any]) -> dict[str, Any]:
    """A world must be a value, down to the marks in its rows."""
    return {name: Marks(value) if name == "snapshot" else value for name, value in changes.items()}


def _believed(world: World, decision: Decision) -> World:
    """`paid` must be what the portal showed: paid, at the expected price, and by us only if we ever sent."""
    if decision.state is not State.PAID:
        return world
    shown = decision.evidence or {}
    if not shown.get("paid") or shown.get("amount") != PRICE:
        return world.blame("believed without proof")
    if decision.how == "sent" and not any(row and row.sends for row in world.rows):
        return world.blame("called ours, and nothing was sent")
    return world


def _send(world: World, who: int, effect: Exchange, row: Row) -> Iterator[World]:
    """What can become of a pay: too late, refused, lost, executed with or without an answer, or still on its way."""
    if "window" in world.guards and effect.send_before != world.clock:
        refusal = Refused("SEND_WINDOW_PASSED", "", repeatable=True, wait_s=0.0)
        yield world.reply(who, Exchanged(refusal, Unknown("not read"), began=float(world.clock)))
        return
    refusal = Refused("QUERY_LIMIT_EXCEEDED", "", repeatable=True, wait_s=0.0)
    yield world.reply(who, Exchanged(refusal, Unknown("not read"), began=float(world.clock)))
    flight = Flight(row.id, world.clock, int(dict(effect.row.snapshot or {})["DATE_STATUS"]))
    for told in (LOST, Answered()):
        landed = world.land(flight)
        yield replace(landed, told=_at(landed.told, who, told))
    yield replace(world, told=_at(world.told, who, LOST))
    yield replace(world, told=_at(world.told, who, LOST), airborne=(*world.airborne, flight))
