from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_b24.commands.ways import WHEN, advice, ways_on
from airflow_b24.ledger.states import REASONS as SETTLEMENT_REASONS
from airflow_b24.payments.reasons import ADVICE, REASONS
from airflow_b24.reconcile.reporting import PART_OVERDUE, Line


def words(reason: str, **ids: int) -> list[str]:
    return [word for word, _, _ in ways_on(Line("review", "", reason, "B1", **ids))]


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_a_payment_without_a_settlement_can_always_be_dismissed_and_what_to_do_is_said(reason: str) -> None:
    assert words(reason, payment_id=4) == ["dismiss"]
    assert advice(Line("review", "", reason, "B1")) == ADVICE[reason]


@pytest.mark.parametrize("reason", sorted(SETTLEMENT_REASONS.keys() - {"held"}))
def test_a_settlement_in_review_can_be_confirmed_whatever_was_read_of_its_invoice(reason: str) -> None:
    assert words(reason, payment_id=4, settlement_id=1) == ["release", "retry", "confirm"]


@pytest.mark.parametrize(
    ("reason", "ids", "expected"),
    [
        ("held", {"settlement_id": 1}, ["release", "retry"]),
        ("amended", {"payment_id": 4}, ["accept", "dismiss"]),
        ("amended", {"payment_id": 4, "settlement_id": 1}, ["accept", "release"]),
        ("reversed", {"case_id": 3, "settlement_id": 1}, ["close", "release"]),
        ("late_effect", {"case_id": 3, "settlement_id": 1}, ["close"]),
        (PART_OVERDUE, {"payment_id": 4, "settlement_id": 1}, ["release"]),
        ("ready", {"settlement_id": 1}, ["release"]),
        ("unknown", {"settlement_id": 1}, []),
        ("quarantined", {}, []),
    ],
)
def test_each_kind_of_trouble_has_its_commands(reason: str, ids: dict[str, int], expected: list[str]) -> None:
    assert words(reason, **ids) == expected


def test_a_case_that_closes_by_itself_says_when() -> None:
    assert "closes the case by itself" in advice(Line("review", "", "reversed", "B1", settlement_id=1, case_id=3))


@pytest.mark.parametrize("kind", ["legacy", "smart"])
@pytest.mark.parametrize("reason", sorted(SETTLEMENT_REASONS))
def test_whatever_an_invoice_is_in_review_for_it_is_said_what_can_be_done_in_bitrix24(reason: str, kind: str) -> None:
    said = advice(Line("review", "", reason, "B1", settlement_id=1, kinds=(kind,)))
    assert said.endswith(".")
    assert kind != "smart" or "by hand" not in said or "move the invoice to its stage of success by hand" in said


def test_what_was_asked_for_by_its_id_is_asked_for_again() -> None:
    plain = Line("review", "", "amount_changed", "settlement 1", settlement_id=1, kinds=("smart",))
    assert advice(plain) == "Give the invoice its amount and currency back, then run its task again; or release it."
    assert advice(replace(plain, payment_id=4)).endswith("back, and the next sweep goes on by itself; or release it.")


def test_several_invoices_of_both_kinds_are_told_what_holds_for_each() -> None:
    both = Line("review", "", "cancelled", "B1", settlement_id=1, kinds=("legacy", "smart"))
    assert "take the cancellation back" in advice(both)


def test_each_way_says_when_it_fits() -> None:
    assert [(number, when) for _, number, when in ways_on(Line("review", "", "overpaid", "B1", payment_id=4))] == [
        (4, WHEN["dismiss"])
    ]
