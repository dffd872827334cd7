"""What holds for any payments and any invoices: nobody else's money, nobody else's invoice, and never twice."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import date, timedelta
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_b24.payments.matching import Outcome, Proven, match
from airflow_b24.payments.model import Invoice, Payment
from airflow_b24.payments.money import Money
from tests.payments.remittances import DAY, PAYER, STRANGER, invoice, payment

HALF, PRICE, BOTH = (Money(minor, "RUB") for minor in (5900, 11800, 23600))
ELSEWHERE = "40702810900000000009"
TOGETHER = (BOTH, BOTH, Money(23700, "RUB"))
NUMBERS = ("45", "46", "INV-47", "2026/48", "045")
# One thing about an invoice or a payment that is not as usual; most have none.
ODD_INVOICES: list[dict[str, object]] = [
    *({} for _ in range(40)),
    *({"amount": amount} for amount in (HALF, BOTH, Money(11800, "EUR"), None)),
    *(
        {"payer_tax_ids": ids}
        for ids in (frozenset(), frozenset({STRANGER}), frozenset({PAYER, STRANGER}), frozenset({"0"}))
    ),
    *({"own_accounts": accounts} for accounts in (None, None, frozenset({ELSEWHERE}), frozenset())),
    *({"issued_on": day} for day in (None, date(2026, 3, 13))),
    *({"paid": True, "paid_on": day} for day in (None, date(2026, 3, 21), date(2026, 3, 1))),
    {"cancelled": True},
    {"settled": True},
    {"own_company": 8},
    {"kind": "smart"},
    {"number": "45"},
    *({"collected": (payment("x", amount=HALF, key="id:before", booked_on=DAY),)} for _ in range(6)),
]
ODD_PAYMENTS: list[dict[str, object]] = [
    *({} for _ in range(14)),
    *({"amount": Money(11800, "EUR")} for _ in range(3)),
    *({"account": ELSEWHERE} for _ in range(2)),
    *({"amount": amount} for amount in (HALF, HALF, HALF, HALF, BOTH, Money(11801, "RUB"), Money(0, "RUB"))),
    *({"payer_tax_id": tax_id} for tax_id in ("", "0", STRANGER)),
]
BOOKED = (date(2026, 3, 20), date(2026, 3, 19), date(2026, 3, 18))
ONE = (
    "счет {0}",
    "счет {0} от 12.03.2026",
    "invoice {0} of 12.03.2026",
    "счет № {0}, 46 шт",
    "взамен счета {0}",
    "счет {0} от 13.03.2026",
)
World = tuple[list[Payment], list[Invoice]]
TWO = ("счета {0} и {1}", "счета № {0} от 12.03.2026 и № {1} от 12.03.2026", "счета {0}; {1}", "счет {0} {1}")
NONE = ("за услуги", "счет 99", "счет 4\u200b5")


@st.composite
def invoice_lists(draw: st.DrawFn, first: int = 1) -> list[Invoice]:
    """Invoices with numbers of their own, most of them as usual."""
    numbers = draw(st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=4, unique=True))
    odd = [draw(st.sampled_from(ODD_INVOICES)) for _ in numbers]
    return [invoice(**{"id": first + place, "number": number, **odd[place]}) for place, number in enumerate(numbers)]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Invoices, and payments that name them; most of both as usual."""
    invoices = draw(invoice_lists())
    known = [each.number for each in invoices]
    payments = []
    for _ in range(draw(st.integers(0, 5))):
        numbers = draw(st.permutations(known)) if draw(st.integers(0, 5)) else draw(st.permutations(NUMBERS))
        numbers = [*numbers, "47"]
        templates = draw(st.sampled_from([ONE, ONE, ONE, ONE, TWO, TWO, NONE]))
        one = HALF if any(each.collected for each in invoices) else PRICE
        usual = {
            "amount": draw(st.sampled_from(TOGETHER)) if templates is TWO else one,
            "booked_on": draw(st.sampled_from(BOOKED)),
        }
        usual["document_number"] = draw(st.sampled_from(("501", "502", "503", "")))
        changes = {**usual, "key": draw(st.uuids().map(str)), **draw(st.sampled_from(ODD_PAYMENTS))}
        payments.append(payment(draw(st.sampled_from(templates)).format(*numbers), **changes))
    return payments, invoices


WORLDS = worlds()
MORE_INVOICES = invoice_lists(first=50)
thorough = settings(max_examples=100, deadline=None)
Proof = tuple[tuple[Invoice, ...], bool]


def proofs(payments: list[Payment], invoices: list[Invoice]) -> dict[str, Proof]:
    """What each proven payment pays, by its key."""
    outcomes = match(payments, invoices)
    return {
        money.key: (outcome.invoices, outcome.part)
        for money, outcome in zip(payments, outcomes, strict=True)
        if isinstance(outcome, Proven)
    }


