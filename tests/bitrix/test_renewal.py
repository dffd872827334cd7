from __future__ import annotations

import json
import logging
import threading
import time
import traceback
from typing import Any
from urllib.parse import parse_qs

import pytest

from airflow_b24.bitrix.auth import Origin, Secret
from airflow_b24.bitrix.client import renew
from airflow_b24.bitrix.errors import AuthError, BitrixError, RefusedError, UnknownOutcomeError
from airflow_b24.bitrix.protocol import Answer, Lost
from airflow_b24.bitrix.renewal import Application, Grant, ask, read

CLIENT_SECRET, OLD, ACCESS, REFRESH = "canary+cs/0001", "canary+old/0001", "canary+at/0001", "canary+rt/0001"
# docs: automatic renewal of OAuth 2.0 tokens, with the fields of bitrix-tools/b24-rest-docs#285
GIVEN = {
    "access_token": ACCESS,
    "refresh_token": REFRESH,
    "expires": 1780319382,
    "expires_in": 3600,
    "client_endpoint": "https://evil.example/rest/",
    "server_endpoint": "https://evil.example/rest/",
    "domain": "oauth.bitrix.info",
    "member_id": "a223c6b3710f85df22e9377d6c4f7553",
    "scope": "crm",
    "status": "L",
    "user_id": 67,
}


def application(server: str = "https://oauth.example") -> Application:
    return Application(Origin.parse(server), "local.1.2", Secret(CLIENT_SECRET), Secret(OLD))


def answered(status: int, document: Any) -> Grant | BitrixError:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return read(application(), Secret(OLD), Answer(status, {}, body))


def http(status: str, document: Any, *headers: str) -> bytes:
    body = json.dumps(document).encode()
    head = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers))
    return f"{head}\r\n".encode() + body


def test_the_secrets_travel_in_a_form_and_not_in_the_address() -> None:
    step = ask(application(), Secret(OLD))
    assert step.url.reveal() == "https://oauth.example/oauth/token/"
    assert step.content_type == "application/x-www-form-urlencoded"
    sent = {
        "grant_type": "refresh_token",
        "client_id": "local.1.2",
        "client_secret": CLIENT_SECRET,
        "refresh_token": OLD,
    }
    assert parse_qs(step.body.decode()) == {name: [value] for name, value in sent.items()}
    assert "canary" not in repr((step, application()))


@pytest.mark.parametrize(
    ("changed", "seconds"),
    [
        ({}, 3600.0),
        ({"expires_in": "1800"}, 1800.0),
        ({"expires_in": 0}, 3600.0),
        ({"expires_in": -5}, 3600.0),
        ({"expires_in": None}, 3600.0),
        ({"expires_in": "soon"}, 3600.0),
        ({"expires_in": True}, 3600.0),
        ({"expires_in": 1e300}, 3600.0),
    ],
)
def test_a_new_pair_is_taken_however_strange_the_rest_is(changed: dict[str, Any], seconds: float) -> None:
    assert answered(200, GIVEN | changed) == Grant(Secret(ACCESS), Secret(REFRESH), seconds)


@pytest.mark.parametrize(
    ("status", "document", "kind", "code"),
    [
        (400, {"error": "invalid_grant"}, AuthError, "invalid_grant"),
        (400, {"error": "invalid_client"}, AuthError, "invalid_client"),
        (200, {"error": "wrong_client"}, AuthError, "wrong_client"),
        (200, {"error": "wrong_client", **GIVEN}, AuthError, "wrong_client"),
        (400, {"error": "invalid_request", "error_description": "No"}, AuthError, "invalid_request"),
        (401, {"error": "NOT_INSTALLED"}, AuthError, "NOT_INSTALLED"),
        (402, {"error": "PAYMENT_REQUIRED"}, AuthError, "PAYMENT_REQUIRED"),
        (403, {"error": "INVALID_SCOPE"}, AuthError, "INVALID_SCOPE"),
        (503, {"error": "QUERY_LIMIT_EXCEEDED"}, RefusedError, "QUERY_LIMIT_EXCEEDED"),
        (429, {"error": "slow_down"}, RefusedError, "slow_down"),
        (500, {"error": "INTERNAL_SERVER_ERROR"}, UnknownOutcomeError, "INTERNAL_SERVER_ERROR"),
        (500, {"error": "invalid_grant"}, UnknownOutcomeError, "invalid_grant"),
        (502, b"<html>", UnknownOutcomeError, "UNREADABLE_ANSWER"),
        (200, b'{"access_token": "a', UnknownOutcomeError, "UNREADABLE_ANSWER"),
        (200, b"[]", UnknownOutcomeError, "UNREADABLE_ANSWER"),
        (200, b"", UnknownOutcomeError, "UNREADABLE_ANSWER"),
        (200, {}, UnknownOutcomeError, "UNEXPECTED_RESULT"),
        (200, {"result": True}, UnknownOutcomeError, "UNEXPECTED_RESULT"),
        (200, {"access_token": ACCESS}, UnknownOutcomeError, "UNEXPECTED_RESULT"),
        (200, {"access_token": ACCESS, "refresh_token": ""}, UnknownOutcomeError, "UNEXPECTED_RESULT"),
        (500, GIVEN, UnknownOutcomeError, "UNEXPECTED_RESULT"),
        (302, b"", AuthError, "REDIRECTED"),
        (307, GIVEN, AuthError, "REDIRECTED"),
        (303, b"", UnknownOutcomeError, "UNREADABLE_ANSWER"),
    ],
)
def test_every_other_answer_says_whether_the_token_may_be_used_up(
    status: int, document: Any, kind: type[BitrixError], code: str
) -> None:
    error = answered(status, document)
    assert isinstance(error, BitrixError)
    assert (type(error), error.code, error.status, error.host) == (kind, code, status, "oauth.example")
    assert "canary" not in f"{error} {error!r} {vars(error)}"


