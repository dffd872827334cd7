from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.exc import DBAPIError

from airflow_b24.ledger import allocations, dismissals, moves, payments, record_words, records, releases, settlements
from airflow_b24.ledger.checking import check, examine
from airflow_b24.ledger.facts import Decision
from airflow_b24.ledger.payments import NewPayment
from airflow_b24.ledger.promise import Promise
from airflow_b24.ledger.records import Record
from airflow_b24.ledger.schema import dismissal, event, raw
from airflow_b24.ledger.settlement import Patience
from airflow_b24.ledger.states import State
from airflow_b24.ledger.store import Store

Make = Callable[..., NewPayment]
SEEN = {"paid": True, "amount": 11800, "currency": "RUB", "marks": {"STATUS_ID": "P"}}
SENDING = Decision(State.SENDING, evidence={"marks": {"STATUS_ID": "S"}})
PAID = Decision(State.PAID, how="sent", evidence=SEEN)
REVIEW = Decision(State.REVIEW, reason="cancelled", evidence={**SEEN, "paid": False})
TODAY = datetime.now(UTC).date()
TOMORROW = TODAY + timedelta(days=1)


def move(store: Store, settlement_id: int, *decisions: Decision) -> None:
    row = moves.claim(store, settlement_id)
    for decision in decisions:
        moved = moves.move(store, row, decision, Patience(), "31")
        assert moved is not None
        row = moved


@pytest.fixture
def books(store: Store, payment: Make, promise: Callable[..., Promise]) -> Store:
    """A ledger in good order: 1 paid, 2 ready, 3 in review, 4 released, a part collected, 6 unmatched, 7 and 8 aside."""
    told = [payment(f"id:B{number}") for number in range(1, 7)]
    aside = [Record("{7}", "ignored", rule="not_a_credit"), Record("{8}", "quarantined", rule="amount", detail="?")]
    kept = [Record(repr(new), "payment", payment=new, account=new.account, key=new.key) for new in told]
    records.ingest(store, "bank", [*kept, *aside], None)
    for number in range(1, 6):
        expected = 20000 if number == 5 else 11800
        allocations.allocate(store, promise(store, number, invoice_id=number, expected=expected))
    move(store, 1, SENDING, PAID)
    move(store, 3, REVIEW)
    move(store, 4, REVIEW)
    releases.release(store, settlements.look(store, 4))
    return store


def test_a_ledger_in_good_order_has_no_violation_and_its_sums_agree(books: Store) -> None:
    checked = check(books)
    assert checked.violations == []
    (sums,) = checked.turnovers
    assert (sums.account, sums.currency, sums.came_in) == ("40702", "RUB", 6 * 11800)
    # Ready and collecting wait; so does what was released and what was never matched.
    assert (sums.paid, sums.waiting, sums.review) == (11800, 4 * 11800, 11800)


def test_dismissed_money_is_accounted_for_apart(books: Store) -> None:
    dismissals.dismiss(books, 6, "anna")
    checked = check(books)
    assert checked.violations == []
    (sums,) = checked.turnovers
    assert (sums.came_in, sums.waiting, sums.dismissed) == (6 * 11800, 3 * 11800, 11800)
    dismissals.reopen(books, 6, "anna")
    assert check(books).turnovers[0].dismissed == 0


def test_an_empty_ledger_is_in_good_order(store: Store) -> None:
    checked = check(store)
    assert (checked.violations, checked.turnovers, checked.checkpoint.events) == ([], [], 0)


