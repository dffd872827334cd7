"""Races of real processes for one thing, longer than the suite has time for.

    python -m tests.races tokens --rounds 1000

lets 32 processes meet an expired access token 1,000 times, on a sandbox over HTTP and one ledger (SQLite in a temporary
folder, or `--ledger URL`): each expiry must be renewed exactly once, and the last tokens must be good.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
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

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
PATIENCE_S = 90.0
FORK = multiprocessing.get_context("fork")


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


def _work(url: str, place: Connection, rounds: int, gate: Barrier, told: Connection) -> None:
    errors: list[str] = []
    with _caller(url, place.recv()) as client:
        for _ in range(rounds):
            gate.wait(PATIENCE_S)
            try:
                client.call("profile")
            except Exception as error:  # noqa: BLE001 - whatever it is, it is counted
                errors.append(f"{type(error).__name__}: {error}")
            gate.wait(PATIENCE_S)
    told.send(errors)


def _expire(state: State, store: Store, number: int) -> None:
    """Every other time the portal calls the token expired, else the ledger's clock does before."""
    if number % 2:
        with store.transaction() as connection:
            connection.execute(update(schema.token).values(renew_at=LONG_AGO))
    else:
        state.tokens = {name: replace(each, expires_at=LONG_AGO) for name, each in state.tokens.items()}


def tokens(processes: int, rounds: int, url: str, folder: Path) -> bool:
    """Run the race and print its figures; True when nothing went wrong."""
    gate = FORK.Barrier(processes + 1)
    places, ends = ([FORK.Pipe() for _ in range(processes)] for _ in range(2))
    # Before the server: a fork must not copy its thread.
    workers = [
        FORK.Process(target=_work, args=(url, place[0], rounds, gate, end[1]), daemon=True)
        for place, end in zip(places, ends, strict=True)
    ]
    for worker in workers:
        worker.start()
    state = seed.portal(datetime.now(UTC).date())
    state.settings.rate_limit = False
    store = Store.open(url)
    with server.serving(state, folder) as addresses:
        for place in places:
            place[1].send(addresses.http)
        for number in range(rounds):
            _expire(state, store, number)
            with suppress(BrokenBarrierError):
                gate.wait(PATIENCE_S)
                gate.wait(PATIENCE_S)
        errors = [text for end in ends if end[0].poll(PATIENCE_S) for text in end[0].recv()]
        lost = _lost(url, addresses.http, state)
    store.close()
    return _tell(processes, rounds, state, errors, lost)


def _lost(url: str, portal: str, state: State) -> int:
    state.tokens = {name: replace(each, expires_at=LONG_AGO) for name, each in state.tokens.items()}
    try:
        with _caller(url, portal) as client:
            client.call("profile")
    except Exception as error:  # noqa: BLE001
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _tell(processes: int, rounds: int, state: State, errors: list[str], lost: int) -> bool:
    renewals = (state.application.refreshes if state.application else 0) - (1 - lost)
    figures = f"{rounds} expiries, {renewals} renewals, {len(errors)} errors, {lost} lost"
    sys.stdout.write(f"{processes} processes, {figures}\n")
    sys.stderr.writelines(f"{text}\n" for text in sorted(set(errors)))
    return (renewals, errors, lost) == (rounds, [], 0)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.races", description=__doc__)
    parser.add_argument("race", choices=["tokens"])
    parser.add_argument("--processes", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--ledger", help="an SQLAlchemy address; SQLite in a temporary folder if not given")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = given.ledger or f"sqlite:///{folder}/ledger.db"
        Store.open(url).close()
        return 0 if tokens(given.processes, given.rounds, url, Path(folder)) else 1


if __name__ == "__main__":
    sys.exit(main())
