from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import pytest

from airflow_b24.ledger.facts import Answered, Decision, Fact, Key, Refused, Row, Seen, Sibling, Unknown
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
from airflow_b24.ledger.states import State

PATIENCE = Patience()
MARKS = {"PRICE": "118.00", "STATUS_ID": "S", "PAY_SYSTEM_ID": "6"}
UNPAID = Seen(paid=False, cancelled=False, amount=11800, currency="RUB", marks=MARKS)
PAID = replace(UNPAID, paid=True, paid_on=date(2026, 11, 22), marks={**MARKS, "STATUS_ID": "P", "PAY_SYSTEM_ID": "31"})
MOVED = replace(UNPAID, marks={**MARKS, "PAY_SYSTEM_ID": "31"})
SILENT = Unknown("the connection was reset")
GONE = Refused("INVOICE_GONE", "it is not there any more", repeatable=False, reason="invoice_not_found")
TRUE = Answered()
OPEN_OUTCOME = Unknown("the outcome of the call is not known yet")
OTHERS_WORK = Unknown("another attempt is working on this settlement")


@dataclass
class Attempt:
    """One attempt driven by hand: the portal's words are a script, a callable in it happens before its word.

    A pair answers a pay; a list is the invoice with those beside it.
    """

    book: Any
    script: list[Any]
    patience: Patience = PATIENCE
    effects: list[Effect] = field(default_factory=list)
    slow_read_s: float = 0.0
    clock_s: float = 1000.0

    def run(self, settlement_id: int = 1) -> Settled:
        conversation, reply = settle(self.book.rows[settlement_id], self.patience), None
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
        if effect.is_stale(self.clock_s - self.patience.read_age_s):
            return Committed(None, stale=True)
        return Committed(self.book.move(effect.row, effect.decision, self.patience), send_before=5.0)

    def _exchange(self, effect: Exchange) -> Exchanged:
        word = self.script.pop(0)
        while callable(word):
            word()
            word = self.script.pop(0)
        told, seen = word if isinstance(word, tuple) else (None, word)
        seen, beside = seen if isinstance(seen, list) else (seen, {})
        assert effect.row.id in self.book.rows
        assert effect.pay is isinstance(word, tuple), "a pay where a read was expected, or the other way round"
        assert set(effect.beside) == set(beside), "others were to be read beside it, or were not"
        began, self.clock_s, self.slow_read_s = self.clock_s, self.clock_s + self.slow_read_s, 0.0
        return Exchanged(told, seen, began, beside)

    @property
    def sent(self) -> int:
        return sum(isinstance(effect, Exchange) and effect.pay for effect in self.effects)

    @property
    def decided(self) -> list[Decision]:
        return [effect.decision for effect in self.effects if isinstance(effect, Commit)]

    @property
    def paused(self) -> list[float]:
        return [effect.seconds for effect in self.effects if isinstance(effect, Pause)]


Run = Callable[..., tuple[Settled, Attempt]]


@pytest.fixture
def run(book: Any) -> Run:
    """Runs one attempt on settlement 1, opened if there is none."""

    def attempt(*script: Any, patience: Patience = PATIENCE, slow_read_s: float = 0.0) -> tuple[Settled, Attempt]:
        if not book.rows:
            book.open()
        made = Attempt(book, list(script), patience, slow_read_s=slow_read_s)
        return made.run(), made

    return attempt


def refused(after_s: float | None = 2.0) -> tuple[Refused, Unknown]:
    return Refused("QUERY_LIMIT_EXCEEDED", "too fast", repeatable=True, wait_s=after_s, is_busy=True), Unknown(
        "not read"
    )


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


def test_both_reads_of_a_smart_invoice_are_paced_for_with_what_stands_beside_it(run: Run, book: Any) -> None:
    book.open(kind="smart", siblings=(SIBLING, replace(SIBLING, kind="smart", id=13, invoice_id=4)))
    _, attempt = run([UNPAID, {THIRD: BESIDE[THIRD], ("smart", 4): BESIDE[FOURTH]}], (TRUE, PAID))
    # Two requests for each read, one for the pay; one beside it, and two.
    assert attempt.effects[0] == Reserve(5 + 1 + 2)


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
    assert (settled.wait_s, settled.trouble) == (PATIENCE.quiet_s, OPEN_OUTCOME)


