"""What a person does to smart invoices; what it does to legacy ones is in test_control.py."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_b24.sandbox import seed_funnels

PLACE = "smart-invoices"


def test_a_smart_invoice_is_added_and_overwritten(desk) -> None:
    new = {"number": "2026/77", "price": "10.00", "company_id": 21, "pay_before": "2026-12-01"}
    (row,) = desk.control("POST", PLACE, new)[1]
    assert (row["id"], row["stage_id"], row["price"], row["paid"]) == (1, "DT31_5:N", "10.00", False)
    assert (
        desk.result("crm.item.get", {"entityTypeId": 31, "id": 1})["item"]["closedate"] == "2026-12-01T03:00:00+03:00"
    )
    again = {"id": 1, "number": "2026/78", "price": "11.00", "category_id": 8, "custom": {seed_funnels.CONTRACT: "14"}}
    desk.control("POST", PLACE, again)
    row = desk.smart_books(1)
    assert (row["number"], row["stage_id"], row["custom"]) == ("2026/78", "DT31_8:NEW", {seed_funnels.CONTRACT: "14"})


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"price": "1.00"}, "number"),
        ({"number": "1"}, "price"),
        ({"number": "1", "price": 1.5}, "price"),
        ({"number": "S-501", "price": "1.00"}, "number"),
        ({"number": "", "price": "1.00"}, "number"),
        ({"number": None, "price": "1.00"}, "number"),
        ({"number": "1", "price": "1.00", "category_id": 6}, "category_id"),
        ({"number": "1", "price": "1.00", "stage_id": "DT31_8:NEW"}, "stage_id"),
        ({"number": "1", "price": "1.00", "pay_before": "soon"}, "pay_before"),
        ({"number": "1", "price": "1.00", "custom": {"ufCrm_9": "x"}}, "custom"),
        ({"number": "1", "price": "1.00", "custom": "x"}, "custom"),
        ({"number": "1", "price": "1.00", "colour": "red"}, "colour"),
    ],
)
def test_a_smart_invoice_that_cannot_be_read_is_refused_by_its_field(
    smart, document: dict[str, Any], field: str
) -> None:
    status, given = smart.control("POST", PLACE, document)
    assert (status, given["error"].split(":")[0]) == (400, field)
    assert sorted(smart.state.smart_invoices) == [2, 501, 601, 701]


@pytest.mark.parametrize(
    ("invoice_id", "do", "stage", "end"),
    [
        (501, "pay", "DT31_5:P", "paid"),
        (601, "pay", "DT31_8:UC_PAID01", "paid"),
        (701, "pay", "DT31_9:UC_DOCS01", ""),
        (601, "cancel", "DT31_8:UC_LOST01", "cancelled"),
        (501, "reverse", "DT31_5:N", ""),
        (501, "edit", "DT31_5:S", ""),
    ],
)
def test_a_person_pays_cancels_reverses_or_edits_in_the_invoices_own_funnel(
    smart, invoice_id: int, do: str, stage: str, end: str
) -> None:
    sent = {"do": do, "by": 2, "fields": {"price": "120.00"}}
    row = smart.control("POST", f"{PLACE}/{invoice_id}", sent)[1]
    assert (row["stage_id"], row["paid"], row["cancelled"]) == (stage, end == "paid", end == "cancelled")
    assert (row["price"], row["updated_by"], row["executed_pays"]) == ("120.00", 2, 0)


@pytest.mark.parametrize("do", ["pay", "cancel"])
def test_reverse_goes_back_to_the_last_stage_before_the_end(smart, do: str) -> None:
    smart.control("POST", f"{PLACE}/501", {"do": do})
    # Its neighbour's way is not its own.
    smart.control("POST", f"{PLACE}/2", {"fields": {"stage_id": "DT31_5:N"}})
    assert smart.control("POST", f"{PLACE}/501", {"do": "reverse"})[1]["stage_id"] == "DT31_5:S"


def test_an_edit_moves_to_a_stage_and_keeps_what_it_does_not_name(smart) -> None:
    smart.update(501, stageId="DT31_5:P", **{seed_funnels.CONTRACT: "14"})
    smart.now += timedelta(hours=1)
    row = smart.control("POST", f"{PLACE}/501", {"by": 2, "fields": {"comments": "ok"}})[1]
    assert (row["moved_by"], row["updated_by"], row["custom"]) == (9, 2, {seed_funnels.CONTRACT: "14"})
    row = smart.control("POST", f"{PLACE}/501", {"by": 2, "fields": {"stage_id": "DT31_5:N"}})[1]
    assert (row["stage_id"], row["moved_by"], row["executed_pays"]) == ("DT31_5:N", 2, 1)
    smart.state.smart_fields["ufCrm_2"] = "Act"
    row = smart.control("POST", f"{PLACE}/501", {"fields": {"custom": {"ufCrm_2": "7"}}})[1]
    assert row["custom"] == {seed_funnels.CONTRACT: "14", "ufCrm_2": "7"}


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"do": "burn"}, "do"),
        ({"by": "Olga"}, "by"),
        ({"price": "1.00"}, "price"),
        ({"do": "pay", "stage_id": "DT31_5:P"}, "stage_id"),
        ({"fields": 7}, "fields"),
        ({"fields": {"x": 1}}, "x"),
        ({"fields": {"id": 7}}, "id"),
        ({"fields": {"category_id": 8}}, "category_id"),
        ({"fields": {"number": "S-601"}}, "number"),
        ({"do": "pay", "fields": {"stage_id": "P"}}, "stage_id"),
    ],
)
def test_an_edit_that_cannot_be_read_changes_nothing(smart, document: dict[str, Any], field: str) -> None:
    before = smart.smart_books(501)
    status, given = smart.control("POST", f"{PLACE}/501", document)
    assert (status, given["error"].split(":")[0]) == (400, field)
    assert smart.smart_books(501) == before


def test_a_smart_invoice_that_is_not_there_is_a_404(smart) -> None:
    assert smart.control("POST", f"{PLACE}/999", {"do": "pay"}) == (404, {"error": "id: no smart invoice 999"})


def test_the_books_count_both_kinds_of_invoices_paid_twice(smart) -> None:
    for _ in range(2):
        smart.pay(2)
        smart.update(2, stageId="DT31_5:P")
    smart.update(501, stageId="DT31_5:P")
    assert smart.control("GET", "books")[1]["double_paid"] == 2
