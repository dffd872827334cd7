"""What lies between a flow and the network: pace, tokens, addresses, and what an answer means. No I/O here.

A session turns a flow into steps; the two clients take the steps, each in its own way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Generator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from airflow_b24.bitrix.auth import AddressError, Auth, OAuth, Origin, Secret, spellings
from airflow_b24.bitrix.commands import spent, times
from airflow_b24.bitrix.errors import (
    EXPIRED_TOKEN,
    OPERATION_TIME_LIMIT,
    OUT_OF_PACE,
    QUERY_LIMIT_EXCEEDED,
    AuthError,
    BitrixError,
    RefusedError,
)
from airflow_b24.bitrix.flows import Flow, Reply, utc_now
from airflow_b24.bitrix.limits import HOLD_S, MAX_SLEEP_S, MAX_TURN_S, OperatingTime, Pace, Unpaced, turn
from airflow_b24.bitrix.protocol import Answer, Lost, Request, Response, Wait, read, redirected
from airflow_b24.bitrix.redaction import REDACTOR, Frameless

T = TypeVar("T")

HEADERS: Final = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip",
    "User-Agent": "airflow-b24",
}


@dataclass(frozen=True, slots=True)
class Sleep:
    """Step: sleep."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Ask:
    """Step: ask somebody who may block (the pace, the tokens); the answer goes back in."""

    question: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Send:
    """Step: POST these bytes once; an Answer or Lost goes back in."""

    url: Secret
    body: bytes = field(repr=False)
    send_before: float | None
    content_type: str = "application/json"


Step = Sleep | Ask | Send


