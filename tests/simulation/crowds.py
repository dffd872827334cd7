"""Worlds whose runs settle many invoices at once: more of them than elsewhere, and how the requests go."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Literal

from tests.simulation import payers
from tests.simulation.payers import PAYERS, TODAY, Bill

if TYPE_CHECKING:
    from tests.simulation.worlds import World

# mixed: each world draws one of the others.
Settling = Literal["single", "bulk", "mixed"]
SETTLINGS: tuple[Settling, ...] = ("single", "bulk", "mixed")
SHARE = 0.25
PRICES = (11800, 11800, 36000, 23600)


@dataclass(frozen=True, slots=True)
class Bulk:
    """How the runs of a world settle: `share` of them many at once, and `beside` of these have attempts beside them.

    `most` pays go into one request; `scarce` is how often one has to wait for the portal's pace, `alone` are the kinds
    of invoices that the portal pays in no batch. `shut` is what becomes of nearly every batch until all faults stop.
    """

    share: float
    beside: float
    lanes: int
    most: int
    scarce: float
    alone: tuple[str, ...]
    shut: str = ""


def draw(rng: Random, world: World, settling: Settling) -> World:
    """The same world, settled in bulk if that is asked for or drawn; a stream of its own draws it."""
    if settling == "single" or (settling == "mixed" and rng.random() >= SHARE):
        return world
    bulk = Bulk(
        share=rng.choice((1.0, 1.0, 0.7)),
        beside=rng.choice((0.0, 0.0, 0.4)),
        lanes=rng.choice((1, 1, 2, 3)),
        most=rng.choice((1, 2, 2, 3, 48)),
        scarce=rng.choice((0.0, 0.1, 0.5)),
        alone=rng.choices(((), ("smart",), ("legacy",)), (10, 1, 1))[0],
    )
    made = _with_more(rng, world)
    # Drawn last, so that older seeds are the worlds they were.
    shut = rng.choices(("", "refused", "lost_before"), (18, 1, 1))[0]
    return replace(made, bulk=replace(bulk, shut=shut) if world.faults.rate else bulk)


def _with_more(rng: Random, world: World) -> World:
    """More invoices, most of which are simply paid; people look after these, too."""
    first = len(world.bills) + 1
    more = tuple(_bill(rng, place) for place in range(first, first + rng.choice((0, 1, 2, 2, 3, 5))))
    bills, sent, unpaid = world.bills + more, list(world.transfers), list(more)
    while unpaid:
        kind = rng.choices(("full", "both", "parts"), (7, 2, 1))[0]
        made = payers.sent_for(rng, unpaid[0], tuple(unpaid), len(sent) + 1, kind)
        taken = {key for transfer in made for key, _ in transfer.meant.invoices}
        unpaid = [bill for bill in unpaid[1:] if bill.key not in taken]
        sent += made
    deeds = tuple(replace(deed, target=rng.choice(bills).key) if rng.random() < 0.5 else deed for deed in world.deeds)
    return replace(world, bills=bills, transfers=tuple(sent), deeds=deeds, attempts=world.attempts + 2)


def _bill(rng: Random, place: int) -> Bill:
    billed_on = TODAY - timedelta(days=rng.choice((9, 9, 12, 30)))
    return Bill(place, f"2026/{300 + place}", rng.choice(PRICES), billed_on, rng.choice(PAYERS))
