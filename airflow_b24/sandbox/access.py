"""Who is calling: webhooks, access tokens and their refresh."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta

from airflow_b24.sandbox import faults
from airflow_b24.sandbox.php import parse_str, to_text
from airflow_b24.sandbox.state import Application, Caller, State, Token
from airflow_b24.sandbox.wire import Answer, Call, Request, RestError, json_answer

TOKEN_LIFE = timedelta(hours=1)
OAUTH_PATH = "/oauth/token"
# What a scripted fault calls a refresh.
REFRESH = "oauth.token"


def authenticate(state: State, call: Call, now: datetime) -> Caller:
    """The caller of a REST call, or the portal's 401."""
    # source-derived: every auth failure is HTTP 401, whatever its code.
    if call.token:
        return _by_token(state, call.token, now)
    if not call.login or not call.secret:
        raise RestError(401, "NO_AUTH_FOUND", "Wrong authorization data")
    for number, hook in enumerate(state.webhooks):
        if (str(hook.user_id), hook.secret) == (call.login, call.secret):
            return Caller(state.users[hook.user_id], hook.scopes, f"webhook {number}")
    raise RestError(401, "INVALID_CREDENTIALS", "Invalid request credentials")


def _by_token(state: State, value: str, now: datetime) -> Caller:
    token = state.tokens.get(value)
    if token is None:
        raise RestError(401, "invalid_token", "Unable to get application by token")
    if token.expires_at <= now:
        raise RestError(401, "expired_token", "The access token provided has expired.")
    # source-derived: an application is one credential, whoever uses it.
    return Caller(state.users[token.user_id], token.scopes, "application", application=True)


def check_scope(caller: Caller, scope: str, *, in_batch: bool) -> None:
    """Refuse a method outside the caller's scopes."""
    if not scope or scope in caller.scopes:
        return
    kind = "access" if caller.application else "webhook"
    text = f"The request requires higher privileges than provided by the {kind} token"
    # source-derived: inside a batch the description is empty.
    raise RestError(401, "insufficient_scope", "" if in_batch else text)


def refresh(state: State, request: Request, now: datetime) -> Answer:
    """`/oauth/token/`, by query or by form: a refresh token is good once, the answer brings its successor."""
    plan = state.faults.plan((REFRESH, {}))
    rule = plan.commands.get(-1)
    try:
        if plan.whole and plan.whole.kind in faults.FRONT:
            return faults.front(plan.whole, request.path)
        faults.refuse(rule)
    except RestError as error:
        return json_answer(error.document(), error.status)
    given = faults.spoil(plan.whole, _refresh(state, request, now))
    return replace(given, delay_s=rule.seconds) if rule and rule.kind == "slow" else given


def _refresh(state: State, request: Request, now: datetime) -> Answer:
    asked = parse_str(request.query) | parse_str(request.body.decode("utf-8", "replace"))
    application = state.application
    if application is None or asked.get("client_id") != application.client_id:
        # docs: a wrong client_id answers 200 with an error in the body.
        return json_answer({"error": "wrong_client"})
    if asked.get("client_secret") != application.client_secret:
        return json_answer({"error": "invalid_client"}, 400)
    if not asked.get("refresh_token"):
        text = 'No "refresh_token" parameter found'
        return json_answer({"error": "invalid_request", "error_description": text}, 400)
    if asked["refresh_token"] != application.refresh_token:
        return json_answer({"error": "invalid_grant"}, 400)
    return _issued(state, application, request, now)


def _issued(state: State, application: Application, request: Request, now: datetime) -> Answer:
    application.refreshes += 1
    access = _next(application, "access")
    application.refresh_token = _next(application, "refresh")
    expires_at = now + TOKEN_LIFE
    state.tokens[access] = Token(access, application.user_id, application.scopes, expires_at)
    endpoint = f"{to_text(request.headers.get('x-sandbox-base'))}/rest/"
    document = {
        "access_token": access,
        "refresh_token": application.refresh_token,
        "expires": int(expires_at.timestamp()),
        "expires_in": int(TOKEN_LIFE.total_seconds()),
        "client_endpoint": endpoint,
        "server_endpoint": endpoint,
        "domain": request.headers.get("host", ""),
        "member_id": "sandbox0000000000000000000000000",
        "scope": ",".join(sorted(application.scopes)),
        "status": "L",
        "user_id": application.user_id,
    }
    return json_answer(document)


def _next(application: Application, purpose: str) -> str:
    seed = f"{application.client_secret}:{application.refreshes}:{purpose}"
    return hashlib.sha256(seed.encode()).hexdigest()[:32]
