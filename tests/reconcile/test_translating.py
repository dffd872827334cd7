from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from airflow_b24.bitrix.errors import (
    AuthError,
    BitrixError,
    RefusedError,
    RequestError,
    ResponseError,
    UnknownOutcomeError,
)
from airflow_b24.bitrix.invoice import Invoice
from airflow_b24.bitrix.legacy_invoice import parse_invoice
from airflow_b24.ledger.facts import Answered, Refused, Seen, Unknown
from airflow_b24.ledger.states import REASONS
from airflow_b24.reconcile.translating import INVOICE_REFUSALS, answer, fact, price, seen

ROW = {
    "ID": "2",
    "ACCOUNT_NUMBER": "2026/2",
    "STATUS_ID": "S",
    "PAYED": "N",
    "PRICE": "118.00",
    "CURRENCY": "RUB",
    "PAY_SYSTEM_ID": "6",
    "DATE_STATUS": "2026-11-20T10:00:00+03:00",
    "PAY_VOUCHER_NUM": "17",
    "UF_COMPANY_ID": "21",
    "PAY_VOUCHER_DATE": "2026-11-20T00:00:00+03:00",
}


def invoice(**changed: Any) -> Invoice:
    return parse_invoice({**ROW, **changed})


def test_an_invoice_is_seen_in_minor_units_with_every_mark_of_a_landed_call() -> None:
    assert seen(invoice()) == Seen(
        paid=False,
        cancelled=False,
        amount=11800,
        currency="RUB",
        paid_on=None,
        voucher_number="17",
        identity={"ACCOUNT_NUMBER": "2026/2", "UF_COMPANY_ID": "21", "UF_MYCOMPANY_ID": ""},
        marks={
            "PRICE": "118.00",
            "STATUS_ID": "S",
            "PAY_SYSTEM_ID": "6",
            "PAY_VOUCHER_NUM": "17",
            "PAY_VOUCHER_DATE": "2026-11-20",
            "DATE_STATUS": "2026-11-20T10:00:00+03:00",
        },
    )


def test_the_day_of_a_payment_is_the_portals_own_day() -> None:
    midnight = "2026-11-21T00:30:00+03:00"
    assert seen(invoice(PAYED="Y", DATE_PAYED=midnight, DATE_STATUS=midnight)).paid_on == date(2026, 11, 21)


@pytest.mark.parametrize(
    "marks",
    [
        {"DATE_PAYED": "2026-11-20T10:00:00+03:00", "DATE_STATUS": "2026-11-23T10:00:00+03:00"},
        {"DATE_PAYED": "2026-11-23T10:00:00+03:00", "DATE_STATUS": "2026-11-20T10:00:00+03:00"},
    ],
    ids=str,
)
def test_the_day_of_a_payment_is_its_earliest_mark_for_later_edits_move_only_the_later_one(
    marks: dict[str, str],
) -> None:
    assert seen(invoice(PAYED="Y", **marks)).paid_on == date(2026, 11, 20)


@pytest.mark.parametrize(
    ("given", "minor"),
    [
        ({}, 11800),
        ({"PRICE": "118"}, 11800),
        ({"PRICE": "118.0000"}, 11800),
        ({"PRICE": "118.005"}, None),
        ({"PRICE": "118.5", "CURRENCY": "JPY"}, None),
        ({"PRICE": "118", "CURRENCY": "JPY"}, 118),
        ({"CURRENCY": "XQZ"}, None),
        ({"CURRENCY": "rub"}, None),
        ({"PRICE": "118,00"}, None),
    ],
    ids=str,
)
def test_a_price_is_exact_or_none(given: dict[str, str], minor: int | None) -> None:
    money = price(invoice(**given))
    assert (money and money.minor) == minor
    assert seen(invoice(**given)).amount == minor


@pytest.mark.parametrize(("status", "cancelled"), [("D", True), ("S", False), ("N", False), ("P", False)])
def test_only_the_declined_status_is_cancelled(status: str, cancelled: bool) -> None:
    assert seen(invoice(STATUS_ID=status)).cancelled is cancelled


@pytest.mark.parametrize("kind", [UnknownOutcomeError, ResponseError])
def test_whatever_may_have_run_is_unknown(kind: type[BitrixError]) -> None:
    error = kind("X", "lost")
    assert answer(error) == fact(error) == Unknown(str(error), error)


def test_only_true_counts_as_an_answer() -> None:
    assert answer(told=True) == Answered()
    assert isinstance(answer(told=False), Unknown)
    assert isinstance(fact(None), Unknown)


def test_a_refusal_comes_back_when_the_portal_says_or_soon() -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    stated, unstated = answer(RefusedError("X", retry_at=later)), answer(RefusedError("X"))
    assert isinstance(stated, Refused)
    assert isinstance(unstated, Refused)
    assert (stated.repeatable, stated.wait_s) == (True, pytest.approx(3600, abs=5))
    assert (unstated.repeatable, unstated.wait_s) == (True, 2.0)


@pytest.mark.parametrize("error", [AuthError("insufficient_scope"), RequestError("ERROR_CHECK_FAILURE")], ids=repr)
def test_a_fault_of_our_settings_leaves_the_settlement_ready_for_when_they_are_mended(error: BitrixError) -> None:
    told = answer(error)
    assert isinstance(told, Refused)
    assert (told.repeatable, told.wait_s, told.cause) == (True, None, error)


@pytest.mark.parametrize(("code", "reason"), INVOICE_REFUSALS.items())
def test_a_fault_of_the_invoice_is_a_review_with_a_known_reason(code: str, reason: str) -> None:
    told = answer(RequestError(code))
    assert isinstance(told, Refused)
    assert (told.repeatable, told.reason) == (False, reason)
    assert reason in REASONS
