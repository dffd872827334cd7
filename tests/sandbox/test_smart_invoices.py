from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_b24.sandbox import seed, seed_funnels
from airflow_b24.sandbox.state import Webhook

READER = seed.webhook_path(seed.READER, seed.READER_SECRET)
UPDATE = "crm.item.update"


def sent(invoice_id: int, **fields: Any) -> dict[str, Any]:
    return {"entityTypeId": 31, "id": invoice_id, "fields": fields}


def test_smart_and_legacy_invoices_have_ids_of_their_own(smart) -> None:
    smart.update(2, stageId="DT31_5:P")
    assert smart.result("crm.invoice.get", {"id": 2})["PAYED"] == "N"
    smart.pay(3)
    assert smart.refused("crm.item.get", {"entityTypeId": 31, "id": 3})[1] == "NOT_FOUND"
    assert (smart.smart_books(2)["paid"], smart.books(2)["paid"], smart.books(3)["paid"]) == (True, False, True)


@pytest.mark.parametrize(
    ("method", "arguments", "code", "text"),
    [
        ("crm.item.get", {"id": 999}, "NOT_FOUND", "Element not found"),
        ("crm.item.get", {}, "100", "Could not find value for parameter {id}"),
        (UPDATE, {"id": 999, "fields": {}}, "NOT_FOUND", "Element not found"),
        (UPDATE, {"id": 501}, "100", "Could not find value for parameter {fields}"),
        ("crm.item.add", {}, "100", "Could not find value for parameter {fields}"),
        (
            "crm.item.add",
            {"fields": {"categoryId": 77}},
            "CRM_FIELD_ERROR_VALUE_NOT_VALID",
            'Invalid value for field "categoryId"',
        ),
    ],
)
def test_what_is_missing_is_refused(smart, method: str, arguments: dict[str, Any], code: str, text: str) -> None:
    assert smart.refused(method, {"entityTypeId": 31, **arguments}) == (400, code, text)


@pytest.mark.parametrize("method", [UPDATE, "crm.item.add"])
def test_a_reader_may_read_and_not_write(smart, method: str) -> None:
    given = smart.refused(method, sent(501, stageId="DT31_5:P"), path=READER)
    assert given == (400, "ACCESS_DENIED", "Access denied")
    assert smart.result("crm.item.get", {"entityTypeId": 31, "id": 501}, path=READER)["item"]["stageId"] == "DT31_5:S"


@pytest.mark.parametrize("method", [UPDATE, "crm.item.add"])
def test_a_restricted_plan_refuses_writes_alone(smart, method: str) -> None:
    smart.control("POST", "settings", {"smart_plan_restricted": True})
    code, text = "UPDATE_DYNAMIC_ITEM_RESTRICTED", "You cannot change the item due to your plan restrictions"
    assert smart.refused(method, sent(501, stageId="DT31_5:P")) == (400, code, text)
    assert smart.result("crm.item.get", {"entityTypeId": 31, "id": 501})["item"]["stageId"] == "DT31_5:S"


@pytest.mark.parametrize(
    "fields",
    [
        {"stageId": "DT31_5:X"},
        {"stageId": "DT31_8:UC_PAID01"},
        {"stageId": "P"},
        {"closedate": "soon"},
        {"opportunity": "1e400"},
    ],
)
def test_a_value_that_is_not_valid_changes_nothing(smart, fields: dict[str, Any]) -> None:
    before, name = smart.smart_books(501), next(iter(fields))
    given = smart.refused(UPDATE, sent(501, comments="seen", **fields))
    assert given == (400, "CRM_FIELD_ERROR_VALUE_NOT_VALID", f'Invalid value for field "{name}"')
    assert smart.smart_books(501) == before


def test_a_number_that_another_smart_invoice_has_is_refused(smart) -> None:
    assert smart.call(UPDATE, sent(501, accountNumber="S-601"))[0] == 400
    assert smart.update(501, accountNumber="2026/3")["accountNumber"] == "2026/3"


def test_a_move_tells_who_when_and_from_where(smart) -> None:
    item = smart.update(501, stageId="DT31_5:P")
    shown = [item[name] for name in ("stageId", "previousStageId", "movedBy", "updatedBy", "movedTime")]
    assert shown == ["DT31_5:P", "DT31_5:S", 9, 9, "2026-11-22T12:00:00+03:00"]
    assert smart.history(501) == [(1, "DT31_5:N"), (2, "DT31_5:S"), (3, "DT31_5:P")]
    (pay,) = smart.smart_books(501)["pays"]
    assert pay == {"at": "2026-11-22T12:00:00+03:00", "by": 9, "method": UPDATE, "document_id": None}


