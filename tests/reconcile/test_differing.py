from __future__ import annotations

import json

import pytest

from airflow_b24.reconcile.differing import LONGEST, MOST, changes

TOLD = {"id": "B1", "amount": "118.00", "payer": {"name": "ООО", "tax_id": "77"}, "tags": ["a", "b"]}


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (TOLD, ""),
        ({**TOLD, "amount": "1.00"}, "amount: 118.00 -> 1.00"),
        ({**TOLD, "payer": {"name": "ООО", "tax_id": "78"}}, "payer.tax_id: 77 -> 78"),
        ({**TOLD, "tags": ["a", "c"]}, "tags[2]: b -> c"),
        ({**TOLD, "status": "cancelled"}, "status: nothing -> cancelled"),
        ({**TOLD, "amount": {"number": "1.5"}}, "amount: 118.00 -> 1.5"),
        ({**TOLD, "amount": None}, "amount: 118.00 -> null"),
        ({**TOLD, "id": "B2", "amount": 7}, "id: B1 -> B2, amount: 118.00 -> 7"),
        ("a word", "id: B1 -> nothing, amount: 118.00 -> nothing"),
    ],
    ids=str,
)
def test_each_field_that_differs_is_named_with_both_values(now: object, said: str) -> None:
    told = changes(json.dumps(TOLD), json.dumps(now))
    assert told.startswith(said)
    assert bool(told) == bool(said)


def test_a_long_text_is_cut_and_of_many_changes_the_first_are_shown() -> None:
    many = {f"field{number}": "x" * 200 for number in range(MOST + 3)}
    told = changes("{}", json.dumps(many)).split(", ")
    assert (len(told), told[-1]) == (MOST + 1, "and 3 more")
    assert told[0] == f"field0: nothing -> {'x' * (LONGEST - 1)}…"


@pytest.mark.parametrize(("before", "now"), [("{x}", "{}"), ("{}", "no json"), ("", "")])
def test_records_that_cannot_be_read_are_not_compared(before: str, now: str) -> None:
    assert changes(before, now) == ""
