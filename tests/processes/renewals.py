"""Many processes meet an expired access token at once: each expiry is renewed exactly once, and no token is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from threading import BrokenBarrierError

from sqlalchemy import update

from airflow_b24.bitrix.auth import OAuth, Origin, Secret
from airflow_b24.bitrix.client import Client
from airflow_b24.bitrix.renewal import Application
from airflow_b24.ledger import schema
from airflow_b24.ledger.portals import portal_id
from airflow_b24.ledger.store import Store
from airflow_b24.reconcile.renewing import SharedTokens
from airflow_b24.sandbox import seed, server
from airflow_b24.sandbox.state import State
from tests.processes.children import FORK, Children
from tests.processes.databases import ledgers

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
# A process that hangs must not hang the others for ever.
LONGEST_PHASE_S = 120.0


@dataclass(slots=True)
class Count:
    """How often the token expired, and how often it was renewed."""

    store: str
    processes: int
    rounds: int = 0
    renewals: int = 0
    lost: int = 0
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        figures = f"{self.rounds} expiries, {self.renewals} renewals, {self.lost} tokens lost"
        return f"{self.store}: {self.processes} processes, {figures}; {self.seconds} s"


def run(database: str, processes: int, rounds: int, folder: Path) -> Count:
    """Let the token expire so many times over one kind of database."""
    count, began = Count(database, processes), time.monotonic()
    gate = FORK.Barrier(processes + 1, timeout=LONGEST_PHASE_S)
    with Children() as children, ledgers(database, children, folder) as fresh:
        url = fresh()
        places, ends = ([FORK.Pipe(duplex=False) for _ in range(processes)] for _ in range(2))
        # Before the server: a fork must not copy its thread.
        for (place, _), (_, told) in zip(places, ends, strict=True):
            children.start(lambda place=place, told=told: _work(url, place, rounds, gate, told))
        state = seed.portal(datetime.now(UTC).date())
        # A portal with legacy invoices alone, as older ones are.
        state.settings.smart_invoices = False
        state.settings.rate_limit = False
        store = Store.open(url)
        with server.serving(state, folder) as addresses:
            for _, place in places:
                place.send(addresses.http)
            for number in range(1, rounds + 1):
                _round(state, store, gate, number, count)
            errors = {text for end, _ in ends if end.poll(LONGEST_PHASE_S) for text in end.recv()}
            count.renewals = state.application.refreshes if state.application else 0
            errors |= _last(url, addresses.http, state, count)
        store.close()
        for pid in sorted(children.pids):
            children.ended(pid, wait=True)
    count.violations += sorted(errors)
    if count.renewals != count.rounds:
        count.violations.append(f"{count.rounds} expiries, {count.renewals} renewals")
    count.seconds = round(time.monotonic() - began, 1)
    return count


def _round(state: State, store: Store, gate: Barrier, number: int, count: Count) -> None:
    """Every other time the portal calls the token expired, else the ledger's clock does before."""
    if number % 2:
        _expire(state)
    else:
        with store.transaction() as connection:
            connection.execute(update(schema.token).values(renew_at=LONG_AGO))
    gate.wait()
    gate.wait()
    count.rounds += 1


def _expire(state: State) -> None:
    state.tokens = {name: replace(each, expires_at=LONG_AGO) for name, each in state.tokens.items()}


def _last(url: str, portal: str, state: State, count: Count) -> set[str]:
    """The last pair is the good one: what it renews is a token that opens the portal."""
    _expire(state)
    try:
        with _caller(url, portal) as client:
            client.call("profile")
    except Exception as error:  # noqa: BLE001 - whatever it is, the token is lost
        count.lost += 1
        return {f"{type(error).__name__}: {error}"}
    return set()


def _work(url: str, place: Connection, rounds: int, gate: Barrier, told: Connection) -> None:
    errors: list[str] = []
    # Whoever broke the barrier says why.
    with suppress(BrokenBarrierError), _caller(url, place.recv()) as client:
        for _ in range(rounds):
            gate.wait()
            try:
                client.call("profile")
            except Exception as error:  # noqa: BLE001 - whatever it is, it is counted
                errors.append(f"{type(error).__name__}: {error}")
            gate.wait()
    told.send(errors)


@contextmanager
def _caller(url: str, portal: str) -> Iterator[Client]:
    """A worker as a task has it: its own store, its own client, the tokens of all."""
    store, origin = Store.open(url), Origin.parse(portal)
    with store.transaction() as connection:
        known = portal_id(connection, origin.netloc)
    secrets = Secret(seed.CLIENT_SECRET), Secret(seed.REFRESH_TOKEN), Secret(seed.EXPIRED_TOKEN)
    tokens = SharedTokens(store, known, Application(origin, seed.CLIENT_ID, *secrets), mask=lambda _: None)
    with Client(OAuth(origin, tokens)) as client:
        yield client
    store.close()
