"""JSON as money needs it: numbers kept as written, and nothing dropped in silence."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import NoReturn

from airflow_b24.payments.errors import SourceFormatError

LARGEST_BODY = 32 * 1024 * 1024
# Some 30,000 payments; each value takes up to 250 bytes once read.
MOST_VALUES = 1_000_000
MOST_NESTED = 50


class JsonFloat(Decimal):
    """A JSON number with a fraction or an exponent: exact as written, though its sender may have rounded it."""


def decode_json(body: bytes, limit: int = LARGEST_BODY) -> object:
    """Decode one JSON document in UTF-8, or raise SourceFormatError.

    Refuses more than `limit` bytes, NaN and Infinity, a key given twice in one object, and more values, nesting or
    digits than any honest page has. Numbers with a fraction become JsonFloat.
    """
    if len(body) > limit:
        raise SourceFormatError("body", f"larger than {limit} bytes", "ask for a shorter period", f"{len(body)} bytes")
    if sum(map(body.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise SourceFormatError("body", f"more than {MOST_VALUES} values", "ask for smaller pages: set a paginator")
    try:
        found = json.loads(
            body.decode("utf-8-sig"),
            parse_float=_fraction,
            parse_int=_integer,
            parse_constant=_refuse_constant,
            object_pairs_hook=_distinct_keys,
        )
    except UnicodeDecodeError as error:
        raise SourceFormatError("body", f"not UTF-8 at byte {error.start}", "ask the source for UTF-8") from None
    except json.JSONDecodeError as error:
        fix = "check that the address answers with JSON, not with a page or half an answer"
        raise SourceFormatError("body", f"not JSON: {error.msg}", fix, line=error.lineno) from None
    except RecursionError:
        raise _too_deep() from None
    if _is_nested_deeper(found, MOST_NESTED):
        raise _too_deep()
    return found


def _too_deep() -> SourceFormatError:
    return SourceFormatError("body", "nested too deeply", "check what the address answers with")


def _is_nested_deeper(value: object, most: int) -> bool:
    # Python reads deeper than it can show, write or compare.
    level = [value]
    for _ in range(most):
        inner = (each.values() if isinstance(each, dict) else each for each in level if isinstance(each, (dict, list)))
        level = [each for values in inner for each in values]
        if not level:
            return False
    return True


def _fraction(digits: str) -> JsonFloat:
    try:
        return JsonFloat(digits)
    except InvalidOperation:
        raise SourceFormatError(
            "body", "an exponent too long to be read", "check what the source sends", digits
        ) from None


def _integer(digits: str) -> int:
    # Python raises a bare ValueError for thousands of digits, whose number of digits can be configured.
    if len(digits) > 100:
        raise SourceFormatError("body", "an integer too long to be read", "check what the source sends", digits)
    return int(digits)


def _refuse_constant(name: str) -> NoReturn:
    raise SourceFormatError("body", "not a finite number", "ask the source for null where there is no amount", name)


def _distinct_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise SourceFormatError(
            "body", "one key twice in one object", "ask the source which of the values counts", twice
        )
    return found