def test_the_quiet_time_covers_the_window_the_deadline_and_the_longest_server_run_of_all_that_is_in_the_request() -> (
    None
):
    patience = Patience(window_s=1.0, deadline_s=20.0, server_run_s=300.0, pay_run_s=7.0)
    assert patience.quiet_s == patience.quiet_after(1) == patience.quiet_after(0) == 321.0
    assert patience.quiet_after(48) == 321.0 + 47 * 7


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
    assert (settled.trouble, settled.wait_s) == (OTHERS_WORK, None)
    assert [decision.state for decision in book.observed] == [State.SENDING]


def test_a_claim_during_the_send_takes_the_last_word_away(run: Run, book: Any) -> None:
    settled, attempt = run(UNPAID, lambda: book.claim(1), (TRUE, PAID))
    assert (settled.row.state, attempt.sent) == (State.UNKNOWN, 1)
    assert [decision.state for decision in book.observed] == [State.PAID]
    assert run(PAID)[0].row.state is State.PAID


def test_a_refusal_that_comes_too_late_to_commit_is_the_other_attempt_s_to_report(run: Run, book: Any) -> None:
    settled, attempt = run(UNPAID, lambda: book.claim(1), refused())
    assert (settled.row.state, settled.trouble, settled.wait_s) == (State.UNKNOWN, OPEN_OUTCOME, PATIENCE.quiet_s)
    assert (attempt.sent, attempt.paused) == (1, [])


def test_a_send_in_another_attempt_s_hands_is_waited_for(run: Run, book: Any) -> None:
    def overtake() -> None:
        book.move(book.claim(1), Decision(State.SENDING), PATIENCE)

    settled, attempt = run(overtake, UNPAID)
    assert (settled.row.state, settled.trouble, settled.wait_s) == (State.SENDING, OPEN_OUTCOME, PATIENCE.quiet_s)
    assert attempt.sent == 0


def test_the_loser_reports_what_the_winner_reached(run: Run, book: Any) -> None:
    settled, attempt = run(lambda: run(UNPAID, (TRUE, PAID)), UNPAID)
    assert (settled.row.state, settled.trouble, attempt.sent) == (State.PAID, None, 0)


def test_refused_three_times_then_paid(run: Run, book: Any) -> None:
    no = refused()
    settled, attempt = run(UNPAID, no, UNPAID, no, UNPAID, no, UNPAID, (TRUE, PAID))
    assert (settled.row.state, settled.row.sends, settled.row.fence) == (State.PAID, 4, 4)
    assert (settled.row.attempts, attempt.paused) == (1, [2.0, 2.0, 2.0])


def test_a_refused_pre_read_is_asked_again(run: Run, book: Any) -> None:
    settled, attempt = run(refused()[0], UNPAID, (TRUE, PAID))
    assert (settled.row.state, settled.row.attempts, attempt.paused) == (State.PAID, 1, [2.0])


def test_a_refused_read_of_what_is_unknown_does_not_count_either(run: Run, book: Any) -> None:
    book.open(state=State.UNKNOWN, sends=1, attempts=1, quiet_until=book.now + timedelta(seconds=60))
    settled, _ = run(*[refused()[0]] * PATIENCE.rounds)
    assert (settled.row.state, settled.row.attempts, settled.trouble) == (State.UNKNOWN, 1, refused()[0])


def test_an_attempt_that_was_overtaken_while_it_was_refused_uncounts_nothing(run: Run, book: Any) -> None:
    settled, _ = run(lambda: book.claim(1), refused(61.0)[0])
    assert (settled.trouble, book.look(1).attempts) == (refused(61.0)[0], 2)


def test_a_move_to_the_stage_of_parts_that_may_still_land_is_waited_for(run: Run, book: Any) -> None:
    book.open(quiet_until=book.now + timedelta(seconds=70))
    settled, attempt = run(UNPAID)
    assert settled == Settled(book.look(1), wait_s=70.0, trouble=Unknown("a move to the stage of parts may still land"))
    assert (settled.row.state, attempt.sent) == (State.READY, 0)


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
    assert (attempt.sent, settled.trouble) == (1, None)


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
    settled, attempt = run(UNPAID, UNPAID, (TRUE, PAID), slow_read_s=10.5)
    assert (settled.row.state, attempt.sent, settled.row.fence) == (State.PAID, 1, 2)
    assert attempt.paused == [0.0]


