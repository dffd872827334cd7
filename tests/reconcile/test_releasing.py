from __future__ import annotations

from typing import Any

import pytest

from airflow_b24.bitrix.errors import RequestError
from airflow_b24.ledger import settlements
from airflow_b24.ledger.decide import State
from airflow_b24.reconcile import reporting
from airflow_b24.reconcile.releasing import release
from airflow_b24.reconcile.settling import settle_matched

GET = "crm.invoice.get"


def settle(office: Any, settlement_id: int) -> Any:
    return settle_matched(office.desk, settlement_id, 2, office.pay_system).row


def in_flight(office: Any) -> int:
    """A settlement in review whose call may have run."""
    settlement_id: int = office.ready()
    office.fault("unpaid")
    assert settle(office, settlement_id).in_flight
    return settlement_id


def state(office: Any, settlement_id: int) -> State:
    return settlements.look(office.store, settlement_id).state


def test_what_never_left_is_released_without_asking_and_its_money_is_matched_afresh(office: Any) -> None:
    settlement_id = office.ready()
    office.person(2, "D")
    settle(office, settlement_id)
    office.state.journal.clear()
    assert release(office.desk, settlement_id).state is State.RELEASED
    assert not office.state.journal
    office.person(2, "S")
    assert office.match()["ready"] == 1
    assert settle(office, office.due()[2]).state is State.PAID
    [line] = reporting.lines(office.store)
    assert (line.status, line.settlement_id) == ("paid", settlement_id + 1)


def test_a_released_settlement_says_nothing_of_its_payment_any_more(office: Any) -> None:
    settlement_id = office.ready()
    office.person(2, "D")
    settle(office, settlement_id)
    release(office.desk, settlement_id)
    [line] = reporting.lines(office.store)
    assert (line.status, line.reason, line.settlement_id) == ("waiting", "number_and_tax_id", None)


def test_only_what_is_in_review_can_be_released(office: Any) -> None:
    settlement_id = office.ready()
    with pytest.raises(ValueError, match=f"SETTLEMENT_ID: {settlement_id} is ready; only one in review"):
        release(office.desk, settlement_id)
    settle(office, settlement_id)
    with pytest.raises(ValueError, match=f"SETTLEMENT_ID: {settlement_id} is paid"):
        release(office.desk, settlement_id)
    assert office.match()["payments"] == 0


def test_releasing_twice_frees_once(office: Any) -> None:
    settlement_id = office.ready()
    office.person(2, "D")
    settle(office, settlement_id)
    release(office.desk, settlement_id)
    with pytest.raises(ValueError, match=f"SETTLEMENT_ID: {settlement_id} is released"):
        release(office.desk, settlement_id)
    assert office.match()["payments"] == 1


def test_a_settlement_of_another_portal_is_not_released_here(office: Any) -> None:
    settlement_id = office.ready()
    office.person(2, "D")
    settle(office, settlement_id)
    other = office.with_desk(portal_id=office.meet("other.example"))
    with pytest.raises(ValueError, match="is of another portal"):
        release(other.desk, settlement_id)
    assert state(office, settlement_id) is State.REVIEW


def test_while_a_call_may_still_land_nothing_is_released(office: Any) -> None:
    settlement_id = in_flight(office)
    with pytest.raises(ValueError, match=r"may still land; try again after \d\d:\d\d:\d\d UTC"):
        release(office.desk, settlement_id)
    assert state(office, settlement_id) is State.REVIEW


def test_after_the_quiet_time_an_unpaid_invoice_is_released(office: Any) -> None:
    settlement_id = in_flight(office)
    office.let_the_quiet_time_pass()
    assert release(office.desk, settlement_id).state is State.RELEASED


def test_after_the_quiet_time_a_deleted_invoice_is_released(office: Any) -> None:
    settlement_id = in_flight(office)
    office.let_the_quiet_time_pass()
    office.delete(2)
    assert release(office.desk, settlement_id).state is State.RELEASED


def test_an_invoice_that_was_paid_meanwhile_is_not_released(office: Any) -> None:
    settlement_id = in_flight(office)
    office.let_the_quiet_time_pass()
    office.person(2, "P")
    with pytest.raises(ValueError, match="invoice 2026/2 is paid, perhaps by our own call"):
        release(office.desk, settlement_id)
    assert state(office, settlement_id) is State.REVIEW


def test_an_invoice_that_cannot_be_read_is_not_released(office: Any) -> None:
    settlement_id = in_flight(office)
    office.let_the_quiet_time_pass()
    office.fault("error", method=GET, code="", description="Access denied.")
    with pytest.raises(RequestError, match="Access denied"):
        release(office.desk, settlement_id)
    assert state(office, settlement_id) is State.REVIEW
