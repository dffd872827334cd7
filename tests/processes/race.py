"""Many processes race for one thing, round after round: each time exactly one may win.

    python -m tests.processes.race [claims] --processes 64 --rounds 1000 [--store sqlite|postgresql|both] [--json]
    python -m tests.processes.race tokens --processes 32 --rounds 1000 [--store sqlite|postgresql|both] [--json]

claims: each process promises a payment of its own to the same invoice; then each tries to commit `sending` on the
settlement that came of it, in one round under claims of their own, in the next all under the same claim.
tokens: all find the access token expired, on a sandbox over HTTP; each expiry is renewed once, and no token is lost.

PostgreSQL is the server that B24_TEST_POSTGRES_URL names. An SQLite ledger lies in memory where the machine has such a
folder: the race is about its locks, not about its disk. Ends with 1 unless every round had one winner.
"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import BrokenBarrierError
from typing import TypeVar

from airflow_b24.ledger import moves, payments, settlements
from airflow_b24.ledger.errors import InvariantError, LedgerError
from airflow_b24.ledger.facts import Decision, Row
from airflow_b24.ledger.portals import portal_id
from airflow_b24.ledger.settlement import Patience
from airflow_b24.ledger.states import State
from airflow_b24.ledger.store import Store, make_engine
from tests.processes import renewals, verdict
from tests.processes.children import FORK, Children
from tests.processes.databases import chosen, command, ledgers
from tests.processes.promises import AMOUNT, payment, promise

# A process that hangs must not hang the others for ever.
LONGEST_PHASE_S = 120.0
MEMORY = Path("/dev/shm")
T = TypeVar("T")
SENDING = Decision(State.SENDING, evidence={"marks": {}})


@dataclass(slots=True)
class Count:
    """How many rounds there were, and how many had other than one winner."""

    store: str
    processes: int
    rounds: int = 0
    # Tries that lost because the ledger stayed locked: on a machine with few processors, SQLite's queue is long.
    busy: int = 0
    undecided: int = 0
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        figures = f"{self.rounds} rounds, {len(self.violations)} without exactly one winner"
        return f"{self.store}: {self.processes} processes, {figures}, {self.busy} tries lost to a locked ledger; {self.seconds} s"


class Track:
    """What all runners share: the starting gun, the round's payments and settlement, and what each has won."""

    def __init__(self, processes: int) -> None:
        self.size = processes
        self.payments = FORK.RawArray("q", processes)
        self.allocated = FORK.RawArray("q", processes)
        self.moved = FORK.RawArray("q", processes)
        self.settlement = FORK.RawValue("q", 0)
        self.busy = FORK.RawArray("q", processes)
        self._barrier = FORK.Barrier(processes + 1, timeout=LONGEST_PHASE_S)

    def wait(self) -> None:
        """Go on when everybody is here."""
        self._barrier.wait()

    def reach(self, place: int, do: Callable[[], T]) -> T | None:
        """Do it; None when the ledger stayed locked for longer than anybody waits: that is to lose, too."""
        try:
            return do()
        except InvariantError:
            raise
        except LedgerError:
            self.busy[place] += 1
            return None


def runner(url: str, portal: int, track: Track, place: int, rounds: int) -> None:
    """Run every round."""
    # Whoever broke the barrier says why.
    with suppress(BrokenBarrierError), closing(Store(make_engine(url))) as store:
        for number in range(1, rounds + 1):
            track.wait()
            won = track.reach(place, lambda: promise(store, portal, track.payments[place], number))  # noqa: B023
            track.allocated[place] = won[0] if won else 0
            track.wait()
            track.wait()
            row = track.reach(place, lambda: _claimed(store, track.settlement.value, number))  # noqa: B023
            track.wait()
            track.moved[place] = bool(track.reach(place, lambda: _moved(store, row)))  # noqa: B023
            track.wait()


def _claimed(store: Store, settlement_id: int, number: int) -> Row:
    # In every other round all hold the same claim, and only the row's state can tell them apart.
    return moves.claim(store, settlement_id) if number % 2 else settlements.look(store, settlement_id)


