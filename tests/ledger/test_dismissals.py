from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.exc import DBAPIError

from airflow_b24.ledger import allocations, dismissals, payments, records, releases, settlements, statuses
from airflow_b24.ledger.errors import InvariantError
from airflow_b24.ledger.promise import Promise
from airflow_b24.ledger.records import Record
from airflow_b24.ledger.schema import dismissal
from airflow_b24.ledger.store import Store

Receive = Callable[..., int]
Make = Callable[..., Promise]


def open_payments(store: Store) -> list[int]:
    with store.snapshot() as connection:
        return [row["id"] for held in (False, True) for row in payments.unallocated(connection, held=held)]


def words(store: Store) -> list[tuple[str, str]]:
    with store.snapshot() as connection:
        rows = connection.execute(select(dismissal.c.what, dismissal.c.said_by).order_by(dismissal.c.id))
        return [(row.what, row.said_by) for row in rows]


def test_a_dismissed_payment_is_matched_no_more_until_it_is_reopened(store: Store, receive: Receive) -> None:
    one, other = receive(store), receive(store, "id:B2")
    assert dismissals.dismiss(store, one, "anna")
    assert open_payments(store) == [other]
    assert dismissals.reopen(store, one, "boris")
    assert open_payments(store) == [one, other]


def test_every_word_stays_with_who_said_it_and_the_newest_counts(store: Store, receive: Receive) -> None:
    one = receive(store)
    said = [
        dismissals.dismiss(store, one, "anna"),
        dismissals.dismiss(store, one, "boris"),
        dismissals.reopen(store, one, "boris"),
        dismissals.reopen(store, one, "anna"),
        dismissals.dismiss(store, one, "anna"),
    ]
    assert said == [True, False, True, False, True]
    assert words(store) == [("dismissed", "anna"), ("reopened", "boris"), ("dismissed", "anna")]
    with store.snapshot() as connection:
        [row] = statuses.payments(connection)
    assert (row["dismissed_by"], row["dismissed_at"].tzinfo is not None) == ("anna", True)


def test_a_payment_that_is_put_to_an_invoice_is_released_first(store: Store, receive: Receive, promise: Make) -> None:
    one = receive(store)
    (settlement_id,) = allocations.allocate(store, promise(store, one))
    with pytest.raises(ValueError, match=f"PAYMENT_ID: {one} .* first `airflow b24 ledger release {settlement_id}`"):
        dismissals.dismiss(store, one, "anna")
    assert words(store) == []
    releases.release(store, settlements.look(store, settlement_id))
    assert dismissals.dismiss(store, one, "anna")


def test_nothing_is_promised_of_a_payment_that_was_dismissed_meanwhile(
    store: Store, receive: Receive, promise: Make
) -> None:
    one = receive(store)
    made = promise(store, one)
    dismissals.dismiss(store, one, "anna")
    assert allocations.allocate(store, made) == ()
    with store.snapshot() as connection:
        assert settlements.live_among(connection, 1, [(made.parts[0].kind, made.parts[0].invoice_id)]) == {}


def test_of_a_match_and_a_person_at_the_same_time_one_comes_first(
    postgres_store: Store, receive: Receive, promise: Make
) -> None:
    for number in range(1, 9):
        one = receive(postgres_store, f"id:B{number}")
        made = promise(postgres_store, one, invoice_id=number)

        def dismissed(one: int = one) -> bool:
            try:
                return dismissals.dismiss(postgres_store, one, "anna")
            except ValueError:
                return False

        with ThreadPoolExecutor(2) as pool:
            by_person, by_match = pool.submit(dismissed), pool.submit(allocations.allocate, postgres_store, made)
        assert by_person.result() != bool(by_match.result())


