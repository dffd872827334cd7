"""What a worker process does until all is settled or it is killed: match, then settle whatever is open, in any order."""

from __future__ import annotations

import mmap
import os
import random
import signal
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import TypeVar

from sqlalchemy import Row, text

from airflow_b24.bitrix.auth import Webhook
from airflow_b24.bitrix.client import Client
from airflow_b24.bitrix.errors import BitrixError
from airflow_b24.bitrix.flows import Flow
from airflow_b24.bitrix.protocol import Request
from airflow_b24.ledger.pace import LedgerPace
from airflow_b24.ledger.settlement import Patience
from airflow_b24.ledger.store import Store, make_engine
from airflow_b24.reconcile.bulk import settle_all
from airflow_b24.reconcile.desk import Desk, PaySystem
from airflow_b24.reconcile.matching import match_payments
from airflow_b24.reconcile.settling import settle_matched
from airflow_b24.sandbox import seed
from tests.processes.stories import TODAY

T = TypeVar("T")
Found = Row[tuple[int, int, str]]
# Short, so that a run meets the end of the quiet time thousands of times; in the same order as the real ones.
PATIENCE = Patience(window_s=0.8, deadline_s=1.0, server_run_s=0.8, pay_run_s=0.0, claims=200)
# A chunk takes longer to write and to pay than one does, and on a busy machine much longer.
PATIENCE_IN_BULK = replace(PATIENCE, window_s=2.0, deadline_s=3.0)
# Waits between tries are the portal's business, not this test's.
HASTE = 20
# A retry does not always wait for the quiet time: Airflow may start one at once.
IMPATIENCE = 0.15
IDLE_S = 0.02
# How often a worker falls asleep right before a pay leaves it, to be woken when it may be too late.
DROWSY = 0.06
NOTHING: frozenset[int] = frozenset()
# No invoice has this id.
MATCHING = frozenset({0})
WIDTH = 32
MOST_LANES = 3

OPEN = "SELECT id, invoice_id, state FROM b24_settlement WHERE state IN ('collecting', 'ready', 'sending', 'unknown')"
ENDED = "SELECT count(*) FROM b24_settlement WHERE state NOT IN ('collecting', 'ready', 'sending', 'unknown')"


@dataclass(frozen=True, slots=True)
class Task:
    """Where to work, and how many settlements there are to bring to an end."""

    ledger_url: str
    portal_id: int
    webhook: str
    settlements: int
    patience: Patience = PATIENCE


class Hands:
    """Shared memory that tells, also after a worker's death, what it held: settlements, by their invoices, matching, or nothing."""

    def __init__(self, workers: int) -> None:
        self.size = workers
        self._memory = mmap.mmap(-1, workers * WIDTH)

    def put(self, place: int, held: frozenset[int]) -> None:
        bits = sum(1 << each for each in held)
        self._memory[place * WIDTH : (place + 1) * WIDTH] = bits.to_bytes(WIDTH, "little")

    def holds(self, place: int) -> frozenset[int]:
        bits = int.from_bytes(self._memory[place * WIDTH : (place + 1) * WIDTH], "little")
        return frozenset(each for each in range(WIDTH * 8) if bits >> each & 1)


def work(task: Task, hands: Hands, place: int, again: frozenset[int], *, in_bulk: bool) -> None:
    """Settle until nothing is left, first `again`, which the worker before died over, as a retried task would.

    An error of any group but the portal's own ends the worker: a finding.
    """
    dice = random.Random()  # noqa: S311 - a test's dice
    store = Store(make_engine(task.ledger_url))
    with Client(Webhook.parse(task.webhook), timeout_s=task.patience.deadline_s, sleep=_briefly) as client:
        pace = LedgerPace(store, task.portal_id, per_second=5000, burst=5000)
        desk = Desk(store, _Drowsy(client, dice), task.portal_id, pace, task.patience, sleep=_briefly)
        while (ended := _count(store)) < task.settlements:
            found = _open(store)
            if len(found) + ended < task.settlements:
                _hold(hands, place, MATCHING, lambda: match_payments(desk, "pay", TODAY))
            rows = [row for row in dice.sample(found, len(found)) if _is_due(row, again, dice)]
            rows.sort(key=lambda row: row.invoice_id not in again)
            if in_bulk and rows:
                _hold(hands, place, {row.invoice_id for row in rows}, lambda rows=rows: _settle_all(desk, rows, dice))
            for row in () if in_bulk else rows:
                _hold(hands, place, {row.invoice_id}, lambda row=row: _settle(desk, row))
            again = NOTHING
            time.sleep(IDLE_S)
    store.close()


def _is_due(row: Found, again: frozenset[int], dice: random.Random) -> bool:
    return row.state == "ready" or row.invoice_id in again or dice.random() < IMPATIENCE


class _Drowsy(Client):
    """The real client, whose process stops at times between the commit of `sending` and the first byte."""

    def __init__(self, client: Client, dice: random.Random) -> None:
        self._client, self._dice = client, dice

    def run(self, flow: Flow[T]) -> T:
        return self._client.run(self._drowsy(flow))

    def _drowsy(self, flow: Flow[T]) -> Flow[T]:
        reply = None
        while True:
            try:
                effect = flow.send(reply)
            except StopIteration as done:
                return done.value
            if isinstance(effect, Request) and effect.send_before is not None and self._dice.random() < DROWSY:
                os.kill(os.getpid(), signal.SIGSTOP)
            reply = yield effect


def _settle(desk: Desk, row: Found) -> object:
    return settle_matched(desk, row.id, row.invoice_id, PaySystem(seed.REST_SYSTEM))


def _settle_all(desk: Desk, rows: list[Found], dice: random.Random) -> None:
    wanted = {row.id: row.invoice_id for row in rows}
    outcomes = settle_all(desk, wanted, PaySystem(seed.REST_SYSTEM), lanes=dice.randint(1, MOST_LANES))
    for outcome in outcomes.values():
        error = outcome if isinstance(outcome, Exception) else outcome.trouble and outcome.trouble.cause
        if isinstance(error, Exception) and not isinstance(error, BitrixError):
            # Told of in an outcome, so that it hides no other; here it is a finding.
            raise error


def _hold(hands: Hands, place: int, held: AbstractSet[int], do: Callable[[], object]) -> None:
    hands.put(place, frozenset(held))
    try:
        do()
    except BitrixError:
        # A task would fail here and be tried again.
        pass
    finally:
        hands.put(place, NOTHING)


def _open(store: Store) -> list[Found]:
    with store.snapshot() as connection:
        return list(connection.execute(text(OPEN)))


def _count(store: Store) -> int:
    with store.snapshot() as connection:
        return connection.execute(text(ENDED)).scalar_one()


def _briefly(seconds: float) -> None:
    time.sleep(seconds / HASTE)
