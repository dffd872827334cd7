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
    PayMatchedInvoicesOperator,
)
from airflow_b24.retries import RetryPolicy, default_policy, for_airflow, seconds_until
from airflow_b24.sources import HttpSource

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
GIVEN: dict[type[BaseOperator], dict[str, Any]] = {
    PayInvoiceOperator: {"invoice_id": 5},
    CollectPaymentsOperator: {"source": HttpSource(http_conn_id="bank", endpoint="p"), "start_from": "2026-01-01"},
    MatchPaymentsOperator: {"mode": "pay"},
    PayMatchedInvoicesOperator: {"settlements": []},
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

    @pytest.mark.parametrize("kind", [RefusedError, UnknownOutcomeError])
    @pytest.mark.parametrize(("ahead", "wait"), [(300, 300), (-300, 1)])
    def test_the_retry_policy_waits_until_the_time_the_error_names(
        kind: type[BitrixError], ahead: int, wait: int
    ) -> None:
        retry_at = datetime.now(UTC) + timedelta(seconds=ahead)
        decision = default_policy().evaluate(kind("X", retry_at=retry_at), 1, 5)
        assert decision.action.value == "retry"
        assert decision.retry_delay.total_seconds() == pytest.approx(wait, abs=10 if wait > 1 else 0)

    @pytest.mark.parametrize("error", [RefusedError("X"), ResponseError("X"), RuntimeError("x")])
    def test_without_such_a_time_the_task_decides(error: Exception) -> None:
        decision = default_policy().evaluate(error, 1, 5)
        assert (decision.action.value, decision.retry_delay) == ("default", None)


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
