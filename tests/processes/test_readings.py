"""Two readings of the bank, or a reading and a match, that meet on PostgreSQL with the same rows in another order."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_b24.ledger import records
from airflow_b24.ledger.errors import LedgerError
from airflow_b24.ledger.records import Record
from airflow_b24.ledger.store import Store
from tests.processes.promises import AMOUNT, payment, promise
from tests.processes.sessions import Ledger

PAYMENT = "UPDATE b24_payment"


def deliver(source: str, *keys: str, amount: int = AMOUNT) -> Callable[[Store], dict[str, int]]:
    whole = [(key, payment(key, amount=amount)) for key in keys]
    found = [Record(f"{key}, {amount}", "payment", new, account=new.account, key=new.key) for key, new in whole]
    return lambda store: records.ingest(store, source, found, None)


@pytest.mark.parametrize("source", ["bank", "another source"])
def test_two_readings_of_the_same_payments_in_crossing_order_make_each_once(ledger: Ledger, source: str) -> None:
    one = ledger.first.start(deliver("bank", "B1", "B2"), stop_after="INSERT INTO b24_payment")
    ledger.first.wait_until_stopped()
    other = ledger.second.start(deliver(source, "B2", "B1"))
    ledger.second.wait_until_blocked()
    ledger.first.go_on()
    assert (one.result()["new"], other.result()["repeated"]) == (2, 2)
    assert ledger.rows("SELECT count(*) FROM b24_payment") == [(2,)]


def test_a_reading_and_a_match_that_do_wait_in_a_circle_are_parted_and_nothing_is_half_done(ledger: Ledger) -> None:
    payment_id = ledger.receive("B0")
    assert promise(ledger.store, ledger.portal, ledger.receive("B1"), 2, of=2 * AMOUNT)

    def match(store: Store) -> tuple[int, ...]:
        return promise(store, ledger.portal, payment_id, 2, of=2 * AMOUNT)

    # The bank takes back both: it has the first and wants the settlement; the match has that and wants the first.
    amend = deliver("bank", "B0", "B1", amount=AMOUNT - 1)
    one = ledger.first.start(amend, stop_after=PAYMENT)
    ledger.first.wait_until_stopped()
    other = ledger.second.start(match)
    ledger.second.wait_until_blocked()
    ledger.first.go_on()
    failed = [each.exception() for each in (one, other) if each.exception() is not None]
    assert [type(error) for error in failed] == [LedgerError]
    again = amend(ledger.store) if one.exception() else match(ledger.store)
    assert again == () or again["amended"] == 2
    assert ledger.rows("SELECT hold FROM b24_settlement") == [("amended",)]
    assert ledger.rows("SELECT DISTINCT held FROM b24_payment") == [(True,)]
