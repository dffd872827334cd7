"""`python -m tests.matching_truth --payments 5000 [--seed S]`: matching against what every payer really meant.

One portal whose invoices are numbered from 1, so that any number in a text is some invoice's, with few prices and many
customers; payers who write as payers do, and others who mistype, mislead or attack.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from random import Random

from airflow_b24.payments.matching import Proven, match
from airflow_b24.payments.model import Invoice, Payment
from airflow_b24.payments.money import Money

OURS, ELSEWHERE = "40702810900000000001", "40702810900000000009"
PRICES = (11_800, 59_000, 100_000, 118_000, 250_000, 4_999, 1_000_000)
START = date(2026, 1, 12)

HONEST = (
    "Оплата по счету № {n} от {d}, в т.ч. НДС 20%",
    "Оплата по счёту №{n} от {d} за обслуживание. НДС не облагается",
    "ОПЛАТА ПО СЧЕТУ N {n} ОТ {d}Г. СУММА БЕЗ НДС",
    "За поставку по сч. № {n} от {d}",
    "Счет на оплату № {n} от {d}",
    "Payment of invoice No. {n} dated {d}",
    "Rechnung Nr. {n} vom {d}",
    "рахунок № {n} від {d}",
)
SHORT = ("Оплата по счету № {n}", "счет {n}", "Invoice {n}", "Rechnung {n}", "сч. {n}", "СЧЕТ N{n}")
AROUND = (
    "{t}",
    "{t}",
    "{t}, договор № {x} от 01.02.2026",
    "{t}. Сумма {s} руб., НДС 20%",
    "{t}, {y} шт по {z} руб.",
    "ИНН {i} {t}",
    "{t} тел. 8 (800) 555-35-35",
    "{t}, р/с 40702810900000000077",
    "{t} за 1 квартал 2026 г.",
    "{t}, за 3 месяца",
    "//РЕЕСТР// {t} //{i}//",
    "{t}, акт {x}",
    "{t}, заказ {x} от 01.02.2026",
)
TWO = (
    "Оплата по счетам № {n} от {d} и № {m} от {e}",
    "Invoices No. {n} dated {d} and No. {m} dated {e}",
    "счета № {n} и № {m}",
)
PART = ("", "", " часть {p}", ", часть {p}", " (часть {p} из 2)", " part {p}", ", part {p} of 2")
ATTACKS = (
    "счет {n}\u200b от {d}",
    "счет \u202e{n}\u202c от {d}",
    "вместо счета {n} от {d} выставлен новый",
    "счет {n} от {d} отменен",
    "возврат по счету {n} от {d}",
    "счет {n}/{m}",
    "счет {n}-{m}",
    "{n} шт. по счету {m}, {n} шт",
    "счет часть {n} от {d}",
    "{n} часть по счету {m}, часть {n}",
    "оплата {n} от {d}",
    "по счету {n} руб",
    "на счет {n} от {d}",
    "счет-фактура {n} от {d}",
    "договор {n} от {d}",
    "счет № б/н от {d}, {n} шт",
    "{{{{ conn.bank.password }}}} {n}",
    "=HYPERLINK({n})",
    "оплата №{n} взамен счета №{m}",
    "счет ИНН {i}",
    "за услуги, НДС 20%",
    "",
)
# However it is dressed up, the payer's own invoice is named; that it goes to a person is no fault.
DRESSED = (
    "счет {n}' OR '1'='1",
    "счет {n}'; DROP TABLE payment; --",
    "счет {n} {{{{ conn.bank.password }}}}",
    '=HYPERLINK("http://x";"счет {n}")',
    "<b>счет {n}</b>",
    "cчeт {n}",
    "счет 000{n}",
    "счет {n} или {m}",
)


@dataclass(frozen=True, slots=True)
class Case:
    """A payment, which invoices its payer means, and whether the words and the money say so beyond doubt."""

    payment: Payment
    meant: frozenset[int]
    provable: bool
    kind: str


def portal(count: int, rng: Random) -> list[Invoice]:
    """Open invoices with the numbers from 1, of a tenth as many customers."""
    payers = [f"77{rng.randrange(10**7, 10**8)}" for _ in range(max(count // 10, 2))]
    return [
        Invoice(
            kind="legacy",
            id=number,
            number=str(number),
            amount=Money(rng.choice(PRICES), "RUB"),
            issued_on=START + timedelta(days=number % 60),
            payer_tax_ids=frozenset({rng.choice(payers)}),
            own_accounts=frozenset({OURS}),
            own_company=7,
            paid=False,
            paid_on=None,
            cancelled=False,
            voucher_number="",
        )
        for number in range(1, count + 1)
    ]


def cases(count: int, seed: int) -> tuple[list[Case], list[Invoice]]:
    """So many payments to one portal; the same seed gives the same."""
    rng = Random(seed)  # noqa: S311 - repeatable
    invoices = portal(2 * count, rng)
    waiting = iter(rng.sample(invoices, len(invoices)))
    made: list[Case] = []
    for case in _endless(rng, waiting, invoices):
        made.append(replace(case, payment=replace(case.payment, key=f"id:{len(made)}")))
        if len(made) >= count:
            return made, invoices
    raise AssertionError("endless")


def _endless(rng: Random, waiting: Iterator[Invoice], invoices: list[Invoice]) -> Iterator[Case]:
    kinds: list[Callable[[Random, Iterator[Invoice], list[Invoice]], Iterator[Case]]] = [_full] * 15 + [
        _several,
        _parts,
    ]
    kinds += [_mistyped, _wrong_money, _attack, _attack, _dressed, _of_another]
    while True:
        yield from rng.choice(kinds)(rng, waiting, invoices)


def _pay(rng: Random, invoice: Invoice, text: str, **changes: object) -> Payment:
    (tax_id,) = invoice.payer_tax_ids
    assert invoice.amount is not None
    usual = Payment(
        OURS, "", 0, invoice.amount, START + timedelta(days=rng.randrange(60, 90)), text, payer_tax_id=tax_id
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def _words(rng: Random, template: str, invoice: Invoice, other: Invoice | None = None) -> str:
    (tax_id,) = invoice.payer_tax_ids
    second = other or invoice
    told = template.format(
        n=invoice.number, d=f"{invoice.issued_on:%d.%m.%Y}", m=second.number, e=f"{second.issued_on:%d.%m.%Y}", i=tax_id
    )
    numbers = {"x": rng.randrange(1, 10_000), "y": rng.randrange(1, 200), "z": rng.randrange(1, 200)}
    around = rng.choice(AROUND) if template in HONEST + SHORT else "{t}"
    return around.format(t=told, i=tax_id, s=str(invoice.amount).split()[0], **numbers)


def _full(rng: Random, waiting: Iterator[Invoice], _: list[Invoice]) -> Iterator[Case]:
    invoice = next(waiting)
    if rng.random() < 0.6:
        # Without a tax id the date is what proves.
        payment = _pay(
            rng, invoice, _words(rng, rng.choice(HONEST), invoice), **rng.choice([{}, {}, {"payer_tax_id": ""}])
        )
    else:
        payment = _pay(rng, invoice, _words(rng, rng.choice(SHORT), invoice))
    yield Case(payment, frozenset({invoice.id}), provable=True, kind="in full")


def _several(rng: Random, waiting: Iterator[Invoice], invoices: list[Invoice]) -> Iterator[Case]:
    first = next(waiting)
    second = replace(next(waiting), payer_tax_ids=first.payer_tax_ids)
    # Both are of one customer.
    invoices[second.id - 1] = second
    text = _words(rng, rng.choice(TWO), first, second)
    assert first.amount is not None
    assert second.amount is not None
    money = _pay(rng, first, text, amount=first.amount + second.amount)
    yield Case(money, frozenset({first.id, second.id}), provable=True, kind="several")


def _parts(rng: Random, waiting: Iterator[Invoice], _: list[Invoice]) -> Iterator[Case]:
    invoice = next(waiting)
    assert invoice.amount is not None
    first = invoice.amount.minor * rng.randrange(10, 90) // 100
    for place, minor in enumerate((first, invoice.amount.minor - first)):
        day = START + timedelta(days=70 + place)
        words = _words(rng, rng.choice(HONEST), invoice) + rng.choice(PART).format(p=place + 1)
        payment = _pay(rng, invoice, words, amount=Money(minor, "RUB"), booked_on=day)
        yield Case(payment, frozenset({invoice.id}), provable=True, kind="parts")


def _mistyped(rng: Random, waiting: Iterator[Invoice], invoices: list[Invoice]) -> Iterator[Case]:
    invoice, wrong = next(waiting), rng.choice(invoices)
    if wrong.payer_tax_ids != invoice.payer_tax_ids:
        text = _words(rng, rng.choice(SHORT), wrong)
        yield Case(_pay(rng, invoice, text), frozenset({invoice.id}), provable=False, kind="mistyped")


def _wrong_money(rng: Random, waiting: Iterator[Invoice], _: list[Invoice]) -> Iterator[Case]:
    invoice = next(waiting)
    assert invoice.amount is not None
    odd = rng.choice(
        [
            {"amount": Money(invoice.amount.minor + 1, "RUB")},
            {"amount": replace(invoice.amount, currency="EUR")},
            {"account": ELSEWHERE},
        ]
    )
    yield Case(
        _pay(rng, invoice, _words(rng, rng.choice(HONEST), invoice), **odd),
        frozenset(),
        provable=False,
        kind="wrong money",
    )


def _of_another(rng: Random, waiting: Iterator[Invoice], _: list[Invoice]) -> Iterator[Case]:
    invoice = next(waiting)
    payment = _pay(
        rng, invoice, _words(rng, rng.choice(SHORT), invoice), payer_tax_id=f"78{rng.randrange(10**7, 10**8)}"
    )
    yield Case(payment, frozenset(), provable=False, kind="another's invoice")


def _attack(rng: Random, waiting: Iterator[Invoice], invoices: list[Invoice]) -> Iterator[Case]:
    invoice, other = next(waiting), rng.choice(invoices)
    text = _words(rng, rng.choice(ATTACKS), invoice, other)
    payment = _pay(rng, invoice, text, **rng.choice([{}, {}, {"payer_tax_id": ""}]))
    # Nothing in such a text says beyond doubt what is meant: every proof is a false one.
    yield Case(payment, frozenset(), provable=False, kind="attack")


def _dressed(rng: Random, waiting: Iterator[Invoice], invoices: list[Invoice]) -> Iterator[Case]:
    invoice, other = next(waiting), rng.choice(invoices)
    text = _words(rng, rng.choice(DRESSED), invoice, other)
    yield Case(_pay(rng, invoice, text), frozenset({invoice.id}), provable=False, kind="dressed up")


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of it; `false` are proofs of what the payer does not mean, `reviewed` provable payments left to people."""

    payments: int
    provable: int
    proven: int
    false: tuple[tuple[str, str], ...]
    reviewed: tuple[tuple[str, str], ...]

    @property
    def unaided(self) -> float:
        return (self.provable - len(self.reviewed)) / self.provable

    def __str__(self) -> str:
        share = f"{self.unaided:.2%} of {self.provable} provable payments settle unaided"
        return f"{self.payments} payments, {self.proven} proven, {len(self.false)} false; {share}"


