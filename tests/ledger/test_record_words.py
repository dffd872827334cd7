from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.exc import DBAPIError

from airflow_b24.ledger import dismissals, payments, record_words, records, releases, statuses
from airflow_b24.ledger.checking import check
from airflow_b24.ledger.errors import UnknownIdError
from airflow_b24.ledger.payments import NewPayment
from airflow_b24.ledger.records import Record
from airflow_b24.ledger.schema import record_word
from airflow_b24.ledger.store import Store
from airflow_b24.reconcile.reporting import unended

Make = Callable[..., NewPayment]
ODD = Record("{odd}", "quarantined", rule="amount", detail="amount: a float", account="40702", key="id:Q1")


def deliver(store: Store, *told: Record) -> None:
    records.ingest(store, "bank", told, None)


def aside(store: Store) -> list[tuple[int, str, str, str]]:
    with store.snapshot() as connection:
        return [(row["id"], row["verdict"], row["rule"], row["detail"]) for row in records.set_aside(connection)]


def words(store: Store) -> list[tuple[str, str, str]]:
    with store.snapshot() as connection:
        query = select(record_word.c.what, record_word.c.said_by, record_word.c.reason).order_by(record_word.c.id)
        return [tuple(row) for row in connection.execute(query)]


def test_a_record_that_is_dealt_with_is_ignored_by_a_named_rule_also_when_it_comes_again(store: Store) -> None:
    deliver(store, ODD)
    assert aside(store) == [(1, "quarantined", "amount", "amount: a float")]
    assert record_words.ignore(store, 1, "anna", " paid  back ")
    assert aside(store) == [(1, "ignored", "dismissed", "paid back")]
    deliver(store, ODD)
    assert aside(store) == [(1, "ignored", "dismissed", "paid back")]


def test_every_word_stays_and_the_newest_counts(store: Store) -> None:
    deliver(store, ODD)
    said = [
        record_words.ignore(store, 1, "anna", "no money"),
        record_words.ignore(store, 1, "boris", "mine"),
        record_words.reopen(store, 1, "boris"),
        record_words.reopen(store, 1, "boris"),
    ]
    assert said == [True, False, True, False]
    assert words(store) == [("ignored", "anna", "no money"), ("reopened", "boris", "")]
    assert aside(store) == [(1, "quarantined", "amount", "amount: a float")]


def test_what_the_bank_sends_in_other_words_waits_anew(store: Store) -> None:
    deliver(store, ODD)
    record_words.ignore(store, 1, "anna", "no money")
    deliver(store, Record("{other}", "quarantined", rule="amount", detail="empty", account="40702", key="id:Q1"))
    assert aside(store) == [(2, "quarantined", "amount", "empty")]


def paid(new: NewPayment, body: str = "{odd}") -> Record:
    return Record(body, "payment", payment=new, account=new.account, key=new.key)


def dismissed(store: Store) -> list[tuple[int, str, str]]:
    """By payment that is dismissed, who said so and why."""
    with store.snapshot() as connection:
        rows = statuses.payments(connection)
    return [(row["id"], row["dismissed_by"], row["dismissed_for"]) for row in rows if row["dismissed_at"]]


def matched(store: Store) -> list[int]:
    with store.snapshot() as connection:
        return [row["id"] for row in payments.unallocated(connection)]


def test_what_a_person_has_dealt_with_as_a_record_is_a_payment_that_they_have_dismissed(
    store: Store, payment: Make
) -> None:
    deliver(store, ODD)
    record_words.ignore(store, 1, "anna", "paid back")
    deliver(store, paid(payment("id:Q1")))
    assert (aside(store), matched(store), dismissed(store)) == ([], [], [(1, "anna", "paid back")])
    with store.snapshot() as connection:
        [row], said_at = statuses.payments(connection), connection.execute(select(record_word.c.said_at)).scalar_one()
    # When the person said so, not when the record could be read.
    assert row["dismissed_at"] == said_at
    checked = check(store)
    assert (checked.violations, [each.dismissed for each in checked.turnovers]) == ([], [11800])
    with pytest.raises(ValueError, match="RECORD_ID: 1 can be read"):
        record_words.reopen(store, 1, "anna")
    assert dismissals.reopen(store, 1, "boris")
    assert (matched(store), dismissed(store)) == ([1], [])
    deliver(store, paid(payment("id:Q1")))
    assert matched(store) == [1]


