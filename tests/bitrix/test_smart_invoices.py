from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from airflow_b24.bitrix.errors import INVOICE_GONE, AuthError, RequestError, ResponseError
from airflow_b24.bitrix.exchange import exchange
from airflow_b24.bitrix.invoice import InvoiceKey
from airflow_b24.bitrix.protocol import Response, read_envelope
from airflow_b24.bitrix.smart_invoice import SELECT, MoveInvoice, parse_invoice
from airflow_b24.bitrix.smart_invoices import SmartInvoices, read_item
from airflow_b24.bitrix.stages import Semantics, Stage, Stages, Wishes

Talk = Callable[..., tuple[list[Any], Any]]

MEANING: dict[str, Semantics] = {"N": "process", "S": "process", "P": "success", "D": "failure"}
STAGES = Stages({f"DT31_5:{code}": Stage(f"DT31_5:{code}", 5, code, means) for code, means in MEANING.items()})
WE, ACCOUNTANT = 9, 2
SMART = SmartInvoices(STAGES, WE)


def record(record_id: int, **changed: Any) -> dict[str, Any]:
    """A record of the stage history."""
    return {"ID": record_id, "OWNER_ID": 17, "STAGE_ID": "DT31_5:P"} | changed


NEVER_PAID = Response({"items": [record(7, STAGE_ID="DT31_5:S"), record(5, STAGE_ID="DT31_5:N")]})


def item(**changed: Any) -> dict[str, Any]:
    """An item as the documentation shows one: ids and amounts are numbers, an empty link is 0."""
    return {
        "id": 17,
        "accountNumber": "2026/17",
        "title": "Services",
        "stageId": "DT31_5:S",
        "previousStageId": "DT31_5:N",
        "categoryId": 5,
        "movedBy": ACCOUNTANT,
        "movedTime": "2026-11-20T10:00:00+03:00",
        "opportunity": Decimal("118.5"),
        "currencyId": "RUB",
        "companyId": 21,
        "contactId": 0,
        "mycompanyId": 7,
        "begindate": "2026-11-18T03:00:00+03:00",
    } | changed


def test_an_open_invoice_is_read_as_a_value() -> None:
    invoice = parse_invoice(item(), STAGES, WE)
    assert (invoice.key, invoice.number, invoice.status_id) == (("smart", 17), "2026/17", "DT31_5:S")
    assert (invoice.price, invoice.currency) == (Decimal("118.5"), "RUB")
    assert (invoice.company_id, invoice.contact_id, invoice.my_company_id) == (21, None, 7)
    assert (invoice.billed_on, invoice.category_id, invoice.moved_by) == (date(2026, 11, 18), 5, ACCOUNTANT)
    assert not (invoice.paid)
    assert not (invoice.cancelled)
    assert (invoice.paid_at, invoice.paid_by, invoice.paid_by_us) == (None, None, None)


MOVES: dict[str, tuple[dict[str, Any], bool, bool | None, str | None]] = {
    "in the stage of success, by our user": ({"stageId": "DT31_5:P", "movedBy": WE}, True, True, None),
    "in the stage of success, by a person": ({"stageId": "DT31_5:P"}, True, False, None),
    "in the stage of success, by nobody": ({"stageId": "DT31_5:P", "movedBy": 0}, True, None, None),
    "moved on from there as our user": ({"previousStageId": "DT31_5:P", "movedBy": WE}, False, None, "robot"),
    "moved on from there as nobody": ({"previousStageId": "DT31_5:P", "movedBy": None}, False, None, "robot"),
    "moved on or taken back by a person": ({"previousStageId": "DT31_5:P"}, False, None, "person"),
    "lost from there": ({"stageId": "DT31_5:D", "previousStageId": "DT31_5:P", "movedBy": WE}, False, None, None),
    "moved by us on its way": ({"movedBy": WE}, False, None, None),
}


@pytest.mark.parametrize(("changed", "paid", "by_us", "moved_on"), MOVES.values(), ids=MOVES)
def test_an_invoice_is_paid_in_a_stage_of_success_and_shows_who_moved_it(
    changed: dict[str, Any], paid: bool, by_us: bool | None, moved_on: str | None
) -> None:
    invoice = parse_invoice(item(**changed), STAGES, WE)
    assert (invoice.paid, invoice.paid_by_us, invoice.moved_on) == (paid, by_us, moved_on)
    assert (invoice.paid_at is not None) is paid
    assert invoice.cancelled is (invoice.status_id == "DT31_5:D")


def test_an_invoice_filed_from_one_stage_of_success_to_another_was_paid_nobody_knows_when() -> None:
    filed = replace(STAGES, wishes=Wishes(also_paid=("DT31_5:S",)))
    invoice = parse_invoice(item(previousStageId="DT31_5:P"), filed, WE)
    assert (invoice.paid, invoice.paid_at) == (True, None)


def test_without_knowing_who_we_are_nobody_is_taken_for_a_robot_of_ours() -> None:
    assert parse_invoice(item(previousStageId="DT31_5:P", movedBy=WE), STAGES).moved_on == "person"
    assert parse_invoice(item(stageId="DT31_5:P"), STAGES).paid_by_us is None