def test_the_same_stage_again_moves_nothing_and_is_a_second_pay_in_the_books(smart) -> None:
    first = smart.update(501, stageId="DT31_5:P")
    smart.now += timedelta(hours=1)
    assert smart.update(501, stageId="DT31_5:P") == first
    assert len(smart.history(501)) == 3
    assert smart.smart_books(501)["executed_pays"] == 2
    assert smart.control("GET", "books")[1]["double_paid"] == 1


def test_a_change_of_something_else_moves_neither_stage_nor_its_time_and_is_no_pay(smart) -> None:
    before = smart.update(501, stageId="DT31_5:P")
    smart.now += timedelta(hours=1)
    after = smart.update(501, comments="seen", id=7, movedBy=1, nothing="x")
    assert {name for name in after if after[name] != before[name]} == {"comments", "updatedTime"}
    assert smart.smart_books(501)["executed_pays"] == 1
    smart.now += timedelta(hours=1)
    assert smart.update(501, comments="seen", opportunity=118)["updatedTime"] == after["updatedTime"]


def test_a_funnel_has_a_success_of_its_own(smart) -> None:
    assert smart.refused(UPDATE, sent(601, stageId="DT31_8:P"))[1] == "CRM_FIELD_ERROR_VALUE_NOT_VALID"
    smart.update(601, stageId="DT31_8:UC_PAID01")
    assert (smart.smart_books(601)["paid"], smart.smart_books(601)["executed_pays"]) == (True, 1)
    assert smart.history(601)[-1] == (3, "DT31_8:UC_PAID01")


def test_a_stage_is_entered_only_with_its_required_fields(smart) -> None:
    given = smart.refused(UPDATE, sent(701, stageId="DT31_9:P"))
    assert given == (400, "CRM_FIELD_ERROR_REQUIRED", 'Field "Договор" is required')
    assert smart.smart_books(701)["executed_pays"] == 0
    item = smart.update(701, stageId="DT31_9:P", **{seed_funnels.CONTRACT: "14"})
    assert item[seed_funnels.CONTRACT] == "14"


@pytest.mark.parametrize(("robot_by", "moved_by"), [(None, 9), (0, 0)])
def test_a_robot_moves_on_before_the_answer_and_it_was_one_pay(smart, robot_by: int | None, moved_by: int) -> None:
    (funnel,) = [each for each in smart.control("GET", "funnels")[1] if each["id"] == seed_funnels.AUTOMATED]
    next(stage for stage in funnel["stages"] if stage["robot"])["robot"]["by"] = robot_by
    assert smart.control("POST", "funnels", funnel)[0] == 200
    smart.state.smart_invoices[701].custom[seed_funnels.CONTRACT] = "14"
    item = smart.update(701, stageId="DT31_9:P")
    shown = (item["stageId"], item["previousStageId"], item["movedBy"])
    assert shown == ("DT31_9:UC_DOCS01", "DT31_9:P", moved_by)
    assert smart.history(701)[-2:] == [(3, "DT31_9:P"), (2, "DT31_9:UC_DOCS01")]
    assert (smart.smart_books(701)["paid"], smart.smart_books(701)["executed_pays"]) == (False, 1)


def test_robots_that_send_an_invoice_in_circles_end(smart) -> None:
    funnel = {
        "id": 5,
        "name": "Circle",
        "default": True,
        "stages": [
            {"id": "DT31_5:S", "name": "Sent"},
            {"id": "DT31_5:A", "name": "A", "robot": {"to": "DT31_5:B"}},
            {"id": "DT31_5:B", "name": "B", "robot": {"to": "DT31_5:A"}},
            {"id": "DT31_5:P", "name": "Paid", "semantics": "S"},
            {"id": "DT31_5:D", "name": "Lost", "semantics": "F"},
        ],
    }
    assert smart.control("POST", "funnels", funnel)[0] == 200
    assert smart.update(501, stageId="DT31_5:A")["stageId"] == "DT31_5:B"


