from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.event import listen
from sqlalchemy.exc import IntegrityError

from airflow_b24.ledger import allocations, cursors, payments, records, settlements
from airflow_b24.ledger.checking import check
from airflow_b24.ledger.cursors import Cursor
from airflow_b24.ledger.payments import NewPayment
from airflow_b24.ledger.records import Record
from airflow_b24.ledger.schema import metadata, payment, raw
from airflow_b24.ledger.store import Store

Make = Callable[..., NewPayment]
DAY = Cursor(date(2026, 11, 22), date(2026, 11, 1))
EARLIER = Cursor(date(2026, 11, 10), date(2026, 11, 1))
NOTHING = {"received": 0, "new": 0, "repeated": 0, "ignored": 0, "quarantined": 0, "amended": 0}
DEBIT = Record('{"debit": 1}', "ignored", rule="not_a_credit")
BROKEN = Record('{"amount": "?"}', "quarantined", rule="amount", detail="amount: not a plain decimal number")


def rows(store: Store, name: str) -> list[dict[str, Any]]:
    table = metadata.tables[f"b24_{name}"]
    with store.snapshot() as connection:
        return [dict(row) for row in connection.execute(select(table).order_by(table.c.id)).mappings()]


def cursor(store: Store, source: str = "bank") -> Cursor | None:
    with store.snapshot() as connection:
        return cursors.find(connection, source)


def aside(store: Store) -> list[str]:
    with store.snapshot() as connection:
        return [row["body"] for row in records.set_aside(connection)]


def paid(new: NewPayment, body: str = "") -> Record:
    return Record(body or repr(new), "payment", payment=new, account=new.account, key=new.key)


def unpaid(rule: str = "not_a_credit", body: str = "{back}", **changed: Any) -> Record:
    """A record about payment B1 which is none itself."""
    verdict: Any = "quarantined" if rule == "amount" else "ignored"
    return Record(body, verdict, **{"rule": rule, "account": "40702", "key": "id:B1", **changed})


def test_each_record_is_kept_whole_with_what_became_of_it(store: Store, payment: Make) -> None:
    counts = records.ingest(store, "bank", [paid(payment(), "{1}"), DEBIT, BROKEN], DAY)
    assert counts == {**NOTHING, "received": 3, "new": 1, "ignored": 1, "quarantined": 1}
    kept = {row["body"]: (row["verdict"], row["rule"], row["payment_id"], row["key"]) for row in rows(store, "raw")}
    assert kept == {
        "{1}": ("payment", "", 1, "id:B1"),
        '{"debit": 1}': ("ignored", "not_a_credit", None, ""),
        '{"amount": "?"}': ("quarantined", "amount", None, ""),
    }


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
        {"booked_on": date(2026, 11, 22)},
        {"remittance": "another"},
        {"payer_tax_id": "8"},
        {"payer_account": "8"},
        {"payer_tax_id": ""},
    ],
    ids=str,
)
def test_any_changed_fact_that_proves_is_an_amendment(store: Store, payment: Make, changed: dict[str, Any]) -> None:
    known = {"payer_tax_id": "7", "payer_account": "7"}
    with store.transaction() as connection:
        first = payments.record(connection, payment(**known))
        assert payments.record(connection, payment(**known)) == (first[0], "repeated")
        assert payments.record(connection, payment(**{**known, **changed})) == (first[0], "amended")


@pytest.mark.parametrize("changed", [{"document_number": "18"}, {"payer_name": "another"}], ids=str)
def test_what_proves_nothing_may_be_written_in_another_way(
    store: Store, payment: Make, changed: dict[str, Any]
) -> None:
    known = {"document_number": "17", "payer_name": "first"}
    with store.transaction() as connection:
        first = payments.record(connection, payment(**known))
        assert payments.record(connection, payment(**{**known, **changed})) == (first[0], "repeated")
    [kept] = rows(store, "payment")
    assert (kept["document_number"], kept["payer_name"], kept["held"]) == ("17", "first", False)


MORE = {"payer_tax_id": "7", "payer_account": "8", "payer_name": "N"}


def test_an_empty_field_is_filled_in_while_nothing_rests_on_the_payment(store: Store, payment: Make) -> None:
    records.ingest(store, "bank", [paid(payment(), "{1}")], DAY)
    assert records.ingest(store, "bank", [paid(payment(**MORE), "{1, more}")], DAY)["repeated"] == 1
    [kept] = rows(store, "payment")
    assert ({name: kept[name] for name in MORE}, kept["held"]) == (MORE, False)


