from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_b24.bitrix.bulk import MOST_PAYS, Beside, Reading, exchange_all
from airflow_b24.bitrix.errors import (
    AuthError,
    BitrixError,
    RefusedError,
    RequestError,
    ResponseError,
    UnknownOutcomeError,
)
from airflow_b24.bitrix.invoice import Invoice, InvoiceKey
from airflow_b24.bitrix.legacy_invoice import PayInvoice
from airflow_b24.bitrix.legacy_invoices import listing_of
from airflow_b24.bitrix.protocol import PAY_INVOICE, Request, Response, Wait

Talk = Callable[..., tuple[list[Any], Any]]
LIMITED = {"error": "OPERATION_TIME_LIMIT", "error_description": "blocked"}


def row(invoice_id: int, paid: str = "Y") -> dict[str, str]:
    return {"ID": str(invoice_id), "PAYED": paid, "PRICE": "118.00", "CURRENCY": "RUB", "STATUS_ID": "P"}


def key(invoice_id: int) -> InvoiceKey:
    return InvoiceKey("legacy", invoice_id)


def reading(*ids: int) -> Reading:
    return Reading("legacy", ids, listing_of(ids))


def pays(*ids: int) -> list[PayInvoice]:
    return [PayInvoice(each, 31) for each in ids]


def told(result: dict[str, Any], error: dict[str, Any] | None = None, **more: Any) -> Response:
    return Response({"result": result, "result_error": error or []}, **more)


def ask(talk: Talk, reply: Any, ids: Sequence[int] = (2, 3), *, reads: Sequence[int] = (2, 3)) -> Any:
    return talk(exchange_all(pays(*ids), [reading(*reads)], 7.5), reply)[1]


def test_pays_go_first_and_are_read_in_the_same_request(talk: Talk) -> None:
    reply = told({"p0": True, "p1": True, "r0": [row(2), row(3)]})
    (effect,), done = talk(exchange_all(pays(2, 3), [reading(2, 3)], 7.5), reply)
    assert (effect.method, effect.write, effect.paced, effect.send_before) == ("batch", True, False, 7.5)
    assert list(effect.arguments["cmd"]) == ["p0", "p1", "r0"]
    assert effect.arguments["halt"] == 0
    assert effect.arguments["cmd"]["p1"] == "sale.paysystem.pay.invoice?INVOICE_ID=3&PAY_SYSTEM_ID=31"
    assert "filter[%40ID][1]=3" in effect.arguments["cmd"]["r0"]
    assert done.pays == {key(2): True, key(3): True}
    assert [found.paid for found in done.reads.values()] == [True, True]


@pytest.mark.parametrize("error", [UnknownOutcomeError("A"), RefusedError("B"), AuthError("expired_token")])
def test_what_becomes_of_the_whole_request_becomes_of_each_and_nothing_is_repeated(
    talk: Talk, error: BitrixError
) -> None:
    done = ask(talk, error)
    assert done.pays == {key(2): error, key(3): error}
    assert done.reads == {key(2): error, key(3): error}


def test_readings_alone_are_repeated(talk: Talk) -> None:
    flow = exchange_all([], [reading(2)])
    effects, done = talk(flow, ResponseError("ANSWER_LOST"), told({"r0": [row(2, "N")]}))
    assert [getattr(effect, "write", None) for effect in effects] == [False, None, False]
    assert isinstance(effects[1], Wait)
    assert done.reads[key(2)].paid is False


def test_nothing_to_ask_asks_nothing(talk: Talk) -> None:
    effects, done = talk(exchange_all([]))
    assert (effects, done.pays, done.reads) == ([], {}, {})


def test_a_command_without_an_answer_is_unknown_and_not_refused(talk: Talk) -> None:
    done = ask(talk, told({"p0": True, "r0": [row(2), row(3)]}))
    assert done.pays[key(2)] is True
    assert isinstance(done.pays[key(3)], ResponseError)


def test_one_commands_failure_hides_no_other(talk: Talk) -> None:
    wrong = {"error": "ERROR_CHECK_FAILURE", "error_description": "wrong"}
    done = ask(talk, told({"p1": True, "r0": [row(2, "N"), row(3)]}, {"p0": wrong}))
    assert isinstance(done.pays[key(2)], RequestError)
    assert done.pays[key(3)] is True
    assert [found.paid for found in done.reads.values()] == [False, True]


