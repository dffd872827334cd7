"""How far each source has been read; moves only together with the rows it stands for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import Connection, select, update

from airflow_b24.ledger.schema import cursor
from airflow_b24.ledger.store import utc_now
from airflow_b24.ledger.upsert import insert_if_absent


@dataclass(frozen=True, slots=True)
class Cursor:
    """A source was read up to the day `watermark`, from the day `start_from` on."""

    watermark: date
    start_from: date

    def since(self, start_from: date, today: date, overlap: timedelta) -> date:
        """The first day to ask for next: an earlier start goes back to it, a watermark ahead of today does not count."""
        if start_from < self.start_from:
            return start_from
        return max(start_from, min(self.watermark, today) - overlap)


def find(connection: Connection, source: str) -> Cursor | None:
    """How far the source has been read, None before the first time."""
    row = connection.execute(select(cursor.c.watermark, cursor.c.start_from).where(cursor.c.source == source)).first()
    return None if row is None else Cursor(*row)


def advance(connection: Connection, source: str, read: Cursor) -> None:
    """Note a finished reading: what lies before its start may have a gap, and is read again when it is asked for."""
    now = utc_now(connection)
    row = {"source": source, "watermark": read.watermark, "start_from": read.start_from, "updated_at": now}
    if insert_if_absent(connection, cursor, row):
        return
    this = cursor.c.source == source
    values = {"watermark": read.watermark, "start_from": read.start_from, "updated_at": now}
    connection.execute(update(cursor).where(this).values(**values))
