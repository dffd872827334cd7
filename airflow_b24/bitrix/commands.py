"""Several calls in one: how commands are written into a batch, and how their answers are taken out of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final, TypeGuard
from urllib.parse import quote

from airflow_b24.bitrix.errors import (
    ACCESS_DENIED,
    NOT_IN_BATCH,
    OPERATION_TIME_LIMIT,
    SEND_WINDOW_PASSED,
    UNREADABLE_ANSWER,
    AuthError,
    BitrixError,
    RefusedError,
    RequestError,
    ResponseError,
)
from airflow_b24.bitrix.protocol import BATCH, Request, Response, Time, read_envelope, read_time

# docs: a batch holds 50 commands at most
MAX_COMMANDS: Final = 50
# docs: common errors. Of one command it says that the user may not see or edit what it is about; what a page in front of
# the portal is about nobody knows.
_OF_ONE: Final = frozenset({ACCESS_DENIED, UNREADABLE_ANSWER})


def in_batch(
    requests: Mapping[str, Request], *, write: bool, paced: bool = True, send_before: float | None = None
) -> Request:
    """Put at most MAX_COMMANDS requests into one, each by its name. Raises ValueError naming an argument."""
    # docs: batch. Without `halt` one command's error stops no other.
    arguments = {"halt": 0, "cmd": {name: encode(request) for name, request in requests.items()}}
    return Request(BATCH, arguments, write=write, paced=paced, send_before=send_before)


def is_for_single_calls(outcome: object) -> TypeGuard[RequestError]:
    """Say whether the portal has refused to run a call in a batch, or any batch: by itself it may run."""
    return isinstance(outcome, RequestError) and (outcome.code in NOT_IN_BATCH or outcome.method == BATCH)


def is_closed_to_all(error: Exception) -> bool:
    """Say whether nothing else is to be asked of the portal either: just now, or until a person acts."""
    if isinstance(error, AuthError):
        return error.code not in _OF_ONE or error.method == BATCH
    # A window that has passed is our own slowness.
    return isinstance(error, RefusedError) and error.code != SEND_WINDOW_PASSED


def encode(request: Request) -> str:
    """Write a request as `method?query`, nested arguments in PHP's way. Raises ValueError naming the argument."""
    pairs = (f"{quote(name, safe='[]')}={quote(text, safe='')}" for name, text in _flatten("", request.arguments))
    return f"{request.method}?{'&'.join(pairs)}"


def decode(whole: Response, requests: Mapping[str, Request], host: str = "") -> dict[str, Response | BitrixError]:
    """Give each command its own outcome out of a batch's answer.

    One whose method has used up its operating time has the time at which that is free again.
    """
    parts = whole.result if isinstance(whole.result, dict) else {}
    tables = {name: _table(parts.get(name)) for name in ("result", "result_error", "result_total", "result_next")}
    times = _table(parts.get("result_time"))
    outcomes = {key: _outcome(key, request, tables, times, host) for key, request in requests.items()}
    for outcome in outcomes.values():
        if isinstance(outcome, RefusedError) and outcome.code == OPERATION_TIME_LIMIT:
            outcome.retry_at = whole.free_at.get(outcome.method)
    return outcomes


def times(request: Request, response: Response) -> Iterator[tuple[str, Time | None]]:
    """Say which methods have answered, those inside a batch too, each with its own `time`."""
    yield request.method, response.time
    told = _inside(request, response, "result_time")
    for key in _inside(request, response, "result"):
        yield _asked(request, key), read_time(told.get(key))


def spent(request: Request, response: Response) -> set[str]:
    """Say which methods inside a batch have used up their operating time."""
    errors = _inside(request, response, "result_error").items()
    return {_asked(request, key) for key, error in errors if _table(error).get("error") == OPERATION_TIME_LIMIT}


def _inside(request: Request, response: Response, name: str) -> dict[str, Any]:
    """One table of a batch's answer; empty for any other's."""
    is_batch = request.method.lower() == BATCH and isinstance(response.result, dict)
    return _table(response.result.get(name)) if is_batch else {}


def _asked(request: Request, key: str) -> str:
    return str(_table(request.arguments.get("cmd")).get(key, "")).partition("?")[0]


def _outcome(
    key: str, request: Request, tables: Mapping[str, Mapping[str, Any]], times: Mapping[str, Any], host: str
) -> Response | BitrixError:
    error = tables["result_error"].get(key)
    if error is not None:
        # docs: batch. The outer answer is a 200 whatever happened inside; an inner error has no status of its own.
        told = dict(error) if isinstance(error, dict) else {}
        if key in tables["result"]:
            # docs: batch. What failed has no result: both at once are unclear, as they are outside a batch.
            told["result"] = tables["result"][key]
        return read_envelope(request, told, status=400, host=host)
    if key not in tables["result"]:
        return ResponseError("NOT_EXECUTED", "the batch holds no answer for it", method=request.method, host=host)
    body = {"result": tables["result"][key], "time": times.get(key)}
    body |= {name: tables[f"result_{name}"].get(key) for name in ("next", "total")}
    return read_envelope(request, body, status=200, host=host)


def _table(value: object) -> dict[str, Any]:
    # docs: batch. PHP writes an empty map as [], and one with the keys 0..n as a list.
    if isinstance(value, list):
        return {str(index): item for index, item in enumerate(value)}
    return value if isinstance(value, dict) else {}


def _flatten(prefix: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flatten(f"{prefix}[{key}]" if prefix else str(key), item)
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        for index, item in enumerate(value):
            yield from _flatten(f"{prefix}[{index}]", item)
    elif value is not None:
        yield _checked(prefix), _checked(_text(prefix, value), prefix)


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, Decimal) and value.is_finite():
        return format(value, "f")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (str, int)):
        return str(value)
    raise ValueError(f"{name}: {type(value).__name__} cannot be sent; give text, whole number, Decimal or date")


def _checked(text: str, name: str = "") -> str:
    # docs: batch. `$result[...]` is replaced by another command's answer, and by garbage where that is missing.
    if "$" in text and any(f"${word}[" in text for word in ("result", "error", "total", "next", "time")):
        raise ValueError(f"{name or text}: '$result[...]' would be replaced by the portal; read first, then ask")
    return text
