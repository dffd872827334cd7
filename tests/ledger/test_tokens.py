from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select, update
from sqlalchemy.exc import OperationalError

from airflow_b24.ledger import schema
from airflow_b24.ledger.errors import LedgerError
from airflow_b24.ledger.portals import portal_id
from airflow_b24.ledger.seal import Pair, Seal
from airflow_b24.ledger.store import Store
from airflow_b24.ledger.tokens import (
    LEASE_S,
    MARGIN_S,
    QUIET_S,
    WAIT_S,
    AuthoriseAgainError,
    LedgerTokens,
    Lost,
    NotRenewedError,
    Rejected,
    Renewed,
)

SEED = Pair("canary-access-0", "canary-refresh-0")
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass
class Server:
    """An authorisation server: a refresh token is good once. `spoil` holds what becomes of the next answers."""

    good: str = SEED.refresh
    given: int = 0
    asked: list[str] = field(default_factory=list)
    spoil: list[Any] = field(default_factory=list)
    name: str = "https://oauth.example"
    before: Callable[[], object] = lambda: None

    def renew(self, pair: Pair) -> Renewed | Rejected | Lost:
        self.asked.append(pair.refresh)
        fate = self.spoil.pop(0) if self.spoil else "ok"
        if fate == "lost before":
            return Lost("reset")
        self.before()
        if pair.refresh != self.good:
            return Rejected()
        self.given += 1
        self.good = f"canary-refresh-{self.given}"
        if isinstance(fate, BaseException):
            raise fate
        return (
            Lost("reset") if fate == "lost after" else Renewed(Pair(f"canary-access-{self.given}", self.good), 3600.0)
        )


@dataclass
class Nap:
    """Sleeping which takes no time, but by its own clock, `pace` times as fast; `meanwhile` is what others do."""

    seconds: float = 0.0
    pace: float = 1.0
    naps: int = 0
    meanwhile: Callable[[], object] = lambda: None

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds * self.pace
        self.naps += 1
        self.meanwhile()

    def clock(self) -> float:
        return self.seconds


@pytest.fixture
def server() -> Server:
    return Server()


Make = Callable[..., LedgerTokens]


@pytest.fixture
def worker(store: Store, server: Server) -> Make:
    """Makes one worker's tokens of the same line; whatever matters is given by name."""

    def make(seed: Pair = SEED, *, nap: Nap | None = None, at: Store = store, **changed: Any) -> LedgerTokens:
        with store.transaction() as connection:
            portal = portal_id(connection, "portal.example")
        nap = nap or Nap()
        usual: dict[str, Any] = {"client_id": "local.1.2", "client_secret": "canary-client-secret", "seed": seed}
        usual |= {"server": server.name, "renew": server.renew, "sleep": nap.sleep, "clock": nap.clock}
        return LedgerTokens(at, portal, **(usual | changed))

    return make


def row(store: Store) -> dict[str, Any]:
    with store.snapshot() as connection:
        return dict(connection.execute(select(schema.token)).mappings().one())


def change(store: Store, **values: Any) -> None:
    with store.transaction() as connection:
        connection.execute(update(schema.token).values(**values))


def test_a_pasted_token_is_used_until_the_portal_calls_it_expired(worker: Make, server: Server) -> None:
    tokens = worker()
    assert [tokens.current(), tokens.current(), server.asked] == [SEED.access, SEED.access, []]
    assert tokens.refresh(SEED.access) == "canary-access-1"
    assert tokens.current() == "canary-access-1"
    assert server.asked == [SEED.refresh]


def test_without_an_access_token_the_first_one_is_had_from_the_refresh_token(worker: Make, server: Server) -> None:
    assert worker(Pair("", SEED.refresh)).current() == "canary-access-1"
    assert server.asked == [SEED.refresh]


def test_what_one_worker_renewed_is_there_for_all_and_for_ever(worker: Make, server: Server) -> None:
    worker().refresh(SEED.access)
    assert worker().current() == "canary-access-1"
    assert worker().refresh(SEED.access) == "canary-access-1"
    assert worker().refresh("canary-access-1") == "canary-access-2"
    assert server.asked == [SEED.refresh, "canary-refresh-1"]


