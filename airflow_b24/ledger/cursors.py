"""How far each source has been read; moves only together with the rows it stands for."""

from __future__ import annotations

from datetime import date

from sqlalchemy import Connection, select, update

from airflow_b24.ledger.schema import cursor
from airflow_b24.ledger.store import utc_now
from airflow_b24.ledger.upsert import insert_if_absent


def watermark(connection: Connection, source: str) -> date | None:
    """The last day up to which the source has been read, None before the first time."""
    return connection.execute(select(cursor.c.watermark).where(cursor.c.source == source)).scalar_one_or_none()


def advance(connection: Connection, source: str, day: date) -> None:
    """Move the watermark forward, never back."""
    now = utc_now(connection)
    if insert_if_absent(connection, cursor, {"source": source, "watermark": day, "updated_at": now}):
        return
    later = update(cursor).where(cursor.c.source == source, cursor.c.watermark < day)
    connection.execute(later.values(watermark=day, updated_at=now))
