from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import update

from airflow_b24.ledger import allocations, cases, events, payments, releases, settlements
from airflow_b24.ledger.errors import InvariantError
from airflow_b24.ledger.facts import Row
from airflow_b24.ledger.schema import settlement
from airflow_b24.ledger.states import State
from airflow_b24.ledger.store import Store

Ready = Callable[..., int]


def force(store: Store, settlement_id: int, **values: Any) -> None:
    with store.transaction() as connection:
        connection.execute(update(settlement).where(settlement.c.id == settlement_id).values(**values))


def reviewed(store: Store, settlement_id: int) -> Row:
    force(store, settlement_id, state="review", reason="cancelled")
    return settlements.look(store, settlement_id)


def test_a_release_frees_invoice_and_payment_and_remembers_why(
    store: Store, ready: Ready, promise: Callable[..., Any]
) -> None:
    row = reviewed(store, ready(store))
    freed = releases.release(store, row)
    assert (freed.state, freed.fence) == (State.RELEASED, row.fence + 1)
    with store.snapshot() as connection:
        assert [found["allocated"] for found in payments.unallocated(connection)] == [0]
        assert settlements.live(connection, 1, "legacy", 2) is None
        last = events.history(connection, row.id)[-1]
    assert (last["what"], last["state"], last["evidence"]) == ("released", "review", {"reason": "cancelled"})
    assert allocations.allocate(store, promise(store, 1, 3)) == (row.id + 1,)


def test_a_release_frees_no_more_than_was_allocated_to_it(store: Store, ready: Ready) -> None:
    row, other = reviewed(store, ready(store)), ready(store, 3)
    releases.release(store, row)
    with store.snapshot() as connection:
        assert [found["key"] for found in payments.unallocated(connection)] == ["id:B2"]
    assert settlements.look(store, other).state is State.READY


@pytest.mark.parametrize("since", [{"state": "ready"}, {"state": "paid", "how": "sent"}, {"fence": 7}], ids=str)
def test_a_settlement_that_has_moved_since_it_was_looked_at_is_not_released(
    store: Store, ready: Ready, since: dict[str, Any]
) -> None:
    row = reviewed(store, ready(store))
    force(store, row.id, **since)
    with pytest.raises(InvariantError, match="has moved meanwhile"):
        releases.release(store, row)
    with store.snapshot() as connection:
        assert payments.unallocated(connection) == []


def test_of_threads_that_release_at_once_one_does(store: Store, ready: Ready) -> None:
    row = reviewed(store, ready(store))

    def release(_: int) -> bool:
        try:
            releases.release(store, row)
        except InvariantError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(release, range(4))) == 1


@pytest.mark.parametrize("state", ["collecting", "ready", "review"])
def test_what_was_not_sent_or_was_reviewed_can_be_released_and_its_cases_close(
    store: Store, ready: Ready, state: str
) -> None:
    settlement_id = ready(store)
    force(store, settlement_id, state=state)
    with store.transaction() as connection:
        cases.open_case(connection, settlement_id, "reversed", {})
    assert releases.release(store, settlements.look(store, settlement_id)).state is State.RELEASED
    with store.snapshot() as connection:
        assert cases.open_cases(connection) == []


@pytest.mark.parametrize("state", ["sending", "unknown"])
def test_what_may_be_on_its_way_is_not_released(store: Store, ready: Ready, state: str) -> None:
    settlement_id = ready(store)
    force(store, settlement_id, state=state)
    with pytest.raises(InvariantError):
        releases.release(store, settlements.look(store, settlement_id))
    assert settlements.look(store, settlement_id).state == state


def test_an_accepted_payment_frees_its_settlement_and_closes_its_case(
    store: Store, ready: Ready, payment: Callable[..., Any]
) -> None:
    one, two = ready(store, 2), ready(store, 3)
    force(store, two, state="paid", how="sent")
    with store.transaction() as connection:
        for key in ("id:B2", "id:B3"):
            payments.record(connection, payment(key, amount=1))
    assert [settlements.look(store, each).hold for each in (one, two)] == ["amended", None]
    assert [releases.accept(store, each) for each in (1, 2, 1)] == [True, True, False]
    assert settlements.look(store, one).hold is None
    with store.snapshot() as connection:
        assert cases.open_cases(connection) == []
        assert [event["what"] for event in events.history(connection, one)][-2:] == ["allocated", "accepted"]


def test_a_settlement_stays_held_while_another_of_its_payments_is(
    store: Store, receive: Callable[..., int], promise: Callable[..., Any], payment: Callable[..., Any]
) -> None:
    first, second = (receive(store, key, amount=sum_) for key, sum_ in (("id:B1", 5000), ("id:B2", 6800)))
    (one,) = allocations.allocate(store, promise(store, first, amount=5000))
    allocations.allocate(store, promise(store, second, amount=6800))
    with store.transaction() as connection:
        for key in ("id:B1", "id:B2"):
            payments.record(connection, payment(key, amount=1))
    releases.accept(store, first)
    assert settlements.look(store, one).hold == "amended"
    releases.accept(store, second)
    assert settlements.look(store, one).hold is None


def test_accepting_a_payment_that_is_not_there_is_refused(store: Store) -> None:
    with pytest.raises(InvariantError, match="PAYMENT_ID: 7 is not in this ledger"):
        releases.accept(store, 7)
