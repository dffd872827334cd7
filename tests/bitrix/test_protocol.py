from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
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
from airflow_b24.bitrix.protocol import GROUPS, Answer, Lost, Request, Response, parse_json, read, redirected
from airflow_b24.bitrix.redaction import REDACTOR

PAY = Request("sale.paysystem.pay.invoice", {"INVOICE_ID": 2, "PAY_SYSTEM_ID": 31}, write=True)
GET = Request("crm.invoice.get", {"id": 2}, write=False)
STATUSES = [200, 400, 401, 403, 404, 405, 410, 429, 500, 502, 503]
CLEAR = {"refused": RefusedError, "auth": AuthError, "request": RequestError}

DOCUMENTED = [
    "ACCESS_DENIED",
    "ERROR_CHECK_FAILURE",
    "ERROR_PAY_INVOICE_NOT_SUPPORTED",
    "ERROR_INVOICE_NO_SUPPORTED",
    "ERROR_INTERNAL_INVOICE_NOT_FOUND",
    "ERROR_PROCESS_REQUEST_RESULT",
    "INTERNAL_SERVER_ERROR",
    "ERROR_UNEXPECTED_ANSWER",
    "QUERY_LIMIT_EXCEEDED",
    "ERROR_BATCH_METHOD_NOT_ALLOWED",
    "ERROR_BATCH_LENGTH_EXCEEDED",
    "NO_AUTH_FOUND",
    "INVALID_REQUEST",
    "OVERLOAD_LIMIT",
    "INVALID_CREDENTIALS",
    "ERROR_MANIFEST_IS_NOT_AVAILABLE",
    "insufficient_scope",
    "expired_token",
    "user_access_error",
    "PORTAL_DELETED",
    "OPERATION_TIME_LIMIT",
    "ERROR_METHOD_NOT_FOUND",
    "ERROR_CORE",
    "invalid_token",
    "APPLICATION_NOT_FOUND",
    "ERROR_OAUTH",
    "NOT_INSTALLED",
    "PAYMENT_REQUIRED",
    "authorization_error",
    "CONNECTION_ERROR",
    "METHOD_CONFIRM_WAITING",
    "METHOD_CONFIRM_DENIED",
]


def answer(status: int, body: Any, **headers: str) -> Answer:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, headers, data)


def kind_of(request: Request, outcome: Answer | Lost) -> type:
    return type(read(request, outcome, host="portal.example"))


@pytest.mark.parametrize("code", DOCUMENTED)
def test_every_documented_code_is_in_the_table(code: str) -> None:
    assert code in GROUPS


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("code", sorted(GROUPS))
@pytest.mark.parametrize("request_", [PAY, GET], ids=["write", "read"])
def test_a_listed_code_means_the_same_at_every_status(request_: Request, code: str, status: int) -> None:
    unclear = UnknownOutcomeError if request_.write else ResponseError
    expected = CLEAR.get(GROUPS[code], unclear)
    if status == 429 and code != "OVERLOAD_LIMIT":
        expected = RefusedError
    assert kind_of(request_, answer(status, {"error": code, "error_description": "x"})) is expected


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("code", ["", "0", 0, "100", "NEW_CODE", None, {"code": "V3_CODE", "message": "x"}, [], True])
def test_an_unlisted_code_on_a_write_is_an_unknown_outcome(code: object, status: int) -> None:
    expected = {401: AuthError, 429: RefusedError}.get(status, UnknownOutcomeError)
    assert kind_of(PAY, answer(status, {"error": code, "error_description": "x"})) is expected


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("code", ["", "0", 0, "NEW_CODE"])
def test_an_unlisted_code_on_a_read_goes_by_the_status(code: object, status: int) -> None:
    by_status = {401: AuthError, 403: AuthError, 429: RefusedError}
    by_status |= dict.fromkeys([400, 404, 405, 410], RequestError)
    assert kind_of(GET, answer(status, {"error": code})) is by_status.get(status, ResponseError)


UNREADABLE = {
    "html": b"<html>Service unavailable</html>",
    "empty": b"",
    "cut": b'{"result":tr',
    "not utf-8": b'{"result":"\xff"}',
    "a list": b"[]",
    "a number": b"1",
    "nested": b"[" * 200_000,
    "huge number": b'{"result":' + b"9" * 5000 + b"}",
    "nan": b'{"result":NaN}',
    "twice": b'{"result":false,"result":true}',
    "long number": b'{"result":true,"x":' + b"9" * 31 + b"}",
    "nested 51 deep": b'{"result":true,"x":' + b"[" * 50 + b"]" * 50 + b"}",
    "too many values": b'{"result":true,"x":[' + b"0," * 250_000 + b"0]}",
    "an exponent beyond Decimal": b'{"result":true,"x":1e' + b"9" * 30 + b"}",
}


