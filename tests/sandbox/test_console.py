from __future__ import annotations

import re

from airflow_b24.sandbox import seed
from airflow_b24.sandbox.wire import Request

EVIL = '<script>alert("x")</script>'


def page(desk, host: str = "127.0.0.1:8000"):
    return desk.send(Request("GET", "/", "", {"host": host}))


def test_everything_people_wrote_is_escaped(desk) -> None:
    desk.control("POST", "invoices", {"number": EVIL, "price": "1.00", "currency": EVIL, "voucher_number": EVIL})
    desk.control("POST", "smart-invoices", {"number": EVIL, "price": "1.00", "currency": EVIL, "category_id": 8})
    funnel = desk.control("GET", "funnels")[1][1]
    stages = [stage | {"name": EVIL} for stage in funnel["stages"]]
    assert desk.control("POST", "funnels", funnel | {"name": EVIL, "stages": stages})[0] == 200
    payer = {"name": EVIL, "tax_id": EVIL}
    record = dict.fromkeys(("amount", "currency", "booked_on", "purpose", "document_number"), EVIL)
    desk.control("POST", "payments", record | {"payer": payer})
    desk.fault("error", code=EVIL)
    desk.pay(2)
    shown = page(desk).body.decode()
    assert "<script" not in shown
    assert shown.count("&lt;script&gt;") >= 16


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


def test_smart_invoices_have_a_table_of_their_own(smart) -> None:
    smart.update(501, stageId="DT31_5:P")
    smart.update(601, stageId="DT31_8:UC_PAID01")
    smart.update(601, stageId="DT31_8:UC_PAID01")
    sent = {"invoice_id": 2, "pay_system_id": 33, "sum": "1.00", "paid": True}
    smart.control("POST", "payment-documents", [sent, sent | {"paid": False}])
    shown = page(smart).body.decode()
    table = shown.partition("<h2>Smart invoices</h2>")[2].partition("<h2>")[0]
    for text in (
        "S-501<br><small>id 501, of 17.11.2026</small>",
        '<span class="pill good">Оплачен</span><br><small>Общая, DT31_5:P</small>',
        '<span class="pill bad">paid 2 times</span><br><small>Опт, DT31_8:UC_PAID01</small>',
        '<span class="pill warn">Отправлен</span><br><small>Проекты, DT31_9:S</small>',
        "by program, Airflow Робот",
        "by hand, Ольга Бухгалтер",
        "1 of 2 paid",
    ):
        assert text in table


def test_the_figures_count_both_kinds_of_invoices(smart) -> None:
    smart.pay(3)
    smart.update(501, stageId="DT31_5:P")
    smart.update(501, stageId="DT31_5:P")
    smart.update(601, stageId="DT31_8:UC_LOST01")
    cards = re.sub(r"<[^>]+>", " ", page(smart).body.decode().partition('<div class="cards">')[2]).split()
    text = " ".join(cards)
    assert "4 unpaid invoices, 472.00 RUB 2 paid invoices 1 invoices paid more than once" in text


def test_an_invoice_has_its_id_beside_its_number(desk) -> None:
    assert re.search(r"2026/2<br><small>id 2\b", page(desk).body.decode())


def test_it_renews_itself_and_loads_nothing_from_elsewhere(desk) -> None:
    shown = page(desk).body.decode()
    assert 'http-equiv="refresh"' in shown
    assert not re.search(r"(src|href)=|url\(|@import|https?://", shown)


def test_scripted_faults_are_shown_with_the_calls_that_are_left(desk) -> None:
    assert "None: the portal works as it should." in page(desk).body.decode()
    desk.fault("lost_after", method="sale.paysystem.pay.invoice", match={"INVOICE_ID": EVIL}, times=17)
    table = page(desk).body.decode().partition("<h2>Scripted faults</h2>")[2].partition("<h2>")[0]
    for text in (
        "sale.paysystem.pay.invoice",
        "lost_after",
        "done, and cut off without an answer",
        ">17<",
        "&lt;script",
    ):
        assert text in table


def test_malformed_bank_records_do_not_break_it(desk) -> None:
    desk.control("POST", "payments", [{"amount": None, "payer": "nobody", "purpose": ["x"]}, {"amount": 118.5}])
    assert page(desk).status == 200


def test_a_foreign_host_sees_nothing(desk) -> None:
    assert page(desk, "evil.example").status == 404
