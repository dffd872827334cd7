"""One lane: a thread that settles chunk after chunk, and then what is to be settled one by one."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_b24.bitrix.bulk import exchange_all
from airflow_b24.bitrix.codes import OF_A_METHOD
from airflow_b24.bitrix.commands import encode, is_closed_to_all, is_for_single_calls
from airflow_b24.bitrix.errors import BitrixError, RequestError
from airflow_b24.bitrix.flows import Flow
from airflow_b24.bitrix.invoice import Invoice, InvoiceKey
from airflow_b24.bitrix.limits import now_s, urgently
from airflow_b24.bitrix.protocol import BATCH
from airflow_b24.ledger import moves, settlements
from airflow_b24.ledger.bulk import open_chunks, settle_chunks
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
from airflow_b24.ledger.facts import Decision, Fact, Key, Kind, Refused, Row, Unknown
from airflow_b24.ledger.moves import Move
from airflow_b24.ledger.settlement import Look, Pause, Reserve, Settled
from airflow_b24.ledger.states import State
from airflow_b24.reconcile.desk import Desk, PaySystem
from airflow_b24.reconcile.idle_pay_systems import refuse_known_idle
from airflow_b24.reconcile.lanes import Outcomes, Queue, Tempo
from airflow_b24.reconcile.paying import known_way
from airflow_b24.reconcile.settling import reserve, settle_row
from airflow_b24.reconcile.translating import answer, fact


@dataclass(slots=True)
class Lane:
    """What performs a lane's effects; all lanes of a run share one, and what they share locks itself."""

    desk: Desk
    pay_system: PaySystem | None
    queue: Queue
    tempo: Tempo
    outcomes: Outcomes
    # What ended a lane before its time, and what the portal takes in no batch.
    broken: list[Exception] = field(default_factory=list)
    alone: set[Kind] = field(default_factory=set)
    turn: AbstractContextManager[object] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # SQLite takes one writer at a time, and lets the others sleep longer than they need to.
        self.turn = threading.Lock() if self.desk.store.is_sqlite else nullcontext()

    def open(self, lanes: int) -> list[Chunk]:
        """Return what so many lanes begin with: nothing yet, or where requests are scarce a chunk that was read for it.

        Whatever goes wrong with that is kept, and each lane begins by itself.
        """
        chunk = Chunk()
        if self.tempo.is_scarce:
            try:
                chunk = self._drive(open_chunks(self.desk.patience, lanes))
            except Exception as error:  # noqa: BLE001 - each settlement is accounted for in the end
                self.broken.append(error)
        return chunk.deal(lanes, self.tempo.size)

    def ride(self, chunk: Chunk) -> None:
        """Settle until nothing is left; whatever ends it is kept, and stops no other lane."""
        try:
            self._drive(settle_chunks(self.desk.patience, chunk))
            while (settlement_id := self.queue.take_one()) is not None:
                self._settle_one(settlement_id)
        except Exception as error:  # noqa: BLE001 - each settlement is accounted for in the end
            self.broken.append(error)

    def _drive(self, conversation: Generator[LaneEffect, Any, Any]) -> Any:
        reply = None
        while True:
            try:
                effect = conversation.send(reply)
            except StopIteration as done:
                return done.value
            reply = self.perform(effect)

    def _settle_one(self, settlement_id: int) -> None:
        try:
            row = settlements.look(self.desk.store, settlement_id)
            self._report([settle_row(self.desk, row, self.pay_system, lambda: self.queue.why(settlement_id))])
        except (BitrixError, ValueError) as error:
            self._fail(settlement_id, error)

    def perform(self, effect: LaneEffect) -> Any:
        """Do what the conversation asks for. Raises LedgerError, or RefusedError when out of pace."""
        match effect:
            case ClaimAll():
                with self.turn:
                    return moves.claim_all(self.desk.store, effect.ids)
            case CommitAll():
                with self.turn:
                    return self._commit(effect)
            case ExchangeAll():
                # What is looked at again was sent: others wait for it.
                with urgently(effect.paced):
                    return self.desk.client.run(self.exchange(effect))
            case Look():
                return settlements.look(self.desk.store, effect.settlement_id)
        return self._share(effect)

    def _share(self, effect: LaneEffect) -> tuple[int, ...] | None:
        match effect:
            case Next():
                return self.queue.take(effect.first, self.tempo.size * effect.chunks)
            case Reserve():
                self.tempo.waited(reserve(self.desk, effect.requests))
            case Pause():
                self.desk.sleep(effect.seconds)
            case Report():
                self._report(effect.settled)
            case Leave():
                self.queue.leave(effect.ids)
        return None

    def _report(self, settled: Iterable[Settled]) -> None:
        for each in settled:
            self.outcomes.put(each.row.id, each)
            self._heed(each.row.id, each.trouble.cause if each.trouble else None)

    def _fail(self, settlement_id: int, error: Exception) -> None:
        self.outcomes.put(settlement_id, error)
        self._heed(settlement_id, error)

    def _heed(self, settlement_id: int, why: Exception | None) -> None:
        """What the portal refuses to others too, for good or time after time, is not asked once more."""
        if not isinstance(why, BitrixError):
            return
        if why.code in OF_A_METHOD and why.method != BATCH:
            # No method is for both kinds.
            self.queue.stop(why, self.queue.kinds[settlement_id])
        elif is_closed_to_all(why):
            self.queue.stop(why)

    def _commit(self, effect: CommitAll) -> CommittedAll:
        moved, refused = self._moves(effect.decided)
        refused |= self._refusals([each.row for each in moved if each.decision.state is State.SENDING])
        # The window opens before the commit: a process that stalls in between must not send with a fresh deadline.
        began, patience = now_s(), self.desk.patience
        if effect.is_stale(began - patience.read_age_s):
            return CommittedAll({}, stale=True)
        moved = [each for each in moved if each.row.id not in refused]
        rows = moves.move_all(self.desk.store, moved, patience)
        done = dict(zip((each.row.id for each in moved), rows, strict=True))
        return CommittedAll({**done, **refused}, began + patience.window_s)

    def _moves(self, decided: Iterable[tuple[Row, Decision]]) -> tuple[list[Move], dict[int, Refused]]:
        moved: list[Move] = []
        refused: dict[int, Refused] = {}
        for row, decision in decided:
            try:
                through = self._through(row, decision)
            except (ValueError, KeyError) as error:
                refused[row.id] = _not_sent(error)
                continue
            moved.append(Move(row, decision, through))
        return moved, refused

    def _through(self, row: Row, decision: Decision) -> str:
        if decision.state is not State.SENDING:
            return ""
        way = known_way(self.desk, row, self.pay_system)
        through = way.through((decision.evidence or {})["marks"])
        # What cannot be written into a batch must be known before `sending` is on disk.
        encode(way.order(replace(row, pay_system=through)).request())
        return through

    def _refusals(self, sends: list[Row]) -> dict[int, Refused]:
        """What must not be sent now: what was stopped, and what a pay system would leave unpaid."""
        if self.pay_system is not None:
            fresh = next((row for row in sends if row.kind == "legacy" and row.state is State.READY), None)
            try:
                _ = fresh and refuse_known_idle(self.desk, fresh, self.pay_system.name)
            except ValueError as error:
                self.queue.stop(error, "legacy")
        return {row.id: _not_sent(why) for row in sends if (why := self.queue.why(row.id)) is not None}

    def exchange(self, effect: ExchangeAll) -> Flow[ExchangedAll]:
        """Ask the portal, step by step: one request that pays and reads, or reads that may be repeated."""
        pays = [known_way(self.desk, row, self.pay_system).order(row) for row in effect.pays]
        readings = self.desk.invoices.readings(row.key for row in effect.reads if row.kind not in self.alone)
        began = now_s()
        got = yield from exchange_all(pays, readings, effect.send_before, paced=effect.paced)
        self.outcomes.hear(got.pays.values() or got.reads.values())
        if pays:
            self.tempo.took(len(pays), now_s() - began)
        answers: dict[Key, Told] = {key: self._told(key, told) for key, told in got.pays.items()}
        facts = _facts(got.reads)
        if len(facts) == 1 and self.tempo.is_heard:
            # The portal answers for others: what becomes of one that is asked for alone is its own.
            facts = {key: _of_one(each) for key, each in facts.items()}
        is_silent = any(isinstance(each, Unknown) and each.is_of_all for each in facts.values())
        self.tempo.heard(len(effect.reads), is_answered=not is_silent)
        return ExchangedAll(answers, facts, began)

    def _told(self, key: InvoiceKey, told: bool | BitrixError) -> Told:
        if is_for_single_calls(told):
            self.alone.add(key.kind)
            return Refused(told.code, str(told), repeatable=True, reason=ALONE, cause=told)
        return answer(told)


def _facts(reads: Mapping[InvoiceKey, Invoice | BitrixError]) -> dict[Key, Fact]:
    # A list that the portal will not give says nothing of an invoice: it is asked for by itself.
    return {key: fact(found) for key, found in reads.items() if not isinstance(found, RequestError)}


def _of_one(found: Fact) -> Fact:
    return replace(found, is_of_all=False) if isinstance(found, Unknown) else found


def _not_sent(why: Exception) -> Refused:
    return Refused("NOT_SENT", str(why), repeatable=True, cause=why)