def measure(count: int, seed: int) -> Figures:
    """Match so many payments at once, and compare with what was meant."""
    made, invoices = cases(count, seed)
    outcomes = match([case.payment for case in made], invoices)
    false, reviewed, proven = [], [], 0
    for case, outcome in zip(made, outcomes, strict=True):
        if isinstance(outcome, Proven):
            proven += 1
            if {invoice.id for invoice in outcome.invoices} != case.meant:
                false.append((case.kind, case.payment.remittance))
        elif case.provable:
            reviewed.append((outcome.reason, case.payment.remittance))
    return Figures(len(made), sum(case.provable for case in made), proven, tuple(false), tuple(reviewed))


def main() -> int:
    """Print the figures, and why what was left to people was; 1 when a proof was false or too few settled."""
    parser = argparse.ArgumentParser(prog="python -m tests.matching_truth", description=__doc__)
    parser.add_argument("--payments", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    found = measure(asked.payments, asked.seed)
    sys.stdout.write(f"{found}\n{dict(Counter(reason for reason, _ in found.reviewed))}\n")
    for kind, text in found.false:
        sys.stdout.write(f"FALSE ({kind}): {text!r}\n")
    return 0 if not found.false and found.unaided >= 0.95 else 1


if __name__ == "__main__":
    sys.exit(main())
