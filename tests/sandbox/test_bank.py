from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest

from airflow_b24.sandbox import seed
from airflow_b24.sandbox.wire import Request

KEY = {"x-api-key": seed.BANK_API_KEY}


def ask(desk, headers: dict[str, str] = KEY, verb: str = "GET", **query: str):
    answer = desk.send(Request(verb, "/bank/payments", urlencode(query), headers))
    return answer.status, json.loads(answer.body)


def deliver(desk, *days: str) -> None:
    sent = [{"id": f"B{n}", "amount": "1.00", "booked_on": day} for n, day in enumerate(days)]
    assert desk.control("POST", "payments", sent)[0] == 200


def test_following_the_cursor_brings_every_payment_once_in_order(desk) -> None:
    deliver(desk, *["2026-11-20"] * 7)
    seen, query, pages = [], {"from": "2026-11-01"}, 0
    while True:
        page = ask(desk, **query)[1]
        seen += [row["id"] for row in page["payments"]]
        pages += 1
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert (seen, pages) == ([f"B{n}" for n in range(7)], 3)


def test_only_payments_booked_since_the_given_day_come(desk) -> None:
    deliver(desk, "2026-11-19", "2026-11-20", "2026-11-21")
    assert [row["id"] for row in ask(desk, **{"from": "2026-11-20"})[1]["payments"]] == ["B1", "B2"]


@pytest.mark.parametrize("headers", [{}, {"x-api-key": "wrong"}, {"x-api-key": ""}])
def test_without_the_key_there_is_a_401_in_json(desk, headers: dict[str, str]) -> None:
    status, document = ask(desk, headers)
    assert (status, document["error"]) == (401, "unauthorized")


@pytest.mark.parametrize(
    ("verb", "query", "status"),
    [("GET", {"from": "20.11.2026"}, 400), ("GET", {"cursor": "nonsense"}, 400), ("POST", {}, 405)],
)
def test_what_the_bank_cannot_serve_is_refused(desk, verb: str, query: dict[str, str], status: int) -> None:
    assert ask(desk, verb=verb, **query)[0] == status


@pytest.mark.parametrize(
    ("record", "field"),
    [({}, "amount"), ({"amout": "1.00"}, "amout"), ({"amount": "1.00", "payer": {"inn": "7711"}}, "payer.inn")],
)
def test_a_record_with_wrong_names_or_no_amount_is_refused_by_its_field_and_none_is_kept(
    desk, record: dict[str, object], field: str
) -> None:
    status, given = desk.control("POST", "payments", [{"amount": "1.00"}, record])
    assert (status, given["error"].split(":")[0]) == (400, field)
    assert desk.state.bank.records == []


def test_an_added_payment_is_filled_up_and_a_malformed_one_delivered_as_it_is(desk) -> None:
    desk.control("POST", "payments", [{"amount": "5.00"}, {"amount": 118.5, "booked_on": None}])
    first, second = desk.state.bank.records
    assert (first["currency"], first["direction"], first["booked_on"]) == ("RUB", "credit", "2026-11-22")
    assert (second["amount"], second["booked_on"]) == (118.5, None)
