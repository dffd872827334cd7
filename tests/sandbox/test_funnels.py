from __future__ import annotations

from typing import Any

import pytest

from airflow_b24.sandbox import seed

FUNNEL: dict[str, Any] = {
    "id": 12,
    "name": "Export",
    "sort": 600,
    "stages": [
        {"id": "DT31_12:NEW", "name": "New"},
        {"id": "DT31_12:UC_SENT", "name": "Sent", "color": "#FFFFFF"},
        {"id": "DT31_12:UC_PAID", "name": "Paid", "semantics": "S", "required": ["comments"]},
        {"id": "DT31_12:UC_LOST", "name": "Lost", "semantics": "F", "robot": {"to": "DT31_12:UC_GONE"}},
        {"id": "DT31_12:UC_GONE", "name": "Gone", "semantics": "F"},
    ],
}


def stages(*changes: tuple[int, dict[str, Any]], drop: int | None = None) -> dict[str, Any]:
    rows = [stage | dict(changes).get(place, {}) for place, stage in enumerate(FUNNEL["stages"])]
    return {"stages": [row for place, row in enumerate(rows) if place != drop]}


def test_the_categories_are_the_funnels_in_their_sort(desk) -> None:
    _, document = desk.call("crm.category.list", {"entityTypeId": 31})
    rows = document["result"]["categories"]
    assert rows[0] == {"id": 5, "name": "Общая", "sort": 300, "entityTypeId": 31, "isDefault": "Y"}
    assert [(row["id"], row["isDefault"]) for row in rows[1:]] == [(8, "N"), (9, "N")]
    assert document["total"] == 3


@pytest.mark.parametrize(
    ("entity", "code", "text"),
    [
        (5, "ENTITY_TYPE_NOT_SUPPORTED", "Entity type `INVOICE` is not supported"),
        (4242, "NOT_FOUND", "Smart process not found"),
    ],
)
def test_categories_of_another_type_are_refused(desk, entity: int, code: str, text: str) -> None:
    assert desk.refused("crm.category.list", {"entityTypeId": entity}) == (400, code, text)


def test_a_stage_has_the_documented_shape(desk) -> None:
    rows = desk.result("crm.status.list", {"filter": {"ENTITY_ID": "SMART_INVOICE_STAGE_5"}})
    # The id is only a number of the row.
    assert [row.pop("ID").isdecimal() for row in rows] == [True] * 4
    assert rows[2] == {
        "ENTITY_ID": "SMART_INVOICE_STAGE_5",
        "STATUS_ID": "DT31_5:P",
        "NAME": "Оплачен",
        "NAME_INIT": "Оплачен",
        "SORT": "130",
        "SYSTEM": "Y",
        "CATEGORY_ID": "5",
        "COLOR": "#39A8EF",
        "SEMANTICS": "S",
        "EXTRA": {"SEMANTICS": "success", "COLOR": "#39A8EF"},
    }
    meanings = [(row["STATUS_ID"], row["SEMANTICS"], row["EXTRA"]["SEMANTICS"]) for row in rows]
    assert meanings == [
        ("DT31_5:N", None, "process"),
        ("DT31_5:S", None, "process"),
        ("DT31_5:P", "S", "success"),
        ("DT31_5:D", "F", "failure"),
    ]


def test_a_renamed_funnel_has_its_own_codes_and_tells_what_was_renamed(desk) -> None:
    rows = desk.result("crm.status.list", {"filter": {"ENTITY_ID": "SMART_INVOICE_STAGE_8"}})
    shown = [(row["STATUS_ID"], row["NAME"], row["NAME_INIT"], row["SYSTEM"], row["SEMANTICS"]) for row in rows]
    assert shown == [
        ("DT31_8:NEW", "Согласование", "Новый", "Y", None),
        ("DT31_8:UC_SENT01", "Ждём денег", "", "N", None),
        ("DT31_8:UC_PAID01", "Деньги пришли", "", "N", "S"),
        ("DT31_8:UC_LOST01", "Отказ", "", "N", "F"),
    ]


