from __future__ import annotations

import time
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_b24.payments.invoice_number import canonical_number
from airflow_b24.payments.references import find_references

NAMED = [
    ("Оплата по счету № 45 от 12.03.2026 за услуги", ["45"]),
    ("Оплата по счёту №45", ["45"]),
    ("СЧЕТУ1000001", ["1000001"]),
    ("Оплата по СЧЕТУ N1000002 без НДС", ["1000002"]),
    ("сч.№ 45", ["45"]),
    ("сч 45", ["45"]),
    ("по сч. № УТ-000045", ["УТ-45"]),
    ("Cчет № 45, первая буква латинская", ["45"]),
    ("Счет на оплату № 45", ["45"]),
    ("Счет на оплату покупателю № 45", ["45"]),
    ("Счет-оферта № 45", ["45"]),
    ("Счет №45. НДС не облагается", ["45"]),
    ("Счет №45.НДС не облагается", ["45"]),
    ("Счет № 45, НДС 20% - 100.00", ["45"]),
    ("Счет № 45, 20% НДС", ["45"]),
    ("Счет 45/2026", ["45/2026"]),
    ("Оплата по счету 2026/101 часть 1", ["2026/101"]),
    ("Оплата по счету 45 часть 2 от 12.03.2026", ["45"]),
    ("Оплата по счету 2026/101 (часть 1)", ["2026/101"]),
    ("Оплата части 1 счета 45, часть 1 из 2", ["45"]),
    ("Invoice 2026/101 part 1", ["2026/101"]),
    ("Invoice 45 part 1 of 2", ["45"]),
    ("счет № 45от01.02.2026", ["45"]),
    ("счет от 01.02.2026 № 45", ["45"]),
    ("счет от 01.02.2026г. № 45", ["45"]),
    ("по счетам № 12, 13 и 14", ["12", "13", "14"]),
    ("по счетам №12 от 01.02.2026, №13 от 02.02.2026", ["12", "13"]),
    ("счета 12;13", ["12", "13"]),
    ("оплата к счету № 45", ["45"]),
    ("за Светлана счет 45", ["45"]),
    ("инвойсу № 45", ["45"]),
    ("по счету № 45 по договору № 77 от 01.01.2026", ["45"]),
    ("Оплата рахунку № 12", ["12"]),
    ("зг. рахунку-фактури № СФ-0000123 від 01.02.2026", ["СФ-123"]),
    ("рах. 77", ["77"]),
    ("Invoice 45", ["45"]),
    ("invoice no. 45", ["45"]),
    ("INVOICENO45", ["45"]),
    ("invoice #45", ["45"]),
    ("Invoice number: ABC-12", ["ABC-12"]),
    ("Invoice INV-001", ["INV-1"]),
    ("inv. 45", ["45"]),
    ("invoices 12 and 13", ["12", "13"]),
    ("bill no 9", ["9"]),
    ("Rechnung Nr. 2026-0012 vom 01.02.2026", ["2026-12"]),
    ("Rechnungsnr. 77", ["77"]),
    ("Rechnungsnummer 77", ["77"]),
    ("RE-Nr 77", ["77"]),
    ("Rg. 77", ["77"]),
    ("Rechnungen 12 und 13", ["12", "13"]),
    ("Facture n° 12 du 01.02.2026", ["12"]),
    ("Factures 12 et 13", ["12", "13"]),
    ("Factura Nº 12/2026 de fecha 25/03/2026", ["12/2026"]),
    ("pago fra. 12", ["12"]),
    ("Facturas 12 y 13", ["12", "13"]),
    ("Fatura 12 de 2026-03-01", ["12"]),
    ("pagamento faturas 12 e 13", ["12", "13"]),
    ("Faktura VAT FV/12/2026 z dnia 01.02.2026", ["12/2026"]),
    ("faktura nr 12/03/2026", ["12/3/2026"]),
    ("zapłata za fakturę 12", ["12"]),
    ("ｉｎｖｏｉｃｅ ４５", ["45"]),
    ("invoice 20–45", ["20-45"]),
]  # fmt: skip

NAMELESS = [
    "№ 45", "45", "", "Оплата по договору № 45", "Заказ № 45", "ИНН 7701234567", "НДС 20", "сумма 118.00", "contract 45", "order no 45",
    "VAT 12", "счет-фактура № 45", "По счет-фактуре N 45", "сч/ф 45", "с/ф 45", "СЧ.-ФАКТ. 45", "лицевой счет № 45", "л/счет 45",
    "р/счет 40702810", "расчетный счет 40702810", "расч. счет 45", "на счет 40702810900000000001", "на сч. 45", "розрахунковий рахунок 26001",
    "на рахунок 26001", "счетчик 45", "расчет 45", "подсчет 45", "счет по договору № 45", "счет за март", "счет № 1 000 001", "invoiced 45",
    "investment 45", "account 45", "invoice for order 45", "RF/ABC/INV-45", "счет ИНН7701234567", "счет № б/н", "Billy 45", "bill of lading 45",
    "счет " + "9" * 65,
]  # fmt: skip


