"""Promises: so much of a payment to these invoices, and whether that still holds; nothing here asks a database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from airflow_b24.ledger.facts import Kind
from airflow_b24.ledger.states import ADOPTED, State

# Portal, kind and id of an invoice.
Place: TypeAlias = tuple[int, Kind, int]
PLACE: Final = ("portal_id", "kind", "invoice_id")
# A row of a payment or a settlement, locked.
Found: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """So much for one invoice: `amount` of its whole price `expected`, in minor units."""

    kind: Kind
    invoice_id: int
    invoice_number: str
    amount: int
    expected: int
    # What the proof rested on beside the money.
    identity: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Promise:
    """A proven match: the whole payment, for one invoice, a part of one, or several."""

    payment_id: int
    portal_id: int
    parts: tuple[Part, ...]
    currency: str
    exponent: int
    rule: str
    evidence: Mapping[str, Any]
    # The payment's facts as they were judged: a proof holds for these and no others.
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def places(self) -> dict[Place, Part]:
        """The parts by invoice, in one order for all."""
        placed = {(self.portal_id, part.kind, part.invoice_id): part for part in self.parts}
        return dict(sorted(placed.items()))


def groups(promises: Iterable[Promise], most: int) -> Iterator[list[Promise]]:
    """Cut into at most so many, and where a payment or an invoice comes up again: the later promise must find what became of the earlier."""
    group, named = list[Promise](), set[object]()
    for promise in promises:
        names = {promise.payment_id, *promise.places}
        if len(group) == most or named & names:
            yield group
            group, named = [], set()
        group.append(promise)
        named |= names
    if group:
        yield group


def is_free(promise: Promise, row: Found | None) -> bool:
    """Say whether so much of the payment is free, and it is what it was when it was judged."""
    if row is None or row["held"] or row["currency"] != promise.currency:
        return False
    is_enough = row["allocated"] + sum(part.amount for part in promise.parts) <= row["amount"]
    return bool(is_enough) and all(row[name] == value for name, value in promise.facts.items())


@dataclass(frozen=True, slots=True)
class Fund:
    """One part of a promise that is kept, and the settlement it is added to, None when that is new."""

    promise: Promise
    place: Place
    part: Part
    found: Found | None

    @property
    def together(self) -> int:
        """How much the settlement has then."""
        before: int = self.found["allocated"] if self.found else 0
        return before + self.part.amount

    @property
    def state(self) -> State:
        """What becomes of the settlement; one that was adopted as paid stays so."""
        if self.found and self.found["state"] == State.PAID:
            return State.PAID
        return State.READY if self.together == self.part.expected else State.COLLECTING

    @property
    def opening(self) -> dict[str, Any]:
        """The columns of a new settlement."""
        promise, part = self.promise, self.part
        money = {"expected": part.expected, "currency": promise.currency, "exponent": promise.exponent}
        told = {"invoice_number": part.invoice_number, "evidence": promise.evidence, "identity": part.identity}
        sums = {"origin": "match", "allocated": self.together, "state": self.state}
        return {**dict(zip(PLACE, self.place, strict=True)), **money, **told, **sums}

    @property
    def evidence(self) -> dict[str, Any]:
        """What the settlement's story keeps of it."""
        promise = self.promise
        of = {"payment_id": promise.payment_id, "amount": self.part.amount, "rule": promise.rule}
        return {**of, **promise.evidence}


def funds(promise: Promise, settled: Mapping[Place, Found], parted: AbstractSet[tuple[int, Place]]) -> list[Fund]:
    """What the promise adds to its invoices' settlements, nothing when one of them does not take it."""
    made = [Fund(promise, place, part, settled.get(place)) for place, part in promise.places.items()]
    is_kept = all((promise.payment_id, fund.place) not in parted and _takes(fund) for fund in made)
    return made if is_kept else []


def _takes(fund: Fund) -> bool:
    """The settlement is new, waits for more, or was adopted as paid before its payment came in."""
    promise, part, row = fund.promise, fund.part, fund.found
    if row is None:
        return fund.together <= part.expected
    if (row["expected"], row["currency"]) != (part.expected, promise.currency):
        return False
    if row["identity"] is not None and dict(row["identity"]) != dict(part.identity):
        return False
    if row["state"] == State.PAID:
        return bool(row["reason"] == ADOPTED and fund.together == part.expected)
    return bool(row["state"] == State.COLLECTING and row["hold"] is None and fund.together <= part.expected)
