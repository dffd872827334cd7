"""Each guard of the product, taken away, is missed: the checker sees it within some seeds, alone or with its backup gone too."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.simulation.ablations import GUARDS
from tests.simulation.checker import check
from tests.simulation.crowds import Settling
from tests.simulation.offices import Kinds
from tests.simulation.removing_in_bulk import IN_BULK
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
    "release_quiet": (7130, "landed_after_release"),
    "release_reversed": (87, "released_paid"),
    "release_states+table": (380, "table"),
    "release_unpaid": (170, "landed_after_release released_paid"),
    "settled": (1, "waits"),
    "siblings": (200, "sibling"),
    "snapshot": (112, "against_a_person"),
    "state": (1970, "table"),
    "sweep": (5, "unseen waits"),
    "two_identifiers": (6, "wrong"),
    "unique": (63, "I2 double"),
    "window": (49, "old_read"),
}
# The same with smart invoices; a pay system that pays nothing is none of theirs.
MISSED_SMART: dict[str, tuple[Kinds, int, str]] = {
    "alike": ("smart", 50, "wrong"),
    "amended": ("smart", 78, "held"),
    "amount": ("smart", 220, "wrong_amount not_as_matched"),
    "answered": ("smart", 26, "resend_after_true"),
    "by_hand": ("smart", 28, "by_hand"),
    "cancelled": ("smart", 10, "not_as_matched"),
    "case_at_paid": ("smart", 80, "unseen"),
    "claim_first": ("smart", 1, "read_before_claim"),
    "competition": ("smart", 32, "wrong"),
    "date": ("smart", 1128, "wrong"),
    "fence": ("smart", 55, "read_before_claim result double"),
    "free_money": ("smart", 6160, "I1"),
    "held_money": ("smart", 395, "held"),
    "hold+held": ("smart", 97, "held"),
    "identity": ("smart", 48, "wrong_invoice"),
    "intent": ("smart", 1, "no_promise"),
    "moved_lately": ("both", 28, "wrong"),
    "named_kind": ("both", 407, "unasked"),
    "own_funnel": ("smart", 1, "reason"),
    "own_read": ("both", 2, "reason unread"),
    "own_send": ("smart", 28, "attribution not_ours wrong_amount"),
    "own_settlement": ("both", 15, "waits wrong"),
    "own_space": ("both", 17, "misdirected"),
    "paid_amount": ("smart", 264, "wrong_amount"),
    "parted": ("smart", 70, "parted"),
    "partial_quiet+partial_due": ("smart", 1860, "partial_may_land unpaid_by_us"),
    "partial_read": ("smart", 1030, "partial_unread"),
    "payer": ("smart", 23, "wrong"),
    "quiet": ("smart", 18, "double resend_early"),
    "read_age": ("smart", 68, "old_read"),
    "read_back": ("smart", 2, "not_read"),
    "release_quiet": ("smart", 11050, "landed_after_release"),
    "release_reversed": ("smart", 90, "released_paid"),
    "release_states+table": ("smart", 1090, "table"),
    "release_unpaid": ("smart", 264, "landed_after_release released_paid"),
    "robot": ("smart", 33, "reason released_paid"),
    "robot_alone": ("smart", 8, "not_read unseen"),
    "settled": ("smart", 1, "waits"),
    "siblings": ("smart", 1610, "sibling"),
    "snapshot": ("smart", 385, "against_a_person"),
    "state": ("smart", 20660, "table"),
    "sweep": ("smart", 8, "unseen waits"),
    "two_identifiers": ("smart", 9, "wrong"),
    "unique": ("smart", 26, "I2 double"),
    "whose_move": ("smart", 35, "attribution"),
    "window": ("smart", 48, "old_read"),
}
# The guards that settling in bulk has of its own, and those that it shares, in worlds that settle in bulk.
MISSED_IN_BULK: dict[str, tuple[int, str]] = {
    "bulk_account": (30, "untold"),
    "bulk_alone": (5, "waits"),
    "bulk_claim_first": (1, "read_before_claim"),
    "bulk_gone": (35, "reason"),
    "bulk_histories": (10, "reason unread over_a_person"),
    "bulk_idle": (100, "idle"),
    "bulk_in_hand": (30, "broken"),
    "bulk_intent": (1, "no_promise"),
    "bulk_leaves": (10, "no_promise"),
    "bulk_lost": (30, "double executions"),
    "bulk_not_run": (5, "waits"),
    "bulk_once": (1, "old_read double executions"),
    "bulk_pay_run": (1010, "double executions resend_early"),
    "bulk_read_age": (30, "old_read"),
    "bulk_read_back": (1, "not_read"),
    "bulk_rounds": (35, "unbounded"),
    "bulk_siblings": (80, "reason"),
    "bulk_silence": (10290, "double executions"),
    "bulk_silent": (90, "unbounded"),
    "bulk_stop": (65, "sent_after_stop"),
    "bulk_window": (90, "old_read"),
    "amount": (20, "wrong_amount not_as_matched"),
    "answered": (25, "resend_after_true"),
    "cancelled": (1, "not_as_matched"),
    "case_at_paid": (45, "unseen"),
    "fence": (25, "read_before_claim result told double"),
    "hold+held": (85, "held"),
    "identity": (105, "wrong_invoice"),
    "own_funnel": (1, "reason"),
    "own_send": (20, "attribution not_ours wrong_amount"),
    "own_space": (1, "misdirected"),
    "paid_amount": (65, "wrong_amount"),
    "quiet": (10, "double resend_early"),
    "read_back": (1, "not_read"),
    "robot": (10, "reason released_paid"),
    "snapshot": (10, "against_a_person unread"),
    "state": (1160, "table"),
    "whose_move": (25, "attribution"),
}
# What there is to guard of smart invoices alone.
SMART_ALONE = {
    *("moved_lately", "named_kind", "own_funnel", "own_read", "own_settlement", "own_space"),
    *("partial_due", "partial_quiet", "partial_read", "robot", "robot_alone", "whose_move"),
}


def test_every_guard_is_among_those_taken_away() -> None:
    assert _named(MISSED) == set(GUARDS) - SMART_ALONE - set(IN_BULK)
    assert _named(MISSED_SMART) == set(GUARDS) - {"idle"} - set(IN_BULK)
    assert _named(MISSED_IN_BULK) >= set(IN_BULK)


def _named(missed: Iterable[str]) -> set[str]:
    return {name for names in missed for name in names.split("+")}


@pytest.mark.parametrize("names", MISSED)
def test_a_guard_that_is_gone_is_missed(names: str) -> None:
    start, rules = MISSED[names]
    _is_missed(names, "legacy", start, rules)


@pytest.mark.parametrize("names", MISSED_SMART)
def test_a_guard_that_is_gone_is_missed_with_smart_invoices(names: str) -> None:
    _is_missed(names, *MISSED_SMART[names])


@pytest.mark.parametrize("names", MISSED_IN_BULK)
def test_a_guard_that_is_gone_is_missed_in_bulk(names: str) -> None:
    start, rules = MISSED_IN_BULK[names]
    _is_missed(names, "mixed", start, rules, "bulk")


def _is_missed(names: str, kinds: Kinds, start: int, rules: str, settling: Settling = "single") -> None:
    found = first_caught(names.split("+"), WINDOW, start, kinds, settling)
    assert found is not None
    seed, violation = found
    assert violation.rule in rules.split()
    with stage("dict") as books:
        assert check(simulate(seed, books, kinds=kinds, settling=settling)).violations == []