@pytest.mark.parametrize(
    ("condition", "entities"),
    [
        ({"ENTITY_ID": "INVOICE_STATUS"}, {"INVOICE_STATUS"}),
        ({"ENTITY_ID": "SMART_INVOICE_STAGE_9"}, {"SMART_INVOICE_STAGE_9"}),
        ({"ENTITY_ID": "DEAL_STAGE"}, set()),
        ({"SEMANTICS": "S", "!ENTITY_ID": "INVOICE_STATUS"}, {f"SMART_INVOICE_STAGE_{n}" for n in (5, 8, 9)}),
        ({}, {"INVOICE_STATUS", *(f"SMART_INVOICE_STAGE_{n}" for n in (5, 8, 9))}),
    ],
)
def test_the_statuses_are_those_of_the_entity_asked_for(desk, condition: dict[str, str], entities: set[str]) -> None:
    rows = desk.result("crm.status.list", {"filter": condition})
    assert {row["ENTITY_ID"] for row in rows} == entities
    assert len({row["ID"] for row in rows}) == len(rows)


def test_a_portal_without_smart_invoices_has_no_stages(desk) -> None:
    desk.control("POST", "settings", {"smart_invoices": False})
    assert {row["ENTITY_ID"] for row in desk.result("crm.status.list")} == {"INVOICE_STATUS"}


def test_the_older_method_knows_the_statuses_of_legacy_invoices_alone(desk) -> None:
    rows = desk.result("crm.invoice.status.list")
    assert [row["STATUS_ID"] for row in rows] == ["N", "S", "P", "D"]


def test_a_funnel_is_an_entity_type_of_its_own(desk) -> None:
    entry = next(row for row in desk.result("crm.status.entity.types") if row["ID"] == "SMART_INVOICE_STAGE_5")
    assert entry == {
        "ID": "SMART_INVOICE_STAGE_5",
        "NAME": "Стадии счета",
        "SEMANTIC_INFO": [],
        "PREFIX": "DT31_5",
        "FIELD_ATTRIBUTE_SCOPE": "category_5",
        "ENTITY_TYPE_ID": 31,
        "IS_ENABLED": True,
        "CATEGORY_ID": 5,
    }


@pytest.mark.parametrize(
    ("settings", "legacy", "smart"),
    [
        ({}, True, True),
        ({"legacy_invoices": False}, False, True),
        ({"smart_invoices": False}, True, False),
        ({"legacy_invoices": False, "smart_invoices": False}, False, False),
    ],
)
def test_the_entity_types_tell_which_kinds_of_invoices_are_on(
    desk, settings: dict[str, bool], legacy: bool, smart: bool
) -> None:
    desk.control("POST", "settings", settings)
    names = {row["ID"] for row in desk.result("crm.status.entity.types")}
    assert ("INVOICE_STATUS" in names, "SMART_INVOICE_STAGE_8" in names) == (legacy, smart)


def test_the_history_has_the_documented_shape(smart) -> None:
    smart.update(501, stageId="DT31_5:P")
    asked = {"entityTypeId": 31, "filter": {"OWNER_ID": 501}, "order": {"ID": "ASC"}}
    _, document = smart.call("crm.stagehistory.list", asked)
    rows = document["result"]["items"]
    assert rows[-1] == {
        "ID": 9,
        "TYPE_ID": 3,
        "OWNER_ID": 501,
        "CREATED_TIME": "2026-11-22T12:00:00+03:00",
        "CATEGORY_ID": 5,
        "STAGE_SEMANTIC_ID": "S",
        "STAGE_ID": "DT31_5:P",
    }
    assert [(row["TYPE_ID"], row["STAGE_SEMANTIC_ID"]) for row in rows] == [(1, "P"), (2, "P"), (3, "S")]
    assert document["total"] == 3


@pytest.mark.parametrize(
    ("arguments", "owners"),
    [
        ({"filter": {"@OWNER_ID": [2, 601], "TYPE_ID": 1}}, [2, 601]),
        ({"filter": {">ID": 6}, "order": {"ID": "DESC"}, "select": ["OWNER_ID"]}, [701, 701]),
        ({"entityTypeId": 5}, []),
        ({"entityTypeId": 2}, []),
    ],
)
def test_the_history_is_filtered_and_ordered(smart, arguments: dict[str, Any], owners: list[int]) -> None:
    rows = smart.result("crm.stagehistory.list", {"entityTypeId": 31, **arguments})["items"]
    assert [row["OWNER_ID"] for row in rows] == owners


