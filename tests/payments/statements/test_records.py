from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_b24.payments.errors import CurrencyError, MappingError
from airflow_b24.payments.model import Payment
from airflow_b24.payments.money import Money
from airflow_b24.payments.statements.record_fields import RecordFields
from airflow_b24.payments.statements.records import Ignored, Quarantined, identify, read_record
from airflow_b24.payments.statements.strict_json import JsonFloat, decode_json

USUAL = RecordFields()
CHOOSY = RecordFields(
    direction="direction",
    status="status",
    credit=("CRDT", "credit"),
    debit=("DBIT",),
    booked=("BOOK",),
    pending=("PDNG",),
)
RECORD: dict[str, object] = {
    "id": "op-1",
    "account": "40702810900000000001",
    "amount": "118.00",
    "currency": "RUB",
    "booked_on": "2026-03-12",
    "remittance": " счет № 45 ",
    "payer_name": "ООО Ромашка",
    "payer_tax_id": 7701234567,
    "payer_account": "40702",
    "document_number": 501,
}
PAYMENT = Payment(
    "40702810900000000001", "id:op-1", 0, Money(11800, "RUB"), date(2026, 3, 12), "счет № 45", "ООО Ромашка", "7701234567", "40702", "501"
)  # fmt: skip


def test_a_record_becomes_a_payment() -> None:
    assert read_record(RECORD, USUAL) == PAYMENT


def test_expressions_reach_into_nested_records() -> None:
    fields = RecordFields(
        id="ids[0]",
        amount="sum.value",
        currency="sum.currency",
        remittance="join(' ', texts)",
        account=None,
        own_account="X1",
    )
    record = {**RECORD, "ids": ["a", "b"], "sum": {"value": "1.5", "currency": "EUR"}, "texts": ["invoice", "45"]}
    read = read_record(record, fields)
    assert isinstance(read, Payment)
    assert (read.key, read.amount, read.remittance, read.account) == ("id:a", Money(150, "EUR"), "invoice 45", "X1")


@pytest.mark.parametrize(
    ("changes", "fields", "rule"),
    [
        ({"direction": "DBIT", "status": "BOOK"}, CHOOSY, "not_a_credit"),
        ({"direction": "DBIT", "status": "BOOK", "amount": "rubbish"}, CHOOSY, "not_a_credit"),
        ({"direction": "CRDT", "status": "PDNG"}, CHOOSY, "not_booked"),
        ({"amount": "-118.00"}, USUAL, "not_a_credit"),
        ({"amount": 0}, USUAL, "not_a_credit"),
    ],
)
def test_debits_and_pending_records_are_ignored_by_a_named_rule(
    changes: dict[str, object], fields: RecordFields, rule: str
) -> None:
    known = Ignored(rule, PAYMENT.account, PAYMENT.key)  # type: ignore[arg-type]
    assert read_record({**RECORD, **changes}, fields) == known


@pytest.mark.parametrize("amount", ["-118.00", "0", 0])
def test_a_credit_that_is_not_positive_contradicts_itself(amount: object) -> None:
    read = read_record({**RECORD, "amount": amount, "direction": "CRDT", "status": "BOOK"}, CHOOSY)
    assert isinstance(read, Quarantined)
    assert read.field == "amount"
    assert "credit" in read.problem


@pytest.mark.parametrize(
    ("changes", "fields", "identity"),
    [
        ({}, USUAL, (PAYMENT.account, PAYMENT.key)),
        ({"remittance": ["a"]}, USUAL, (PAYMENT.account, PAYMENT.key)),
        ({"remittance": 5}, replace(USUAL, remittance="join(' ', remittance)"), (PAYMENT.account, PAYMENT.key)),
        ({"account": None}, replace(USUAL, own_account="X1"), ("X1", PAYMENT.key)),
        ({"account": None}, USUAL, ("", PAYMENT.key)),
        ({"account": 1.5}, USUAL, ("", PAYMENT.key)),
        ({"account": "9" * 256}, USUAL, ("", PAYMENT.key)),
        ({"id": None}, USUAL, (PAYMENT.account, "")),
        ({"id": ["a"]}, USUAL, (PAYMENT.account, "")),
        ({}, replace(USUAL, id=None), (PAYMENT.account, "")),
        ({"id": 5}, replace(USUAL, id="join(' ', id)"), (PAYMENT.account, "")),
    ],
)
def test_a_record_set_aside_carries_the_identity_its_payment_would_have(
    changes: dict[str, object], fields: RecordFields, identity: tuple[str, str]
) -> None:
    read = read_record({**RECORD, "booked_on": "never", **changes}, fields)
    assert isinstance(read, Quarantined)
    assert (read.account, read.key) == identity


