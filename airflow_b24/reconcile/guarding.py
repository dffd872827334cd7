"""Guard: a ledger that is missing, new, or older than the world must not pay.

Which ledger knows what was paid is remembered outside it (a pin per portal), and the portal is asked for pays of ours
that the ledger has no record of. Reading, reporting and shadow matching need none of this.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from airflow_b24.bitrix.invoice import Invoice
from airflow_b24.ledger import identity, portals
from airflow_b24.ledger.errors import ForeignLedgerError
from airflow_b24.ledger.identity import Identity
from airflow_b24.ledger.store import Store
from airflow_b24.reconcile.desk import Desk, PaySystem
from airflow_b24.reconcile.matching import portions
from airflow_b24.reconcile.witnessing import paid_lately, unknown_pays

WAY_ON: Final = (
    "Nothing was sent. If another ledger is the right one, bring it back: mend [bitrix24] ledger_url or ledger_conn_id, "
    "restore the newest copy, and use PostgreSQL when workers run on several hosts. If this one is to go on, look at "
    "`airflow b24 ledger adopt`"
)
SHOWN: Final = 5


class Pins(Protocol):
    """Where it is remembered, outside the ledger, which ledger pays on a portal."""

    def get(self, portal: str) -> Identity | None:
        """Return what was last put for the portal, None when nothing ever was. Raises LedgerError when unreadable."""

    def put(self, portal: str, pinned: Identity, instead_of: Identity | None = None) -> None:
        """Remember it. Raises LedgerError when it cannot be read back, or another was put there meanwhile."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A ledger beside what is pinned for one portal under each of its names."""

    ledger: Identity
    pinned: dict[str, Identity | None]
    is_new: bool

    @property
    def pins(self) -> list[Identity]:
        return [pin for pin in self.pinned.values() if pin is not None]

    @property
    def trouble(self) -> str | None:
        """What is wrong with it in words, None when it may pay."""
        if not self.pins and not self.is_new:
            return f"nothing is pinned for {self.name}, yet this ledger has settlements, as a copy has"
        for pin in self.pins:
            if pin.id != self.ledger.id:
                return f"this is ledger {self.ledger.id}, but {self.name} is paid from ledger {pin.id}"
            if pin.mark > self.ledger.mark:
                ends = f"its story ends at event {self.ledger.mark}, while event {pin.mark} has been seen"
                return (
                    f"this ledger is older than what was paid from it on {self.name} ({ends}), as a restored backup is"
                )
        return None

    @property
    def name(self) -> str:
        return next(iter(self.pinned))

    @property
    def is_behind(self) -> bool:
        """Say whether the pin should be put: there is none yet, or the ledger has moved on since."""
        return any(pin is None or pin.mark < self.ledger.mark for pin in self.pinned.values())


def compare(store: Store, pins: Pins, portal_id: int) -> Standing:
    """Lay the ledger beside its pin; reads only. Raises LedgerError when either cannot be read."""
    with store.snapshot() as connection:
        names = portals.names(connection, portal_id)
        # Before the pin: another worker pins first and settles then, never the other way round.
        is_new = not identity.has_settlements(connection, portal_id)
    pinned = {name: pins.get(name) for name in names}
    with store.snapshot() as connection:
        # After the pin, which others may be raising while we look.
        return Standing(identity.read(connection), pinned, is_new)


def standings(store: Store, pins: Pins, host: str = "") -> list[Standing]:
    """Lay the ledger beside the pins of every portal it serves, and of `host`, which it may not know yet; reads only.

    Raises LedgerError when either cannot be read.
    """
    with store.snapshot() as connection:
        known = portals.every(connection)
        ours = identity.read(connection)
    found = [compare(store, pins, portal_id) for portal_id in known]
    if host and not any(host in each.pinned for each in found):
        found.append(Standing(ours, {host: pins.get(host)}, is_new=True))
    return found


def refuse_foreign_ledger(
    desk: Desk,
    pins: Pins,
    pay_system: PaySystem | None,
    *,
    paid: Iterable[Invoice] | None = None,
    is_start: bool = True,
) -> None:
    """Raise ForeignLedgerError, with what was found and the way on, unless this ledger is the one that may pay.

    `paid` are invoices listed as paid lately, if the caller has them: they bear witness. At the start of a run the pin
    follows the ledger; a single pay within one (`is_start=False`) only looks. A new ledger is pinned once the portal
    shows no pay of ours. Repeating is safe.
    """
    standing = compare(desk.store, pins, desk.portal_id)
    if standing.trouble is not None:
        raise ForeignLedgerError(f"{standing.trouble}. {WAY_ON}")
    if not standing.pins or paid is not None:
        refuse_unknown_pays(desk, pay_system, paid_lately(desk) if paid is None else paid)
    if not standing.pins or (is_start and standing.is_behind):
        pin(pins, standing)


def remember(desk: Desk, pins: Pins) -> None:
    """Let the pin follow the ledger at the end of a run, too: a copy taken before it is then known to be old."""
    standing = compare(desk.store, pins, desk.portal_id)
    if standing.pins and standing.trouble is None and standing.is_behind:
        pin(pins, standing)


def pin(pins: Pins, standing: Standing) -> None:
    """Remember the ledger as the one that pays on the portal, under each of its names."""
    for name, before in standing.pinned.items():
        pins.put(name, standing.ledger, before)


def refuse_unknown_pays(desk: Desk, pay_system: PaySystem | None, paid: Iterable[Invoice]) -> None:
    """Raise ForeignLedgerError when the portal shows pays of ours that this ledger knows nothing of."""
    looked_at = (unknown_pays(desk, pay_system, portion) for portion in portions(paid))
    found = next(filter(None, looked_at), None)
    if found is None:
        return
    numbers = ", ".join(invoice.number for invoice in found[:SHOWN])
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    user = "a person who works as the webhook's user looks the same: give the webhook a technical user of its own"
    raise ForeignLedgerError(
        f"the portal shows invoices paid by our user that this ledger did not pay: {numbers}"
        f"{more}. {WAY_ON} ({user}, and adopt what was paid by hand)"
    )
