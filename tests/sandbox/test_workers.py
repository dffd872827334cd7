from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from starlette.types import ASGIApp, Message

from airflow_b24.sandbox import seed
from airflow_b24.sandbox.server import application

STEP_S = 0.1
METHODS = ["profile", "scope", "server.time", "user.admin"]
HOOK = seed.webhook_path()


async def ask(app: ASGIApp, path: str, document: Any, answered: list[str]) -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": json.dumps(document).encode(), "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answered.append(f"{path.removeprefix(HOOK)} {message['status']}")

    scope = {"type": "http", "scheme": "http", "method": "POST", "path": path, "query_string": b""}
    scope |= {"headers": [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]}
    await app(scope, receive, send)


def ask_at_once(desk, *asked: tuple[str, Any]) -> list[str]:
    """Send all at the same moment; what was answered, in the order of the answers."""
    answered: list[str] = []

    async def everybody() -> None:
        app = application(desk.state)
        await asyncio.gather(*(ask(app, path, document, answered) for path, document in asked))

    asyncio.run(everybody())
    return answered


def begun(desk) -> dict[str, int]:
    """After how many steps the portal began to work on each request."""
    journal = list(desk.state.journal)
    return {entry.method: int((entry.at - journal[0].at) / timedelta(seconds=STEP_S) + 0.1) for entry in journal}


@pytest.mark.parametrize(("workers", "steps"), [(0, [0, 0, 0, 0]), (1, [0, 1, 2, 3]), (3, [0, 0, 0, 1])])
def test_the_portal_works_on_so_many_requests_at_once_and_on_the_others_in_turn(
    desk, workers: int, steps: list[int]
) -> None:
    desk.control("POST", "settings", {"workers": workers, "latency_s": STEP_S})
    ask_at_once(desk, *((HOOK + method, {}) for method in METHODS))
    assert list(begun(desk).items()) == list(zip(METHODS, steps, strict=True))


def test_what_is_refused_or_is_not_the_portal_waits_for_no_worker(desk) -> None:
    desk.control("POST", "settings", {"workers": 1, "read_s": STEP_S, "rate_burst": 2})
    asked = [*((HOOK + method, {}) for method in METHODS[:3]), ("/sandbox/settings", {})]
    answered = ask_at_once(desk, *asked)
    assert answered == ["server.time 503", "/sandbox/settings 200", "profile 200", "scope 200"]


def test_workers_can_be_added_while_requests_wait(desk) -> None:
    desk.control("POST", "settings", {"workers": 1, "latency_s": STEP_S})
    first, second, *others = ((HOOK + method, {}) for method in METHODS)
    ask_at_once(desk, first, second, ("/sandbox/settings", {"workers": 2}), *others)
    assert begun(desk) == {"profile": 0, "server.time": 0, "user.admin": 0, "scope": 1}