def test_a_mapping_that_is_mended_once_more_takes_no_word_on_the_record_back(store: Store, payment: Make) -> None:
    deliver(store, ODD)
    record_words.ignore(store, 1, "anna", "paid back")
    for remittance in ("Invoice 2026/1", "Invoice 2026/2"):
        deliver(store, paid(payment("id:Q1", remittance=remittance)))
    assert (matched(store), dismissed(store)) == ([], [(1, "anna", "paid back")])


@pytest.mark.parametrize("is_decided", [True, False])
def test_of_a_payment_in_other_words_than_a_person_has_dealt_with_they_are_asked_again(
    store: Store, payment: Make, is_decided: bool
) -> None:
    deliver(store, replace(ODD, body='{"status": "hold"}'))
    record_words.ignore(store, 1, "anna", "no money yet")
    if not is_decided:
        deliver(store, replace(ODD, body='{"status": "clearing"}'))
    deliver(store, paid(payment("id:Q1"), '{"status": "booked"}'))
    assert (aside(store), matched(store), dismissed(store)) == ([], [], [])
    [line] = unended(store)
    before = "hold" if is_decided else "clearing"
    assert (line.status, line.reason) == ("review", "amended")
    assert f"Changed: status: {before} -> booked" in line.why
    assert check(store).violations == []
    assert releases.accept(store, 1)
    assert matched(store) == [1]


@pytest.mark.parametrize("taken_back", [True, False])
def test_without_a_word_on_its_record_a_payment_is_matched(store: Store, payment: Make, taken_back: bool) -> None:
    deliver(store, ODD, replace(ODD, body="{another}", key="id:Q2"))
    record_words.ignore(store, 1 if taken_back else 2, "anna", "paid back")
    if taken_back:
        record_words.reopen(store, 1, "anna")
    deliver(store, paid(payment("id:Q1")))
    assert (matched(store), dismissed(store)) == ([1], [])


@pytest.mark.parametrize(("ignored", "out"), [(1, [1]), (2, [2])])
def test_of_equal_records_without_an_id_the_one_that_was_dealt_with_is_dismissed(
    store: Store, payment: Make, ignored: int, out: list[int]
) -> None:
    deliver(store, *(replace(ODD, key="", number=number) for number in (0, 1)))
    record_words.ignore(store, ignored, "anna", "paid back")
    deliver(store, *(paid(payment("sha256:x", occurrence=number)) for number in (0, 1)))
    assert [each for each, *_ in dismissed(store)] == out


def test_a_record_without_an_id_that_is_counted_in_another_order_once_it_is_read_is_dismissed(
    store: Store, payment: Make
) -> None:
    deliver(store, replace(ODD, key=""))
    record_words.ignore(store, 1, "anna", "paid back")
    same = [payment("sha256:x", occurrence=number) for number in (0, 1)]
    deliver(store, paid(same[0], "{an equal payment}"), paid(same[1]))
    assert ([each for each, *_ in dismissed(store)], aside(store)) == ([2], [])


def test_one_word_dismisses_one_payment(store: Store, payment: Make) -> None:
    deliver(store, *(replace(ODD, key="", number=number) for number in (0, 1)))
    record_words.ignore(store, 1, "anna", "paid back")
    same = [payment("sha256:x", occurrence=number) for number in range(3)]
    deliver(store, paid(same[0], "{an equal payment}"), paid(same[1]), paid(same[2]))
    assert len(dismissed(store)) == 1


def test_what_the_bank_said_last_is_known_though_the_clock_was_set_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(store, ODD)
    record_words.ignore(store, 1, "anna", "no money")
    monkeypatch.setattr(records, "utc_now", lambda _: datetime(2020, 1, 1, tzinfo=UTC))
    deliver(store, OTHER)
    assert aside(store) == [(2, "quarantined", "amount", "status: reversed")]
    deliver(store, ODD)
    assert aside(store) == WAITING


OTHER = replace(ODD, body="{other}", detail="status: reversed")
WAITING = [(1, "quarantined", "amount", "amount: a float")]


