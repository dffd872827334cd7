from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import pytest

from airflow_b24.ledger.decide import Answered, Decision, Refused, Row, Seen, State, Unknown
from airflow_b24.ledger.settlement import (
    Claim,
    Commit,
    Committed,
    Effect,
    Exchange,
    Exchanged,
    Look,
    Patience,
    Pause,
    Reserve,
    Settled,
    applied,
    settle,
)

PATIENCE = Patience()
MARKS = {"PRICE": "118.00", "STATUS_ID": "S", "PAY_SYSTEM_ID": "6"}
UNPAID = Seen(paid=False, cancelled=False, amount=11800, currency="RUB", marks=MARKS)
PAID = replace(UNPAID, paid=True, paid_on=date(2026, 11, 22), marks={**MARKS, "STATUS_ID": "P", "PAY_SYSTEM_ID": "31"})
MOVED = replace(UNPAID, marks={**MARKS, "PAY_SYSTEM_ID": "31"})
SILENT = Unknown("the connection was reset")
GONE = Refused("INVOICE_GONE", "it is not there any more", repeatable=False, reason="invoice_not_found")
TRUE = Answered()


@dataclass
class Attempt:
    """One attempt driven by hand: the portal's words are a script, a callable in it happens before its word."""

    book: Any
    script: list[Any]
    patience: Patience = PATIENCE
    effects: list[Effect] = field(default_factory=list)
    read_age_s: float = 0.0

    def run(self, settlement_id: int = 1) -> Settled:
        conversation, reply = settle(settlement_id, self.patience), None
        try:
            while True:
                self.effects.append(conversation.send(reply))
                reply = self._perform(self.effects[-1])
        except StopIteration as done:
            assert not self.script, "the conversation ended before the script did"
            settled: Settled = done.value
            return settled

    def _perform(self, effect: Effect) -> Any:
        match effect:
            case Claim():
                return self.book.claim(effect.settlement_id)
            case Look():
                return self.book.look(effect.settlement_id)
            case Commit():
                return self._commit(effect)
            case Exchange():
                return self._exchange(effect)
            case Pause():
                self.book.pass_time(effect.seconds)
        return None

    def _commit(self, effect: Commit) -> Committed:
        if effect.decision.state is State.SENDING and self.read_age_s > self.patience.read_age_s:
            self.read_age_s = 0.0
            return Committed(None, stale=True)
        return Committed(self.book.move(effect.row, effect.decision, self.patience), send_before=5.0)

    def _exchange(self, effect: Exchange) -> Exchanged:
        word = self.script.pop(0)
        while callable(word):
            word()
            word = self.script.pop(0)
        told, seen = word if isinstance(word, tuple) else (None, word)
        assert effect.pay is isinstance(word, tuple), "a pay where a read was expected, or the other way round"
        return Exchanged(told, seen, began=0.0)

    @property
    def sent(self) -> int:
        return sum(isinstance(effect, Exchange) and effect.pay for effect in self.effects)

    @property
    def paused(self) -> list[float]:
        return [effect.seconds for effect in self.effects if isinstance(effect, Pause)]


Run = Callable[..., tuple[Settled, Attempt]]


@pytest.fixture
def run(book: Any) -> Run:
    """Runs one attempt on settlement 1, opened if there is none."""

    def attempt(*script: Any, patience: Patience = PATIENCE, read_age_s: float = 0.0) -> tuple[Settled, Attempt]:
        if not book.rows:
            book.open()
        made = Attempt(book, list(script), patience, read_age_s=read_age_s)
        return made.run(), made

    return attempt


def refused(after_s: float | None = 2.0) -> tuple[Refused, Unknown]:
    return Refused("QUERY_LIMIT_EXCEEDED", "too fast", repeatable=True, wait_s=after_s), Unknown("not read")


def hold(book: Any) -> Callable[[], None]:
    def amend() -> None:
        book.rows[1] = replace(book.rows[1], hold="amended")

    return amend


def kinds(effects: Sequence[Effect]) -> list[str]:
    return [type(effect).__name__ for effect in effects]


def test_pace_then_claim_then_read_then_commit_then_pay_then_commit(run: Run) -> None:
    settled, attempt = run(UNPAID, (TRUE, PAID))
    assert kinds(attempt.effects) == ["Reserve", "Claim", "Exchange", "Commit", "Exchange", "Commit"]
    assert attempt.effects[0] == Reserve(3)
    assert (settled.row.state, settled.row.how, settled.trouble) == (State.PAID, "sent", None)


