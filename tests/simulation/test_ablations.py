"""Each guard of the product, taken away, is missed: the checker sees it within some seeds, alone or with its backup gone too."""

from __future__ import annotations

import pytest

from tests.simulation.ablations import GUARDS
from tests.simulation.checker import check
from tests.simulation.running import first_caught, simulate, stage

WINDOW = 1500
# What is missed, from which seed on it is looked for (near the first that shows it), and the rules that may show it.
# The second of a pair does the first one's work as well: it is its named backup.
MISSED: dict[str, tuple[int, str]] = {
    "alike": (50, "wrong"),
    "amended": (20, "held"),
    "amount": (1, "wrong_amount not_as_matched"),
    "answered": (700, "resend_after_true"),
    "by_hand": (100, "by_hand"),
    "cancelled": (50, "not_as_matched"),
    "case_at_paid": (80, "unseen"),
    "claim_first": (1, "read_before_claim"),
    "competition": (20, "wrong"),
    "date": (1100, "wrong"),
    "fence": (40, "read_before_claim result double"),
    "free_money": (400, "I1"),
    "held_money": (400, "held"),
    "hold+held": (100, "held"),
    "identity": (90, "wrong_invoice"),
    "idle": (40, "idle"),
    "intent": (1, "no_promise"),
    "own_send": (20, "not_ours wrong_amount"),
    "paid_amount": (120, "wrong_amount"),
    "parted": (1, "parted"),
    "payer": (10, "wrong"),
    "quiet": (1, "double resend_early"),
    "read_age": (70, "old_read"),
    "read_back": (1, "not_read"),
    "release_quiet": (250, "landed_after_release"),
    "release_reversed": (10, "released_paid"),
    "release_states+table": (1200, "table"),
    "release_unpaid": (250, "landed_after_release released_paid"),
    "settled": (1, "waits"),
    "siblings": (1700, "sibling"),
    "snapshot": (230, "against_a_person"),
    "state": (150, "table"),
    "sweep": (20, "unseen waits"),
    "two_identifiers": (1, "wrong"),
    "unique": (60, "I2 double"),
    "window": (20, "old_read"),
}


def test_every_guard_is_among_those_taken_away() -> None:
    assert {name for names in MISSED for name in names.split("+")} == set(GUARDS)


@pytest.mark.parametrize("names", MISSED)
def test_a_guard_that_is_gone_is_missed(names: str) -> None:
    start, rules = MISSED[names]
    found = first_caught(names.split("+"), WINDOW, start)
    assert found is not None
    seed, violation = found
    assert violation.rule in rules.split()
    with stage("dict") as books:
        assert check(simulate(seed, books)).violations == []
