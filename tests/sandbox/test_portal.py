from __future__ import annotations

import pytest

from airflow_b24.sandbox import seed
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


def test_latency_and_work_delay_the_answer_and_show_in_its_time(desk) -> None:
    desk.control("POST", "settings", {"latency_s": 0.02, "work_s": 0.04, "count_s": 0.02})
    counted, uncounted = desk.ask("crm.invoice.list"), desk.ask("crm.invoice.list", {"start": -1})
    assert (counted.delay_s, uncounted.delay_s) == (pytest.approx(0.08), pytest.approx(0.06))
    assert desk.pay(2)[1]["time"]["duration"] == pytest.approx(0.06, abs=1e-3)


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