@pytest.mark.parametrize(
    ("field", "longest"),
    [
        ("account", 255), ("remittance", 10_000), ("payer_name", 1000), ("payer_tax_id", 1000), ("payer_account", 1000), ("document_number", 1000),
    ],
)  # fmt: skip
def test_a_text_longer_than_its_bound_is_quarantined_by_name(field: str, longest: int) -> None:
    read = read_record({**RECORD, field: " " + "9" * longest + " "}, USUAL)
    assert isinstance(read, Payment)
    refused = read_record({**RECORD, field: "9" * (longest + 1)}, USUAL)
    assert isinstance(refused, Quarantined)
    assert (refused.field, len(refused.problem) < 300) == (field, True)
    assert f"{longest} characters" in refused.problem


def test_a_stand_in_account_is_bounded_too() -> None:
    read = read_record({**RECORD, "account": None}, replace(USUAL, own_account="9" * 256))
    assert isinstance(read, Quarantined)
    assert read.field == "account"


@pytest.mark.parametrize(("field", "word"), [("direction", "RVSL"), ("status", "FUTR")])
def test_a_word_nobody_listed_is_put_before_a_person_because_it_may_be_money(field: str, word: str) -> None:
    read = read_record({**RECORD, "direction": "CRDT", "status": "BOOK", field: word}, CHOOSY)
    assert isinstance(read, Quarantined)
    assert read.field == field
    assert word in read.problem


def test_words_of_direction_and_status_are_compared_whatever_the_case() -> None:
    assert isinstance(read_record({**RECORD, "direction": "crdt", "status": "Book"}, CHOOSY), Payment)


@pytest.mark.parametrize(
    ("changes", "fields", "field"),
    [
        ({"amount": 118.5}, USUAL, "amount"),
        ({"amount": JsonFloat("118.50")}, USUAL, "amount"),
        ({"amount": "118,50"}, USUAL, "amount"),
        ({"amount": None}, USUAL, "amount"),
        ({"amount": {"value": "1"}}, USUAL, "amount"),
        ({"currency": "RUR"}, USUAL, "currency"),
        ({"currency": None}, USUAL, "currency"),
        ({"currency": ["RUB"]}, USUAL, "currency"),
        ({"account": ""}, USUAL, "account"),
        ({"id": None}, USUAL, "id"),
        ({"id": " "}, USUAL, "id"),
        ({"id": 1.5}, USUAL, "id"),
        ({"id": 10**5000}, USUAL, "id"),
        ({"booked_on": "12.03.2026"}, USUAL, "booked_on"),
        ({"booked_on": "2026-02-31"}, USUAL, "booked_on"),
        ({"booked_on": "20260312"}, USUAL, "booked_on"),
        ({"booked_on": "0001-01-01T00:00:00+03:00"}, USUAL, "booked_on"),
        ({"booked_on": 1773300000}, USUAL, "booked_on"),
        ({"booked_on": None}, USUAL, "booked_on"),
        ({"remittance": ["a"]}, USUAL, "remittance"),
        ({"remittance": "a\x00b"}, USUAL, "remittance"),
        ({"payer_name": "a\ud800"}, USUAL, "payer_name"),
        ({"payer_tax_id": True}, USUAL, "payer_tax_id"),
        ({"status": "BOOK"}, CHOOSY, "direction"),
        ({"direction": "CRDT"}, CHOOSY, "status"),
        ({"remittance": 5}, RecordFields(remittance="join(' ', remittance)"), "remittance"),
    ],
)
def test_unreadable_records_are_quarantined_with_the_field_named(
    changes: dict[str, object], fields: RecordFields, field: str
) -> None:
    read = read_record({**RECORD, **changes}, fields)
    assert isinstance(read, Quarantined)
    assert read.field == field
    assert read.problem.startswith(f"{field}: ")


@pytest.mark.parametrize("record", [None, [], "text", 5, {}])
def test_what_is_no_record_is_quarantined(record: object) -> None:
    read = read_record(record, USUAL)
    assert isinstance(read, Quarantined)
    assert (read.account, read.key) == ("", "")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.decimals(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=5
)  # fmt: skip


@given(st.sampled_from(sorted(RECORD)), JSON)
def test_no_data_whatever_raises(field: str, value: object) -> None:
    assert isinstance(read_record({**RECORD, field: value}, USUAL), Payment | Ignored | Quarantined)


def test_a_json_fraction_is_refused_until_its_source_is_declared_exact() -> None:
    record = {**RECORD, "amount": decode_json(b"118.50")}
    refused = read_record(record, USUAL)
    assert isinstance(refused, Quarantined)
    assert "ask the source for a string" in refused.problem
    assert "numbers_are_exact=True" in refused.problem
    accepted = read_record(record, replace(USUAL, numbers_are_exact=True))
    assert isinstance(accepted, Payment)
    assert accepted.amount == Money(11850, "RUB")


