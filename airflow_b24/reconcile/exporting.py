"""Export: every payment with its fate and every case, for an accountant's spreadsheet or for another program."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final, Literal

from sqlalchemy import Connection

from airflow_b24.ledger import ends, records, statuses
from airflow_b24.ledger.store import Store, utc_now
from airflow_b24.ledger.stories import take_checkpoint
from airflow_b24.ledger.turnover import turnovers
from airflow_b24.payments.money import Money
from airflow_b24.reconcile import cells, reporting, reviewing
from airflow_b24.reconcile.reporting import CASES, PATIENCE

Format = Literal["csv", "json"]
Row = Mapping[str, str]

COLUMNS: Final = (
    *("record", "booked_on", "account", "amount", "currency", "payer", "payer_tax_id", "remittance", "status"),
    *("invoices", "part", "settlement", "how", "reason", "why", "paid_on", "cases", "opened_on", "closed_on", "id"),
)
# What we write ourselves: words, ISO days and whole numbers of our own.
OURS: Final = frozenset({"record", "booked_on", "status", "settlement", "how", "paid_on", "opened_on", "closed_on"})


def export(store: Store, form: Format, since: date | None = None) -> Iterator[str]:
    """Lines, without their ends, of the whole ledger in one snapshot; `since` leaves out what was booked before.

    A row is a `payment`, a `record` that is none (quarantined or ignored, by the day it arrived), a `plain` pay without
    a payment (by the day it was asked for), a `case`, or the `checkpoint`. All values are texts; amounts are decimals in major units. Reads only.
    """
    with store.snapshot() as connection:
        rows = _rows(connection, since.isoformat() if since else "")
        if form == "csv":
            yield from cells.lines(COLUMNS, (_cells(row) for row in rows))
        else:
            yield from _documents(rows)


def _cells(row: Row) -> Sequence[str]:
    return [_cell(name, row.get(name, "")) for name in COLUMNS]


def _cell(name: str, value: str) -> str:
    if name == "amount":
        return cells.number(value)
    return value if name in OURS else cells.text(value)


def _documents(rows: Iterator[Row]) -> Iterator[str]:
    """One JSON list, a row a line."""
    yield "["
    before = None
    for row in rows:
        if before is not None:
            yield f"{before},"
        before = json.dumps(row, ensure_ascii=False)
    yield f"{before or ''}"
    yield "]"


def _rows(connection: Connection, since: str) -> Iterator[Row]:
    paid, cases = ends.paid_on(connection), ends.cases(connection)
    troubles: dict[int, list[str]] = {}
    for case in cases:
        troubles.setdefault(case["settlement_id"], []).append(f"{case['kind']} {case['id']}")
    overdue_before = utc_now(connection) - PATIENCE
    for row in statuses.payments(connection):
        if row["booked_on"].isoformat() >= since:
            yield _payment(row, overdue_before, paid, troubles)
    for row in records.set_aside(connection):
        if row["received_at"].date().isoformat() >= since:
            yield _record(row)
    for row in statuses.plain(connection):
        if row["created_at"].date().isoformat() >= since:
            yield _plain(row, paid, troubles)
    yield from (_case(row) for row in cases if row["opened_at"].date().isoformat() >= since)
    yield _checkpoint(connection)


def _payment(
    row: Mapping[str, Any], overdue_before: datetime, paid: Mapping[int, str], troubles: Mapping[int, Sequence[str]]
) -> Row:
    line = reporting.line_of(dict(row), overdue_before)
    mine = [each["id"] for each in row["settlements"]]
    amount, _, currency = str(line.amount).partition(" ")
    return {
        "record": "payment",
        "booked_on": line.booked_on,
        "account": line.account,
        "amount": amount,
        "currency": currency,
        "payer": line.payer,
        "payer_tax_id": row["payer_tax_id"],
        "remittance": line.remittance,
        "status": line.status,
        "invoices": line.invoices,
        "part": line.part,
        "settlement": ", ".join(map(str, mine)),
        "how": ", ".join(dict.fromkeys(each["how"] for each in row["settlements"] if each["how"])),
        "reason": line.reason,
        "why": line.why,
        "paid_on": ", ".join(dict.fromkeys(paid[each] for each in mine if each in paid)),
        "cases": ", ".join(trouble for each in mine for trouble in troubles.get(each, ())),
        "closed_on": row["dismissed_at"].date().isoformat() if row["dismissed_at"] else "",
        "id": line.payment,
    }


def _plain(row: Mapping[str, Any], paid: Mapping[int, str], troubles: Mapping[int, Sequence[str]]) -> Row:
    line = reviewing.plain_line(row)
    amount, _, currency = str(line.amount).partition(" ")
    return {
        "record": "plain",
        "amount": amount,
        "currency": currency,
        "status": line.status,
        "invoices": line.invoices,
        "settlement": str(row["id"]),
        "how": row["how"] or "",
        "reason": line.reason,
        "why": line.why,
        "paid_on": paid.get(row["id"], ""),
        "cases": ", ".join(troubles.get(row["id"], ())),
        "opened_on": row["created_at"].date().isoformat(),
        "id": str(row["id"]),
    }


def _record(row: Mapping[str, Any]) -> Row:
    line = reporting.apart_line(dict(row))
    return {
        "record": "record",
        "status": line.status,
        "reason": row["rule"],
        "why": line.why,
        "remittance": line.remittance,
        "opened_on": row["received_at"].date().isoformat(),
        "closed_on": row["said_at"].date().isoformat() if row["said_at"] else "",
        "id": line.payment,
    }


def _case(row: Mapping[str, Any]) -> Row:
    return {
        "record": "case",
        "status": "review" if row["closed_at"] is None else "closed",
        "reason": row["kind"],
        "why": CASES.get(row["kind"], row["kind"]),
        "invoices": row["invoice_number"],
        "settlement": str(row["settlement_id"]),
        "opened_on": row["opened_at"].date().isoformat(),
        "closed_on": row["closed_at"].date().isoformat() if row["closed_at"] else "",
        "id": str(row["id"]),
    }


def _checkpoint(connection: Connection) -> Row:
    taken = take_checkpoint(connection, utc_now(connection).astimezone(UTC).date())
    sums = ", ".join(f"{each.account} {Money(each.came_in, each.currency)}" for each in turnovers(connection))
    said = f"{taken.events} events before {taken.before} (UTC), SHA-256 {taken.sha256}; came in until now: {sums}"
    digest = {"events": str(taken.events), "sha256": taken.sha256}
    return {"record": "checkpoint", "opened_on": taken.before.isoformat(), "why": said, **digest}