@pytest.mark.parametrize(("text", "numbers"), NAMED)
def test_numbers_after_an_invoice_word_are_read(text: str, numbers: list[str]) -> None:
    assert [reference.forms[0] for reference in find_references(text).references] == [
        canonical_number(n) for n in numbers
    ]


@pytest.mark.parametrize("text", NAMELESS)
def test_other_numbers_are_not_references(text: str) -> None:
    assert find_references(text).references == ()


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("счет 45 от 12.03.2026", {date(2026, 3, 12)}),
        ("счет 45 от 12.03.26г.", {date(2026, 3, 12)}),
        ("счет 45 (12.03.2026)", {date(2026, 3, 12)}),
        ("счет 45 от 2026-03-12", {date(2026, 3, 12)}),
        ("счет 45от 12.03.2026", {date(2026, 3, 12)}),
        ("рахунок 45 від 12.03.2026", {date(2026, 3, 12)}),
        ("invoice 45 dated 2026-03-12", {date(2026, 3, 12)}),
        ("facture 45 du 25/03/2026", {date(2026, 3, 25)}),
        ("invoice 45 of 03/12/2026", {date(2026, 3, 12), date(2026, 12, 3)}),
        ("invoice 45 of 03-12-2026", {date(2026, 3, 12), date(2026, 12, 3)}),
        ("invoice 45 of 31.02.2026", set()),
        ("счет 45", None),
        ("счет 45 договор от 12.03.2026", None),
        ("счет 45 от 12.03.20261", None),
    ],
)
def test_date_beside_the_number_is_every_day_it_can_mean(text: str, days: set[date] | None) -> None:
    (reference,) = find_references(text).references
    assert reference.dates == days


def test_a_word_glued_to_the_number_may_be_part_of_it() -> None:
    (reference,) = find_references("INV-001").references
    assert reference.forms == ("1", "INV-1")


def test_a_bare_number_after_a_comma_is_not_certain() -> None:
    assert [r.certain for r in find_references("счета № 12, 13, № 14 и 15").references] == [True, False, True, True]


def test_the_fragment_is_what_the_payer_wrote() -> None:
    (reference,) = find_references("Оплата по счёту № 45 от 12.03.2026.").references
    assert reference.fragment == "счёту № 45 от 12.03.2026"


@pytest.mark.parametrize(
    ("one", "other"),
    [("0045", "45"), ("ут-000045", "УТ-45"), ("AB-1", "АВ-1"), ("A–1", "A-1"), ("№ 45", "45"), ("INV 45", "inv45"), ("2026/003", "2026/3"), ("000", "0"), ("４５", "45")],
)  # fmt: skip
def test_spellings_of_one_number_have_one_form(one: str, other: str) -> None:
    assert canonical_number(one) == canonical_number(other)


@pytest.mark.parametrize(
    ("one", "other"), [("10", "1"), ("1-1", "11"), ("100", "1O0"), ("1/2", "1-2"), ("A1", "1"), ("4.5", "45")]
)
def test_different_numbers_have_different_forms(one: str, other: str) -> None:
    assert canonical_number(one) != canonical_number(other)


@given(st.text())
def test_canonical_form_is_stable(number: str) -> None:
    form = canonical_number(number)
    assert canonical_number(form.lower()) == canonical_number(form)


@pytest.mark.parametrize(
    "text",
    [
        "счет 4\u200b5", "счет \u202e54\u202c", "счет 45\u2066", "сч\xadет 45", "счет 45\x00", "счет 45\x1b[2J", "счет 4\u03385", "счет 45\ufeff",
        "счет 45²", "счет 45\ufe0f", "счет 4\U000e00355", "счет 45\ud800", "счет\u2028 45",
    ],
)  # fmt: skip
def test_hidden_characters_make_a_text_suspicious(text: str) -> None:
    assert find_references(text).suspicious


@pytest.mark.parametrize(
    "text", ["счет 45", "счет\t45\r\n", "счет\xa0№\xa045", "Zażółć 45 м²", "Й" + "Й", "Σωκράτης", "日本 45", "🙂 45"]
)
def test_ordinary_letters_of_any_script_are_not_suspicious(text: str) -> None:
    assert not find_references(text).suspicious


@pytest.mark.parametrize(
    "part",
    ["СЧЕТ-", "СЧЕТ ", "СЧЕТ № ", "1", "СЧЕТ 1,", "1-", " ", "РАСЧ", "НА ", "N", "N ", "СЧЕТ1.", "FV/", "ЛИЦЕВ", "СЧЕТ ОТ 1.1.", "(", "ﷺ", "0.", "СЧЕТ 1 И "],
)  # fmt: skip
@pytest.mark.parametrize("start", ["", "СЧЕТ ", "INVOICE 1,"])
def test_time_is_linear_in_a_hostile_text(start: str, part: str) -> None:
    text = start + part * (100_000 // len(part))
    began = time.process_time()
    find_references(text)
    # Linear reading takes under 0.2 s; a quadratic one takes minutes.
    assert time.process_time() - began < 3


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    for reference in find_references(text).references:
        assert reference.forms
        assert any(character.isdigit() for character in reference.forms[0])
