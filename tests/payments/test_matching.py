from __future__ import annotations

import json
import random
import time
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_b24.payments.matching import OF_OTHERS, Outcome, Proven, Unproven, match
from airflow_b24.payments.model import Invoice, Payment
from airflow_b24.payments.money import Money
from airflow_b24.payments.reasons import REASONS, RULES

OURS, PAYER, STRANGER = "40702810900000000001", "7701234567", "7709999999"
DAY = date(2026, 3, 12)


def invoice(**changes: object) -> Invoice:
    usual = Invoice(
        kind="legacy", id=1, number="45", amount=Money(11800, "RUB"), issued_on=DAY, payer_tax_ids=frozenset({PAYER}),
        own_accounts=frozenset({OURS}), own_company=7, paid=False, paid_on=None, cancelled=False, voucher_number="",
    )  # fmt: skip
    return replace(usual, **changes)  # type: ignore[arg-type]


def payment(text: str = "счет № 45 от 12.03.2026", **changes: object) -> Payment:
    usual = Payment(
        account=OURS, key="id:1", occurrence=0, amount=Money(11800, "RUB"), booked_on=date(2026, 3, 20), remittance=text,
        payer_tax_id=PAYER, document_number="501",
    )  # fmt: skip
    return replace(usual, **changes)  # type: ignore[arg-type]


def said(outcome: Outcome) -> str:
    return outcome.rule if isinstance(outcome, Proven) else outcome.reason


PAID = {"paid": True, "paid_on": date(2026, 3, 20)}
HALF = payment(key="id:half", amount=Money(6000, "RUB"), booked_on=date(2026, 3, 18))
FIFTH = payment(key="id:fifth", amount=Money(2000, "RUB"))
PROOFS = [
    ("number_and_tax_id", payment("счет 45"), invoice()),
    ("number_and_tax_id", payment(), invoice()),
    ("number_and_tax_id", payment(payer_tax_id="77 0123 4567"), invoice(payer_tax_ids=frozenset({STRANGER, "7701-234567"}))),
    ("number_and_tax_id", payment("счет 45 of 03/12/2026"), invoice()),
    ("number_and_tax_id", payment(), invoice(issued_on=None)),
    ("number_and_date", payment(payer_tax_id=""), invoice()),
    ("number_and_date", payment(payer_tax_id="0"), invoice()),
    ("number_and_date", payment(payer_tax_id="1111111111"), invoice()),
    ("number_and_date", payment(), invoice(payer_tax_ids=frozenset())),
    ("number_and_date", payment(), invoice(payer_tax_ids=frozenset({"0"}))),
    ("number_and_tax_id", payment("счет 0045"), invoice(number="№ 45")),
    ("number_and_tax_id", payment("счет 45, 2"), invoice()),
    ("number_and_tax_id", payment("INV-45"), invoice(number="inv-045")),
    ("number_and_tax_id", payment(), invoice(own_accounts=None)),
    ("number_and_tax_id", payment(), invoice(**PAID)),
    ("number_and_tax_id", payment(), invoice(**PAID, voucher_number=" 501 ")),
    ("number_and_tax_id", payment(amount=Money(5800, "RUB")), invoice(collected=(HALF,))),
    ("number_and_tax_id", payment(amount=Money(5800, "RUB")), invoice(**PAID, collected=(HALF,))),
    ("number_and_date", payment(amount=Money(1, "RUB"), payer_tax_id=""), invoice()),
    ("number_and_tax_id", payment(released_from=frozenset({("smart", 1), ("legacy", 2)})), invoice()),
]  # fmt: skip
DOUBTS = [
    ("suspicious_text", payment("счет 4\u200b5"), invoice()),
    ("no_reference", payment("за услуги"), invoice()),
    ("unknown_reference", payment("счет 46"), invoice()),
    ("unknown_reference", payment("счет 4"), invoice()),
    ("unknown_reference", payment("счет 451"), invoice()),
    ("unknown_reference", payment("счет 45"), invoice(number="")),
    ("several_invoices", payment("счета 45 и 46"), invoice()),
    ("replaced", payment("счет 45 отменен"), invoice()),
    ("cancelled", payment(), invoice(cancelled=True)),
    ("already_settled", payment(), invoice(settled=True)),
    ("paid_by_id", payment(), invoice(settled=True, by_id=True)),
    ("already_settled", payment(), invoice(**PAID, settled=True)),
    ("already_paid", payment(), invoice(paid=True)),
    ("already_paid", payment(), invoice(paid=True, paid_on=date(2026, 3, 19))),
    ("already_paid", payment(), invoice(**PAID, voucher_number="502")),
    ("price_not_exact", payment(), invoice(amount=None)),
    ("wrong_currency", payment(amount=Money(11800, "EUR")), invoice()),
    ("overpaid", payment(amount=Money(11801, "RUB")), invoice()),
    ("overpaid", payment(amount=Money(5801, "RUB")), invoice(collected=(HALF,))),
    ("overpaid", payment(), invoice(collected=(HALF,))),
    ("underpaid", payment("счет 45", amount=Money(11799, "RUB"), payer_tax_id=""), invoice()),
    ("underpaid", payment(amount=Money(0, "RUB")), invoice(amount=Money(0, "RUB"))),
    ("payer_mismatch", payment(amount=Money(11799, "RUB"), payer_tax_id=STRANGER), invoice()),
    ("already_paid", payment(amount=Money(11799, "RUB")), invoice(**PAID)),
    ("already_paid", payment(amount=Money(5000, "RUB")), invoice(**PAID, collected=(HALF,))),
    ("alike_payments", payment(amount=Money(2000, "RUB")), invoice(collected=(FIFTH,))),
    ("alike_payments", payment(amount=Money(2000, "RUB"), booked_on=date(2026, 3, 25)), invoice(collected=(FIFTH,))),
    ("released_before", payment(released_from=frozenset({("legacy", 1)})), invoice()),
    ("payee_mismatch", payment(account="40702810900000000002"), invoice()),
    ("payee_mismatch", payment(), invoice(own_accounts=frozenset())),
    ("payer_mismatch", payment(payer_tax_id=STRANGER), invoice()),
    ("date_mismatch", payment("счет 45 от 13.03.2026"), invoice()),
    ("date_mismatch", payment("счет 45 от 31.02.2026"), invoice()),
    ("date_mismatch", payment("счет 45 от 12.03.2026, счет 45 от 13.03.2026"), invoice()),
    ("one_identifier", payment("счет 45", payer_tax_id=""), invoice()),
    ("one_identifier", payment("счет 45 of 03/12/2026", payer_tax_id=""), invoice()),
    ("one_identifier", payment(payer_tax_id=""), invoice(issued_on=None)),
    ("one_identifier", payment("счет 45", payer_tax_id="0"), invoice(payer_tax_ids=frozenset({"0"}))),
    ("one_identifier", payment("счет 45", payer_tax_id="нет"), invoice(payer_tax_ids=frozenset({"нет"}))),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "money", "due"), PROOFS)
