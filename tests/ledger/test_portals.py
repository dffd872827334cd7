from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from airflow_b24.ledger import portals
from airflow_b24.ledger.errors import LedgerError
from airflow_b24.ledger.portals import portal_id
from airflow_b24.ledger.store import Store


def known_as(store: Store, host: str, *announced: str) -> int:
    with store.transaction() as connection:
        return portal_id(connection, host, announced)


def names(store: Store, portal: int) -> list[str]:
    with store.snapshot() as connection:
        return portals.names(connection, portal)


def count(store: Store) -> int:
    with store.snapshot() as connection:
        return portals.count(connection)


def test_a_portal_is_known_by_its_name_in_any_case(store: Store) -> None:
    first = known_as(store, "Portal.Example")
    assert known_as(store, "portal.example") == first
    assert known_as(store, "other.example") != first
    assert count(store) == 2


@pytest.mark.parametrize("again", [("renamed.example",), ("old.example",), ("renamed.example", "old.example")], ids=str)
def test_a_renamed_portal_stays_one_under_each_of_its_names(store: Store, again: tuple[str, ...]) -> None:
    first = known_as(store, "old.example", "Renamed.example")
    # Reached there: the name is its own from now on.
    assert known_as(store, "Renamed.example", "old.example") == first
    assert known_as(store, *again) == first
    assert names(store, first) == ["old.example", "renamed.example"]
    assert count(store) == 1


def test_a_name_that_was_only_announced_stays_free_for_the_portal_that_answers_there(store: Store) -> None:
    first = known_as(store, "one.example", "typed-wrong.example")
    assert names(store, first) == ["one.example"]
    assert known_as(store, "typed-wrong.example") != first


def test_a_name_of_two_known_portals_is_refused_and_joins_nothing(store: Store) -> None:
    one, other = known_as(store, "one.example"), known_as(store, "other.example")
    with pytest.raises(LedgerError, match=r"allowed_hosts: one\.example, other\.example are two portals"):
        known_as(store, "other.example", "one.example")
    assert (known_as(store, "one.example"), known_as(store, "other.example")) == (one, other)


def test_an_empty_ledger_serves_no_portal(store: Store) -> None:
    assert count(store) == 0


def test_two_workers_that_meet_a_new_portal_by_two_names_at_once_make_one_of_it(postgres_store: Store) -> None:
    with ThreadPoolExecutor(1) as pool:
        with postgres_store.transaction() as connection:
            first = portal_id(connection, "a.example", ["b.example"])
            second = pool.submit(known_as, postgres_store, "b.example", "a.example")
            # It must wait for us: what it would find now is not committed yet.
            while not second.done() and not waiting(postgres_store):
                pass
        assert second.result() == first
    assert names(postgres_store, first) == ["a.example", "b.example"]


def waiting(store: Store) -> bool:
    """Say whether somebody waits for the lock."""
    query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = :lock"
    with store.snapshot() as connection:
        return connection.execute(text(query), {"lock": portals.LOCK}).scalar_one() > 0


def test_many_workers_meet_a_new_portal_by_its_names_in_any_order_and_agree_on_its_id(store: Store) -> None:
    both = ("a.example", "b.example")
    with ThreadPoolExecutor(4) as pool:
        met = set(pool.map(lambda turn: known_as(store, *(both if turn % 2 else reversed(both))), range(8)))
    assert (len(met), count(store)) == (1, 1)
