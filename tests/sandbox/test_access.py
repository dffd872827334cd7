from __future__ import annotations

import json
from datetime import timedelta
from urllib.parse import urlencode

import pytest

from airflow_b24.sandbox import seed
from airflow_b24.sandbox.wire import Request

GOOD = {
    "grant_type": "refresh_token",
    "client_id": seed.CLIENT_ID,
    "client_secret": seed.CLIENT_SECRET,
    "refresh_token": seed.REFRESH_TOKEN,
}


def refresh(desk, **changes: str):
    answer = desk.send(Request("GET", "/oauth/token/", urlencode(GOOD | changes)))
    return answer.status, json.loads(answer.body)


def with_token(desk, token: str):
    return desk.call("profile", {"auth": token}, path="/rest/")


def test_an_access_token_opens_the_portal_and_an_expired_or_unknown_one_does_not(desk) -> None:
    assert with_token(desk, seed.ACCESS_TOKEN)[0] == 200
    expired = {"error": "expired_token", "error_description": "The access token provided has expired."}
    assert with_token(desk, seed.EXPIRED_TOKEN) == (401, expired)
    assert with_token(desk, "nobody")[1]["error"] == "invalid_token"


def test_a_refresh_brings_a_pair_that_works_and_uses_up_the_old_refresh_token(desk) -> None:
    status, given = refresh(desk)
    assert (status, given["expires_in"], given["scope"]) == (200, 3600, "crm,pay_system")
    assert with_token(desk, given["access_token"])[0] == 200
    assert refresh(desk) == (400, {"error": "invalid_grant"})
    assert refresh(desk, refresh_token=given["refresh_token"])[0] == 200


def test_a_refreshed_token_lives_one_hour(desk) -> None:
    _, given = refresh(desk)
    desk.now += timedelta(hours=1)
    assert with_token(desk, given["access_token"])[1]["error"] == "expired_token"


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"client_id": "app.other"}, 200, "wrong_client"),
        ({"client_secret": "wrong"}, 400, "invalid_client"),
        ({"refresh_token": ""}, 400, "invalid_request"),
        ({"refresh_token": "wrong"}, 400, "invalid_grant"),
    ],
)
def test_a_refresh_is_refused_as_documented(desk, changes: dict[str, str], status: int, error: str) -> None:
    given = refresh(desk, **changes)
    assert (given[0], given[1]["error"]) == (status, error)


def form(desk, **changes: str):
    headers = {"content-type": "application/x-www-form-urlencoded"}
    return desk.send(Request("POST", "/oauth/token/", "", headers, urlencode(GOOD | changes).encode()))


def test_a_refresh_may_travel_as_a_form(desk) -> None:
    assert json.loads(form(desk).body)["expires_in"] == 3600
    assert json.loads(form(desk).body) == {"error": "invalid_grant"}


@pytest.mark.parametrize(
    ("kind", "status", "rotated"),
    [
        ("lost_before", 0, False),
        ("refused", 503, False),
        ("lost_after", 0, True),
        ("html_502_after", 502, True),
        ("truncated_after", 200, True),
    ],
)
def test_a_refresh_can_be_spoilt_before_or_after_it_rotates(desk, kind: str, status: int, rotated: bool) -> None:
    desk.fault(kind, method="oauth.token")
    spoilt = form(desk)
    assert (spoilt.status, spoilt.cut) == (status, status == 0)
    assert desk.state.application.refreshes == int(rotated)
    assert (json.loads(form(desk).body).get("error") == "invalid_grant") is rotated


def test_a_refresh_can_be_slow_or_refused_in_any_words(desk) -> None:
    desk.fault("slow", method="oauth.token", seconds=3)
    assert form(desk).delay_s == 3
    desk.fault("error", method="oauth.token", status=402, code="PAYMENT_REQUIRED", description="Payment required")
    given = form(desk)
    assert (given.status, json.loads(given.body)["error"]) == (402, "PAYMENT_REQUIRED")
