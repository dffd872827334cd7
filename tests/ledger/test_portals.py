from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_b24.ledger import portals
from airflow_b24.ledger.errors import LedgerError
from airflow_b24.ledger.portals import portal_id
from airflow_b24.ledger.store import Store


def known_as(store: Store, *aliases: str) -> int:
    with store.transaction() as connection:
        return portal_id(connection, *aliases)


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
    first = known_as(store, "old.example")
    assert known_as(store, "old.example", "Renamed.example") == first
    assert known_as(store, *again) == first
    assert count(store) == 1


def test_a_name_of_two_known_portals_is_refused_and_joins_nothing(store: Store) -> None:
    one, other = known_as(store, "one.example"), known_as(store, "other.example")
    with pytest.raises(LedgerError, match=r"allowed_hosts: one\.example, other\.example are two portals"):
        known_as(store, "other.example", "one.example")
    assert (known_as(store, "one.example"), known_as(store, "other.example")) == (one, other)


def test_an_empty_ledger_serves_no_portal(store: Store) -> None:
    assert count(store) == 0


def test_many_workers_meet_a_new_portal_by_its_names_in_any_order_and_agree_on_its_id(store: Store) -> None:
    names = ("a.example", "b.example")
    with ThreadPoolExecutor(4) as pool:
        met = set(pool.map(lambda turn: known_as(store, *(names if turn % 2 else reversed(names))), range(8)))
    assert (len(met), count(store)) == (1, 1)
