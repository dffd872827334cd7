"""The judge is itself judged: each kind of harm, planted into clean books, must be found."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.processes.stories import Story
from tests.processes.verdict import Ledger, judge, phase

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
PAYS, DOES_NOT = Story(1, 10001, 10001), Story(2, 10002, 60002)
QUIET_S = 2.0
Books = dict[int, dict[str, Any]]


def portal() -> Books:
    paid = {"id": 1, "paid": True, "executed_pays": 1, "pays": [{"at": (NOON + timedelta(seconds=1)).isoformat()}]}
    return {1: paid, 2: {"id": 2, "paid": False, "executed_pays": 0, "pays": []}}


def told() -> Ledger:
    settlement = {"id": 5, "invoice_id": 1, "state": "paid", "how": "sent", "reason": None}
    seen = {"paid": True, "amount": 10001, "currency": "RUB"}
    return Ledger(
        settlements=[settlement],
        events=[event("claimed", 0), event("sending", 0.5), event("paid", 1.5, seen)],
        allocations=[{"settlement_id": 5, "payment_id": 7, "amount": 10001}],
        payments=[
            {"id": 7, "key": "id:B1", "amount": 10001, "allocated": 10001},
            {"id": 8, "key": "id:B2", "amount": 60002, "allocated": 0},
        ],
    )


def event(what: str, after_s: float, evidence: Any = None) -> dict[str, Any]:
    return {"settlement_id": 5, "what": what, "at": NOON + timedelta(seconds=after_s), "evidence": evidence or {}}


def violations(books: Books, ledger: Ledger) -> list[str]:
    return judge([PAYS, DOES_NOT], {"invoices": list(books.values())}, ledger, QUIET_S).violations


def test_clean_books_are_no_complaint() -> None:
    assert violations(portal(), told()) == []


def pay_again(books: Books, after_s: float = 1.1) -> None:
    books[1]["executed_pays"] += 1
    books[1]["pays"].append({"at": (NOON + timedelta(seconds=after_s)).isoformat()})


def change(row: dict[str, Any], **values: Any) -> None:
    row.update(values)


PLANTED: dict[str, tuple[Callable[[Books, Ledger], object], str]] = {
    "paid twice": (lambda books, _: pay_again(books), "paid 2 times"),
    "paid twice, announced twice": (
        lambda books, ledger: (pay_again(books), ledger.events.append(event("sending", 1.0))),
        "paid 2 times",
    ),
    "paid without an announcement": (lambda _, ledger: ledger.events.pop(1), "1 pays ran, 0 were announced"),
    "announced too late": (lambda _, ledger: change(ledger.events[1], at=NOON + timedelta(seconds=1.2)), "not within"),
    "landed after the quiet time": (
        lambda books, _: change(books[1]["pays"][0], at=(NOON + timedelta(seconds=2.6)).isoformat()),
        "not within",
    ),
    "paid without money": (lambda books, _: change(books[2], paid=True, executed_pays=1), "its money never came"),
    "paid by nobody": (lambda books, _: change(books[1], executed_pays=0, pays=[]), "by 0 calls"),
    "not paid, says the portal": (lambda books, _: change(books[1], paid=False), "paid=False by 1 calls"),
    "not paid, says the ledger": (lambda _, ledger: change(ledger.settlements[0], state="review", how=None), "review"),
    "not settled": (lambda _, ledger: change(ledger.settlements[0], state="unknown"), "not brought to an end"),
    "said to be paid by hand": (lambda _, ledger: change(ledger.settlements[0], how="by_hand"), "by_hand"),
    "lost": (lambda _, ledger: ledger.settlements.clear(), "was lost"),
    "without a proof": (lambda _, ledger: change(ledger.events[2]["evidence"], paid=False), "no event proves"),
    "proof of another amount": (lambda _, ledger: change(ledger.events[2]["evidence"], amount=1), "no event proves"),
    "another's money": (lambda _, ledger: change(ledger.allocations[0], payment_id=8), "stands on"),
    "money used twice": (lambda _, ledger: ledger.allocations.append(dict(ledger.allocations[0])), "received"),
    "money that does not fit": (lambda _, ledger: change(ledger.payments[1], allocated=60002), "does not fit"),
    "a settlement without money": (
        lambda _, ledger: ledger.settlements.append({**ledger.settlements[0], "id": 6, "invoice_id": 2}),
        "though no money came",
    ),
    "two settlements": (
        lambda _, ledger: ledger.settlements.append({**ledger.settlements[0], "id": 6}),
        "2 live settlements",
    ),
    "a stranger": (
        lambda _, ledger: ledger.settlements.append({**ledger.settlements[0], "id": 6, "invoice_id": 9}),
        "nobody told of",
    ),
}


@pytest.mark.parametrize(("plant", "said"), PLANTED.values(), ids=PLANTED)
def test_harm_that_is_planted_is_found(plant: Callable[[Books, Ledger], object], said: str) -> None:
    books, ledger = portal(), told()
    plant(books, ledger)
    assert any(said in each for each in violations(books, ledger)), violations(books, ledger)


def test_a_settlement_that_was_given_up_in_time_is_counted_and_no_harm() -> None:
    books, ledger = portal(), told()
    change(ledger.settlements[0], state="review", how=None, reason="gave_up")
    verdict = judge([PAYS, DOES_NOT], {"invoices": list(books.values())}, ledger, QUIET_S)
    assert (verdict.violations, verdict.gave_up) == ([], 1)


@pytest.mark.parametrize(("after_s", "said"), [(-1, "new"), (0.2, "claimed"), (0.7, "sending"), (9, "paid")])
def test_a_phase_is_the_last_word_before_the_kill(after_s: float, said: str) -> None:
    assert phase(told(), {1}, NOON + timedelta(seconds=after_s)) == said


def test_a_phase_of_many_is_that_of_the_one_with_most_at_stake() -> None:
    ledger = told()
    ledger.settlements.extend([{"id": 6, "invoice_id": 2}, {"id": 7, "invoice_id": 3}])
    ledger.events.append({"settlement_id": 6, "what": "claimed", "at": NOON + timedelta(seconds=1), "evidence": {}})
    assert [phase(ledger, {1, 2, 3}, NOON + timedelta(seconds=after_s)) for after_s in (-1, 1, 9)] == [
        "new",
        "sending",
        "claimed",
    ]