class Session:
    """One portal, as one client sees it: where it is now, and when its methods are free again."""

    def __init__(
        self,
        auth: Auth,
        *,
        pace: Pace | None = None,
        allowed_hosts: Collection[str] = (),
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._auth = auth
        self._origin = auth.origin
        self._pace = pace or Unpaced()
        self._allowed = frozenset(host.lower() for host in allowed_hosts)
        self._now = now
        self._operating = OperatingTime()
        self._token: Secret | None = None
        self._expired: Secret | None = None
        REDACTOR.learn(auth.secrets)

    @property
    def origin(self) -> Origin:
        """Return where the portal is; a renamed one moves within the allowed hosts."""
        return self._origin

    def steps(self, flow: Flow[T]) -> Generator[Step, Any, T]:
        """Turn a flow into steps; returns what the flow returns, raises what it raises."""
        reply: Reply = None
        try:
            while True:
                effect = flow.send(reply)
                reply = yield from self._perform(effect)
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            flow.close()

    def _perform(self, effect: Request | Wait) -> Generator[Step, Any, Reply]:
        if isinstance(effect, Wait):
            yield Sleep(effect.seconds)
            return None
        late = yield from self._keep_pace(effect)
        if late is not None:
            return late
        token = yield from self._current_token(effect)
        return token if isinstance(token, BitrixError) else (yield from self._send(effect, token))

    def _send(self, request: Request, token: Secret | None) -> Generator[Step, Any, Response | BitrixError]:
        asked = self._origin
        url = Secret(f"{asked}{self._auth.path(request.method)}")
        outcome = yield Send(url, encode(request, token), request.send_before)
        reply = self._judge(request, outcome, asked)
        if isinstance(reply, RefusedError) and reply.code == QUERY_LIMIT_EXCEEDED:
            yield Ask(partial(self._pace.push_back, self._hold_s(reply)))
        if token is not None and isinstance(reply, AuthError) and reply.code == EXPIRED_TOKEN:
            return self._expire(token, request, reply)
        return reply

    def _keep_pace(self, request: Request) -> Generator[Step, Any, BitrixError | None]:
        if not request.paced or isinstance(self._pace, Unpaced):
            return None
        waits = turn(self._pace, 1)
        while (wait_s := (yield Ask(lambda: next(waits, 0.0)))) > 0:
            if wait_s > MAX_TURN_S:
                why, retry_at = f"the next free slot is {wait_s:.0f} s away", self._now() + timedelta(seconds=wait_s)
                return RefusedError(
                    OUT_OF_PACE, why, method=request.method, host=self._origin.netloc, retry_at=retry_at
                )
            yield Sleep(wait_s)
        return None

    def _hold_s(self, refused: RefusedError) -> float:
        """For how long others are held back, too: a portal's own word counts within bounds."""
        asked_s = (refused.retry_at - self._now()).total_seconds() if refused.retry_at else 0.0
        return min(max(asked_s, HOLD_S), MAX_SLEEP_S)

    def _current_token(self, request: Request) -> Generator[Step, Any, Secret | BitrixError | None]:
        auth, expired = self._auth, self._expired
        if not isinstance(auth, OAuth):
            return None
        if request.send_before is not None and self._token is not None:
            # Inside a send window nothing is asked that may wait: the pre-read has just seen to a good token.
            return self._token
        answer = yield Ask(lambda: _fetch_token(auth, expired))
        if isinstance(answer, Secret):
            self._learn(answer)
        token: Secret | BitrixError = answer
        return token

    def _learn(self, token: Secret) -> None:
        self._token = token
        if token != self._expired:
            self._expired = None
        REDACTOR.learn(spellings(token.reveal()))

    def _expire(self, token: Secret, request: Request, error: AuthError) -> BitrixError:
        # An answer that was long on its way may speak of a token which others have replaced since.
        if token == self._token:
            self._expired = token
        if request.send_before is None:
            return error
        # It did not run and is not repeated here; the next request renews the token, so that it may be sent again.
        refused = error.as_kind(RefusedError)
        refused.retry_at = self._now()
        return refused

    def _judge(self, request: Request, outcome: Answer | Lost, asked: Origin) -> Response | BitrixError:
        if isinstance(outcome, Answer) and 300 <= outcome.status < 400:
            return self._follow(request, outcome, asked)
        reply = read(request, outcome, host=asked.netloc)
        if isinstance(reply, RefusedError) and isinstance(outcome, Answer):
            reply.retry_at = self._free_after(reply, outcome)
        return self._watch(request, reply) if isinstance(reply, Response) else reply

    def _watch(self, request: Request, reply: Response) -> Response:
        """Remember when methods are free again; what a batch's answer refuses inside learns it from here."""
        # docs: limits. A refusal itself does not say until when; the last good answer of the method did.
        for method, time in times(request, reply):
            self._operating.hear(method, time)
        now = self._now()
        return replace(reply, free_at={each: self._operating.free_at(each, now) for each in spent(request, reply)})

    def _free_after(self, refused: RefusedError, answer: Answer) -> datetime | None:
        seconds = answer.headers.get("retry-after", "")
        if seconds.isascii() and seconds.isdigit() and len(seconds) < 7:
            return self._now() + timedelta(seconds=int(seconds))
        return self._operating.free_at(refused.method, self._now()) if refused.code == OPERATION_TIME_LIMIT else None

    def _follow(self, request: Request, answer: Answer, asked: Origin) -> BitrixError:
        # docs: change of domain. A renamed portal answers 302; a POST must not be followed, but sent again there.
        target = _origin_of(answer.headers.get("location", ""))
        allowed = target is not None and target != asked and target.netloc in self._allowed
        # Of several that were asked at once, one has told it already: the others are sent again where it is now.
        if target is not None and allowed and asked == self._origin:
            self._origin = target
        named = str(target) if target else None
        return redirected(request, answer.status, named, host=asked.netloc, allowed=allowed)


def encode(request: Request, token: Secret | None = None) -> bytes:
    """Write the body. Raises ValueError naming the method when an argument cannot be written as JSON."""
    # docs: how to call REST. The token travels as the parameter `auth`.
    arguments = dict(request.arguments) if token is None else {**request.arguments, "auth": token.reveal()}
    try:
        return json.dumps(arguments, default=_plain, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        # The original error shows the arguments, the token among them.
        fix = "give text, whole numbers, Decimal, dates, lists and objects"
        raise ValueError(f"arguments: those of {request.method} cannot be written as JSON; {fix}") from None


def _plain(value: object) -> object:
    if isinstance(value, Decimal) and value.is_finite():
        return format(value, "f")
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError


def _fetch_token(auth: OAuth, expired: Secret | None) -> Secret | BitrixError:
    try:
        with Frameless():
            return Secret(auth.tokens.refresh(expired.reveal()) if expired else auth.tokens.current())
    except BitrixError as error:
        return error


def _origin_of(location: str) -> Origin | None:
    try:
        parts = urlsplit(location)
        if parts.scheme in {"http", "https"} and "@" not in parts.netloc:
            return Origin.of(parts, "Location")
    except (AddressError, ValueError):
        return None
    return None
