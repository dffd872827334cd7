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
