"""Plain pays: settlements without a payment behind them, asked for by the invoice's id."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_b24.ledger import events
from airflow_b24.ledger.facts import Kind, Row
from airflow_b24.ledger.rows import locked, write
from airflow_b24.ledger.schema import settlement
from airflow_b24.ledger.settlements import live
from airflow_b24.ledger.states import RESTORED, State
from airflow_b24.ledger.store import Store, utc_now
from airflow_b24.ledger.upsert import insert_if_absent


@dataclass(frozen=True, slots=True)
class Plain:
    """A pay without a payment behind it: a person or a DAG names the invoice, its price was read just now."""

    portal_id: int
    kind: Kind
    invoice_id: int
    invoice_number: str
    expected: int
    currency: str
    exponent: int


def open_plain(store: Store, plain: Plain) -> int:
    """The live settlement of the invoice, made as `origin=manual` if there is none."""
    with store.transaction() as connection:
        now = utc_now(connection)
        values = {
            **{name: getattr(plain, name) for name in plain.__slots__},
            "origin": "manual",
            "state": State.READY,
            "created_at": now,
            "updated_at": now,
        }
        made = insert_if_absent(connection, settlement, values)
        settlement_id = live(connection, plain.portal_id, plain.kind, plain.invoice_id)
        assert settlement_id is not None  # noqa: S101 - inserted above, by us or by another worker
        if made:
            evidence = {"expected": plain.expected, "currency": plain.currency}
            events.append(connection, settlement_id, "asked", state=State.READY, fence=0, at=now, evidence=evidence)
        return settlement_id


def reopen_plain(store: Store, row: Row, expected: int, currency: str, exponent: int) -> None:
    """Take a plain pay out of review when a person asks again and no call of ours can have run."""
    with store.transaction() as connection:
        found = locked(connection, row.id)
        is_quiet = not found["in_flight"] and found["reason"] != RESTORED
        safe = found["origin"] == "manual" and found["state"] == State.REVIEW and is_quiet
        if not safe or found["fence"] != row.fence:
            return
        changes = {"state": State.READY, "reason": None, "attempts": 0, "expected": expected, "currency": currency}
        write(connection, row.id, {**changes, "exponent": exponent})
        events.append(connection, row.id, "asked again", state=State.READY, fence=row.fence, at=utc_now(connection))