@pytest.mark.parametrize(
    ("changed", "held"), [(MORE, True), ({"payer_name": "N"}, False)], ids=["proves", "proves nothing"]
)
def test_nothing_is_filled_in_once_something_rests_on_the_payment(
    store: Store, payment: Make, ready: Callable[..., int], changed: dict[str, str], held: bool
) -> None:
    ready(store)
    counts = records.ingest(store, "bank", [paid(payment("id:B2", **changed))], DAY)
    assert (counts["amended"], counts["repeated"]) == (held, not held)
    [kept] = rows(store, "payment")
    assert ({name: kept[name] for name in MORE}, kept["held"]) == (dict.fromkeys(MORE, ""), held)


TAKING_BACK = {
    "ignored": {"rule": "not_a_credit"},
    "pending again": {"rule": "not_booked"},
    "quarantined": {"rule": "amount", "detail": "amount: not a plain decimal number"},
    "before the start": {"rule": "before_start"},
}


@pytest.mark.parametrize("record", TAKING_BACK.values(), ids=TAKING_BACK)
def test_a_record_that_is_no_payment_any_more_holds_the_one_we_know(
    store: Store, payment: Make, record: dict[str, str]
) -> None:
    records.ingest(store, "bank", [paid(payment())], DAY)
    counts = records.ingest(store, "another", [unpaid(**record)], DAY)
    assert counts == {**NOTHING, "received": 1, "amended": 1}
    assert [row["held"] for row in rows(store, "payment")] == [True]
    last = rows(store, "raw")[-1]
    assert (last["verdict"], last["rule"], last["payment_id"]) == ("quarantined", "amended", 1)
    assert aside(store) == []
    assert records.ingest(store, "another", [unpaid(**record)], DAY)["repeated"] == 1


@pytest.mark.parametrize("other", [{"account": "40703"}, {"key": "id:B2"}, {"account": ""}, {"key": ""}], ids=str)
def test_a_record_of_another_account_or_key_holds_nothing(store: Store, payment: Make, other: dict[str, str]) -> None:
    records.ingest(store, "bank", [paid(payment())], DAY)
    assert records.ingest(store, "bank", [unpaid(**other)], DAY)["ignored"] == 1
    assert [row["held"] for row in rows(store, "payment")] == [False]


def test_a_payment_taken_back_holds_its_settlement_in_the_same_transaction(
    store: Store, payment: Make, ready: Callable[..., int]
) -> None:
    settlement_id = ready(store)
    back = unpaid(key="id:B2")
    with pytest.raises(IntegrityError):
        records.ingest(store, "bank", [back, paid(payment("id:B3", amount=0))], DAY)
    assert settlements.look(store, settlement_id).hold is None
    records.ingest(store, "bank", [back], DAY)
    assert settlements.look(store, settlement_id).hold == "amended"


@pytest.mark.parametrize("body", ["{a}", "{b}", "{c}", "{d}"])
def test_a_payment_taken_back_in_the_same_delivery_is_held_in_whatever_order_both_come(
    store: Store, payment: Make, body: str
) -> None:
    counts = records.ingest(store, "bank", [unpaid(body=body), paid(payment(), "{booked}")], DAY)
    assert (counts["new"], counts["amended"]) == (1, 1)
    assert [row["held"] for row in rows(store, "payment")] == [True]


def test_what_was_said_of_a_payment_before_it_was_booked_belongs_to_it_then(store: Store, payment: Make) -> None:
    pending = unpaid("not_booked", "{pending}")
    records.ingest(store, "bank", [pending, unpaid("not_booked", "{other}", key="id:B2")], DAY)
    assert sorted(aside(store)) == ["{other}", "{pending}"]
    assert records.ingest(store, "bank", [paid(payment())], DAY)["new"] == 1
    assert aside(store) == ["{other}"]
    assert [row["payment_id"] for row in rows(store, "raw") if row["key"] == "id:B1"] == [1, 1]
    # Some banks go on delivering both for as long as the overlap lasts.
    assert records.ingest(store, "bank", [pending, paid(payment())], DAY)["repeated"] == 2
    assert [row["held"] for row in rows(store, "payment")] == [False]


def test_a_payment_unbooked_in_the_words_of_before_it_was_booked_is_held(store: Store, payment: Make) -> None:
    pending = unpaid("not_booked", "{pending}")
    for delivery in ([pending], [paid(payment())]):
        records.ingest(store, "bank", delivery, DAY)
    assert records.ingest(store, "bank", [pending], DAY)["amended"] == 1
    assert [row["held"] for row in rows(store, "payment")] == [True]


