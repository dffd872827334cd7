"""What is left out of a matching changes no word of it: with the invoices that are wanted it says what it says with all."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_b24.payments.candidates import MOST_HINTS
from airflow_b24.payments.matching import Outcome, match
from airflow_b24.payments.model import Invoice, Payment
from airflow_b24.payments.money import Money
from airflow_b24.payments.sieve import Sieve
from tests.matching_truth import cases
from tests.payments.remittances import invoice, payment
from tests.payments.test_matching_properties import ODD_INVOICES, ODD_PAYMENTS, WORLDS, World


def kept(sieve: Sieve, invoices: list[Invoice]) -> list[Invoice]:
    return [each for each in invoices if sieve.wants(each, each.payer_tax_ids)]


def both(
    payments: list[Payment],
    invoices: list[Invoice],
    held: list[Payment],
    dismissed: list[Payment],
    *,
    trusts: bool,
) -> tuple[list[Outcome], list[Outcome]]:
    """What is said with all invoices, and with those that are wanted."""
    sieve = Sieve(payments, [*held, *dismissed])
    beside = {"held": held, "dismissed": dismissed, "trust_unknown_accounts": trusts}
    some = kept(sieve, invoices)
    return (
        match(payments, invoices, **beside),  # type: ignore[arg-type]
        match(payments, some, **beside, companies=sieve.companies),  # type: ignore[arg-type]
    )


@settings(max_examples=400, deadline=None)
@given(WORLDS, WORLDS, st.integers(), st.booleans())
def test_in_small_worlds_every_word_is_the_same(world: World, other: World, seed: int, trusts: bool) -> None:
    rng = Random(seed)  # noqa: S311 - repeatable
    (payments, invoices), (more, others) = world, other
    # Strangers' invoices with numbers and amounts that nobody names, or that only hint at something.
    others = [replace(each, id=each.id + 100, number=rng.choice((each.number, f"X{each.id}7"))) for each in others]
    held, dismissed = more[: len(more) // 2], more[len(more) // 2 :]
    everything = rng.sample([*invoices, *others], len(invoices) + len(others))
    whole, sieved = both(payments, everything, held, dismissed, trusts=trusts)
    assert whole == sieved


@pytest.mark.parametrize("seed", range(4))
def test_on_a_portal_numbered_from_one_every_word_is_the_same(seed: int) -> None:
    made, invoices = cases(1200, seed)
    rng = Random(seed)  # noqa: S311 - repeatable
    odd = [replace(each, **rng.choice(ODD_INVOICES)) for each in invoices if rng.random() < 0.2]
    invoices = [*{(each.kind, each.id): each for each in [*invoices, *odd]}.values()]
    asked = [replace(case.payment, **rng.choice([{}] * 9 + ODD_PAYMENTS)) for case in rng.sample(made, 60)]
    for trusts in (False, True):
        whole, sieved = both(asked[:40], invoices, asked[40:50], asked[50:], trusts=trusts)
        assert whole == sieved


def test_of_invoices_with_prices_of_their_own_few_are_wanted() -> None:
    invoices = [invoice(id=each, number=str(each), amount=Money(100 * each, "RUB")) for each in range(1, 5001)]
    asked = [payment(f"счет {each}, НДС 20%", amount=Money(100 * each, "RUB")) for each in range(1, 5001, 100)]
    some = kept(Sieve(asked), invoices)
    assert len(some) <= 2 * len(asked)
    assert {each.id for each in some} >= {*range(1, 5001, 100)}


def test_hints_are_the_same_ones_however_many_there_are_and_in_whatever_order_they_come() -> None:
    rng = Random(5)  # noqa: S311 - repeatable
    payers = [frozenset({f"77110002{each:02}"}) for each in range(8)]
    invoices = [invoice(id=each, number=f"A{each}", payer_tax_ids=rng.choice(payers)) for each in range(1, 400)]
    rng.shuffle(invoices)
    asked = [payment("за услуги", payer_tax_id=next(iter(each))) for each in payers]
    whole, sieved = both(asked, invoices, [], [], trusts=True)
    assert whole == sieved
    assert all(len(outcome.invoices) == MOST_HINTS for outcome in whole)
    in_order = sorted(invoices, key=lambda each: each.id)
    assert len(kept(Sieve(asked), in_order)) == len(payers) * MOST_HINTS


ASKED = payment("счет 45 от 12.03.2026")
# Without invoice 46 the one held would be clear, and the money twice; the one dismissed would name nothing.
HELD = payment("счет 45 от 12.03.2026 (46)", key="id:held")
DISMISSED = payment("счет 46 от 12.03.2026 (45)", key="id:dismissed", amount=Money(5, "RUB"))


@pytest.mark.parametrize(
    ("held", "dismissed", "reason"), [([HELD], [], None), ([], [DISMISSED], "already_paid")], ids=["held", "dismissed"]
)
def test_what_only_a_payment_beside_names_is_wanted_too(
    held: list[Payment], dismissed: list[Payment], reason: str | None
) -> None:
    paid = {"paid": True, "paid_on": date(2026, 3, 20)} if dismissed else {}
    invoices = [invoice(**paid), invoice(id=2, number="46", amount=Money(5, "RUB"))]
    whole, sieved = both([ASKED], invoices, held, dismissed, trusts=True)
    assert whole == sieved
    assert getattr(sieved[0], "reason", None) == reason


def test_what_waits_for_no_money_or_for_another_sum_is_no_hint() -> None:
    sieve = Sieve([payment("за услуги")])
    closed = ({"paid": True, "paid_on": date(2026, 3, 1)}, {"cancelled": True}, {"settled": True})
    for changes in (*closed, {"amount": None}, {"amount": Money(11800, "EUR")}):
        assert not sieve.wants(invoice(**changes), "payer")
    assert sieve.wants(invoice(), "payer")


def test_an_invoice_that_comes_again_takes_no_second_place() -> None:
    sieve = Sieve([payment("за услуги")])
    for _ in range(MOST_HINTS + 1):
        assert sieve.wants(invoice(id=1), "payer")
    assert [sieve.wants(invoice(id=each), "payer") for each in range(2, 8)] == [True] * 4 + [False] * 2


def test_companies_whose_invoices_are_left_out_count() -> None:
    unknown = invoice(own_accounts=None)
    another = invoice(id=2, number="999", own_company=8, amount=Money(1, "RUB"))
    whole, sieved = both([payment("счет 45 от 12.03.2026")], [unknown, another], [], [], trusts=True)
    assert whole == sieved
    assert [outcome.reason for outcome in sieved] == ["payee_mismatch"]  # type: ignore[union-attr]
