from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import delete, text, update
from sqlalchemy.exc import DBAPIError

from airflow_b24.ledger import events
from airflow_b24.ledger.schema import event
from airflow_b24.ledger.store import Store

Ready = Callable[..., int]
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_events_are_numbered_for_each_settlement_and_told_in_order(store: Store, ready: Ready) -> None:
    first, second = ready(store, 2), ready(store, 3)
    with store.transaction() as connection:
        for number, settlement_id in enumerate((first, second, first)):
            evidence = {"number": number, "текст": "да"}
            events.append(connection, settlement_id, "noted", state="ready", fence=4, at=NOW, evidence=evidence)
    with store.snapshot() as connection:
        told = events.history(connection, first)
    assert [(each["seq"], each["what"]) for each in told] == [(1, "allocated"), (2, "noted"), (3, "noted")]
    assert (told[-1]["evidence"], told[-1]["at"], told[-1]["fence"]) == ({"number": 2, "текст": "да"}, NOW, 4)


@pytest.mark.parametrize("statement", [update(event).values(what="nothing"), delete(event)], ids=["update", "delete"])
def test_the_database_refuses_to_change_or_delete_an_event(store: Store, ready: Ready, statement: object) -> None:
    settlement_id = ready(store)
    with pytest.raises(DBAPIError, match="events cannot change"), store.transaction() as connection:
        connection.execute(statement)  # type: ignore[call-overload]
    with store.snapshot() as connection:
        assert [each["what"] for each in events.history(connection, settlement_id)] == ["allocated"]


def test_postgresql_refuses_to_empty_the_events(postgres_store: Store, ready: Ready) -> None:
    ready(postgres_store)
    with pytest.raises(DBAPIError, match="events cannot change"), postgres_store.transaction() as connection:
        connection.execute(text("TRUNCATE b24_event"))
