"""The conversation that settles one invoice, as a generator: it yields effects and is sent their results.

It performs nothing itself, so the same steps run against a database and a portal, or against a simulator that crashes,
delays and interleaves them. The order is the safety:

    Reserve   pace for every request of the settlement, so that nothing has to wait later
    Claim     raise the fence: any earlier attempt that is still alive can no longer commit
    Exchange  read the invoice                                                 (the pre-read)
    Commit    `sending`, with a short send window, on disk before the first byte leaves
    Exchange  pay, and read back at once
    Commit    what the read-back proved
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from airflow_b24.ledger.decide import after_sending, before_sending, failed_reading
from airflow_b24.ledger.facts import Answered, Decision, Fact, Key, Kind, Refused, Row, Seen, Unknown
from airflow_b24.ledger.states import State


@dataclass(frozen=True, slots=True)
class Patience:
    """How long things may take, in seconds; `quiet_s` after `sending` no call of ours can land any more."""

    window_s: float = 5.0
    deadline_s: float = 60.0
    # The longest server run of one request: cloud portals cut at 60 s, on-premise ones may not.
    server_run_s: float = 120.0
    # How much longer for each further pay in the request: nothing need cut it, and the pays run one after the other.
    pay_run_s: float = 5.0
    read_age_s: float = 10.0
    rounds: int = 5
    # Claims of one settlement before it is put before a person: a poisoned one must not fail every run for ever.
    claims: int = 40
    looks: tuple[float, ...] = (0.5, 1.0, 2.0)
    longest_pause_s: float = 60.0

    @property
    def quiet_s(self) -> float:
        return self.window_s + self.deadline_s + self.server_run_s

    def quiet_after(self, pays: int) -> float:
        """The same of a request with so many pays."""
        return self.quiet_s + max(0, pays - 1) * self.pay_run_s


@dataclass(frozen=True, slots=True)
class Reserve:
    """Wait for the portal's pace to allow so many requests in a row."""

    requests: int


@dataclass(frozen=True, slots=True)
class Claim:
    """Raise the fence and get the row; a `sending` left by another attempt becomes `unknown`. -> Row"""

    settlement_id: int


@dataclass(frozen=True, slots=True)
class Look:
    """Read the row as it is now. -> Row"""

    settlement_id: int


@dataclass(frozen=True, slots=True)
class Commit:
    """Move the row if our fence still holds; `read_at` is the age check of what rests on a read. -> Committed"""

    row: Row
    decision: Decision
    read_at: float | None = None

    def is_stale(self, oldest: float) -> bool:
        """Say whether this is to be sent, or believed, on a reading before `oldest`, or of nobody knows when."""
        return rests_on_old([(self.row, self.decision)], self.read_at, oldest)


@dataclass(frozen=True, slots=True)
class Committed:
    """`row` is the moved row, None when another attempt holds the fence or the pre-read is too old."""

    row: Row | None
    send_before: float | None = None
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Exchange:
    """Ask the portal: pay if told to, then read the invoice, and those `beside` it. -> Exchanged"""

    row: Row
    pay: bool
    send_before: float | None = None
    beside: tuple[Key, ...] = ()


@dataclass(frozen=True, slots=True)
class Exchanged:
    """The answer to the pay call, what the invoices show, and when the exchange began (monotonic seconds)."""

    answer: Answered | Refused | Unknown | None
    seen: Fact
    began: float
    beside: Mapping[Key, Fact] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds."""

    seconds: float


Effect: TypeAlias = Reserve | Claim | Look | Commit | Exchange | Pause


@dataclass(frozen=True, slots=True)
class Settled:
    """Where the settlement stands; `trouble` is set when this attempt could not bring it to an end.

    Another attempt may help in `wait_s` seconds, at once when that is None.
    """

    row: Row
    wait_s: float | None = None
    trouble: Refused | Unknown | None = None


Conversation: TypeAlias = Generator[Effect, Any, Settled]
Attempted: TypeAlias = tuple[Row, Refused | Unknown | None]

# How many requests reading an invoice takes: a smart one is read together with its history, or its documents.
READ_TAKES: Mapping[Kind, int] = {"legacy": 1, "smart": 2, "payment": 1}


def requests_of(kind: Kind) -> int:
    """How many requests it takes to read an invoice, pay it, and read it again."""
    return 2 * READ_TAKES[kind] + 1


def settle(row: Row, patience: Patience) -> Conversation:
    """Bring one settlement as far as it can go now; repeating it at any time, in any number, is safe by its id.

    What was last read of it only says how much to reserve.
    """
    for left in reversed(range(patience.rounds)):
        yield Reserve(requests_of(row.kind) + sum(READ_TAKES[kind] for kind, _ in row.beside))
        row = yield Claim(row.id)
        if row.state not in {State.READY, State.UNKNOWN}:
            return standing(row)
        row, trouble = yield from (_give_up(row) if row.attempts > patience.claims else _attempt(row, patience))
        if trouble is None:
            return standing(row)
        pause = pause_of(trouble, patience)
        if pause is None or not left:
            break
        yield Pause(pause)
    return Settled(row, wait_s=wait_of(trouble, row), trouble=trouble)


def _attempt(row: Row, patience: Patience) -> Generator[Effect, Any, Attempted]:
    """One claim's worth of work: the row afterwards, and the refusal or silence that calls for another claim."""
    read: Exchanged = yield Exchange(row, pay=False, beside=row.beside)
    unread = next((fact for fact in (read.seen, *read.beside.values()) if not isinstance(fact, Seen)), None)
    if unread is not None:
        return (yield from _unreadable(row, unread, is_own=unread is read.seen))
    assert isinstance(read.seen, Seen)  # noqa: S101 - looked for above
    decision = before_sending(row, read.seen, row.claimed_at, read.beside)
    if decision.state is row.state:
        return row, None
    done: Committed = yield Commit(row, decision, read.began)
    if done.stale:
        return row, Refused("STALE_READ", "the pre-read grew too old", repeatable=True, wait_s=0.0)
    if done.row is None:
        return (yield from overtaken(row))
    if decision.state is State.SENDING:
        return (yield from _send(done, patience))
    return done.row, None


