from __future__ import annotations

from typing import Any

import pytest

from airflow_b24.sandbox.faults import AFTER, COMMAND, FRONT, WHAT

PAY = "sale.paysystem.pay.invoice"
ONE = {"INVOICE_ID": 2}


def batch(desk, *numbers: int) -> tuple[int, Any]:
    commands = {f"p{n}": f"{PAY}?INVOICE_ID={n}&PAY_SYSTEM_ID=31" for n in numbers}
    return desk.call("batch", {"halt": 0, "cmd": commands})


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("refused", 503, "QUERY_LIMIT_EXCEEDED"),
        ("operation_time_limit", 429, "OPERATION_TIME_LIMIT"),
        ("expired_token", 401, "expired_token"),
        ("error", 400, "ERROR_CORE"),
    ],
)
def test_a_refusing_fault_applies_nothing_and_ends_after_its_times(desk, kind: str, status: int, code: str) -> None:
    desk.fault(kind, method=PAY, match=ONE, times=2)
    assert [(desk.pay(2)[0], desk.pay(2)[1]["error"])] == [(status, code)]
    assert desk.books(2)["paid"] is False
    assert desk.pay(2)[0] == 200


@pytest.mark.parametrize(
    ("kind", "status", "start", "paid"),
    [
        ("lost_before", 0, b"", False),
        ("lost_after", 0, b"", True),
        ("html_500_after", 500, b"<html>", True),
        ("html_502_after", 502, b"<html>", True),
        ("html_503_after", 503, b"<html>", True),
        ("truncated_after", 200, b'{"result": true', True),
        ("unpaid", 200, b'{"result": true', False),
    ],
)
def test_a_spoilt_answer_tells_nothing_about_what_was_applied(
    desk, kind: str, status: int, start: bytes, paid: bool
) -> None:
    desk.fault(kind, method="sale.*.pay.*")
    answer = desk.ask(PAY, {"INVOICE_ID": 2, "PAY_SYSTEM_ID": 31})
    assert (answer.cut, answer.status, answer.body.startswith(start)) == (status == 0, status, True)
    assert desk.books(2)["paid"] is paid


def test_a_truncated_answer_is_no_json(desk) -> None:
    desk.fault("truncated_after")
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        desk.pay(2)


def test_a_slow_call_is_applied_and_answered_late(desk) -> None:
    desk.fault("slow", seconds=3)
    assert desk.ask(PAY, {"INVOICE_ID": 2, "PAY_SYSTEM_ID": 31}).delay_s == pytest.approx(3)
    assert desk.books(2)["paid"] is True


@pytest.mark.parametrize("host", ["new.example:8443", "https://new.example:8443"])
def test_a_renamed_portal_redirects_to_the_same_path_on_the_new_host(desk, host: str) -> None:
    desk.fault("redirect", host=host)
    answer = desk.ask(PAY, {"INVOICE_ID": 2, "PAY_SYSTEM_ID": 31})
    assert (answer.status, answer.headers["location"]) == (302, f"https://new.example:8443{desk.path}{PAY}")
    assert desk.books(2)["paid"] is False


def test_faults_come_in_the_order_of_the_queue(desk) -> None:
    desk.fault("lost_after", method=PAY)
    desk.fault("refused", method="*")
    assert desk.ask(PAY, {"INVOICE_ID": 2, "PAY_SYSTEM_ID": 31}).cut is True
    assert desk.pay(2)[0] == 503
    assert desk.pay(2)[0] == 200


def test_a_fault_for_one_invoice_spares_the_others(desk) -> None:
    desk.fault("unpaid", match={"invoice_id": "2"}, times=9)
    desk.pay(2)
    desk.pay(3)
    assert (desk.books(2)["paid"], desk.books(3)["paid"]) == (False, True)


def test_a_refused_command_refuses_the_whole_batch_once(desk) -> None:
    desk.fault("refused", method=PAY, times=2)
    assert [batch(desk, 2, 3)[0] for _ in range(3)] == [503, 503, 200]
    assert [desk.books(n)["executed_pays"] for n in (2, 3)] == [1, 1]


