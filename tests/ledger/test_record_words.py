from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.exc import DBAPIError

from airflow_b24.ledger import record_words, records
from airflow_b24.ledger.errors import UnknownIdError
from airflow_b24.ledger.payments import NewPayment
from airflow_b24.ledger.records import Record
from airflow_b24.ledger.schema import record_word
from airflow_b24.ledger.store import Store

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


def test_what_a_mended_mapping_reads_is_a_payment_whatever_was_said(
    store: Store, payment: Callable[..., NewPayment]
) -> None:
    deliver(store, ODD)
    record_words.ignore(store, 1, "anna", "no money")
    new = payment("id:Q1")
    deliver(store, Record("{odd}", "payment", payment=new, account=new.account, key=new.key))
    assert aside(store) == []
    with pytest.raises(ValueError, match="RECORD_ID: 1 can be read"):
        record_words.reopen(store, 1, "anna")


def test_what_a_mended_mapping_sets_aside_is_told_by_its_own_rule(store: Store) -> None:
    deliver(store, ODD)
    record_words.ignore(store, 1, "anna", "no money")
    deliver(store, Record("{odd}", "ignored", rule="not_a_credit", account="40702", key="id:Q1"))
    assert aside(store) == [(1, "ignored", "not_a_credit", "")]


def test_what_speaks_of_a_payment_is_decided_with_it(store: Store, payment: Callable[..., NewPayment]) -> None:
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
