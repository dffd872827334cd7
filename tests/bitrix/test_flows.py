from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_b24.bitrix.errors import (
    AuthError,
    BitrixError,
    RefusedError,
    RequestError,
    ResponseError,
    UnknownOutcomeError,
)
from airflow_b24.bitrix.flows import Repeats, attempt, batch, call
from airflow_b24.bitrix.protocol import Request, Response, Wait

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
STEADY = Repeats(jitter=lambda: 0.0, now=lambda: NOW)
Talk = Callable[..., tuple[list[Any], Any]]


def row(invoice_id: int, paid: str = "Y") -> dict[str, str]:
    return {"ID": str(invoice_id), "PAYED": paid, "PRICE": "118.00", "CURRENCY": "RUB", "STATUS_ID": "P"}


def read_call() -> Any:
    return call("crm.invoice.get", {"id": 2}, repeats=STEADY)


def write_call() -> Any:
    return call("crm.invoice.update", {"id": 2}, write=True, repeats=STEADY)


def waits(effects: list[Any]) -> list[float]:
    return [effect.seconds for effect in effects if isinstance(effect, Wait)]


def test_a_call_returns_the_response(talk: Talk) -> None:
    effects, result = talk(read_call(), Response(1))
    assert effects == [Request("crm.invoice.get", {"id": 2}, write=False)]
    assert result == Response(1)


@pytest.mark.parametrize("start", [read_call, write_call])
def test_what_was_refused_is_repeated_with_growing_pauses(talk: Talk, start: Callable[[], Any]) -> None:
    effects, result = talk(start(), RefusedError("A"), RefusedError("B"), RefusedError("C"), Response(1))
    assert waits(effects) == [0.5, 1.0, 2.0]
    assert result == Response(1)


@pytest.mark.parametrize("start", [read_call, write_call])
def test_refusals_end_with_the_last_error(talk: Talk, start: Callable[[], Any]) -> None:
    with pytest.raises(RefusedError, match="number 5"):
        talk(start(), *(RefusedError("A", f"number {n}") for n in range(6)))


def test_an_unclear_read_is_tried_three_times(talk: Talk) -> None:
    with pytest.raises(ResponseError, match="third"):
        talk(read_call(), ResponseError("A"), ResponseError("B"), ResponseError("third"))


def test_each_kind_of_failure_has_its_own_tries(talk: Talk) -> None:
    refused, unclear = RefusedError("A"), ResponseError("B")
    effects, result = talk(read_call(), refused, unclear, refused, unclear, refused, Response(1))
    assert waits(effects) == [0.5, 0.5, 1.0, 1.0, 2.0]
    assert result == Response(1)


@pytest.mark.parametrize("error", [UnknownOutcomeError("A"), AuthError("A"), RequestError("A")])
def test_an_unknown_write_is_never_repeated_nor_what_a_person_must_mend(talk: Talk, error: BitrixError) -> None:
    with pytest.raises(type(error)):
        talk(write_call(), error)


def test_jitter_spreads_the_pauses(talk: Talk) -> None:
    flow = call("scope", repeats=Repeats(jitter=lambda: 1.0))
    effects, _ = talk(flow, RefusedError("A"), Response(1))
    assert waits(effects) == [0.75]


def test_a_known_time_is_waited_for_when_it_is_near(talk: Talk) -> None:
    effects, _ = talk(read_call(), RefusedError("A", retry_at=NOW + timedelta(seconds=59)), Response(1))
    assert waits(effects) == [59.0]


def test_a_known_time_that_is_far_is_given_back(talk: Talk) -> None:
    with pytest.raises(RefusedError) as caught:
        talk(read_call(), RefusedError("A", retry_at=NOW + timedelta(seconds=61)))
    assert caught.value.retry_at == NOW + timedelta(seconds=61)


@pytest.mark.parametrize("start", [read_call, write_call])
def test_an_expired_token_is_renewed_once(talk: Talk, start: Callable[[], Any]) -> None:
    expired = AuthError("expired_token")
    effects, result = talk(start(), expired, Response(1))
    assert len(effects) == 2
    assert result == Response(1)
    with pytest.raises(AuthError):
        talk(start(), expired, expired)


def test_a_token_that_expires_again_after_a_renewal_is_an_error(talk: Talk) -> None:
    expired = AuthError("expired_token")
    with pytest.raises(AuthError):
        talk(read_call(), expired, RefusedError("A"), expired)


@pytest.mark.parametrize("error", [RefusedError("A"), AuthError("expired_token"), ResponseError("A")])
def test_a_request_with_a_send_window_is_never_repeated(talk: Talk, error: BitrixError) -> None:
    effects, result = talk(attempt(Request("x.add", send_before=5.0), STEADY), error)
    assert len(effects) == 1
    assert result is error


def test_a_driver_that_forgets_the_answer_is_told_so(talk: Talk) -> None:
    with pytest.raises(TypeError, match="must be answered"):
        talk(read_call(), None)


# docs: batch, a response in which one of two commands fails
DOCUMENTED_BATCH = {
    "result": {"c0": {"ID": "2"}},
    "result_error": {"c1": {"error": "", "error_description": "Not found."}},
    "result_total": [],
    "result_next": [],
    "result_time": [],
}


def test_a_batch_gives_each_command_its_own_outcome(talk: Talk) -> None:
    commands = {"a": ("crm.invoice.get", {"id": 2}), "b": ("crm.invoice.get", {"id": 9}), "c": ("scope", {})}
    effects, outcomes = talk(batch(commands), Response(DOCUMENTED_BATCH))
    cmd = {"c0": "crm.invoice.get?id=2", "c1": "crm.invoice.get?id=9", "c2": "scope?"}
    assert effects == [Request("batch", {"halt": 0, "cmd": cmd}, write=False)]
    assert outcomes["a"] == Response({"ID": "2"})
    assert isinstance(outcomes["b"], RequestError)
    assert isinstance(outcomes["c"], ResponseError), "a command that was not run has no answer"


def test_a_batch_holds_fifty_commands(talk: Talk) -> None:
    commands = {f"k{n}": ("crm.invoice.get", {"id": n}) for n in range(120)}
    replies = [Response({"result": [{"ID": n} for n in range(start, min(start + 50, 120))]}) for start in (0, 50, 100)]
    for reply in replies:
        reply.result["result"] = {f"c{n}": value for n, value in enumerate(reply.result["result"])}
    effects, outcomes = talk(batch(commands), *replies)
    assert [len(effect.arguments["cmd"]) for effect in effects] == [50, 50, 20]
    assert {key: outcome.result["ID"] for key, outcome in outcomes.items()} == {f"k{n}": n for n in range(120)}


def test_a_batch_takes_no_writes(talk: Talk) -> None:
    with pytest.raises(ValueError, match="update may write"):
        talk(batch({"a": ("crm.invoice.update", {"id": 2})}))
