"""What a run over many settlements means for the task that ran it: a small summary, and the error that tells what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from airflow_b24.bitrix.errors import LEFT_OPEN, BitrixError, RefusedError, UnknownOutcomeError
from airflow_b24.reconcile.lanes import Outcome
from airflow_b24.results import NotPaidError, paid_or_raise
from airflow_b24.retries import NEVER_AGAIN

# An XCom is small; the ledger has them all.
SHOWN: Final = 50
_WORDS: Final = {
    "paid": "paid",
    "already_paid": "paid by hand",
    "review": "for a person",
    "waiting": "waiting",
    "failed": "failed",
}


def summed(wanted: Mapping[int, int], outcomes: Mapping[int, Outcome]) -> dict[str, Any]:
    """Counts by status, and the first that have failed, with their reasons; `wanted` is {settlement's id: its invoice's}."""
    ends = {settlement_id: _end(outcome) for settlement_id, outcome in outcomes.items()}
    counts = Counter(end for end in ends.values() if isinstance(end, str))
    failed = [
        {"invoice_id": wanted[settlement_id], "settlement_id": settlement_id, "why": str(end)}
        for settlement_id, end in ends.items()
        if isinstance(end, NEVER_AGAIN)
    ]
    waiting = sum(isinstance(end, Exception) for end in ends.values()) - len(failed)
    known = {status: counts[status] for status in ("paid", "already_paid", "review")}
    return {**known, "waiting": waiting, "failed": len(failed), "failures": failed[:SHOWN]}


def error_of(outcomes: Mapping[int, Outcome], summary: Mapping[str, Any]) -> Exception | None:
    """The error a task should fail with once all else is done, None when everything has an end.

    While something may still come to an end it is one to be tried again, at the earliest time at which that helps.
    """
    errors = [end for end in map(_end, outcomes.values()) if isinstance(end, Exception)]
    waiting = [error for error in errors if not isinstance(error, NEVER_AGAIN)]
    text = f"Of {len(outcomes)} matched invoices: {_counted(summary)}"
    if waiting:
        return _try_again(waiting, text)
    return NotPaidError(f"{text}. The first that failed: {errors[0]}") if errors else None


def _try_again(waiting: list[Exception], text: str) -> Exception:
    times = [at for at in (getattr(error, "retry_at", None) for error in waiting) if isinstance(at, datetime)]
    unknown = any(isinstance(error, UnknownOutcomeError) for error in waiting)
    kind = UnknownOutcomeError if unknown else RefusedError
    return kind(LEFT_OPEN, f"{text}. The first that waits: {_said(waiting[0])}", retry_at=min(times, default=None))


def _said(error: Exception) -> str:
    """What went wrong, without what the error around it says as well: the code, what to do, and when."""
    if not isinstance(error, BitrixError):
        return str(error)
    return error.description if error.code == LEFT_OPEN else error.said


def _end(outcome: Outcome) -> str | Exception:
    """The status of what has an end, else the error that it alone would fail with."""
    if isinstance(outcome, Exception):
        return outcome
    try:
        return str(paid_or_raise(outcome, matched=True)["status"])
    except Exception as error:  # noqa: BLE001 - told, never swallowed
        return error


def _counted(summary: Mapping[str, Any]) -> str:
    counts = {status: count for status, count in summary.items() if isinstance(count, int) and count}
    return ", ".join(f"{count} {_WORDS[status]}" for status, count in counts.items())
