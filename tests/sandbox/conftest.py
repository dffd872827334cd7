from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from airflow_b24.sandbox import seed, seed_funnels, site
from airflow_b24.sandbox.invoice import Invoice
from airflow_b24.sandbox.state import State
from airflow_b24.sandbox.wire import Answer, Request

TODAY = date(2026, 11, 22)
NOON = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


@dataclass
class Desk:
    """A pure sandbox and the ways to talk to it, without a network."""

    state: State
    now: datetime = NOON
    path: str = field(default_factory=seed.webhook_path)

    def send(self, request: Request) -> Answer:
        return site.answer(self.state, request, self.now)

    def ask(self, method: str, arguments: Any = None, *, path: str | None = None) -> Answer:
        body = json.dumps({} if arguments is None else arguments).encode()
        return self.send(Request("POST", (path or self.path) + method, "", {"content-type": "application/json"}, body))

    def call(self, method: str, arguments: Any = None, *, path: str | None = None) -> tuple[int, Any]:
        answer = self.ask(method, arguments, path=path)
        return answer.status, json.loads(answer.body)

    def result(self, method: str, arguments: Any = None, *, path: str | None = None) -> Any:
        status, document = self.call(method, arguments, path=path)
        assert status == 200, document
        return document["result"]

    def pay(self, invoice_id: int, pay_system_id: int = seed.REST_SYSTEM) -> tuple[int, Any]:
        sent = {"INVOICE_ID": invoice_id, "PAY_SYSTEM_ID": pay_system_id}
        return self.call("sale.paysystem.pay.invoice", sent)

    def control(self, verb: str, place: str, document: Any = None, **headers: str) -> tuple[int, Any]:
        body = b"" if document is None else json.dumps(document).encode()
        sent = {"host": "127.0.0.1:8000"} | {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.send(Request(verb, f"/sandbox/{place}", "", sent, body))
        return answer.status, json.loads(answer.body)

    def fault(self, kind: str, **rule: Any) -> None:
        assert self.control("POST", "faults", {"kind": kind, **rule})[0] == 200

    def books(self, invoice_id: int) -> Any:
        return next(row for row in self.control("GET", "books")[1]["invoices"] if row["id"] == invoice_id)

    def refused(self, method: str, arguments: Any = None, *, path: str | None = None) -> tuple[int, str, str]:
        status, document = self.call(method, arguments, path=path)
        return status, document["error"], document["error_description"]

    def update(self, invoice_id: int, **fields: Any) -> Any:
        sent = {"entityTypeId": 31, "id": invoice_id, "fields": fields}
        return self.result("crm.item.update", sent)["item"]

    def smart_books(self, invoice_id: int) -> Any:
        return next(row for row in self.control("GET", "books")[1]["smart_invoices"] if row["id"] == invoice_id)

    def history(self, invoice_id: int) -> list[tuple[int, str]]:
        return [(record["type_id"], record["stage_id"]) for record in self.smart_books(invoice_id)["history"]]


@pytest.fixture
def desk() -> Desk:
    """A prepared portal with invoice 2, as on the method's documentation page, and three neighbours."""
    state = seed.portal(TODAY)
    for number in (2, 3, 4):
        state.invoices[number] = Invoice(number, f"2026/{number}", Decimal("118.00"), company_id=21, status_id="S")
    state.invoices[5] = Invoice(5, "2026/5", Decimal("9.90"), status_id="D", cancelled=True)
    return Desk(state)


@pytest.fixture
def admin_path() -> str:
    return seed.webhook_path(seed.ADMINISTRATOR, seed.ADMIN_SECRET)


@pytest.fixture
def smart(desk: Desk) -> Desk:
    """The same portal with smart invoices: 2, whose id a legacy one has too, and 501; 601 and 701 in other funnels."""
    funnels = {2: seed_funnels.STANDARD, 501: seed_funnels.STANDARD, 601: seed_funnels.RENAMED}
    for number, funnel in (funnels | {701: seed_funnels.AUTOMATED}).items():
        seed.add_smart_invoice(desk.state, seed.SmartBill(number, f"S-{number}", "118.00", 21, 5, funnel), TODAY)
    return desk