def test_nothing_stands_between_the_commit_of_sending_and_the_pay(run: Run) -> None:
    _, attempt = run(UNPAID, (TRUE, PAID))
    commit = next(place for place, effect in enumerate(attempt.effects) if isinstance(effect, Commit))
    pay = attempt.effects[commit + 1]
    assert isinstance(pay, Exchange)
    assert (pay.pay, pay.send_before) == (True, 5.0)
    assert pay.row.state is State.SENDING


def test_the_snapshot_is_what_the_pre_read_showed(run: Run, book: Any) -> None:
    run(UNPAID, (SILENT, UNPAID))
    assert book.rows[1].snapshot == MARKS


def test_a_lost_answer_that_reads_paid_is_paid(run: Run) -> None:
    settled, attempt = run(UNPAID, (SILENT, PAID))
    assert (settled.row.state, settled.row.how, attempt.sent) == (State.PAID, "sent", 1)


def test_a_lost_answer_that_reads_unpaid_comes_back_after_the_quiet_time(run: Run, book: Any) -> None:
    settled, _ = run(UNPAID, (SILENT, UNPAID))
    assert settled.row.state is State.UNKNOWN
    assert settled.wait_s == PATIENCE.quiet_s
    assert isinstance(settled.trouble, Unknown)


def test_before_the_quiet_time_is_over_nothing_is_sent_again(run: Run, book: Any) -> None:
    run(UNPAID, (SILENT, UNPAID))
    book.pass_time(PATIENCE.quiet_s - 1)
    settled, attempt = run(UNPAID)
    assert (settled.row.state, attempt.sent) == (State.UNKNOWN, 0)
    assert settled.wait_s == 1.0


def test_before_the_quiet_time_is_over_a_late_landing_is_seen(run: Run) -> None:
    run(UNPAID, (SILENT, UNPAID))
    settled, attempt = run(PAID)
    assert (settled.row.state, settled.row.how, attempt.sent) == (State.PAID, "sent", 0)


def test_after_the_quiet_time_an_untouched_invoice_is_sent_once_more(run: Run, book: Any) -> None:
    run(UNPAID, (SILENT, UNPAID))
    book.pass_time(PATIENCE.quiet_s)
    settled, attempt = run(UNPAID, (TRUE, PAID))
    assert (settled.row.state, settled.row.sends, attempt.sent) == (State.PAID, 2, 1)


def test_after_the_quiet_time_a_changed_invoice_is_left_to_a_person(run: Run, book: Any) -> None:
    run(UNPAID, (SILENT, UNPAID))
    book.pass_time(PATIENCE.quiet_s)
    settled, attempt = run(MOVED)
    assert (settled.row.reason, attempt.sent) == ("landed_then_changed", 0)


def test_a_claim_in_between_takes_the_right_to_send_away(run: Run, book: Any) -> None:
    settled, attempt = run(lambda: book.claim(1), UNPAID)
    assert attempt.sent == 0
    assert (settled.row.state, settled.row.fence) == (State.READY, 2)
    assert isinstance(settled.trouble, Unknown)
    assert [decision.state for decision in book.observed] == [State.SENDING]


def test_a_claim_during_the_send_takes_the_last_word_away(run: Run, book: Any) -> None:
    settled, attempt = run(UNPAID, lambda: book.claim(1), (TRUE, PAID))
    assert (settled.row.state, attempt.sent) == (State.UNKNOWN, 1)
    assert [decision.state for decision in book.observed] == [State.PAID]
    assert run(PAID)[0].row.state is State.PAID


def test_the_loser_reports_what_the_winner_reached(run: Run, book: Any) -> None:
    settled, attempt = run(lambda: run(UNPAID, (TRUE, PAID)), UNPAID)
    assert (settled.row.state, settled.trouble, attempt.sent) == (State.PAID, None, 0)


def test_refused_three_times_then_paid(run: Run, book: Any) -> None:
    no = refused()
    settled, attempt = run(UNPAID, no, UNPAID, no, UNPAID, no, UNPAID, (TRUE, PAID))
    assert (settled.row.state, settled.row.sends, settled.row.fence) == (State.PAID, 4, 4)
    assert attempt.paused == [2.0, 2.0, 2.0]


