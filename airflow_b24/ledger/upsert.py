"""Insert-or-leave, the one statement whose spelling differs between the two databases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_if_absent(connection: Connection, table: Table, values: Mapping[str, Any]) -> bool:
    """Insert the row unless a unique constraint already holds one; True when it was inserted."""
    return bool(insert_absent(connection, table, [values]))


def insert_absent(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], *names: str
) -> Sequence[Row[Any]]:
    """The same for many rows of the same columns, in their order; returns these columns of those that were inserted."""
    make = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    told = [table.c[name] for name in names] or list(table.primary_key.columns)
    statement = make(table).on_conflict_do_nothing().returning(*told)
    return connection.execute(statement, [dict(row) for row in rows]).all()
