from __future__ import annotations

import re

from airflow_b24.sandbox import seed
from airflow_b24.sandbox.wire import Request

EVIL = '<script>alert("x")</script>'


def page(desk, host: str = "127.0.0.1:8000"):
    return desk.send(Request("GET", "/", "", {"host": host}))


def test_everything_people_wrote_is_escaped(desk) -> None:
    desk.control("POST", "invoices", {"number": EVIL, "price": "1.00", "currency": EVIL, "voucher_number": EVIL})
    payer = {"name": EVIL, "tax_id": EVIL}
    record = dict.fromkeys(("amount", "currency", "booked_on", "purpose", "document_number"), EVIL)
    desk.control("POST", "payments", record | {"payer": payer})
    desk.fault("error", code=EVIL)
    desk.pay(2)
    shown = page(desk).body.decode()
    assert "<script" not in shown
    assert shown.count("&lt;script&gt;") >= 9


def test_it_shows_invoices_payments_requests_and_the_bucket_and_no_secret(desk) -> None:
    desk.pay(2)
    desk.pay(2)
    desk.control("POST", "payments", {"amount": "118.00", "purpose": "Оплата по счету № 2026/2"})
    shown = page(desk).body.decode()
    for text in (
        "2026/2",
        "paid 2 times",
        "Оплата по счету",
        "sale.paysystem.pay.invoice",
        "2 of 50",
        "Северный ветер",
    ):
        assert text in shown
    assert seed.TECHNICAL_SECRET not in shown
    assert seed.BANK_API_KEY not in shown


def test_an_invoice_has_its_id_beside_its_number(desk) -> None:
    assert re.search(r"2026/2<br><small>id 2\b", page(desk).body.decode())


def test_it_renews_itself_and_loads_nothing_from_elsewhere(desk) -> None:
    shown = page(desk).body.decode()
    assert 'http-equiv="refresh"' in shown
    assert not re.search(r"(src|href)=|url\(|@import|https?://", shown)


def test_malformed_bank_records_do_not_break_it(desk) -> None:
    desk.control("POST", "payments", [{"amount": None, "payer": "nobody", "purpose": ["x"]}, {"amount": 118.5}])
    assert page(desk).status == 200


def test_a_foreign_host_sees_nothing(desk) -> None:
    assert page(desk, "evil.example").status == 404
