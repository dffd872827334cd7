from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from airflow_b24.ledger import notes
from airflow_b24.ledger.errors import UnknownIdError
from airflow_b24.ledger.schema import settlement
from airflow_b24.ledger.store import Store

Ready = Callable[..., int]
START = datetime.now(UTC)


def change(store: Store, ids: list[int], **values: Any) -> None:
    with store.transaction() as connection:
        connection.execute(update(settlement).where(settlement.c.id.in_(ids)).values(**values))


@pytest.fixture
def paid(store: Store, ready: Ready) -> list[int]:
    """Three that our calls have paid two hours ago."""
    ids = [ready(store, invoice_id) for invoice_id in (2, 3, 4)]
    change(store, ids, state="paid", how="sent", updated_at=START - timedelta(hours=2))
    return ids


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """The ledger's time, to be moved on."""
    moment = [START]
    monkeypatch.setattr(notes, "utc_now", lambda _: moment[0])
    return moment


def taken(store: Store, ids: list[int]) -> list[int]:
    return [row.id for row in notes.take_all(store, ids)]


def unwritten(store: Store, limit: int = 9) -> list[int]:
    return [row.id for row in notes.unwritten(store, 1, ["legacy"], limit)]


def noted(store: Store, settlement_id: int, trouble: str = "") -> None:
    """Somebody has tried it."""
    (row,) = notes.take_all(store, [settlement_id])
    notes.note(store, row, trouble)


def test_what_one_has_taken_another_cannot_take_until_it_is_noted_or_an_hour_has_passed(
    store: Store, paid: list[int], now: list[datetime]
) -> None:
    assert taken(store, paid[:2]) == paid[:2]
    assert taken(store, paid) == paid[2:]
    assert unwritten(store) == []
    now[0] += timedelta(hours=1)
    assert unwritten(store) == paid
    assert taken(store, paid) == paid


@pytest.mark.parametrize("trouble", ["", "no right"])
def test_what_is_noted_can_be_taken_again(store: Store, paid: list[int], now: list[datetime], trouble: str) -> None:
    for _ in range(2):
        noted(store, paid[0], trouble)
    now[0] += timedelta(hours=2)
    assert unwritten(store) == ([*paid[1:], paid[0]] if trouble else paid[1:])


@pytest.mark.parametrize("now", [{"state": "released"}, {"how": "by_hand"}])
def test_what_our_calls_have_not_paid_or_not_any_more_is_not_taken(
    store: Store, paid: list[int], now: dict[str, str]
) -> None:
    change(store, paid[:1], **now)
    assert taken(store, paid) == paid[1:]


def test_what_was_tried_least_comes_first(store: Store, paid: list[int], now: list[datetime]) -> None:
    first, second, third = paid
    for each in (second, first, first):
        noted(store, each, "no right")
    assert unwritten(store) == [third]
    now[0] += timedelta(hours=2)
    assert unwritten(store) == [third, second, first]
    assert unwritten(store, limit=2) == [third, second]


def test_after_each_try_it_is_left_alone_for_longer(store: Store, paid: list[int], now: list[datetime]) -> None:
    tried_at = []
    for _ in range(7 * 24):
        if paid[0] in unwritten(store):
            tried_at.append(round((now[0] - START) / timedelta(hours=1)))
            noted(store, paid[0], "no right")
        now[0] += timedelta(hours=1)
    # Two hours had passed of the seven days.
    assert tried_at == [0, 1, 3, 7, 15, 39, 63, 87, 111, 135, 159]


def test_what_is_not_in_the_ledger_is_not_taken(store: Store) -> None:
    with pytest.raises(UnknownIdError, match="settlement_id=7"):
        notes.take_all(store, [7])
