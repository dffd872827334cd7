"""Conversations with a portal as generators: they yield Request or Wait, and are sent a Response or a BitrixError.

Whoever drives a flow performs what it yields; a flow neither sends nor sleeps, so it runs the same in both clients,
in tests and in simulations. What did not run may be repeated, except a Request with `send_before`: it never is.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final, TypeVar

from airflow_b24.bitrix.commands import MAX_COMMANDS, decode, in_batch
from airflow_b24.bitrix.errors import (
    EXPIRED_TOKEN,
    OPERATION_TIME_LIMIT,
    AuthError,
    BitrixError,
    RefusedError,
    ResponseError,
)
from airflow_b24.bitrix.limits import MAX_SLEEP_S
from airflow_b24.bitrix.methods import is_read
from airflow_b24.bitrix.protocol import Request, Response, Wait

T = TypeVar("T")
Effect = Request | Wait
Reply = Response | BitrixError | None
Flow = Generator[Effect, Reply, T]


def utc_now() -> datetime:
    """Return the wall clock's time in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Repeats:
    """How often one request may be refused, or answered unclearly, before it is given up, and the pauses between.

    `first_s` doubles with each failure of a kind; jitter adds up to half.
    """

    refused: int = 6
    unclear: int = 3
    first_s: float = 0.5
    jitter: Callable[[], float] = field(default=random.random, repr=False)  # noqa: S311 - spreads load, guards nothing
    now: Callable[[], datetime] = field(default=utc_now, repr=False)

    def allows(self, error: BitrixError, tried: int) -> bool:
        """Say whether the n-th failure of this kind leaves another try."""
        if isinstance(error, RefusedError):
            return tried < self.refused
        return isinstance(error, ResponseError) and tried < self.unclear

    def pause_s(self, error: BitrixError, tried: int) -> float:
        """Return the seconds to wait after the n-th failure of this kind."""
        backoff = self.first_s * 2.0 ** (tried - 1) * (1 + self.jitter() / 2)
        if error.retry_at is None:
            return min(backoff, MAX_SLEEP_S)
        return max((error.retry_at - self.now()).total_seconds(), backoff)


REPEATS: Final = Repeats()
QUICK: Final = Repeats(refused=2, unclear=3, first_s=0.1)
"""For the read-back right after a pay: the next attempt reads again anyway."""


def call(
    method: str, arguments: Mapping[str, object] | None = None, write: bool = False, *, repeats: Repeats = REPEATS
) -> Flow[Response]:
    """Call one method. Reads are repeated; a write only when it was refused before running. Raises BitrixError."""
    outcome = yield from attempt(Request(method, arguments or {}, write=write), repeats)
    if isinstance(outcome, BitrixError):
        raise outcome
    return outcome


def attempt(
    request: Request, repeats: Repeats = REPEATS, *, told: Response | BitrixError | None = None
) -> Flow[Response | BitrixError]:
    """Perform one request, repeated as far as that is safe; an error is returned, not raised.

    `told` is what has come of its first try already, as a command of a batch.
    """
    tried: Counter[type[BitrixError]] = Counter()
    renewed = False
    while True:
        outcome: Reply = told or (yield request)
        told = None
        if not isinstance(outcome, BitrixError):
            return answered(outcome)
        if request.send_before is not None:
            return outcome
        if isinstance(outcome, AuthError) and outcome.code == EXPIRED_TOKEN and not renewed:
            # Whoever performs the request sees to a new token.
            renewed = True
            continue
        tried[type(outcome)] += 1
        pause_s = repeats.pause_s(outcome, tried[type(outcome)])
        if not repeats.allows(outcome, tried[type(outcome)]) or pause_s > MAX_SLEEP_S:
            return outcome
        yield Wait(pause_s)


def answered(outcome: Reply) -> Response:
    """Return the answer to a Request; whoever drives a flow must send one, or a BitrixError."""
    if not isinstance(outcome, Response):
        raise TypeError(f"a Request must be answered with a Response or a BitrixError, not {outcome!r}")
    return outcome


def batch(
    commands: Mapping[str, tuple[str, Mapping[str, object]]], *, repeats: Repeats = REPEATS
) -> Flow[dict[str, Response | BitrixError]]:
    """Make many reading calls, 50 to a request; `commands` is {key: (method, arguments)}.

    Each command has its own outcome; an error of the whole request is raised. Raises ValueError for a write.
    """
    requests = {key: _reading(method, arguments) for key, (method, arguments) in commands.items()}
    keys = list(requests)
    outcomes: dict[str, Response | BitrixError] = {}
    for start in range(0, len(keys), MAX_COMMANDS):
        chunk = {key: requests[key] for key in keys[start : start + MAX_COMMANDS]}
        outcome = yield from _in_one(chunk, repeats)
        if isinstance(outcome, BitrixError):
            raise outcome
        outcomes |= outcome
    return outcomes


def together(requests: Mapping[str, Request], *, repeats: Repeats = REPEATS) -> Flow[dict[str, Response | BitrixError]]:
    """Make at most 50 reading calls in one request, each with its own outcome, for who can also make them one by one.

    Where the portal takes no batch, or none for now as that has used up its own operating time, each call has that
    error; so it has when there is no clear answer, and the request, which may be too much for the portal, is not
    repeated. Raises RefusedError when the portal takes nothing just now.
    """
    outcome = yield from _in_one(requests, replace(repeats, unclear=1))
    if isinstance(outcome, RefusedError) and outcome.code != OPERATION_TIME_LIMIT:
        raise outcome
    return dict.fromkeys(requests, outcome) if isinstance(outcome, BitrixError) else outcome


def _in_one(requests: Mapping[str, Request], repeats: Repeats) -> Flow[dict[str, Response | BitrixError] | BitrixError]:
    named = {f"c{index}": request for index, request in enumerate(requests.values())}
    outcome = yield from attempt(in_batch(named, write=False), repeats)
    if isinstance(outcome, BitrixError):
        return outcome
    return dict(zip(requests, decode(outcome, named).values(), strict=True))


def _reading(method: str, arguments: Mapping[str, object]) -> Request:
    if not is_read(method):
        raise ValueError(f"commands: {method} may write; call it on its own")
    return Request(method, arguments, write=False)