def test_a_pre_read_just_young_enough_is_not_repeated(run: Run) -> None:
    settled, _ = run(UNPAID, (TRUE, PAID), slow_read_s=10.0)
    assert (settled.row.state, settled.row.fence) == (State.PAID, 1)


def test_a_pre_read_grown_old_in_the_last_round_is_told_as_such(run: Run) -> None:
    settled, attempt = run(UNPAID, patience=Patience(rounds=1), slow_read_s=10.5)
    assert settled.trouble == Refused("STALE_READ", "the pre-read grew too old", repeatable=True, wait_s=0.0)
    assert (settled.row.state, settled.wait_s, attempt.sent) == (State.READY, 0.0, 0)


APPLIED: dict[str, tuple[State, Decision, dict[str, Any]]] = {
    "a send counts, with nothing answered and the marks of its pre-read": (
        State.READY,
        Decision(State.SENDING, evidence={"marks": MARKS}),
        {"in_flight": True, "answered": False, "sends": 2, "snapshot": MARKS},
    ),
    "a send without marks has no snapshot": (
        State.READY,
        Decision(State.SENDING),
        {"in_flight": True, "answered": False, "sends": 2, "snapshot": None},
    ),
    "a review that has passed has a few attempts more": (
        State.REVIEW,
        Decision(State.READY, attempts=36),
        {"attempts": 36},
    ),
    "a retry begins anew with nothing under way": (
        State.REVIEW,
        Decision(State.READY, in_flight=False, answered=False, attempts=0),
        {"attempts": 0, "in_flight": False, "answered": False},
    ),
    "what a person has decided on is remembered": (
        State.REVIEW,
        Decision(State.READY, is_told=True, evidence={"marks": MARKS}),
        {"snapshot": MARKS},
    ),
    "what a person has decided on may have no marks": (
        State.REVIEW,
        Decision(State.READY, is_told=True),
        {"snapshot": None},
    ),
    "a refused send keeps its count": (State.SENDING, Decision(State.READY, in_flight=False), {"in_flight": False}),
    "a review that is paid keeps its count": (State.REVIEW, Decision(State.PAID, how="by_hand"), {}),
    "what is not decided stays": (State.SENDING, Decision(State.UNKNOWN, answered=True), {"answered": True}),
    "a reason is kept": (State.READY, Decision(State.REVIEW, reason="held"), {}),
}


@pytest.mark.parametrize(("before", "decision", "changed"), APPLIED.values(), ids=APPLIED)
def test_a_decision_changes_its_columns_and_no_others(
    book: Any, before: State, decision: Decision, changed: dict[str, Any]
) -> None:
    row = book.open(state=before, answered=True, sends=1, attempts=7, reason="cancelled", how="sent")
    words = {"state": decision.state, "how": decision.how, "reason": decision.reason}
    assert applied(row, decision) == {**words, **changed}


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
    assert settled.trouble == Refused("HELD", "a hold came in between", repeatable=True, wait_s=0.0)
    assert (settled.row.state, settled.wait_s) == (State.READY, 0.0)
    assert (run(UNPAID)[0].row.reason, attempt.sent) == ("held", 0)


def test_a_hold_beside_another_claim_is_left_to_that_attempt(run: Run, book: Any) -> None:
    settled, attempt = run(lambda: book.claim(1), hold(book), UNPAID)
    assert (settled.row.state, settled.row.fence, attempt.sent) == (State.READY, 2, 0)
    assert settled.trouble == OTHERS_WORK
    assert kinds(attempt.effects)[-1] == "Look"


def test_an_invoice_that_is_gone_before_the_send_is_reviewed_and_nothing_is_in_flight(run: Run) -> None:
    settled, attempt = run(GONE)
    assert (settled.row.state, settled.row.reason, settled.trouble) == (State.REVIEW, "invoice_not_found", None)
    assert (attempt.sent, settled.row.in_flight) == (0, False)
    gone = Decision(State.REVIEW, reason="invoice_not_found", evidence={"text": "it is not there any more"})
    assert attempt.decided == [gone]


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
    assert (settled.row.state, settled.row.fence, settled.trouble) == (State.READY, 2, OTHERS_WORK)


