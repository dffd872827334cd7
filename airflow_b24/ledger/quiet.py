"""Quiet time: until then a call of ours may still land, so nothing is sent again.

PostgreSQL's clock is one for all workers. An SQLite ledger has its host's, which somebody may set: there the machine's
own count of seconds since it was started is kept beside it, and counts as long as the machine runs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from airflow_b24.ledger.store import has_own_clock, utc_now

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def begin(connection: Connection, seconds: float) -> dict[str, Any]:
    """The columns that say how long it lasts from now on."""
    until = utc_now(connection) + timedelta(seconds=seconds)
    return {"quiet_until": until, "quiet_clock": _mark(connection, seconds)}


def ends_at(connection: Connection, row: Mapping[str, Any], now: datetime) -> datetime | None:
    """When it is over by the ledger's clock as it goes now; None when there is none."""
    boot, _, until = (row["quiet_clock"] or "").partition(" ")
    if not until or boot != _boot_id() or not _counts_seconds(connection):
        found: datetime | None = row["quiet_until"]
        return found
    return now + timedelta(seconds=float(until) - time.clock_gettime(time.CLOCK_BOOTTIME))


def _mark(connection: Connection, seconds: float) -> str | None:
    if not _boot_id() or not _counts_seconds(connection):
        return None
    return f"{_boot_id()} {time.clock_gettime(time.CLOCK_BOOTTIME) + seconds:.3f}"


def _counts_seconds(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite" and not has_own_clock(connection)


@cache
def _boot_id() -> str:
    # Linux alone has one; elsewhere the wall clock has to do.
    return BOOT_ID.read_text("ascii").strip() if BOOT_ID.exists() else ""
