"""The exhaustive search over the real decisions; `python -m tests.simulation.exhaustive --acts 2` runs it at length."""

from __future__ import annotations

import json
import sys
from functools import cache

import pytest

from tests.simulation.exhaustive import Found, explore, main, search
from tests.simulation.model import BEGIN, BEGIN_SMART, GUARDS, World


@cache
def found(*acts: str, begin: World = BEGIN) -> Found:
    """Everything that two attempts can come to while each of these happens at most once, at any moment."""
    return search(begin._replace(acts=len(acts), left=frozenset(acts)))


def test_no_order_of_two_attempts_pays_twice_and_one_more_attempt_ends_it_paid() -> None:
    assert found().worlds > 4_000
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


def test_of_a_smart_invoice_no_order_of_two_attempts_does_any_wrong_and_one_more_ends_it_paid() -> None:
    assert found(begin=BEGIN_SMART).worlds > 2_000
    assert not found(begin=BEGIN_SMART).wrong
    assert set(found(begin=BEGIN_SMART).ends) == {"paid sent"}


@pytest.mark.parametrize(
    ("acts", "ends"),
    [
        (("crash",), {"paid sent"}),
        (("hand",), {"paid sent", "paid by_hand"}),
        (("reverse",), {"paid sent", "review landed_then_changed", "review true_but_unpaid"}),
        (("price",), {"paid sent", "review amount_changed", "review paid_other_amount", "review landed_then_changed"}),
        (("release",), {"paid sent", "released"}),
        (("hold",), {"paid sent", "review held"}),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else "",
)
def test_whatever_happens_once_to_a_smart_invoice_nothing_is_wrong(acts: tuple[str, ...], ends: set[str]) -> None:
    assert not found(*acts, begin=BEGIN_SMART).wrong
    assert set(found(*acts, begin=BEGIN_SMART).ends) == ends


def test_whatever_two_things_happen_to_a_smart_invoice_nothing_is_wrong() -> None:
    both = search(BEGIN_SMART._replace(acts=2))
    assert both.worlds > 150_000
    assert not both.wrong
    assert set(both.residuals) == {"paid and reversed"}


def test_whatever_two_things_happen_nothing_is_wrong_and_one_thing_alone_no_client_can_see() -> None:
    both = search(BEGIN._replace(acts=2))
    assert both.worlds > 150_000
    assert not both.wrong
    # A person pays by hand and takes it back between our read and our pay.
    assert set(both.residuals) == {"paid and reversed"}
    assert [line.split()[0] for line in both.ways["paid and reversed"]][-3:] == ["hand", "reverse", "an"]


def test_the_command_says_what_it_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["exhaustive", "--acts", "0", "--json"])
    assert main() == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["outside_actions"], told["violations"], told["residuals"]) == (0, {}, {})
    monkeypatch.setattr(sys, "argv", ["exhaustive", "--acts", "0", "--without", "window"])
    assert main() == 1
    assert "double:\n  begin " in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["exhaustive", "--acts", "0", "--kind", "smart"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("smart: ")


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
    begin = BEGIN._replace(guards=GUARDS - {guard}, acts=len(acts), left=frozenset(acts))
    assert any(wrong in world.wrong for world in explore(begin))


@pytest.mark.parametrize(
    ("guard", "acts", "wrong"),
    [
        ("fence", ("reverse",), "against a person"),
        ("window", ("release",), "landed after its release"),
        ("quiet", ("release",), "landed after its release"),
        ("hold", ("hold",), "sent while held"),
        ("snapshot", ("reverse",), "against a person"),
        ("release", ("price", "release"), "released while our pay stands"),
    ],
)
def test_without_any_one_guard_a_smart_invoice_shows_the_wrong(guard: str, acts: tuple[str, ...], wrong: str) -> None:
    begin = BEGIN_SMART._replace(guards=GUARDS - {guard}, acts=len(acts), left=frozenset(acts))
    assert any(wrong in world.wrong for world in explore(begin))
