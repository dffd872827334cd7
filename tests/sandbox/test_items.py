from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from airflow_b24.sandbox import seed_funnels
from airflow_b24.sandbox.smart_invoice import SmartInvoice
from airflow_b24.sandbox.wire import Request

UPDATE = "crm.item.update"

# The documented item: each field with the JSON type it is sent in.
ITEM: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("id", "entityTypeId", "categoryId", "companyId", "contactId", "mycompanyId"), (int,)),
    **dict.fromkeys(("assignedById", "createdBy", "updatedBy", "movedBy"), (int,)),
    **dict.fromkeys(("xmlId", "title", "accountNumber", "stageId", "previousStageId", "currencyId"), (str,)),
    **dict.fromkeys(("comments", "sourceId", "sourceDescription", "opened", "isManualOpportunity"), (str,)),
    **dict.fromkeys(("begindate", "closedate", "createdTime", "updatedTime", "movedTime"), (str,)),
    **dict.fromkeys(("opportunity", "taxValue"), (int, float)),
    **dict.fromkeys(("parentId2", "parentId7", "locationId"), (int, type(None))),
    **dict.fromkeys(("contactIds", "observers"), (list,)),
    seed_funnels.CONTRACT: (str,),
}


def ids(desk, **arguments: Any) -> list[int]:
    rows = desk.result("crm.item.list", {"entityTypeId": 31, "select": ["id"], **arguments})["items"]
    return [row["id"] for row in rows]


def test_an_item_has_the_documented_fields_in_their_json_types(smart) -> None:
    item = smart.result("crm.item.get", {"entityTypeId": 31, "id": 501})["item"]
    assert {name: type(value) for name, value in item.items() if type(value) not in ITEM[name]} == {}
    assert set(item) == set(ITEM)
    shown = {name: item[name] for name in ("stageId", "companyId", "contactId", "opened", "begindate", "movedTime")}
    assert shown == {
        "stageId": "DT31_5:S",
        "companyId": 21,
        "contactId": 0,
        "opened": "Y",
        "begindate": "2026-11-17T03:00:00+03:00",
        "movedTime": "2026-11-17T10:00:00+03:00",
    }


@pytest.mark.parametrize(
    ("price", "text"), [("19000.00", "19000"), ("999.90", "999.9"), ("0.07", "0.07"), ("1234567890123.45",) * 2]
)
def test_an_amount_is_a_json_number_without_float_error(smart, price: str, text: str) -> None:
    smart.state.smart_invoices[501].price = Decimal(price)
    body = smart.ask("crm.item.get", {"entityTypeId": 31, "id": 501}).body
    assert f'"opportunity": {text},'.encode() in body
    assert json.loads(body, parse_float=Decimal)["result"]["item"]["opportunity"] == Decimal(price)


@pytest.mark.parametrize("method", ["crm.item.get", "crm.item.list", UPDATE, "crm.item.add", "crm.item.fields"])
@pytest.mark.parametrize(
    ("entity", "code", "text"),
    [
        (5, "ENTITY_TYPE_NOT_SUPPORTED", "Entity type `INVOICE` is not supported"),
        (177, "NOT_FOUND", "Smart process not found"),
        (None, "100", "Could not find value for parameter {entityTypeId}"),
    ],
)
def test_an_item_of_another_type_is_refused(smart, method: str, entity: int | None, code: str, text: str) -> None:
    given = smart.refused(method, {"entityTypeId": entity, "id": 501, "fields": {"stageId": "DT31_5:P"}})
    assert given == (400, code, text)


def test_a_portal_without_smart_invoices_does_not_know_their_type(smart) -> None:
    smart.control("POST", "settings", {"smart_invoices": False})
    for method in ("crm.item.list", "crm.category.list"):
        assert smart.refused(method, {"entityTypeId": 31}) == (400, "NOT_FOUND", "Smart process not found")


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ({"stageId": ["DT31_5:S", "DT31_8:UC_SENT01"]}, [2, 501, 601]),
        ({"@id": [2, 601]}, [2, 601]),
        ({"!@id": [2, 601]}, [501, 701]),
        ({">id": 501, "<=id": "601"}, [601]),
        ({">=id": 601, "!=categoryId": 9}, [601]),
        ({"!categoryId": 5}, [601, 701]),
        ({"%accountNumber": "-6"}, [601]),
        ({"!%accountNumber": "-6"}, [2, 501, 701]),
        ({"=%accountNumber": "S-5%"}, [501]),
        ({"%=accountNumber": "%01"}, [501, 601, 701]),
        ({"!=%accountNumber": "S-%"}, []),
        ({"!%=accountNumber": "%01"}, [2]),
        ({"=opportunity": 118}, [2, 501, 601, 701]),
        ({"<opportunity": "118.00"}, []),
        ({"contactId": 0, "id": 2}, [2]),
        ({">createdTime": "2026-11-17T09:59:59+03:00", "id": 2}, [2]),
    ],
)
def test_a_filter_holds(smart, condition: dict[str, Any], found: list[int]) -> None:
    assert ids(smart, filter=condition) == found


