"""Reads every settlement's story, event by event: it must be whole, go the allowed ways, and prove what was paid.

The same reading makes a checkpoint: a digest of all events and words of people before a day, which anybody can compute again
later.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from itertools import groupby
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, select

from airflow_b24.ledger.schema import dismissal, event, record_word, settlement
from airflow_b24.ledger.states import ADOPTED, CONFIRMED, MOVED_ON, TRANSITIONS, State
from airflow_b24.ledger.violation import Violation

FIRST: Final = frozenset({State.COLLECTING, State.READY, State.PAID})
AT_A_TIME: Final = 1000


@dataclass(slots=True)
class Checkpoint:
    """All events before midnight (UTC) of the day `before`: how many, and the SHA-256 over them, story by story.

    People's words on payments follow in the digest, then those on records, in the order in which they were said.
    """

    before: date
    events: int = 0
    _hash: Any = field(default_factory=hashlib.sha256, repr=False)

    @property
    def sha256(self) -> str:
        digest: str = self._hash.hexdigest()
        return digest

    def add(self, row: RowMapping) -> None:
        """Count one event, if it belongs to the days before."""
        self.events += self._take(row, ("settlement_id", "seq", "what", "state", "fence", "evidence"), "at")

    def add_word(self, row: RowMapping, about: Sequence[str]) -> None:
        """Take in one word of a person's, with the columns that say what it is about, if it belongs to the days before."""
        self._take(row, ("id", *about, "what", "said_by"), "said_at")

    def _take(self, row: RowMapping, names: Sequence[str], at: str) -> bool:
        if row[at] >= datetime.combine(self.before, time.min, UTC):
            return False
        # A column of a later version is told only where it says something: the digests of before stay what they were.
        known = {name: row[name] for name in names if row[name] is not None}
        said = {**known, at: row[at].isoformat(timespec="microseconds")}
        self._hash.update(json.dumps(said, sort_keys=True, ensure_ascii=False).encode() + b"\n")
        return True


def read_stories(connection: Connection, checkpoint: Checkpoint) -> Iterator[Violation]:
    """Read all events in order of settlement and number, and say what is wrong with any story; people's words last."""
    names = ("state", "how", "expected", "currency", "sends", "reason")
    columns = (settlement.c[name].label(f"now_{name}") for name in names)
    query = select(event, *columns).join(settlement).order_by(event.c.settlement_id, event.c.seq)
    rows = connection.execute(query, execution_options={"yield_per": AT_A_TIME}).mappings()
    for settlement_id, story in groupby(_counted(rows, checkpoint), key=lambda row: row["settlement_id"]):
        told = list(story)
        for rule, text in (*_order(told), *_path(told), *_proof(told)):
            yield Violation(rule, f"settlement {settlement_id}", text)
    for words, about in ((dismissal, ["payment_id", "word_id"]), (record_word, ["raw_id", "reason"])):
        for word in connection.execute(select(words).order_by(words.c.id)).mappings():
            checkpoint.add_word(word, about)


def take_checkpoint(connection: Connection, before: date) -> Checkpoint:
    """Read all stories for the checkpoint alone."""
    checkpoint = Checkpoint(before)
    for _ in read_stories(connection, checkpoint):
        pass
    return checkpoint


def _counted(rows: Iterable[RowMapping], checkpoint: Checkpoint) -> Iterator[RowMapping]:
    for row in rows:
        checkpoint.add(row)
        yield row


def _order(told: Sequence[RowMapping]) -> Iterator[tuple[str, str]]:
    numbers = [row["seq"] for row in told]
    missing = sorted(set(range(1, max(numbers) + 1)) - set(numbers))
    if missing or len(numbers) != len(set(numbers)):
        yield "I5", f"events are missing from its story: {', '.join(map(str, missing)) or 'numbers stand twice'}"


def _path(told: Sequence[RowMapping]) -> Iterator[tuple[str, str]]:
    at: str | None = None
    for row in told:
        before, after = _step(row, at)
        if before != at:
            yield "path", f"event {row['seq']} ({row['what']}) begins in {before}, but the story had come to {at}"
        if not _is_allowed(before, after):
            yield "path", f"event {row['seq']} ({row['what']}) goes from {before} to {after}, which no rule allows"
        at = after
    if at != told[-1]["now_state"]:
        yield "path", f"it is {told[-1]['now_state']}, but its story ends in {at}"


def _step(row: RowMapping, at: str | None) -> tuple[str | None, str]:
    """From where to where an event leads: a move says what it came from, anything else what it left behind."""
    is_move = row["what"] in set(State)
    return (row["state"], row["what"]) if is_move else (at, row["state"])


def _is_allowed(before: str | None, after: str) -> bool:
    if before is None:
        return after in FIRST
    return before == after or State(after) in TRANSITIONS[State(before)]


def _proof(told: Sequence[RowMapping]) -> Iterator[tuple[str, str]]:
    """What is paid must have been seen paid, for the expected money, and after a `sending` if it was ours."""
    now = told[-1]
    if now["now_state"] != State.PAID:
        return
    ends = [row for row in told if row["what"] in {State.PAID, ADOPTED}]
    if not ends:
        yield "I3", "it is paid, but no event says so"
        return
    yield from _seen(now, ends[-1]["evidence"])
    sent = any(row["what"] == State.SENDING and row["seq"] < ends[-1]["seq"] for row in told)
    if now["now_how"] == "sent" and not (sent and now["now_sends"]):
        yield "I3", "it was paid by us, but nothing was sent before"


def _seen(now: RowMapping, evidence: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    # Filed by a robot, it was paid, as a person told.
    is_filed = now["now_reason"] == CONFIRMED and evidence.get("lacks") == MOVED_ON
    if evidence.get("paid") is not True and not is_filed:
        yield "I3", "it is paid, but no read-back said so"
        return
    shown, expected = (evidence.get("amount"), evidence.get("currency")), (now["now_expected"], now["now_currency"])
    # A person adopted it as the portal showed it, whatever the sum.
    if shown != expected and now["now_reason"] != ADOPTED:
        yield "I3", f"it is paid, but the read-back showed {shown[0]} {shown[1]}, not {expected[0]} {expected[1]}"