def test_of_several_records_about_the_same_payment_the_newest_speaks(store: Store) -> None:
    for body in ("{pending}", "{still pending}", "{declined}"):
        records.ingest(store, "bank", [unpaid("not_booked", body)], DAY)
    records.ingest(store, "bank", [unpaid("not_booked", "{another's}", account="40703"), DEBIT, BROKEN], DAY)
    assert sorted(aside(store)) == sorted(["{declined}", "{another's}", DEBIT.body, BROKEN.body])


def test_a_mapping_mended_since_says_what_is_set_aside_and_why(store: Store) -> None:
    records.ingest(store, "bank", [BROKEN], DAY)
    mended = Record(BROKEN.body, "ignored", rule="not_a_credit", account="40702", key="id:B9")
    assert records.ingest(store, "bank", [mended], DAY) == {**NOTHING, "received": 1, "repeated": 1}
    [kept] = rows(store, "raw")
    assert (kept["verdict"], kept["rule"], kept["detail"], kept["key"]) == ("ignored", "not_a_credit", "", "id:B9")


def test_a_mapping_mended_since_may_show_that_a_payment_was_taken_back(store: Store, payment: Make) -> None:
    records.ingest(store, "bank", [paid(payment()), BROKEN], DAY)
    assert records.ingest(store, "bank", [unpaid(body=BROKEN.body)], DAY)["amended"] == 1
    assert ([row["held"] for row in rows(store, "payment")], aside(store)) == ([True], [])


def test_a_mapping_mended_since_reads_the_same_record_anew(store: Store, payment: Make) -> None:
    records.ingest(store, "bank", [paid(payment(remittance="wrong field"), "{1}")], DAY)
    assert records.ingest(store, "bank", [paid(payment(amount=11900), "{1}")], DAY)["repeated"] == 1
    [kept] = rows(store, "payment")
    assert (kept["remittance"], kept["amount"], kept["held"]) == ("invoice 2026/2", 11900, False)


def test_a_mapping_mended_since_moves_nothing_that_is_allocated(
    store: Store, payment: Make, promise: Callable[..., Any]
) -> None:
    records.ingest(store, "bank", [paid(payment(), "{1}")], DAY)
    allocations.allocate(store, promise(store, 1))
    records.ingest(store, "bank", [paid(payment(remittance="another field"), "{1}")], DAY)
    assert [row["remittance"] for row in rows(store, "payment")] == ["invoice 2026/2"]


def read_as(store: Store) -> list[tuple[int | None, str | None]]:
    """What each record that is a payment was read as."""
    return [(row["amount"], row["currency"]) for row in rows(store, "raw") if row["verdict"] == "payment"]


def test_what_a_record_was_read_as_is_kept_beside_it(store: Store, payment: Make) -> None:
    records.ingest(store, "bank", [paid(payment()), paid(payment("id:B2", amount=5, currency="EUR")), DEBIT], DAY)
    assert read_as(store) == [(11800, "RUB"), (5, "EUR")]


def test_a_mended_mapping_mends_what_every_record_of_the_payment_was_read_as(store: Store, payment: Make) -> None:
    records.ingest(store, "bank", [paid(payment(), "{1}"), paid(payment(), "{2}"), paid(payment("id:B2"), "{3}")], DAY)
    mended = payment(amount=11900, currency="EUR")
    records.ingest(store, "bank", [paid(mended, "{1}")], DAY)
    assert read_as(store) == [(11900, "EUR"), (11900, "EUR"), (11800, "RUB")]
    assert check(store).violations == []


def test_a_mended_mapping_mends_nothing_that_is_promised(
    store: Store, payment: Make, promise: Callable[..., Any]
) -> None:
    records.ingest(store, "bank", [paid(payment(), "{1}")], DAY)
    allocations.allocate(store, promise(store, 1))
    records.ingest(store, "bank", [paid(payment(amount=11900), "{1}")], DAY)
    assert read_as(store) == [(11800, "RUB")]
    assert check(store).violations == []


@pytest.mark.parametrize("early", [DEBIT, BROKEN], ids=["ignored", "quarantined"])
def test_a_record_that_reads_as_a_payment_now_came_in_now(store: Store, payment: Make, early: Record) -> None:
    records.ingest(store, "bank", [early], DAY)
    records.ingest(store, "bank", [paid(payment(), early.body)], DAY)
    assert read_as(store) == [(11800, "RUB")]
    assert check(store).violations == []


def test_an_amendment_brings_no_money_in(store: Store, payment: Make) -> None:
    records.ingest(store, "bank", [paid(payment())], DAY)
    records.ingest(store, "bank", [paid(payment(amount=1))], DAY)
    assert read_as(store) == [(11800, "RUB")]
    assert check(store).violations == []


