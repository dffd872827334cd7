from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from airflow_b24.ledger import cursors
from airflow_b24.ledger.checking import check
from airflow_b24.ledger.cursors import Cursor
from airflow_b24.ledger.store import Store, make_engine
from airflow_b24.payments.statements.records import RecordFields, decode_json
from airflow_b24.reconcile import reporting
from airflow_b24.reconcile.collecting import collect

FIELDS = RecordFields(
    remittance="purpose", payer_name=None, payer_tax_id=None, payer_account=None, direction="direction"
)
START, TODAY = date(2026, 11, 1), date(2026, 11, 22)
OVERLAP = timedelta(days=7)
NOTHING = {"received": 0, "new": 0, "repeated": 0, "ignored": 0, "quarantined": 0, "amended": 0}


@pytest.fixture
def store(migrated: Path, tmp_path: Path) -> Store:
    return Store(make_engine(f"sqlite:///{shutil.copy(migrated, tmp_path)}"))


def record(key: str = "B1", **changed: Any) -> dict[str, Any]:
    plain = {"id": key, "account": "40702", "amount": "118.00", "currency": "RUB", "booked_on": "2026-11-20"}
    return {**plain, "purpose": "invoice 2026/2", "direction": "credit", "document_number": "17", **changed}


class Bank:
    """Delivers these records whatever is asked, and remembers since when it was asked."""

    def __init__(self, *records: object) -> None:
        self.records, self.asked = records, []

    def __call__(self, since: date) -> Iterable[object]:
        self.asked: list[date] = [*self.asked, since]
        return iter(self.records)


def run(store: Store, bank: Any, fields: RecordFields = FIELDS, **changed: Any) -> dict[str, int]:
    settings = {"start_from": START, "today": TODAY, "overlap": OVERLAP, **changed}
    return collect(store, "bank", bank, fields, **settings)


def column(store: Store, query: str) -> list[Any]:
    with store.snapshot() as connection:
        return list(connection.execute(text(query)).scalars())


def test_every_record_ends_as_a_payment_ignored_or_quarantined(store: Store) -> None:
    bank = Bank(record(), record("B2", direction="debit"), record("B3", amount="12,00"), "no object")
    assert run(store, bank) == {**NOTHING, "received": 4, "new": 1, "ignored": 1, "quarantined": 2}
    found = dict(zip(column(store, "SELECT rule FROM b24_raw"), column(store, "SELECT key FROM b24_raw"), strict=True))
    assert found == {"": "id:B1", "not_a_credit": "id:B2", "amount": "id:B3", "record": ""}
    assert set(column(store, "SELECT account FROM b24_raw WHERE key <> ''")) == {"40702"}


def test_the_first_window_begins_at_the_start_and_later_ones_overlap(store: Store) -> None:
    bank = Bank(record())
    assert run(store, bank)["new"] == 1
    assert run(store, bank, today=TODAY + timedelta(days=1))["repeated"] == 1
    assert bank.asked == [START, TODAY - OVERLAP]
    with store.snapshot() as connection:
        assert cursors.find(connection, "bank") == Cursor(TODAY + timedelta(days=1), START)


def test_an_earlier_start_is_gone_back_to_once(store: Store) -> None:
    bank, earlier = Bank(), START - timedelta(days=30)
    for start_from in (START, earlier, earlier, START):
        run(store, bank, start_from=start_from)
    assert bank.asked == [START, earlier, TODAY - OVERLAP, TODAY - OVERLAP]


def test_a_clock_that_ran_ahead_once_leaves_no_gap(store: Store) -> None:
    bank = Bank()
    run(store, bank, today=TODAY + timedelta(days=365))
    run(store, bank)
    assert bank.asked == [START, TODAY - OVERLAP]


def test_a_payment_that_the_bank_takes_back_is_held(store: Store) -> None:
    assert run(store, Bank(record()))["new"] == 1
    assert run(store, Bank(record(direction="debit")))["amended"] == 1
    assert column(store, "SELECT held FROM b24_payment") == [1]


def test_a_payment_moved_before_the_start_is_held(store: Store) -> None:
    assert run(store, Bank(record()))["new"] == 1
    assert run(store, Bank(record(booked_on="2026-10-31")))["amended"] == 1


def test_a_pending_record_that_is_booked_later_is_one_payment(store: Store) -> None:
    fields = replace(FIELDS, status="status")
    assert run(store, Bank(record(status="pending")), fields)["ignored"] == 1
    assert run(store, Bank(record(status="booked")), fields)["new"] == 1
    found = reporting.report(store)
    assert (found["payments"], found["waiting"], found["ignored"]) == (1, 1, 0)


def test_without_an_id_only_days_that_are_over_are_counted(store: Store) -> None:
    fields = replace(FIELDS, id=None)
    bank = Bank(record(booked_on="2026-11-22"), record(booked_on="2026-11-21"), record(direction="debit"))
    assert run(store, bank, fields) == {**NOTHING, "received": 2, "new": 1, "ignored": 1}
    assert column(store, "SELECT booked_on FROM b24_payment") == ["2026-11-21"]
    tomorrow = run(store, bank, fields, today=TODAY + timedelta(days=1))
    assert tomorrow == {**NOTHING, "received": 3, "new": 1, "repeated": 2}


def test_with_an_id_a_payment_of_today_counts_at_once(store: Store) -> None:
    assert run(store, Bank(record(booked_on="2026-11-22")))["new"] == 1


