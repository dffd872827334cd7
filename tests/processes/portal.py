"""A sandbox portal in a process of its own: slow, late, and open about its books on loopback."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_b24.sandbox import seed, server
from airflow_b24.sandbox.state import State
from tests.processes.children import Children
from tests.processes.stories import PAY, Story, portal_state

QUICKEST_S, SLOWEST_S = 0.005, 0.05
# A pay may lie in a portal's queue and run when its sender has gone; with a freeze still within the server's run.
LATE, LATEST_S = 0.3, 0.45
START_S = 20.0


@dataclass(frozen=True, slots=True)
class Portal:
    """Where it listens, as `host:port`, and its process."""

    pid: int
    address: str

    @property
    def webhook(self) -> str:
        return f"http://{self.address}{seed.webhook_path()}"

    def books(self) -> dict[str, Any]:
        """What really happened there."""
        return self._ask("GET", "/sandbox/books")

    def change(self, **settings: object) -> None:
        """Change how it behaves."""
        self._ask("POST", "/sandbox/settings", json.dumps(settings))

    def _ask(self, verb: str, place: str, body: str | None = None) -> dict[str, Any]:
        connection = HTTPConnection(self.address, timeout=10)
        try:
            connection.request(verb, place, body)
            answered: dict[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return answered


def open_portal(children: Children, stories: Sequence[Story], folder: Path) -> Portal:
    """Start a portal that holds the stories' invoices."""
    inbox, outbox = multiprocessing.Pipe(duplex=False)
    pid = children.start(lambda: _serve(portal_state(stories), folder, lambda found: outbox.send(found.http)))
    outbox.close()
    with inbox:
        if not inbox.poll(START_S):
            raise TimeoutError("the portal did not start")
        return Portal(pid, inbox.recv().removeprefix("http://"))


def _serve(state: State, folder: Path, ready: Callable[[server.Addresses], None]) -> None:
    threading.Thread(target=_be_moody, args=(state,), daemon=True).start()
    punctual = server.application
    server.application = lambda state: _tardy(punctual(state))
    server.run(state, folder=folder, ready=ready)


def _be_moody(state: State) -> None:
    dice = random.Random()  # noqa: S311 - a test's dice
    while True:
        state.settings.latency_s = dice.uniform(QUICKEST_S, SLOWEST_S)
        time.sleep(SLOWEST_S)


def _tardy(portal: ASGIApp) -> ASGIApp:
    """Let some pays run late, whether anybody still waits for their answer or not."""
    dice = random.Random()  # noqa: S311 - a test's dice

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if dice.random() > LATE or not scope["path"].rpartition("/")[2].startswith((PAY, "batch")):
            await portal(scope, receive, send)
            return
        whole = await _whole(receive)
        if PAY in scope["path"] or (whole and PAY.encode() in whole["body"]):
            await asyncio.sleep(dice.uniform(0, LATEST_S))
        await portal(scope, _once(whole, receive), send)

    return serve


async def _whole(receive: Receive) -> Message | None:
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message["body"]
        if not message["more_body"]:
            return {"type": "http.request", "body": body, "more_body": False}
    return None


def _once(message: Message | None, receive: Receive) -> Receive:
    waiting = [message or {"type": "http.disconnect"}]

    async def give() -> Message:
        return waiting.pop() if waiting else await receive()

    return give
