"""New tokens for an OAuth application: what the authorisation server is asked, and what its answer means. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

from airflow_b24.bitrix import protocol
from airflow_b24.bitrix.auth import Origin, Secret, spellings
from airflow_b24.bitrix.codes import GROUPS
from airflow_b24.bitrix.errors import REDIRECTED, UNEXPECTED_RESULT, AuthError, BitrixError, UnknownOutcomeError
from airflow_b24.bitrix.protocol import MOVED, Answer, Lost, Request, error_of, parse_json
from airflow_b24.bitrix.redaction import REDACTOR
from airflow_b24.bitrix.session import Send

# docs: automatic renewal of OAuth 2.0 tokens
SERVER: Final = Origin.parse("https://oauth.bitrix.info")
PATH: Final = "/oauth/token/"
INVALID_GRANT: Final = "invalid_grant"

_ASKED: Final = Request("oauth.token", write=True)
_LIFE_S: Final = 3600.0
_LONGEST_LIFE_S: Final = 366 * 86_400.0


@dataclass(frozen=True, slots=True)
class Application:
    """An OAuth application, the server that renews its tokens, and the tokens it was first given.

    `access_token` may be empty: the first one is then had from the refresh token.
    """

    server: Origin
    client_id: str
    client_secret: Secret
    refresh_token: Secret
    access_token: Secret = field(default_factory=lambda: Secret(""))


@dataclass(frozen=True, slots=True)
class Grant:
    """A new pair of tokens. The server's other words, addresses among them, are not followed and not kept."""

    access_token: Secret
    refresh_token: Secret
    expires_in_s: float


def ask(application: Application, refresh_token: Secret) -> Send:
    """Say what to send. The answer replaces both tokens: repeating is not safe."""
    form = {
        "grant_type": "refresh_token",
        "client_id": application.client_id,
        "client_secret": application.client_secret.reveal(),
        "refresh_token": refresh_token.reveal(),
    }
    # docs show a GET, whose address proxies and servers log; that a form is taken too: bitrix24/b24jssdk#239.
    url, body = Secret(f"{application.server}{PATH}"), urlencode(form).encode()
    return Send(url, body, None, "application/x-www-form-urlencoded")


def read(application: Application, refresh_token: Secret, outcome: Answer | Lost) -> Grant | BitrixError:
    """Say what came of it: new tokens, or an error as a value, with no secret in it.

    AuthError: a person must act; RefusedError: it did not run; UnknownOutcomeError: the tokens may have been replaced.
    """
    REDACTOR.learn(_forms(application.client_secret) | _forms(refresh_token))
    host = application.server.netloc
    body = _object(outcome)
    grant = _grant(body) if isinstance(outcome, Answer) and outcome.status == 200 else None
    if grant is not None:
        REDACTOR.learn(_forms(grant.access_token) | _forms(grant.refresh_token))
        return grant
    if isinstance(outcome, Answer):
        details: dict[str, Any] = {"status": outcome.status, "method": _ASKED.method, "host": host}
        if outcome.status in MOVED:
            return AuthError(REDIRECTED, "the authorisation server has moved; correct extra.oauth_url", **details)
        if "error" in body and _is_clear(error_of(body)[0], outcome.status):
            return AuthError(*error_of(body), **details)
        if body and "error" not in body:
            return UnknownOutcomeError(UNEXPECTED_RESULT, "an answer without tokens", **details)
    found = protocol.read(_ASKED, outcome, host=host)
    assert isinstance(found, BitrixError)  # noqa: S101 - there is no `result` in such an answer
    return found


def _is_clear(code: str, status: int) -> bool:
    # docs and SDKs: 400 invalid_grant and invalid_client, 200 wrong_client, 401 NOT_INSTALLED, PAYMENT_REQUIRED: all clear.
    return status < 500 and status != 429 and GROUPS.get(code) not in {"refused", "unclear"}


def _object(outcome: Answer | Lost) -> Mapping[str, Any]:
    if isinstance(outcome, Lost):
        return {}
    try:
        body = parse_json(outcome.body)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _grant(body: Mapping[str, Any]) -> Grant | None:
    access, refresh = body.get("access_token"), body.get("refresh_token")
    # A pair that came must be kept, however strange the rest is: the old one is used up.
    if "error" in body or not (isinstance(access, str) and access and isinstance(refresh, str) and refresh):
        return None
    return Grant(Secret(access), Secret(refresh), _seconds(body.get("expires_in")))


def _seconds(value: object) -> float:
    try:
        seconds = float(str(value))
    except ValueError:
        return _LIFE_S
    return seconds if 0 < seconds <= _LONGEST_LIFE_S else _LIFE_S


def _forms(secret: Secret) -> frozenset[str]:
    return spellings(secret.reveal()) | {quote_plus(secret.reveal())}
