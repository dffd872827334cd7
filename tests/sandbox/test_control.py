from __future__ import annotations

from typing import Any

import pytest

from airflow_b24.sandbox.wire import Request


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "[::1]:8000", "localhost"])
def test_this_machine_may_ask(desk, host: str) -> None:
    assert desk.control("GET", "books", host=host)[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8000", "10.0.0.1", ""])
@pytest.mark.parametrize("verb", ["GET", "DELETE"])
def test_a_foreign_host_header_is_refused(desk, host: str, verb: str) -> None:
    assert desk.control(verb, "books", host=host)[0] == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "null"},
        {"sec_fetch_site": "cross-site"},
    ],
)
def test_a_write_from_another_origin_is_refused(desk, headers: dict[str, str]) -> None:
    assert desk.control("POST", "faults", {"kind": "refused"}, **headers)[0] == 403
    assert desk.state.faults.rules == []


def test_a_write_from_our_own_origin_is_taken(desk) -> None:
    given = desk.control(
        "POST", "faults", {"kind": "refused"}, origin="http://127.0.0.1:8000", sec_fetch_site="same-origin"
    )
    assert given == (200, {"rules": 1})


@pytest.mark.parametrize(("verb", "place"), [("GET", "nothing"), ("PUT", "books"), ("POST", "invoices/999")])
def test_what_is_not_there_is_a_404(desk, verb: str, place: str) -> None:
    assert desk.control(verb, place, {})[0] == 404


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b"[1]"])
def test_a_body_that_is_no_object_is_refused_with_the_fix(desk, body: bytes) -> None:
    answer = desk.send(Request("POST", "/sandbox/payments", "", {"host": "localhost"}, body))
    assert (answer.status, b"body: " in answer.body) == (400, True)


def test_an_invoice_is_added_and_overwritten(desk) -> None:
    new = {"number": "2026/77", "price": "10.00", "company_id": 21, "billed_on": "2026-11-01", "status_id": "S"}
    number = desk.control("POST", "invoices", new)[1][0]["id"]
    row = desk.result("crm.invoice.get", {"id": number})
    assert (row["ACCOUNT_NUMBER"], row["DATE_BILL"]) == ("2026/77", "2026-11-01T00:00:00+03:00")
    desk.control("POST", "invoices", {"id": number, "number": "2026/78", "price": "11.00"})
    assert (desk.books(number)["number"], desk.books(number)["price"]) == ("2026/78", "11.00")


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"price": "1.00"}, "number"),
        ({"number": "1"}, "price"),
        ({"number": "1", "price": 1.5}, "price"),
        ({"number": "1", "price": "NaN"}, "price"),
        ({"number": "1", "price": "1.00", "colour": "red"}, "colour"),
        ({"number": "1", "price": "1.00", "billed_on": "soon"}, "billed_on"),
    ],
)
def test_an_invoice_that_cannot_be_read_is_refused_by_its_field(desk, document: dict[str, Any], field: str) -> None:
    status, given = desk.control("POST", "invoices", document)
    assert (status, given["error"].split(":")[0]) == (400, field)


@pytest.mark.parametrize(
    ("do", "paid", "status_id", "cancelled"),
    [
        ("pay", True, "P", False),
        ("cancel", False, "D", True),
        ("reverse", False, "N", False),
        ("edit", False, "S", False),
    ],
)
def test_a_person_pays_cancels_reverses_or_edits(desk, do: str, paid: bool, status_id: str, cancelled: bool) -> None:
    sent = {"do": do, "by": 2, "fields": {"voucher_number": "4711", "price": "120.00"}}
    row = desk.control("POST", "invoices/2", sent)[1]
    assert (row["paid"], row["status_id"], row["cancelled"]) == (paid, status_id, cancelled)
    assert (row["price"], row["voucher_number"], row["executed_pays"]) == ("120.00", "4711", 0)
    assert row["emp_payed_id"] == (2 if paid else None)


def test_a_comment_on_a_paid_invoice_makes_the_commentator_its_payer(desk) -> None:
    desk.pay(2)
    row = desk.control("POST", "invoices/2", {"do": "edit", "by": 2, "fields": {"comments": "ok"}})[1]
    assert (row["paid"], row["emp_payed_id"], row["pay_system_id"]) == (True, 2, 31)


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"do": "burn"}, "do"),
        ({"by": "Olga"}, "by"),
        ({"fields": 7}, "fields"),
        ({"fields": {"x": 1}}, "x"),
        ({"price": "1.00"}, "price"),
        ({"do": "pay", "action": "pay"}, "action"),
    ],
)
def test_an_edit_that_cannot_be_read_changes_nothing(desk, document: dict[str, Any], field: str) -> None:
    before = desk.books(2)
    status, given = desk.control("POST", "invoices/2", document)
    assert (status, given["error"].split(":")[0]) == (400, field)
    assert desk.books(2) == before


def test_a_value_beside_the_fields_of_an_edit_is_told_where_it_belongs(desk) -> None:
    said = desk.control("POST", "invoices/2", {"do": "edit", "price": "1.00"})[1]["error"]
    assert said == 'price: use do, by, fields; new values go into fields: {"fields": {"price": ...}}'


def test_settings_are_changed_and_all_shown(desk) -> None:
    status, shown = desk.control("POST", "settings", {"rate_burst": 250, "rate_per_s": 5.0, "bank_page_size": 100})
    assert (status, shown["rate_burst"], shown["bank_page_size"], shown["operating"]) == (200, 250, 100, True)


@pytest.mark.parametrize(
    "document",
    [
        {"speed": 1},
        {"latency_s": -1},
        {"latency_s": True},
        {"operating": 1},
        {"language": "de"},
        {"rate_burst": "9"},
        {"operating_billed_to": "nobody"},
        {"workers": 1.5},
    ],
)
def test_a_setting_that_does_not_fit_changes_none(desk, document: dict[str, Any]) -> None:
    status, given = desk.control("POST", "settings", {"read_s": 9, **document})
    assert (status, given["error"].split(":")[0]) == (400, next(iter(document)))
    assert desk.state.settings.read_s == 0
