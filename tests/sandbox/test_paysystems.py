from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from airflow_b24.sandbox import seed
from airflow_b24.sandbox.invoice import Invoice

PAY = "sale.paysystem.pay.invoice"
SETTINGS = "sale.paysystem.settings.invoice.get"
CHECK, PROCESS = "ERROR_CHECK_FAILURE", "ERROR_PROCESS_REQUEST_RESULT"

REFUSALS = [
    ({"PAY_SYSTEM_ID": None}, 400, CHECK, "Empty field BX_REST_HANDLER and PAY_SYSTEM_ID"),
    ({"INVOICE_ID": 2, "PAY_SYSTEM_ID": 999}, 400, CHECK, "Pay system with ID=999 not found"),
    ({"INVOICE_ID": 2, "PAY_SYSTEM_ID": 0}, 400, CHECK, "Pay system with ID=0 not found"),
    ({"INVOICE_ID": 2, "PAY_SYSTEM_ID": ""}, 400, CHECK, "Pay system with ID= not found"),
    ({"INVOICE_ID": 2, "BX_REST_HANDLER": "nobody"}, 400, CHECK, "Incorrect rest handler code"),
    ({"INVOICE_ID": 2, "PAY_SYSTEM_ID": 31, "BX_REST_HANDLER": "nobody"}, 400, CHECK, "Incorrect rest handler code"),
    ({"PAY_SYSTEM_ID": 31}, 400, CHECK, "Empty field INVOICE_ID!"),
    ({"INVOICE_ID": "0", "PAY_SYSTEM_ID": 31}, 400, CHECK, "Empty field INVOICE_ID!"),
    ({"INVOICE_ID": 424242, "PAY_SYSTEM_ID": 31}, 400, "ERROR_INTERNAL_INVOICE_NOT_FOUND", "Invoice #424242 not found"),
    ({"INVOICE_ID": 2, "PAY_SYSTEM_ID": 33}, 400, PROCESS, "Pay system not found"),
    ({"INVOICE_ID": 2, "PAY_SYSTEM_ID": 32}, 400, PROCESS, "Payment identifier is empty"),
    ({"INVOICE_ID": 5, "PAY_SYSTEM_ID": 31}, 400, PROCESS, "Order #5 canceled"),
]


@pytest.mark.parametrize(("sent", "status", "code", "text"), REFUSALS)
def test_paying_is_refused_in_the_portals_words_and_changes_nothing(
    desk, sent: dict[str, Any], status: int, code: str, text: str
) -> None:
    assert desk.call(PAY, sent) == (status, {"error": code, "error_description": text})
    assert desk.control("GET", "books")[1]["double_paid"] == 0
    assert not any(row["executed_pays"] for row in desk.control("GET", "books")[1]["invoices"])


def test_the_checks_run_in_the_portals_order(desk) -> None:
    wrong = {"INVOICE_ID": 0, "PAY_SYSTEM_ID": 999, "BX_REST_HANDLER": "nobody"}
    seen = []
    for name, value in (("PAY_SYSTEM_ID", 33), ("BX_REST_HANDLER", seed.HANDLER), ("INVOICE_ID", 9), ("INVOICE_ID", 5)):
        seen.append(desk.call(PAY, wrong)[1]["error_description"])
        wrong[name] = value
    seen.append(desk.call(PAY, wrong)[1]["error_description"])
    assert seen == [
        "Pay system with ID=999 not found",
        "Incorrect rest handler code",
        "Empty field INVOICE_ID!",
        "Invoice #9 not found",
        "Pay system not found",
    ]


def test_without_the_crm_module_the_real_code_is_sent_and_not_the_documented_one(desk) -> None:
    desk.control("POST", "settings", {"crm_module": False})
    expected = {"error": "ERROR_INVOICE_NO_SUPPORTED", "error_description": "Pay invoice is not supported!"}
    assert desk.pay(2) == (400, expected)


def test_a_user_who_may_neither_add_nor_update_is_refused(desk) -> None:
    path = seed.webhook_path(seed.READER, seed.READER_SECRET)
    expected = {"error": "ACCESS_DENIED", "error_description": "Access denied!"}
    assert desk.call(PAY, {"INVOICE_ID": 2, "PAY_SYSTEM_ID": 31}, path=path) == (403, expected)


