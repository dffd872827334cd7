from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from airflow_b24.bitrix.errors import INVOICE_GONE, BitrixError, RequestError, ResponseError, UnknownOutcomeError
from airflow_b24.bitrix.flows import Flow
from airflow_b24.bitrix.legacy_invoice import PayInvoice
from airflow_b24.bitrix.legacy_invoices import (
    get_invoice,
    invoice_listing,
    look,
    moved_since,
    open_invoices,
    paid_since,
    pay_invoice,
)
from airflow_b24.bitrix.protocol import Response

Talk = Callable[..., tuple[list[Any], Any]]


def attempted(flow: Flow[Any]) -> Flow[Any]:
    try:
        return (yield from flow)
    except BitrixError as error:
        return error


def row(invoice_id: int, paid: str = "N") -> dict[str, str]:
    return {"ID": str(invoice_id), "PAYED": paid, "PRICE": "1.00", "CURRENCY": "RUB", "STATUS_ID": "N"}


def test_an_invoice_is_read_by_its_id(talk: Talk) -> None:
    effects, invoice = talk(get_invoice(2), Response(row(2)))
    assert (effects[0].method, effects[0].arguments, effects[0].write) == ("crm.invoice.get", {"id": 2}, False)
    assert invoice.id == 2


def test_another_invoice_is_no_answer(talk: Talk) -> None:
    with pytest.raises(ResponseError, match="asked for 2, got 3"):
        talk(get_invoice(2), Response(row(3)))


def test_a_deleted_invoice_is_told_from_a_missing_right(talk: Talk) -> None:
    refused = RequestError("", "Not found.")
    with pytest.raises(RequestError, match="invoice_id=2 is not there any more") as gone:
        talk(get_invoice(2), refused, Response([]))
    assert (gone.value.code, gone.value.__cause__) == (INVOICE_GONE, None)
    with pytest.raises(RequestError) as caught:
        talk(get_invoice(2), refused, Response([{"ID": "2"}]))
    assert caught.value is refused


@pytest.mark.parametrize(("flow", "paced"), [(get_invoice, True), (look, False)])
def test_whether_an_invoice_is_gone_is_asked_in_pace_unless_its_slot_is_reserved(
    talk: Talk, flow: Callable[[int], Flow[Any]], paced: bool
) -> None:
    effects, _ = talk(attempted(flow(2)), RequestError("", "Not found."), Response([]))
    assert [(each.method, each.paced) for each in effects] == [("crm.invoice.get", paced), ("crm.invoice.list", paced)]


def test_a_wrong_id_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ValueError, match="invoice_id"):
        get_invoice("2.0")  # type: ignore[arg-type]


def test_a_pay_is_a_write_that_is_not_repeated_when_unknown(talk: Talk) -> None:
    effects, response = talk(pay_invoice(PayInvoice(2, 31)), Response(True))
    assert effects[0].write
    assert response.result is True
    with pytest.raises(UnknownOutcomeError):
        talk(pay_invoice(PayInvoice(2, 31)), UnknownOutcomeError("A"))


def test_a_list_is_read_by_id_ranges_until_an_empty_page(talk: Talk) -> None:
    pages = [Response([row(1), row(4)], next=50, total=9), Response([row(9)]), Response([])]
    effects, invoices = talk(open_invoices().all(), *pages)
    assert [effect.arguments["filter"] for effect in effects] == [{"=PAYED": "N", ">ID": n} for n in (0, 4, 9)]
    assert all(effect.arguments["start"] == -1 and effect.arguments["order"] == {"ID": "ASC"} for effect in effects)
    assert [invoice.id for invoice in invoices] == [1, 4, 9]


def test_the_selection_always_holds_what_an_invoice_needs(talk: Talk) -> None:
    effects, _ = talk(invoice_listing(select=["uf_deal_id", "ID", "UF_CRM_123"]).page(), Response([]))
    select = effects[0].arguments["select"]
    assert {"ID", "PAYED", "PRICE", "CURRENCY", "UF_DEAL_ID", "UF_CRM_123"} <= set(select)
    assert len(select) == len(set(select))


@pytest.mark.parametrize("rows", [[row(2), row(1)], [row(1), row(1)], [row(0)]])
def test_a_list_that_does_not_advance_is_an_error(talk: Talk, rows: list[Any]) -> None:
    with pytest.raises(ResponseError, match="ID"):
        talk(invoice_listing().page(), Response(rows))


