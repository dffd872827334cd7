"""The parsers, each with honest inputs to begin from; whatever goes in, only its own errors may come out."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from hypothesis import strategies as st

from airflow_b24.bitrix import commands, legacy_invoices, protocol, renewal
from airflow_b24.bitrix.auth import Origin, Secret, Webhook
from airflow_b24.bitrix.errors import BitrixError, ResponseError
from airflow_b24.bitrix.gate import Body, UnfitAnswerError
from airflow_b24.bitrix.legacy_invoice import parse_invoice
from airflow_b24.bitrix.protocol import Answer, Request, Response
from airflow_b24.bitrix.session import Session
from airflow_b24.connection import read_settings
from airflow_b24.paginators import (
    Ask,
    HeaderLinkPaginator,
    JSONLinkPaginator,
    JSONResponseCursorPaginator,
    OffsetPaginator,
    Page,
    PageNumberPaginator,
    SinglePagePaginator,
)
from airflow_b24.payments.errors import PaymentError, SourceFormatError
from airflow_b24.payments.loose_numbers import loose_numbers, speaks_of_replacement
from airflow_b24.payments.matching import Proven, Unproven, match
from airflow_b24.payments.model import Payment
from airflow_b24.payments.money import Money, parse_money
from airflow_b24.payments.references import find_references
from airflow_b24.payments.statements.records import (
    Ignored,
    Quarantined,
    RecordFields,
    decode_json,
    identify,
    read_record,
)
from airflow_b24.reconcile import collecting
from airflow_b24.reconcile.translating import answer, fact, seen
from airflow_b24.sandbox import seed, site
from airflow_b24.sandbox.php import parse_str
from airflow_b24.sandbox.wire import Request as Asked
from tests.fuzz.inputs import Run, changed_bytes, mixed, texts
from tests.payments.remittances import invoice

SECRET = "k1x7v9q2m4z8t6w3"
PAY = Request(protocol.PAY_INVOICE, {"INVOICE_ID": 2, "PAY_SYSTEM_ID": 31})
GET = Request("crm.invoice.get", {"id": 2}, write=False)
STATUSES = (200, 201, 204, 301, 302, 303, 400, 401, 403, 404, 429, 500, 502, 503)
TIME = {
    "start": 1712135335.02,
    "finish": 1712135335.4,
    "duration": 0.38,
    "processing": 0.03,
    "date_start": "2024-04-03T11:08:55+02:00",
    "date_finish": "2024-04-03T11:08:55+02:00",
    "operating_reset_at": 1705765533,
    "operating": 3.3,
}
ROW = {
    "ID": "2",
    "ACCOUNT_NUMBER": "2026/45",
    "ORDER_TOPIC": "Оплата услуг",
    "STATUS_ID": "S",
    "PAYED": "N",
    "DATE_PAYED": "2026-03-20T10:00:00+03:00",
    "EMP_PAYED_ID": "9",
    "PRICE": "118.00",
    "CURRENCY": "RUB",
    "PAY_SYSTEM_ID": 31,
    "PAY_VOUCHER_DATE": "2026-03-20T00:00:00+03:00",
    "DATE_BILL": "2026-03-12",
    "UF_COMPANY_ID": 21,
}
RECORD = {
    "id": "P1",
    "account": "40702810900000000001",
    "amount": "118.00",
    "currency": "RUB",
    "booked_on": "2026-03-12",
    "remittance": "счет № 45 от 12.03.2026",
    "payer_name": "ООО «Северный ветер»",
    "payer_tax_id": "7711000219",
    "payer_account": "40702810000000000021",
    "document_number": "17",
    "direction": "credit",
    "status": "booked",
}
MAPPINGS = (
    RecordFields(direction="direction", status="status"),
    RecordFields(id=None, numbers_are_exact=True, time_zone="America/New_York"),
    RecordFields(
        id="to_string(id)",
        amount="to_number(amount) || amount",
        booked_on="join('-', split) || booked_on",
        remittance="remittance[::-1] || keys(@)[0]",
        payer_name="sort(keys(@))[0]",
    ),
)


@dataclass(frozen=True, slots=True)
class Target:
    """A parser: what goes in, and what is done with it."""

    inputs: st.SearchStrategy[bytes]
    run: Run


def _portal(data: bytes) -> None:
    for status in STATUSES:
        for request in (PAY, GET):
            outcome = protocol.read(request, Answer(status, {}, data), host="portal.example")
            assert isinstance(outcome, (Response, BitrixError))
            if isinstance(outcome, BitrixError):
                assert len(str(outcome)) < 2500
            elif request is PAY:
                assert outcome.result is True
            assert answer(outcome if isinstance(outcome, BitrixError) else True)


def _invoice(data: bytes) -> None:
    with suppress(ValueError):
        row = protocol.parse_json(data)
        with suppress(ResponseError):
            invoice = parse_invoice(row)
            assert seen(invoice)
            assert fact(invoice)
            json.dumps(invoice.raw, default=str)


def _listing(data: bytes) -> None:
    outcome = protocol.read(GET, Answer(200, {}, data))
    flow = legacy_invoices.invoice_listing({"=PAYED": "N"}).page()
    flow.send(None)
    with suppress(BitrixError, StopIteration):
        while True:
            flow.send(outcome)


def _batch(data: bytes) -> None:
    asked = {f"c{place}": request for place, request in enumerate((GET, GET, PAY))} | {"0": GET}
    with suppress(ValueError):
        outcomes = commands.decode(Response(protocol.parse_json(data)), asked)
        assert outcomes.keys() == asked.keys()
        assert all(isinstance(each, (Response, BitrixError)) for each in outcomes.values())
        assert isinstance(outcomes["c2"], BitrixError) or outcomes["c2"].result is True


def _gzip(data: bytes) -> None:
    body = Body("gzip", 1000)
    with suppress(UnfitAnswerError):
        for start in range(0, len(data), 7):
            body.add(data[start : start + 7])
        assert body.whole() == gzip.decompress(data)


def _renewal(data: bytes) -> None:
    application = renewal.Application(
        Origin.parse("https://oauth.example"), "app", Secret(SECRET), Secret(SECRET[::-1])
    )
    for status in STATUSES:
        outcome = renewal.read(application, Secret(SECRET[::-1]), Answer(status, {}, data))
        assert isinstance(outcome, (renewal.Grant, BitrixError))
        assert SECRET not in str(outcome)


def _bank(data: bytes) -> None:
    with suppress(SourceFormatError):
        page = decode_json(data)
        for record in page if isinstance(page, list) else [page]:
            _read(record)


def _read(record: object) -> None:
    for fields in MAPPINGS:
        read = read_record(record, fields)
        assert isinstance(read, (Payment, Ignored, Quarantined))
        if isinstance(read, Payment):
            assert read.amount.minor > 0
            assert identify([read, read])[1].key
    assert collecting._body(record)


def _pages(data: bytes) -> None:
    with suppress(SourceFormatError):
        body = decode_json(data)
        link = data.decode("latin-1").replace("\r", "").replace("\n", "")
        page = Page("https://bank.test/v1/payments?from=2026-11-01", body, {"Link": link}, 2)
        for paginator in (
            SinglePagePaginator(),
            JSONResponseCursorPaginator(),
            PageNumberPaginator(),
            OffsetPaginator(limit=9),
            JSONLinkPaginator(),
            HeaderLinkPaginator(),
        ):
            with suppress(SourceFormatError):
                following = paginator.next(paginator.first({"from": "2026-11-01"}), page)
                assert following is None or isinstance(following, Ask)
                assert following is None or following.url is None or following.url.startswith("https://bank.test/")


def _money(data: bytes) -> None:
    text = data.decode("utf-8", "surrogatepass") if _is_utf8(data) else data.decode("latin-1")
    for currency in ("RUB", "JPY", "KWD", "CLF"):
        with suppress(PaymentError):
            money = parse_money(text, currency)
            assert text.isascii()
            assert parse_money(*str(money).split()) == money
    with suppress(PaymentError):
        Money(1, text)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass") if _is_utf8(data) else data.decode("latin-1")


def _day(data: bytes) -> None:
    for zone in ("UTC", "Europe/Moscow", "America/New_York", "Pacific/Apia"):
        read = read_record({**RECORD, "booked_on": _text(data)}, RecordFields(time_zone=zone))
        assert isinstance(read, (Payment, Quarantined))


def _settings(data: bytes) -> None:
    given = None
    with suppress(ValueError, RecursionError):
        given = json.loads(data)
    if not isinstance(given, dict) or not isinstance(given.get("extra"), dict):
        return
    password, host = (given.get(name) if isinstance(given.get(name), str) else "" for name in ("password", "host"))
    assert _shown(lambda: read_settings(password, host, given["extra"]))


def _webhook(data: bytes) -> None:
    assert _shown(lambda: Webhook.parse(_text(data)))


def _shown(read: Callable[[], Any]) -> str:
    """What is shown of a value, or of the error of its group in its place: never the secret."""
    try:
        shown = repr(read())
    except ValueError as error:
        shown = str(error)
    assert SECRET not in shown
    return shown


def _redirect(data: bytes) -> None:
    session = Session(Webhook.parse(f"https://portal.example/rest/1/{SECRET}/"), allowed_hosts=["new.example"])
    judged = session._judge(
        PAY, Answer(302, {"location": data.decode("latin-1"), "retry-after": "9" * 7}, b""), session._origin
    )
    assert isinstance(judged, BitrixError)
    assert SECRET not in str(judged)
    assert session.origin.netloc in {"portal.example", "new.example"}


def _remittance(data: bytes) -> None:
    text = _text(data)
    reading = find_references(text)
    speaks_of_replacement(reading)
    assert all(number.form for number in loose_numbers(reading))
    money = Money(11800, "RUB")
    payment = Payment("1", "id:1", 0, money, date(2026, 3, 20), text, payer_tax_id="7711000219")
    (outcome,) = match([payment], WORLD)
    assert isinstance(outcome, (Proven, Unproven))
    assert json.dumps(outcome.evidence)


def _php(data: bytes) -> None:
    assert isinstance(parse_str(data.decode("latin-1")), dict)


def _sandbox(data: bytes) -> None:
    state = seed.demo(date(2026, 11, 22))
    state.settings.rate_limit = False
    now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    for method in ("crm.invoice.list", "crm.invoice.get", "sale.paysystem.pay.invoice", "batch", "crm.invoice.update"):
        path = f"{seed.webhook_path()}{method}"
        for headers in ({"content-type": "application/json"}, {}):
            assert site.answer(state, Asked("POST", path, "", headers, data), now).status
    assert site.answer(
        state, Asked("GET", "/bank/payments", data.decode("latin-1"), {"x-api-key": seed.BANK_API_KEY}), now
    )


WORLD = [invoice(id=number, number=str(number)) for number in (1, 20, 45, 46, 2026)]
CALL = {"filter": {">=ID": 1, "=PAYED": "N"}, "order": {"ID": "ASC"}, "select": ["ID", "PRICE"], "start": -1}
TARGETS: Mapping[str, Target] = {
    "portal": Target(mixed({"result": True, "time": TIME}, {"error": "ACCESS_DENIED", "error_description": "x"}), _portal),
    "invoice": Target(mixed(ROW), _invoice),
    "listing": Target(mixed({"result": [ROW, {**ROW, "ID": 3}], "next": 50, "total": 99}), _listing),
    "batch": Target(
        mixed({"result": {"c0": [ROW], "c1": ROW, "c2": True}, "result_error": {}, "result_time": {"c0": TIME}}, {"result": [[ROW]], "result_error": []}),
        _batch,
    ),
    "gzip": Target(changed_bytes([gzip.compress(b'{"result": true}', mtime=0), gzip.compress(b" " * 2000, mtime=0)]), _gzip),
    "renewal": Target(
        mixed({"access_token": "a" * 32, "refresh_token": "b" * 32, "expires_in": 3600}, {"error": "invalid_grant"}), _renewal
    ),
    "bank": Target(mixed([RECORD], RECORD), _bank),
    "pages": Target(
        mixed({"next_cursor": "c2", "next": "/v1/payments?page=2", "payments": [1]})
        | changed_bytes([b'"<https://bank.test/v1?p=2>; rel=\\"next\\""', b'"<a>; rel=next, <b>; rel=\'prev\'"']),
        _pages,
    ),
    "money": Target(texts("118.00", "-0.01", "92233720368547758.07"), _money),
    "day": Target(texts("2026-03-12", "2026-03-12T23:30:00+03:00", "2026-03-12T23:30:00.123456789Z"), _day),
    "settings": Target(
        mixed(
            {"password": f"https://portal.example/rest/1/{SECRET}/", "host": "", "extra": {"timeout": 5, "burst": "50", "allowed_hosts": ["a.example"]}},
            {"password": SECRET, "host": "portal.example", "extra": {"client_id": "app.1", "client_secret": SECRET, "refresh_token": SECRET, "trust_env": "true", "pay_system_id": "31"}},
        ),
        _settings,
    ),
    "webhook": Target(texts(f"https://portal.example/rest/1/{SECRET}/", f"https://портал.example:8443/rest/1/{SECRET}/profile.json"), _webhook),
    "redirect": Target(texts("https://new.example/rest/", f"http://127.0.0.1:9/rest/1/{SECRET}/", "//x"), _redirect),
    "remittance": Target(
        texts("Оплата по счету № 45 от 12.03.2026, в т.ч. НДС 20%", "Invoices 45 and 46 dated 03/12/2026", "счет 45 тел. 8 (800) 555-35-35"),
        _remittance,
    ),
    "php": Target(texts("filter[>ID]=1&select[]=ID&select[]=PRICE", "cmd[a]=crm.invoice.get%3Fid%3D1&halt=0"), _php),
    "sandbox": Target(
        mixed(CALL, {"id": 2}, {"INVOICE_ID": 2, "PAY_SYSTEM_ID": 31}, {"halt": 0, "cmd": {"a": "crm.invoice.get?id=2"}})
        | texts("filter[>ID]=1&select[]=ID&start=-1", "cmd[a]=crm.invoice.get%3Fid%3D1&halt=0", "from=2026-11-01&cursor=after-3"),
        _sandbox,
    ),
}  # fmt: skip
