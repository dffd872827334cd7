"""Who this ledger is, and how far it has come: what another place remembers of it finds out a wrong or an old one."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

from sqlalchemy import Connection, func, select, update

from airflow_b24.ledger.errors import LedgerError
from airflow_b24.ledger.schema import event, ledger, settlement


@dataclass(frozen=True, slots=True)
class Identity:
    """A ledger by its id; `mark` is its newest event's number, which only grows."""

    id: str
    mark: int


def read(connection: Connection) -> Identity:
    """Read this ledger's identity: two look-ups, however large it is. Raises LedgerError when it has lost its name."""
    ids = connection.execute(select(ledger.c.id)).scalars().all()
    if len(ids) != 1:
        raise LedgerError(f"b24_ledger holds {len(ids)} names: it was changed by hand; restore a backup of the ledger")
    # Events are never deleted, so that a smaller number means an older copy.
    newest = connection.execute(select(func.max(event.c.id))).scalar_one()
    return Identity(ids[0], newest or 0)


def rename(connection: Connection) -> None:
    """Give this ledger another name: it is no longer the one it was copied from."""
    connection.execute(update(ledger).values(id=str(uuid4())))


def has_settlements(connection: Connection, portal_id: int) -> bool:
    """Say whether this ledger has ever promised or sent anything to the portal."""
    query = select(settlement.c.id).where(settlement.c.portal_id == portal_id).limit(1)
    return connection.execute(query).first() is not None
