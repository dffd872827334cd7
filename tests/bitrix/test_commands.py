from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from airflow_b24.bitrix.commands import decode, encode, is_closed_to_all
from airflow_b24.bitrix.errors import AuthError, RefusedError, RequestError, ResponseError, UnknownOutcomeError
from airflow_b24.bitrix.protocol import Request, Response

GET = Request("crm.invoice.get", {"id": 1}, write=False)


@pytest.mark.parametrize(
    ("arguments", "query"),
    [
        ({"id": 2}, "id=2"),
        (
            {"filter": {">ID": 5, "@STATUS_ID": ["N", "S"]}},
            "filter[%3EID]=5&filter[%40STATUS_ID][0]=N&filter[%40STATUS_ID][1]=S",
        ),
        ({"a": "x&y=z #1", "b": "Счёт"}, "a=x%26y%3Dz%20%231&b=%D0%A1%D1%87%D1%91%D1%82"),
        ({"a": True, "b": False, "c": None}, "a=1&b=0"),
        ({"a": Decimal("1E+2"), "b": date(2026, 11, 22)}, "a=100&b=2026-11-22"),
        ({}, ""),
    ],
)
def test_arguments_are_written_in_phps_way(arguments: dict[str, object], query: str) -> None:
    assert encode(Request("crm.invoice.list", arguments)) == f"crm.invoice.list?{query}"


@pytest.mark.parametrize("arguments", [{"a": 1.5}, {"a": Decimal("NaN")}, {"a": b"x"}, {"a": {"b": object()}}])
def test_an_argument_that_has_no_form_is_named(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"^a.*cannot be sent"):
        encode(Request("x.list", arguments))


CLOSED: list[tuple[Exception, bool]] = [
    (RefusedError("QUERY_LIMIT_EXCEEDED", method="x.add"), True),
    (AuthError("insufficient_scope", method="x.add"), True),
    (AuthError("ACCESS_DENIED", method="batch"), True),
    (AuthError("ACCESS_DENIED", method="x.add"), False),
    # A page in front of the portal may be about this one alone.
    (AuthError("UNREADABLE_ANSWER", status=403, method="x.get"), False),
    (AuthError("UNREADABLE_ANSWER", status=403, method="batch"), True),
    (RefusedError("SEND_WINDOW_PASSED", method="x.add"), False),
    (RequestError("NOT_FOUND", method="batch"), False),
    (ResponseError("ANSWER_LOST", method="batch"), False),
    (ValueError("ACCESS_DENIED"), False),
]


@pytest.mark.parametrize(("error", "closed"), CLOSED)
def test_a_portal_is_closed_to_all_unless_it_is_one_thing_that_its_user_may_not_do(
    error: Exception, closed: bool
) -> None:
    assert is_closed_to_all(error) is closed


@pytest.mark.parametrize("text", ["$result[find][0][ID]", "x $error[a]", "$time[a]"])
def test_nothing_is_left_for_the_portal_to_replace(text: str) -> None:
    with pytest.raises(ValueError, match="would be replaced"):
        encode(Request("x.list", {"filter": {"NAME": text}}))
    with pytest.raises(ValueError, match="would be replaced"):
        encode(Request("x.list", {text: 1}))


def test_a_price_in_dollars_is_no_reference() -> None:
    assert encode(Request("x.list", {"a": "$result 5"})) == "x.list?a=%24result%205"


@pytest.mark.parametrize("empty", [[], {}, None])
def test_empty_maps_come_as_lists(empty: Any) -> None:
    result = {
        "result": {"a": 1},
        "result_error": empty,
        "result_total": empty,
        "result_next": empty,
        "result_time": empty,
    }
    assert decode(Response(result), {"a": GET}) == {"a": Response(1)}


def test_maps_with_numbers_for_keys_come_as_lists() -> None:
    result = {"result": ["x", "y"], "result_error": [], "result_total": [7], "result_next": {"1": 50}}
    assert decode(Response(result), {"0": GET, "1": GET}) == {"0": Response("x", total=7), "1": Response("y", next=50)}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"error": "insufficient_scope", "error_description": ""}, AuthError),
        ({"error": "ERROR_BATCH_LENGTH_EXCEEDED", "error_description": "Max batch length exceeded"}, RequestError),
        ({"error": 0, "error_description": "Access denied."}, RequestError),
        ({"error": "ERROR_CORE"}, ResponseError),
    ],
)
def test_an_inner_error_is_grouped_like_any_other(error: object, expected: type) -> None:
    assert type(decode(Response({"result": [], "result_error": {"a": error}}), {"a": GET})["a"]) is expected


UNCLEAR = {
    "a text for an error": {"result": [], "result_error": {"a": "boom"}},
    "a number for an error": {"result": [], "result_error": {"a": 0}},
    "an error without a code": {"result": [], "result_error": {"a": {}}},
    "a refusal beside a result": {"result": {"a": True}, "result_error": {"a": {"error": "QUERY_LIMIT_EXCEEDED"}}},
    "a text beside a result": {"result": {"a": True}, "result_error": {"a": "boom"}},
    "a refusal beside an empty result": {"result": {"a": None}, "result_error": {"a": {"error": "NOT_FOUND"}}},
}


@pytest.mark.parametrize("result", UNCLEAR.values(), ids=UNCLEAR)
def test_an_inner_answer_that_does_not_say_whether_it_ran_is_unclear(result: Any) -> None:
    writes = (Request("crm.item.update", {"id": 1}), Request("sale.paysystem.pay.invoice", {"INVOICE_ID": 1}))
    assert {type(decode(Response(result), {"a": write})["a"]) for write in writes} == {UnknownOutcomeError}
    assert type(decode(Response(result), {"a": GET})["a"]) is ResponseError


@pytest.mark.parametrize("result", [None, [], True, "x", {"result": "x"}])
def test_a_batch_without_answers_answers_nothing(result: object) -> None:
    outcome = decode(Response(result), {"a": GET})["a"]
    assert isinstance(outcome, ResponseError)
    assert outcome.code == "NOT_EXECUTED"
