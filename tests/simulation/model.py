"""One invoice, its attempts, the network, the clock and people, as a value: a world of the exhaustive search."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from airflow_b24.ledger.facts import Kind, Row, Seen
from airflow_b24.ledger.settlement import Patience, Pause, Reserve, settle
from airflow_b24.ledger.states import State

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
TICK = timedelta(seconds=60)
QUIET_TICKS = 1
PATIENCE = Patience(window_s=0, deadline_s=60, server_run_s=60, rounds=1, looks=(0.0,), longest_pause_s=0)
DEAD = "dead"
GUARDS = frozenset({"fence", "window", "quiet", "hold", "snapshot", "release"})
ACTS = frozenset({"crash", "hand", "comment", "reverse", "price", "release", "hold", "second", "sweep", "retry"})
PRICE = 11800
NOTHING = -1


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


class Flight(NamedTuple):
    """A pay on its way: whose, since when, and what the portal's status had been when it was decided."""

    settlement: int
    sent: int
    status: int


class World(NamedTuple):
    """The ledger's rows, the portal, what is on its way, what each attempt has been told, and who may still act.

    A tuple, for speed: millions of them are made and compared.
    """

    numbers: tuple[int | None, ...]
    logs: tuple[tuple[int, ...], ...] = ((), (), ())
    told: tuple[int, ...] = (NOTHING, NOTHING, NOTHING)
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
    guards: frozenset[str] = GUARDS
    done: frozenset[int] = frozenset()
    retried: bool = False
    hand_paid_at: int = -1
    kind: Kind = "legacy"

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
        paid_on = date(2026, 11, 22) if self.paid else None
        shown = Seen(bool(self.paid), cancelled=False, amount=self.price, currency="RUB", paid_on=paid_on)
        if self.kind == "smart":
            # It tells who moved it, for sure.
            by_us = self.paid == "us" if self.paid else None
            return replace(
                shown, marks=Marks(opportunity=str(self.price), movedTime=str(self.status)), paid_by_us=by_us
            )
        bound = "31" if self.bound else "6"
        return replace(shown, marks=Marks(PRICE=str(self.price), DATE_STATUS=str(self.status), PAY_SYSTEM_ID=bound))

    def blame(self, what: str) -> World:
        return self._replace(wrong=self.wrong | {what})

    def put(self, row: Row) -> World:
        place = row.id - 1
        return self._replace(numbers=at(self.numbers, place, number(row)))

    def reply(self, who: int, said: Any) -> World:
        log = (*self.logs[who], number(said))
        if said is DEAD or waits_for(log) is None:
            # However it ended, it will do nothing more: such worlds are one.
            log = OVER
        return self._replace(logs=at(self.logs, who, log), told=at(self.told, who, NOTHING))

    def land(self, flight: Flight) -> World:
        """Our pay runs on the portal."""
        row = self.row(flight.settlement - 1)
        world = self
        if self.kind == "smart" and self.paid:
            # It is in that stage already: nothing moves, whoever moved it.
            is_released = row is not None and row.state is State.RELEASED
            return self.blame("landed after its release") if is_released else self
        if self.paid == "us":
            world = world.blame("double")
        if row is not None and row.state is State.RELEASED:
            world = world.blame("landed after its release")
        if not self.paid and flight.settlement in self.done and not self.retried:
            world = world.blame("against a person")
        if not self.paid and self.status > flight.status:
            crossed = self.hand_paid_at > flight.status
            seen = world._replace(residuals=world.residuals | {"paid and reversed"})
            world = seen if crossed else world.blame("over a reversal")
        # The pay system is bound anew each time, the status moves once.
        status = self.status if self.paid else self.status + 1
        return world._replace(
            paid="us", status=status, bound=self.kind == "legacy", done=self.done | {flight.settlement}
        )


def at(items: tuple[Any, ...], place: int, item: Any) -> tuple[Any, ...]:
    return (*items[:place], item, *items[place + 1 :])


def settlement(settlement_id: int, kind: Kind = "legacy") -> Row:
    return Row(
        id=settlement_id,
        portal_id=1,
        kind=kind,
        invoice_id=2,
        invoice_number="2026/2",
        origin="match",
        state=State.READY,
        fence=0,
        expected=PRICE,
        currency="RUB",
        exponent=2,
        created_at=NOON,
        claimed_at=NOON,
        booked_on=date(2026, 11, 20),
        document_number="17",
    )


OVER = (number(DEAD),)
BEGIN = World((number(settlement(1)), None))
BEGIN_SMART = World((number(settlement(1, "smart")), None), kind="smart")


@cache
def waits_for(log: tuple[int, ...]) -> Any:
    """The effect an attempt is at after these replies, None when it has ended."""
    conversation, replies, reply = settle(settlement(1), PATIENCE), iter(log), None
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
