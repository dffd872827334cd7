from __future__ import annotations

from typing import Any

import pytest

from airflow_b24.sandbox import seed
from airflow_b24.sandbox.listing import Result
from airflow_b24.sandbox.methods import METHODS, Method
from airflow_b24.sandbox.wire import Request

PAY = "sale.paysystem.pay.invoice"


def batch(desk, cmd: Any, halt: Any = 0) -> Any:
    return desk.result("batch", {"halt": halt, "cmd": cmd})


def pay(invoice_id: int) -> str:
    return f"{PAY}?INVOICE_ID={invoice_id}&PAY_SYSTEM_ID=31"


def test_each_command_has_its_own_outcome_and_empty_maps_are_arrays(desk) -> None:
    given = batch(desk, {"p1": pay(2), "p2": pay(9)})
    error = {"error": "ERROR_INTERNAL_INVOICE_NOT_FOUND", "error_description": "Invoice #9 not found"}
    assert (given["result"], given["result_error"]) == ({"p1": True}, {"p2": error})
    assert (given["result_total"], given["result_next"], list(given["result_time"])) == ([], [], ["p1"])


def test_commands_without_names_come_back_as_arrays(desk) -> None:
    given = batch(desk, ["profile", "crm.invoice.list?select[]=ID"])
    assert [row["ID"] for row in given["result"][1]] == ["5", "4", "3", "2"]
    assert given["result_total"] == {"1": 4}


def test_a_form_encoded_batch_works_like_a_json_one(desk) -> None:
    body = f"halt=0&cmd[a]={PAY}%3FINVOICE_ID%3D2%26PAY_SYSTEM_ID%3D31".encode()
    assert desk.send(Request("POST", desk.path + "batch.json", "", {}, body)).status == 200
    assert desk.books(2)["paid"] is True


@pytest.mark.parametrize(("halt", "paid"), [(0, True), ("0", True), (1, False), ("false", False), (True, False)])
def test_halt_stops_after_the_first_error_by_php_truth(desk, halt: Any, paid: bool) -> None:
    batch(desk, {"a": pay(9), "b": pay(2)}, halt)
    assert desk.books(2)["paid"] is paid


def test_the_fifty_first_command_is_too_many_and_the_others_run(desk) -> None:
    given = batch(desk, {f"c{n}": "profile" for n in range(52)})
    assert len(given["result"]) == 50
    assert {entry["error"] for entry in given["result_error"].values()} == {"ERROR_BATCH_LENGTH_EXCEEDED"}
    assert list(given["result_error"]) == ["c50", "c51"]


def test_a_batch_in_a_batch_is_not_allowed(desk) -> None:
    assert batch(desk, {"a": "batch?cmd[x]=profile"})["result_error"]["a"]["error"] == "ERROR_BATCH_METHOD_NOT_ALLOWED"


def test_what_is_no_string_is_skipped_silently(desk) -> None:
    given = batch(desk, {"a": {"method": "profile"}, "b": 7, "c": "profile"})
    assert (list(given["result"]), given["result_error"]) == (["c"], [])


def test_a_missing_scope_has_an_empty_description_inside_a_batch(desk) -> None:
    sent = {"cmd": {"a": pay(2), "b": "crm.invoice.get?id=2"}}
    given = desk.result("batch", sent, path=seed.webhook_path(secret=seed.CRM_ONLY_SECRET))
    assert given["result_error"]["a"] == {"error": "insufficient_scope", "error_description": ""}
    assert given["result"]["b"]["ID"] == "2"


FIND = "crm.invoice.list?filter[ACCOUNT_NUMBER]=2026/3&select[]=ID"


def test_a_reference_pays_what_an_earlier_command_found(desk) -> None:
    given = batch(desk, {"find": FIND, "pay": f"{PAY}?PAY_SYSTEM_ID=31&INVOICE_ID=$result[find][0][ID]"})
    assert given["result"]["pay"] is True
    assert desk.books(3)["paid"] is True


@pytest.mark.parametrize(
    ("reference", "sent"),
    [
        ("$result[find][0][ID]", "3"),
        ("$result[find][0][NOTHING][ID]", {"ID": "3"}),
        ("$result[find][7][ID]", [{"ID": "3"}]),
        ("$result[nobody][0][ID]", {"find": [{"ID": "3"}]}),
        ("$error[find][error]", {"lost": {"error": "", "error_description": "Not found."}}),
        ("$error[lost][error_description]", "Not found."),
        ("$total[find]", 1),
        ("$Total[find]", None),
        ("$total", "$total"),
        ("$cost[find]", "$cost[find]"),
        ("No. $total[find]", "No. 1"),
        ("No. $total[find], please", "No. 1 please"),
        ("No. $result[find]", "No. $result[find]"),
        ("$total[find] of $total[find]", "1 of 1"),
    ],
)
def test_a_reference_becomes_what_the_portal_would_put_there(
    desk, monkeypatch: pytest.MonkeyPatch, reference: str, sent: object
) -> None:
    seen: list[object] = []
    spy = Method(lambda turn: Result(seen.append(turn.arguments["x"])))
    monkeypatch.setitem(METHODS, "spy", spy)  # type: ignore[arg-type]
    batch(desk, {"find": FIND, "lost": "crm.invoice.get?id=99", "spy": f"spy?x={reference}"})
    assert seen == [sent]


def test_a_reference_deep_in_an_argument_is_filled(desk) -> None:
    given = batch(desk, {"find": FIND, "again": "crm.invoice.list?filter[@ID][]=$result[find][0][ID]&select[]=ID"})
    assert given["result"]["again"] == [{"ID": "3"}]


def test_one_batch_is_one_request_to_the_bucket(desk) -> None:
    batch(desk, [pay(2), pay(3), pay(4)])
    assert desk.state.bucket.level(desk.now) == 1
    assert desk.state.journal[-1].commands == 3


def test_a_batch_with_an_empty_body_runs_nothing(desk) -> None:
    given = desk.result("batch", {})
    assert given == {name: [] for name in ("result", "result_error", "result_total", "result_next", "result_time")}