@settings(max_examples=400, deadline=None)
@given(WORLDS)
def test_a_proof_is_of_the_exact_money_on_the_right_account_and_of_nothing_closed(world: World) -> None:
    payments, invoices = world
    by_key = {money.key: money for money in payments}
    for key, (due, part) in proofs(payments, invoices).items():
        money = by_key[key]
        rests = [each.amount.minor - sum(one.amount.minor for one in each.collected) for each in due if each.amount]
        assert len(rests) == len(due) > 0
        assert money.amount.minor > 0
        assert money.amount.minor <= rests[0] if part else money.amount.minor == sum(rests)
        assert not part or len(due) == 1
        for each in due:
            assert each.amount is not None
            assert each.amount.currency == money.amount.currency
            assert money.account in (each.own_accounts or {money.account})
            assert not each.cancelled
            assert not each.settled
            assert not each.paid or (each.paid_on is not None and each.paid_on >= money.booked_on)
            assert [other for other in invoices if other.number.lstrip("0") == each.number.lstrip("0")] == [each]
            assert not [
                one
                for one in each.collected
                if (one.amount, one.document_number) == (money.amount, money.document_number)
            ]
            # Two identifiers: the number is one of them, and nothing speaks against it.
            known = each.payer_tax_ids - {"", "0"}
            payer = {money.payer_tax_id} - {"", "0"}
            assert not known or not payer or payer <= known
            assert (known and payer) or f"{each.issued_on:%d.%m.%Y}" in money.remittance


@thorough
@given(WORLDS)
def test_no_invoice_gets_two_proofs_unless_they_are_different_parts_that_fit(world: World) -> None:
    payments, invoices = world
    by_key, claims = {money.key: money for money in payments}, defaultdict(list)
    found = proofs(payments, invoices)
    for key, (due, _) in found.items():
        for each in due:
            claims[each].append(by_key[key])
    for due_, rivals in claims.items():
        assert sum(rival.amount.minor for rival in rivals) <= (due_.rest or 0) or len(rivals) == 1
        if len(rivals) > 1:
            assert all(found[rival.key][1] for rival in rivals)
            assert len({(rival.amount, rival.booked_on) for rival in rivals}) == len(rivals)
            papers = [(rival.amount, rival.document_number) for rival in rivals if rival.document_number]
            assert len(set(papers)) == len(papers)


@thorough
@given(WORLDS, st.integers())
def test_the_order_of_payments_and_invoices_says_nothing(world: World, seed: int) -> None:
    payments, invoices = world
    expected: dict[str, Outcome] = dict(zip((each.key for each in payments), match(payments, invoices), strict=True))
    shuffler = Random(seed)  # noqa: S311 - repeatable
    shuffler.shuffle(payments)
    shuffler.shuffle(invoices)
    assert dict(zip((each.key for each in payments), match(payments, invoices), strict=True)) == expected


@thorough
@given(WORLDS)
def test_one_more_payment_makes_no_proof_of_another_and_changes_none(world: World) -> None:
    (*payments, more), invoices = world[0] or [payment("x")], world[1]
    before, after = proofs(payments, invoices), proofs([*payments, more], invoices)
    after.pop(more.key, None)
    assert after.items() <= before.items()


@thorough
@given(WORLDS, MORE_INVOICES)
def test_more_invoices_change_no_proof_into_another(world: World, more: list[Invoice]) -> None:
    payments, invoices = world
    before, after = proofs(payments, invoices), proofs(payments, [*invoices, *more])
    for key, (due, part) in after.items():
        # A proof that was there stays what it was, one that is new is of what is new; it may also be there no more.
        assert before.get(key, (due, part)) == (due, part) or set(due) & set(more)
    for key in after.keys() - before.keys():
        rivals = [other for other, (due, _) in before.items() if set(due) & set(after[key][0])]
        assert set(after[key][0]) & set(more) or rivals or _was_contested(payments, invoices, after[key][0])


def _was_contested(payments: list[Payment], invoices: list[Invoice], due: tuple[Invoice, ...]) -> bool:
    reasons = {
        outcome.reason
        for outcome in match(payments, invoices)
        if not isinstance(outcome, Proven) and set(outcome.invoices) & set(due)
    }
    return "competing_payments" in reasons


@thorough
@given(WORLDS, st.text(alphabet="абвxyz .,;!", max_size=12))
def test_words_without_a_number_and_a_payers_name_make_no_proof(world: World, words: str) -> None:
    payments, invoices = world
    talkative = [replace(each, remittance=f"{each.remittance}. {words}", payer_name=words) for each in payments]
    assert proofs(talkative, invoices).items() <= proofs(payments, invoices).items()


@thorough
@given(WORLDS)
def test_a_pair_that_a_person_parted_is_never_proven_again(world: World) -> None:
    payments, invoices = world
    before = proofs(payments, invoices)
    parted = [
        replace(each, released_from=frozenset((due.kind, due.id) for due in before[each.key][0]))
        if each.key in before
        else each
        for each in payments
    ]
    assert not proofs(parted, invoices).keys() & before.keys()


@thorough
@given(WORLDS, st.integers(1, 400))
def test_money_that_came_in_twice_pays_nothing_twice(world: World, days: int) -> None:
    payments, invoices = world
    doubled = [
        replace(each, key=f"{each.key}-again", booked_on=each.booked_on - timedelta(days=days)) for each in payments
    ]
    found = proofs([*payments, *doubled], invoices)
    for each in payments:
        first, second = found.get(each.key), found.get(f"{each.key}-again")
        if first and second and set(first[0]) & set(second[0]):
            # Only two parts on two days, which no document says are one.
            assert first[1]
            assert second[1]
            assert not each.document_number