def test_workers_that_find_a_token_expired_at_once_renew_it_once(worker: Make, server: Server) -> None:
    for number in range(5):
        expired = f"canary-access-{number}"
        with ThreadPoolExecutor(8) as pool:
            workers = [worker(sleep=lambda _: None) for _ in range(8)]
            got = list(pool.map(lambda each: each.refresh(expired), workers))  # noqa: B023 - done within the round
        assert got == [f"canary-access-{number + 1}"] * 8
    assert server.asked == [f"canary-refresh-{number}" for number in range(5)]


def test_the_server_is_asked_outside_any_transaction(store: Store, worker: Make, server: Server) -> None:
    seen: list[str] = []

    def somebody_else() -> None:
        with store.transaction() as connection:
            portal_id(connection, "other.example")
        seen.append(worker(nap=Nap()).current())

    server.before = somebody_else
    assert worker().refresh(SEED.access) == "canary-access-1"
    assert seen == [SEED.access]


@pytest.fixture
def hour(store: Store) -> tuple[Store, list[datetime]]:
    """A store whose time the test moves: on SQLite, where the ledger's clock can be given."""
    if not store.is_sqlite:
        pytest.fail("use it with the SQLite store only")
    now = [datetime(2026, 11, 22, 12, tzinfo=UTC)]
    return Store(store.engine, clock=lambda: now[0]), now


only_sqlite = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


@only_sqlite
def test_a_token_is_renewed_shortly_before_its_end_by_the_ledgers_clock(
    hour: Any, worker: Make, server: Server
) -> None:
    at, now = hour
    worker(at=at).refresh(SEED.access)
    now[0] += timedelta(seconds=3600 - MARGIN_S - 1)
    assert worker(at=at).current() == "canary-access-1"
    now[0] += timedelta(seconds=1)
    assert worker(at=at).current() == "canary-access-2"
    assert 60 <= MARGIN_S <= 120
    assert len(server.asked) == 2


@only_sqlite
@pytest.mark.parametrize(("skew_h", "calls"), [(1, 2), (-1, 1)])
def test_a_clock_an_hour_off_costs_at_most_one_renewal(
    hour: Any, worker: Make, server: Server, skew_h: int, calls: int
) -> None:
    at, now = hour
    worker(at=at).refresh(SEED.access)
    now[0] += timedelta(hours=skew_h)
    assert [worker(at=at).current() for _ in range(3)] == [f"canary-access-{calls}"] * 3
    assert worker(at=at).refresh(f"canary-access-{calls}") == f"canary-access-{calls + 1}"
    assert len(server.asked) == calls + 1


@only_sqlite
@pytest.mark.parametrize("life_s", [20.0, 90.0, 170.0])
def test_a_short_life_is_used_at_least_half(hour: Any, worker: Make, life_s: float) -> None:
    at, now = hour
    asked: list[Pair] = []

    def renew(pair: Pair) -> Renewed:
        asked.append(pair)
        return Renewed(Pair(f"short-{len(asked)}", "next"), life_s)

    tokens = worker(at=at, renew=renew)
    tokens.refresh(SEED.access)
    now[0] += timedelta(seconds=life_s / 2 - 1)
    assert (tokens.current(), len(asked)) == ("short-1", 1)
    now[0] += timedelta(seconds=1)
    assert (tokens.current(), len(asked)) == ("short-2", 2)


def test_a_renewal_before_the_end_that_fails_leaves_the_token_in_use(
    store: Store, worker: Make, server: Server
) -> None:
    worker().refresh(SEED.access)
    change(store, renew_at=LONG_AGO)
    server.spoil = ["lost before"] * 2
    assert [worker().current(), worker().current()] == ["canary-access-1"] * 2
    assert len(server.asked) == 3


