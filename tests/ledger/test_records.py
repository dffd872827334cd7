from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError

from airflow_b24.ledger import cursors, payments, records
from airflow_b24.ledger.payments import NewPayment
from airflow_b24.ledger.records import Record
from airflow_b24.ledger.schema import metadata, payment, raw
from airflow_b24.ledger.store import Store

Make = Callable[..., NewPayment]
DAY = date(2026, 11, 22)
NOTHING = {"received": 0, "new": 0, "repeated": 0, "ignored": 0, "quarantined": 0, "amended": 0}
DEBIT = Record('{"debit": 1}', "ignored", rule="not_a_credit")
BROKEN = Record('{"amount": "?"}', "quarantined", rule="amount", detail="amount: not a plain decimal number")


def rows(store: Store, name: str) -> list[dict[str, Any]]:
    table = metadata.tables[f"b24_{name}"]
    with store.snapshot() as connection:
        return [dict(row) for row in connection.execute(select(table).order_by(table.c.id)).mappings()]


def watermark(store: Store, source: str = "bank") -> date | None:
    with store.snapshot() as connection:
        return cursors.watermark(connection, source)


def paid(new: NewPayment, body: str = "") -> Record:
    return Record(body or repr(new), "payment", payment=new)


def test_each_record_is_kept_whole_with_what_became_of_it(store: Store, payment: Make) -> None:
    counts = records.ingest(store, "bank", [paid(payment(), "{1}"), DEBIT, BROKEN], DAY)
    assert counts == {**NOTHING, "received": 3, "new": 1, "ignored": 1, "quarantined": 1}
    kept = [(row["body"], row["verdict"], row["rule"], row["payment_id"]) for row in rows(store, "raw")]
    assert kept == [
        ("{1}", "payment", "", 1),
        ('{"debit": 1}', "ignored", "not_a_credit", None),
        ('{"amount": "?"}', "quarantined", "amount", None),
    ]


def test_a_record_delivered_again_is_counted_not_kept_twice(store: Store, payment: Make) -> None:
    delivered = [paid(payment()), DEBIT, BROKEN]
    records.ingest(store, "bank", delivered, DAY)
    assert records.ingest(store, "bank", delivered, DAY) == {**NOTHING, "received": 3, "repeated": 3}
    assert [row["deliveries"] for row in rows(store, "raw")] == [2, 2, 2]
    assert len(rows(store, "payment")) == 1


def test_the_same_payment_in_other_words_of_the_bank_is_one_payment(store: Store, payment: Make) -> None:
    counts = records.ingest(store, "bank", [paid(payment(), "{1}"), paid(payment(), "{1, more}")], DAY)
    assert (counts["new"], counts["repeated"]) == (1, 1)
    assert [row["payment_id"] for row in rows(store, "raw")] == [1, 1]


def test_equal_payments_of_one_day_stay_two(store: Store, payment: Make) -> None:
    twice = [paid(payment("sha256:x", occurrence=number), "{same}") for number in (0, 1)]
    assert records.ingest(store, "bank", twice, DAY)["new"] == 2
    assert records.ingest(store, "bank", twice, DAY)["repeated"] == 2