# The rows of the check order which need broken tables are scripted.
@pytest.mark.parametrize(
    ("status", "code", "text"),
    [
        (400, PROCESS, "Order #2 does not exist"),
        (400, PROCESS, "Partial payment #2 does not exist"),
        (400, PROCESS, "first\nsecond"),
        (500, "ERROR_CORE", "SQL query error!"),
    ],
)
def test_rows_that_need_broken_tables_can_be_scripted(desk, status: int, code: str, text: str) -> None:
    desk.fault("error", method=PAY, status=status, code=code, description=text)
    assert desk.pay(2) == (status, {"error": code, "error_description": text})
    assert desk.books(2)["paid"] is False


def test_the_text_for_a_cancelled_invoice_follows_the_language_of_the_portal(desk) -> None:
    desk.control("POST", "settings", {"language": "ru"})
    assert desk.pay(5)[1] == {"error": PROCESS, "error_description": "Заказ №5 отменен"}


@pytest.mark.parametrize("chosen", [{"PAY_SYSTEM_ID": 31}, {"BX_REST_HANDLER": seed.HANDLER}])
def test_paying_sets_what_the_portal_sets_and_leaves_the_voucher_number(desk, chosen: dict[str, Any]) -> None:
    desk.state.invoices[2].voucher_number = "4711"
    assert desk.result(PAY, {"INVOICE_ID": 2, **chosen}) is True
    row = desk.result("crm.invoice.get", {"id": 2})
    shown = {name: row[name] for name in ("PAYED", "STATUS_ID", "EMP_PAYED_ID", "PAY_SYSTEM_ID", "PAY_VOUCHER_NUM")}
    assert shown == {
        "PAYED": "Y",
        "STATUS_ID": "P",
        "EMP_PAYED_ID": "9",
        "PAY_SYSTEM_ID": "31",
        "PAY_VOUCHER_NUM": "4711",
    }
    assert row["DATE_PAYED"] == "2026-11-22T12:00:00+03:00"
    assert row["PAY_VOUCHER_DATE"] == "2026-11-22T00:00:00+03:00"


def test_a_repeated_pay_is_true_and_moves_only_voucher_date_and_pay_system(desk) -> None:
    assert desk.pay(2)[0] == 200
    desk.result("sale.paysystem.add", SYSTEM, path=seed.webhook_path(seed.ADMINISTRATOR, seed.ADMIN_SECRET))
    before = desk.result("crm.invoice.get", {"id": 2})
    desk.now += timedelta(days=1)
    assert desk.pay(2, 34)[1]["result"] is True
    after = desk.result("crm.invoice.get", {"id": 2})
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"PAY_VOUCHER_DATE", "PAY_SYSTEM_ID", "DATE_UPDATE"}
    assert after["PAY_VOUCHER_DATE"] == "2026-11-23T00:00:00+03:00"
    assert desk.control("GET", "books")[1]["double_paid"] == 1


SYSTEM = {"NAME": "Банк", "PERSON_TYPE_ID": 2, "BX_REST_HANDLER": seed.HANDLER, "XML_ID": "ours"}


@pytest.mark.parametrize("invoice_id", [2, 5])
def test_a_bill_pay_system_answers_true_and_does_nothing_even_on_a_cancelled_invoice(desk, invoice_id: int) -> None:
    before = desk.books(invoice_id)
    assert desk.pay(invoice_id, seed.BILL_SYSTEM)[1]["result"] is True
    assert desk.books(invoice_id) == before


def test_a_save_that_fails_is_swallowed_and_still_answers_true(desk) -> None:
    desk.state.invoices[6] = Invoice(6, "2026/2", Decimal("1.00"))
    assert desk.pay(2)[1]["result"] is True
    assert (desk.books(2)["paid"], desk.books(2)["executed_pays"]) == (False, 0)


def test_declined_but_not_cancelled_gets_paid_and_keeps_its_status(desk) -> None:
    desk.state.invoices[5].cancelled = False
    desk.pay(5)
    assert (desk.books(5)["paid"], desk.books(5)["status_id"]) == (True, "D")


def test_extra_ps_fields_are_kept_on_the_payment_and_no_crm_method_shows_them(desk) -> None:
    sent = {
        "invoice_id": 2,
        "bx_rest_handler": seed.HANDLER,
        "ps_invoice_id": "TX-1",
        "PS_SUM": "5.00",
        "PS_CURRENCY": "",
    }
    desk.result(PAY, sent)
    assert desk.books(2)["ps_fields"] == {"PS_INVOICE_ID": "TX-1", "PS_SUM": "5.00"}
    assert not [name for name in desk.result("crm.invoice.get", {"id": 2}) if name.startswith("PS_")]


