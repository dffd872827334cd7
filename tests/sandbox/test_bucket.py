from __future__ import annotations

from datetime import timedelta

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