def test_a_lost_answer_of_one_command_loses_the_whole_batch_after_all_of_it_ran(desk) -> None:
    desk.fault("lost_after", method=PAY, match=ONE)
    commands = {f"p{n}": f"{PAY}?INVOICE_ID={n}&PAY_SYSTEM_ID=31" for n in (2, 3)}
    assert desk.ask("batch", {"cmd": commands}).cut is True
    assert [desk.books(n)["executed_pays"] for n in (2, 3)] == [1, 1]


@pytest.mark.parametrize(("kind", "code"), [("operation_time_limit", "OPERATION_TIME_LIMIT"), ("error", "ERROR_CORE")])
def test_a_command_of_a_batch_fails_alone(desk, kind: str, code: str) -> None:
    desk.fault(kind, method=PAY, match=ONE)
    status, document = batch(desk, 2, 3)
    assert (status, document["result"]["result"]) == (200, {"p3": True})
    assert document["result"]["result_error"]["p2"]["error"] == code


def test_true_but_unpaid_works_for_a_command_of_a_batch(desk) -> None:
    desk.fault("unpaid", match=ONE)
    assert batch(desk, 2, 3)[1]["result"]["result"] == {"p2": True, "p3": True}
    assert [desk.books(n)["paid"] for n in (2, 3)] == [False, True]


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({"kind": "explode"}, "kind"),
        ({}, "kind"),
        ({"kind": "refused", "invoice": 2}, "invoice"),
        ({"kind": "redirect"}, "host"),
        ({"kind": "refused", "match": [2]}, "match"),
        ({"kind": "refused", "match": None}, "match"),
        ({"kind": "refused", "method": "sale.paysystem.pay.invoces"}, "method"),
        ({"kind": "refused", "method": "Sale.Paysystem.Pay.Invoice"}, "method"),
        ({"kind": "refused", "method": 7}, "method"),
        ({"kind": "refused", "times": "often"}, "times"),
        ({"kind": "refused", "times": 0}, "times"),
        ({"kind": "refused", "times": 1.5}, "times"),
        ({"kind": "refused", "times": True}, "times"),
        ({"kind": "slow", "seconds": -1}, "seconds"),
        ({"kind": "error", "status": 99}, "status"),
    ],
)
def test_a_rule_that_cannot_be_read_is_refused_by_its_field_and_none_is_kept(
    desk, rule: dict[str, Any], field: str
) -> None:
    status, document = desk.control("POST", "faults", [{"kind": "refused"}, rule])
    assert (status, document["error"].split(":")[0].split(",")[0]) == (400, field)
    assert desk.state.faults.rules == []


@pytest.mark.parametrize("method", [PAY, "sale.*", "*", "batch", "oauth.token"])
def test_a_fault_may_be_of_any_method_there_is(desk, method: str) -> None:
    assert desk.control("POST", "faults", {"kind": "refused", "method": method})[0] == 200


def test_a_method_that_was_misspelt_is_told_the_nearest_one(desk) -> None:
    said = desk.control("POST", "faults", {"kind": "refused", "method": "sale.paysystem.pay.invoces"})[1]["error"]
    assert PAY in said


def test_what_is_scripted_is_shown_with_what_is_left_of_it(desk) -> None:
    desk.fault("lost_after", method=PAY, match=ONE, times=3)
    desk.fault("error", code="ACCESS_DENIED", status=403)
    desk.ask(PAY, {"INVOICE_ID": 2, "PAY_SYSTEM_ID": 31})
    lost, refused = desk.control("GET", "faults")[1]
    assert lost.pop("what") == "done, and cut off without an answer"
    assert lost == {"kind": "lost_after", "method": PAY, "match": {"INVOICE_ID": "2"}, "left": 2}
    assert refused.pop("what")
    assert refused == {
        "kind": "error",
        "method": "*",
        "match": {},
        "status": 403,
        "code": "ACCESS_DENIED",
        "left": 1,
    }
    for _ in range(2):
        desk.ask(PAY, {"INVOICE_ID": 2, "PAY_SYSTEM_ID": 31})
    assert [each["kind"] for each in desk.control("GET", "faults")[1]] == ["error"]


def test_every_kind_of_fault_is_told_in_words() -> None:
    assert set(WHAT) == FRONT | COMMAND | AFTER


def test_all_faults_can_be_taken_away(desk) -> None:
    desk.fault("refused", times=100)
    assert desk.control("DELETE", "faults") == (200, {"rules": 0})
    assert desk.pay(2)[0] == 200