def test_a_stage_may_be_closed_to_a_user_who_may_update(smart) -> None:
    technical = smart.state.users[seed.TECHNICAL]
    closed = type(technical)(77, "Без", "Права", closed_stages=frozenset({"DT31_5:P"}))
    smart.state.users[77] = closed
    smart.state.webhooks.append(Webhook(77, "closedstages000000001", frozenset({"crm"})))
    path = seed.webhook_path(77, "closedstages000000001")
    given = smart.refused(UPDATE, sent(501, stageId="DT31_5:P"), path=path)
    assert given == (400, "", "Insufficient permissions to change the stage")
    assert smart.result(UPDATE, sent(501, stageId="DT31_5:N"), path=path)["item"]["stageId"] == "DT31_5:N"
    smart.update(501, stageId="DT31_5:P")
    assert smart.result(UPDATE, sent(501, stageId="DT31_5:P", comments="x"), path=path)["item"]["comments"] == "x"


def test_a_new_item_is_numbered_and_begins_in_the_default_funnel(smart) -> None:
    fields = {"title": "Услуги", "opportunity": "999.9", "companyId": 21, "closedate": "2026-12-01", "observers": [1]}
    item = smart.result("crm.item.add", {"entityTypeId": 31, "fields": fields})["item"]
    shown = {name: item[name] for name in ("id", "accountNumber", "stageId", "opportunity", "closedate", "observers")}
    assert shown == {
        "id": 702,
        "accountNumber": "702",
        "stageId": "DT31_5:N",
        "opportunity": 999.9,
        "closedate": "2026-12-01T03:00:00+03:00",
        "observers": [1],
    }
    assert (smart.history(702), smart.smart_books(702)["executed_pays"]) == ([(1, "DT31_5:N")], 0)


def test_a_new_item_in_a_success_stage_of_its_funnel_was_paid_once(smart) -> None:
    fields = {"categoryId": 8, "stageId": "DT31_8:UC_PAID01"}
    number = smart.result("crm.item.add", {"entityTypeId": 31, "fields": fields})["item"]["id"]
    assert [pay["method"] for pay in smart.smart_books(number)["pays"]] == ["crm.item.add"]


def test_a_form_encoded_update_in_a_batch_works_like_a_json_one(smart) -> None:
    command = "crm.item.update?entityTypeId=31&id=501&fields[stageId]=DT31_5%3AP"
    given = smart.result("batch", {"cmd": {"p": command, "g": "crm.item.get?entityTypeId=31&id=$result[p][item][id]"}})
    assert given["result"]["g"]["item"]["stageId"] == "DT31_5:P"


def test_some_portals_refuse_these_writes_in_a_batch_and_only_there(smart) -> None:
    smart.control("POST", "settings", {"smart_batch_refused": True})
    commands = {
        "u": "crm.item.update?entityTypeId=31&id=501&fields[stageId]=DT31_5:P",
        "l": "crm.item.payment.list?entityTypeId=31&entityId=501",
        "g": "crm.item.get?entityTypeId=31&id=501",
    }
    given = smart.result("batch", {"cmd": commands})
    refusal = {
        "error": "ERROR_BATCH_METHOD_NOT_ALLOWED",
        "error_description": "Method is not allowed for batch usage",
    }
    assert given["result_error"] == {"u": refusal, "l": refusal}
    assert given["result"]["g"]["item"]["stageId"] == "DT31_5:S"
    assert smart.update(501, stageId="DT31_5:P")["stageId"] == "DT31_5:P"


@pytest.mark.parametrize(
    ("kind", "cut", "paid"), [("lost_before", True, False), ("lost_after", True, True), ("refused", False, False)]
)
def test_a_fault_for_one_item_spoils_its_answer(smart, kind: str, cut: bool, paid: bool) -> None:
    smart.fault(kind, method=UPDATE, match={"id": "501"})
    smart.update(601, stageId="DT31_8:UC_PAID01")
    answer = smart.ask(UPDATE, sent(501, stageId="DT31_5:P"))
    assert (answer.cut, answer.status == 200) == (cut, False)
    assert (smart.smart_books(501)["paid"], smart.smart_books(501)["executed_pays"]) == (paid, int(paid))


def test_unpaid_answers_as_if_moved_and_stores_nothing(smart) -> None:
    smart.fault("unpaid", method=UPDATE, match={"id": "501"})
    before = smart.smart_books(501)
    item = smart.update(501, stageId="DT31_5:P", comments="seen")
    assert (item["stageId"], item["movedBy"], item["comments"]) == ("DT31_5:P", 9, "seen")
    assert smart.smart_books(501) == before
    assert smart.update(501, stageId="DT31_5:P")["stageId"] == "DT31_5:P"
    assert smart.smart_books(501)["executed_pays"] == 1
