from __future__ import annotations

from typing import Any

import pytest

from airflow_b24.bitrix.errors import AuthError
from airflow_b24.ledger import settlements
from airflow_b24.ledger.facts import Row
from airflow_b24.ledger.states import State
from airflow_b24.reconcile.desk import PaySystem
from airflow_b24.reconcile.idle_pay_systems import IN_A_ROW
from airflow_b24.reconcile.releasing import release, retry
from airflow_b24.reconcile.settling import settle_matched, settle_plain
from airflow_b24.sandbox import seed

PAY, PROBE = "sale.paysystem.pay.invoice", "sale.paysystem.settings.invoice.get"


def settle(office: Any, invoice_id: int = 2) -> Row:
    return settle_matched(office.desk, office.due()[invoice_id], invoice_id, office.pay_system).row


def answered_true_and_paid_nothing(office: Any, *invoice_ids: int) -> None:
    for invoice_id in invoice_ids:
        office.ready(invoice_id)
        office.fault("unpaid", match={"INVOICE_ID": str(invoice_id)})
        assert settle(office, invoice_id).reason == "true_but_unpaid"


def test_a_pay_system_is_asked_about_until_its_first_payment(office: Any) -> None:
    for invoice_id in (2, 3):
        office.ready(invoice_id)
        assert settle(office, invoice_id).state is State.PAID
    assert office.asked(PROBE) == 1


@pytest.mark.parametrize("system", [seed.BILL_SYSTEM, seed.GATEWAY_SYSTEM], ids=["bill", "gateway"])
def test_a_pay_system_of_the_wrong_kind_is_found_out_before_anything_is_sent(office: Any, system: int) -> None:
    settlement_id = office.ready()
    office.pay_system = PaySystem(system)
    with pytest.raises(ValueError, match=f"pay_system_id or bx_rest_handler: {system} is not built on a REST handler"):
        settle(office)
    row = settlements.look(office.store, settlement_id)
    assert (row.state, row.fence, office.asked(PAY)) == (State.READY, 0, 0)
    office.pay_system = PaySystem(seed.REST_SYSTEM)
    assert settle(office).state is State.PAID


def test_a_plain_pay_is_kept_from_it_too_also_when_it_is_asked_for_again(office: Any) -> None:
    office.bill()
    office.person(2, "D")
    assert settle_plain(office.desk, 2, office.pay_system).row.reason == "cancelled"
    office.person(2, "S")
    with pytest.raises(ValueError, match=f"{seed.BILL_SYSTEM} is not built on a REST handler"):
        settle_plain(office.desk, 2, PaySystem(seed.BILL_SYSTEM))
    assert office.asked(PAY) == 0


def test_a_refusal_that_speaks_of_the_arguments_is_left_to_the_call_itself(office: Any) -> None:
    office.ready()
    office.fault("error", method=PROBE, code="ERROR_CHECK_FAILURE")
    assert settle(office).state is State.PAID


def test_a_probe_that_lacks_a_scope_says_so_and_sends_nothing(office: Any) -> None:
    settlement_id = office.ready()
    office.fault("error", method=PROBE, code="insufficient_scope", status=403)
    with pytest.raises(AuthError, match="insufficient_scope"):
        settle(office)
    assert (settlements.look(office.store, settlement_id).fence, office.asked(PAY)) == (0, 0)


def test_one_that_has_only_answered_true_and_paid_nothing_is_stopped_after_so_many_in_a_row(office: Any) -> None:
    answered_true_and_paid_nothing(office, *range(2, 2 + IN_A_ROW))
    settlement_id = office.ready(9)
    with pytest.raises(ValueError, match=f"sent through {seed.REST_SYSTEM} stayed unpaid; .*airflow-b24 setup"):
        settle(office, 9)
    assert (settlements.look(office.store, settlement_id).fence, office.asked(PAY)) == (0, IN_A_ROW)


def test_one_invoice_that_stays_unpaid_does_not_stop_the_others(office: Any) -> None:
    answered_true_and_paid_nothing(office, 2)
    office.ready(3)
    assert settle(office, 3).state is State.PAID


def test_what_is_unknown_is_read_back_whatever_the_pay_system_did_since(office: Any) -> None:
    office.ready(20)
    office.fault("lost_before", match={"INVOICE_ID": "20"})
    assert settle(office, 20).state is State.UNKNOWN
    answered_true_and_paid_nothing(office, *range(2, 2 + IN_A_ROW))
    office.person(20, "P")
    office.let_the_quiet_time_pass()
    assert settle(office, 20).state is State.PAID


def test_one_that_has_paid_before_is_trusted_until_it_fails_so_often_in_a_row(office: Any) -> None:
    office.ready(2)
    settle(office, 2)
    answered_true_and_paid_nothing(office, *range(3, 3 + IN_A_ROW))
    office.ready(9)
    with pytest.raises(ValueError, match="stayed unpaid"):
        settle(office, 9)
    assert office.asked(PAY) == 1 + IN_A_ROW


def test_another_pay_system_has_a_record_of_its_own(office: Any) -> None:
    answered_true_and_paid_nothing(office, *range(20, 20 + IN_A_ROW))
    office.ready(3)
    office.pay_system = PaySystem(bx_rest_handler=seed.HANDLER)
    assert settle(office, 3).state is State.PAID


@pytest.mark.parametrize("decide", [retry, release])
def test_what_a_person_has_decided_does_not_count_against_it(office: Any, decide: Any) -> None:
    answered_true_and_paid_nothing(office, *range(2, 2 + IN_A_ROW))
    office.let_the_quiet_time_pass()
    decide(office.desk, 1)
    office.ready(9)
    assert settle(office, 9).state is State.PAID


def test_what_has_ended_is_reported_whatever_the_pay_system_is(office: Any) -> None:
    settlement_id = office.ready()
    settle(office)
    again = settle_matched(office.desk, settlement_id, 2, PaySystem(seed.BILL_SYSTEM))
    assert (again.row.state, office.asked(PROBE)) == (State.PAID, 1)
