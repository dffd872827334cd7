"""Portals by any of their names: a rename adds an alias, so that one invoice never becomes two keys."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select

from airflow_b24.ledger.schema import portal, portal_alias
from airflow_b24.ledger.store import utc_now
from airflow_b24.ledger.upsert import insert_if_absent


def portal_id(connection: Connection, alias: str) -> int:
    """The id of the portal known by this alias (a host, or `member:<id>`), made on first sight."""
    known = _find(connection, alias)
    if known is not None:
        return known
    created = connection.execute(
        insert(portal).values(created_at=utc_now(connection)).returning(portal.c.id)
    ).scalar_one()
    insert_if_absent(connection, portal_alias, {"alias": alias.lower(), "portal_id": created})
    found = _find(connection, alias)
    assert found is not None  # noqa: S101 - inserted above, by us or by another worker
    return found


def _find(connection: Connection, alias: str) -> int | None:
    query = select(portal_alias.c.portal_id).where(portal_alias.c.alias == alias.lower())
    return connection.execute(query).scalar_one_or_none()
