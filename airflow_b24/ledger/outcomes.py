"""What matching said of each payment and why; the newest word counts, older ones stay as history."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, Literal

from sqlalchemy import Connection, func, insert, select

from airflow_b24.ledger.schema import outcome
from airflow_b24.ledger.store import utc_now

SAID: Final = ("mode", "verdict", "reason", "invoices", "evidence")
# As many as one statement's parameters surely hold.
AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True)
class Outcome:
    """`reason` is the proof's rule or the review's reason code; `invoices` the numbers concerned."""

    payment_id: int
    verdict: Literal["proven", "part", "review"]
    reason: str
    invoices: Sequence[str] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)


def record_all(connection: Connection, portal_id: int, mode: str, said: Sequence[Outcome]) -> None:
    """Add the outcomes, each of another payment, but those that repeat their payment's newest one on this portal."""
    for start in range(0, len(said), AT_ONCE):
        some = {each.payment_id: _values(each, mode) for each in said[start : start + AT_ONCE]}
        known = _newest(connection, portal_id, some)
        now = utc_now(connection)
        rows = [
            {"payment_id": payment_id, "portal_id": portal_id, "decided_at": now, **values}
            for payment_id, values in some.items()
            if known.get(payment_id) != values
        ]
        if rows:
            connection.execute(insert(outcome), rows)


def _values(said: Outcome, mode: str) -> dict[str, Any]:
    told = {"verdict": said.verdict, "reason": said.reason}
    return {"mode": mode, **told, "invoices": list(said.invoices), "evidence": dict(said.evidence)}


def _newest(connection: Connection, portal_id: int, payment_ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    """What was said last, by payment."""
    this = (outcome.c.payment_id.in_(payment_ids), outcome.c.portal_id == portal_id)
    newest = select(func.max(outcome.c.id)).where(*this).group_by(outcome.c.payment_id)
    query = select(outcome.c.payment_id, *(outcome.c[name] for name in SAID)).where(outcome.c.id.in_(newest))
    rows = connection.execute(query).mappings()
    return {row["payment_id"]: {name: row[name] for name in SAID} for row in rows}


@cache
def latest() -> Any:
    """A subquery with the newest outcome of each payment."""
    newer = outcome.alias("newer")
    # Not the greatest ids as a list: a database may go through all of it for each payment.
    later = select(newer.c.id).where(newer.c.payment_id == outcome.c.payment_id, newer.c.id > outcome.c.id)
    return select(outcome).where(~later.exists()).subquery("latest")
