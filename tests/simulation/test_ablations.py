"""Each guard of the product, taken away, is missed: the checker sees it within some seeds, alone or with its backup gone too."""

from __future__ import annotations

import pytest

from tests.simulation.ablations import GUARDS
from tests.simulation.checker import check
from tests.simulation.running import first_caught, simulate, stage

WINDOW = 1500
# What is missed, from which seed on it is looked for (shortly before the first that shows it), and the rules that may
# show it.
# The second of a pair does the first one's work as well: it is its named backup.
MISSED: dict[str, tuple[int, str]] = {
    "alike": (47, "wrong"),
    "amended": (20, "held"),
    "amount": (170, "wrong_amount not_as_matched"),
    "answered": (23, "resend_after_true"),
    "by_hand": (14, "by_hand"),
    "cancelled": (46, "not_as_matched"),
    "case_at_paid": (90, "unseen"),
    "claim_first": (1, "read_before_claim"),
    "competition": (29, "wrong"),
    "date": (1126, "wrong"),
    "fence": (53, "read_before_claim result double"),
    "free_money": (366, "I1"),
    "held_money": (593, "held"),
    "hold+held": (110, "held"),
    "identity": (104, "wrong_invoice"),
    "idle": (136, "idle"),
    "intent": (1, "no_promise"),
    "own_send": (39, "not_ours wrong_amount"),
    "paid_amount": (280, "wrong_amount"),
    "parted": (67, "parted"),
    "payer": (20, "wrong"),
    "quiet": (24, "double resend_early"),
    "read_age": (11, "old_read"),
    "read_back": (1, "not_read"),
    "release_quiet": (170, "landed_after_release"),
    "release_reversed": (87, "released_paid"),
    "release_states+table": (380, "table"),
    "release_unpaid": (170, "landed_after_release released_paid"),
    "settled": (1, "waits"),
    "siblings": (200, "sibling"),
    "snapshot": (112, "against_a_person"),
    "state": (7, "table"),
    "sweep": (5, "unseen waits"),
    "two_identifiers": (6, "wrong"),
    "unique": (63, "I2 double"),
    "window": (49, "old_read"),
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