def test_a_refused_pre_read_is_asked_again(run: Run, book: Any) -> None:
    settled, attempt = run(refused()[0], UNPAID, (TRUE, PAID))
    assert (settled.row.state, attempt.paused) == (State.PAID, [2.0])


def test_a_silent_pre_read_ends_the_attempt_with_nothing_sent(run: Run) -> None:
    settled, attempt = run(SILENT)
    assert (settled.row.state, settled.trouble, attempt.sent) == (State.READY, SILENT, 0)


@pytest.mark.parametrize("after_s", [None, 61.0])
def test_a_refusal_without_a_near_time_gives_the_task_back(run: Run, book: Any, after_s: float | None) -> None:
    book.open()
    no = refused(after_s)
    settled, attempt = run(UNPAID, no)
    assert (settled.row.state, settled.trouble, attempt.paused) == (State.READY, no[0], [])
    assert settled.wait_s == after_s


def test_rounds_are_bounded_and_nobody_waits_after_the_last(run: Run, book: Any) -> None:
    settled, attempt = run(*[UNPAID, refused(60.0)] * 3, patience=Patience(rounds=3))
    assert (settled.row.state, attempt.sent) == (State.READY, 3)
    assert isinstance(settled.trouble, Refused)
    assert settled.wait_s == 60.0
    assert len(attempt.paused) == 2


def test_a_refusal_for_good_is_reviewed(run: Run) -> None:
    no = Refused("ERROR_INTERNAL_INVOICE_NOT_FOUND", "no", repeatable=False, reason="invoice_not_found")
    settled, attempt = run(UNPAID, (no, SILENT))
    assert (settled.row.state, settled.row.reason, settled.row.in_flight) == (State.REVIEW, "invoice_not_found", False)
    assert attempt.sent == 1


def test_true_but_unpaid_is_looked_at_a_few_times_then_reviewed_and_holds_the_money(run: Run) -> None:
    settled, attempt = run(UNPAID, (TRUE, UNPAID), UNPAID, UNPAID, UNPAID)
    assert (settled.row.state, settled.row.reason) == (State.REVIEW, "true_but_unpaid")
    assert (attempt.sent, attempt.paused, settled.row.in_flight) == (1, list(PATIENCE.looks), True)


def test_true_but_unpaid_for_a_moment_is_paid(run: Run) -> None:
    settled, attempt = run(UNPAID, (TRUE, UNPAID), UNPAID, PAID)
    assert (settled.row.state, attempt.sent, attempt.paused) == (State.PAID, 1, [0.5, 1.0])


@pytest.mark.parametrize("words", [[(TRUE, SILENT)], [(TRUE, UNPAID), SILENT]], ids=["at once", "while looking"])
def test_true_and_unreadable_then_unpaid_is_reviewed_and_never_sent_again(
    run: Run, book: Any, words: list[Any]
) -> None:
    assert run(UNPAID, *words)[0].row.state is State.UNKNOWN
    book.pass_time(PATIENCE.quiet_s)
    settled, attempt = run(UNPAID)
    assert (settled.row.state, settled.row.reason, attempt.sent) == (State.REVIEW, "true_but_unpaid", 0)


def test_a_pre_read_grown_old_is_repeated(run: Run) -> None:
    settled, attempt = run(UNPAID, UNPAID, (TRUE, PAID), read_age_s=11.0)
    assert (settled.row.state, attempt.sent, settled.row.fence) == (State.PAID, 1, 2)


def test_a_send_begins_with_nothing_answered_and_counts(book: Any) -> None:
    row = book.open(answered=True, sends=1)
    changes = applied(row, Decision(State.SENDING, evidence={"marks": MARKS}))
    assert (changes["answered"], changes["in_flight"], changes["sends"]) == (False, True, 2)


def test_a_hold_before_the_claim_is_reviewed(run: Run, book: Any) -> None:
    book.open(hold="amended")
    settled, attempt = run(UNPAID)
    assert (settled.row.reason, attempt.sent) == ("held", 0)


def test_a_hold_that_arrives_during_the_pre_read_stops_the_send(run: Run, book: Any) -> None:
    settled, attempt = run(hold(book), UNPAID, UNPAID)
    assert (settled.row.state, settled.row.reason, settled.trouble) == (State.REVIEW, "held", None)
    assert (attempt.sent, attempt.paused, settled.row.sends) == (0, [0.0], 0)


