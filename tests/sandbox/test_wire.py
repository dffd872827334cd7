from __future__ import annotations

import json

import pytest

from airflow_b24.sandbox import seed
from airflow_b24.sandbox.wire import Request, read_call

PAY = "sale.paysystem.pay.invoice"
HOOK = f"/rest/9/{seed.TECHNICAL_SECRET}/{PAY}"
OPEN = f"/rest/{PAY}"
TOKEN = seed.ACCESS_TOKEN
JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
BOTH = b'{"INVOICE_ID":2,"PAY_SYSTEM_ID":31,"auth":"not this one"}'
PAIR = "INVOICE_ID=2&PAY_SYSTEM_ID=31"

# The six call styles of the method's documentation page, as their clients put them on the wire, and the odd ones.
STYLES = {
    "curl, webhook": Request("POST", HOOK, "", JSON, b'{"INVOICE_ID":2,"PAY_SYSTEM_ID":31}'),
    "curl, OAuth": Request("POST", OPEN, "", JSON, f'{{"INVOICE_ID":2,"PAY_SYSTEM_ID":31,"auth":"{TOKEN}"}}'.encode()),
    "b24jssdk": Request("POST", HOOK, "", JSON, b'{"INVOICE_ID":2,"PAY_SYSTEM_ID":31}'),
    "PHP SDK": Request("POST", OPEN, "", JSON, f'{{"auth":"{TOKEN}","INVOICE_ID":2,"PAY_SYSTEM_ID":31}}'.encode()),
    "BX24.js": Request("POST", OPEN, "", FORM, f"{PAIR}&auth={TOKEN}".encode()),
    "CRest": Request("POST", OPEN + ".json", "", FORM, f"auth={TOKEN}&{PAIR}".encode()),
    "CRest, webhook": Request("POST", HOOK + ".json", "", FORM, PAIR.encode()),
    "Bearer header": Request("POST", OPEN, "", {**JSON, "authorization": f"Bearer {TOKEN}"}, BOTH),
    "access_token": Request("GET", OPEN, f"{PAIR}&access_token={TOKEN}"),
    "GET": Request("GET", HOOK, PAIR),
    "trailing slash": Request("POST", HOOK + "/", "", JSON, b'{"INVOICE_ID":2,"PAY_SYSTEM_ID":31}'),
    "upper case method": Request("POST", HOOK.replace(PAY, PAY.upper()), PAIR),
    "query and body": Request("POST", HOOK, "INVOICE_ID=77&PAY_SYSTEM_ID=31", JSON, b'{"INVOICE_ID":2}'),
    "aplogin": Request("POST", OPEN, f"aplogin=9&ap={seed.TECHNICAL_SECRET}", FORM, PAIR.encode()),
    "lower case keys": Request("POST", HOOK, "", JSON, b'{"invoice_id":2,"pay_system_id":31}'),
    "no content type": Request("POST", HOOK, "", {}, PAIR.encode()),
}


@pytest.mark.parametrize("style", STYLES)
def test_every_documented_call_style_pays_the_invoice(style: str, desk) -> None:
    answer = desk.send(STYLES[style])
    assert (answer.status, json.loads(answer.body)["result"]) == (200, True)
    assert desk.books(2)["executed_pays"] == 1


def test_malformed_json_is_swallowed_and_the_call_runs_as_if_it_were_empty(desk) -> None:
    answer = desk.send(Request("POST", HOOK, "", JSON, b'{"INVOICE_ID":2,'))
    assert json.loads(answer.body)["error_description"] == "Empty field BX_REST_HANDLER and PAY_SYSTEM_ID"


def test_an_xml_suffix_changes_the_form_of_the_answer_only(desk) -> None:
    answer = desk.send(Request("POST", HOOK + ".xml", PAIR))
    assert answer.headers["content-type"].startswith("text/xml")
    assert b"<response><result>1</result><time>" in answer.body


def test_credentials_are_neither_arguments_nor_printed() -> None:
    call = read_call(STYLES["curl, OAuth"])
    assert call.arguments == {"INVOICE_ID": 2, "PAY_SYSTEM_ID": 31}
    assert TOKEN not in repr(call)
    assert seed.TECHNICAL_SECRET not in repr(read_call(STYLES["GET"]))