def test_the_history_is_closed_to_who_may_not_read(smart) -> None:
    smart.state.users[seed.TECHNICAL] = type(smart.state.users[9])(9, "", "", invoice_rights=frozenset())
    assert smart.refused("crm.stagehistory.list", {"entityTypeId": 31}) == (400, "ACCESS_DENIED", "Access denied")


def test_a_funnel_is_added_and_a_second_failure_is_an_apology(desk) -> None:
    status, given = desk.control("POST", "funnels", FUNNEL)
    assert (status, given[0]["default"], given[0]["stages"][4]["sort"]) == (200, False, 140)
    rows = desk.result("crm.status.list", {"filter": {"ENTITY_ID": "SMART_INVOICE_STAGE_12"}})
    assert [row["EXTRA"]["SEMANTICS"] for row in rows] == ["process", "process", "success", "failure", "apology"]
    assert rows[1]["COLOR"] == "#FFFFFF"


def test_what_is_shown_of_the_funnels_can_be_sent_back(desk) -> None:
    shown = desk.control("GET", "funnels")[1]
    assert [funnel["id"] for funnel in shown] == [5, 8, 9]
    assert desk.control("POST", "funnels", shown) == (200, shown)


def test_a_new_default_takes_the_place_of_the_old_one(desk) -> None:
    desk.control("POST", "funnels", FUNNEL | {"default": True})
    rows = desk.result("crm.category.list", {"entityTypeId": 31})["categories"]
    assert [row["id"] for row in rows if row["isDefault"] == "Y"] == [12]
    desk.control("POST", "funnels", FUNNEL | {"default": False})
    assert desk.state.funnels[12].default is True


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": "12"}, "id: "),
        ({"id": 0}, "id: "),
        ({"name": ""}, "name: "),
        ({"sort": "1"}, "sort: "),
        ({"default": "Y"}, "default: "),
        ({"colour": 1}, "colour: no such field"),
        ({"stages": {}}, "stages: send a list"),
        (stages((0, {"id": "DT31_8:NEW"})), "stages: id "),
        (stages((0, {"id": "NEW"})), "stages: id "),
        (stages((1, {"id": "DT31_12:NEW"})), "stages: two of them"),
        (stages((0, {"name": None})), "stages: name: "),
        (stages((0, {"semantics": "X"})), "stages: semantics "),
        (stages((0, {"semantics": "S"})), "stages: a funnel has one"),
        (stages(drop=2), "stages: a funnel has one"),
        (stages((0, {"required": ["budget"]})), "stages: required 'budget'"),
        (stages((0, {"required": "comments"})), "stages: required is no list"),
        (stages((0, {"robot": {"to": "DT31_12:NOWHERE"}})), "stages: robot to "),
        (stages((0, {"robot": "DT31_12:UC_SENT"})), "stages: robot is no object"),
        (stages((0, {"robot": {"to": "DT31_12:UC_SENT", "by": "Olga"}})), "stages: robot: by: "),
        (stages((0, {"paid": True})), "stages: no such field paid"),
    ],
)
def test_a_funnel_that_cannot_be_read_is_refused_by_its_field(desk, change: dict[str, Any], words: str) -> None:
    status, given = desk.control("POST", "funnels", FUNNEL | change)
    assert (status, given["error"][: len(words)]) == (400, words)
    assert sorted(desk.state.funnels) == [5, 8, 9]


def test_a_stage_that_an_invoice_is_in_cannot_be_taken_away(smart) -> None:
    shown = next(funnel for funnel in smart.control("GET", "funnels")[1] if funnel["id"] == 8)
    shown["stages"] = [stage for stage in shown["stages"] if stage["id"] != "DT31_8:UC_SENT01"]
    status, given = smart.control("POST", "funnels", shown)
    assert (status, "smart invoice 601 is in DT31_8:UC_SENT01" in given["error"]) == (400, True)