def _unreadable(row: Row, fact: Refused | Unknown, *, is_own: bool) -> Generator[Effect, Any, Attempted]:
    """An invoice that is gone needs a person; anything else may be read another time."""
    if isinstance(fact, Unknown):
        return row, fact
    if fact.repeatable:
        return (yield from _uncounted(row, fact)), fact
    reason = fact.reason if is_own else "sibling_changed"
    return (yield from _to_a_person(row, reason, {"text": fact.text}))


def _uncounted(row: Row, refused: Refused) -> Generator[Effect, Any, Row]:
    decision = failed_reading(row, refused)
    if decision is None:
        return row
    done: Committed = yield Commit(row, decision)
    return done.row or row


def _give_up(row: Row) -> Generator[Effect, Any, Attempted]:
    return (yield from _to_a_person(row, "gave_up", {"attempts": row.attempts}))


def _to_a_person(row: Row, reason: str, evidence: Mapping[str, Any]) -> Generator[Effect, Any, Attempted]:
    done: Committed = yield Commit(row, Decision(State.REVIEW, reason=reason, evidence=evidence))
    return (done.row or (yield Look(row.id))), None


def overtaken(row: Row) -> Generator[Effect, Any, Attempted]:
    """What another attempt, or a hold, has made of a row that could not be committed."""
    now: Row = yield Look(row.id)
    if now.fence == row.fence and now.hold is not None:
        return now, Refused("HELD", "a hold came in between", repeatable=True, wait_s=0.0)
    return now, None


def _send(sent: Committed, patience: Patience) -> Generator[Effect, Any, Attempted]:
    row = sent.row
    assert row is not None  # noqa: S101 - only a won commit may send
    told: Exchanged = yield Exchange(row, pay=True, send_before=sent.send_before)
    assert told.answer is not None  # noqa: S101 - a pay was asked for
    decision = after_sending(row, told.answer, told.seen)
    for pause in patience.looks:
        if not decision.look_again:
            break
        # `true` and still unpaid: a replica may lag, so look a few times more; never send again.
        yield Pause(pause)
        again: Exchanged = yield Exchange(row, pay=False)
        decision = after_sending(row, told.answer, again.seen)
    done: Committed = yield Commit(row, decision)
    refused = told.answer if isinstance(told.answer, Refused) and decision.state is State.READY else None
    return (done.row or (yield Look(row.id))), (refused if done.row else None)


def rests_on_old(decided: Iterable[tuple[Row, Decision]], read_at: float | None, oldest: float) -> bool:
    """Say whether any row is moved by what was read before `oldest`, or sent on a reading of nobody knows when.

    That a call of ours has landed is so whenever it was seen: somebody may have taken it back since, which is a case.
    """
    if read_at is None:
        return any(decision.state is State.SENDING for _, decision in decided)
    return read_at < oldest and any(_may_have_changed(row, decision) for row, decision in decided)


def _may_have_changed(row: Row, decision: Decision) -> bool:
    has_landed = (row.state, decision.state) == (State.UNKNOWN, State.PAID)
    return decision.state is not row.state and not has_landed


def standing(row: Row) -> Settled:
    """What stays open after a full attempt: `unknown` here, or `sending` in another attempt's hands."""
    if row.state in {State.UNKNOWN, State.SENDING}:
        return Settled(row, _quiet_s(row), Unknown("the outcome of the call is not known yet"))
    if row.state is State.READY and row.partial_may_land:
        return Settled(row, _quiet_s(row), Unknown("a move to the stage of parts may still land"))
    if row.state is State.READY:
        return Settled(row, trouble=Unknown("another attempt is working on this settlement"))
    return Settled(row)


def pause_of(trouble: Refused | Unknown, patience: Patience) -> float | None:
    """Seconds to wait before another claim in this very attempt, None when it should end."""
    if isinstance(trouble, Unknown) or not trouble.repeatable or trouble.wait_s is None:
        return None
    return max(trouble.wait_s, 0.0) if trouble.wait_s <= patience.longest_pause_s else None


def wait_of(trouble: Refused | Unknown | None, row: Row) -> float | None:
    """Seconds after which another attempt may help, None when that is not known."""
    if isinstance(trouble, Refused):
        return trouble.wait_s
    return _quiet_s(row) if row.state is State.UNKNOWN else None


def _quiet_s(row: Row) -> float | None:
    """What was left of the quiet time at the claim: both ends by the ledger's clock."""
    return None if row.quiet_until is None else max((row.quiet_until - row.claimed_at).total_seconds(), 0.0)


def applied(row: Row, decision: Decision) -> dict[str, Any]:
    """The columns a decision changes; every store uses this, so that no two of them can differ."""
    changes: dict[str, Any] = {"state": decision.state, "how": decision.how, "reason": decision.reason}
    if decision.state is State.SENDING:
        marks = (decision.evidence or {}).get("marks")
        return {**changes, "in_flight": True, "answered": False, "sends": row.sends + 1, "snapshot": marks}
    if decision.is_told:
        changes["snapshot"] = (decision.evidence or {}).get("marks")
    known = {"in_flight": decision.in_flight, "answered": decision.answered, "attempts": decision.attempts}
    return {**changes, **{name: value for name, value in known.items() if value is not None}}