@pytest.mark.parametrize(
    ("condition", "name"),
    [
        ({"STAGE_ID": "DT31_5:S"}, "STAGE_ID"),
        ({"STAGEID": "DT31_5:S"}, "STAGEID"),
        ({"id": 2, ">=paid": 1}, "paid"),
        ({"><id": [1, 9]}, "id"),
        ({"observers": 1}, "observers"),
    ],
)
def test_an_unknown_filter_is_refused_and_not_dropped(smart, condition: dict[str, Any], name: str) -> None:
    given = smart.refused("crm.item.list", {"entityTypeId": 31, "filter": condition})
    assert given == (400, "INVALID_ARG_VALUE", f"Invalid filter: field '{name}' is not allowed in filter")


def test_an_unknown_order_is_refused_and_an_unknown_select_ignored(smart) -> None:
    given = smart.refused("crm.item.list", {"entityTypeId": 31, "order": {"ID": "ASC"}})
    assert given == (400, "INVALID_ARG_VALUE", "Invalid order: field 'ID' is not allowed in order")
    rows = smart.result("crm.item.list", {"entityTypeId": 31, "select": ["title", "ID"], "filter": {"id": 2}})["items"]
    assert rows == [{"title": "Счёт S-2"}]
    assert ids(smart, order={"categoryId": "DESC", "id": "asc"}) == [701, 601, 2, 501]


@pytest.mark.parametrize(
    ("start", "rows", "total", "following"),
    [
        (0, range(1, 51), 121, 50),
        (50, range(51, 101), 121, 100),
        (100, range(101, 122), 121, None),
        (-1, range(1, 51), 0, None),
    ],
)
def test_pages_are_of_fifty_and_start_minus_one_does_not_count(
    smart, start: int, rows: range, total: int, following: int | None
) -> None:
    smart.state.smart_invoices = {n: SmartInvoice(n, f"N{n}", Decimal(n)) for n in range(1, 122)}
    _, document = smart.call("crm.item.list", {"entityTypeId": 31, "start": start})
    assert [item["id"] for item in document["result"]["items"]] == list(rows)
    assert (document["total"], document.get("next")) == (total, following)


def test_the_fields_are_described_as_documented(smart) -> None:
    fields = smart.result("crm.item.fields", {"entityTypeId": 31})["fields"]
    assert set(fields) == set(ITEM)
    assert fields["opportunity"] == {
        "type": "double",
        "isRequired": False,
        "isReadOnly": False,
        "isImmutable": False,
        "isMultiple": False,
        "isDynamic": False,
        "title": "opportunity",
        "upperName": "OPPORTUNITY",
    }
    assert [fields[name]["upperName"] for name in ("assignedById", "parentId2")] == ["ASSIGNED_BY_ID", "PARENT_ID_2"]
    contract = fields[seed_funnels.CONTRACT]
    assert (contract["isDynamic"], contract["title"], contract["upperName"]) == (
        True,
        "Договор",
        "UF_CRM_SMART_INVOICE_1700000001",
    )
    assert (fields["movedTime"]["isReadOnly"], fields["stageId"]["type"]) == (True, "crm_status")


@pytest.mark.parametrize("method", ["crm.item.get", "crm.item.list", UPDATE, "crm.item.add", "crm.stagehistory.list"])
@pytest.mark.parametrize("garbage", [None, [], "x", {"0": {"logic": "OR"}}, [["id"]], {"": ""}, 1e308])
def test_no_garbage_breaks_the_portal(smart, method: str, garbage: Any) -> None:
    names = ("id", "fields", "filter", "order", "select", "start")
    body = json.dumps({"entityTypeId": 31, **dict.fromkeys(names, garbage)}).encode()
    headers = {"content-type": "application/json"}
    assert smart.send(Request("POST", smart.path + method, "", headers, body)).status in {200, 400}


def test_a_field_that_is_added_can_be_written_and_read(smart) -> None:
    assert smart.control("POST", "smart-fields", {"name": "ufCrm_PAID", "title": "Paid"})[0] == 200
    assert smart.control("GET", "smart-fields")[1]["ufCrm_PAID"] == "Paid"
    shown = smart.result("crm.item.fields", {"entityTypeId": 31})["fields"]["ufCrm_PAID"]
    assert (shown["title"], shown["type"], shown["isReadOnly"], shown["isDynamic"]) == ("Paid", "string", False, True)
    assert smart.update(501, ufCrm_PAID="10.00")["ufCrm_PAID"] == "10.00"


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "name"),
        ({"name": "UF_CRM_PAID"}, "name"),
        ({"name": "stageId"}, "name"),
        ({"name": "ufCrm_1", "title": 5}, "title"),
        ({"name": "ufCrm_1", "type": "double"}, "type"),
    ],
)
def test_a_field_that_cannot_be_is_refused_by_its_name(smart, document: dict[str, Any], field: str) -> None:
    status, given = smart.control("POST", "smart-fields", document)
    assert (status, given["error"].split(":")[0]) == (400, field)
    assert list(smart.state.smart_fields) == [seed_funnels.CONTRACT]
