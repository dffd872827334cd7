from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from airflow_b24.bitrix.errors import (
    INVOICE_GONE,
    AuthError,
    BitrixError,
    RefusedError,
    RequestError,
    ResponseError,
    UnknownOutcomeError,
)
from airflow_b24.bitrix.exchange import Look, exchange
from airflow_b24.bitrix.invoice import Invoice, InvoiceKey
from airflow_b24.bitrix.legacy_invoice import PayInvoice
from airflow_b24.bitrix.legacy_invoices import look
from airflow_b24.bitrix.protocol import Response, Wait

Talk = Callable[..., tuple[list[Any], Any]]


def row(invoice_id: int, paid: str = "Y") -> dict[str, str]:
    return {"ID": str(invoice_id), "PAYED": paid, "PRICE": "118.00", "CURRENCY": "RUB", "STATUS_ID": "P"}


def key(invoice_id: int) -> InvoiceKey:
    return InvoiceKey("legacy", invoice_id)


def reads(*ids: int) -> dict[InvoiceKey, Look]:
    return {key(each): partial(look, each) for each in ids}


def waits(effects: list[Any]) -> list[float]:
    return [effect.seconds for effect in effects if isinstance(effect, Wait)]


def test_an_exchange_pays_first_and_reads_at_once(talk: Talk) -> None:
    flow = exchange([PayInvoice(2, 31), PayInvoice(3, 31)], reads(2, 3), 7.5)
    effects, done = talk(flow, Response(True), Response(True), Response(row(2)), Response(row(3)))
    pays, looks = effects[:2], effects[2:]
    assert [effect.arguments["INVOICE_ID"] for effect in pays] == [2, 3]
    assert all(effect.write and not effect.paced and effect.send_before == 7.5 for effect in pays)
    assert [effect.arguments for effect in looks] == [{"id": 2}, {"id": 3}]
    assert all(not effect.write and not effect.paced and effect.send_before is None for effect in looks)
    assert done.pays == {key(2): True, key(3): True}
    assert all(isinstance(done.reads[key(n)], Invoice) and done.reads[key(n)].paid for n in (2, 3))


@pytest.mark.parametrize("error", [UnknownOutcomeError("A"), RequestError("A")])
def test_an_exchange_reads_back_after_every_outcome_but_a_refusal(talk: Talk, error: BitrixError) -> None:
    _, done = talk(exchange([PayInvoice(2, 31)], reads(2), 7.5), error, Response(row(2, "N")))
    assert done.pays == {key(2): error}
    assert done.reads[key(2)].paid is False


@pytest.mark.parametrize("error", [RefusedError("A"), AuthError("expired_token")])
def test_an_exchange_that_surely_paid_nothing_reads_nothing(talk: Talk, error: BitrixError) -> None:
    effects, done = talk(exchange([PayInvoice(2, 31)], reads(2), 7.5), error)
    assert len(effects) == 1
    assert (done.pays, done.reads) == ({key(2): error}, {})


def test_one_pays_failure_hides_no_other(talk: Talk) -> None:
    refused, wrong = RefusedError("A"), RequestError("B")
    flow = exchange([PayInvoice(n, 31) for n in (1, 2, 3)], reads(), 7.5)
    _, done = talk(flow, refused, wrong, Response(True))
    assert done.pays == {key(1): refused, key(2): wrong, key(3): True}


@pytest.mark.parametrize("shut", [AuthError("OVERLOAD_LIMIT"), RefusedError("expired_token")])
def test_a_shut_door_is_not_knocked_at_again(talk: Talk, shut: BitrixError) -> None:
    effects, done = talk(
        exchange([PayInvoice(1, 31), PayInvoice(2, 31)], reads(1), 7.5),
        Response(True),
        shut,
        AuthError("OVERLOAD_LIMIT"),
    )
    assert len(effects) == 3
    assert done.pays == {key(1): True, key(2): shut}
    effects, done = talk(exchange([PayInvoice(1, 31), PayInvoice(2, 31)], reads(1, 2), 7.5), shut)
    assert len(effects) == 1
    assert done.pays == {key(1): shut, key(2): shut}


def test_an_exchange_may_only_read(talk: Talk) -> None:
    _, done = talk(exchange([], reads(2)), Response(row(2)))
    assert list(done.reads) == [key(2)]


@pytest.mark.parametrize("result", [row(9), {"ID": "2"}, [], None])
def test_a_read_back_that_cannot_be_right_is_an_error_value(talk: Talk, result: object) -> None:
    _, done = talk(exchange([], reads(2)), Response(result))
    assert isinstance(done.reads[key(2)], ResponseError)


def test_a_read_back_is_repeated_quickly_and_soon_given_up(talk: Talk) -> None:
    unclear = ResponseError("A")
    effects, done = talk(exchange([], reads(2)), unclear, unclear, unclear)
    assert sum(waits(effects)) < 0.5
    assert done.reads == {key(2): unclear}


NOT_FOUND = RequestError("", "Not found.")


def test_a_read_back_tells_a_deleted_invoice_from_a_missing_right_by_a_list(talk: Talk) -> None:
    effects, done = talk(exchange([], reads(2, 3)), NOT_FOUND, Response([]), Response(row(3)))
    assert [effect.method for effect in effects] == ["crm.invoice.get", "crm.invoice.list", "crm.invoice.get"]
    assert effects[1].arguments == {"filter": {"=ID": 2}, "select": ["ID"], "start": -1}
    assert not (effects[1].write)
    assert not (effects[1].paced)
    assert (type(done.reads[key(2)]), done.reads[key(2)].code) == (RequestError, INVOICE_GONE)
    assert isinstance(done.reads[key(3)], Invoice)


@pytest.mark.parametrize(
    "listed",
    [Response([{"ID": "2"}]), Response({}), Response(None), RequestError("", "Access denied."), AuthError("A")],
    ids=repr,
)
def test_a_refused_read_back_stays_a_refusal_unless_a_list_proves_the_invoice_gone(talk: Talk, listed: object) -> None:
    _, done = talk(exchange([], reads(2)), NOT_FOUND, listed)
    assert done.reads == {key(2): NOT_FOUND}


def test_an_exchange_pays_no_invoice_twice(talk: Talk) -> None:
    with pytest.raises(ValueError, match="pays: an invoice is named twice"):
        talk(exchange([PayInvoice(2, 31), PayInvoice(2, 32)], reads()))