def test_two_identifiers_with_exact_money_prove(rule: str, money: Payment, due: Invoice) -> None:
    (outcome,) = match([money], [due])
    assert (said(outcome), isinstance(outcome, Proven)) == (rule, True)


@pytest.mark.parametrize(("reason", "money", "due"), DOUBTS)
def test_any_doubt_goes_to_a_person_with_its_reason(reason: str, money: Payment, due: Invoice) -> None:
    (outcome,) = match([money], [due])
    assert (said(outcome), isinstance(outcome, Unproven)) == (reason, True)


def test_every_reason_and_rule_has_a_sentence_and_a_test() -> None:
    assert {reason for reason, _, _ in DOUBTS} | {"ambiguous", "competing_payments", "payee_unknown"} == set(REASONS)
    assert {rule for rule, _, _ in PROOFS} == set(RULES)


@pytest.mark.parametrize(
    "twin",
    [
        invoice(id=2, payer_tax_ids=frozenset({STRANGER}), amount=Money(1, "EUR")),
        invoice(id=2, issued_on=date(2025, 3, 12), paid=True, paid_on=date(2025, 3, 20)),
        invoice(id=2, cancelled=True),
        invoice(kind="smart"),
        invoice(id=2, number="0045"),
        invoice(amount=Money(11801, "RUB")),
        invoice(id=2, amount=None, issued_on=None, payer_tax_ids=frozenset(), own_accounts=None, own_company=None),
    ],
)
def test_a_number_shared_with_any_other_invoice_is_ambiguous(twin: Invoice) -> None:
    (outcome,) = match([payment()], [invoice(), twin])
    assert isinstance(outcome, Unproven)
    assert outcome.reason == "ambiguous"
    assert set(outcome.invoices) == {invoice(), twin}


def test_an_invoice_given_twice_is_still_one() -> None:
    assert said(match([payment()], [invoice(), invoice()])[0]) == "number_and_tax_id"


@pytest.mark.parametrize(
    "text", ["счета 45 и 46", "счет 45, 46", "счет 45, invoice 46", "счет 45; счет № 46 от 12.03.2026"]
)
def test_naming_another_known_invoice_is_never_a_proof(text: str) -> None:
    (outcome,) = match([payment(text)], [invoice(), invoice(id=2, number="46", amount=Money(1, "RUB"))])
    assert isinstance(outcome, Unproven)
    assert (outcome.reason, [due.number for due in outcome.invoices]) == ("several_invoices", ["45", "46"])