def test_python_floats_stay_refused_when_numbers_are_exact() -> None:
    assert isinstance(read_record({**RECORD, "amount": 118.5}, RecordFields(numbers_are_exact=True)), Quarantined)


@pytest.mark.parametrize(
    ("booked_on", "time_zone", "day"),
    [
        ("2026-03-12T23:30:00+00:00", "Europe/Moscow", date(2026, 3, 13)),
        ("2026-03-12T23:30:00Z", "UTC", date(2026, 3, 12)),
        ("2026-03-13T00:30:00.123+03:00", "America/New_York", date(2026, 3, 12)),
        ("2026-03-12T23:30:00", "Europe/Moscow", date(2026, 3, 12)),
        ("2026-03-12 23:30:00+0300", "Europe/Moscow", date(2026, 3, 12)),
        (datetime(2026, 3, 12, 23, 30, tzinfo=UTC), "Europe/Moscow", date(2026, 3, 13)),
        (date(2026, 3, 12), "Europe/Moscow", date(2026, 3, 12)),
    ],
)
def test_a_time_is_booked_on_its_date_in_the_zone_of_the_account(booked_on: object, time_zone: str, day: date) -> None:
    read = read_record({**RECORD, "booked_on": booked_on}, RecordFields(time_zone=time_zone))
    assert isinstance(read, Payment)
    assert read.booked_on == day


@pytest.mark.parametrize("amount", ["118.00", 118, Decimal("118.00")])
def test_exact_amounts_of_any_type_are_one_payment(amount: object) -> None:
    assert read_record({**RECORD, "amount": amount}, USUAL) == PAYMENT


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount": "a["}, "amount"), ({"amount": None}, "amount"), ({"id": ""}, "id"), ({"remittance": 5}, "remittance"),
        ({"credit": ["credit"]}, "credit"), ({"booked": ()}, "booked"), ({"account": None}, "account"), ({"currency": None}, "currency"),
        ({"time_zone": "Mars/Base"}, "time_zone"), ({"time_zone": "../etc"}, "time_zone"), ({"time_zone": ""}, "time_zone"),
    ],
)  # fmt: skip
def test_a_wrong_mapping_is_refused_at_once(changes: dict[str, object], field: str) -> None:
    with pytest.raises(MappingError) as caught:
        RecordFields(**changes)  # type: ignore[arg-type]
    assert caught.value.field == field
    assert caught.value.fix


def test_a_stand_in_currency_must_be_one() -> None:
    with pytest.raises(CurrencyError, match="own_currency"):
        RecordFields(currency=None, own_currency="RUR")


def keyless(**changes: object) -> Payment:
    read = read_record({**RECORD, **changes}, RecordFields(id=None))
    assert isinstance(read, Payment)
    return read


def test_equal_payments_of_one_day_stay_two() -> None:
    first, second, third = identify([keyless(), keyless(), keyless(remittance="счет № 46")])
    assert first.key == second.key != third.key
    assert [first.occurrence, second.occurrence, third.occurrence] == [0, 1, 0]


def test_reading_the_same_days_again_gives_the_same_identities() -> None:
    rows = [keyless(), keyless(remittance="b"), keyless()]
    assert identify(rows) == identify(rows)


@pytest.mark.parametrize(
    ("field", "value"),
    [("account", "2"), ("amount", "118.01"), ("currency", "EUR"), ("booked_on", "2026-03-13"), ("remittance", "b"), ("payer_account", "2"), ("document_number", "2")],
)  # fmt: skip
def test_every_fact_of_the_content_tells_payments_apart(field: str, value: str) -> None:
    one, other = identify([keyless(), keyless(**{field: value})])
    assert one.key != other.key


def test_spacing_and_case_of_the_text_do_not_tell_payments_apart() -> None:
    one, other = identify([keyless(remittance="Счет  № 45"), keyless(remittance="счет №\n45")])
    assert (one.key, other.occurrence) == (other.key, 1)


def test_a_trusted_id_can_never_equal_a_key_made_of_content() -> None:
    (hashed,) = identify([keyless()])
    impostor = read_record({**RECORD, "id": hashed.key}, USUAL)
    assert isinstance(impostor, Payment)
    assert impostor.key != hashed.key
    assert identify([impostor]) == [impostor]


@pytest.mark.parametrize("length", [1, 252, 253, 10_000])
def test_a_key_fits_its_column_and_long_ids_stay_different(length: int) -> None:
    reads = [read_record({**RECORD, "id": "x" * length + end}, USUAL) for end in ("", "y")]
    keys = [read.key for read in reads if isinstance(read, Payment)]
    assert len(set(keys)) == 2
    assert all(len(key) <= 255 for key in keys)


def test_ten_thousand_records_are_read_in_a_moment() -> None:
    began = time.perf_counter()
    for _ in range(10_000):
        read_record(RECORD, USUAL)
    assert time.perf_counter() - began < 3
