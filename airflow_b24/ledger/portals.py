"""Portals by any of their names: a rename adds an alias, so that one invoice never becomes two keys."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, func, insert, select, text

from airflow_b24.ledger.errors import LedgerError
from airflow_b24.ledger.schema import portal, portal_alias
from airflow_b24.ledger.store import utc_now
from airflow_b24.ledger.upsert import insert_if_absent

# Any fixed number will do; it only has to be the same in every worker.
LOCK = 7_224_312


def portal_id(connection: Connection, host: str, announced: Collection[str] = ()) -> int:
    """The id of the portal known as `host`, made on first sight; `announced` is where else it may be known or may move.

    An announced name joins nothing by itself: it is written down once the portal is reached there. Raises LedgerError
    when two of the names are known as two portals: their invoices would have two keys.
    """
    names = {host.lower(), *(name.lower() for name in announced)}
    known = _find(connection, names) or _find_alone(connection, names)
    if len(known) > 1:
        every = ", ".join(sorted(names))
        raise LedgerError(f"allowed_hosts: {every} are two portals in this ledger; name only one of them")
    found = known.pop() if known else _create(connection)
    insert_if_absent(connection, portal_alias, {"alias": host.lower(), "portal_id": found})
    (settled,) = _find(connection, {host.lower()})
    return settled


def known_as(connection: Connection, host: str) -> int | None:
    """The id of the portal that was reached under this name; None when nobody has."""
    return next(iter(_find(connection, {host.lower()})), None)


def names(connection: Connection, portal_id: int) -> list[str]:
    """Every name the portal was reached under."""
    query = select(portal_alias.c.alias).where(portal_alias.c.portal_id == portal_id)
    return list(connection.execute(query.order_by(portal_alias.c.alias)).scalars())


def every(connection: Connection) -> list[int]:
    """The ids of all portals this ledger serves."""
    known = select(portal_alias.c.portal_id).distinct()
    return list(connection.execute(known.order_by(portal_alias.c.portal_id)).scalars())


def count(connection: Connection) -> int:
    """How many portals this ledger serves."""
    return connection.execute(select(func.count(portal_alias.c.portal_id.distinct()))).scalar_one()


def _find(connection: Connection, names: Collection[str]) -> set[int]:
    query = select(portal_alias.c.portal_id).where(portal_alias.c.alias.in_(names))
    return set(connection.execute(query).scalars())


def _find_alone(connection: Connection, names: Collection[str]) -> set[int]:
    # Two workers that meet a new portal by two of its names must not make two of it; on SQLite a writer is alone.
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    return _find(connection, names)


def _create(connection: Connection) -> int:
    statement = insert(portal).values(created_at=utc_now(connection)).returning(portal.c.id)
    created: int = connection.execute(statement).scalar_one()
    return created
