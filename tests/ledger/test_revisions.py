from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_b24.ledger import records, revisions
from airflow_b24.ledger.records import Record
from airflow_b24.ledger.revisions import Revision
from airflow_b24.ledger.store import Store

Make = Callable[..., Any]


def deliver(store: Store, body: str, new: Any, source: str = "bank", verdict: Any = "payment") -> None:
    payment = new if verdict == "payment" else None
    record = Record(
        body, verdict, payment=payment, rule="" if payment else "not_booked", account=new.account, key=new.key
    )
    records.ingest(store, source, [record], None)


def found(store: Store) -> dict[int, Revision]:
    with store.snapshot() as connection:
        return revisions.of_held(connection)


def test_the_first_and_the_newest_word_of_a_changed_payment_are_found(store: Store, payment: Make) -> None:
    deliver(store, "{0}", payment("id:B0"))
    deliver(store, "{1}", payment())
    assert found(store) == {}
    deliver(store, "{2}", payment(amount=1))
    deliver(store, "{3}", payment(amount=2))
    assert found(store) == {2: Revision("{1}", "{3}")}


def test_a_payment_that_the_bank_took_back_is_compared_with_what_it_was(store: Store, payment: Make) -> None:
    deliver(store, "{1}", payment())
    deliver(store, "{2}", payment(), verdict="ignored")
    assert found(store) == {1: Revision("{1}", "{2}")}


def test_the_record_of_the_same_source_is_compared_where_there_is_one(store: Store, payment: Make) -> None:
    for source in ("one", "other"):
        deliver(store, f"{{{source}}}", payment(), source)
    deliver(store, "{2}", payment(amount=1), "one")
    assert found(store) == {1: Revision("{one}", "{2}")}
    deliver(store, "{3}", payment(amount=1), "third")
    assert found(store) == {1: Revision("{other}", "{3}")}
