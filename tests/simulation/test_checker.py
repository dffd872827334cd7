"""The checker finds each wrong that it is there for: one is planted for every rule, in a history that is right without."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from tests.simulation import (
    checker,
    planted_bulk,
    planted_partial,
    rules_bulk,
    rules_executed,
    rules_money,
    rules_partial,
    rules_paths,
    rules_paying,
)
from tests.simulation.checker import check
from tests.simulation.history import Act, Delivered
from tests.simulation.planted import (
    BACK,
    BORN,
    EXECUTED,
    HAND,
    LEGACY_ALONE,
    ONE,
    PAYMENT,
    PLANTED,
    PLANTED_SMART,
    REVIEW,
    add,
    as_smart,
    ends,
    happy,
)

RULES = (rules_paths, rules_paying, rules_executed, rules_money, rules_partial, rules_bulk)


def test_a_history_in_which_all_went_well_has_nothing_wrong() -> None:
    verdict = check(happy())
    assert verdict.violations == []
    assert (verdict.provable, verdict.avoidable, verdict.executed) == (1, 0, {"legacy": 1})
    assert not verdict.residuals


@pytest.mark.parametrize("rule", PLANTED)
def test_a_planted_wrong_is_found_by_its_rule(rule: str) -> None:
    history = happy()
    PLANTED[rule](history)
    assert rule in {violation.rule for violation in check(history).violations}


@pytest.mark.parametrize("rule", [rule for rule in PLANTED if rule not in LEGACY_ALONE])
def test_the_same_wrong_is_found_with_a_smart_invoice(rule: str) -> None:
    history = happy()
    PLANTED[rule](history)
    if rule != "misdirected":
        as_smart(history)
    assert rule in {violation.rule for violation in check(history).violations}


@pytest.mark.parametrize(("plant", "rule"), PLANTED_SMART.values(), ids=PLANTED_SMART)
def test_a_wrong_that_only_a_smart_invoice_can_show_is_found(plant: Any, rule: str) -> None:
    history = happy()
    plant(history)
    assert rule in {violation.rule for violation in check(history).violations}


def test_a_smart_invoice_that_goes_well_has_nothing_wrong_though_a_call_came_twice() -> None:
    history = as_smart(happy())
    assert check(history).violations == []
    add(EXECUTED._replace(at=5.3, invoice=("smart", 1), was_paid=True, moved=False))(history)
    # It moved nothing, and is one call more than was promised.
    assert {violation.rule for violation in check(history).violations} == {"executions"}
    assert check(history).executed == {"smart": 1, "smart, in vain": 1}


def test_a_smart_invoice_that_a_person_gives_up_after_our_read_is_paid_all_the_same_and_counted() -> None:
    history = happy()
    add(BORN._replace(at=5.15, by="person", what="cancel", cancelled=True))(history)
    verdict = check(as_smart(history))
    assert (verdict.violations, dict(verdict.residuals)) == ([], {"lost_meanwhile": 1})


def test_a_hand_payment_that_a_robot_moves_on_as_the_person_looks_taken_back_and_is_counted() -> None:
    for at, expected in ((3.0, {"over_a_person"}), (5.15, set())):
        history = as_smart(happy())
        add(BORN._replace(at=at, by="person", what="pay", invoice=("smart", 1), mover="person", moved_on=True))(history)
        verdict = check(history)
        assert {violation.rule for violation in verdict.violations} == expected
        assert dict(verdict.residuals) == ({} if expected else {"moved_on": 1})


def test_money_may_go_to_the_copy_of_an_invoice_that_is_gone() -> None:
    for gone, expected in ((True, set()), (False, {"wrong"})):
        history = as_smart(happy())
        copied = PAYMENT._replace(invoices=((ONE, 11800),), copies=((ONE, ("smart", 1)),))
        history.meant["B1"] = copied
        add(BORN, BORN._replace(at=1.5, by="person", what="delete", gone=gone))(history)
        assert {violation.rule for violation in check(history).violations} == expected


def test_an_invoice_that_waited_in_the_stage_of_parts_and_was_paid_has_nothing_wrong() -> None:
    verdict = check(planted_partial.in_parts())
    assert (verdict.violations, verdict.partial) == ([], {"moved": 1})


@pytest.mark.parametrize("rule", planted_partial.PLANTED)
def test_a_wrong_move_to_the_stage_of_parts_is_found(rule: str) -> None:
    history = planted_partial.in_parts()
    planted_partial.PLANTED[rule](history)
    assert rule in {violation.rule for violation in check(history).violations}


def test_a_person_whose_pay_our_move_could_not_see_is_told_and_counted() -> None:
    history = planted_partial.in_parts()
    planted_partial.PLANTED["partial_unseen"](history)
    history.cases = [{"settlement_id": 1, "kind": "overtaken", "closed_at": None}]
    verdict = check(history)
    assert "partial_unseen" not in {violation.rule for violation in verdict.violations}
    assert dict(verdict.residuals) == {"partial": 1}


def test_every_rule_has_a_planted_wrong() -> None:
    named = {
        name for module in RULES for name in re.findall(r'blame\(\s*"(\w+)"', Path(module.__file__).read_text("utf-8"))
    }
    in_bulk = {rule for _, rule in planted_bulk.PLANTED.values()}
    assert named == set(PLANTED) | set(planted_partial.PLANTED) | in_bulk


def test_a_task_that_pays_in_a_batch_and_tells_what_is_so_has_nothing_wrong() -> None:
    verdict = check(planted_bulk.in_bulk())
    assert verdict.violations == []
    assert verdict.bulk == {"runs": 1, "requests": 2, "batches": 1, "pays": 1}


@pytest.mark.parametrize(("plant", "rule"), planted_bulk.PLANTED.values(), ids=planted_bulk.PLANTED)
def test_a_wrong_that_only_a_task_for_many_can_do_is_found(plant: Any, rule: str) -> None:
    history = planted_bulk.in_bulk()
    plant(history)
    assert rule in {violation.rule for violation in check(history).violations}


def test_a_request_that_the_network_brings_twice_is_counted_and_one_that_we_send_twice_is_wrong() -> None:
    for again, expected in ((True, set()), (False, {"double", "executions"})):
        history = planted_bulk.in_bulk()
        add(EXECUTED._replace(at=5.3, batch=1, was_paid=True, day_before="2026-11-20", again=again))(history)
        verdict = check(history)
        assert {violation.rule for violation in verdict.violations} == expected
        assert verdict.residuals["delivered_twice"] == again


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