def test_an_error_that_nobody_knows_may_have_paid(talk: Talk) -> None:
    done = ask(talk, told({"p1": True}, {"p0": {"error": "WHATEVER", "error_description": ""}}))
    assert isinstance(done.pays[key(2)], UnknownOutcomeError)


def test_a_pay_that_is_not_answered_true_may_have_paid(talk: Talk) -> None:
    assert isinstance(ask(talk, told({"p0": "1", "p1": True})).pays[key(2)], UnknownOutcomeError)


def test_what_is_out_of_time_inside_a_batch_says_when_its_method_is_free_again(talk: Talk) -> None:
    noon, one = datetime(2026, 11, 30, 12, tzinfo=UTC), datetime(2026, 11, 30, 13, tzinfo=UTC)
    busy = {"error": "QUERY_LIMIT_EXCEEDED", "error_description": "too many"}
    free_at = {"batch": noon, PAY_INVOICE: noon, "crm.invoice.list": one}
    done = ask(talk, told({}, {"p0": LIMITED, "p1": busy, "r0": LIMITED}, free_at=free_at))
    outcomes = (*done.pays.values(), done.reads[key(2)])
    assert {type(each) for each in outcomes} == {RefusedError}
    assert [each.retry_at for each in outcomes] == [noon, None, one]


def test_an_invoice_that_no_list_shows_is_left_out(talk: Talk) -> None:
    done = ask(talk, told({"p0": True, "p1": True, "r0": [row(3)]}))
    assert list(done.reads) == [key(3)]


def test_a_row_that_cannot_be_read_hides_no_other_and_one_not_asked_for_is_dropped(talk: Talk) -> None:
    rows = [row(2) | {"PAYED": "maybe"}, row(3), row(99), {"ID": "none"}]
    done = ask(talk, told({"p0": True, "p1": True, "r0": rows}))
    assert isinstance(done.reads[key(2)], ResponseError)
    assert isinstance(done.reads[key(3)], Invoice)
    assert len(done.reads) == 2


def test_a_list_that_is_none_is_unclear_for_all_of_it(talk: Talk) -> None:
    done = ask(talk, told({"p0": True, "p1": True, "r0": "rows"}))
    assert {type(each) for each in done.reads.values()} == {ResponseError}


def test_a_list_that_is_refused_is_refused_for_all_of_it(talk: Talk) -> None:
    done = ask(talk, told({"p0": True, "p1": True}, {"r0": LIMITED}))
    assert {type(each) for each in done.reads.values()} == {RefusedError}


def test_a_request_holds_fifty_commands_and_an_invoice_is_paid_once() -> None:
    with pytest.raises(ValueError, match="named twice"):
        next(exchange_all(pays(2, 2)))
    with pytest.raises(ValueError, match="50 commands"):
        next(exchange_all(pays(*range(1, 51)), [reading(1)]))
    with pytest.raises(ValueError, match="50 invoices"):
        next(exchange_all([], [reading(*range(1, 52))]))
    beside = Beside(Request("crm.stagehistory.list", {}, write=False), lambda invoice, _: invoice)
    whole = [replace(reading(each), beside=beside) for each in (1, 2, 3)]
    for kinds, readings in (
        ({"legacy"}, [reading(1), reading(2)]),
        ({"smart"}, whole[:2]),
        ({"legacy", "smart"}, [reading(1), *whole[1:]]),
    ):
        next(exchange_all(pays(*range(1, MOST_PAYS[frozenset(kinds)] + 1)), readings))


def test_what_is_read_beside_a_list_is_put_to_each_of_its_invoices(talk: Any) -> None:
    def put(invoice: Any, outcome: Any) -> Any:
        return replace(invoice, paid_before=str(outcome.result["items"]))

    beside = Beside(Request("crm.stagehistory.list", {}, write=False), put)
    answer = told({"r0": [row(1), row(2)], "b0": {"items": [7]}})
    _, done = talk(exchange_all([], [replace(reading(1, 2, 3), beside=beside)]), answer)
    assert {key.id: found.paid_before for key, found in done.reads.items()} == {1: "[7]", 2: "[7]"}