SECOND_NUMBERS = [
    "оплата №46 взамен счета №45",
    "оплата 46 (вместо счета 45)",
    "Счет 45 отменен, платим по 46",
    "invoice 45 replaced by 46",
    "Rechnung 45 storniert, zahle 46",
    "Оплата №46. В прошлый раз был счет 45",
    "счет 45 ИЛИ 46",
    "счет 45 / 46",
    "счет 45(46)",
    "счет 45 - 46",
    "счет 45 46",
    "счет 45 от 12.03.2026 46",
    "46. Счет 45",
    "счет 45/№46",
    "счет 45 без НДС 46",
    "счет 45, НДС 20%, 46",
    "счет 45 дог. 7 46",
    "Договор 7. 46, счет 45",
    "№46 150 000 руб, счет 45",
    "оплата №46,50 и счет 45",
    "оплата 46 г. Москва счет 45",
    "оплата 46 р/с 40702810900000000001 счет 45",
    "оплата 46 Днепр счет 45",
    "счет 45, 118 EUR 46",
    "оплата 46 EUR 118 счет 45",
    "46/47 счет 45",
    "оплата46 счет45",
    "46от12.03.2026 счет 45",
    "счет 45 4 6",
]


@pytest.mark.parametrize("text", SECOND_NUMBERS)
def test_a_second_number_that_may_be_another_invoice_is_never_overlooked(text: str) -> None:
    outcome = match([payment(text)], [invoice(), invoice(id=2, number="46")])[0]
    assert isinstance(outcome, Unproven)
    assert outcome.reason == "several_invoices"
    assert [due.number for due in outcome.invoices] == ["45", "46"]


@pytest.mark.parametrize("text", ["счет 45 46", "счет 45  46", "45 46 по счету 45", "счет 45 - 46"])
@pytest.mark.parametrize("number", ["4546", "45-46"])
def test_two_neighbours_may_be_one_number(text: str, number: str) -> None:
    outcome = match([payment(text)], [invoice(), invoice(id=2, number=number)])[0]
    assert said(outcome) == ("several_invoices" if ("-" in text) == ("-" in number) else "number_and_tax_id")


ELSEWHERE = {"amount": Money(1, "RUB"), "payer_tax_ids": frozenset({STRANGER})}


@pytest.mark.parametrize(
    ("text", "changes", "said_of_it"),
    [
        ("школа № 46, счет 45", ELSEWHERE, "number_and_tax_id"),
        ("школа № 46, счет 45", {**ELSEWHERE, "amount": Money(11800, "RUB")}, "several_invoices"),
        ("школа № 46, счет 45", {**ELSEWHERE, "amount": None}, "several_invoices"),
        ("школа № 46, счет 45", {**ELSEWHERE, "payer_tax_ids": frozenset({PAYER})}, "several_invoices"),
        ("школа № 46, счет 45", {**ELSEWHERE, "payer_tax_ids": frozenset()}, "several_invoices"),
        ("Bitrix46, счет 45", {"amount": Money(1, "RUB")}, "number_and_tax_id"),
        ("Bitrix46, счет 45", {"payer_tax_ids": frozenset({STRANGER})}, "number_and_tax_id"),
        ("Bitrix46, счет 45", {}, "several_invoices"),
        ("Bitrix46, счет 45", {"paid": True, "cancelled": True}, "several_invoices"),
    ],
)
def test_a_number_no_word_explains_is_weighed_by_amount_and_payer(
    text: str, changes: dict[str, object], said_of_it: str
) -> None:
    assert said(match([payment(text)], [invoice(), invoice(id=2, number="46", **changes)])[0]) == said_of_it


def test_a_number_shared_by_more_invoices_than_are_looked_at_is_never_passed_over() -> None:
    shared = [invoice(id=n, number="46", **ELSEWHERE) for n in range(2, 12)]
    assert said(match([payment("школа № 46, счет 45")], [invoice(), *shared])[0]) == "several_invoices"


