"""The checker finds each wrong that it is there for: one is planted for every rule, in a history that is right without."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from tests.simulation import checker, rules_executed, rules_money, rules_paths, rules_paying
from tests.simulation.checker import check
from tests.simulation.history import Act, Delivered
from tests.simulation.planted import BACK, EXECUTED, HAND, PLANTED, REVIEW, add, ends, happy

RULES = (rules_paths, rules_paying, rules_executed, rules_money)


def test_a_history_in_which_all_went_well_has_nothing_wrong() -> None:
    verdict = check(happy())
    assert verdict.violations == []
    assert (verdict.provable, verdict.avoidable, verdict.executed) == (1, 0, 1)
    assert not verdict.residuals


@pytest.mark.parametrize("rule", PLANTED)
def test_a_planted_wrong_is_found_by_its_rule(rule: str) -> None:
    history = happy()
    PLANTED[rule](history)
    assert rule in {violation.rule for violation in check(history).violations}


def test_every_rule_has_a_planted_wrong() -> None:
    named = {
        name for module in RULES for name in re.findall(r'blame\(\s*"(\w+)"', Path(module.__file__).read_text("utf-8"))
    }
    assert named == set(PLANTED)


def test_a_review_of_what_could_be_proven_is_counted() -> None:
    history = happy()
    ends(REVIEW, state="review")(history)
    assert check(history).avoidable == 1


def test_a_process_frozen_behind_its_last_look_at_the_clock_is_a_residual_and_nothing_else_is() -> None:
    for left_at, expected in ((9.0, 0), (11.0, 1)):
        history = happy()
        add(EXECUTED._replace(at=12.0, left_at=left_at, was_paid=True))(history)
        verdict = check(history)
        assert verdict.residuals["zombie"] == expected
        assert ("double" in {violation.rule for violation in verdict.violations}) is not bool(expected)


def test_a_hand_pay_taken_back_between_our_read_and_our_pay_is_a_residual_only_when_a_person_had_paid() -> None:
    for by, expected in (("person", 1), ("us", 0)):
        history = happy()
        add(HAND._replace(at=4.8, by=by), BACK._replace(at=4.85))(history)
        verdict = check(history)
        assert verdict.residuals["paid_and_reversed"] == expected
        assert ("over_reversal" in {violation.rule for violation in verdict.violations}) is not bool(expected)


def test_an_accepted_payment_may_be_sent_again() -> None:
    changed = Delivered(2.5, "B1", "another text", True, 100)
    for accepted, expected in ((False, True), (True, False)):
        history = happy()
        add(changed, *([Act(2.6, "accept", 1, True)] if accepted else []))(history)
        assert ("held" in {violation.rule for violation in check(history).violations}) is expected


@pytest.mark.parametrize("module", [checker, *RULES], ids=lambda module: module.__name__.rpartition(".")[2])
def test_the_checker_imports_nothing_of_the_product(module: Any) -> None:
    allowed = {"tests.simulation.history", "tests.simulation.checker", "tests.simulation"}
    for path in (Path(module.__file__), Path(checker.__file__).with_name("history.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.startswith("airflow_b24")]
            assert {name for name in names if name.startswith("tests")} <= allowed
