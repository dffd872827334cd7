"""When a failed task may try again, in Airflow's words; the one place where our errors become them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from airflow_b24.bitrix.errors import AuthError, RequestError
from airflow_b24.ledger.errors import ForeignLedgerError, UnknownIdError
from airflow_b24.results import NotPaidError

try:
    from airflow.sdk import RetryDecision, RetryPolicy
except ImportError:  # Airflow 3.2: the task's own exponential backoff must outlast the quiet time
    RetryPolicy = None  # type: ignore[assignment,misc]

NEVER_AGAIN = (AuthError, RequestError, ForeignLedgerError, UnknownIdError, NotPaidError, ValueError)


def for_airflow(error: Exception) -> Exception:
    """The error a task should fail with: AirflowFailException where trying again cannot help.

    Refusals, unknown outcomes and unclear answers stay what they are, so that the task's `retries` count.
    """
    if not isinstance(error, NEVER_AGAIN):
        return error
    return AirflowFailException(str(error))


def seconds_until(retry_at: datetime | None, now: datetime) -> float | None:
    """How long to wait, at least a second; None when the error names no time."""
    return None if retry_at is None else max((retry_at - now).total_seconds(), 1.0)


if RetryPolicy is not None:

    class Bitrix24RetryPolicy(RetryPolicy):
        """Retries at the time an error names (`retry_at`), and otherwise as the task itself says."""

        def evaluate(
            self,
            exception: BaseException,
            try_number: int,
            max_tries: int,
            context: Any = None,
        ) -> RetryDecision:
            """Decide in the worker, with the live exception."""
            wait = seconds_until(getattr(exception, "retry_at", None), datetime.now(UTC))
            if wait is None:
                return RetryDecision.default()
            return RetryDecision.retry(delay=timedelta(seconds=wait), reason="the error names the time to try again")


def default_policy() -> Any:
    """A policy for operators on Airflow 3.3 and later, None before."""
    return None if RetryPolicy is None else Bitrix24RetryPolicy()