def test_a_payment_that_the_bank_changes_is_open_again(store: Store, payment: Callable[..., Any]) -> None:
    with store.transaction() as connection:
        one, _ = payments.record(connection, payment())
    dismissals.dismiss(store, one, "anna")
    with store.transaction() as connection:
        assert payments.record(connection, payment(amount=1)) == (one, "amended")
    assert open_payments(store) == [one]
    assert words(store) == [("dismissed", "anna"), ("reopened", "the bank")]
    assert dismissals.dismiss(store, one, "anna")
    assert open_payments(store) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"amount": 9911800}, [("dismissed", "anna"), ("reopened", "another mapping")]),
        ({"remittance": "invoice 2026/3"}, [("dismissed", "anna"), ("reopened", "another mapping")]),
        ({"payer_tax_id": "7711000219"}, [("dismissed", "anna")]),
        ({"payer_name": "ООО"}, [("dismissed", "anna")]),
        ({"remittance": ""}, [("dismissed", "anna")]),
        ({}, [("dismissed", "anna")]),
    ],
    ids=["amount", "text", "what was empty", "what proves nothing", "what is empty now", "nothing"],
)
def test_a_payment_that_another_mapping_reads_as_another_is_open_again(
    store: Store, payment: Callable[..., Any], changed: dict[str, Any], said: list[tuple[str, str]]
) -> None:
    def deliver(new: Any) -> None:
        record = Record("{1}", "payment", payment=new, account=new.account, key=new.key)
        records.ingest(store, "bank", [record], None)

    deliver(payment())
    dismissals.dismiss(store, 1, "anna")
    deliver(payment(**changed))
    assert words(store) == said
    assert open_payments(store) == ([1] if len(said) == 2 else [])


@pytest.mark.parametrize(
    "statement", [update(dismissal).values(said_by="boris"), delete(dismissal)], ids=["update", "delete"]
)
def test_the_database_refuses_to_change_or_delete_a_word(store: Store, receive: Receive, statement: Any) -> None:
    dismissals.dismiss(store, receive(store), "anna")
    with pytest.raises(DBAPIError, match="dismissals cannot change"), store.transaction() as connection:
        connection.execute(statement)
    assert words(store) == [("dismissed", "anna")]


def test_postgresql_refuses_to_empty_the_words(postgres_store: Store, receive: Receive) -> None:
    dismissals.dismiss(postgres_store, receive(postgres_store), "anna")
    with pytest.raises(DBAPIError, match="dismissals cannot change"), postgres_store.transaction() as connection:
        connection.execute(text("TRUNCATE b24_dismissal"))


SAYS = pytest.mark.parametrize("say", [dismissals.dismiss, dismissals.reopen])


def shown(store: Store, payment_id: int) -> dict[str, Any]:
    with store.snapshot() as connection:
        return payments.facts(statuses.payment_of(connection, payment_id))


@SAYS
def test_a_word_on_a_payment_that_the_bank_has_changed_since_is_refused(
    store: Store, receive: Receive, say: Callable[..., bool]
) -> None:
    one = receive(store)
    before = shown(store, one)
    receive(store, amount=9911800)
    with pytest.raises(ValueError, match=f"PAYMENT_ID: {one} has changed meanwhile; look at it again"):
        say(store, one, "anna", before)
    assert words(store) == []
    assert dismissals.dismiss(store, one, "anna", shown(store, one))
    assert dismissals.reopen(store, one, "anna", shown(store, one))


@SAYS
def test_a_word_on_a_payment_that_is_read_in_another_way_since_is_refused(
    store: Store, receive: Receive, payment: Callable[..., Any], say: Callable[..., bool]
) -> None:
    one = receive(store)
    before = shown(store, one)
    with store.transaction() as connection:
        assert payments.read_anew(connection, one, payment(amount=9911800))
    with pytest.raises(ValueError, match="has changed meanwhile"):
        say(store, one, "anna", before)


@SAYS
def test_a_payment_that_is_not_there_is_named(store: Store, say: Callable[..., bool]) -> None:
    with pytest.raises(InvariantError, match="PAYMENT_ID: 7 is not in this ledger"):
        say(store, 7, "anna")
