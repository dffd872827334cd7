"""The exhaustive search over the real decisions; `python -m tests.simulation.exhaustive --acts 2` runs it at length."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from tests.simulation.exhaustive import Found, explore, search
from tests.simulation.model import BEGIN, GUARDS


@cache
def found(*acts: str) -> Found:
    """Everything that two attempts can come to while each of these happens at most once, at any moment."""
    return search(replace(BEGIN, acts=len(acts), left=frozenset(acts)))


def test_no_order_of_two_attempts_pays_twice_and_one_more_attempt_ends_it_paid() -> None:
    assert found().worlds > 5_000
    assert set(found().ends) == {"paid sent"}


@pytest.mark.parametrize(
    ("acts", "ends"),
    [
        (("crash",), {"paid sent"}),
        (("hand",), {"paid sent", "paid by_hand"}),
        (("comment",), {"paid sent"}),
        (("reverse",), {"paid sent", "review landed_then_changed", "review true_but_unpaid"}),
        (("price",), {"paid sent", "review amount_changed", "review paid_other_amount", "review landed_then_changed"}),
        (("release",), {"paid sent", "released"}),
        (("hold",), {"paid sent", "review held"}),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else "",
)
def test_whatever_happens_once_it_ends_and_nothing_is_wrong(acts: tuple[str, ...], ends: set[str]) -> None:
    assert not found(*acts).wrong
    assert set(found(*acts).ends) == ends


def test_a_hand_pay_and_its_reversal_between_read_and_pay_are_the_one_thing_no_client_can_see() -> None:
    begin = replace(BEGIN, acts=2, left=frozenset({"hand", "reverse"}))
    world = next(world for world in explore(begin) if world.residuals)
    assert (world.residuals, world.wrong) == ({"paid and reversed"}, frozenset())


def test_a_second_payment_after_a_release_is_never_paid_over_the_first() -> None:
    assert not found("release", "second").wrong


@pytest.mark.parametrize(
    ("guard", "acts", "wrong"),
    [
        ("fence", (), "double"),
        ("window", (), "double"),
        ("quiet", (), "double"),
        ("hold", ("hold",), "sent while held"),
        ("snapshot", ("reverse",), "against a person"),
        ("release", ("price", "release"), "released while our pay stands"),
    ],
)
def test_without_any_one_guard_the_search_finds_the_wrong(guard: str, acts: tuple[str, ...], wrong: str) -> None:
    begin = replace(BEGIN, guards=GUARDS - {guard}, acts=len(acts), left=frozenset(acts))
    assert any(wrong in world.wrong for world in explore(begin))
