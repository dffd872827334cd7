"""Report: what became of every payment and why, derived afresh from the ledger each time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from airflow_b24.ledger import records, statuses
from airflow_b24.ledger.decide import REASONS as SETTLEMENT_REASONS
from airflow_b24.ledger.decide import State
from airflow_b24.ledger.store import Store
from airflow_b24.payments.money import Money
from airflow_b24.payments.reasons import REASONS, RULES


@dataclass(frozen=True, slots=True)
class Line:
    """One payment's fate; `status` is paid, by_hand, review, waiting or ignored; `amount` is None when unreadable."""

    status: str
    why: str
    reason: str
    payment: str
    amount: Money | None = None
    account: str = ""
    booked_on: str = ""
    payer: str = ""
    remittance: str = ""
    invoices: str = ""


def report(store: Store) -> dict[str, Any]:
    """Totals of everything in the ledger: counts by status, and sums in by account and currency (as texts).

    `payments` = distinct payments delivered = `paid` + `review` + `waiting` + `ignored`; `paid` includes `by_hand`.
    """
    return totals(lines(store))


def totals(found: list[Line]) -> dict[str, Any]:
    """Count lines as `report` does."""
    counts = Counter(line.status for line in found)
    sums: dict[str, Money] = {}
    for line in found:
        if line.amount is not None and line.status != "ignored":
            key = f"{line.account} {line.amount.currency}"
            sums[key] = sums[key] + line.amount if key in sums else line.amount
    return {
        "payments": len(found),
        "paid": counts["paid"] + counts["by_hand"],
        "by_hand": counts["by_hand"],
        "review": counts["review"],
        "waiting": counts["waiting"],
        "ignored": counts["ignored"],
        "received": {key: str(money) for key, money in sorted(sums.items())},
    }


def lines(store: Store) -> list[Line]:
    """One line for each distinct payment delivered, whatever became of it, oldest first."""
    with store.snapshot() as connection:
        known = statuses.payments(connection)
        apart = records.set_aside(connection)
    return [_line(row) for row in known] + [_apart(row) for row in apart]


def reviews(store: Store) -> list[Line]:
    """Everything that waits for a person, newest first; also invoices that were paid by their id."""
    with store.snapshot() as connection:
        plain = [_plain(row) for row in statuses.plain_reviews(connection)]
    waiting = [line for line in lines(store) if line.status == "review"] + plain
    return sorted(waiting, key=lambda line: line.booked_on, reverse=True)


def _plain(row: dict[str, Any]) -> Line:
    return Line(
        status="review",
        reason=row["reason"] or "",
        why=SETTLEMENT_REASONS.get(row["reason"], row["reason"] or ""),
        payment=f"settlement {row['id']}",
        amount=Money(row["expected"], row["currency"]),
        booked_on=row["updated_at"].date().isoformat(),
        invoices=row["invoice_number"],
    )


def _line(row: dict[str, Any]) -> Line:
    status, reason, why = _fate(row)
    return Line(
        status=status,
        reason=reason,
        why=why,
        payment=row["key"].partition(":")[2],
        amount=Money(row["amount"], row["currency"]),
        account=row["account"],
        booked_on=row["booked_on"].isoformat(),
        payer=row["payer_name"],
        remittance=row["remittance"],
        invoices=row["invoice_number"] or ", ".join(row["invoices"] or ()),
    )


def _fate(row: dict[str, Any]) -> tuple[str, str, str]:
    """Status, reason code and sentence of one payment."""
    if row["held"]:
        return "review", "amended", "The bank sent this payment again with other content."
    return _settlement_fate(row) if row["state"] is not None else _outcome_fate(row)


def _settlement_fate(row: dict[str, Any]) -> tuple[str, str, str]:
    state, rule = row["state"], row["outcome_reason"] or ""
    if state == State.PAID and row["how"] == "by_hand":
        return "by_hand", rule, "Somebody had marked it paid already. " + RULES.get(rule, "")
    if state == State.PAID:
        return "paid", rule, RULES.get(rule, "")
    if state == State.REVIEW:
        return "review", row["settlement_reason"], SETTLEMENT_REASONS.get(row["settlement_reason"], "")
    return "waiting", state, f"Its settlement is {state}."


def _outcome_fate(row: dict[str, Any]) -> tuple[str, str, str]:
    said = row["outcome_reason"] or "new"
    if row["verdict"] == "review":
        return "review", said, REASONS.get(said, said)
    if row["verdict"] == "proven":
        return "waiting", said, "Would be paid. " + RULES.get(said, "")
    return "waiting", said, "Not matched yet."


def _apart(row: dict[str, Any]) -> Line:
    if row["verdict"] == "ignored":
        return Line("ignored", f"set aside by the rule {row['rule']}", row["rule"], f"record {row['id']}")
    return Line("review", row["detail"], "quarantined", f"record {row['id']}", remittance=row["body"])
