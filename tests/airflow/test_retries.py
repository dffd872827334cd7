from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from airflow_b24.bitrix.errors import (
    AuthError,
    BitrixError,
    RefusedError,
    RequestError,
    ResponseError,
    UnknownOutcomeError,
)
from airflow_b24.operators import (
    Bitrix24Operator,
    CollectPaymentsOperator,
    MatchPaymentsOperator,
    PayInvoiceOperator,
)
from airflow_b24.retries import RetryPolicy, default_policy, for_airflow, seconds_until
from airflow_b24.sources import HttpSource

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
GIVEN: dict[type[BaseOperator], dict[str, Any]] = {
    PayInvoiceOperator: {"invoice_id": 5},
    CollectPaymentsOperator: {"source": HttpSource(http_conn_id="bank", endpoint="p"), "start_from": "2026-01-01"},
    MatchPaymentsOperator: {"mode": "pay"},
    Bitrix24Operator: {"method": "profile"},
}


@pytest.mark.parametrize("operator", GIVEN)
def test_every_operator_has_the_policy_direct_and_mapped_where_airflow_knows_policies(
    operator: type[BaseOperator],
) -> None:
    given = dict(GIVEN[operator])
    with DAG("d", schedule=None):
        direct = operator(task_id="direct", **given)
        name, value = given.popitem()
        mapped: Any = operator.partial(task_id="mapped", **given).expand(**{name: [value]})
        unmapped = mapped.unmap({name: value})
    policies = [type(getattr(task, "retry_policy", None)) for task in (direct, unmapped)]
    assert policies == [type(default_policy())] * 2


def test_there_is_a_policy_exactly_where_airflow_knows_them() -> None:
    assert (default_policy() is None) == (RetryPolicy is None)


# Airflow 3.2 has no policies, and nothing here to test: not a skip, for nobody could ever run it there.
if RetryPolicy is not None:

    def test_a_policy_of_the_users_own_is_kept_direct_and_mapped() -> None:
        class Mine(RetryPolicy):
            def evaluate(self, *_: Any, **__: Any) -> Any: ...

        mine = Mine()
        with DAG("d", schedule=None):
            assert PayInvoiceOperator(task_id="a", invoice_id=5, retry_policy=mine).retry_policy is mine
            mapped: Any = PayInvoiceOperator.partial(task_id="b", retry_policy=mine).expand(invoice_id=[5])
            assert mapped.unmap({"invoice_id": 5}).retry_policy is mine

    @pytest.mark.parametrize(
        ("error", "action", "seconds"),
        [
            (RefusedError("X", retry_at=datetime.now(UTC) + timedelta(seconds=300)), "retry", 300),
            (UnknownOutcomeError("X", retry_at=datetime.now(UTC) + timedelta(seconds=300)), "retry", 300),
            (RefusedError("X", retry_at=NOW - timedelta(days=400)), "retry", 1),
            (RefusedError("X"), "default", None),
            (ResponseError("X"), "default", None),
            (RuntimeError("x"), "default", None),
        ],
        ids=["refused until", "unknown until", "a time gone by", "refused", "response", "any other"],
    )
    def test_the_retry_policy_waits_until_the_time_the_error_names(
        error: Exception, action: str, seconds: int | None
    ) -> None:
        decision = default_policy().evaluate(error, 1, 5)
        assert decision.action.value == action
        found = None if decision.retry_delay is None else decision.retry_delay.total_seconds()
        # The tests before this one take their time.
        assert found == (None if seconds is None else pytest.approx(seconds, abs=min(seconds - 1, 200)))


@pytest.mark.parametrize(
    ("retry_at", "seconds"),
    [(None, None), (NOW + timedelta(seconds=8), 8.0), (NOW, 1.0), (NOW - timedelta(hours=1), 1.0)],
)
def test_a_wait_is_at_least_a_second(retry_at: datetime | None, seconds: float | None) -> None:
    assert seconds_until(retry_at, NOW) == seconds


@pytest.mark.parametrize("error", [AuthError("ACCESS_DENIED"), RequestError("X", "wrong"), ValueError("field: fix")])
def test_what_repeating_cannot_help_fails_for_good(error: Exception) -> None:
    translated = for_airflow(error)
    assert isinstance(translated, AirflowFailException)
    assert str(error) in str(translated)


@pytest.mark.parametrize("error", [RefusedError("X"), UnknownOutcomeError("X"), ResponseError("X"), RuntimeError("x")])
def test_what_repeating_may_help_stays_what_it_is(error: Exception) -> None:
    assert for_airflow(error) is error


def test_every_group_of_errors_is_judged_here() -> None:
    judged = {AuthError, RequestError, RefusedError, UnknownOutcomeError, ResponseError}
    assert set(BitrixError.__subclasses__()) == judged
