"""Long lists from the sandbox, over HTTP: what the portal has, all of it, in order, whatever lies between the ids."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_b24.bitrix.errors import RefusedError
from airflow_b24.bitrix.legacy_invoices import invoice_listing
from airflow_b24.sandbox import seed

IDS = [*range(2, 260), *range(1000, 1400, 3), 90_000, *range(90_005, 90_200)]


@pytest.fixture(scope="module")
def numbers() -> list[str]:
    return [f"2026/{each}" for each in IDS]


def test_legacy_invoices_are_listed_as_they_are(office: Any, numbers: list[str]) -> None:
    for each in IDS:
        office.bill(each)
    office.state.journal.clear()
    assert [row.number for row in office.desk.client.iterate(invoice_listing())] == numbers
    assert {entry.method for entry in office.state.journal} == {"batch"}
    assert len(office.state.journal) <= 8


def test_smart_invoices_are_listed_as_they_are(office: Any, numbers: list[str]) -> None:
    office.state.settings.smart_invoices = True
    for each in IDS:
        seed.add_smart_invoice(office.state, seed.SmartBill(each, f"2026/{each}", "118.00", 21, 9, 5), office.today)
    listing = office.desk.invoices.smart.open_listing()
    office.state.journal.clear()
    assert [row.number for row in office.desk.client.iterate(listing)] == numbers
    assert {entry.method for entry in office.state.journal} == {"batch"}
    assert len(office.state.journal) <= 8


@pytest.mark.parametrize("times", [1, 3])
def test_a_list_that_fails_for_a_while_goes_on(office: Any, times: int) -> None:
    for each in IDS:
        office.bill(each)
    # Both that open the list, and one of them again.
    office.fault("error", times=times, method="crm.invoice.list", code="INTERNAL_SERVER_ERROR", status=500)
    assert [row.id for row in office.desk.client.iterate(invoice_listing())] == IDS


def test_a_list_whose_method_is_out_of_time_is_an_error_that_says_until_when(office: Any) -> None:
    office.bill()
    office.fault("operation_time_limit", method="crm.invoice.list")
    with pytest.raises(RefusedError) as caught:
        list(office.desk.client.iterate(invoice_listing()))
    assert caught.value.retry_at is not None