def test_while_another_renews_before_the_end_nobody_waits(store: Store, worker: Make, server: Server) -> None:
    worker().refresh(SEED.access)
    change(store, renew_at=LONG_AGO)
    nap, seen = Nap(), []
    server.before = lambda: seen.append(worker(nap=nap).current())
    assert worker().current() == "canary-access-2"
    assert (seen, nap.naps) == (["canary-access-1"], 0)


def test_a_lost_answer_is_asked_for_once_more_with_the_old_token(worker: Make, server: Server) -> None:
    server.spoil = ["lost before"]
    assert worker().refresh(SEED.access) == "canary-access-1"
    assert server.asked == [SEED.refresh] * 2


def test_a_line_that_ended_in_a_lost_answer_says_so_and_asks_no_more(worker: Make, server: Server) -> None:
    server.spoil = ["lost after"]
    for _ in range(3):
        with pytest.raises(AuthoriseAgainError, match=r"https://oauth\.example"):
            worker().refresh(SEED.access)
    assert server.asked == [SEED.refresh] * 2
    assert worker().current() == SEED.access


def test_no_clear_answer_twice_is_given_up_for_a_while_by_all(store: Store, worker: Make, server: Server) -> None:
    server.spoil = ["lost before"] * 2
    with pytest.raises(NotRenewedError, match="reset") as caught:
        worker().refresh(SEED.access)
    assert caught.value.wait_s == QUIET_S
    with pytest.raises(NotRenewedError) as again:
        worker().refresh(SEED.access)
    assert 0 < again.value.wait_s <= QUIET_S
    assert len(server.asked) == 2
    change(store, quiet_until=LONG_AGO)
    assert worker().refresh(SEED.access) == "canary-access-1"


def test_a_refusal_of_another_kind_goes_out_as_it_is_and_ends_the_lease(
    store: Store, worker: Make, server: Server
) -> None:
    server.good, error = "somebody's", RuntimeError("PAYMENT_REQUIRED")

    def refuse() -> None:
        raise error

    server.before = refuse
    with pytest.raises(RuntimeError, match="PAYMENT_REQUIRED"):
        worker().refresh(SEED.access)
    assert (row(store)["leased_until"], row(store)["refused_by"]) == (None, None)
    server.good, server.before = SEED.refresh, lambda: None
    assert worker().refresh(SEED.access) == "canary-access-1"


def finish(store: Store) -> None:
    """Somebody else has finished: the next pair stands in the ledger."""
    sealed = Seal("local.1.2", "canary-client-secret").close(Pair("canary-access-9", "canary-refresh-9"))
    change(store, generation=schema.token.c.generation + 1, pair=sealed, leased_until=None)


def test_others_wait_for_the_one_who_renews(store: Store, worker: Make, server: Server) -> None:
    nap, seen = Nap(), []
    nap.meanwhile = lambda: finish(store) if nap.naps == 3 else None
    server.before = lambda: seen.append(worker(nap=nap).refresh(SEED.access))
    worker().refresh(SEED.access)
    assert (seen, nap.naps) == (["canary-access-9"], 3)
    assert server.asked == [SEED.refresh]


def test_waiting_has_an_end(store: Store, worker: Make) -> None:
    tokens = worker(nap=(nap := Nap(pace=50.0)))
    tokens.current()
    nap.meanwhile = lambda: change(store, leased_until=datetime.now(UTC) + timedelta(seconds=LEASE_S))
    nap.meanwhile()
    with pytest.raises(NotRenewedError, match="another worker"):
        tokens.refresh(SEED.access)
    assert WAIT_S < nap.seconds < WAIT_S + 10


