from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from airflow_b24.sandbox import seed
from airflow_b24.sandbox.invoice import FIELDS, Invoice


def many(desk, count: int = 121) -> None:
    desk.state.invoices = {n: Invoice(n, f"N{n}", Decimal(n)) for n in range(1, count + 1)}


def test_an_invoice_is_sent_as_strings_with_all_documented_fields(desk) -> None:
    row = desk.result("crm.invoice.get", {"id": 2})
    assert set(FIELDS) <= set(row)
    assert (row["ID"], row["PRICE"], row["PAYED"], row["DATE_PAYED"]) == ("2", "118.00", "N", "")


@pytest.mark.parametrize(
    ("method", "sent", "text"),
    [
        ("crm.invoice.get", {}, "Invalid identifier."),
        ("crm.invoice.get", {"id": 99}, "Not found."),
        ("crm.invoice.update", {"id": 2}, "Invalid parameters."),
        ("crm.invoice.update", {"fields": {}}, "Invalid identifier."),
        ("crm.invoice.list", {"select": ["NOTHING"]}, "Inadmissible fields for selection"),
    ],
)
def test_crm_refusals_have_an_empty_code(desk, method: str, sent: dict[str, Any], text: str) -> None:
    assert desk.call(method, sent) == (400, {"error": "", "error_description": text})


def test_a_reader_may_not_update(desk) -> None:
    path = seed.webhook_path(seed.READER, seed.READER_SECRET)
    given = desk.call("crm.invoice.update", {"id": 2, "fields": {"STATUS_ID": "P"}}, path=path)
    assert given == (400, {"error": "", "error_description": "Access denied."})
    assert desk.result("crm.invoice.get", {"id": 2}, path=path)["ID"] == "2"


@pytest.mark.parametrize(
    ("condition", "ids"),
    [
        ({"PAYED": "N", "STATUS_ID": "S"}, ["4", "3", "2"]),
        ({"CURRENCY_ID": "EUR"}, ["5", "4", "3", "2"]),
        ({"CURRENCY": "EUR"}, []),
        ({"~PRICE": "1"}, ["5", "4", "3", "2"]),
        ({">=DATE_BILL": "no date"}, ["5", "4", "3", "2"]),
        ({"@ID": [2, 5]}, ["5", "2"]),
        ({"ID": ["2", "3"]}, ["3", "2"]),
        ({"!STATUS_ID": "D", ">ID": 2}, ["4", "3"]),
        ({"><ID": [3, 4]}, ["4", "3"]),
        ({"PRICE": "118"}, ["4", "3", "2"]),
        ({"<PRICE": 10}, ["5"]),
        ({"%ACCOUNT_NUMBER": "/3"}, ["3"]),
        ({"=%ACCOUNT_NUMBER": "2026/%"}, ["5", "4", "3", "2"]),
        ({"account_number": "2026/4"}, ["4"]),
    ],
)
def test_conditions_that_cannot_be_read_are_silently_dropped_and_the_others_hold(
    desk, condition: dict[str, Any], ids: list[str]
) -> None:
    rows = desk.result("crm.invoice.list", {"filter": condition, "select": ["ID"]})
    assert [row["ID"] for row in rows] == ids


def test_a_date_filter_compares_moments_in_the_portals_zone(desk) -> None:
    desk.pay(2)
    desk.now += timedelta(hours=2)
    desk.pay(3)
    since = {"filter": {">DATE_PAYED": "2026-11-22T13:00:00+03:00"}, "select": ["ID"]}
    assert desk.result("crm.invoice.list", since) == [{"ID": "3"}]


@pytest.mark.parametrize(
    ("start", "first", "rows", "following"),
    [(0, "121", 50, 50), (50, "71", 50, 100), (99, "71", 50, 100), (100, "21", 21, None), (150, "121", 50, 50)],
)
def test_pages_are_of_fifty_and_a_start_out_of_range_answers_page_one(
    desk, start: int, first: str, rows: int, following: int | None
) -> None:
    many(desk)
    _, document = desk.call("crm.invoice.list", {"start": start})
    assert (document["result"][0]["ID"], len(document["result"])) == (first, rows)
    assert (document["total"], document.get("next")) == (121, following)


