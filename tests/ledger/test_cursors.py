from __future__ import annotations

from datetime import date, timedelta

import pytest

from airflow_b24.ledger import cursors
from airflow_b24.ledger.cursors import Cursor
from airflow_b24.ledger.store import Store

START, READ, TODAY = date(2026, 11, 1), date(2026, 11, 20), date(2026, 11, 22)
WEEK = timedelta(days=7)


@pytest.mark.parametrize(
    ("watermark", "start_from", "since"),
    [
        (READ, START, date(2026, 11, 13)),
        (READ, date(2026, 11, 16), date(2026, 11, 16)),
        (READ, date(2026, 10, 1), date(2026, 10, 1)),
        (date(2026, 11, 3), START, START),
        (date(2027, 5, 5), START, date(2026, 11, 15)),
    ],
    ids=["overlaps", "not before a later start", "an earlier start goes back", "young", "a clock ran ahead once"],
)
def test_the_next_reading_begins_where_nothing_can_be_missed(watermark: date, start_from: date, since: date) -> None:
    assert Cursor(watermark, START).since(start_from, TODAY, WEEK) == since


def find(store: Store, source: str = "bank") -> Cursor | None:
    with store.snapshot() as connection:
        return cursors.find(connection, source)


def advance(store: Store, watermark: date, start_from: date = START) -> None:
    with store.transaction() as connection:
        cursors.advance(connection, "bank", Cursor(watermark, start_from))


def test_a_source_has_no_cursor_before_its_first_reading_nor_one_of_another(store: Store) -> None:
    assert find(store) is None
    advance(store, READ)
    assert (find(store), find(store, "another")) == (Cursor(READ, START), None)


def test_a_watermark_that_ran_ahead_is_put_right_by_the_next_reading(store: Store) -> None:
    advance(store, date(2027, 5, 5))
    advance(store, TODAY)
    assert find(store) == Cursor(TODAY, START)


def test_a_start_that_went_forward_and_back_again_leaves_no_gap(store: Store) -> None:
    for start_from in (date(2026, 10, 1), date(2026, 11, 15)):
        advance(store, TODAY, start_from)
    found = find(store)
    assert found == Cursor(TODAY, date(2026, 11, 15))
    assert found.since(date(2026, 10, 1), TODAY, timedelta(days=7)) == date(2026, 10, 1)
