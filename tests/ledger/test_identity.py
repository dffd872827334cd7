from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import text

from airflow_b24.ledger import identity, moves, settlements
from airflow_b24.ledger.errors import LedgerError
from airflow_b24.ledger.identity import Identity
from airflow_b24.ledger.store import Store


def read(store: Store) -> Identity:
    with store.snapshot() as connection:
        return identity.read(connection)


def test_a_new_ledger_has_a_name_of_its_own_and_no_story(store: Store) -> None:
    found = read(store)
    assert len(found.id) == 36
    assert found.mark == 0
    assert read(store) == found


def test_the_mark_grows_with_each_step_and_with_nothing_else(store: Store, ready: Callable[..., int]) -> None:
    made = ready(store)
    first = read(store)
    settlements.look(store, made)
    assert read(store) == first
    moves.claim(store, made)
    assert read(store).mark > first.mark > 0


def test_settlements_of_one_portal_say_nothing_of_another(store: Store, ready: Callable[..., int]) -> None:
    row = settlements.look(store, ready(store))
    with store.snapshot() as connection:
        assert identity.has_settlements(connection, row.portal_id)
        assert not identity.has_settlements(connection, row.portal_id + 1)


def test_a_ledger_without_its_name_is_refused(store: Store) -> None:
    with store.transaction() as connection:
        connection.execute(text("DELETE FROM b24_ledger"))
        with pytest.raises(LedgerError, match="b24_ledger holds 0 names"):
            identity.read(connection)
        connection.rollback()
