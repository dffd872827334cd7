"""What is done to make a secret slip: each way in, each way of asking, each failure, each way of repeating a secret."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from airflow_b24.bitrix import flows
from airflow_b24.bitrix.auth import Auth, OAuth
from airflow_b24.bitrix.client import AsyncClient, Client
from airflow_b24.bitrix.limits import Unpaced
from airflow_b24.connection import Settings, read_settings
from airflow_b24.ledger.portals import portal_id
from airflow_b24.ledger.store import Store
from airflow_b24.reconcile.desk import Desk, PaySystem
from airflow_b24.reconcile.renewing import SharedTokens
from airflow_b24.reconcile.settling import settle_plain
from airflow_b24.sandbox import seed
from airflow_b24.sandbox.invoice import Invoice
from tests.secrets import peers, sinks
from tests.secrets.canaries import ACCESS, CLIENT, ENCODINGS, OLD_ACCESS, REFRESH, WEBHOOK

LEVELS: Final = {"INFO": logging.INFO, "DEBUG": logging.DEBUG}
# None of these reaches a portal.
ON_THE_WAY: Final = ("connection refused", "no such host", "strange certificate", "TLS to a port without")
KINDS: Final = ("none", *ON_THE_WAY, *peers.FAULTS)
TIMEOUT_S: Final = 0.15


class StoppedError(BaseException):
    """What Airflow does to a task that runs too long: an exception out of nowhere, in the middle of everything."""


@dataclass(frozen=True)
class Scenario:
    """One try; all of its secrets may come back in `encoding`."""

    kind: str
    opened_by: str
    way: str
    encoding: str
    level: str

    def __str__(self) -> str:
        return f"{self.kind} / {self.opened_by} / {self.way} / {self.encoding} / {self.level}"


@dataclass
class Stage:
    """What scenarios share: the portal, and a ledger whose file is searched at the end."""

    portal: peers.Portal
    store: Store
    portal_id: int

    def settings(self, scenario: Scenario) -> Settings:
        """Read the connection as the hook would."""
        place = {
            "connection refused": "https://127.0.0.1:9",
            "no such host": "https://portal.invalid",
            "strange certificate": self.portal.foreign_https,
            "TLS to a port without": self.portal.http.replace("http:", "https:"),
        }.get(scenario.kind, self.portal.https)
        return CONNECTIONS[scenario.opened_by](place, {"ca_bundle": self.portal.ca_file, "timeout": TIMEOUT_S})


def _webhook(place: str, extra: Mapping[str, Any]) -> Settings:
    return read_settings(f"{place}/rest/{seed.TECHNICAL}/{quote(WEBHOOK.text, safe='')}/", None, extra)


def _token(place: str, extra: Mapping[str, Any]) -> Settings:
    return read_settings(ACCESS.text, place, extra)


def _application(place: str, extra: Mapping[str, Any]) -> Settings:
    # Each application is a line of tokens of its own, which is renewed once.
    own = {"client_id": f"app.{next(_NUMBERS)}", "client_secret": CLIENT.text, "refresh_token": REFRESH.text}
    return read_settings(OLD_ACCESS.text, place, {**extra, **own, "oauth_url": place})


_NUMBERS: Final = itertools.count(10000)
CONNECTIONS: Final[Mapping[str, Callable[[str, Mapping[str, Any]], Settings]]] = {
    "webhook": _webhook,
    "access token": _token,
    "application": _application,
}


def _auth(stage: Stage, settings: Settings) -> Auth:
    """As the hook has it."""
    if settings.application is None:
        return settings.auth
    options = settings.options(Unpaced())
    tokens = SharedTokens(stage.store, stage.portal_id, settings.application, mask=str, **options)
    return OAuth(settings.auth.origin, tokens)


def _ask(stage: Stage, settings: Settings, things: list[object]) -> None:
    with _client(stage, settings) as client:
        things += [client, *vars(client).values()]
        things.append(client.call("crm.invoice.list", {"filter": {"ID": 1}}))


def _write(stage: Stage, settings: Settings, things: list[object]) -> None:
    with _client(stage, settings) as client:
        things.append(client.call("crm.company.update", {"id": 1, "fields": {"COMMENTS": "…"}}))


def _ask_in_a_batch(stage: Stage, settings: Settings, things: list[object]) -> None:
    with _client(stage, settings) as client:
        things.append(client.run(flows.batch({"a": ("profile", {}), "b": ("crm.invoice.get", {"id": 1})})))


def _ask_in_a_loop(stage: Stage, settings: Settings, things: list[object]) -> None:
    async def ask() -> None:
        # What a triggerer does to a trigger that is not wanted any more.
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        stage.portal.interrupt = lambda: loop.call_soon_threadsafe(task.cancel) if task else None
        async with AsyncClient(_auth(stage, settings), sleep=_no_time, **settings.options(Unpaced())) as client:
            things.append(client)
            things.append(await client.call("profile"))

    asyncio.run(ask(), debug=True)


def _settle(stage: Stage, settings: Settings, things: list[object]) -> None:
    invoice_id = next(_NUMBERS)
    billed = {"company_id": 21, "my_company_id": seed.OWN_COMPANY, "billed_on": peers.TODAY, "status_id": "S"}
    stage.portal.state.invoices = {invoice_id: Invoice(invoice_id, f"2026/{invoice_id}", Decimal("118.00"), **billed)}
    with _client(stage, settings) as client:
        desk = Desk(stage.store, client, stage.portal_id, Unpaced(), sleep=lambda _: None)
        things += [desk, settle_plain(desk, invoice_id, PaySystem(seed.REST_SYSTEM))]


Way = Callable[[Stage, Settings, list[object]], None]
# What is done, and which calls are spoilt.
WAYS: Final[Mapping[str, tuple[Way, str]]] = {
    "read": (_ask, ""),
    "write": (_write, ""),
    "batch": (_ask_in_a_batch, ""),
    "read in a loop": (_ask_in_a_loop, ""),
    "settle": (_settle, ""),
    "settle, spoilt when paying": (_settle, "pay"),
    "read, spoilt when renewing": (_ask, "renew"),
}


def _client(stage: Stage, settings: Settings) -> Client:
    return Client(_auth(stage, settings), sleep=lambda _: None, **settings.options(Unpaced()))


async def _no_time(_: float) -> None:
    await asyncio.sleep(0)


def now() -> datetime:
    return datetime.now(UTC)


def scenarios(seed_: int = 0) -> Iterator[Scenario]:
    """All scenarios there are, in a random order that a seed repeats: each kind of failure comes early."""
    every = list(itertools.product(KINDS, CONNECTIONS, WAYS, ENCODINGS, LEVELS))
    random.Random(seed_).shuffle(every)  # noqa: S311 - no secret is drawn
    seen: dict[tuple[str, str], int] = {}
    turns = []
    for each in every:
        pair = each[:2]
        seen[pair] = seen.get(pair, 0) + 1
        turns.append((seen[pair], each))
    yield from (Scenario(*each) for _, each in sorted(turns, key=lambda turn: turn[0]))


def play(stage: Stage, scenario: Scenario) -> dict[str, bytes]:
    """Run one scenario and return everything in which a secret could now be."""
    portal = stage.portal
    portal.fault = scenario.kind if scenario.kind in peers.FAULTS else "none"
    portal.encoding, portal.only = scenario.encoding, WAYS[scenario.way][1]
    things: list[object] = []
    with sinks.cast(LEVELS[scenario.level]) as net, _interruptible(portal):
        error = _attempt(stage, scenario, things)
        logging.getLogger("airflow_b24.task").info("%r and %s", things, error, exc_info=error)
    objects = b"\n".join(sinks.shapes(thing) for thing in things)
    return {**net.caught(), "error": sinks.chain(error), "objects": objects}


def _attempt(stage: Stage, scenario: Scenario, things: list[object]) -> BaseException | None:
    # A function of its own: its frame is part of the error, and so are the things it holds.
    try:
        settings = stage.settings(scenario)
        things.append(settings)
        act, _ = WAYS[scenario.way]
        act(stage, settings, things)
    except (Exception, StoppedError, asyncio.CancelledError) as raised:  # noqa: BLE001 - every one of them is searched
        return raised
    return None


@contextmanager
def _interruptible(portal: peers.Portal) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise StoppedError

    main = threading.main_thread().ident
    before = signal.signal(signal.SIGUSR1, stop)
    portal.interrupt = lambda: signal.pthread_kill(main or 0, signal.SIGUSR1)
    try:
        yield
    finally:
        portal.interrupt = lambda: None
        signal.signal(signal.SIGUSR1, before)


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """A portal and a ledger below a folder."""
    with peers.serving(folder) as portal:
        store = Store.open(f"sqlite:///{folder}/ledger.db")
        try:
            with store.transaction() as connection:
                own = portal_id(connection, "portal.example")
            yield Stage(portal, store, own)
        finally:
            store.close()
