"""What is asked, what may come back, and what it means. No I/O: bytes in, values or errors out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, Literal, NoReturn

from airflow_b24.bitrix.codes import GROUPS, ErrorGroup, classify
from airflow_b24.bitrix.errors import (
    ANSWER_LOST,
    NOT_SENT,
    REDIRECTED,
    SEND_WINDOW_PASSED,
    UNEXPECTED_RESULT,
    UNREADABLE_ANSWER,
    AuthError,
    BitrixError,
    RefusedError,
    ResponseError,
    UnknownOutcomeError,
)

__all__ = [
    "ANSWERS_TRUE",
    "BATCH",
    "GROUPS",
    "PAY_INVOICE",
    "PAY_PAYMENT",
    "Answer",
    "ErrorGroup",
    "Lost",
    "Request",
    "Response",
    "Time",
    "Wait",
    "classify",
    "error_of",
    "parse_json",
    "read",
    "read_envelope",
    "read_time",
    "redirected",
]

PAY_INVOICE: Final = "sale.paysystem.pay.invoice"
PAY_PAYMENT: Final = "sale.paysystem.pay.payment"
BATCH: Final = "batch"

# The largest honest answer, a full batch of full pages, has a tenth of these; each takes up to 250 bytes once read.
MOST_VALUES: Final = 250_000
MOST_NESTED: Final = 50
MOST_DIGITS: Final = 30

_METHOD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*")


@dataclass(frozen=True, slots=True)
class Request:
    """One REST call. `send_before` is an instant of `limits.now_s`: not a byte leaves after it, and it is never repeated.

    `paced=False` says that its slot is reserved already.
    """

    method: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    write: bool = True
    paced: bool = True
    send_before: float | None = None

    def __post_init__(self) -> None:
        if not _METHOD.fullmatch(self.method) or self.method.lower().endswith((".json", ".xml")):
            # A webhook's whole address is pasted here at times.
            named = "an address" if "/" in self.method else repr(self.method)
            raise ValueError(f"method: {named} is no REST method; write it like 'crm.invoice.get'")


@dataclass(frozen=True, slots=True)
class Wait:
    """Pause for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back over HTTP. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer: nothing was sent (`not_sent`, `expired_window`), or it was and the answer is gone (`lost`)."""

    kind: Literal["not_sent", "lost", "expired_window"]
    detail: str


@dataclass(frozen=True, slots=True)
class Time:
    """The `time` object of an answer. start, finish: Unix seconds; duration, processing, operating: seconds."""

    start: float
    finish: float
    duration: float
    processing: float
    date_start: datetime
    date_finish: datetime
    # Only where the limiter is on: self-hosted portals leave them out.
    operating: float | None = None
    operating_reset_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """A clear answer. JSON fractions in `result` are Decimal.

    `free_at` says when the methods are free again that have used up their operating time, as a batch's answer says.
    """

    result: Any
    next: int | None = None
    total: int | None = None
    time: Time | None = None
    free_at: Mapping[str, datetime] = field(default_factory=dict, compare=False, repr=False)


def read(request: Request, outcome: Answer | Lost, *, host: str = "") -> Response | BitrixError:
    """Say what an outcome means for this request; errors are returned, not raised. Redirects: see `redirected`."""
    if isinstance(outcome, Lost):
        return _lost(request, outcome, host)
    body: Any = None
    try:
        body, why = parse_json(outcome.body), "not a JSON object"
    except ValueError as error:
        why = str(error)
    if body is None or not isinstance(body, dict):
        kind = classify("", outcome.status, write=request.write)
        return kind(UNREADABLE_ANSWER, why, status=outcome.status, method=request.method, host=host)
    return read_envelope(request, body, status=outcome.status, host=host)


def read_envelope(request: Request, body: Mapping[str, Any], *, status: int, host: str = "") -> Response | BitrixError:
    """Read `{"result", "next"?, "total"?, "time"?}` or `{"error", "error_description"}`; both at once are unclear."""
    if "error" in body and "result" in body:
        return _unclear(request)(
            UNEXPECTED_RESULT, "an error beside a result", status=status, method=request.method, host=host
        )
    if "error" in body or status == 429:
        code, description = error_of(body)
        kind = classify(code, status, write=request.write, method=request.method)
        return kind(code, description, status=status, method=request.method, host=host)
    result = body.get("result")
    if status != 200 or "result" not in body or (request.method.lower() in ANSWERS_TRUE and result is not True):
        return _unclear(request)(UNEXPECTED_RESULT, _seen(body), status=status, method=request.method, host=host)
    return Response(result, _count(body.get("next")), _count(body.get("total")), read_time(body.get("time")))


# source-derived: there is no code path which answers anything but `true`.
ANSWERS_TRUE: Final = frozenset({PAY_INVOICE, PAY_PAYMENT})

# RFC 9110: these say to ask elsewhere, docs: before running. A 303 shows what a request has done.
MOVED: Final = frozenset({301, 302, 307, 308})


def redirected(request: Request, status: int, target: str | None, *, host: str, allowed: bool) -> BitrixError:
    """Return the error for a 3xx: the caller may re-target to an allowed host, otherwise a person must."""
    if status not in MOVED:
        text = f"HTTP {status} does not say whether it ran"
        return _unclear(request)(REDIRECTED, text, status=status, method=request.method, host=host)
    if allowed:
        return RefusedError(
            REDIRECTED, f"the portal has moved to {target}", status=status, method=request.method, host=host
        )
    fix = f"the portal redirects to {target or 'an address which cannot be read'}; if that is yours, change the connection"
    return AuthError(REDIRECTED, fix, status=status, method=request.method, host=host)


def error_of(body: Mapping[str, Any]) -> tuple[str, str]:
    """Return code and description; codes come as text or as numbers, and the crm.invoice.* ones are empty."""
    error: Any = body.get("error")
    description: Any = body.get("error_description")
    if isinstance(error, dict):  # docs: REST 3.0 error envelope
        error, description = error.get("code"), error.get("message")
    text = str(error)[:200] if isinstance(error, (str, int)) and not isinstance(error, bool) else ""
    return text, str(description)[:1000] if isinstance(description, (str, int)) else ""


def parse_json(body: bytes) -> Any:
    """Parse strict JSON, fractions as Decimal. Raises ValueError, whatever is wrong with the text.

    Refused are also a key given twice in one object, and more values, nesting or digits than any honest answer has.
    """
    if sum(map(body.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise ValueError("more values than an answer may hold")
    try:
        found = json.loads(
            body.decode("utf-8-sig"),
            parse_float=Decimal,
            parse_int=_integer,
            parse_constant=_refuse_constant,
            object_pairs_hook=_distinct_keys,
        )
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None
    except (ValueError, ArithmeticError):
        # The original text holds a piece of the answer.
        raise ValueError("not JSON" if body.strip() else "an empty answer") from None
    _refuse_nesting(found)
    return found


def _integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError("an integer too long")
    return int(digits)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _distinct_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("one key twice")
    return found


def _refuse_nesting(value: Any) -> None:
    """Python reads deeper than it can show, write or compare."""
    level = [value]
    for _ in range(MOST_NESTED):
        inner = (each.values() if isinstance(each, dict) else each for each in level if isinstance(each, (dict, list)))
        level = [each for values in inner for each in values]
        if not level:
            return
    raise ValueError("JSON nested too deeply")


def _lost(request: Request, lost: Lost, host: str) -> BitrixError:
    if lost.kind == "lost":
        return _unclear(request)(ANSWER_LOST, lost.detail, method=request.method, host=host)
    code = NOT_SENT if lost.kind == "not_sent" else SEND_WINDOW_PASSED
    return RefusedError(code, lost.detail, method=request.method, host=host)


def _unclear(request: Request) -> type[BitrixError]:
    return UnknownOutcomeError if request.write else ResponseError


def _seen(body: Mapping[str, Any]) -> str:
    if "result" not in body:
        return "an answer without `result`"
    return f"a `result` of type {type(body['result']).__name__} where `true` was expected"


def _count(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def read_time(value: object) -> Time | None:
    """Read `time`; a strange one is no reason to doubt the result beside it."""
    if not isinstance(value, dict):
        return None
    try:
        operating = value.get("operating")
        return Time(
            start=float(value["start"]),
            finish=float(value["finish"]),
            duration=float(value["duration"]),
            processing=float(value["processing"]),
            date_start=datetime.fromisoformat(value["date_start"]),
            date_finish=datetime.fromisoformat(value["date_finish"]),
            operating=None if operating is None else float(operating),
            operating_reset_at=_instant(value.get("operating_reset_at")),
        )
    except (KeyError, TypeError, ValueError, ArithmeticError):
        return None


def _instant(value: Any) -> datetime | None:
    try:
        return None if value is None else datetime.fromtimestamp(float(value), UTC)
    except OSError:
        raise ValueError("no instant") from None
