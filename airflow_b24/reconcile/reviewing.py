"""Review: what waits for a person, whether a payment, a pay without one, or trouble after the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from airflow_b24.ledger import cases, statuses
from airflow_b24.ledger.states import UNDER_WAY, State
from airflow_b24.ledger.store import Store
from airflow_b24.payments.money import Money
from airflow_b24.reconcile.reporting import CASES, TOLD_BY_A_PERSON, Line, newest, unended, why_in_review, with_lack

# No matching run brings what was asked for by its id to its task again.
_OPEN = {State.READY: "Asked for by its id, and not marked paid yet: run its task again."}
_BY_ID = "Somebody named the invoice by its id; no payment stands behind it."


def reviews(store: Store) -> list[Line]:
    """Everything that waits for a person, newest first: also invoices paid by their id, and trouble after the end."""
    with store.snapshot() as connection:
        plain = [plain_line(row) for row in statuses.plain(connection) if row["state"] != State.PAID]
        # A payment that the bank has changed is shown as such, with its case.
        open_ = [row for row in cases.open_cases(connection) if row["kind"] != cases.AMENDED]
        trouble = [_case(connection, row) for row in open_]
    waiting = [line for line in unended(store) if line.status == "review"] + plain + trouble
    return sorted(waiting, key=lambda line: line.booked_on, reverse=True)


def foremost(store: Store, count: int) -> tuple[list[Line], int]:
    """At most so many lines, all that waits for a person first, then the newest payments; and how many wait."""
    waiting = reviews(store)
    others = [line for line in newest(store, count) if line.status != "review"]
    room = max(count - len(waiting), 0)
    return waiting[:count] + (others[-room:] if room else []), len(waiting)


def _case(connection: Connection, row: Mapping[str, Any]) -> Line:
    settlement_id, why = row["settlement_id"], CASES.get(row["kind"], row["kind"])
    paid_with = statuses.paid_with(connection, settlement_id)
    named = ", ".join(each["key"].partition(":")[2] for each in paid_with) or f"settlement {settlement_id}"
    payers = ", ".join(dict.fromkeys(each["payer_name"] for each in paid_with))
    about = _about(row, row["invoice_kind"], "opened_at")
    return Line(
        "review", why, row["kind"], named, payer=payers, settlement_id=settlement_id, case_id=row["id"], **about
    )


def plain_line(row: Mapping[str, Any]) -> Line:
    """The line of an invoice that somebody named, from a row of `ledger.statuses.plain`."""
    status, why = _fate(row)
    reason, about = row["reason"] or row["state"], _about(row, row["kind"], "updated_at")
    return Line(status, why, reason, f"settlement {row['id']}", settlement_id=row["id"], **about)


def _fate(row: Mapping[str, Any]) -> tuple[str, str]:
    if row["state"] == State.PAID:
        return "by_hand" if row["how"] == "by_hand" else "paid", with_lack(
            TOLD_BY_A_PERSON.get(row["reason"], _BY_ID), row
        )
    return "review", why_in_review(row) or _OPEN.get(row["state"]) or f"Asked for by its id. {UNDER_WAY[row['state']]}"


def _about(row: Mapping[str, Any], kind: str, when: str) -> dict[str, Any]:
    money = Money(row["expected"], row["currency"])
    about = {"amount": money, "booked_on": row[when].date().isoformat(), "invoices": row["invoice_number"]}
    return {**about, "kinds": (kind,)}
