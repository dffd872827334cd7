"""What a settlement means for the task that ran it: a result, or an error that says what to do next."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from airflow_b24.bitrix.errors import ANSWER_LOST, BitrixError, RequestError, UnknownOutcomeError
from airflow_b24.ledger.decide import REASONS, Refused, Row, State, Unknown
from airflow_b24.ledger.settlement import Settled

STATUS = {"sent": "paid", "by_hand": "already_paid"}


def paid_or_raise(settled: Settled, *, matched: bool) -> dict[str, Any]:
    """The operator's result; raises a BitrixError grouped by what to do next.

    A review is a result for a matched payment, which a person will look at, and an error for a plain pay.
    """
    row = settled.row
    if settled.trouble is not None:
        raise _error(row, settled.trouble, settled.retry_at)
    if row.state is State.PAID:
        return _result(row, STATUS[row.how or ""])
    if row.state is State.REVIEW and matched:
        return _result(row, "review")
    why = REASONS.get(row.reason or "", "")
    raise RequestError(
        row.reason or row.state, f"invoice {row.invoice_number} is not paid: its settlement is in {row.state}. {why}"
    )


def _result(row: Row, status: str) -> dict[str, Any]:
    return {
        "invoice_id": row.invoice_id,
        "settlement_id": row.id,
        "status": status,
        "reason": row.reason,
        "number": row.invoice_number,
        "amount": str(Decimal(row.expected).scaleb(-row.exponent)),
        "currency": row.currency,
    }


def _error(row: Row, trouble: Refused | Unknown, retry_at: datetime | None) -> Exception:
    cause = trouble.cause
    if row.state in {State.UNKNOWN, State.SENDING}:
        text = f"invoice {row.invoice_number}: {trouble.text}; the next attempt reads it before anything is sent"
        return UnknownOutcomeError(ANSWER_LOST, text, retry_at=retry_at)
    if isinstance(cause, BitrixError):
        cause.retry_at = retry_at or cause.retry_at
        return cause
    if isinstance(trouble, Refused):
        return RequestError(trouble.code, trouble.text)
    return UnknownOutcomeError(ANSWER_LOST, f"invoice {row.invoice_number}: {trouble.text}", retry_at=retry_at)
