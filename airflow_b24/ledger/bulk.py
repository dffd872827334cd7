"""The conversation that settles many invoices, a chunk to a request: one such is a lane, several may run side by side.

It yields effects as `settlement` does, and decides by the same pure rules, each row for itself. Each turn

    Next         the ids of the following chunk
    Reserve      pace for the one request of the turn
    ClaimAll     the following chunk
    CommitAll    `sending` for this one, which the turn before has claimed and then read
    ExchangeAll  pay this chunk and read it back, and read the following one      (one request)
    CommitAll    what the read-back proved

so that nothing waits between the commit of `sending` and the first byte. What takes more than that is left to the
conversation of one: `Leave`. Where requests are scarce, one claims and reads the first chunks of all lanes: `open_chunks`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from airflow_b24.ledger.chunks import (
    ALONE,
    Chunk,
    ClaimAll,
    CommitAll,
    CommittedAll,
    ExchangeAll,
    ExchangedAll,
    LaneEffect,
    Leave,
    Next,
    Report,
    Told,
)
from airflow_b24.ledger.decide import after_sending, before_sending, failed_reading
from airflow_b24.ledger.facts import Decision, Fact, Key, Refused, Row, Seen, Unknown
from airflow_b24.ledger.settlement import (
    Patience,
    Pause,
    Reserve,
    Settled,
    overtaken,
    pause_of,
    standing,
    wait_of,
)
from airflow_b24.ledger.states import State

Steps: TypeAlias = Generator[LaneEffect, Any, None]
Proved: TypeAlias = Sequence[tuple[Row, Decision]]

_IN_HAND: Final = frozenset({State.READY, State.UNKNOWN})
_STALE: Final = Refused("STALE_READ", "the pre-read grew too old", repeatable=True, wait_s=0.0)


def settle_chunks(patience: Patience, chunk: Chunk | None = None) -> Steps:
    """Settle chunk after chunk until there is none; repeating it, and several at once, is safe by settlement."""
    return _Lane(patience).run(chunk or Chunk())


def open_chunks(patience: Patience, lanes: int) -> Generator[LaneEffect, Any, Chunk]:
    """Claim and read, in one request, what so many lanes begin with; safe to repeat, too."""
    return (yield from _Lane(patience).open(lanes))


@dataclass(slots=True)
class _Lane:
    patience: Patience
    # To be claimed anew; how often each was refused, and who was only met with silence when it was last read.
    again: list[int] = field(default_factory=list)
    refused: Counter[int] = field(default_factory=Counter)
    silent: set[int] = field(default_factory=set)
    pause_s: float = 0.0
    # What others were faster with: looked at once ours is sent.
    overtaken: list[Row] = field(default_factory=list)
    ended: list[Settled] = field(default_factory=list)
    left: list[int] = field(default_factory=list)

    def open(self, lanes: int) -> Generator[LaneEffect, Any, Chunk]:
        ids: tuple[int, ...] = yield Next((), lanes)
        if not ids:
            return Chunk()
        chunk = yield from self._turn(ids, Chunk())
        yield from self._tell()
        return chunk

    def run(self, chunk: Chunk) -> Steps:
        while True:
            ids: tuple[int, ...] = yield Next(tuple(self.again))
            if not ids and not chunk.rows:
                return
            chunk = yield from self._turn(ids, chunk)
            yield from self._tell()

    def _turn(self, ids: tuple[int, ...], chunk: Chunk) -> Generator[LaneEffect, Any, Chunk]:
        yield Reserve(1)
        following = yield from self._claim(ids)
        sent, send_before = yield from self._send(chunk)
        read = Chunk()
        if sent or following:
            told: ExchangedAll = yield ExchangeAll(sent, (*sent, *following), send_before if sent else None)
            yield from self._prove(sent, told)
            read = Chunk(following, told.seen, told.began)
        yield from self._look_at_overtaken()
        return read

    def _claim(self, ids: tuple[int, ...]) -> Generator[LaneEffect, Any, tuple[Row, ...]]:
        if not ids:
            return ()
        self.again = [each for each in self.again if each not in ids]
        rows: Sequence[Row] = yield ClaimAll(ids)
        self.ended += [standing(row) for row in rows if row.state not in _IN_HAND]
        self.left += [row.id for row in rows if row.state in _IN_HAND and self._is_alone(row)]
        return tuple(row for row in rows if row.state in _IN_HAND and not self._is_alone(row))

    def _is_alone(self, row: Row) -> bool:
        """One payment for several invoices takes a look at all of them; what comes to no end is put before a person."""
        return row.attempts > self.patience.claims or (row.state is State.READY and bool(row.unread_siblings))

    def _send(self, chunk: Chunk) -> Generator[LaneEffect, Any, tuple[tuple[Row, ...], float | None]]:
        done = yield from self._commit(chunk)
        if done.stale:
            # What was waited for is over, and the slot of the pays is reserved: nothing makes it old once more.
            yield Reserve(1)
            told: ExchangedAll = yield ExchangeAll((), chunk.rows)
            chunk = Chunk(chunk.rows, told.seen, told.began)
            done = yield from self._commit(chunk)
        sent = [now for row in chunk.rows for now in self._sent(row, chunk.seen.get(row.key), done)]
        return tuple(sent), done.send_before

    def _commit(self, chunk: Chunk) -> Generator[LaneEffect, Any, CommittedAll]:
        steps = ((row, _written(row, chunk.seen.get(row.key))) for row in chunk.rows)
        decided = tuple((row, step) for row, step in steps if isinstance(step, Decision))
        if not decided:
            return CommittedAll({})
        done: CommittedAll = yield CommitAll(decided, chunk.read_at)
        return done

    def _sent(self, row: Row, fact: Fact | None, done: CommittedAll) -> list[Row]:
        """Sort out what became of one row before anything was sent: it alone, if it may be sent now."""
        step = _step(row, fact)
        self._hear(row, fact)
        if step is None:
            self.left.append(row.id)
        elif isinstance(step, Settled):
            self.ended.append(step)
        elif not isinstance(step, Decision) or done.stale:
            self._try_again(row, _STALE if isinstance(step, Decision) else step)
        elif isinstance(now := done.rows[row.id], Row) and now.state is State.SENDING:
            return [now]
        else:
            self._close(row, now)
        return []

    def _hear(self, row: Row, fact: Fact | None) -> None:
        if isinstance(fact, Seen):
            self.silent.discard(row.id)

    def _prove(self, sent: tuple[Row, ...], told: ExchangedAll) -> Steps:
        answers, seen, looks = told.answers, told.seen, list(self.patience.looks)
        while sent:
            proved = [(row, _proof(row, answers, seen)) for row in sent]
            # `true` and still unpaid: a replica may lag, so look a few times more; never send again.
            sent = tuple(row for row, decision in proved if looks and decision.look_again)
            yield from self._write([each for each in proved if each[0] not in sent], answers, seen)
            if sent:
                yield Pause(looks.pop(0))
                again: ExchangedAll = yield ExchangeAll((), sent, paced=True)
                seen = again.seen

    def _write(self, proved: Proved, answers: Mapping[Key, Told], seen: Mapping[Key, Fact]) -> Steps:
        if not proved:
            return
        done: CommittedAll = yield CommitAll(tuple(proved))
        for row, decision in proved:
            self._close(row, done.rows[row.id], _trouble(decision, answers.get(row.key), seen.get(row.key)))

    def _close(self, row: Row, now: Row | Refused | None, trouble: Refused | Unknown | None = None) -> None:
        if now is None:
            self.overtaken.append(row)
        elif isinstance(now, Refused):
            self._try_again(row, now)
        else:
            self._end(now, trouble)

    def _look_at_overtaken(self) -> Steps:
        while self.overtaken:
            self._end(*(yield from overtaken(self.overtaken.pop())))

    def _end(self, row: Row, trouble: Refused | Unknown | None) -> None:
        if trouble is None:
            self.ended.append(standing(row))
        else:
            self._try_again(row, trouble)

    def _try_again(self, row: Row, trouble: Refused | Unknown) -> None:
        """Claim it anew if that may help in this very run; else it is reported."""
        if isinstance(trouble, Refused) and trouble.reason == ALONE:
            self.left.append(row.id)
        elif self._may_help(row.id, trouble):
            self.again.append(row.id)
        else:
            self.ended.append(Settled(row, wait_of(trouble, row), trouble))

    def _may_help(self, settlement_id: int, trouble: Refused | Unknown) -> bool:
        if isinstance(trouble, Unknown):
            # Read at once: what was lost may have landed; twice in a row, and nobody answers.
            was_silent = settlement_id in self.silent
            self.silent.add(settlement_id)
            return not was_silent
        self.refused[settlement_id] += 1
        pause = pause_of(trouble, self.patience)
        if pause is None or self.refused[settlement_id] >= self.patience.rounds:
            return False
        self.pause_s = max(self.pause_s, pause)
        return True

    def _tell(self) -> Steps:
        left, ended, pause_s = tuple(self.left), tuple(self.ended), self.pause_s
        self.left, self.ended, self.pause_s = [], [], 0.0
        if left:
            yield Leave(left)
        if ended:
            yield Report(ended)
        if pause_s:
            yield Pause(pause_s)


def _step(row: Row, fact: Fact | None) -> Decision | Settled | Refused | Unknown | None:
    """What is to be done about a row after its reading; None: by itself, where the portal says what it has against it."""
    if fact is None or (isinstance(fact, Refused) and not fact.repeatable):
        return None
    if not isinstance(fact, Seen):
        return fact
    decision = before_sending(row, fact, row.claimed_at)
    return standing(row) if decision.state is row.state else decision


def _written(row: Row, fact: Fact | None) -> Decision | Settled | Refused | Unknown | None:
    step = _step(row, fact)
    return failed_reading(row, step) if isinstance(step, (Refused, Unknown)) else step


def _proof(row: Row, answers: Mapping[Key, Told], seen: Mapping[Key, Fact]) -> Decision:
    """What the answer and the read-back prove; what is not there is silence, never a refusal."""
    silence = Unknown("the portal did not answer")
    return after_sending(row, answers.get(row.key, silence), seen.get(row.key, silence))


def _trouble(decision: Decision, told: Told | None, fact: Fact | None) -> Refused | Unknown | None:
    if decision.state is State.READY and isinstance(told, Refused):
        return told
    if decision.state is State.UNKNOWN and not isinstance(fact, Seen):
        return fact if isinstance(fact, Unknown) else Unknown("the invoice could not be read back")
    return None