def test_an_amendment_delivered_again_is_not_taken_over(store: Store, payment: Make) -> None:
    records.ingest(store, "bank", [paid(payment())], DAY)
    for _ in range(2):
        records.ingest(store, "bank", [paid(payment(amount=1))], DAY)
    assert [(row["amount"], row["held"]) for row in rows(store, "payment")] == [(11800, True)]
    assert [row["verdict"] for row in rows(store, "raw")] == ["payment", "quarantined"]


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


def test_the_cursor_moves_also_when_nothing_came_and_only_that_of_the_source(store: Store) -> None:
    records.ingest(store, "bank", [], DAY)
    assert (cursor(store), cursor(store, "another")) == (DAY, None)


def test_records_without_a_reading_move_no_cursor(store: Store) -> None:
    records.ingest(store, "bank", [DEBIT], None)
    assert (len(rows(store, "raw")), cursor(store)) == (1, None)


def test_a_failure_in_the_middle_leaves_rows_and_cursor_untouched(store: Store, payment: Make) -> None:
    records.ingest(store, "bank", [], EARLIER)
    with pytest.raises(IntegrityError):
        records.ingest(store, "bank", [paid(payment()), paid(payment("id:B2", amount=0))], DAY)
    assert (rows(store, "raw"), rows(store, "payment"), cursor(store)) == ([], [], EARLIER)


def test_a_long_reading_is_kept_piece_by_piece_and_the_cursor_with_the_last(
    store: Store, payment: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "CHUNK", 2)
    good = [paid(payment(f"id:B{number}")) for number in range(4)]
    with pytest.raises(IntegrityError):
        records.ingest(store, "bank", [*good, paid(payment("id:B9", amount=0))], DAY)
    assert (len(rows(store, "payment")), cursor(store)) == (4, None)
    counts = records.ingest(store, "bank", [*good, paid(payment("id:B9"))], DAY)
    assert counts == {**NOTHING, "received": 5, "new": 1, "repeated": 4}
    assert cursor(store) == DAY


def test_records_are_kept_in_one_order_whatever_order_they_come_in(store: Store, payment: Make) -> None:
    keys = ["id:B3", "id:B1", "id:B2"]
    delivered = [paid(payment(key, account=account)) for account in ("2", "1") for key in keys]
    records.ingest(store, "bank", delivered, DAY)
    kept = [(row["account"], row["key"]) for row in rows(store, "raw")]
    assert kept == sorted(kept)
    assert [(row["account"], row["key"]) for row in rows(store, "payment")] == kept


def test_a_source_that_breaks_off_leaves_rows_and_cursor_untouched(store: Store, payment: Make) -> None:
    def broken() -> Any:
        yield paid(payment())
        raise OSError("the bank hung up")

    with pytest.raises(OSError, match="hung up"):
        records.ingest(store, "bank", broken(), DAY)
    assert (rows(store, "raw"), cursor(store)) == ([], None)


def test_workers_that_deliver_the_same_day_at_once_keep_it_once(store: Store, payment: Make) -> None:
    delivered = [paid(payment(f"id:B{number}")) for number in range(5)]
    orders = [delivered, delivered[::-1]] * 2
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda order: records.ingest(store, "bank", order, DAY), orders))
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


def test_what_is_delivered_again_takes_as_many_statements_however_much_it_is(store: Store, payment: Make) -> None:
    delivered = [paid(payment(f"id:B{number}")) for number in range(40)]
    records.ingest(store, "bank", delivered, DAY)
    asked: list[str] = []
    listen(store.engine, "before_cursor_execute", lambda _, __, statement, *___: asked.append(statement))
    counts = []
    for few in (2, 40):
        asked.clear()
        assert records.ingest(store, "bank", delivered[:few], DAY)["repeated"] == few
        counts.append(len(asked))
    assert counts[0] == counts[1]
    assert [row["deliveries"] for row in rows(store, "raw")][:3] == [3, 3, 2]


def test_of_what_is_delivered_again_a_change_is_seen_among_what_has_not_changed(store: Store, payment: Make) -> None:
    delivered = [paid(payment(f"id:B{number}")) for number in range(5)]
    records.ingest(store, "bank", delivered, DAY)
    mended = replace(delivered[1], payment=replace(delivered[1].payment, payer_tax_id="7711000219"))
    amended = paid(payment("id:B3", amount=99900))
    counts = records.ingest(store, "bank", [delivered[0], mended, delivered[2], amended, delivered[4]], DAY)
    assert counts == {**NOTHING, "received": 5, "repeated": 4, "amended": 1}
    assert [(row["payer_tax_id"], row["held"]) for row in rows(store, "payment")] == [
        ("", False),
        ("7711000219", False),
        ("", False),
        ("", True),
        ("", False),
    ]