def test_start_minus_one_answers_one_page_whose_total_is_its_length(desk) -> None:
    many(desk)
    sent = {"filter": {">ID": 100}, "order": {"ID": "ASC"}, "select": ["ID"], "start": -1}
    _, document = desk.call("crm.invoice.list", sent)
    assert [row["ID"] for row in document["result"]] == [str(n) for n in range(101, 122)]
    assert (document["total"], "next" in document) == (21, False)


def test_parameters_in_mixed_case_are_not_seen(desk) -> None:
    assert len(desk.result("crm.invoice.list", {"Filter": {"ID": 2}})) == 4
    assert len(desk.result("crm.invoice.list", {"FILTER": {"ID": 2}})) == 1


def test_status_p_marks_an_invoice_paid_without_a_pay_system(desk) -> None:
    fields = {"STATUS_ID": "P", "PAY_VOUCHER_NUM": "4711", "PAY_VOUCHER_DATE": "2026-11-20", "REASON_MARKED": "выписка"}
    assert desk.result("crm.invoice.update", {"id": 2, "fields": fields}) == 2
    row = desk.result("crm.invoice.get", {"id": 2})
    assert (row["PAYED"], row["PAY_VOUCHER_NUM"]) == ("Y", "4711")
    assert row["PAY_VOUCHER_DATE"] == "2026-11-20T00:00:00+03:00"
    assert (desk.books(2)["pay_system_id"], desk.books(2)["executed_pays"]) == (1, 0)


def test_status_d_takes_the_payment_back_and_cancels(desk) -> None:
    desk.pay(2)
    desk.result("crm.invoice.update", {"id": 2, "fields": {"STATUS_ID": "D"}})
    row = desk.books(2)
    assert (row["paid"], row["cancelled"], row["date_payed"], row["emp_payed_id"]) == (False, True, "", None)
    assert desk.pay(2)[0] == 400


def test_any_update_of_a_paid_invoice_resets_when_and_by_whom_it_was_paid(desk, admin_path: str) -> None:
    desk.pay(2)
    desk.now += timedelta(hours=1)
    desk.result("crm.invoice.update", {"id": 2, "fields": {"COMMENTS": "смотрела"}}, path=admin_path)
    row = desk.books(2)
    assert (row["paid"], row["date_payed"], row["emp_payed_id"]) == (True, "2026-11-22T13:00:00+03:00", 1)
    assert (row["pay_system_id"], row["executed_pays"]) == (31, 1)


@pytest.mark.parametrize(
    "fields", [{"ACCOUNT_NUMBER": ""}, {"ACCOUNT_NUMBER": "2026/3"}, {"STATUS_ID": "P", "PAY_VOUCHER_NUM": "1" * 21}]
)
def test_an_update_that_cannot_be_saved_answers_error_core_and_changes_nothing(desk, fields: dict[str, str]) -> None:
    before = desk.books(2)
    status, document = desk.call("crm.invoice.update", {"id": 2, "fields": fields})
    assert (status, document["error"]) == (400, "ERROR_CORE")
    assert document["error_description"].endswith("<br />\n")
    assert desk.books(2) == before


def test_a_new_invoice_is_numbered_and_priced_by_its_rows(desk) -> None:
    rows = [{"PRODUCT_NAME": "A", "QUANTITY": 2, "PRICE": "50.25"}, {"PRODUCT_NAME": "B", "QUANTITY": 1, "PRICE": 118}]
    fields = {"ORDER_TOPIC": "Счёт", "UF_COMPANY_ID": 21, "PRODUCT_ROWS": rows, "INVOICE_PROPERTIES": {"INN": "77"}}
    new = desk.result("crm.invoice.add", {"fields": fields})
    row = desk.result("crm.invoice.get", {"id": new})
    assert (row["ACCOUNT_NUMBER"], row["PRICE"], row["PAYED"]) == ("6", "218.50", "N")
    assert row["INVOICE_PROPERTIES"] == {"INN": "77"}


@pytest.mark.parametrize("method", ["crm.invoice.status.list", "crm.status.list"])
def test_the_statuses_come_in_their_sort_with_their_meaning(desk, method: str) -> None:
    rows = desk.result(method, {"filter": {"ENTITY_ID": "INVOICE_STATUS"}})
    assert [(row["STATUS_ID"], row["SORT"]) for row in rows] == [("N", "100"), ("S", "110"), ("P", "130"), ("D", "140")]


def test_the_entity_types_tell_that_legacy_invoices_are_switched_on(desk) -> None:
    assert "INVOICE_STATUS" in [entry["ID"] for entry in desk.result("crm.status.entity.types")]