@pytest.mark.parametrize(("kind", "group"), [("not_sent", RefusedError), ("lost", UnknownOutcomeError)])
def test_no_answer_is_lost_unless_nothing_was_sent(kind: Any, group: type[BitrixError]) -> None:
    assert type(read(application(), Secret(OLD), Lost(kind, f"reset amid {OLD}"))) is group


@pytest.mark.parametrize("spelling", [OLD, "canary%2Bold%2F0001", CLIENT_SECRET, "canary%2Bcs%2F0001"])
def test_what_the_server_repeats_of_the_secrets_is_masked(spelling: str) -> None:
    error = answered(400, {"error": f"E_{spelling}", "error_description": f"no such token: {spelling}"})
    assert spelling not in f"{error} {error!r} {vars(error)}"


def test_a_renewal_is_one_post_over_the_wire(peer: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server = peer(lambda connection, n: connection.sendall(http("200 OK", GIVEN)))
    assert renew(application(server.address), Secret(OLD)) == Grant(Secret(ACCESS), Secret(REFRESH), 3600.0)
    (received,) = server.received
    head, _, body = received.decode().partition("\r\n\r\n")
    assert head.startswith("POST /oauth/token/ HTTP/1.1\r\n")
    assert "application/x-www-form-urlencoded" in head
    assert "canary" not in head
    assert parse_qs(body)["refresh_token"] == [OLD]
    assert "canary" not in caplog.text


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
def test_the_secrets_follow_no_redirect(peer: Any, status: str) -> None:
    stranger = peer(lambda connection, n: connection.sendall(http("200 OK", GIVEN)))
    moved = http(status, {}, f"Location: {stranger.address}/oauth/token/")
    server = peer(lambda connection, n: connection.sendall(moved))
    with pytest.raises(AuthError, match=r"REDIRECTED.*extra\.oauth_url"):
        renew(application(server.address), Secret(OLD))
    assert (len(server.received), stranger.connections) == (1, 0)


def test_an_answer_cut_on_its_way_is_lost(peer: Any) -> None:
    server = peer(lambda connection, n: connection.sendall(http("200 OK", GIVEN)[:-20]))
    with pytest.raises(UnknownOutcomeError):
        renew(application(server.address), Secret(OLD))
    assert len(server.received) == 1


def test_a_server_that_is_not_there_has_used_nothing_up() -> None:
    with pytest.raises(RefusedError):
        renew(application("http://127.0.0.1:1"), Secret(OLD))


def test_a_silent_server_is_given_up_at_the_deadline(peer: Any) -> None:
    release = threading.Event()
    server = peer(lambda connection, n: release.wait(5) and False)
    started = time.monotonic()
    with pytest.raises(UnknownOutcomeError):
        renew(application(server.address), Secret(OLD), timeout_s=0.2)
    release.set()
    assert time.monotonic() - started < 1.0


def test_an_answer_without_end_is_not_read_to_it(peer: Any) -> None:
    server = peer(lambda connection, n: connection.sendall(http("200 OK", GIVEN | {"more": "x" * 10_000})))
    with pytest.raises(UnknownOutcomeError, match="too large"):
        renew(application(server.address), Secret(OLD), max_answer=1000)


def test_no_traceback_of_a_renewal_holds_a_secret_not_even_its_variables(peer: Any) -> None:
    said = {"error": "invalid_grant", "error_description": f"{OLD} of {CLIENT_SECRET}"}
    server = peer(lambda connection, n: connection.sendall(http("400 Bad Request", said)))
    with pytest.raises(AuthError) as caught:
        renew(application(server.address), Secret(OLD))
    frames = caught.value.__traceback__.tb_next  # type: ignore[union-attr]
    shown = traceback.TracebackException(AuthError, caught.value, frames, capture_locals=True)
    assert "canary" not in "".join(shown.format(chain=True))