def test_whoever_dies_while_renewing_blocks_the_others_no_longer_than_the_lease(
    store: Store, worker: Make, server: Server
) -> None:
    def die() -> None:
        raise SystemExit

    server.before = die
    with pytest.raises(SystemExit):
        worker().refresh(SEED.access)
    left_s = (row(store)["leased_until"] - datetime.now(UTC)).total_seconds()
    assert LEASE_S - 5 < left_s <= LEASE_S < WAIT_S
    server.before = lambda: None
    nap = Nap()
    nap.meanwhile = lambda: change(store, leased_until=LONG_AGO) if nap.naps == 3 else None
    assert worker(nap=nap).refresh(SEED.access) == "canary-access-1"
    assert nap.naps == 3


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Whoever starts the tests in a shell's background has this signal ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_a_task_that_is_told_to_stop_amid_a_renewal_loses_no_tokens(worker: Make, server: Server) -> None:
    server.before = lambda: signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        worker().refresh(SEED.access)
    server.before = lambda: None
    assert worker().refresh(SEED.access) == "canary-access-1"
    assert len(server.asked) == 1


def test_a_lease_from_a_clock_that_ran_ahead_stops_nobody(store: Store, worker: Make) -> None:
    worker().current()
    far = datetime.now(UTC) + timedelta(days=1)
    change(store, leased_until=far, quiet_until=far)
    assert worker().refresh(SEED.access) == "canary-access-1"


def test_tokens_that_come_late_are_saved_whoever_has_the_lease_by_then(
    store: Store, worker: Make, server: Server
) -> None:
    heard: list[type[BaseException]] = []

    def paused(pair: Pair) -> Renewed | Rejected | Lost:
        given = server.renew(pair)
        # We slept here for longer than the lease, and another worker found the old token used up.
        change(store, leased_until=LONG_AGO)
        with pytest.raises(AuthoriseAgainError) as caught:
            worker().refresh(SEED.access)
        heard.append(caught.type)
        return given

    assert worker(renew=paused).refresh(SEED.access) == "canary-access-1"
    assert heard == [AuthoriseAgainError]
    assert worker().refresh(SEED.access) == "canary-access-1"
    assert worker().refresh("canary-access-1") == "canary-access-2"


def test_a_refusal_is_not_the_last_word_when_somebody_else_has_renewed(
    store: Store, worker: Make, server: Server
) -> None:
    def overtaken(pair: Pair) -> Rejected:
        change(store, leased_until=LONG_AGO)
        worker().refresh(SEED.access)
        return Rejected()

    assert worker(renew=overtaken).refresh(SEED.access) == "canary-access-1"
    assert row(store)["refused_by"] is None


def test_whoever_lost_the_lease_ends_nobody_elses(store: Store, worker: Make) -> None:
    def overtaken(pair: Pair) -> Rejected:
        change(store, fence=schema.token.c.fence + 1, leased_until=datetime.now(UTC) + timedelta(seconds=LEASE_S))
        return Rejected()

    nap = Nap()
    nap.meanwhile = lambda: finish(store) if nap.naps == 3 else None
    assert worker(renew=overtaken, nap=nap).refresh(SEED.access) == "canary-access-9"
    assert nap.naps == 3


def test_tokens_that_come_after_newer_ones_are_dropped(store: Store, worker: Make, server: Server) -> None:
    def paused(pair: Pair) -> Renewed | Rejected | Lost:
        given = server.renew(pair)
        # A server that takes an old refresh token a second time, and a worker that used it while we slept.
        server.good = SEED.refresh
        change(store, leased_until=LONG_AGO)
        assert worker().refresh(SEED.access) == "canary-access-2"
        return given

    assert worker(renew=paused).refresh(SEED.access) == "canary-access-2"
    assert worker().refresh("canary-access-2") == "canary-access-3"


def test_a_newly_pasted_refresh_token_begins_a_new_line_and_wins(worker: Make, server: Server) -> None:
    server.spoil = ["lost after"]
    with pytest.raises(AuthoriseAgainError):
        worker().refresh(SEED.access)
    server.good = "canary-pasted"
    pasted = worker(Pair("", "canary-pasted"))
    assert (pasted.current(), server.asked[-1]) == ("canary-access-2", "canary-pasted")
    # A task that still has the connection as it was cannot take the new line back.
    with pytest.raises(AuthoriseAgainError):
        worker().refresh(SEED.access)
    assert worker(Pair("", "canary-pasted")).current() == "canary-access-2"