def test_when_the_bank_goes_back_to_its_words_of_before_a_person_is_asked_again(store: Store) -> None:
    for record in (ODD, OTHER):
        deliver(store, record)
    record_words.ignore(store, 2, "anna", "reversed")
    deliver(store, ODD)
    assert aside(store) == WAITING
    assert words(store) == [("ignored", "anna", "reversed"), ("reopened", "the bank", "")]
    record_words.ignore(store, 1, "anna", "by hand")
    deliver(store, ODD)
    assert aside(store) == [(1, "ignored", "dismissed", "by hand")]
    deliver(store, OTHER)
    assert aside(store) == [(2, "quarantined", "amount", "status: reversed")]


def test_what_was_ignored_before_waits_again_when_the_bank_goes_back_to_it(store: Store) -> None:
    deliver(store, ODD)
    record_words.ignore(store, 1, "anna", "by hand")
    for record in (OTHER, ODD):
        deliver(store, record)
    assert aside(store) == WAITING


def test_two_records_that_are_delivered_together_again_and_again_say_nothing_new(store: Store) -> None:
    for record in (ODD, OTHER):
        deliver(store, record)
    record_words.ignore(store, 2, "anna", "reversed")
    deliver(store, ODD, OTHER)
    assert aside(store) == [(2, "ignored", "dismissed", "reversed")]


def test_another_source_takes_nothing_back(store: Store) -> None:
    records.ingest(store, "another", [ODD], None)
    deliver(store, OTHER)
    record_words.ignore(store, 2, "anna", "reversed")
    records.ingest(store, "another", [ODD], None)
    assert aside(store) == [(2, "ignored", "dismissed", "reversed")]


@pytest.mark.parametrize("say", [lambda *of: record_words.ignore(*of, "no money"), record_words.reopen])
def test_a_record_that_the_bank_has_said_otherwise_since_is_not_decided_on(store: Store, say: Any) -> None:
    for record in (ODD, OTHER):
        deliver(store, record)
    with pytest.raises(ValueError, match="RECORD_ID: 1 is not the bank's last word on this: decide on record 2"):
        say(store, 1, "anna")


def test_what_a_mended_mapping_sets_aside_is_told_by_its_own_rule(store: Store) -> None:
    deliver(store, ODD)
    record_words.ignore(store, 1, "anna", "no money")
    deliver(store, Record("{odd}", "ignored", rule="not_a_credit", account="40702", key="id:Q1"))
    assert aside(store) == [(1, "ignored", "not_a_credit", "")]


def test_what_speaks_of_a_payment_is_decided_with_it(store: Store, payment: Make) -> None:
    told = [payment("id:B1"), payment("id:B1", amount=1)]
    for new in told:
        deliver(store, Record(repr(new), "payment", payment=new, account=new.account, key=new.key))
    with pytest.raises(ValueError, match="RECORD_ID: 2 can be read, or speaks of a payment"):
        record_words.ignore(store, 2, "anna", "no money")


@pytest.mark.parametrize("reason", ["", "  "])
def test_without_a_reason_nothing_is_ignored(store: Store, reason: str) -> None:
    deliver(store, ODD)
    with pytest.raises(ValueError, match="--reason: it is empty"):
        record_words.ignore(store, 1, "anna", reason)
    assert words(store) == []


def test_only_what_cannot_be_read_can_be_ignored(store: Store) -> None:
    deliver(store, Record("{debit}", "ignored", rule="not_a_credit"))
    with pytest.raises(ValueError, match="RECORD_ID: 1 can be read"):
        record_words.ignore(store, 1, "anna", "no money")
    with pytest.raises(UnknownIdError, match="RECORD_ID: 99 is not in this ledger"):
        record_words.ignore(store, 99, "anna", "no money")


@pytest.mark.parametrize("statement", [update(record_word).values(said_by="boris"), delete(record_word)], ids=str)
def test_the_database_refuses_to_change_a_word(store: Store, statement: Any) -> None:
    deliver(store, ODD)
    record_words.ignore(store, 1, "anna", "no money")
    with pytest.raises(DBAPIError, match="words on records cannot change"), store.transaction() as connection:
        connection.execute(statement)
