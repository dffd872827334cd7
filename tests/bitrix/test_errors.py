from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime

import pytest

from airflow_b24.bitrix.errors import (
    ADVICE,
    INVOICE_GONE,
    AuthError,
    BitrixError,
    RefusedError,
    RequestError,
    ResponseError,
    UnknownOutcomeError,
)

KINDS = [RefusedError, AuthError, RequestError, UnknownOutcomeError, ResponseError]
LATER = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def error_of(kind: type[BitrixError]) -> BitrixError:
    return kind("CODE", "text", status=503, method="crm.invoice.get", host="portal.example", retry_at=LATER)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("move", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy])  # noqa: S301
def test_an_error_moves_between_processes_whole(kind: type[BitrixError], move: object) -> None:
    moved = move(error_of(kind))  # type: ignore[operator]
    assert type(moved) is kind
    assert vars(moved) == vars(error_of(kind))
    assert str(moved) == str(error_of(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_the_text_is_one_line_that_says_where_what_and_what_to_do(kind: type[BitrixError]) -> None:
    text = str(error_of(kind))
    assert text.startswith("crm.invoice.get at portal.example: CODE: text (HTTP 503). ")
    assert kind.advice in text
    assert text.endswith("Not before 2026-11-22T12:00:00+00:00.")


def test_the_text_stays_one_line_when_the_portal_sends_several() -> None:
    assert "\n" not in str(RequestError("ERROR_CORE", "no topic<br />\nno payer<br />\n"))


def test_a_description_that_ends_with_a_full_stop_gets_no_second_one() -> None:
    error = RequestError("ERROR_CORE", "no topic.")
    assert str(error).startswith("Bitrix24: ERROR_CORE: no topic. Nothing ran")
    assert error.said == "ERROR_CORE: no topic"


def test_an_error_without_a_code_still_says_something() -> None:
    assert str(ResponseError("")).startswith("Bitrix24: an error without a code.")


def test_an_invoice_that_is_gone_is_told_apart_in_words() -> None:
    assert "may have been deleted" in str(RequestError(INVOICE_GONE, "invoice_id=2 is not there any more"))


def test_a_naive_retry_time_is_refused() -> None:
    with pytest.raises(ValueError, match="retry_at"):
        RefusedError("X", retry_at=datetime(2026, 11, 22))  # noqa: DTZ001


def test_no_group_contains_another() -> None:
    assert all(kind.__bases__ == (BitrixError,) for kind in KINDS)


def test_advice_never_tells_to_repeat_an_unknown_write() -> None:
    assert "may have happened" in UnknownOutcomeError.advice
    assert "ANSWER_LOST" not in ADVICE