def _moved(store: Store, row: Row | None) -> bool:
    if row is None or row.state is not State.READY:
        return False
    return moves.move(store, row, SENDING, Patience(), "31") is not None


def run(database: str, processes: int, rounds: int, folder: Path) -> Count:
    """Hold so many rounds over one kind of database."""
    count, began, track = Count(database, processes), time.monotonic(), Track(processes)
    with Children() as children, ledgers(database, children, folder) as fresh:
        url = fresh()
        portal = children.ask(lambda: _portal(url))
        for place in range(processes):
            children.start(lambda place=place: runner(url, portal, track, place, rounds))
        # From here on this process may have a connection of its own: there are no more forks.
        with closing(Store(make_engine(url))) as store:
            for number in range(1, rounds + 1):
                _round(store, track, number, count)
        for pid in sorted(children.pids):
            children.ended(pid, wait=True)
        count.violations += _books(children.ask(lambda: verdict.read(url)), rounds, count.undecided)
    count.seconds = round(time.monotonic() - began, 1)
    return count


def _round(store: Store, track: Track, number: int, count: Count) -> None:
    with store.transaction() as connection:
        for place in range(track.size):
            track.payments[place] = payments.record(connection, payment(f"B{number}-{place}"))[0]
    track.wait()
    track.wait()
    won = [settlement_id for settlement_id in track.allocated if settlement_id]
    track.settlement.value = won[0] if won else 0
    if number % 2 == 0:
        moves.claim(store, track.settlement.value)
    track.wait()
    track.wait()
    track.wait()
    count.rounds += 1
    moved, busy = sum(track.moved), sum(track.busy)
    # The one who could have won may be among those whom the ledger let wait too long: then nobody sends, which is safe.
    undecided = moved == 0 and busy > count.busy
    count.busy, count.undecided = busy, count.undecided + undecided
    if (len(won), moved + undecided) != (1, 1):
        count.violations.append(f"round {number}: {len(won)} won the invoice, {moved} the right to send")


def _portal(url: str) -> int:
    with closing(Store(make_engine(url))) as store, store.transaction() as connection:
        return portal_id(connection, "portal.example")


def _books(ledger: verdict.Ledger, rounds: int, undecided: int = 0) -> list[str]:
    """The rows tell the same: one settlement, one allocation, one `sending` and one payment's money a round."""
    sent = Counter(event["what"] for event in ledger.events)["sending"]
    used = sum(row["allocated"] for row in ledger.payments)
    found = (len(ledger.settlements), len(ledger.allocations), sent + undecided, used)
    return (
        [] if found == (rounds, rounds, rounds, rounds * AMOUNT) else [f"the ledger holds {found} of {rounds} rounds"]
    )


# What is raced for: the race, and how many processes it has usually.
RACES: dict[str, tuple[Callable[[str, int, int, Path], Count | renewals.Count], int]] = {
    "claims": (run, 64),
    "tokens": (renewals.run, 32),
}


def main() -> int:
    """Run the command; 0 only when every round had one winner."""
    parser = command("tests.processes.race", __doc__)
    parser.add_argument("race", nargs="?", choices=RACES, default="claims")
    parser.add_argument("--processes", type=int, help="64 for claims, 32 for tokens if not given")
    parser.add_argument("--rounds", type=int, default=1000, help="how many over each store")
    given = parser.parse_args()
    # Whoever ends us: what we made is removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    race, usual = RACES[given.race]
    bad = False
    for store in chosen(given.store):
        with tempfile.TemporaryDirectory(prefix="b24-race-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
            count = race(store, given.processes or usual, given.rounds, Path(folder))
        sys.stdout.write(f"{json.dumps({'race': given.race} | asdict(count)) if given.json else count}\n")
        sys.stdout.flush()
        sys.stderr.write("".join(f"  {each}\n" for each in count.violations))
        bad |= bool(count.violations)
    return 1 if bad else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
