"""What payers write: real remittance texts, each with what the payer meant by it."""

from __future__ import annotations

from random import Random

FULL = (
    "Оплата по счету № {n} от {d}, в т.ч. НДС 20%",
    "Оплата по счёту №{n} от {d} за обслуживание. НДС не облагается",
    "За поставку по сч. № {n} от {d}, НДС 20%",
    "Payment of invoice No. {n} dated {d}",
    "Rechnung Nr. {n} vom {d}",
    "ОПЛАТА ПО СЧЕТУ N {n} ОТ {d}Г. СУММА БЕЗ НДС",
    "invoice {n} of {d}",
)
NUMBER_ONLY = (
    "Оплата по счету № {n}, НДС не облагается",
    "Invoice No. {n}",
    "Rechnung Nr. {n}",
    "Счет №{n}",
)
BOTH = (
    "Оплата по счетам № {n0} от {d0} и № {n1} от {d1}",
    "Invoices No. {n0} dated {d0} and No. {n1} dated {d1}",
    "Оплата по счетам № {n0} и № {n1}, в т.ч. НДС 20%",
)
VAGUE = (
    "Возврат по договору займа № 14 от 03.03.2026",
    "Оплата за услуги по договору, НДС 20%",
    "Пополнение счета",
    "thank you",
)
# Hidden characters, another invoice struck out, a number in a number: nothing here proves anything.
HOSTILE = (
    "Оплата по счету № {n}\u202e от {d}",
    "Вместо счета № {n} от {d} выставлен новый",
    "Оплата по счету № 9{n} от {d}",
    "Оплата по счету № {n}-2 от {d}",
)


def one(rng: Random, templates: tuple[str, ...], number: str, day: str) -> str:
    return rng.choice(templates).format(n=number, d=day)


def two(rng: Random, first: tuple[str, str], second: tuple[str, str]) -> str:
    return rng.choice(BOTH).format(n0=first[0], d0=first[1], n1=second[0], d1=second[1])