@pytest.mark.parametrize("status", [200, 201, 204, 400, 403, 404, 408, 500, 502, 503, 504])
@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
def test_an_unreadable_answer_to_a_write_is_an_unknown_outcome(body: bytes, status: int) -> None:
    assert kind_of(PAY, answer(status, body)) is UnknownOutcomeError


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize(
    ("status", "expected"),
    [(200, ResponseError), (503, ResponseError), (502, ResponseError), (404, RequestError), (403, AuthError)],
)
def test_an_unreadable_answer_to_a_read_goes_by_the_status(
    body: bytes, status: int, expected: type[BitrixError]
) -> None:
    assert kind_of(GET, answer(status, body)) is expected


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"result":true}', b'{"error":"ERROR_CORE"}'])
def test_a_429_is_refused_whatever_it_says(body: bytes) -> None:
    assert kind_of(PAY, answer(429, body)) is RefusedError


@pytest.mark.parametrize("result", [False, None, 1, "true", [], {}, {"result": True}])
def test_a_pay_that_does_not_answer_true_is_an_unknown_outcome(result: object) -> None:
    assert kind_of(PAY, answer(200, {"result": result})) is UnknownOutcomeError
    shouted = Request("Sale.PaySystem.Pay.Invoice", write=True)
    assert kind_of(shouted, answer(200, {"result": result})) is UnknownOutcomeError


@pytest.mark.parametrize("status", [200, 400, 401, 403, 429, 503])
@pytest.mark.parametrize(
    "code", ["QUERY_LIMIT_EXCEEDED", "ACCESS_DENIED", "expired_token", "ERROR_CHECK_FAILURE", "", None]
)
def test_an_error_beside_a_result_is_unclear(code: object, status: int) -> None:
    both = {"error": code, "result": True}
    assert kind_of(PAY, answer(status, both)) is UnknownOutcomeError
    assert kind_of(GET, answer(status, both)) is ResponseError


def test_the_largest_answer_that_is_read_is_read() -> None:
    for inner in (b"9" * 30, b"[" * 49 + b"]" * 49, b"[" + b"0," * 249_000 + b"0]"):
        assert kind_of(PAY, Answer(200, {}, b'{"result":true,"x":' + inner + b"}")) is Response


@pytest.mark.parametrize("status", [200, 201, 206, 500])
def test_an_answer_without_a_result_is_unclear(status: int) -> None:
    assert kind_of(PAY, answer(status, {"time": {}})) is UnknownOutcomeError
    assert kind_of(GET, answer(status, {"time": {}})) is ResponseError


@pytest.mark.parametrize(
    ("kind", "write", "read_"),
    [
        ("not_sent", RefusedError, RefusedError),
        ("expired_window", RefusedError, RefusedError),
        ("lost", UnknownOutcomeError, ResponseError),
    ],
)
def test_a_lost_answer_says_what_is_known(kind: Any, write: type, read_: type) -> None:
    assert kind_of(PAY, Lost(kind, "x")) is write
    assert kind_of(GET, Lost(kind, "x")) is read_


def test_an_error_carries_what_the_portal_said() -> None:
    body = {"error": "ERROR_CHECK_FAILURE", "error_description": "Pay system with ID=999 not found"}
    error = read(PAY, answer(400, body), host="portal.example")
    assert isinstance(error, RequestError)
    assert (error.code, error.description) == ("ERROR_CHECK_FAILURE", "Pay system with ID=999 not found")
    assert (error.status, error.method, error.host) == (400, PAY.method, "portal.example")


@pytest.mark.parametrize(
    "outcome",
    [answer(400, {"error": "S3CRET-0001", "error_description": "S3CRET-0001"}), Lost("lost", "x S3CRET-0001")],
)
def test_secrets_are_taken_out_before_an_error_is_made(outcome: Answer | Lost) -> None:
    REDACTOR.learn(["S3CRET-0001"])
    error = read(PAY, outcome)
    assert isinstance(error, BitrixError)
    assert "S3CRET" not in f"{error!s} {error!r} {vars(error)}"


