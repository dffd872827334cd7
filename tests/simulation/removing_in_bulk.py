"""The guards that settling in bulk has of its own, and how each is taken away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final
from unittest.mock import patch

from airflow_b24.bitrix import bulk as bitrix_bulk
from airflow_b24.bitrix.bulk import Reading
from airflow_b24.bitrix.errors import NOT_IN_BATCH, RequestError, ResponseError, UnknownOutcomeError
from airflow_b24.bitrix.flows import QUICK, attempt
from airflow_b24.bitrix.protocol import Request
from airflow_b24.ledger import bulk as ledger_bulk
from airflow_b24.ledger.chunks import ClaimAll, CommitAll, CommittedAll, ExchangeAll, ExchangedAll, Told
from airflow_b24.ledger.facts import Decision, Fact, Refused, Row, Unknown
from airflow_b24.ledger.settlement import pause_of
from airflow_b24.ledger.states import State
from airflow_b24.reconcile import bulk, lane
from airflow_b24.reconcile.lane import Lane
from airflow_b24.reconcile.portal import PortalInvoices
from tests.simulation.lanes import Ride
from tests.simulation.removing import FAR, Patches, nothing, patience, true_is_proof

Commits = Callable[[Lane, CommitAll], CommittedAll]
REFUSED: Final = Refused("NOT_THERE", "nothing is there", repeatable=True, wait_s=0.0)


def _committing(change: Callable[[Commits, Lane, CommitAll], CommittedAll]) -> Sequence[Any]:
    real = Lane._commit
    return [patch.object(Lane, "_commit", lambda self, effect: change(real, self, effect))]


def _ageless(real: Commits, lanes: Lane, effect: CommitAll) -> CommittedAll:
    return real(lanes, replace(effect, read_at=lane.now_s()))


def _sent(lanes: Lane, row: Row, decision: Decision) -> Row:
    """The row as it would be, had `sending` been written down."""
    marks = (decision.evidence or {}).get("marks")
    written = {"sends": row.sends + 1, "pay_system": lanes._through(row, decision), "snapshot": marks}
    return replace(row, state=State.SENDING, in_flight=True, **written)


def _unwritten(real: Commits, lanes: Lane, effect: CommitAll) -> CommittedAll:
    """Nothing is written down before the first byte leaves."""
    sends = [each for each in effect.decided if each[1].state is State.SENDING]
    others = tuple(each for each in effect.decided if each not in sends)
    done = real(lanes, replace(effect, decided=others)) if others else CommittedAll({})
    rows = {row.id: _sent(lanes, row, decision) for row, decision in sends}
    return CommittedAll({**done.rows, **rows}, lane.now_s() + 5.0)


def _whole(real: Commits, lanes: Lane, effect: CommitAll) -> CommittedAll:
    """What the commit has not moved is sent with the others."""
    done = real(lanes, effect)
    lost = [each for each in effect.decided if each[1].state is State.SENDING and done.rows.get(each[0].id, 0) is None]
    return replace(done, rows={**done.rows, **{row.id: _sent(lanes, row, decision) for row, decision in lost}})


def _no_window() -> Sequence[Any]:
    real = lane.exchange_all

    def exchange_all(pays: Any, readings: Any, send_before: float | None, *, paced: bool) -> Any:
        return real(pays, readings, FAR if pays else send_before, paced=paced)

    return [patch.object(lane, "exchange_all", exchange_all)]


def _read_first() -> Sequence[Any]:
    """The read that decides is taken before the claim."""
    exchange, do = Ride.exchange, Ride.do
    early: dict[int, ExchangedAll] = {}

    def claims(self: Ride, effect: Any, asked_at: float) -> None:
        if not isinstance(effect, ClaimAll):
            return do(self, effect, asked_at)
        found = self.simulation.store.look_all(effect.ids)

        def told(read: ExchangedAll) -> None:
            early[self.number] = read
            do(self, effect, self.timeline.now)

        return exchange(self, ExchangeAll((), tuple(found.values())), asked_at, told)

    def uses(self: Ride, effect: ExchangeAll, asked_at: float, then: Callable[[Any], None]) -> None:
        read = early.pop(self.number, None)
        if read is None:
            return exchange(self, effect, asked_at, then)
        left = tuple(row for row in effect.reads if row.key not in read.seen)
        if not left:
            return then(read)

        def told(more: ExchangedAll) -> None:
            then(ExchangedAll(more.answers, {**read.seen, **more.seen}, read.began))

        return exchange(self, replace(effect, reads=left), asked_at, told)

    return [patch.object(Ride, "do", claims), patch.object(Ride, "exchange", uses)]


def _repeated() -> Sequence[Any]:
    """A batch that pays is repeated like one that reads."""

    def ask(request: Request) -> Any:
        return (yield from attempt(replace(request, write=False, send_before=None), QUICK))

    return [patch.object(bitrix_bulk, "_ask", ask)]


def _answering(is_refusal: Callable[[Any], bool]) -> Sequence[Any]:
    real = lane.answer
    return [patch.object(lane, "answer", lambda told: REFUSED if is_refusal(told) else real(told))]


def _telling(change: Callable[[RequestError], Told]) -> Sequence[Any]:
    real = Lane._told

    def told(self: Lane, key: Any, said: Any) -> Told:
        not_in_batch = isinstance(said, RequestError) and said.code in NOT_IN_BATCH
        return change(said) if not_in_batch else real(self, key, said)

    return [patch.object(Lane, "_told", told)]


def _step(row: Row, fact: Fact | None) -> Any:
    if fact is None:
        return Decision(State.REVIEW, reason="invoice_not_found")
    return REAL_STEP(row, fact)


REAL_STEP = ledger_bulk._step


def _for_ever(kind: type) -> Sequence[Any]:
    """What ended so is claimed anew, however often it was."""
    real = ledger_bulk._Lane._may_help

    def may_help(self: ledger_bulk._Lane, settlement_id: int, trouble: Any) -> bool:
        if not isinstance(trouble, kind):
            return real(self, settlement_id, trouble)
        pause = pause_of(trouble, self.patience)
        self.pause_s = max(self.pause_s, pause or 0.0)
        return kind is Unknown or pause is not None

    return [patch.object(ledger_bulk._Lane, "_may_help", may_help)]


def _stages_alone(self: PortalInvoices, kind: Any, ids: Sequence[int]) -> Reading:
    found: Reading = REAL_READING(self, kind, ids)
    return replace(found, beside=None)


REAL_READING = PortalInvoices._reading

# What each is for, and how it is taken away.
IN_BULK: dict[str, tuple[str, Patches]] = {
    "bulk_read_age": ("a chunk's read is at most 10 s old when it is sent", lambda: _committing(_ageless)),
    "bulk_pay_run": (
        "a batch is waited for as long as its pays may run one after the other",
        lambda: patience(pay_run_s=0.0),
    ),
    "bulk_window": ("a batch that pays leaves within seconds of its commit", _no_window),
    "bulk_claim_first": ("a chunk is read after its claim", _read_first),
    "bulk_intent": ("a chunk's `sending` is durable before the first byte", lambda: _committing(_unwritten)),
    "bulk_leaves": ("what the commit has not moved leaves the chunk", lambda: _committing(_whole)),
    "bulk_once": ("a batch that pays is never repeated", _repeated),
    "bulk_silence": (
        "what is not in a batch's answer may have run",
        lambda: _answering(lambda told: isinstance(told, ResponseError) and told.code == "NOT_EXECUTED"),
    ),
    "bulk_lost": (
        "a batch whose answer is lost may have run",
        lambda: _answering(lambda told: isinstance(told, UnknownOutcomeError)),
    ),
    "bulk_read_back": (
        "`true` in a batch proves nothing",
        lambda: [patch.object(ledger_bulk, "after_sending", true_is_proof)],
    ),
    "bulk_gone": (
        "what no list shows is asked for by itself",
        lambda: [patch.object(ledger_bulk, "_step", _step)],
    ),
    "bulk_histories": (
        "smart invoices are listed with their histories",
        lambda: [patch.object(PortalInvoices, "_reading", _stages_alone)],
    ),
    "bulk_siblings": (
        "one payment for several invoices is left to the conversation of one",
        lambda: [patch.object(ledger_bulk._Lane, "_is_alone", lambda self, row: row.attempts > self.patience.claims)],
    ),
    "bulk_alone": (
        "what the portal takes in no batch is paid by itself",
        lambda: _telling(lane.answer),
    ),
    "bulk_not_run": (
        "what the portal takes in no batch has surely not run",
        lambda: _telling(lambda told: Unknown(told.code)),
    ),
    "bulk_in_hand": (
        "what has ended by its claim is left as it is",
        lambda: [patch.object(ledger_bulk, "_IN_HAND", frozenset(State))],
    ),
    "bulk_idle": (
        "no batch goes through a pay system that pays nothing",
        lambda: [patch.object(bulk, "refuse_idle", nothing), patch.object(lane, "refuse_known_idle", nothing)],
    ),
    "bulk_silent": ("who is met with silence twice is asked no more in this run", lambda: _for_ever(Unknown)),
    "bulk_rounds": ("who is refused again and again is asked no more in this run", lambda: _for_ever(Refused)),
    "bulk_stop": (
        "a run that is told to end sends nothing more",
        lambda: [patch.object(Lane, "_refusals", lambda self, sends: {})],
    ),
    "bulk_account": (
        "what no lane has told of is told in the end",
        lambda: [patch.object(bulk, "_account", nothing)],
    ),
}
