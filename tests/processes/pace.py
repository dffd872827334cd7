"""Many processes settle at once against one portal's rate limit: how much of it they use, and whether all get their turn.

    python -m tests.processes.pace --workers 64 --rate 2 --seconds 60 [--database sqlite|postgresql|both] [--json]
    python -m tests.processes.pace --workers 8 --rate 2 --each 20

With --each every worker has so many settlements to bring to an end; else it settles until the time is over. As Airflow
would, a worker that is refused comes back when the error says, at most five times. The portal's bucket is empty at the
start: it allows its burst, and then the rate; the share is what it admitted of that. Ends with 1 when a settlement was
lost: failed for good, left amid a send, or paid twice.
"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow_b24.bitrix.auth import Webhook
from airflow_b24.bitrix.client import Client
from airflow_b24.bitrix.errors import RefusedError
from airflow_b24.bitrix.limits import Unpaced
from airflow_b24.ledger import settlements
from airflow_b24.ledger.pace import LedgerPace
from airflow_b24.ledger.settlement import Settled
from airflow_b24.ledger.states import State
from airflow_b24.ledger.store import Store, make_engine
from airflow_b24.reconcile.desk import Desk, PaySystem
from airflow_b24.reconcile.matching import match_payments
from airflow_b24.reconcile.settling import settle_matched
from airflow_b24.sandbox import seed
from tests.processes import verdict
from tests.processes.children import Children
from tests.processes.databases import chosen, command, ledgers
from tests.processes.load import BURST, Board, Count, Load
from tests.processes.portal import Portal, open_portal
from tests.processes.stories import TODAY, Story, receive

# As in the example DAGs: the first try and five retries.
TRIES = 6
BEGUN = frozenset({"sending", "unknown", "review"})
MEMORY = Path("/dev/shm")


class TimeIsUpError(Exception):
    """A turn comes too late to be waited for."""


@dataclass(frozen=True, slots=True)
class Task:
    """Where to work, and how much."""

    load: Load
    board: Board
    ledger_url: str
    portal: Portal
    portal_id: int


def work(task: Task, place: int) -> None:
    """Settle this worker's part until it is done or the time is over."""
    load, number = task.load, task.portal_id
    with closing(Store(make_engine(task.ledger_url))) as store:
        mine = settlements.due(store, number, 10**6)[place :: load.workers]
        pace = LedgerPace(store, number, per_second=load.rate, burst=BURST)
        with Client(Webhook.parse(task.portal.webhook), pace=pace) as client:
            desk = Desk(store, client, number, pace)
            task.board.start.wait()
            _settle_all(desk if load.each else replace(desk, sleep=_until(load.seconds)), mine, task.board, place)


def _until(seconds: float) -> Callable[[float], None]:
    ends = time.monotonic() + seconds

    def sleep(seconds: float) -> None:
        if time.monotonic() + seconds > ends:
            raise TimeIsUpError
        time.sleep(max(0.0, seconds))

    return sleep


def _settle_all(desk: Desk, mine: Sequence[dict[str, int]], board: Board, place: int) -> None:
    for each in mine:
        began = time.monotonic()
        try:
            settled = any(_settle(desk, **each) for _ in range(TRIES))
        except TimeIsUpError:
            board.note(place, time.monotonic() - began)
            return
        board.note(place, time.monotonic() - began, settled=settled, failed=not settled)


def _settle(desk: Desk, invoice_id: int, settlement_id: int) -> bool:
    """One try, as of a task; one that may help later is waited for."""
    desk.sleep(0)
    try:
        settled: Settled = settle_matched(desk, settlement_id, invoice_id, PaySystem(seed.REST_SYSTEM))
    except RefusedError as error:
        desk.sleep((error.retry_at - datetime.now(UTC)).total_seconds() if error.retry_at else 1.0)
        return False
    if settled.trouble is not None:
        desk.sleep(settled.wait_s or 1.0)
    return settled.row.state is State.PAID


def prepare(url: str, portal: Portal, stories: Sequence[Story]) -> int:
    """Match a payment with each invoice and pay the first, while the portal has no limit; returns the portal's id.

    That its pay system pays is known by then, and asked of the portal no more.
    """
    number = receive(url, portal.address, stories)
    with closing(Store(make_engine(url))) as store, Client(Webhook.parse(portal.webhook)) as client:
        desk = Desk(store, client, number, Unpaced())
        match_payments(desk, "pay", TODAY)
        _settle(desk, **settlements.due(store, number, 1)[0])
    return number


def run(database: str, load: Load, folder: Path) -> Count:
    """Let all workers loose on one portal and one new ledger."""
    stories = [Story(place, 10_000 + place, 10_000 + place) for place in range(1, load.given * load.workers + 2)]
    board = Board(load.workers)
    with Children() as children, ledgers(database, children, folder) as fresh:
        portal, url = open_portal(children, stories, folder), fresh()
        task = Task(load, board, url, portal, children.ask(lambda: prepare(url, portal, stories)))
        before = portal.books()["requests"]
        portal.change(rate_limit=True, rate_burst=BURST, rate_per_s=load.rate)
        pids = [children.start(lambda place=place: work(task, place)) for place in range(load.workers)]
        board.start.wait()
        took_s, books = _watch(load, children, pids, portal)
        books |= {"requests": books["requests"] - before, "double_paid": portal.books()["double_paid"]}
        ledger = children.ask(lambda: verdict.read(url))
    return _count(database, load, board, took_s=took_s, books=books, ledger=ledger)


def _watch(load: Load, children: Children, pids: Sequence[int], portal: Portal) -> tuple[float, dict[str, Any]]:
    """Wait for the workers: the seconds that count, and what the portal's books said when they were over."""
    began = time.monotonic()
    if not load.each:
        time.sleep(load.seconds)
        books = portal.books()
    if {children.ended(pid, wait=True) for pid in pids} != {0}:
        raise RuntimeError("a worker failed: its traceback is above")
    return (time.monotonic() - began, portal.books()) if load.each else (load.seconds, books)


def _count(
    store: str, load: Load, board: Board, *, took_s: float, books: dict[str, Any], ledger: verdict.Ledger
) -> Count:
    admitted = books["requests"] - books["refused"]
    stuck = sum(row["state"] in BEGUN for row in ledger.settlements)
    return Count(
        store=store,
        workers=load.workers,
        rate=load.rate,
        seconds=round(took_s, 1),
        requests=books["requests"],
        refused=books["refused"],
        share=round(admitted / load.allowed(took_s), 4),
        settled=sum(board.settled),
        least=min(board.settled),
        most=max(board.settled),
        claims=sum(row["attempts"] for row in ledger.settlements[1:]),
        lost=sum(board.failed) + stuck + books["double_paid"],
        longest_wait_s=round(max(board.longest), 1),
    )


def main() -> int:
    """Run the command; 0 only when nothing was lost."""
    parser = command("tests.processes.pace", __doc__)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--rate", type=float, default=2.0, help="requests a second that the portal allows")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--each", type=int, default=0, help="settlements of each worker, however long they take")
    given = parser.parse_args()
    # Whoever ends us: what we made is removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    load, lost = Load(given.workers, given.rate, given.seconds, given.each), 0
    for store in chosen(given.store):
        with tempfile.TemporaryDirectory(prefix="b24-pace-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
            count = run(store, load, Path(folder))
        sys.stdout.write(f"{json.dumps(asdict(count)) if given.json else count}\n")
        sys.stdout.flush()
        lost += count.lost
    return 1 if lost else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