def test_a_hold_that_arrives_in_the_last_round_is_reviewed_by_the_next_attempt(run: Run, book: Any) -> None:
    settled, attempt = run(hold(book), UNPAID, patience=Patience(rounds=1))
    assert isinstance(settled.trouble, Refused)
    assert (settled.row.state, settled.trouble.code, settled.wait_s) == (State.READY, "HELD", 0.0)
    assert (run(UNPAID)[0].row.reason, attempt.sent) == ("held", 0)


def test_a_hold_beside_another_claim_is_left_to_that_attempt(run: Run, book: Any) -> None:
    settled, attempt = run(lambda: book.claim(1), hold(book), UNPAID)
    assert (settled.row.state, settled.row.fence, attempt.sent) == (State.READY, 2, 0)
    assert isinstance(settled.trouble, Unknown)
    assert kinds(attempt.effects)[-1] == "Look"


def test_an_invoice_that_is_gone_before_the_send_is_reviewed_and_nothing_is_in_flight(run: Run) -> None:
    settled, attempt = run(GONE)
    assert (settled.row.state, settled.row.reason, settled.trouble) == (State.REVIEW, "invoice_not_found", None)
    assert (attempt.sent, settled.row.in_flight) == (0, False)


@pytest.mark.parametrize("passed_s", [0.0, PATIENCE.quiet_s], ids=["while a call may land", "after the quiet time"])
def test_an_invoice_that_is_gone_after_a_lost_answer_is_reviewed_with_its_money_in_flight(
    run: Run, book: Any, passed_s: float
) -> None:
    run(UNPAID, (SILENT, UNPAID))
    book.pass_time(passed_s)
    settled, attempt = run(GONE)
    assert (settled.row.state, settled.row.reason) == (State.REVIEW, "invoice_not_found")
    assert (attempt.sent, settled.row.in_flight, settled.row.sends) == (0, True, 1)


def test_who_finds_the_invoice_gone_too_late_reports_the_other_attempt(run: Run, book: Any) -> None:
    settled, _ = run(lambda: book.claim(1), GONE)
    assert (settled.row.state, settled.row.fence, isinstance(settled.trouble, Unknown)) == (State.READY, 2, True)


def test_a_read_refused_until_a_person_acts_leaves_the_settlement_ready(run: Run) -> None:
    no = Refused("ACCESS_DENIED", "no", repeatable=True)
    settled, attempt = run(no)
    assert (settled.row.state, settled.trouble, settled.wait_s, attempt.paused) == (State.READY, no, None, [])


def test_a_silent_read_after_a_lost_answer_waits_for_what_is_left_of_the_quiet_time(run: Run, book: Any) -> None:
    run(UNPAID, (SILENT, UNPAID))
    book.pass_time(10)
    settled, _ = run(SILENT)
    assert (settled.trouble, settled.wait_s) == (SILENT, PATIENCE.quiet_s - 10)


def test_an_invoice_about_somebody_else_by_now_is_not_paid(run: Run, book: Any) -> None:
    book.open(identity={"ACCOUNT_NUMBER": "2026/2"})
    settled, attempt = run(replace(UNPAID, identity={"ACCOUNT_NUMBER": "2026/3"}))
    assert (settled.row.state, settled.row.reason, attempt.sent) == (State.REVIEW, "invoice_changed", 0)


def test_already_paid_by_hand_consumes_the_payment_and_sends_nothing(run: Run) -> None:
    settled, attempt = run(PAID)
    assert (settled.row.state, settled.row.how, attempt.sent) == (State.PAID, "by_hand", 0)


@pytest.mark.parametrize("state", [State.COLLECTING, State.REVIEW, State.PAID, State.RELEASED])
def test_what_cannot_be_sent_is_neither_claimed_nor_read(run: Run, book: Any, state: State) -> None:
    opened: Row = book.open(state=state)
    settled, attempt = run()
    assert settled == Settled(opened)
    assert kinds(attempt.effects) == ["Reserve", "Claim"]


def test_a_crash_between_commit_and_send_is_taken_up_by_the_next_attempt(run: Run, book: Any) -> None:
    book.open(state=State.SENDING, sends=1, snapshot=MARKS, quiet_until=book.now + timedelta(seconds=9))
    assert run(UNPAID)[0].row.state is State.UNKNOWN
    book.pass_time(9)
    settled, attempt = run(UNPAID, (TRUE, PAID))
    assert (settled.row.state, attempt.sent) == (State.PAID, 1)