def test_sums_are_kept_apart_by_account_and_currency_and_held_money_is_in_review(store: Store, payment: Make) -> None:
    told = [payment("id:1"), payment("id:2", currency="EUR"), payment("id:3", account="40703")]
    kept = [Record(repr(new), "payment", payment=new, account=new.account, key=new.key) for new in told]
    records.ingest(store, "bank", kept, None)
    with store.transaction() as connection:
        payments.hold_if_known(connection, "40703", "id:3")
    checked = check(store)
    assert checked.violations == []
    found = [(each.account, each.currency, each.came_in, each.waiting, each.review) for each in checked.turnovers]
    assert found == [
        ("40702", "EUR", 11800, 11800, 0),
        ("40702", "RUB", 11800, 11800, 0),
        ("40703", "RUB", 11800, 0, 11800),
    ]


def test_a_payment_told_twice_came_in_once(store: Store, payment: Make) -> None:
    new = payment()
    kept = [Record(body, "payment", payment=new, account=new.account, key=new.key) for body in ("{1}", "{2}")]
    records.ingest(store, "bank", kept, None)
    checked = check(store)
    assert (checked.violations, [each.came_in for each in checked.turnovers]) == ([], [11800])


CHECKS = {
    "b24_allocation": ["positive"],
    "b24_payment": ["allocated"],
    "b24_raw": ["verdict"],
    "b24_settlement": ["covered", "how"],
}


@contextmanager
def loosened(store: Store) -> Iterator[Connection]:
    """A transaction, undone at its end, that may write what the database itself would refuse."""
    with store.transaction() as connection:
        connection.execute(text("DROP INDEX uq_b24_settlement_live"))
        if not store.is_sqlite:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            for table, name in ((table, name) for table, names in CHECKS.items() for name in names):
                connection.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT ck_{table}_{name}"))
        else:
            connection.execute(text("PRAGMA ignore_check_constraints=ON"))
            connection.execute(text("PRAGMA defer_foreign_keys=ON"))
        yield connection
        connection.rollback()


def plant(connection: Connection, statement: str) -> None:
    """Write it behind the back of the triggers, which stand again afterwards."""
    guards: Any = ()
    if connection.dialect.name == "sqlite":
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        guards = connection.execute(text(query)).all()
    for guard in guards:
        connection.execute(text(f"DROP TRIGGER {guard.name}"))
    connection.execute(text(statement.replace(":", "\\:")))
    for guard in guards:
        connection.execute(text(guard.sql))


