from __future__ import annotations

from typing import Any

import pytest

from airflow_b24.sandbox import seed
from airflow_b24.sandbox.methods import METHODS
from airflow_b24.sandbox.wire import Request


def test_an_unknown_method_is_reported_before_auth_is_looked_at(desk) -> None:
    expected = {"error": "ERROR_METHOD_NOT_FOUND", "error_description": "Method not found!"}
    assert desk.call("crm.nothing", path="/rest/1/wrong/") == (404, expected)


@pytest.mark.parametrize(
    ("path", "code", "text"),
    [
        ("/rest/", "NO_AUTH_FOUND", "Wrong authorization data"),
        ("/rest/9/wrong/", "INVALID_CREDENTIALS", "Invalid request credentials"),
        (seed.webhook_path(1), "INVALID_CREDENTIALS", "Invalid request credentials"),
        (
            seed.webhook_path(secret=seed.CRM_ONLY_SECRET),
            "insufficient_scope",
            "The request requires higher privileges than provided by the webhook token",
        ),
    ],
)
def test_auth_failures_are_401_in_the_portals_words(desk, path: str, code: str, text: str) -> None:
    sent = {"INVOICE_ID": 2, "PAY_SYSTEM_ID": 31}
    given = desk.call("sale.paysystem.pay.invoice", sent, path=path)
    assert given == (401, {"error": code, "error_description": text})


def test_the_envelope_carries_the_whole_time_object(desk) -> None:
    time = desk.pay(2)[1]["time"]
    assert set(time) == {
        *("start", "finish", "duration", "processing", "date_start", "date_finish"),
        *("operating_reset_at", "operating"),
    }
    assert time["date_start"] == "2026-11-22T12:00:00+03:00"
    assert isinstance(time["start"], float)


def test_a_self_hosted_portal_has_an_integer_start_and_no_operating(desk) -> None:
    desk.control("POST", "settings", {"operating": False, "integer_time": True})
    time = desk.pay(2)[1]["time"]
    assert isinstance(time["start"], int)
    assert not {"operating", "operating_reset_at"} & set(time)


def test_an_error_has_no_time(desk) -> None:
    assert set(desk.pay(99)[1]) == {"error", "error_description"}


@pytest.mark.parametrize(
    ("method", "sent", "took_s"),
    [
        ("crm.invoice.get", {"id": 2}, 0.03),
        ("crm.item.fields", {"entityTypeId": 31}, 0.03),
        ("crm.invoice.list", {"start": -1}, 0.05),
        ("crm.invoice.list", {}, 0.21),
        ("crm.status.list", {}, 0.05),
        ("sale.paysystem.pay.invoice", {"INVOICE_ID": 2, "PAY_SYSTEM_ID": 31}, 0.09),
        ("crm.item.update", {"entityTypeId": 31, "id": 2, "fields": {"stageId": "DT31_5:P"}}, 0.09),
        ("crm.item.payment.pay", {"id": 1}, 0.01),
        ("batch", {"cmd": ["crm.invoice.get?id=2", "crm.invoice.list?start=-1", "crm.invoice.get?id=99"]}, 0.07),
    ],
)
def test_a_request_takes_its_latency_and_what_the_kinds_of_its_commands_take(
    smart, method: str, sent: dict[str, Any], took_s: float
) -> None:
    smart.control(
        "POST", "settings", {"latency_s": 0.01, "read_s": 0.02, "list_s": 0.04, "write_s": 0.08, "count_s": 0.16}
    )
    assert smart.ask(method, sent).delay_s == pytest.approx(took_s)


def test_what_a_request_took_shows_in_its_time(desk) -> None:
    desk.control("POST", "settings", {"latency_s": 0.02, "write_s": 0.04})
    assert desk.pay(2)[1]["time"]["duration"] == pytest.approx(0.06, abs=1e-3)


def test_every_method_that_changes_something_is_as_slow_as_a_writing() -> None:
    changes = {"add", "update", "pay", "unpay", "invoice", "payment"}
    written = {name for name, method in METHODS.items() if method.kind == "write"}
    assert written == {name for name in METHODS if name.rsplit(".", 1)[-1] in changes}


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("scope", ["crm", "pay_system"]),
        ("user.admin", False),
        ("server.time", "2026-11-22T12:00:00+03:00"),
    ],
)
def test_the_portal_tells_about_itself(desk, method: str, expected: object) -> None:
    assert desk.result(method) == expected


def test_the_profile_names_the_user_of_the_webhook(desk, admin_path: str) -> None:
    assert (desk.result("profile")["ID"], desk.result("profile")["ADMIN"]) == ("9", False)
    assert (desk.result("profile", path=admin_path)["ID"], desk.result("user.current", path=admin_path)["ID"]) == (
        "1",
        "1",
    )


@pytest.mark.parametrize(
    ("name", "exists", "available"),
    [("crm.invoice.get", True, True), ("user.current", True, False), ("crm.nothing", False, False)],
)
def test_method_get_tells_existence_from_availability(desk, name: str, exists: bool, available: bool) -> None:
    assert desk.result("method.get", {"name": name}) == {"isExisting": exists, "isAvailable": available}


def test_app_info_is_for_applications_only(desk) -> None:
    assert desk.call("app.info")[0] == 403
    assert desk.call("app.info", {"auth": seed.ACCESS_TOKEN}, path="/rest/")[1]["result"]["INSTALLED"] is True


def test_the_journal_never_holds_a_secret(desk) -> None:
    desk.pay(2)
    for path in (f"/rest/9/{seed.TECHNICAL_SECRET}", f"/rest/{seed.ACCESS_TOKEN}", f"/rest/x/{seed.ADMIN_SECRET}"):
        desk.send(Request("GET", path))
    shown = str(desk.control("GET", "requests")[1]) + repr(desk.state)
    secrets = (seed.TECHNICAL_SECRET, seed.ACCESS_TOKEN, seed.ADMIN_SECRET, seed.BANK_API_KEY, seed.REFRESH_TOKEN)
    assert not [secret for secret in secrets if secret in shown]
    assert [entry["method"] for entry in desk.control("GET", "requests")[1]] == [
        "sale.paysystem.pay.invoice",
        *["(unknown)"] * 3,
    ]
