"""Settlement rows in hand: locked, written, and read as decisions see them; many in as many statements as one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from airflow_b24.ledger import allocations, quiet
from airflow_b24.ledger.errors import UnknownIdError
from airflow_b24.ledger.facts import Row
from airflow_b24.ledger.schema import settlement
from airflow_b24.ledger.states import State
from airflow_b24.ledger.store import utc_now

COPIED = (
    *("id", "portal_id", "kind", "invoice_id", "invoice_number", "origin", "fence", "expected", "currency", "exponent"),
    *("allocated", "attempts", "sends", "in_flight", "answered", "pay_system"),
    *("hold", "how", "reason", "identity", "snapshot", "created_at"),
)
# As many as one statement's parameters surely hold.
AT_ONCE = 1000

Found = Mapping[str, Any]


def locked(connection: Connection, settlement_id: int) -> dict[str, Any]:
    """The row, locked until the end of the transaction. Raises UnknownIdError."""
    return locked_all(connection, [settlement_id])[settlement_id]


def locked_all(connection: Connection, ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    """The rows by id, locked in order of id, so that two who want the same ones never wait in a circle."""
    wanted = sorted(set(ids))
    query = select(settlement).where(settlement.c.id.in_(wanted)).order_by(settlement.c.id).with_for_update()
    found = {row["id"]: dict(row) for row in connection.execute(query).mappings()}
    for settlement_id in wanted:
        if settlement_id not in found:
            raise UnknownIdError(
                f"settlement_id={settlement_id} is not in this ledger: give one that was matched from it"
            )
    return found


def write(connection: Connection, settlement_id: int, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Change columns of a locked row; returns all of it."""
    statement = update(settlement).where(settlement.c.id == settlement_id)
    values = {**changes, "updated_at": utc_now(connection)}
    return dict(connection.execute(statement.values(**values).returning(settlement)).mappings().one())


def write_all(connection: Connection, changes: Mapping[int, Mapping[str, Any]]) -> None:
    """Change columns of locked rows, by id."""
    now = utc_now(connection)
    alike: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for settlement_id, values in changes.items():
        row = {"of": settlement_id, **{f"new_{name}": value for name, value in values.items()}, "new_updated_at": now}
        alike.setdefault(tuple(values), []).append(row)
    for names, rows in alike.items():
        columns: dict[str, Any] = {name: bindparam(f"new_{name}") for name in (*names, "updated_at")}
        connection.execute(update(settlement).where(settlement.c.id == bindparam("of")).values(columns), rows)


def row_of(connection: Connection, found: Found) -> Row:
    """The row as decisions see it, with its payments' facts and its siblings."""
    return rows_of(connection, [found])[0]


def rows_of(connection: Connection, found: Sequence[Found]) -> list[Row]:
    """The same for many, in their order."""
    rows: list[Row] = []
    for start in range(0, len(found), AT_ONCE):
        rows += _rows_of(connection, found[start : start + AT_ONCE])
    return rows


def _rows_of(connection: Connection, found: Sequence[Found]) -> list[Row]:
    ids = [each["id"] for each in found]
    money, beside, now = (
        allocations.settled_by(connection, ids),
        allocations.siblings(connection, ids),
        utc_now(connection),
    )
    return [
        Row(
            **_copied(connection, each, now),
            **money[each["id"]],
            siblings=beside[each["id"]],
            state=State(each["state"]),
        )
        for each in found
    ]


def rows_after(connection: Connection, moved: Sequence[tuple[Row, Found]]) -> list[Row]:
    """The rows of before as they are now; what their payments say was read at the claim, and counts under its fence."""
    now = utc_now(connection)
    return [replace(row, **_copied(connection, found, now), state=State(found["state"])) for row, found in moved]


def _copied(connection: Connection, found: Found, now: datetime) -> dict[str, Any]:
    copied = {name: found[name] for name in COPIED}
    return {**copied, "quiet_until": quiet.ends_at(connection, found, now), "claimed_at": now}