PLANTED = [
    (
        "UPDATE b24_allocation SET amount = 11801 WHERE payment_id = 1",
        "I1",
        "payment 1",
        "11801 of its 11800 is promised",
    ),
    ("UPDATE b24_payment SET allocated = 5 WHERE id = 2", "I1", "payment 2", "11800 of it is promised, but 5 is noted"),
    ("UPDATE b24_payment SET allocated = 5 WHERE id = 4", "I1", "payment 4", "0 of it is promised, but 5 is noted"),
    (
        "UPDATE b24_settlement SET allocated = 1 WHERE id = 3",
        "I1",
        "settlement 3",
        "11800 is allocated to it, but 1 is noted",
    ),
    (
        "UPDATE b24_settlement SET expected = 1 WHERE id = 2",
        "I1",
        "settlement 2",
        "11800 is allocated to it, of 1, yet",
    ),
    (
        "UPDATE b24_settlement SET currency = 'EUR' WHERE id = 2",
        "I1",
        "allocation 2",
        "RUB is promised to an invoice in EUR",
    ),
    ("UPDATE b24_settlement SET exponent = 3 WHERE id = 2", "I1", "allocation 2", "RUB is promised"),
    ("UPDATE b24_allocation SET amount = 0 WHERE id = 2", "I1", "allocation 2", "it is of nothing"),
    (
        "INSERT INTO b24_dismissal (payment_id, what, said_by, said_at) VALUES (2, 'dismissed', '', '2026-11-22 12:00:00')",
        *("I1", "payment 2", "it is dismissed, yet 11800 of it is promised"),
    ),
    (
        "UPDATE b24_settlement SET invoice_id = 1 WHERE id = 2",
        "I2",
        "invoice 1 (legacy) of portal 1",
        "2 live settlements",
    ),
    ("UPDATE b24_settlement SET how = NULL WHERE id = 1", "I3", "settlement 1", "it is paid, but not how"),
    ("UPDATE b24_settlement SET sends = 0 WHERE id = 1", "I3", "settlement 1", "nothing was sent before"),
    (
        "DELETE FROM b24_event WHERE settlement_id = 1 AND what = 'sending'",
        "I3",
        "settlement 1",
        "nothing was sent before",
    ),
    ("UPDATE b24_event SET evidence = '{}' WHERE what = 'paid'", "I3", "settlement 1", "no read-back said so"),
    (
        "UPDATE b24_event SET evidence = '{\"paid\": false}' WHERE what = 'paid'",
        "I3",
        "settlement 1",
        "no read-back said so",
    ),
    (
        'UPDATE b24_event SET evidence = \'{"paid": true, "amount": 1, "currency": "RUB"}\' WHERE what = \'paid\'',
        *("I3", "settlement 1", "the read-back showed 1 RUB, not 11800 RUB"),
    ),
    (
        'UPDATE b24_event SET evidence = \'{"paid": true, "amount": 11800, "currency": "EUR"}\' WHERE what = \'paid\'',
        *("I3", "settlement 1", "the read-back showed 11800 EUR, not 11800 RUB"),
    ),
    (
        "UPDATE b24_settlement SET state = 'paid', how = 'by_hand' WHERE id = 2",
        "I3",
        "settlement 2",
        "no event says so",
    ),
    (
        "UPDATE b24_settlement SET state = 'unknown' WHERE id = 2",
        "path",
        "settlement 2",
        "it is unknown, but its story ends in ready",
    ),
    (
        "UPDATE b24_event SET what = 'released' WHERE settlement_id = 1 AND what = 'sending'",
        *("path", "settlement 1", "event 4 (paid) begins in sending, but the story had come to released"),
    ),
    (
        "UPDATE b24_event SET what = 'released' WHERE settlement_id = 1 AND what = 'paid'",
        *("path", "settlement 1", "goes from sending to released, which no rule allows"),
    ),
    (
        "UPDATE b24_event SET state = 'sending' WHERE settlement_id = 2",
        *("path", "settlement 2", "goes from None to sending, which no rule allows"),
    ),
    ("UPDATE b24_raw SET verdict = 'lost' WHERE id = 1", "I4", "record 1", "it has no fate"),
    ("UPDATE b24_raw SET rule = '' WHERE id = 1", "I4", "record 1", "it has no fate"),
    ("UPDATE b24_raw SET payment_id = NULL WHERE payment_id = 1", "I4", "record 3", "its payment is not in the ledger"),
    ("UPDATE b24_raw SET payment_id = NULL WHERE payment_id = 1", "I4", "payment 1", "no record brought it"),
    ("DELETE FROM b24_payment WHERE id = 6", "I4", "record 8", "its payment is not in the ledger"),
    ("DELETE FROM b24_payment WHERE id = 6", "I4", "account 40702 RUB", "70800 came in, 59000 is accounted for"),
    ("DELETE FROM b24_raw WHERE payment_id = 6", "I4", "payment 6", "no record brought it"),
    ("DELETE FROM b24_raw WHERE payment_id = 6", "I4", "account 40702 RUB", "59000 came in, 70800 is accounted for"),
    ("UPDATE b24_raw SET amount = 1 WHERE payment_id = 6", "I4", "record 8", "it was not read as payment 6 is written"),
    (
        "UPDATE b24_raw SET amount = NULL WHERE payment_id = 6",
        "I4",
        "record 8",
        "it was not read as payment 6 is written",
    ),
    (
        "UPDATE b24_raw SET currency = 'EUR' WHERE payment_id = 6",
        "I4",
        "account 40702 EUR",
        "11800 came in, 0 is accounted for",
    ),
    (
        "UPDATE b24_raw SET key = 'id:X' WHERE payment_id = 6",
        "I4",
        "record 8",
        "it was not read as payment 6 is written",
    ),
    (
        "UPDATE b24_payment SET amount = 11900 WHERE id = 6",
        "I4",
        "account 40702 RUB",
        "70800 came in, 70900 is accounted for",
    ),
    (
        "DELETE FROM b24_event WHERE settlement_id = 1 AND seq = 2",
        "I5",
        "settlement 1",
        "events are missing from its story: 2",
    ),
    ("UPDATE b24_event SET seq = 9 WHERE settlement_id = 1 AND seq = 4", "I5", "settlement 1", "4, 5, 6, 7, 8"),
    ("DELETE FROM b24_event WHERE settlement_id = 2", "I5", "settlement 2", "it has no story"),
]


