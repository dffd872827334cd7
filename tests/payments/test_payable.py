from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from airflow_b24.payments.candidates import Candidates
from airflow_b24.payments.model import Invoice, Payment
from airflow_b24.payments.money import Money
from airflow_b24.payments.payable import alike, sum_told, unavailable, unfit, wrong_sum

OURS = "40702810900000000001"
BOOKED = date(2026, 3, 20)
PAYMENT = Payment(
    account=OURS, key="id:1", occurrence=0, amount=Money(11800, "RUB"), booked_on=BOOKED, remittance="счет 45",
    document_number=" 501",
)  # fmt: skip
INVOICE = Invoice(
    kind="legacy", id=1, number="45", amount=Money(11800, "RUB"), issued_on=date(2026, 3, 12), payer_tax_ids=frozenset(),
    own_accounts=frozenset({OURS}), own_company=7, paid=False, paid_on=None, cancelled=False, voucher_number="",
)  # fmt: skip
ELSEWHERE = replace(INVOICE, id=2, number="46", own_company=8)
EARLIER = replace(PAYMENT, key="id:2", booked_on=date(2026, 3, 18), document_number="499")
PAID = {"paid": True, "paid_on": BOOKED}

Words = tuple[str, dict[str, str]] | None

UNAVAILABLE: dict[str, tuple[dict[str, Any], Words]] = {
    "open": ({}, None),
    "cancelled": ({"cancelled": True}, ("cancelled", {"invoice": "cancelled"})),
    "cancelled, whatever else it is": ({**PAID, "cancelled": True, "settled": True}, ("cancelled", {"invoice": "cancelled"})),
    "another payment's": ({"settled": True}, ("already_settled", {"invoice": "settled by another payment"})),
    "marked paid by its id": ({**PAID, "settled": True, "by_id": True}, ("paid_by_id", {"invoice": "marked paid by its id"})),
    "another payment's, and paid": ({**PAID, "settled": True}, ("already_settled", {"invoice": "settled by another payment"})),
    "paid on the day of booking": (PAID, None),
    "paid after the booking": ({**PAID, "paid_on": date(2026, 3, 21)}, None),
    "paid with the payment's number": ({**PAID, "voucher_number": "501 "}, None),
    "paid before the booking": (
        {**PAID, "paid_on": date(2026, 3, 19)},
        ("already_paid", {"paid_on": "2026-03-19", "booked_on": "2026-03-20", "voucher": ""}),
    ),
    "paid on an unknown day": (
        {"paid": True},
        ("already_paid", {"paid_on": "unknown", "booked_on": "2026-03-20", "voucher": ""}),
    ),
    "paid with another number": (
        {**PAID, "voucher_number": "502"},
        ("already_paid", {"paid_on": "2026-03-20", "booked_on": "2026-03-20", "voucher": "502"}),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("changed", "words"), UNAVAILABLE.values(), ids=UNAVAILABLE)
def test_an_invoice_that_takes_no_money_says_why(changed: dict[str, Any], words: Words) -> None:
    assert unavailable(PAYMENT, replace(INVOICE, **changed)) == words


UNFIT: dict[str, tuple[dict[str, Any], bool, Words]] = {
    "due in the same money on our account": ({}, True, None),
    "due in another sum": ({"amount": Money(1, "RUB")}, True, None),
    "due at a price not exact in minor units": ({"amount": None}, True, ("price_not_exact", {"amount": "paid 118.00 RUB"})),
    "due in another currency": (
        {"amount": Money(11800, "EUR")},
        True,
        ("wrong_currency", {"amount": "paid 118.00 RUB, invoice 118.00 EUR"}),
    ),
    "to be received elsewhere": ({"own_accounts": frozenset({"1"})}, True, ("payee_mismatch", {"own_account": OURS})),
    "to be received nobody knows where, at one of two companies": (
        {"own_accounts": None},
        True,
        ("payee_mismatch", {"own_account": OURS}),
    ),
    "to be received nobody knows where, which is not trusted": (
        {"own_accounts": None},
        False,
        ("payee_unknown", {"own_account": OURS}),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("changed", "trusts", "words"), UNFIT.values(), ids=UNFIT)
def test_money_that_cannot_pay_the_invoice_whatever_its_sum_says_why(
    changed: dict[str, Any], trusts: bool, words: Words
) -> None:
    invoice = replace(INVOICE, **changed)
    assert unfit(PAYMENT, invoice, Candidates([invoice, ELSEWHERE], trust_unknown_accounts=trusts)) == words


def collected(*amounts: int) -> dict[str, Any]:
    return {"collected": tuple(replace(EARLIER, amount=Money(amount, "RUB")) for amount in amounts)}


SUMS: dict[str, tuple[int, dict[str, Any], str | None, str]] = {
    "all of it": (11800, {}, None, "equal: 118.00 RUB"),
    "all of it, paid": (11800, PAID, None, "equal: 118.00 RUB"),
    "one kopeck too much": (11801, {}, "overpaid", "118.01 RUB of 118.00 RUB"),
    "a part": (11799, {}, None, "117.99 RUB of 118.00 RUB"),
    "the smallest part": (1, {}, None, "0.01 RUB of 118.00 RUB"),
    "nothing": (0, {}, "underpaid", "0.00 RUB of 118.00 RUB"),
    "nothing of nothing": (0, {"amount": Money(0, "RUB")}, "underpaid", "equal: 0.00 RUB"),
    "less than nothing": (-1, {}, "underpaid", "-0.01 RUB of 118.00 RUB"),
    "a part of what is paid": (11799, PAID, "already_paid", "117.99 RUB of 118.00 RUB"),
    "the rest": (5800, collected(6000), None, "58.00 RUB of 118.00 RUB, 60.00 RUB collected before"),
    "the rest of what is paid": (5800, {**PAID, **collected(6000)}, None, "58.00 RUB of 118.00 RUB, 60.00 RUB collected before"),
    "a part of the rest": (1000, collected(6000, 2000), None, "10.00 RUB of 118.00 RUB, 80.00 RUB collected before"),
    "more than the rest": (5801, collected(6000), "overpaid", "58.01 RUB of 118.00 RUB, 60.00 RUB collected before"),
    "all of it, after a part": (11800, collected(6000), "overpaid", "118.00 RUB of 118.00 RUB, 60.00 RUB collected before"),
    "more than nothing of nothing": (1, {"amount": Money(0, "RUB")}, "overpaid", "0.01 RUB of 0.00 RUB"),
}  # fmt: skip


@pytest.mark.parametrize(("paid", "changed", "reason", "told"), SUMS.values(), ids=SUMS)
def test_a_sum_is_told_beside_the_price_and_refused_where_it_does_not_fit(
    paid: int, changed: dict[str, Any], reason: str | None, told: str
) -> None:
    payment, invoice = replace(PAYMENT, amount=Money(paid, "RUB")), replace(INVOICE, **changed)
    assert sum_told(payment, invoice) == told
    assert wrong_sum(payment, invoice) == (reason and (reason, {"amount": told}))


@pytest.mark.parametrize(
    ("day", "sum_", "alike"),
    [(date(2026, 3, 18), 2000, True), (date(2026, 3, 19), 2000, False), (date(2026, 3, 18), 2001, False)],
)
def test_a_part_of_the_same_sum_and_day_as_one_before_may_be_the_same_money(day: date, sum_: int, alike: bool) -> None:
    payment = replace(PAYMENT, amount=Money(sum_, "RUB"), booked_on=day)
    told = f"{payment.amount} of 118.00 RUB, 30.00 RUB collected before"
    expected = ("alike_payments", {"amount": told}) if alike else None
    assert wrong_sum(payment, replace(INVOICE, **collected(1000, 2000))) == expected


ALIKE: dict[str, tuple[dict[str, Any], bool]] = {
    "the day": ({"document_number": "7"}, True),
    "the document": ({"booked_on": date(2026, 3, 25)}, True),
    "the day and the document": ({"account": "1", "key": "id:9", "remittance": "x"}, True),
    "neither the day nor the document": ({"booked_on": date(2026, 3, 25), "document_number": "7"}, False),
    "everything but the sum": ({"amount": Money(11801, "RUB")}, False),
    "everything but the currency": ({"amount": Money(11800, "EUR")}, False),
}


@pytest.mark.parametrize(("changed", "expected"), ALIKE.values(), ids=ALIKE)
def test_two_payments_may_be_the_same_money_when_they_share_the_sum_and(
    changed: dict[str, Any], expected: bool
) -> None:
    other = replace(PAYMENT, **changed)
    assert (alike(PAYMENT, other), alike(other, PAYMENT)) == (expected, expected)


def test_two_payments_without_a_document_share_none() -> None:
    bare = replace(PAYMENT, document_number="")
    assert not alike(bare, replace(bare, booked_on=date(2026, 3, 25)))
