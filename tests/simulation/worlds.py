"""Small worlds drawn from a seed: invoices, payments with what was meant by them, people, faults, and what Airflow starts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random

from tests.simulation import crowds, offices, payers
from tests.simulation.crowds import Bulk, Settling
from tests.simulation.funnels import PARTS
from tests.simulation.history import Key
from tests.simulation.offices import LEGACY, Kinds, Office
from tests.simulation.payers import PAYERS, TODAY, Bill, Transfer

# Alike in every way that a hurried payer, or a loose rule, may mix up.
NUMBERS = ("2026/12", "2026/13", "2026/112", "INV-45", "45", "СЧ-104", "104")
PRICES = (11800, 11800, 11800, 36000, 23600)

ON_THE_PORTAL = (
    "pay",
    "pay_earlier",
    "pay_voucher",
    "pay_other_voucher",
    "cancel",
    "uncancel",
    "reverse",
    "price",
    "comment",
    "number",
    "company",
    "delete",
    "pay_and_reverse",
    "pay_system",
    "undo",
)
PORTAL_WEIGHTS = (7, 2, 3, 2, 3, 1, 7, 4, 6, 1, 2, 1, 1, 1, 1)
IN_THE_LEDGER = ("release", "release", "release", "retry", "accept", "close", "plain_pay", "release_paid", "sweep")


@dataclass(frozen=True, slots=True)
class Deed:
    """Somebody does something: `delay` seconds after the n-th time that something happened.

    `when` is begin, effect (of an attempt), executed, or a state that a settlement comes into.
    """

    what: str
    target: Key
    when: str
    count: int
    delay: float


@dataclass(frozen=True, slots=True)
class Faults:
    """How bad it is: `rate` of spoilt requests, and of each of the rarer troubles its own."""

    rate: float = 0.0
    crash: float = 0.0
    stall: float = 0.0
    zombie: float = 0.0
    twice: float = 0.0
    lag_s: float = 0.0
    unpaid: float = 0.0
    dark: float = 0.0
    late: float = 0.0
    idle: bool = False


@dataclass(frozen=True, slots=True)
class World:
    bills: tuple[Bill, ...]
    transfers: tuple[Transfer, ...]
    deeds: tuple[Deed, ...]
    faults: Faults
    runs: tuple[float, ...]
    attempts: int
    begins_h: float
    skew_s: float
    office: Office = LEGACY
    # None: each attempt settles one.
    bulk: Bulk | None = None


def draw(seed: int, mode: str = "safety", kinds: Kinds = "mixed", settling: Settling = "mixed") -> World:
    """The world of a seed, the same for ever: what happens in it is the same whatever its invoices are.

    One that settles in bulk has more invoices than it would have without, and so is another.
    """
    world = crowds.draw(Random(f"bulk:{mode}:{seed}"), _draw(seed, mode), settling)
    return with_kinds(world, Random(f"smart:{mode}:{seed}"), kinds)


def _draw(seed: int, mode: str) -> World:
    rng = Random(f"{mode}:{seed}")
    bills = _bills(rng)
    transfers = payers.transfers(rng, bills)
    faults = _faults(rng, (0.0, 0.1, 0.1, 0.25) if mode == "safety" else (0.1, 0.25, 0.5))
    gaps = rng.choices((25.0, 130.0, 420.0, 3_600.0, 86_400.0), (3, 4, 4, 2, 1), k=rng.choice((1, 2, 2, 3)))
    runs = [5.0]
    for gap in gaps:
        runs.append(runs[-1] + gap)
    # Whether all comes to an end is asked of the product alone: nobody helps it, nobody is in its way.
    deeds: tuple[Deed, ...] = ()
    if rng.random() < 0.75 and mode == "safety":
        if rng.random() < 0.2:
            deeds, faults = _scene(rng, bills, transfers), _worse(rng, faults)
        else:
            deeds = tuple(_deed(rng, bills, runs[-1]) for _ in range(rng.choice((1, 2, 3, 4, 5, 6))))
    # A minute before the portal's midnight the day changes while we pay.
    begins_h = rng.choice((8.0, 8.0, 20.98))
    if rng.random() < 0.3:
        # A backfill, or a scheduler that starts a run beside one that is alive.
        runs.append(rng.choice(runs) + rng.choice((0.5, 1.5)) * rng.random())
        runs.sort()
    return World(
        bills, transfers, deeds, faults, tuple(runs), rng.randint(2, 6), begins_h, rng.choice((0.0, 0.0, -7200.0, 40.0))
    )


def with_kinds(world: World, rng: Random, kinds: Kinds) -> World:
    """The same world, whose portal has invoices of other kinds; a stream of its own draws them."""
    office, drawn = offices.draw(rng, world.bills, kinds)
    if office.kinds == ("legacy",):
        return world
    deeds = tuple(replace(deed, target=drawn.keys[deed.target]) for deed in world.deeds)
    deeds = tuple(_as_smart(deed) if deed.target[0] == "smart" else deed for deed in deeds)
    for bill in drawn.bills:
        if bill.lacks and world.deeds and rng.random() < 0.7:
            # Somebody sees what is asked for, fills it in, and has it tried again.
            deeds += (Deed("fill", bill.key, "review", 1, 20.0), Deed("retry", bill.key, "review", 1, 60.0))
    transfers = tuple(drawn.transfer(each) for each in world.transfers)
    for twin in drawn.twins:
        if world.deeds and rng.random() < 0.4:
            # Paid by hand, and taken back while a run reads its lists: which of the two was meant is open all the same.
            original = next(bill.key for bill in drawn.bills if bill.number == twin.number)
            run = rng.choice(world.runs)
            deeds += (
                Deed("pay", original, "begin", 1, run - 4.0),
                Deed("reverse", original, "begin", 1, run + 2 * rng.random()),
            )
    # Drawn last, so that older seeds are the worlds they were.
    made = replace(world, bills=drawn.bills, transfers=transfers, deeds=deeds, office=office)
    return _in_parts(rng, made) if rng.random() < 0.5 else made


def _in_parts(rng: Random, world: World) -> World:
    """People wish to see what waits for the rest; now and then that comes while the move there is on its way."""
    wished = replace(world, office=replace(world.office, parts=PARTS))
    late = [each.at for transfer in world.transfers for each in transfer.deliveries if each.at > world.runs[0]]
    if not late or rng.random() < 0.3:
        return wished
    soon = min(late) + 40 * rng.random()
    faults = replace(world.faults, rate=0.5, late=0.9)
    return replace(wished, runs=tuple(sorted((*world.runs, soon))), faults=faults)


def _as_smart(deed: Deed) -> Deed:
    # They have no pay system, but fields that may have to be filled in.
    return replace(deed, what="fill") if deed.what == "pay_system" else deed


def _faults(rng: Random, rates: tuple[float, ...]) -> Faults:
    rate = rng.choice(rates)
    rough = rng.random() < 0.85
    return Faults(
        rate=rate,
        crash=2 * rate * rough,
        stall=2 * rate * rough,
        zombie=0.3 if rate and rng.random() < 0.06 else 0.0,
        twice=rng.choice((0.0, 0.5)) if rough else 0.0,
        lag_s=rng.choice((0.0, 0.0, 1.0, 4.0)) if rate else 0.0,
        dark=rng.choice((0.0, 0.0, 0.7)) if rate else 0.0,
        late=rng.choice((0.0, 0.0, 0.0, 0.9)) if rate else 0.0,
        unpaid=0.5 if rng.random() < 0.06 else 0.0,
        idle=rng.random() < 0.02,
    )


def _bills(rng: Random) -> tuple[Bill, ...]:
    numbers = rng.sample(NUMBERS, k=rng.choice((1, 2, 2, 3)))
    rng.choice((PAYERS, PAYERS[:1]))
    return tuple(
        Bill(place, number, rng.choice(PRICES), TODAY - timedelta(days=rng.choice((9, 9, 12, 30))), rng.choice(PAYERS))
        for place, number in enumerate(numbers, start=1)
    )


def _scene(rng: Random, bills: tuple[Bill, ...], sent: tuple[Transfer, ...]) -> tuple[Deed, ...]:
    # Where money is on its way.
    target = next((invoice for transfer in sent for invoice, _ in transfer.meant.invoices), bills[0].key)
    return tuple(Deed(what, target, when, count, delay) for what, when, count, delay in rng.choice(SCENES))


def _worse(rng: Random, faults: Faults) -> Faults:
    """Most scenes begin with a call of ours that is lost or late."""
    return replace(faults, rate=0.5, late=rng.choice((0.0, 0.9))) if faults.rate else faults


# Chains of events too rare to wait for, each with the guard in mind that it is for.
SCENES = (
    # Our call is in the air, a person pays another price by hand, takes it back and releases the review at once.
    (
        ("price", "unknown", 1, 0.0),
        ("pay", "unknown", 1, 0.1),
        ("plain_pay", "unknown", 1, 0.2),
        ("reverse", "review", 1, 1.0),
        ("release", "review", 1, 2.0),
        ("release", "review", 1, 4.0),
    ),
    # The same, and tries once more instead.
    (
        *(("price", "unknown", 1, 0.0), ("pay", "unknown", 1, 0.1), ("plain_pay", "unknown", 1, 0.2)),
        *(("undo", "review", 1, 1.0), ("retry", "review", 1, 2.0), ("retry", "review", 1, 4.0)),
    ),
    # It landed, the answer was lost, a person takes it back before anybody of ours has read it.
    (("reverse", "executed", 1, 0.0), ("comment", "executed", 1, 10.0)),
    # One of several invoices is changed between the match and the first send.
    (("price", "ready", 1, 0.0), ("cancel", "ready", 2, 0.0)),
    # A person tries again what the sweep closes in the same moment.
    (
        *(("cancel", "ready", 1, 0.0), ("uncancel", "review", 1, 50.0), ("retry", "review", 1, 100.0)),
        *(("pay", "review", 1, 100.1), ("sweep", "review", 1, 100.11)),
    ),
    # Paid by us, somebody saves the invoice, and the money is wanted for something else.
    (("comment", "executed", 1, 0.0), ("release", "unknown", 1, 0.1), ("release", "review", 1, 1.0)),
    # Paid by us at a price that somebody changes before we look: a review whose money is not free.
    (("price", "executed", 1, 0.0), ("release", "review", 1, 1.0)),
    # Paid by us and taken back at leisure: the sweep shows it, and a person frees the money.
    (("reverse", "paid", 1, 1.0), ("sweep", "paid", 1, 5.0), ("release_paid", "paid", 1, 12.0)),
    # The first part has come, the rest never will: a person frees what waits for it.
    (("release", "collecting", 1, 0.5), ("release", "collecting", 2, 0.5)),
)


# What people do in the ledger follows what they see there.
MOMENTS = ("begin", "effect", "executed", "sending", "unknown", "review", "paid", "ready")
MOMENT_WEIGHTS = (5, 12, 4, 2, 3, 2, 2, 1)
LEDGER_MOMENTS = {
    "release": (("review", "review", "unknown", "ready", "effect", "collecting"), (0.5, 60.0, 300.0)),
    "release_paid": (("paid",), (200.0, 500.0, 1500.0)),
    "retry": (("review",), (0.5, 60.0, 300.0)),
    "accept": (("review", "begin"), (60.0, 600.0)),
    "close": (("paid",), (300.0, 1500.0)),
    "plain_pay": (("begin", "effect", "review"), (0.0, 30.0)),
    "sweep": (("review", "paid", "unknown"), (0.0, 0.3, 60.0)),
}


def _deed(rng: Random, bills: tuple[Bill, ...], until: float) -> Deed:
    target = rng.choice(bills).key
    if rng.random() < 0.35:
        what = rng.choice(IN_THE_LEDGER)
        moments, delays = LEDGER_MOMENTS[what]
        when, delay = rng.choice(moments), rng.choice(delays)
    else:
        what = rng.choices(ON_THE_PORTAL, PORTAL_WEIGHTS)[0]
        when = rng.choices(MOMENTS, MOMENT_WEIGHTS)[0]
        delay = rng.choice((0.0, 0.0, 0.1, 1.0, 30.0, 150.0, 250.0))
    if when == "begin":
        return Deed(what, target, when, 1, (until + 300) * rng.random())
    count = 1 + int(30 * rng.random() ** 1.5) if when == "effect" else rng.choice((1, 1, 2))
    return Deed(what, target, when, count, delay)