ORDINARY = [
    "Оплата по счету № 45 от 12.03.2026, в т.ч. НДС 20%",
    "Оплата по счету № 45 от 12.03.2026, в т.ч. НДС 20% - 14609.05 руб.",
    "Оплата по сч 45 от 12.03.2026. НДС 20% - 2434",
    "Счет 45 НДС 20% 19 667",
    "Счет 45, в т.ч. НДС (20%) 19667,00",
    "Счет 45 сумма 118-00, НДС(20%): 19-67",
    "Счет 45 сумма 118 000,00 руб. В том числе НДС 20 % - 19 666.67",
    "Счет 45 на сумму 118",
    "Счет 45. Без НДС.",
    "счет 45 по договору № 46 от 01.01.2026",
    "счет 45 дог. 46 от 5 марта 2026 г.",
    "счет 45 по договору поставки №46 от 12.03.26",
    "счет 45 по договору от 01.02.2026 № 46",
    "Счет 45 договор оказания услуг №46",
    "оплата 12 марта 2026 года по счету 45 за март 2026",
    "счет 45 за 1 квартал 2026 г.",
    "счет 45 за период с 01.03 по 31.03.2026",
    "счет 45 за 03.2026",
    "счет 45 за 03/2026",
    "счет 45, 3 шт, 5 штук по 100 руб. 50 коп.",
    "за 5 дней по счету 45",
    "счет 45 ИНН 7701234567 КПП 770101001 р/с 40702810900000000001 БИК 044525225",
    "счет 45 тел. 8 (800) 555-35-35",
    "счет 45 тел 8 800 555 35 35",
    "счет 45. +7 (495) 123-45-67",
    "счет 45 IBAN DE89 3704 0044 0532 0130 00",
    "invoice 45 DE89 3704 0044 0532 0130 00",
    "invoice 45 dated 12.03.2026 EUR 100 VAT 20",
    "invoice 45, amount 100 EUR, contract 46",
    "Rechnung 45 vom 12.03.2026 Betrag 100 EUR",
    "счет 45 от 12.03.2026, акт 100500, заказ 123456, замена картриджа",
    "Granulat, invoice 45",
    "Просторный офис, счет 45",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_texts_prove_where_every_small_number_is_an_open_invoice_of_the_payer(text: str) -> None:
    portal = [invoice(id=number, number=str(number)) for number in range(1, 2101)]
    assert said(match([payment(text)], portal)[0]) == "number_and_tax_id"


@pytest.mark.parametrize(
    "text",
    [
        *("взамен счета 45", "вместо счета 45", "счет 45 аннулирован", "отмена счета 45", "сторно счет 45"),
        *("ошибочно по счету 45", "Oтмeнa счета 45", "Stornorechnung. Rechnung 45", "Rechnungsstorno, Rechnung 45"),
        *("replaces invoice 45", "instead of invoice 45", "invoice 45 CANCELLED", "invoice 45 superseded"),
        *("faktura 45 anulowana", "facture 45 annulée", "factura 45 anulada", "замість рахунку 45"),
    ],
)
def test_a_text_that_speaks_of_replacement_is_never_a_proof(text: str) -> None:
    (outcome,) = match([payment(text)], [invoice()])
    assert (said(outcome), isinstance(outcome, Unproven)) == ("replaced", True)


def test_payments_that_prove_one_invoice_all_go_to_a_person() -> None:
    rivals = [payment(), payment("счет 45", key="id:2"), payment("за услуги", key="id:3")]
    assert [said(outcome) for outcome in match(rivals, [invoice()])] == [
        "competing_payments",
        "competing_payments",
        "no_reference",
    ]


def test_payments_that_compete_keep_their_evidence_and_are_told_how_many_they_are() -> None:
    rivals = [payment(), payment("счет 45", key="id:2"), payment("счет 45", key="id:3")]
    for outcome in match(rivals, [invoice()]):
        assert outcome.invoices == (invoice(),)
        assert outcome.evidence["amount"] == "equal: 118.00 RUB"
        assert outcome.evidence["payments"] == "3 prove this invoice"


SECOND = invoice(id=2, number="46", amount=Money(2200, "RUB"))
NEXT_DAY = replace(SECOND, issued_on=date(2026, 3, 13))
BOTH = Money(14000, "RUB")


@pytest.mark.parametrize(
    ("rule", "money", "second"),
    [
        ("number_and_tax_id", payment("счета 45 и 46", amount=BOTH), SECOND),
        ("number_and_tax_id", payment("счет 45, 46", amount=BOTH), SECOND),
        ("number_and_tax_id", payment("счет 45; счет № 46 от 12.03.2026", amount=BOTH), SECOND),
        ("number_and_date", payment("счет 45 от 12.03.2026 и счет 46 от 12.03.2026", amount=BOTH, payer_tax_id=""), SECOND),
        ("number_and_date", payment("счет 45 от 12.03.2026 и счет 46 от 13.03.2026", amount=BOTH, payer_tax_id=""), NEXT_DAY),
        ("number_and_tax_id", payment("счет 45 от 12.03.2026 и счет 46 от 13.03.2026", amount=BOTH), NEXT_DAY),
    ],
)  # fmt: skip
def test_one_payment_proves_several_invoices_when_each_is_named_and_the_sum_is_exact(
    rule: str, money: Payment, second: Invoice
) -> None:
    (outcome,) = match([money], [invoice(), second])
    assert isinstance(outcome, Proven)
    assert (outcome.rule, outcome.part, outcome.invoices) == (rule, False, (invoice(), second))
    assert outcome.evidence["amount"] == "equal: 140.00 RUB, the sum of 2 invoices"


@pytest.mark.parametrize(
    ("text", "sum_", "second", "payer"),
    [
        ("счета 45 и 46", Money(14001, "RUB"), SECOND, PAYER),
        ("счета 45 и 46", Money(13999, "RUB"), SECOND, PAYER),
        ("счета 45 и 46", Money(11800, "RUB"), SECOND, PAYER),
        ("счета 45 и 46", Money(14000, "EUR"), SECOND, PAYER),
        ("счета 45 и 46", BOTH, replace(SECOND, payer_tax_ids=frozenset({STRANGER})), PAYER),
        ("счета 45 и 46", BOTH, replace(SECOND, amount=None), PAYER),
        ("счета 45 и 46", BOTH, replace(SECOND, cancelled=True), PAYER),
        ("счета 45 и 46", BOTH, replace(SECOND, settled=True), PAYER),
        ("счета 45 и 46", BOTH, replace(SECOND, paid=True, paid_on=date(2026, 3, 20)), PAYER),
        ("счета 45 и 46", BOTH, replace(SECOND, own_accounts=frozenset({"1"})), PAYER),
        ("счета 45, 46 и 47", BOTH, SECOND, PAYER),
        ("счета 45 и 46", BOTH, SECOND, ""),
        ("счета 45 и 46", BOTH, SECOND, STRANGER),
        ("счет 45 и счет 46 от 12.03.2026", BOTH, replace(SECOND, payer_tax_ids=frozenset()), PAYER),
        ("счет 45 от 12.03.2026 и счет 46", BOTH, SECOND, ""),
        ("счет 45 от 12.03.2026 и счет 46 от 13.03.2026", BOTH, SECOND, PAYER),
        ("счета 45 и 46, 118", BOTH, replace(SECOND, amount=None), PAYER),
    ],
)
def test_any_doubt_about_one_of_several_invoices_is_a_doubt_about_all(
    text: str, sum_: Money, second: Invoice, payer: str
) -> None:
    (outcome,) = match([payment(text, amount=sum_, payer_tax_id=payer)], [invoice(), second])
    assert said(outcome) == "several_invoices"


HELD: dict[str, tuple[Payment, str]] = {
    "alike": (payment(key="held"), "alike_payments"),
    "of another day and document": (
        payment(key="held", booked_on=date(2026, 3, 25), document_number="19"),
        "number_and_tax_id",
    ),
    "of another amount": (payment(key="held", amount=Money(5900, "RUB")), "number_and_tax_id"),
    "for another invoice": (payment("счет 46", key="held"), "number_and_tax_id"),
    "that proves nothing": (payment("спасибо", key="held"), "number_and_tax_id"),
}


@pytest.mark.parametrize(("held", "expected"), HELD.values(), ids=HELD)
def test_beside_a_held_payment(held: Payment, expected: str) -> None:
    (outcome,) = match([payment()], [invoice(), invoice(id=2, number="46")], held=[held])
    assert said(outcome) == expected
    assert outcome.evidence.get("held", "held") == held.key


DISMISSED: dict[str, tuple[Payment, Invoice, str]] = {
    "that proves it": (payment(key="gone"), invoice(**PAID), "already_paid"),
    "that only names it": (payment("счет 45", key="gone", payer_tax_id=""), invoice(**PAID), "already_paid"),
    "of another sum": (payment(key="gone", amount=Money(5900, "RUB")), invoice(**PAID), "already_paid"),
    "for it and others": (payment("счета 45 и 46", key="gone", amount=Money(14000, "RUB")), invoice(**PAID), "already_paid"),
    "for another invoice": (payment("счет 46", key="gone"), invoice(**PAID), "number_and_tax_id"),
    "that names none": (payment("спасибо", key="gone"), invoice(**PAID), "number_and_tax_id"),
    "that was parted from it": (
        payment(key="gone", released_from=frozenset({("legacy", 1)})), invoice(**PAID), "number_and_tax_id"
    ),
    "of an open invoice": (payment(key="gone"), invoice(), "number_and_tax_id"),
}  # fmt: skip


@pytest.mark.parametrize(("gone", "due", "expected"), DISMISSED.values(), ids=DISMISSED)
def test_beside_a_dismissed_payment(gone: Payment, due: Invoice, expected: str) -> None:
    (outcome,) = match([payment()], [due, invoice(id=2, number="46", amount=Money(2200, "RUB"))], dismissed=[gone])
    assert said(outcome) == expected
    assert outcome.evidence.get("dismissed") == ("gone" if expected == "already_paid" else None)


def test_all_who_prove_a_paid_invoice_beside_a_dismissed_payment_are_told_that_it_is_paid() -> None:
    rivals = [payment(), payment("счет 45", key="id:2"), payment("за услуги", key="id:3")]
    outcomes = match(rivals, [invoice(**PAID)], dismissed=[payment(key="gone")])
    assert [said(outcome) for outcome in outcomes] == ["already_paid", "already_paid", "no_reference"]


def test_who_competes_for_one_of_several_invoices_takes_the_proof_of_all() -> None:
    money = [
        payment("счета 45 и 46", amount=BOTH),
        payment(key="id:2"),
        payment("счет 46", key="id:3", amount=Money(2200, "RUB")),
    ]
    assert [said(outcome) for outcome in match(money, [invoice(), SECOND])] == ["competing_payments"] * 3


def test_a_number_shared_by_two_makes_the_sum_of_several_no_proof() -> None:
    twins = [invoice(), SECOND, replace(SECOND, id=3)]
    assert said(match([payment("счета 45 и 46", amount=BOTH)], twins)[0]) == "several_invoices"


def test_more_invoices_than_can_be_read_at_once_are_for_a_person() -> None:
    portal = [invoice(id=number, number=str(number)) for number in range(40, 51)]
    text = "счета " + ", ".join(each.number for each in portal)
    paid = payment(text, amount=Money(11800 * len(portal), "RUB"))
    assert said(match([paid], portal)[0]) == "several_invoices"
    less = payment(text.removesuffix(", 50"), amount=Money(11800 * 10, "RUB"))
    assert said(match([less], portal)[0]) == "number_and_tax_id"


def parts(*amounts: int, days: bool = True) -> list[Payment]:
    return [
        payment(
            key=f"id:{n}",
            amount=Money(amount, "RUB"),
            booked_on=date(2026, 3, 10 + n if days else 20),
            document_number=f"50{n}",
        )
        for n, amount in enumerate(amounts)
    ]


@pytest.mark.parametrize(
    ("money", "said_of_them"),
    [
        (parts(6000, 5800), "number_and_tax_id"),
        (parts(1000, 2000, 3000), "number_and_tax_id"),
        (parts(5900, 5900), "number_and_tax_id"),
        (parts(5900, 5900, days=False), "competing_payments"),
        (parts(6000, 5801), "competing_payments"),
        (parts(6000, 11800), "competing_payments"),
        ([*parts(6000), payment("счета 45 и 46", key="id:9", amount=BOTH)], "competing_payments"),
    ],
)
def test_parts_stand_beside_each_other_as_long_as_they_differ_and_are_not_too_much(
    money: list[Payment], said_of_them: str
) -> None:
    outcomes = match(money, [invoice(), SECOND])
    assert {said(outcome) for outcome in outcomes} == {said_of_them}
    proven = [outcome for outcome in outcomes if isinstance(outcome, Proven)]
    assert all(outcome.part for outcome in proven)


def test_unknown_accounts_prove_only_where_one_company_owns_all_invoices() -> None:
    unknown = invoice(own_accounts=None)
    assert said(match([payment()], [unknown, invoice(id=2, number="46")])[0]) == "number_and_tax_id"
    assert said(match([payment()], [unknown, invoice(id=2, number="46", own_company=8)])[0]) == "payee_mismatch"


def test_unknown_accounts_that_are_not_trusted_prove_nothing() -> None:
    (outcome,) = match([payment()], [invoice(own_accounts=None)], trust_unknown_accounts=False)
    assert said(outcome) == "payee_unknown"
    known = [invoice(), invoice(id=2, number="46", own_accounts=frozenset())]
    judged = match([payment(), payment("счет 46", key="id:2")], known, trust_unknown_accounts=False)
    assert [said(outcome) for outcome in judged] == ["number_and_tax_id", "payee_mismatch"]


def test_hints_are_open_invoices_of_the_amount_with_those_of_the_payer_first() -> None:
    others = [invoice(id=n, number=f"A{n}", payer_tax_ids=frozenset({STRANGER})) for n in range(2, 12)]
    closed = [invoice(id=20, number="B1", paid=True), invoice(id=21, number="B2", amount=Money(1, "RUB")), invoice(id=22, number="B3", amount=Money(11800, "EUR"))]  # fmt: skip
    (outcome,) = match([payment("за услуги")], [*others, *closed, invoice(id=99, number="Z")])
    assert isinstance(outcome, Unproven)
    assert [due.id for due in outcome.invoices] == [99, 2, 3, 4, 5]


QUOTED = {"text": "счет № 45 от 12.03.2026", "number": "45"}
EQUAL_SUM = {**QUOTED, "amount": "equal: 118.00 RUB"}
BY_TAX_ID = {"payer_tax_id": "equal: 7701234567"}
BY_DATE = {"invoice_date": "equal: 2026-03-12"}
COMPETITOR = invoice(id=2, number="46")

TOLD: dict[str, tuple[Payment, list[Invoice], str, list[int], dict[str, str]]] = {
    "both identifiers": (payment(), [invoice()], "number_and_tax_id", [1], {**EQUAL_SUM, **BY_TAX_ID, **BY_DATE}),
    "the tax id, the date being another's to read": (
        payment("счет 45 of 03/12/2026"), [invoice()], "number_and_tax_id", [1],
        {"text": "счет 45 of 03/12/2026", "number": "45", "amount": "equal: 118.00 RUB", **BY_TAX_ID},
    ),
    "the date": (payment(payer_tax_id=""), [invoice()], "number_and_date", [1], {**EQUAL_SUM, **BY_DATE}),
    "an invoice paid by hand": (
        payment(), [invoice(**PAID)], "number_and_tax_id", [1],
        {**EQUAL_SUM, **BY_TAX_ID, **BY_DATE, "paid_on": "2026-03-20, not before the booking on 2026-03-20"},
    ),
    "a part": (
        payment(amount=Money(5000, "RUB")), [invoice(collected=(HALF,))], "number_and_tax_id", [1],
        {**QUOTED, **BY_TAX_ID, **BY_DATE, "amount": "50.00 RUB of 118.00 RUB, 60.00 RUB collected before"},
    ),
    "several invoices": (
        payment("счет 45 от 12.03.2026 и счет 46 от 13.03.2026", amount=BOTH), [invoice(), NEXT_DAY], "number_and_tax_id", [1, 2],
        {
            "text": "счет 45 от 12.03.2026 | счет 46 от 13.03.2026", "number": "45, 46",
            "amount": "equal: 140.00 RUB, the sum of 2 invoices", **BY_TAX_ID, "invoice_date": "equal: 2026-03-12; equal: 2026-03-13",
        },
    ),
    "several invoices of another sum": (
        payment("счета 45 и 46"), [invoice(), SECOND], "several_invoices", [1, 2], {"text": "счета 45 | и 46", "number": "45, 46"},
    ),
    "one invoice known of two": (
        payment("счета 45 и 46"), [invoice()], "several_invoices", [1], {"text": "счета 45 | и 46"},
    ),
    "a number that may be a second invoice": (
        payment("счет 45 46"), [invoice(), COMPETITOR], "several_invoices", [1, 2],
        {"text": "счет 45", "number": "45", "other_number": "46"},
    ),
    "many numbers": (
        payment("счета 46, 47, 48, 49, 50, 51"), [], "unknown_reference", [], {"text": "счета 46 | 47 | 48 | 49 | 50"},
    ),
    "no number": (payment("за услуги"), [invoice()], "no_reference", [1], {}),
    "a hidden character": (payment("счет 4\u200b5"), [invoice(id=4, number="4")], "suspicious_text", [4], {"text": "счет 4"}),
    "a shared number": (payment(), [invoice(), invoice(id=2)], "ambiguous", [1, 2], {"text": QUOTED["text"]}),
    "a replacement": (
        payment("счет 45 отменен"), [invoice()], "replaced", [1], {"text": "счет 45", "number": "45"},
    ),
    "a payment released before": (
        payment(released_from=frozenset({("legacy", 1)})), [invoice()], "released_before", [1], QUOTED,
    ),
    "a cancelled invoice": (payment(), [invoice(cancelled=True)], "cancelled", [1], {**QUOTED, "invoice": "cancelled"}),
    "another payer": (
        payment(payer_tax_id=STRANGER), [invoice(payer_tax_ids=frozenset({"7712345678", PAYER}))], "payer_mismatch", [1],
        {**EQUAL_SUM, "payer_tax_id": "paid by 7709999999, invoice has 7701234567, 7712345678", OF_OTHERS: "45"},
    ),
    "another date": (
        payment(), [invoice(issued_on=date(2026, 3, 13))], "date_mismatch", [1],
        {**EQUAL_SUM, "invoice_date": "invoice 2026-03-13, the text has another date"},
    ),
    "the number alone": (
        payment(payer_tax_id=""), [invoice(issued_on=None)], "one_identifier", [1], EQUAL_SUM,
    ),
    "the number alone, and a part": (
        payment(payer_tax_id="", amount=Money(1, "RUB")), [invoice(issued_on=None)], "underpaid", [1],
        {**QUOTED, "amount": "0.01 RUB of 118.00 RUB"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("money", "portal", "word", "ids", "evidence"), TOLD.values(), ids=TOLD)
def test_evidence_quotes_the_payer_and_names_what_was_compared(
    money: Payment, portal: list[Invoice], word: str, ids: list[int], evidence: dict[str, str]
) -> None:
    (outcome,) = match([money], portal)
    assert (said(outcome), [due.id for due in outcome.invoices]) == (word, ids)
    assert json.loads(json.dumps(outcome.evidence)) == evidence


TEXTS = st.sampled_from(
    [
        "счет 45",
        "счет 46",
        "счет 45 от 12.03.2026",
        "счет 45 от 13.03.2026",
        "счета 45 и 46",
        "invoice 45, 46",
        "INV-46",
        "x",
        "счет 4\u200b5",
    ]
)
AMOUNTS = st.sampled_from([Money(11800, "RUB"), Money(11801, "RUB"), Money(11800, "EUR")])
TAX_IDS = st.sampled_from(["", "0", PAYER, STRANGER])
INVOICES = st.lists(
    st.builds(
        invoice, kind=st.sampled_from(["legacy", "smart"]), id=st.integers(1, 6), number=st.sampled_from(["45", "045", "46", "INV-46", "47"]),
        amount=AMOUNTS | st.none(), issued_on=st.sampled_from([None, DAY]), payer_tax_ids=st.frozensets(TAX_IDS),
        own_accounts=st.sampled_from([None, frozenset({OURS})]), own_company=st.sampled_from([7, 7, 8]), paid=st.booleans(),
        paid_on=st.sampled_from([None, date(2026, 3, 20)]), cancelled=st.booleans(), settled=st.booleans(),
    ),
    max_size=4,
    unique_by=lambda due: (due.kind, due.id),
)  # fmt: skip
PAYMENTS = st.lists(
    st.builds(payment, TEXTS, amount=AMOUNTS, payer_tax_id=TAX_IDS, key=st.uuids().map(str)), max_size=5
)


@given(PAYMENTS, INVOICES)
def test_proven_means_exact_money_live_invoice_and_no_more_money_than_it_asks_for(
    payments: list[Payment], invoices: list[Invoice]
) -> None:
    outcomes = match(payments, invoices)
    takes: dict[tuple[str, int], list[int]] = {}
    for money, outcome in zip(payments, outcomes, strict=True):
        if isinstance(outcome, Unproven):
            continue
        due = outcome.invoices
        assert {each.amount and each.amount.currency for each in due} == {money.amount.currency}
        together = sum(each.amount.minor for each in due if each.amount)
        assert money.amount.minor < together if outcome.part else money.amount.minor == together
        assert "\u200b" not in money.remittance
        for each in due:
            takes.setdefault((each.kind, each.id), []).append(money.amount.minor if outcome.part else 0)
            assert not (each.cancelled)
            assert not (each.settled)
            assert [other.id for other in invoices if other.number.lstrip("0") == each.number.lstrip("0")] == [each.id]
            assert money.payer_tax_id in each.payer_tax_ids or "12.03.2026" in money.remittance
    prices = {(each.kind, each.id): each.amount.minor for each in invoices if each.amount}
    assert all(taken == [0] or (min(taken) > 0 and sum(taken) <= prices[key]) for key, taken in takes.items())


@given(PAYMENTS, INVOICES, st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing(
    payments: list[Payment], invoices: list[Invoice], shuffler: random.Random
) -> None:
    expected = dict(zip((money.key for money in payments), match(payments, invoices), strict=True))
    shuffler.shuffle(payments)
    shuffler.shuffle(invoices)
    assert dict(zip((money.key for money in payments), match(payments, invoices), strict=True)) == expected


def test_time_is_linear_even_when_all_invoices_share_a_number_and_an_amount() -> None:
    same = [invoice(id=n) for n in range(5_000)]
    payments = [payment("счет 45" if n % 2 else "за услуги", key=str(n)) for n in range(5_000)]
    began = time.perf_counter()
    outcomes = match(payments, same)
    # Linear work takes about 0.1 s; 25 million comparisons take far longer.
    assert time.perf_counter() - began < 3
    assert {said(outcome) for outcome in outcomes} == {"ambiguous", "no_reference"}


@pytest.mark.parametrize(
    ("payer", "theirs", "others"),
    [
        (PAYER, {"7711000555"}, "45"),
        (PAYER, {"7711000555", PAYER}, None),
        ("", {"7711000555"}, None),
        (PAYER, set(), None),
        ("0", {"7711000555"}, None),
    ],
)
def test_a_candidate_that_is_certainly_of_another_payer_is_named(
    payer: str, theirs: set[str], others: str | None
) -> None:
    [outcome] = match([payment("за услуги", payer_tax_id=payer)], [invoice(payer_tax_ids=frozenset(theirs))])
    assert isinstance(outcome, Unproven)
    assert ([each.number for each in outcome.invoices], outcome.evidence.get(OF_OTHERS)) == (["45"], others)


def test_a_number_that_one_invoice_of_this_payer_has_is_not_called_anothers() -> None:
    twins = [invoice(), invoice(id=99, payer_tax_ids=frozenset({"7711000555"}))]
    [outcome] = match([payment("за услуги")], twins)
    assert (len(outcome.invoices), outcome.evidence.get(OF_OTHERS)) == (2, None)