def test_a_portal_that_ignores_the_range_cannot_loop_for_ever(talk: Talk) -> None:
    with pytest.raises(ResponseError, match="ID: 1 after 1"):
        talk(invoice_listing().all(), Response([row(1)]), Response([row(1)]))


@pytest.mark.parametrize("flow", [open_invoices, lambda: paid_since(date(2026, 11, 1))])
def test_a_row_that_the_filter_should_have_kept_out_is_an_error(talk: Talk, flow: Callable[[], Any]) -> None:
    with pytest.raises(ResponseError, match="the filter was ignored for invoice"):
        talk(flow().all(), Response([row(1, "N"), row(2, "Y")]))


def test_invoices_whose_status_moved_lately_are_asked_for_paid_or_not(talk: Talk) -> None:
    effects, invoices = talk(moved_since(date(2026, 11, 1)).all(), Response([row(3, "Y"), row(4, "N")]), Response([]))
    assert effects[0].arguments["filter"] == {">=DATE_STATUS": "2026-11-01", ">ID": 0}
    assert [invoice.paid for invoice in invoices] == [True, False]


def test_paid_invoices_are_asked_for_by_day(talk: Talk) -> None:
    effects, invoices = talk(paid_since(date(2026, 11, 1)).all(), Response([row(3, "Y")]), Response([]))
    assert effects[0].arguments["filter"] == {"=PAYED": "Y", ">=DATE_PAYED": "2026-11-01", ">ID": 0}
    assert [invoice.id for invoice in invoices] == [3]


@pytest.mark.parametrize(
    ("filter_by", "sent"),
    [
        ({">=price": Decimal("1E+2")}, {">=PRICE": "100"}),
        ({"@STATUS_ID": ["N", "S"]}, {"@STATUS_ID": ["N", "S"]}),
        ({"UF_COMPANY_ID": (5, 6)}, {"UF_COMPANY_ID": [5, 6]}),
        ({">DATE_PAYED": datetime(2026, 11, 1, tzinfo=UTC)}, {">DATE_PAYED": "2026-11-01T00:00:00+00:00"}),
        ({"UF_CRM_5F04": "x"}, {"UF_CRM_5F04": "x"}),
    ],
)
def test_a_filter_is_written_as_the_portal_reads_it(filter_by: dict[str, object], sent: dict[str, object]) -> None:
    assert invoice_listing(filter_by).filter == sent


@pytest.mark.parametrize(
    ("filter_by", "named"),
    [
        ({"CURRENCY_ID": "RUB"}, "the currency is CURRENCY"),
        ({"CANCELED": "N"}, "CANCELED"),
        ({"=INVOICE_PROPERTIES": "x"}, "INVOICE_PROPERTIES"),
        ({"~PRICE": 1}, "operator '~'"),
        ({"@STATUS_ID": "N"}, "'@' and '!@' want a list"),
        ({">PRICE": [1]}, "a list goes with '@'"),
        ({"@ID": []}, "the list of '@ID' is empty"),
        ({"PRICE": 1.5}, "float is no value"),
        ({"PRICE": Decimal("NaN")}, "Decimal is no value"),
        ({"PRICE": None}, "NoneType is no value"),
        ({"PAYED": True}, "bool is no value"),
        ({">DATE_PAYED": datetime(2026, 11, 1)}, "time zone"),  # noqa: DTZ001
        ({"": "x"}, "no condition"),
        ({"PRICE;": 1}, "no condition"),
        ({">ID": 5}, "'>ID' is used for paging"),
    ],
)
def test_what_the_portal_would_silently_drop_is_refused_at_once(filter_by: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match="filter") as caught:
        invoice_listing(filter_by)
    assert named in str(caught.value)


def test_an_unknown_selection_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match=r"select: .*'SUM_PAID'"):
        invoice_listing(select=["SUM_PAID"])


@pytest.mark.parametrize("result", [None, {}, ["x"], True])
def test_what_is_no_list_is_an_error(talk: Talk, result: object) -> None:
    with pytest.raises(ResponseError, match="expected a list of objects"):
        talk(invoice_listing().page(), Response(result))


def test_a_refused_list_names_the_method(talk: Talk) -> None:
    with pytest.raises(RequestError):
        talk(invoice_listing().page(), RequestError("", "Access denied."))
