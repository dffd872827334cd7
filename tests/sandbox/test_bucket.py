from __future__ import annotations

from datetime import timedelta

import pytest

from airflow_b24.sandbox import seed


def test_fifty_at_once_then_two_a_second(desk) -> None:
    statuses = [desk.call("profile")[0] for _ in range(60)]
    assert statuses == [200] * 50 + [503] * 10
    desk.now += timedelta(seconds=2)
    assert [desk.call("profile")[0] for _ in range(5)] == [200] * 4 + [503]


def test_a_refusal_runs_nothing_and_is_counted(desk) -> None:
    desk.control("POST", "settings", {"rate_burst": 1})
    assert desk.call("profile")[0] == 200
    assert desk.pay(2) == (503, {"error": "QUERY_LIMIT_EXCEEDED", "error_description": "Too many requests"})
    books = desk.control("GET", "books")[1]
    assert (books["requests"], books["refused"], desk.books(2)["paid"]) == (2, 1, False)


def test_all_credentials_share_the_bucket_of_the_portal(desk, admin_path: str) -> None:
    desk.control("POST", "settings", {"rate_burst": 1})
    assert desk.call("profile", path=admin_path)[0] == 200
    assert desk.call("profile", {"auth": seed.ACCESS_TOKEN}, path="/rest/")[0] == 503


def test_operating_time_is_summed_per_method_and_blocks_it_for_a_while(desk) -> None:
    desk.control("POST", "settings", {"read_s": 0.5, "operating_limit_s": 1})
    assert [desk.call("profile")[0] for _ in range(3)] == [200, 200, 429]
    assert desk.call("scope")[0] == 200
    desk.now += timedelta(minutes=10)
    status, document = desk.call("profile")
    assert (status, document["time"]["operating"]) == (200, pytest.approx(0.5))


def test_short_calls_are_not_billed(desk) -> None:
    desk.control("POST", "settings", {"read_s": 0.09})
    assert desk.call("profile")[1]["time"]["operating"] == 0
