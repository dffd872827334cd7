"""What a settlement means for the task that ran it: a result, or an error that says what to do next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from airflow_b24.bitrix.errors import LEFT_OPEN, BitrixError, UnknownOutcomeError
from airflow_b24.ledger.facts import Refused, Row, Unknown
from airflow_b24.ledger.settlement import Settled
from airflow_b24.ledger.states import REASONS, State


class NotPaidError(Exception):
    """The invoice was not paid, and trying again does not help: the text says what stands in the way."""


STATUS = {"sent": "paid", "by_hand": "already_paid"}


def paid_or_raise(settled: Settled, *, matched: bool) -> dict[str, Any]:
    """The operator's result; raises a BitrixError grouped by what to do next, or NotPaidError.

    A review is a result for a matched payment, which a person will look at, and an error for a plain pay.
    """
    row = settled.row
    if settled.trouble is not None:
        raise _error(row, settled.trouble, _retry_at(settled.wait_s))
    if row.state is State.PAID:
        return _result(row, STATUS[row.how or ""])
    if row.state is State.REVIEW and matched:
        return _result(row, "review")
    why = REASONS.get(row.reason or "", "")
    raise NotPaidError(
        f"invoice {row.invoice_number} is not paid: {row.reason or row.state}. {why} "
        f"Its settlement {row.id} waits for a person: `airflow-b24 review`."
    )


def describe(result: dict[str, Any]) -> str:
    """The result in words, for a log."""
    why = REASONS.get(result["reason"] or "", "")
    return f"{result['status']}. {why}".strip()


def _retry_at(wait_s: float | None) -> datetime | None:
    # By the worker's own clock, which is also the one that will wait.
    return None if wait_s is None else datetime.now(UTC) + timedelta(seconds=max(wait_s, 0.0))


def _result(row: Row, status: str) -> dict[str, Any]:
    return {
        "invoice_id": row.invoice_id,
        "invoice_type": row.kind,
        "settlement_id": row.id,
        "status": status,
        "reason": row.reason,
        "number": row.invoice_number,
        "amount": str(Decimal(row.expected).scaleb(-row.exponent)),
        "currency": row.currency,
    }


def _error(row: Row, trouble: Refused | Unknown, retry_at: datetime | None) -> Exception:
    cause = trouble.cause
    text = f"invoice {row.invoice_number}: {cause.said if isinstance(cause, BitrixError) else trouble.text}"
    if row.state in {State.UNKNOWN, State.SENDING}:
        return UnknownOutcomeError(LEFT_OPEN, text, retry_at=retry_at)
    if isinstance(cause, BitrixError):
        # The wait was measured from it, perhaps long before the run was over.
        cause.retry_at = cause.retry_at or retry_at
        return cause
    if cause is not None:
        return cause
    if isinstance(trouble, Refused):
        return NotPaidError(trouble.text)
    return UnknownOutcomeError(LEFT_OPEN, text, retry_at=retry_at)