def test_an_amendment_changes_no_amount_but_holds_the_payment_and_is_quarantined(store: Store, payment: Make) -> None:
    records.ingest(store, "bank", [paid(payment())], DAY)
    counts = records.ingest(store, "bank", [paid(payment(amount=99900))], DAY)
    assert counts == {**NOTHING, "received": 1, "amended": 1}
    assert [(row["amount"], row["held"]) for row in rows(store, "payment")] == [(11800, True)]
    assert [(row["verdict"], row["rule"]) for row in rows(store, "raw")] == [
        ("payment", ""),
        ("quarantined", "amended"),
    ]
    with store.snapshot() as connection:
        assert records.set_aside(connection) == []
        assert payments.unallocated(connection) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"amount": 1},
        {"currency": "EUR"},
        {"booked_on": DAY},
        {"remittance": "another"},
        {"payer_tax_id": "7"},
        {"document_number": "18"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_any_changed_fact_is_an_amendment(store: Store, payment: Make, changed: dict[str, Any]) -> None:
    with store.transaction() as connection:
        first = payments.record(connection, payment())
        assert payments.record(connection, payment()) == (first[0], "repeated")
        assert payments.record(connection, payment(**changed)) == (first[0], "amended")


@pytest.mark.parametrize("early", [DEBIT, BROKEN], ids=["ignored", "quarantined"])
def test_a_record_that_reads_as_a_payment_now_becomes_one(store: Store, payment: Make, early: Record) -> None:
    records.ingest(store, "bank", [early], DAY)
    counts = records.ingest(store, "bank", [paid(payment(), early.body)], DAY)
    assert counts == {**NOTHING, "received": 1, "new": 1}
    kept = [(row["verdict"], row["rule"], row["detail"], row["payment_id"]) for row in rows(store, "raw")]
    assert kept == [("payment", "", "", 1)]


def test_a_payment_stays_one_whatever_a_later_reading_says(store: Store, payment: Make) -> None:
    records.ingest(store, "bank", [paid(payment(), BROKEN.body)], DAY)
    assert records.ingest(store, "bank", [BROKEN], DAY)["repeated"] == 1
    assert [row["verdict"] for row in rows(store, "raw")] == ["payment"]


def test_the_watermark_moves_with_the_rows_and_never_back(store: Store, payment: Make) -> None:
    assert watermark(store) is None
    records.ingest(store, "bank", [], DAY)
    records.ingest(store, "bank", [paid(payment())], date(2026, 11, 1))
    assert watermark(store) == DAY
    assert watermark(store, "another") is None
    records.ingest(store, "bank", [], date(2026, 11, 23))
    assert watermark(store) == date(2026, 11, 23)


def test_a_failure_in_the_middle_leaves_rows_and_watermark_untouched(store: Store, payment: Make) -> None:
    records.ingest(store, "bank", [], date(2026, 11, 1))
    with pytest.raises(IntegrityError):
        records.ingest(store, "bank", [paid(payment()), paid(payment("id:B2", amount=0))], DAY)
    assert (rows(store, "raw"), rows(store, "payment"), watermark(store)) == ([], [], date(2026, 11, 1))


def test_a_source_that_breaks_off_leaves_rows_and_watermark_untouched(store: Store, payment: Make) -> None:
    def broken() -> Any:
        yield paid(payment())
        raise OSError("the bank hung up")

    with pytest.raises(OSError, match="hung up"):
        records.ingest(store, "bank", broken(), DAY)
    assert (rows(store, "raw"), watermark(store)) == ([], None)


def test_workers_that_deliver_the_same_day_at_once_keep_it_once(store: Store, payment: Make) -> None:
    delivered = [paid(payment(f"id:B{number}")) for number in range(5)]
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda _: records.ingest(store, "bank", delivered, DAY), range(4)))
    assert sum(each["new"] for each in counts) == 5
    assert len(rows(store, "payment")) == 5


def test_waiting_payments_come_oldest_booking_first(store: Store, payment: Make) -> None:
    with store.transaction() as connection:
        for key, day in (("id:late", 20), ("id:early", 3), ("id:same", 20)):
            payments.record(connection, payment(key, booked_on=date(2026, 11, day)))
        waiting = payments.unallocated(connection)
    assert [row["key"] for row in waiting] == ["id:early", "id:late", "id:same"]


@pytest.mark.parametrize("values", [{"amount": 0}, {"amount": -5}, {"allocated": 11801}], ids=str)
def test_the_database_itself_refuses_impossible_money(
    store: Store, receive: Callable[..., int], values: dict[str, int]
) -> None:
    receive(store)
    made = {**rows(store, "payment")[0], "id": 2, "key": "other", **values}
    with pytest.raises(IntegrityError), store.transaction() as connection:
        connection.execute(insert(payment).values(**made))


def test_the_database_itself_refuses_a_payment_twice_and_an_unknown_verdict(store: Store, payment: Make) -> None:
    records.ingest(store, "bank", [paid(payment())], DAY)
    known, kept = rows(store, "payment")[0], rows(store, "raw")[0]
    for table, row in (("payment", {**known, "id": 9}), ("raw", {**kept, "id": 9, "digest": "x", "verdict": "lost"})):
        with pytest.raises(IntegrityError), store.transaction() as connection:
            connection.execute(insert(metadata.tables[f"b24_{table}"]).values(**row))


def test_counting_reads_one_consistent_state(store: Store, payment: Make) -> None:
    with store.snapshot() as reading:
        before = reading.execute(select(func.count()).select_from(raw)).scalar_one()
        records.ingest(store, "bank", [paid(payment())], DAY)
        assert reading.execute(select(func.count()).select_from(raw)).scalar_one() == before == 0