def test_an_invoice_in_a_stage_that_nobody_knows_is_never_paid() -> None:
    assert parse_invoice(item(stageId="DT31_5:NEWER"), STAGES, WE).price is None


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"id": 0}, "id"),
        ({"movedTime": "soon"}, "movedTime"),
        ({"begindate": "x"}, "begindate"),
        ({"title": []}, "title"),
    ],
)
def test_a_value_that_cannot_be_read_is_named(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(ResponseError, match=named):
        parse_invoice(item(**wrong), STAGES, WE)


@pytest.mark.parametrize("amount", ["nan", None, True, [], "1e400"])
def test_an_amount_that_is_none_is_no_price(amount: object) -> None:
    assert parse_invoice(item(opportunity=amount), STAGES, WE).price is None


def test_an_invoice_is_read_by_its_id_in_its_own_space(talk: Talk) -> None:
    effects, invoice = talk(SMART.get_invoice(17), Response({"item": item()}), NEVER_PAID)
    assert (effects[0].method, effects[0].arguments) == ("crm.item.get", {"entityTypeId": 31, "id": 17})
    assert (effects[0].write, effects[0].paced, invoice.id) == (False, True, 17)


def test_its_history_is_read_after_it_while_it_is_open_and_of_the_stages_that_mean_paid(talk: Talk) -> None:
    effects, _ = talk(SMART.look(17), Response({"item": item()}), NEVER_PAID)
    assert [effect.method for effect in effects] == ["crm.item.get", "crm.stagehistory.list"]
    assert effects[1].arguments == {
        "entityTypeId": 31,
        "order": {"ID": "DESC"},
        "filter": {"OWNER_ID": 17},
        "select": ["ID", "OWNER_ID", "STAGE_ID"],
    }
    assert {effect.paced for effect in effects} == {False}


HISTORIES: dict[str, tuple[Any, str, str | None]] = {
    "never paid": (NEVER_PAID, "", None),
    "paid, and moved on twice": (
        Response({"items": [record(11, STAGE_ID="DT31_5:S"), record(9), record(7)]}),
        "9",
        "person",
    ),
    "paid since it was read": (Response({"items": [record(9)]}), "9", "person"),
    "nothing remembered": (Response({"items": []}), "", None),
    "conditions that the portal dropped": (
        Response({"items": [record(8, OWNER_ID=18), record(9, STAGE_ID="DT31_5:S")]}),
        "",
        None,
    ),
    "a portal that keeps none": (RequestError("ERROR_METHOD_NOT_FOUND"), "", None),
}


@pytest.mark.parametrize(("told", "before", "moved_on"), HISTORIES.values(), ids=HISTORIES)
def test_an_open_invoice_that_its_history_shows_as_paid_was_moved_on(
    talk: Talk, told: Any, before: str, moved_on: str | None
) -> None:
    _, invoice = talk(SMART.look(17), Response({"item": item()}), told)
    assert (invoice.paid_before, invoice.moved_on) == (before, moved_on)


@pytest.mark.parametrize(
    "told",
    [
        Response({"items": None}),
        Response([]),
        Response({"items": [{}]}),
        Response({"items": [record(9, STAGE_ID="DT31_5:N")]}),
    ],
)
def test_a_history_that_cannot_be_read_is_no_answer(talk: Talk, told: Any) -> None:
    assert isinstance(talk(SMART.look(17), Response({"item": item()}), told)[1], ResponseError)


def test_without_a_history_the_invoice_itself_says_what_it_came_out_of(talk: Talk) -> None:
    moved = item(previousStageId="DT31_5:P", movedBy=WE)
    _, invoice = talk(SMART.look(17), Response({"item": moved}), RequestError("ERROR_METHOD_NOT_FOUND"))
    assert (invoice.paid_before, invoice.moved_on) == ("2026-11-20T10:00:00+03:00", "robot")


@pytest.mark.parametrize("result", [{"item": item(id=18)}, {"item": {}}, {"item": None}, {}, [], None, True])
def test_what_is_not_the_invoice_is_no_answer(talk: Talk, result: object) -> None:
    with pytest.raises(ResponseError):
        talk(SMART.get_invoice(17), Response(result))
    _, looked = talk(SMART.look(17), Response(result))
    assert isinstance(looked, ResponseError)


def test_a_deleted_invoice_is_told_from_a_missing_right(talk: Talk) -> None:
    _, gone = talk(SMART.look(17), RequestError("NOT_FOUND", "Element not found"))
    assert gone.code == INVOICE_GONE
    with pytest.raises(RequestError, match="invoice_id=17 is not there any more"):
        talk(SMART.get_invoice(17), RequestError("NOT_FOUND"))
    denied = AuthError("ACCESS_DENIED")
    assert talk(SMART.look(17), Response({"item": item()}), denied)[1] is denied
    assert talk(SMART.look(17), denied)[1] is denied


def test_open_invoices_are_listed_by_the_stages_that_wait_for_money(talk: Talk) -> None:
    pages = (Response({"items": [item(id=17), item(id=40)]}), Response({"items": []}))
    effects, found = talk(SMART.open_listing().all(), *pages)
    assert [effect.method for effect in effects] == ["crm.item.list", "crm.item.list"]
    assert effects[1].arguments == {
        "entityTypeId": 31,
        "order": {"id": "ASC"},
        "filter": {"@stageId": ["DT31_5:N", "DT31_5:S"], ">id": 40},
        "select": list(SELECT),
        "start": -1,
    }
    assert [invoice.key for invoice in found] == [("smart", 17), ("smart", 40)]


def test_ended_invoices_are_listed_from_a_day_on(talk: Talk) -> None:
    effects, _ = talk(SMART.paid_since(date(2026, 10, 9)).all(), Response({"items": []}))
    assert effects[0].arguments["filter"] == {
        "@stageId": ["DT31_5:P", "DT31_5:D"],
        ">=movedTime": "2026-10-09",
        ">id": 0,
    }


def test_invoices_that_moved_lately_are_listed_whatever_their_stage(talk: Talk) -> None:
    effects, _ = talk(SMART.moved_since(date(2026, 10, 9)).all(), Response({"items": []}))
    assert effects[0].arguments["filter"] == {">=movedTime": "2026-10-09", ">id": 0}


def test_invoices_are_read_by_ids_in_chunks(talk: Talk) -> None:
    effects, found = talk(SMART.by_id(list(range(1, 52))), *[Response({"items": []})] * 2)
    assert [len(effect.arguments["filter"]["@id"]) for effect in effects] == [50, 1]
    assert found == []


@pytest.mark.parametrize("result", [[], {"items": None}, {"items": [1]}, {"items": [item(id=17), item(id=17)]}, None])
def test_a_list_that_is_none_is_an_error(talk: Talk, result: object) -> None:
    with pytest.raises(ResponseError):
        talk(SMART.open_listing().page(), Response(result))


def test_a_portal_without_stages_has_no_lists() -> None:
    none, day = SmartInvoices(Stages({})), date(2026, 10, 9)
    assert [none.open_invoices(), none.paid_since(day), none.moved_since(day)] == [None] * 3
    assert SMART.open_invoices() == SMART.open_listing()


def test_marking_paid_moves_the_stage_once_and_reads_the_same_invoice_back(talk: Talk) -> None:
    order = MoveInvoice(17, "DT31_5:P")
    moved = item(stageId="DT31_5:P", movedBy=WE)
    flow = exchange([order], {order.key: lambda: SMART.look(17)}, 7.5)
    effects, done = talk(flow, Response({"item": moved}), Response({"item": moved}))
    arguments = {"entityTypeId": 31, "id": 17, "fields": {"stageId": "DT31_5:P"}}
    assert (effects[0].method, effects[0].arguments) == ("crm.item.update", arguments)
    assert (effects[0].write, effects[0].paced, effects[0].send_before) == (True, False, 7.5)
    assert [(effect.method, effect.paced) for effect in effects[1:]] == [("crm.item.get", False)]
    assert done.pays == {InvoiceKey("smart", 17): True}
    assert done.reads[InvoiceKey("smart", 17)].paid_by_us


@pytest.mark.parametrize("result", [True, {"item": None}, {"item": {"id": 18}}, {}, []])
def test_an_answer_about_another_invoice_is_no_answer(result: object) -> None:
    assert not MoveInvoice(17, "DT31_5:P").is_answered(Response(result))


@pytest.mark.parametrize("code", ["", "0", "100", "CRM_FIELD_ERROR_REQUIRED", "CRM_FIELD_ERROR_VALUE_NOT_VALID"])
def test_what_the_portal_words_before_it_saves_did_not_run(code: str) -> None:
    request = MoveInvoice(17, "DT31_5:P").request()
    error = read_envelope(request, {"error": code, "error_description": "no"}, status=400)
    assert type(error) is RequestError


def test_a_plan_without_changes_needs_a_person() -> None:
    refused = {"error": "UPDATE_DYNAMIC_ITEM_RESTRICTED", "error_description": "no"}
    error = read_envelope(MoveInvoice(17, "DT31_5:P").request(), refused, status=400)
    assert isinstance(error, AuthError)
    assert "plan does not allow changing smart invoices" in str(error)


@pytest.mark.parametrize(("given", "named"), [(("5.0", "DT31_5:P"), "invoice_id"), ((17, "P"), "stage_id")])
def test_a_move_that_cannot_be_is_refused_at_once(given: tuple[Any, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        MoveInvoice(*given)


def test_times_of_the_portal_are_aware() -> None:
    moved = parse_invoice(item(stageId="DT31_5:P"), STAGES, WE)
    assert moved.paid_at == datetime.fromisoformat("2026-11-20T10:00:00+03:00")


@pytest.mark.parametrize("shown", [{"id": 8}, {}, None])
def test_the_fields_of_another_invoice_than_was_asked_for_are_an_error(talk: Talk, shown: Any) -> None:
    with pytest.raises(ResponseError, match="asked for 7"):
        talk(read_item(7), Response({"item": shown}))