def test_a_numeric_code_becomes_text() -> None:
    error = read(GET, answer(400, {"error": 0, "error_description": "Access denied."}))
    assert isinstance(error, RequestError)
    assert error.code == "0"


# docs: sale.paysystem.pay.invoice, response handling
DOCUMENTED_ANSWER = b"""{"result":true,"time":{"start":1712135335.026931,"finish":1712135335.407762,
"duration":0.3808310031890869,"processing":0.0336611270904541,"date_start":"2024-04-03T11:08:55+02:00",
"date_finish":"2024-04-03T11:08:55+02:00","operating_reset_at":1705765533,"operating":3.3076241016387939}}"""


def test_the_documented_answer_is_read_whole() -> None:
    response = read(PAY, answer(200, DOCUMENTED_ANSWER))
    assert isinstance(response, Response)
    assert response.result is True
    assert response.time is not None
    assert response.time.start == 1712135335.026931
    assert response.time.date_start == datetime.fromisoformat("2024-04-03T11:08:55+02:00")
    assert response.time.operating == pytest.approx(3.3076241)
    assert response.time.operating_reset_at == datetime(2024, 1, 20, 15, 45, 33, tzinfo=UTC)


def test_an_integer_start_and_a_missing_limiter_are_read_too() -> None:
    time = {"start": 1787219542, "finish": 1787219542.888997, "duration": 0.88, "processing": 0.41}
    time |= {"date_start": "2026-08-20T11:52:22+02:00", "date_finish": "2026-08-20T11:52:22+02:00"}
    response = read(PAY, answer(200, {"result": True, "time": time}))
    assert isinstance(response, Response)
    assert response.time is not None
    assert (response.time.start, response.time.operating, response.time.operating_reset_at) == (
        1787219542.0,
        None,
        None,
    )


@pytest.mark.parametrize("time", [None, [], "x", {}, {"start": "x"}, {"start": 1, "operating_reset_at": 1e300}])
def test_a_strange_time_does_not_hide_a_result(time: object) -> None:
    response = read(PAY, answer(200, {"result": True, "time": time}))
    assert response == Response(True)


def test_counts_are_read_and_strange_ones_left_out() -> None:
    assert read(GET, answer(200, {"result": [], "next": 50, "total": "121"})) == Response([], 50, 121)
    assert read(GET, answer(200, {"result": [], "next": True, "total": "²"})) == Response([])


def test_fractions_are_decimals_to_the_last_digit() -> None:
    assert parse_json(b'{"PRICE":0.10000000000000001}') == {"PRICE": Decimal("0.10000000000000001")}


def test_a_byte_order_mark_is_no_reason_to_lose_an_answer() -> None:
    assert parse_json(b'\xef\xbb\xbf{"result":true}') == {"result": True}


def test_an_allowed_redirect_is_refused_and_any_other_needs_a_person() -> None:
    allowed = redirected(PAY, 302, "https://new.example", host="old.example", allowed=True)
    assert isinstance(allowed, RefusedError)
    stranger = redirected(PAY, 302, "https://evil.example", host="old.example", allowed=False)
    assert isinstance(stranger, AuthError)
    assert "evil.example" in str(stranger)
    assert "change the connection" in str(stranger)


@pytest.mark.parametrize("status", [300, 303, 304, 305, 306])
@pytest.mark.parametrize("allowed", [True, False])
def test_only_a_redirect_that_says_ask_elsewhere_proves_that_nothing_ran(status: int, allowed: bool) -> None:
    pay = redirected(PAY, status, "https://new.example", host="old.example", allowed=allowed)
    read_ = redirected(GET, status, "https://new.example", host="old.example", allowed=allowed)
    assert (type(pay), type(read_)) == (UnknownOutcomeError, ResponseError)
    for moved in (301, 302, 307, 308):
        assert type(redirected(PAY, moved, None, host="old.example", allowed=False)) is AuthError


@pytest.mark.parametrize(
    "method", ["", "crm/invoice", "../x", "crm..get", "x.json", "a b", "x?y=1", "crm.invoice.get\n"]
)
def test_a_method_name_cannot_leave_its_place_in_the_address(method: str) -> None:
    with pytest.raises(ValueError, match="method"):
        Request(method)


def test_a_request_counts_as_a_write_unless_it_says_otherwise() -> None:
    assert Request("crm.invoice.get").write is True
