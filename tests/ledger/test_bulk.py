"""A lane driven by hand: what it asks for, in which order, and what it makes of each answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import pytest

from airflow_b24.ledger.bulk import open_chunks, settle_chunks
from airflow_b24.ledger.chunks import (
    ALONE,
    Chunk,
    ClaimAll,
    CommitAll,
    CommittedAll,
    ExchangeAll,
    ExchangedAll,
    Leave,
    Next,
    Report,
)
from airflow_b24.ledger.facts import Answered, Decision, Fact, Refused, Row, Seen, Sibling, Unknown
from airflow_b24.ledger.settlement import Look, Patience, Pause, Reserve, Settled
from airflow_b24.ledger.states import State

PATIENCE = Patience()
TOO_SLOW_S = PATIENCE.read_age_s + 1
MARKS = {"PRICE": "118.00", "STATUS_ID": "S", "PAY_SYSTEM_ID": "6"}
UNPAID = Seen(paid=False, cancelled=False, amount=11800, currency="RUB", marks=MARKS)
PAID = replace(UNPAID, paid=True, paid_on=date(2026, 11, 22), marks={**MARKS, "STATUS_ID": "P", "PAY_SYSTEM_ID": "31"})
SILENT = Unknown("the connection was reset")
LIMITED = Refused("QUERY_LIMIT_EXCEEDED", "too many requests", repeatable=True, wait_s=2.0, is_busy=True)
TRUE = Answered()
SIBLING = Sibling(9, "legacy", 9, State.READY, 100, "RUB", 0, False, False, None, None, None)


@dataclass
class Ride:
    """One lane over a portal in a dictionary; `answers` and `shows` are what it says of an invoice, call after call."""

    book: Any
    size: int = 2
    waiting: list[int] = field(default_factory=list)
    # Of each invoice, what comes next instead of `true` and of what is so.
    answers: dict[int, list[Any]] = field(default_factory=dict)
    shows: dict[int, list[Fact | None]] = field(default_factory=dict)
    before: dict[type, Callable[[], None]] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    no_way: set[int] = field(default_factory=set)
    paid: set[int] = field(default_factory=set)
    pays: list[int] = field(default_factory=list)
    effects: list[Any] = field(default_factory=list)
    ended: dict[int, Settled] = field(default_factory=dict)
    left: list[int] = field(default_factory=list)
    clock_s: float = 1000.0
    # How long each request takes, one after the other.
    slow_s: list[float] = field(default_factory=list)

    def run(self, count: int = 2, **changed: Any) -> Ride:
        for _ in range(count):
            self.waiting.append(self.book.open(invoice_id=len(self.book.rows) + 1, **changed).id)
        self.drive(settle_chunks(PATIENCE))
        return self

    def drive(self, conversation: Any) -> Any:
        reply = None
        try:
            while True:
                effect = conversation.send(reply)
                self.effects.append(effect)
                assert len(self.effects) < 200, "it comes to no end"
                self.before.pop(type(effect), lambda: None)()
                reply = self._perform(effect)
        except StopIteration as done:
            return done.value

    def _perform(self, effect: Any) -> Any:
        match effect:
            case Next():
                room = max(effect.chunks * self.size - len(effect.first), 0)
                new, self.waiting = self.waiting[:room], self.waiting[room:]
                return (*effect.first[: self.size], *new)
            case ClaimAll():
                return [self.book.claim(each) for each in effect.ids]
            case CommitAll():
                return self._commit(effect)
            case ExchangeAll():
                return self._exchange(effect)
            case Look():
                return self.book.look(effect.settlement_id)
            case Reserve():
                assert effect == Reserve(1), "a turn is one request"
            case Pause():
                self.clock_s += effect.seconds
            case Report():
                assert not self.ended.keys() & {each.row.id for each in effect.settled}, "told twice"
                self.ended |= {each.row.id: each for each in effect.settled}
            case Leave():
                self.left += effect.ids
        return None

    def _commit(self, effect: CommitAll) -> CommittedAll:
        if effect.is_stale(self.clock_s - PATIENCE.read_age_s):
            return CommittedAll({}, stale=True)
        rows: dict[int, Row | Refused | None] = {}
        for row, decision in effect.decided:
            wrong = Refused("NOT_SENT", "the funnel has no such stage", repeatable=True)
            rows[row.id] = wrong if row.id in self.no_way else self.book.move(row, decision, PATIENCE)
        return CommittedAll(rows, send_before=self.clock_s + 5)

    def _exchange(self, effect: ExchangeAll) -> ExchangedAll:
        assert all(self.book.rows[row.id].state is State.SENDING for row in effect.pays), "sent before it was on disk"
        assert (effect.send_before is not None) is bool(effect.pays)
        began = self.clock_s
        self.clock_s += self.slow_s.pop(0) if self.slow_s else 0.0
        lost = self.lost.pop(0) if effect.pays and self.lost else ""
        told: dict[Any, Any] = {row.key: self._pay(row) for row in effect.pays if lost != "before"}
        if lost:
            told = {row.key: SILENT for row in effect.pays}
        told = {key: word for key, word in told.items() if word is not None}
        return ExchangedAll(told, {row.key: SILENT for row in effect.reads} if lost else self._read(effect), began)

    def _pay(self, row: Row) -> Any:
        script = self.answers.get(row.invoice_id)
        word = script.pop(0) if script else TRUE
        if word is TRUE:
            self.paid.add(row.invoice_id)
            self.pays.append(row.invoice_id)
        return word

    def _read(self, effect: ExchangeAll) -> Mapping[Any, Fact]:
        seen: dict[Any, Fact] = {}
        for row in effect.reads:
            script = self.shows.get(row.invoice_id)
            fact = script.pop(0) if script else PAID if row.invoice_id in self.paid else UNPAID
            if fact is not None:
                seen[row.key] = fact
        return seen

    @property
    def order(self) -> list[str]:
        return [type(effect).__name__ for effect in self.effects]

    def states(self) -> dict[int, str]:
        return {each: settled.row.state.value for each, settled in sorted(self.ended.items())}

    def requests(self) -> list[tuple[list[int], list[int]]]:
        asked = [effect for effect in self.effects if isinstance(effect, ExchangeAll)]
        return [([row.id for row in each.pays], [row.id for row in each.reads]) for each in asked]


@pytest.fixture
def ride(book: Any) -> Ride:
    return Ride(book)


def test_the_order_of_a_turn_is_the_safety(ride: Ride) -> None:
    ride.run(4)
    first = ["Next", "Reserve", "ClaimAll", "ExchangeAll"]
    second = ["Next", "Reserve", "ClaimAll", "CommitAll", "ExchangeAll", "CommitAll", "Report"]
    third = ["Next", "Reserve", "CommitAll", "ExchangeAll", "CommitAll", "Report", "Next"]
    assert ride.order == first + second + third
    assert ride.requests() == [([], [1, 2]), ([1, 2], [1, 2, 3, 4]), ([3, 4], [3, 4])]
    assert ride.states() == dict.fromkeys((1, 2, 3, 4), "paid")
    assert (ride.pays, {each.row.how for each in ride.ended.values()}) == ([1, 2, 3, 4], {"sent"})


def test_one_request_reads_what_several_lanes_begin_with_and_each_goes_on_from_there(ride: Ride) -> None:
    ride.waiting += [ride.book.open(invoice_id=each, reason=None).id for each in range(1, 8)]
    gone = ride.book.open(state=State.PAID, invoice_id=8)
    ride.waiting.insert(0, gone.id)
    chunks = ride.drive(open_chunks(PATIENCE, 3)).deal(3, 2)
    assert ride.order == ["Next", "Reserve", "ClaimAll", "ExchangeAll", "Report"]
    assert [[row.id for row in chunk.rows] for chunk in chunks] == [[1, 4], [2, 5], [3]]
    ride.effects.clear()
    for chunk in chunks:
        ride.drive(settle_chunks(PATIENCE, chunk))
    assert ride.requests()[:1] == [([1, 4], [1, 4, 6, 7])]
    assert (ride.states(), ride.pays[:5]) == (dict.fromkeys(range(1, 9), "paid"), [1, 4, 6, 7, 2])


@pytest.mark.parametrize(
    ("rows", "dealt"), [(0, [0, 0, 0]), (1, [1, 0, 0]), (3, [2, 1, 0]), (6, [2, 2, 2]), (7, [3, 2, 2])]
)
def test_what_was_read_for_all_lanes_is_dealt_to_as_few_as_can_pay_it_in_a_request_each(
    ride: Ride, rows: int, dealt: list[int]
) -> None:
    chunk = Chunk(tuple(ride.book.open() for _ in range(rows)))
    assert [len(each.rows) for each in chunk.deal(3, 2)] == dealt


def test_where_nothing_is_left_for_lanes_nothing_is_reserved_for_them(ride: Ride) -> None:
    assert (ride.drive(open_chunks(PATIENCE, 3)), ride.order) == (Chunk(), ["Next"])


@pytest.mark.parametrize("rival", [False, True])
def test_nothing_stands_between_the_commit_of_sending_and_its_request(ride: Ride, rival: bool) -> None:
    ride.before = {CommitAll: lambda: ride.book.claim(2)} if rival else {}
    ride.run(6)
    assert ("Look" in ride.order, 2 in ride.pays) == (rival, not rival)
    for effect, following in zip(ride.effects, ride.effects[1:], strict=False):
        if isinstance(effect, CommitAll) and any(decision.state is State.SENDING for _, decision in effect.decided):
            assert isinstance(following, ExchangeAll)


def test_a_pre_read_too_old_is_taken_anew_in_place_and_then_sent(ride: Ride) -> None:
    ride.slow_s = [TOO_SLOW_S]
    ride.run(2)
    assert ride.requests() == [([], [1, 2]), ([], [1, 2]), ([1, 2], [1, 2])]
    assert ride.order.count("Reserve") == 3
    assert ride.states() == {1: "paid", 2: "paid"}


@pytest.mark.parametrize("is_of_all", [False, True])
def test_a_reading_of_which_nothing_came_back_for_anybody_does_not_count(ride: Ride, is_of_all: bool) -> None:
    ride.shows = {1: [replace(SILENT, is_of_all=is_of_all)] * 2}
    ride.run(2)
    assert (ride.states(), ride.pays) == ({1: "ready", 2: "paid"}, [2])
    assert ride.book.look(1).attempts == (0 if is_of_all else 2)


def test_what_was_seen_paid_too_long_ago_is_read_again_before_it_is_believed(ride: Ride) -> None:
    ride.slow_s, ride.shows = [TOO_SLOW_S], {1: [PAID], 2: [PAID, PAID]}
    ride.run(2)
    assert ride.requests() == [([], [1, 2]), ([], [1, 2]), ([1], [1])]
    assert {each.row.invoice_id: each.row.how for each in ride.ended.values()} == {1: "sent", 2: "by_hand"}


@pytest.mark.parametrize(
    ("read_at", "state", "is_stale"),
    [
        (99.0, State.SENDING, True),
        (99.0, State.PAID, True),
        (99.0, State.REVIEW, True),
        # Nothing was seen, nothing rests on it.
        (99.0, State.READY, False),
        (100.0, State.SENDING, False),
        (100.0, State.PAID, False),
        # What the read-back has proved, and what must never be sent.
        (None, State.PAID, False),
        (None, State.SENDING, True),
    ],
)
def test_what_rests_on_a_reading_that_is_too_old_is_stale(
    ride: Ride, read_at: float | None, state: State, is_stale: bool
) -> None:
    assert CommitAll(((ride.book.open(), Decision(state)),), read_at).is_stale(100.0) is is_stale


def test_that_a_call_of_ours_has_landed_is_believed_however_long_ago_it_was_seen(ride: Ride) -> None:
    row = ride.book.open(state=State.UNKNOWN, sends=1)
    stale = [CommitAll(((row, Decision(state)),), 1.0).is_stale(100.0) for state in (State.PAID, State.SENDING)]
    assert stale == [False, True]


def test_a_pre_read_that_is_too_old_once_more_is_claimed_anew_at_once(ride: Ride) -> None:
    ride.slow_s = [TOO_SLOW_S, TOO_SLOW_S]
    ride.run(2)
    assert ride.requests() == [([], [1, 2]), ([], [1, 2]), ([], [1, 2]), ([1, 2], [1, 2])]
    assert (ride.states(), "Pause" in ride.order) == ({1: "paid", 2: "paid"}, False)


def test_a_portal_too_slow_for_any_pre_read_is_sent_nothing_and_that_is_told(ride: Ride) -> None:
    ride.slow_s = [TOO_SLOW_S] * 100
    ride.run(2)
    assert (ride.states(), ride.pays) == ({1: "ready", 2: "ready"}, [])
    assert [each.trouble for each in ride.ended.values()] == [
        Refused("STALE_READ", "the pre-read grew too old", repeatable=True, wait_s=0.0)
    ] * 2
    assert len(ride.requests()) == 2 * PATIENCE.rounds


def test_what_another_attempt_has_claimed_since_is_not_sent(ride: Ride) -> None:
    ride.before[CommitAll] = lambda: ride.book.claim(1)
    ride.run(2)
    assert ride.pays == [2]
    assert ride.states() == {1: "ready", 2: "paid"}
    assert isinstance(ride.ended[1].trouble, Unknown)


def test_a_hold_that_comes_in_between_makes_a_review_of_that_one(ride: Ride) -> None:
    def hold() -> None:
        ride.book.rows[1] = replace(ride.book.rows[1], hold="amended")

    ride.before[CommitAll] = hold
    ride.run(2)
    assert (ride.pays, ride.states()) == ([2], {1: "review", 2: "paid"})


@pytest.mark.parametrize(("lost", "state", "pays"), [("after", "paid", [1, 2]), ("before", "unknown", [])])
def test_a_lost_answer_is_read_at_once_and_never_sent_again(ride: Ride, lost: str, state: str, pays: list[int]) -> None:
    ride.lost = [lost]
    ride.run(2)
    assert ride.states() == {1: state, 2: state}
    assert (ride.pays, [each for each, _ in ride.requests()]) == (pays, [[], [1, 2], []])
    if state == "unknown":
        assert {each.wait_s for each in ride.ended.values()} == {PATIENCE.quiet_s}


def test_what_was_to_be_read_with_a_lost_answer_is_read_again_and_then_paid(ride: Ride) -> None:
    ride.lost = ["after"]
    ride.run(4)
    assert ride.states() == dict.fromkeys((1, 2, 3, 4), "paid")
    assert sorted(ride.pays) == [1, 2, 3, 4]


def test_a_silence_that_was_broken_counts_no_more_when_the_next_answer_is_lost(ride: Ride) -> None:
    ride.lost = ["after", "after"]
    ride.run(4)
    assert ride.states() == dict.fromkeys((1, 2, 3, 4), "paid")
    assert sorted(ride.pays) == [1, 2, 3, 4]


def test_a_portal_that_stays_silent_is_reported_after_a_second_reading(ride: Ride) -> None:
    ride.shows[1] = [SILENT, SILENT, SILENT]
    ride.run(2)
    assert ride.ended[1] == Settled(ride.book.rows[1], None, SILENT)
    assert len(ride.shows[1]) == 1
    assert ride.states() == {1: "ready", 2: "paid"}


@pytest.mark.parametrize("answer", [SILENT, None])
def test_one_command_without_an_answer_is_unknown_until_it_is_read(ride: Ride, answer: Any) -> None:
    ride.answers[1] = [answer]
    ride.shows[1] = [UNPAID, None, PAID]
    ride.run(2)
    assert ride.states() == {1: "paid", 2: "paid"}
    assert ride.pays == [2]


def test_an_answer_that_is_lost_for_one_that_is_read_unpaid_is_unknown_and_not_read_once_more(ride: Ride) -> None:
    ride.answers[1] = [SILENT]
    ride.run(2)
    assert (ride.states(), ride.pays) == ({1: "unknown", 2: "paid"}, [2])
    assert ride.requests() == [([], [1, 2]), ([1, 2], [1, 2])]
    assert ride.ended[1].wait_s == PATIENCE.quiet_s


def test_what_another_attempt_has_claimed_while_it_was_sent_is_told_as_it_stands_now(ride: Ride) -> None:
    ride.before[CommitAll] = lambda: ride.before.update({CommitAll: lambda: ride.book.claim(1)})
    ride.run(2)
    assert (ride.states(), ride.pays) == ({1: "unknown", 2: "paid"}, [1, 2])
    assert ride.ended[1].row.fence == 2


def test_one_that_is_refused_for_now_is_claimed_anew_after_the_pause(ride: Ride) -> None:
    ride.answers[1] = [LIMITED]
    ride.run(2)
    assert (ride.states(), ride.pays) == ({1: "paid", 2: "paid"}, [2, 1])
    assert {each.row.attempts for each in ride.ended.values()} == {1}
    assert [effect.seconds for effect in ride.effects if isinstance(effect, Pause)] == [2.0]


def test_one_that_is_refused_and_read_as_paid_is_not_claimed_once_more(ride: Ride) -> None:
    ride.answers[1] = [LIMITED]
    ride.shows[1] = [UNPAID, PAID]
    ride.run(2)
    assert (ride.order.count("ClaimAll"), "Pause" in ride.order) == (1, False)
    assert (ride.pays, ride.states()[2], ride.ended[1].trouble) == ([2], "paid", None)


def test_one_that_is_refused_again_and_again_is_reported_with_its_time(ride: Ride) -> None:
    ride.answers[1] = [LIMITED] * 50
    ride.run(2)
    assert ride.ended[1].trouble == LIMITED
    assert (ride.ended[1].wait_s, len(ride.answers[1])) == (2.0, 50 - PATIENCE.rounds)


def test_readings_that_a_portal_refuses_do_not_count(ride: Ride) -> None:
    ride.shows[1] = [LIMITED] * 50
    ride.run(2, attempts=PATIENCE.claims - 1)
    assert (ride.ended[1].trouble, ride.ended[1].row.state) == (LIMITED, State.READY)
    assert (ride.left, ride.book.look(1).attempts) == ([], PATIENCE.claims - 1)


def test_a_refusal_for_long_is_not_waited_for(ride: Ride) -> None:
    ride.answers[1] = [replace(LIMITED, wait_s=600.0)]
    ride.run(2)
    assert (ride.ended[1].wait_s, "Pause" in ride.order) == (600.0, False)


def test_true_and_unpaid_is_looked_at_a_few_times_and_never_sent_again(ride: Ride) -> None:
    ride.shows[1] = [UNPAID] * 20
    ride.run(2)
    assert ride.states() == {1: "review", 2: "paid"}
    assert [effect.seconds for effect in ride.effects if isinstance(effect, Pause)] == list(PATIENCE.looks)
    assert [each for each in ride.requests() if each[0]] == [([1, 2], [1, 2])]


def test_true_and_paid_a_moment_later_is_paid(ride: Ride) -> None:
    ride.shows[1] = [UNPAID, UNPAID, UNPAID, PAID]
    ride.run(2)
    assert ride.states() == {1: "paid", 2: "paid"}


@pytest.mark.parametrize(
    "changed",
    [{"siblings": (SIBLING,)}, {"attempts": PATIENCE.claims}],
    ids=["one payment for several", "a poisoned one"],
)
def test_what_takes_more_is_left_to_the_conversation_of_one(ride: Ride, changed: dict[str, Any]) -> None:
    ride.book.open(invoice_id=1, **changed)
    ride.waiting.append(1)
    ride.run(1)
    assert (ride.left, ride.states(), ride.requests()[0]) == ([1], {2: "paid"}, ([], [2]))


def test_the_last_claim_that_patience_allows_is_settled_in_the_chunk(ride: Ride) -> None:
    ride.run(1, attempts=PATIENCE.claims - 1)
    assert (ride.left, ride.states()) == ([], {1: "paid"})


@pytest.mark.parametrize("fact", [None, Refused("GONE", "", repeatable=False)])
def test_an_invoice_that_no_list_shows_is_left_to_the_conversation_of_one(ride: Ride, fact: Fact | None) -> None:
    ride.shows[1] = [fact]
    ride.run(2)
    assert (ride.left, ride.states()) == ([1], {2: "paid"})


def test_what_is_not_taken_in_a_batch_is_left_to_the_conversation_of_one(ride: Ride) -> None:
    ride.answers[1] = [Refused("ERROR_BATCH_METHOD_NOT_ALLOWED", "", repeatable=True, reason=ALONE)]
    ride.run(2)
    assert (ride.left, ride.states(), ride.book.rows[1].state) == ([1], {2: "paid"}, State.READY)


def test_one_that_cannot_be_sent_is_reported_for_itself(ride: Ride) -> None:
    ride.no_way = {1}
    ride.run(2)
    assert (ride.states(), ride.pays) == ({1: "ready", 2: "paid"}, [2])
    assert isinstance(ride.ended[1].trouble, Refused)


def test_what_was_paid_by_hand_or_has_ended_is_reported_and_not_sent(ride: Ride) -> None:
    ride.book.open(invoice_id=1, state=State.REVIEW)
    ride.waiting.append(1)
    ride.paid.add(2)
    ride.run(2)
    assert (ride.states(), ride.pays) == ({1: "review", 2: "paid", 3: "paid"}, [3])
    assert ride.ended[2].row.how == "by_hand"


def test_nothing_to_do_asks_for_nothing(ride: Ride) -> None:
    assert ride.run(0).order == ["Next"]


def test_an_unknown_one_is_sent_again_only_after_its_quiet_time(ride: Ride) -> None:
    ride.lost = ["before"]
    ride.run(2)
    for waits, pays in ((PATIENCE.quiet_s - 1, []), (2, [1, 2])):
        ride.book.pass_time(waits)
        ride.waiting, ride.ended, ride.effects = [1, 2], {}, []
        ride.run(0)
        # What stays as it is, is not written.
        assert (ride.pays, "CommitAll" in ride.order) == (pays, bool(pays))
    assert ride.states() == {1: "paid", 2: "paid"}