def test_a_settlement_claimed_too_often_is_given_up_before_anything_is_read(run: Run, book: Any) -> None:
    book.open(attempts=40)
    settled, attempt = run()
    assert kinds(attempt.effects) == ["Reserve", "Claim", "Commit"]
    assert attempt.decided == [Decision(State.REVIEW, reason="gave_up", evidence={"attempts": 41})]
    assert (settled.row.state, settled.trouble) == (State.REVIEW, None)


def test_the_last_claim_before_giving_up_may_still_pay(run: Run, book: Any) -> None:
    book.open(attempts=39)
    assert run(UNPAID, (TRUE, PAID))[0].row.state is State.PAID


SIBLING = Sibling(
    kind="legacy", id=12, invoice_id=3, state=State.READY, expected=2200, currency="RUB", sends=0, in_flight=False, answered=False, hold=None, reason=None, identity=None
)  # fmt: skip
THIRD: Key = ("legacy", 3)
FOURTH: Key = ("legacy", 4)
BESIDE: dict[Key, Fact] = {THIRD: replace(UNPAID, amount=2200), FOURTH: replace(UNPAID, amount=2200)}


@pytest.fixture
def several(book: Any) -> Any:
    """A settlement whose payment is for the invoices 3 and 4 too."""
    return book.open(siblings=(SIBLING, replace(SIBLING, id=13, invoice_id=4)))


@pytest.mark.usefixtures("several")
def test_the_others_of_a_payment_are_read_beside_the_first_and_paced_for(run: Run) -> None:
    settled, attempt = run([UNPAID, BESIDE], (TRUE, PAID))
    assert [effect for effect in attempt.effects if isinstance(effect, Reserve)] == [Reserve(5)]
    read = next(effect for effect in attempt.effects if isinstance(effect, Exchange))
    assert (read.pay, read.beside) == (False, (THIRD, FOURTH))
    assert kinds(attempt.effects)[:3] == ["Reserve", "Claim", "Exchange"]
    assert settled.row.state is State.PAID


@pytest.mark.usefixtures("several")
def test_another_invoice_of_the_payment_that_has_changed_stops_the_send(run: Run) -> None:
    settled, attempt = run([UNPAID, {**BESIDE, FOURTH: replace(UNPAID, amount=2201)}])
    assert (settled.row.state, settled.row.reason, attempt.sent) == (State.REVIEW, "sibling_changed", 0)
    assert attempt.decided[0].evidence == {"sibling": 13, "invoice_id": 4}


@pytest.mark.usefixtures("several")
def test_another_invoice_of_the_payment_that_is_gone_is_no_word_about_this_one(run: Run) -> None:
    _, attempt = run([UNPAID, {**BESIDE, FOURTH: GONE}])
    gone = Decision(State.REVIEW, reason="sibling_changed", evidence={"text": "it is not there any more"})
    assert attempt.decided == [gone]


@pytest.mark.usefixtures("several")
@pytest.mark.parametrize("fact", [SILENT, Refused("ACCESS_DENIED", "no", repeatable=True)])
def test_another_invoice_that_cannot_be_read_now_is_read_another_time(run: Run, fact: Fact) -> None:
    settled, attempt = run([UNPAID, {**BESIDE, THIRD: fact}])
    assert (settled.row.state, settled.trouble, attempt.decided) == (State.READY, fact, [])


def test_a_lost_answer_is_looked_for_in_its_own_invoice_alone(run: Run, book: Any) -> None:
    book.open(state=State.UNKNOWN, siblings=(SIBLING,))
    assert run(PAID)[0].row.how == "sent"


@pytest.mark.parametrize(("passed_s", "wait_s"), [(-1, 1.0), (0, 0.0), (1, 0.0)])
def test_what_is_left_of_the_quiet_time_is_never_less_than_nothing(
    run: Run, book: Any, passed_s: int, wait_s: float
) -> None:
    book.open(state=State.UNKNOWN, quiet_until=book.now - timedelta(seconds=passed_s))
    assert run(SILENT)[0].wait_s == wait_s


def test_an_unknown_outcome_without_a_quiet_time_names_no_time(run: Run, book: Any) -> None:
    book.open(state=State.UNKNOWN)
    assert run(SILENT)[0] == Settled(book.rows[1], None, SILENT)


def test_a_silent_read_after_a_refusal_waits_for_no_quiet_time(run: Run) -> None:
    settled, _ = run(UNPAID, refused(), SILENT)
    assert (settled.row.state, settled.trouble, settled.wait_s) == (State.READY, SILENT, None)


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