@pytest.mark.parametrize(("statement", "rule", "row", "said"), PLANTED, ids=[case[0] for case in PLANTED])
def test_each_violation_is_named_by_its_row(books: Store, statement: str, rule: str, row: str, said: str) -> None:
    with loosened(books) as connection:
        assert examine(connection, TODAY).violations == []
        plant(connection, statement)
        found = examine(connection, TODAY).violations
    assert any(each.rule == rule and each.row == row and said in each.text for each in found), found


GUARDED = pytest.mark.parametrize("guarded", ["event", "dismissal", "record_word"])


@GUARDED
@pytest.mark.parametrize("name", ["update", "delete", "insert", "fixed", "kept"])
def test_a_missing_trigger_is_named_for_what_could_be_changed(store: Store, guarded: str, name: str) -> None:
    if store.is_sqlite != (name in {"update", "delete", "insert"}):
        return
    with store.transaction() as connection:
        where = "" if store.is_sqlite else f" ON b24_{guarded}"
        connection.execute(text(f"DROP TRIGGER b24_{guarded}_{name}{where}"))
        found = examine(connection, TODAY).violations
        connection.rollback()
    said = f"it is missing: {guarded}s could be changed"
    assert [(each.rule, each.row, each.text) for each in found] == [("I5", f"trigger b24_{guarded}_{name}", said)]


@pytest.mark.parametrize(
    "statement",
    [
        "REPLACE INTO b24_event SELECT * FROM b24_event",
        "REPLACE INTO b24_event SELECT id + 99, settlement_id, seq, at, what, state, fence, evidence FROM b24_event",
        "REPLACE INTO b24_dismissal SELECT * FROM b24_dismissal",
        "REPLACE INTO b24_record_word SELECT * FROM b24_record_word",
    ],
)
def test_sqlite_replaces_nothing_that_may_not_be_changed(books: Store, statement: str) -> None:
    dismissals.dismiss(books, 6, "anna")
    record_words.ignore(books, unread(books), "anna", "no money")
    if books.is_sqlite:
        with pytest.raises(DBAPIError, match="cannot change"), books.transaction() as connection:
            connection.execute(text(statement))


@GUARDED
def test_a_trigger_that_is_switched_off_is_as_good_as_missing(postgres_store: Store, guarded: str) -> None:
    with postgres_store.transaction() as connection:
        connection.execute(text(f"ALTER TABLE b24_{guarded} DISABLE TRIGGER USER"))
        found = examine(connection, TODAY).violations
        connection.rollback()
    assert [each.row for each in found] == [f"trigger b24_{guarded}_fixed", f"trigger b24_{guarded}_kept"]


def test_a_checkpoint_stays_the_same_however_the_story_goes_on(books: Store, ready: Callable[..., int]) -> None:
    before, yet = check(books).checkpoint, check(books, TOMORROW).checkpoint
    assert before.events == 0
    assert yet.events > 10
    with books.transaction() as connection:
        later = {"at": datetime(2099, 1, 1, tzinfo=UTC), "state": "ready", "fence": 1, "evidence": {}}
        connection.execute(insert(event).values(settlement_id=2, seq=2, what="claimed", **later))
    assert check(books, TOMORROW).checkpoint.sha256 == yet.sha256
    assert check(books, date(2100, 1, 1)).checkpoint.events == yet.events + 1