@pytest.mark.parametrize(
    ("sent", "status", "code", "text"),
    [
        ({}, 400, CHECK, "Empty field BX_REST_HANDLER and PAY_SYSTEM_ID"),
        ({"PAY_SYSTEM_ID": 31}, 400, CHECK, "Empty field INVOICE_ID"),
        ({"PAY_SYSTEM_ID": 31, "INVOICE_ID": 99}, 400, "ERROR_INTERNAL_INVOICE_NOT_FOUND", "Invoice #99 not found"),
        ({"PAY_SYSTEM_ID": 6, "INVOICE_ID": 2}, 403, "ACCESS_DENIED", "Access denied!"),
    ],
)
def test_probing_a_pay_system_is_refused_in_the_portals_words(
    desk, sent: dict[str, Any], status: int, code: str, text: str
) -> None:
    assert desk.call(SETTINGS, sent) == (status, {"error": code, "error_description": text})


def test_probing_a_rest_pay_system_evaluates_the_codes_of_its_handler(desk) -> None:
    sent = {"PAY_SYSTEM_ID": 31, "INVOICE_ID": 2}
    assert desk.result(SETTINGS, sent) == {"REST_SERVICE_ID": "", "PAYMENT_PAID": "N"}
    desk.pay(2)
    assert desk.result(SETTINGS, sent)["PAYMENT_PAID"] == "Y"


@pytest.mark.parametrize(
    "method",
    ["sale.paysystem.list", "sale.paysystem.add", "sale.paysystem.handler.list", "sale.paysystem.handler.add"],
)
def test_preparing_a_portal_needs_a_crm_administrator(desk, method: str) -> None:
    assert desk.call(method, {}) == (403, {"error": "ACCESS_DENIED", "error_description": "Access denied!"})


def test_an_administrator_prepares_a_portal_from_nothing(desk, admin_path: str) -> None:
    form = {"CODES": {"A": {"NAME": "A"}}, "FORM_DATA": {"ACTION_URI": "https://127.0.0.1/"}}
    handler = {"NAME": "Мой банк", "CODE": "mybank", "SETTINGS": form}
    assert desk.result("sale.paysystem.handler.add", handler, path=admin_path) == 2
    again = desk.call("sale.paysystem.handler.add", handler, path=admin_path)
    assert again == (400, {"error": "ERROR_HANDLER_ALREADY_EXIST", "error_description": "Handler already exists!"})
    rows = desk.result("sale.paysystem.handler.list", path=admin_path)
    assert [(row["ID"], row["CODE"], row["SORT"]) for row in rows] == [
        ("1", seed.HANDLER, "100"),
        ("2", "mybank", "100"),
    ]
    system_id = desk.result("sale.paysystem.add", SYSTEM | {"BX_REST_HANDLER": "mybank"}, path=admin_path)
    asked = {"filter": {"XML_ID": "ours"}, "select": ["ID", "ACTIVE", "ENTITY_REGISTRY_TYPE", "ACTION_FILE"]}
    assert desk.result("sale.paysystem.list", asked, path=admin_path) == [
        {"ID": system_id, "ACTIVE": "N", "ENTITY_REGISTRY_TYPE": "CRM_INVOICE", "ACTION_FILE": "mybank"}
    ]
    assert desk.pay(2, system_id)[1]["result"] is True
    assert desk.books(2)["pay_system_id"] == system_id


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"PERSON_TYPE_ID": 4}, "ERROR_PERSON_TYPE_NOT_FOUND", "Incorrect person type id!"),
        ({"BX_REST_HANDLER": "nobody"}, "ERROR_HANDLER_NOT_FOUND", "Handler not found"),
    ],
)
def test_a_pay_system_needs_a_fitting_person_type_and_handler(
    desk, admin_path: str, change: dict[str, Any], code: str, text: str
) -> None:
    given = desk.call("sale.paysystem.add", SYSTEM | change, path=admin_path)
    assert given == (400, {"error": code, "error_description": text})


def test_a_forbidden_field_of_the_pay_system_list_is_an_error_with_an_empty_code(desk, admin_path: str) -> None:
    given = desk.call("sale.paysystem.list", {"filter": {"FOO": 1}}, path=admin_path)
    assert given == (400, {"error": "", "error_description": "FOO not allowed for filter"})


def test_invoice_pay_systems_and_person_types_are_listed_without_admin_rights(desk) -> None:
    assert [row["ID"] for row in desk.result("crm.paysystem.list", {"order": {"ID": "ASC"}})] == ["6", "31", "32"]
    expected = [{"ID": "1", "NAME": "CRM_CONTACT"}, {"ID": "2", "NAME": "CRM_COMPANY"}]
    assert desk.result("crm.persontype.list", {"order": {"ID": "ASC"}}) == expected