def test_lines_are_apart_by_portal_and_application(store: Store, worker: Make, server: Server) -> None:
    worker().refresh(SEED.access)
    assert worker(client_id="local.3.4").current() == SEED.access
    with store.transaction() as connection:
        other = portal_id(connection, "other.example")
    tokens = LedgerTokens(store, other, "local.1.2", "canary-client-secret", SEED, server="s", renew=server.renew)
    assert tokens.current() == SEED.access


def test_another_authorisation_server_may_be_asked_where_one_refused(worker: Make, server: Server) -> None:
    server.good = "elsewhere"
    with pytest.raises(AuthoriseAgainError):
        worker().refresh(SEED.access)
    server.good = SEED.refresh
    assert worker(server="https://oauth.twin.example").refresh(SEED.access) == "canary-access-1"
    assert worker().current() == "canary-access-1"


def test_a_server_that_gives_the_same_access_token_again_is_not_asked_for_ever(worker: Make) -> None:
    asked: list[Pair] = []

    def renew(pair: Pair) -> Renewed:
        asked.append(pair)
        return Renewed(Pair(SEED.access, f"next-{len(asked)}"), 3600.0)

    assert worker(renew=renew).refresh(SEED.access) == SEED.access
    assert len(asked) == 1


class Flaky(Store):
    """A store whose database is away for a while, before or after the commit."""

    failures: tuple[str, ...] = ()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        fate, *rest = (*self.failures, "")
        self.failures = tuple(rest[:-1]) if rest else ()
        if fate == "before":
            raise OperationalError("UPDATE", {}, OSError("gone"))
        with super().transaction() as connection:
            yield connection
        if fate == "after":
            raise OperationalError("COMMIT", {}, OSError("gone"))


@pytest.mark.parametrize("failures", [("before",) * 4, ("after",), ("before", "after", "before")])
def test_a_database_that_fails_when_the_new_tokens_are_saved_loses_none(
    store: Store, worker: Make, server: Server, failures: tuple[str, ...]
) -> None:
    flaky = Flaky(store.engine)
    server.before = lambda: setattr(flaky, "failures", failures)
    assert worker(at=flaky).refresh(SEED.access) == "canary-access-1"
    assert worker().refresh("canary-access-1") == "canary-access-2"


def test_what_could_not_be_saved_is_never_used(store: Store, worker: Make, server: Server) -> None:
    flaky = Flaky(store.engine)
    server.before = lambda: setattr(flaky, "failures", ("before",) * 9)
    with pytest.raises(OperationalError) as caught:
        worker(at=flaky).refresh(SEED.access)
    assert "canary" not in str(caught.value)
    assert worker().current() == SEED.access


def test_the_ledger_alone_reveals_no_token(store: Store, worker: Make, tmp_path: Path) -> None:
    worker().refresh(SEED.access)
    assert "canary" not in str(row(store))
    if store.is_sqlite:
        assert not any(b"canary" in path.read_bytes() for path in tmp_path.iterdir())


def test_a_line_cannot_be_found_or_read_with_another_secret(worker: Make, server: Server) -> None:
    worker().refresh(SEED.access)
    assert worker(client_secret="another-client-secret").current() == SEED.access
    seal, sealed = Seal("local.1.2", "another"), Seal("local.1.2", "canary-client-secret").close(SEED)
    assert seal.name(SEED.refresh) != Seal("local.1.2", "canary-client-secret").name(SEED.refresh)
    with pytest.raises(LedgerError, match=r"b24_token\.pair cannot be read: delete that row"):
        seal.open(sealed)


def test_a_row_that_somebody_changed_is_named_and_not_used(store: Store, worker: Make) -> None:
    worker().current()
    change(store, pair=row(store)["pair"][:-8] + "AAAAAAA=")
    with pytest.raises(LedgerError, match=r"b24_token\.pair") as caught:
        worker().current()
    assert caught.value.__suppress_context__


def test_a_pair_shows_itself_to_nobody() -> None:
    assert "canary" not in repr((SEED, Renewed(SEED, 1.0)))