@pytest.mark.parametrize("column", ["what = 'other'", "state = 'paid'", "fence = 7", "evidence = '{}'", "seq = 9"])
def test_a_changed_event_changes_the_checkpoint(books: Store, column: str) -> None:
    with loosened(books) as connection:
        before = examine(connection, TOMORROW).checkpoint.sha256
        plant(connection, f"UPDATE b24_event SET {column} WHERE settlement_id = 1 AND what = 'sending'")  # noqa: S608
        assert examine(connection, TOMORROW).checkpoint.sha256 != before


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM b24_dismissal",
        "DELETE FROM b24_dismissal WHERE what = 'reopened'",
        "UPDATE b24_dismissal SET what = 'dismissed'",
        "UPDATE b24_dismissal SET said_by = 'boris'",
        "UPDATE b24_dismissal SET payment_id = 4",
        "UPDATE b24_dismissal SET word_id = 1",
        "UPDATE b24_dismissal SET said_at = '2026-01-01 00:00:00'",
    ],
)
def test_a_changed_dismissal_changes_the_checkpoint(books: Store, statement: str) -> None:
    dismissals.dismiss(books, 6, "anna")
    dismissals.reopen(books, 6, "anna")
    with loosened(books) as connection:
        before = examine(connection, TOMORROW).checkpoint.sha256
        plant(connection, statement)
        assert examine(connection, TOMORROW).checkpoint.sha256 != before


def test_a_dismissal_that_rests_on_no_other_word_has_the_digest_it_had_before_there_were_such(
    store: Store, receive: Callable[..., int]
) -> None:
    dismissals.dismiss(store, receive(store), "анна")
    with store.snapshot() as connection:
        said_at = connection.execute(select(dismissal.c.said_at)).scalar_one()
    words = {"id": 1, "payment_id": 1, "what": "dismissed", "said_by": "анна"}
    told = {**words, "said_at": said_at.isoformat(timespec="microseconds")}
    line = json.dumps(told, sort_keys=True, ensure_ascii=False) + "\n"
    assert check(store, TOMORROW).checkpoint.sha256 == hashlib.sha256(line.encode()).hexdigest()


def unread(store: Store) -> int:
    with store.snapshot() as connection:
        (found,) = connection.execute(select(raw.c.id).where(raw.c.verdict == "quarantined")).scalars()
    return int(found)


@pytest.mark.parametrize("column", ["reason = 'other'", "said_by = 'boris'", "what = 'reopened'", "raw_id = 7"])
def test_a_changed_word_on_a_record_changes_the_checkpoint(books: Store, column: str) -> None:
    record_words.ignore(books, unread(books), "anna", "no money")
    with loosened(books) as connection:
        before = examine(connection, TOMORROW).checkpoint.sha256
        plant(connection, f"UPDATE b24_record_word SET {column}")  # noqa: S608
        assert examine(connection, TOMORROW).checkpoint.sha256 != before


def test_an_ignored_record_is_unread_no_more_and_every_rule_holds(books: Store) -> None:
    assert check(books).unread == 1
    record_words.ignore(books, unread(books), "anna", "no money")
    checked = check(books)
    assert (checked.unread, checked.told_of, checked.violations) == (0, 1, [])


def test_a_dismissal_changes_no_checkpoint_of_the_days_before_it(books: Store) -> None:
    before, yet = check(books).checkpoint, check(books, TOMORROW).checkpoint
    dismissals.dismiss(books, 6, "anna")
    assert check(books).checkpoint.sha256 == before.sha256
    again = check(books, TOMORROW).checkpoint
    assert (again.events, again.sha256 == yet.sha256) == (yet.events, False)
