from __future__ import annotations

from decimal import Decimal

import pytest

from airflow_b24.payments.errors import SourceFormatError
from airflow_b24.payments.statements.strict_json import JsonFloat, decode_json


def test_fractions_keep_every_digit_and_their_mark() -> None:
    decoded = decode_json(b'{"a": 1234567890123456.78, "b": 118, "c": "118.00", "d": null}')
    assert decoded == {"a": Decimal("1234567890123456.78"), "b": 118, "c": "118.00", "d": None}
    assert isinstance(decoded, dict)
    assert isinstance(decoded["a"], JsonFloat)
    assert type(decoded["b"]) is int


def test_a_byte_order_mark_is_no_fault() -> None:
    assert decode_json(b"\xef\xbb\xbf[]") == []


@pytest.mark.parametrize(
    "body",
    [b"[" * 50 + b"]" * 50, b'{"a":' * 49 + b"1" + b"}" * 49, b"[" + b"0," * 999_990 + b"0]", b"[" + b"9" * 100 + b"]"],
)
def test_the_largest_that_is_read_is_read(body: bytes) -> None:
    assert decode_json(body)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "not JSON"), (b"<html>", "not JSON"), (b'{"a": 1', "not JSON"), (b"[1] [2]", "not JSON"), (b"\xff\xfe[", "not UTF-8"),
        (b"[NaN]", "finite"), (b"[-Infinity]", "finite"), (b'{"a": 1, "a": 2}', "twice"), (b"[" * 200_000, "deep"), (b'{"a":' * 200_000, "deep"),
        (b"[" * 51 + b"]" * 51, "deep"), (b'{"a":' * 51 + b"1" + b"}" * 51, "deep"), (b"[" + b"0," * 1_000_000 + b"0]", "more than 1000000 values"),
        (b"[1e" + b"9" * 30 + b"]", "exponent too long"), (b"[" + b"9" * 101 + b"]", "too long"),
        (b"[" + b"9" * 5000 + b"]", "too long"), (b"[" + b" " * 200 + b"]", "larger than 100 bytes"),
    ],
)  # fmt: skip
def test_a_body_that_cannot_be_trusted_is_refused(body: bytes, problem: str) -> None:
    limit = 100 if "larger" in problem else 10**7
    with pytest.raises(SourceFormatError, match=problem) as caught:
        decode_json(body, limit)
    assert caught.value.field == "body"
    assert caught.value.fix


def test_the_line_of_a_syntax_error_is_named() -> None:
    with pytest.raises(SourceFormatError, match=r"^line 3: ") as caught:
        decode_json(b'{\n"a": 1,\n"b" 2}')
    assert caught.value.line == 3
