"""What kinds of invoices a world's portal has: legacy ones, smart ones, or both, in two spaces of ids that overlap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from tests.simulation.funnels import AFTER_PAID, AS_NOBODY, AS_WHOEVER, PLAIN
from tests.simulation.history import Key
from tests.simulation.payers import PAYERS, Bill, Transfer

# mixed: each world draws one of the others.
Kinds = Literal["legacy", "smart", "both", "mixed"]
KINDS: tuple[Kinds, ...] = ("legacy", "smart", "both", "mixed")
SHARES = (("legacy", 0.40), ("smart", 0.25), ("both", 0.35))
InvoiceType = Literal["auto", "legacy", "smart"]


@dataclass(frozen=True, slots=True)
class Office:
    """The kinds a portal has, how the product is told, and what its people mean by paid beside a stage of success."""

    kinds: tuple[str, ...] = ("legacy",)
    invoice_type: InvoiceType = "legacy"
    is_hidden: bool = False
    also_paid: tuple[str, ...] = ()
    # Where an invoice waits for the rest of its money.
    parts: tuple[str, ...] = ()


LEGACY = Office()


@dataclass(frozen=True, slots=True)
class Drawn:
    """The bills as the portal has them, which of them each of the world's is, and the copies that some of them have."""

    bills: tuple[Bill, ...]
    keys: Mapping[Key, Key]
    twins: tuple[Bill, ...] = ()

    def transfer(self, sent: Transfer) -> Transfer:
        """The same money; a number that an invoice of each kind bears proves neither of them."""
        meant = tuple((self.keys[key], minor) for key, minor in sent.meant.invoices)
        numbers = {bill.key: bill.number for bill in self.bills}
        copies = tuple((key, twin.key) for key, _ in meant for twin in self.twins if twin.number == numbers[key])
        provable = sent.meant.provable and not copies
        return replace(sent, meant=sent.meant._replace(invoices=meant, provable=provable, copies=copies))


def draw(rng: Random, bills: tuple[Bill, ...], kinds: Kinds) -> tuple[Office, Drawn]:
    """The office of a world, and its bills in it."""
    roll = rng.random()
    which = _rolled(roll) if kinds == "mixed" else kinds
    if which == "legacy":
        return LEGACY, Drawn(bills, {bill.key: bill.key for bill in bills})
    also_paid = (AFTER_PAID,) if rng.random() < 0.5 else ()
    if which == "smart":
        made = tuple(_smart(rng, bill) for bill in bills)
        told: InvoiceType = rng.choice(("auto", "smart"))
        return Office(("smart",), told, also_paid=also_paid), Drawn(made, _keys(bills, made))
    made = _numbered(rng, tuple(_smart(rng, bill) if rng.random() < 0.5 else bill for bill in bills))
    twins = _twins(rng, made)
    office = Office(("legacy", "smart"), "auto", rng.random() < 0.15, also_paid)
    return office, Drawn(made + twins, _keys(bills, made), twins)


def _rolled(roll: float) -> str:
    for which, share in SHARES:
        if roll < share:
            return which
        roll -= share
    return SHARES[-1][0]


def _keys(bills: tuple[Bill, ...], made: tuple[Bill, ...]) -> dict[Key, Key]:
    return {bill.key: each.key for bill, each in zip(bills, made, strict=True)}


def _smart(rng: Random, bill: Bill) -> Bill:
    funnel = rng.choices((PLAIN, AS_NOBODY, AS_WHOEVER), (6, 2, 2))[0]
    return replace(bill, kind="smart", funnel=funnel, lacks=rng.random() < 0.06)


def _numbered(rng: Random, bills: tuple[Bill, ...]) -> tuple[Bill, ...]:
    """Each kind counts its ids from 1, so that the same id is one of each."""
    if rng.random() < 0.3:
        return bills
    made: list[Bill] = []
    for bill in bills:
        made.append(replace(bill, id=1 + sum(each.kind == bill.kind for each in made)))
    return tuple(made)


def _twins(rng: Random, bills: tuple[Bill, ...]) -> tuple[Bill, ...]:
    """Whoever moves to smart invoices has some of the old ones twice, under one number, and often one id."""
    if rng.random() > 0.25:
        return ()
    bill = rng.choice(bills)
    kind = "legacy" if bill.kind == "smart" else "smart"
    free = {each.id for each in bills if each.kind == kind}
    place = bill.id if bill.id not in free else max(free) + 1
    twin = replace(bill, kind=kind, id=place, funnel=PLAIN, lacks=False)
    if rng.random() < 0.4:
        twin = replace(twin, minor=rng.choice((11800, 36000)), company=rng.choice(PAYERS))
    return (twin,)
