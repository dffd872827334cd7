from __future__ import annotations

import pytest

from airflow_b24.sandbox import php


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1&b=x%20y", {"a": "1", "b": "x y"}),
        ("fields[STATUS_ID]=P&id=7", {"fields": {"STATUS_ID": "P"}, "id": "7"}),
        ("select[]=ID&select[]=PRICE", {"select": ["ID", "PRICE"]}),
        ("filter[%3EID]=5&filter[%40ID][0]=1&filter[%40ID][1]=2", {"filter": {">ID": "5", "@ID": ["1", "2"]}}),
        ("rows[0][PRICE]=1.00&rows[0][QUANTITY]=2", {"rows": [{"PRICE": "1.00", "QUANTITY": "2"}]}),
        ("cmd[p1]=m%3FINVOICE_ID%3D2", {"cmd": {"p1": "m?INVOICE_ID=2"}}),
        ("a=1&a[b]=2", {"a": {"b": "2"}}),
        ("", {}),
    ],
)
def test_a_form_body_becomes_the_nested_values_php_would_see(text: str, expected: object) -> None:
    assert php.parse_str(text) == expected


@pytest.mark.parametrize(("value", "number"), [("12abc", 12), ("abc", 0), (" 7", 7), (None, 0), ([], 0), ("-1", -1)])
def test_an_int_cast_takes_the_leading_digits(value: object, number: int) -> None:
    assert php.to_int(value) == number


@pytest.mark.parametrize("value", [None, "", "0", 0, 0.0, False, [], {}])
def test_php_calls_these_empty(value: object) -> None:
    assert php.is_empty(value)


@pytest.mark.parametrize("value", ["false", "00", " ", 1, [0], {"a": 0}])
def test_php_does_not_call_these_empty(value: object) -> None:
    assert not php.is_empty(value)
