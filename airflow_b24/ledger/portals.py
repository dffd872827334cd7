"""Portals by any of their names: a rename adds an alias, so that one invoice never becomes two keys."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, insert, select

from airflow_b24.ledger.errors import LedgerError
from airflow_b24.ledger.schema import portal, portal_alias
from airflow_b24.ledger.store import utc_now
from airflow_b24.ledger.upsert import insert_if_absent


def portal_id(connection: Connection, *aliases: str) -> int:
    """The id of the portal known by any of these names (its host, and where it may move), made on first sight.

    Raises LedgerError when two of the names are known as two portals: their invoices would have two keys.
    """
    names = sorted({alias.lower() for alias in aliases})
    known = _find(connection, names)
    if len(known) > 1:
        raise LedgerError(f"allowed_hosts: {', '.join(names)} are two portals in this ledger; name only one of them")
    found = known.pop() if known else _create(connection)
    for name in names:
        insert_if_absent(connection, portal_alias, {"alias": name, "portal_id": found})
    (settled,) = _find(connection, names)
    return settled


def count(connection: Connection) -> int:
    """How many portals this ledger serves."""
    return connection.execute(select(func.count(portal_alias.c.portal_id.distinct()))).scalar_one()


def _find(connection: Connection, names: Sequence[str]) -> set[int]:
    query = select(portal_alias.c.portal_id).where(portal_alias.c.alias.in_(names))
    return set(connection.execute(query).scalars())


def _create(connection: Connection) -> int:
    statement = insert(portal).values(created_at=utc_now(connection)).returning(portal.c.id)
    created: int = connection.execute(statement).scalar_one()
    return created