def test_a_mended_mapping_reads_the_same_records_anew(store: Store) -> None:
    bank = Bank(record(payer="7711000219"))
    run(store, bank)
    run(store, bank, replace(FIELDS, payer_tax_id="payer"))
    assert column(store, "SELECT payer_tax_id FROM b24_payment") == ["7711000219"]


def test_the_overlap_never_reaches_before_the_start(store: Store) -> None:
    bank = Bank()
    run(store, bank)
    run(store, bank, overlap=timedelta(days=90))
    assert bank.asked == [START, START]


def test_payments_before_the_start_are_ignored_by_name_and_counted_once_the_start_moves_back(store: Store) -> None:
    bank = Bank(record(booked_on="2026-10-31"), record("B2", booked_on="2026-11-01"))
    assert run(store, bank) == {**NOTHING, "received": 2, "new": 1, "ignored": 1}
    assert column(store, "SELECT rule FROM b24_raw ORDER BY id") == ["before_start", ""]
    assert run(store, bank, start_from=date(2026, 10, 1)) == {**NOTHING, "received": 2, "new": 1, "repeated": 1}


def test_equal_payments_without_an_id_stay_two_however_often_they_are_read(store: Store) -> None:
    fields = RecordFields(id=None, remittance="purpose", payer_name=None, payer_tax_id=None, payer_account=None)
    bank = Bank(record(), record())
    assert run(store, bank, fields)["new"] == 2
    assert run(store, bank, fields) == {**NOTHING, "received": 2, "repeated": 2}


def test_equal_records_without_an_id_that_cannot_be_read_stay_two_and_become_two_payments(store: Store) -> None:
    unread = RecordFields(id=None, remittance="purpose", payer_name=None, payer_tax_id=None, payer_account=None)
    exact = replace(unread, numbers_are_exact=True)
    odd = record(amount=decode_json(b"118.50"))
    assert run(store, Bank(odd, odd), unread)["quarantined"] == 2
    # The overlap brings both again, or one of them.
    for again in (Bank(odd, odd), Bank(odd)):
        assert run(store, again, unread)["quarantined"] == 0
    assert run(store, Bank(odd, odd), exact)["new"] == 2
    assert column(store, "SELECT verdict FROM b24_raw") == ["payment", "payment"]
    assert check(store).violations == []


def test_equal_records_with_an_id_are_one(store: Store) -> None:
    odd = record(amount="12,00")
    assert run(store, Bank(odd, odd)) == {**NOTHING, "received": 2, "quarantined": 1, "repeated": 1}


def test_an_amount_is_kept_to_the_minor_unit_and_a_float_is_quarantined(store: Store) -> None:
    amounts = (b'"0.01"', b'"90071992547409.93"', b"118.5", b"118")
    bank = Bank(*(record(f"B{place}", amount=decode_json(amount)) for place, amount in enumerate(amounts)))
    assert run(store, bank) == {**NOTHING, "received": 4, "new": 3, "quarantined": 1}
    assert column(store, "SELECT amount FROM b24_payment ORDER BY id") == [1, 9007199254740993, 11800]


def test_a_source_that_breaks_off_leaves_ledger_and_watermark_as_they_were(store: Store) -> None:
    def broken(_: date) -> Iterable[object]:
        yield record()
        raise OSError("hung up")

    with pytest.raises(OSError, match="hung up"):
        run(store, broken)
    assert (column(store, "SELECT id FROM b24_raw"), column(store, "SELECT source FROM b24_cursor")) == ([], [])


ODD: list[dict[str, Any]] = [
    {"purpose": "nul \x00 inside"},
    {"purpose": "half \ud800 a pair"},
    {"id": "\ud800"},
    {"amount": Decimal("NaN")},
    {"amount": "1e9"},
    {"amount": "9" * 60},
    {"booked_on": "2026-02-30"},
    {"account": "9" * 300},
    {"account": ""},
    {"purpose": ["a", "list"]},
    {"direction": "sideways"},
    {"extra": {"deep": [Decimal("1.5"), date(2026, 1, 1)]}},
]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: next(iter(odd)))
def test_one_odd_record_never_stops_its_neighbours(store: Store, odd: dict[str, Any]) -> None:
    counts = run(store, Bank(record("before"), record("odd", **odd), record("after")))
    assert counts["received"] == counts["new"] + counts["quarantined"] == 3
    assert reporting.report(store)["payments"] == 3


def test_postgresql_keeps_every_odd_record_too(postgres_store: Store) -> None:
    odd = [record(f"odd {place}", **changed) for place, changed in enumerate(ODD)]
    counts = run(postgres_store, Bank(record("before"), *odd, record("after")))
    assert counts["received"] == counts["new"] + counts["quarantined"] == len(ODD) + 2
    assert reporting.report(postgres_store)["payments"] == len(ODD) + 2


@pytest.fixture
def postgres_store() -> Iterator[Store]:
    """PostgreSQL checks what SQLite lets pass: lengths, NUL, halves of characters."""
    given = os.environ.get("B24_TEST_POSTGRES_URL")
    if not given:
        pytest.skip("B24_TEST_POSTGRES_URL is not set: no PostgreSQL server to test on")
    engine, name = make_engine(given), f"b24_test_collecting_{os.getpid()}"
    try:
        with engine.begin() as connection:
            connection.execute(text(f"CREATE SCHEMA {name}"))
    except OperationalError:
        pytest.skip("B24_TEST_POSTGRES_URL: the server cannot be reached")
    opened = Store.open(engine.url.update_query_dict({"options": f"-csearch_path={name}"}))
    yield opened
    opened.close()
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {name} CASCADE"))
    engine.dispose()
