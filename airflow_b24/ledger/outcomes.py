"""What matching said of each payment and why; the newest word counts, older ones stay as history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import Connection, func, insert, select

from airflow_b24.ledger.schema import outcome
from airflow_b24.ledger.store import utc_now


@dataclass(frozen=True, slots=True)
class Outcome:
    """`reason` is the proof's rule or the review's reason code; `invoices` the numbers concerned."""

    payment_id: int
    verdict: Literal["proven", "part", "review"]
    reason: str
    invoices: Sequence[str] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)


def record(connection: Connection, portal_id: int, mode: str, said: Outcome) -> None:
    """Add the outcome unless it repeats the payment's newest one on this portal."""
    values = {
        "mode": mode,
        "verdict": said.verdict,
        "reason": said.reason,
        "invoices": list(said.invoices),
        "evidence": dict(said.evidence),
    }
    last = connection.execute(
        select(outcome)
        .where(outcome.c.payment_id == said.payment_id, outcome.c.portal_id == portal_id)
        .order_by(outcome.c.id.desc())
        .limit(1)
    ).mappings()
    if any(all(row[name] == value for name, value in values.items()) for row in last):
        return
    connection.execute(
        insert(outcome).values(
            payment_id=said.payment_id, portal_id=portal_id, decided_at=utc_now(connection), **values
        )
    )


def latest() -> Any:
    """A subquery with the newest outcome of each payment."""
    newest = select(func.max(outcome.c.id)).group_by(outcome.c.payment_id)
    return select(outcome).where(outcome.c.id.in_(newest)).subquery("latest")
