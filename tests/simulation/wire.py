"""Between us and the portal: requests are late, lost, refused or answered with nonsense, and answers come from a replica."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from airflow_b24.bitrix.errors import BitrixError
from airflow_b24.bitrix.protocol import BATCH, Lost, Request, Response, read, read_envelope
from airflow_b24.sandbox.wire import RestError
from tests.simulation.batches import DEADLINE_S, Batch
from tests.simulation.history import Left, PartialLeft, Read
from tests.simulation.portal import Portal
from tests.simulation.sides import GETS, HISTORY, PAYS, asked_for, is_partial
from tests.simulation.worlds import Faults

SERVER_RUN_S = 120.0

PAY_FATES = (
    "not_sent",
    "refused",
    "blocked",
    "expired",
    "lost_before",
    "lost_after",
    "late",
    "error_before",
    "error_after",
)
PAY_WEIGHTS = (2, 3, 1, 1, 4, 6, 6, 2, 3)
READ_FATES = ("not_sent", "refused", "expired", "lost_before", "slow", "error_before")
READ_WEIGHTS = (2, 3, 1, 4, 5, 3)
REFUSALS: dict[str, tuple[int, dict[str, str]]] = {
    "refused": (503, {"error": "QUERY_LIMIT_EXCEEDED", "error_description": "Too many requests"}),
    "blocked": (429, {"error": "OPERATION_TIME_LIMIT", "error_description": "Method is blocked"}),
    "expired": (401, {"error": "expired_token", "error_description": "The access token provided has expired."}),
    "error_before": (500, {"error": "INTERNAL_SERVER_ERROR", "error_description": ""}),
    "error_after": (502, {"error": "ERROR_UNEXPECTED_ANSWER", "error_description": ""}),
}


class Crash(BaseException):
    """The process of a step that is no attempt is gone."""


class Wire:
    """One world's network."""

    def __init__(self, portal: Portal, rng: Random, faults: Faults) -> None:
        self.portal = portal
        self.timeline = portal.timeline
        self.entries = portal.history.entries
        self.rng = rng
        self.faults = faults
        # What goes in no batch here; what becomes of nearly all of them; whether lists take a short cut; how many batches
        # that pay have left.
        self.alone: tuple[str, ...] = ()
        self.shut = ""
        self.fast = True
        self.batches = 0

    def latency(self) -> float:
        return 0.02 + 0.3 * self.rng.random()

    def lag(self) -> float:
        """How far behind the replica is that answers now."""
        faults = self.faults
        return faults.lag_s * self.rng.random() if faults.lag_s and self.rng.random() < 0.5 else 0.0

    def spoilt(self) -> bool:
        rate = self.faults.rate
        return rate > 0 and self.rng.random() < rate

    def send(self, request: Request, who: Any, reply: Callable[[Response | BitrixError], None]) -> None:
        """Send one request of an attempt; `reply` is called with what comes of it, if anything ever does."""
        if request.method == BATCH:
            Batch(self, request, who, reply).send()
        elif request.method in PAYS:
            self._send_pay(request, who, reply)
        else:
            self._send_read(request, who, reply)

    def _send_pay(self, request: Request, who: Any, reply: Callable[[Any], None]) -> None:
        now = self.timeline.now
        if request.send_before is not None and now >= request.send_before:
            return reply(read(request, Lost("expired_window", "it was too late to send")))
        fate = self._pay_fate() if self.spoilt() else "ok"
        if fate == "not_sent":
            self.timeline.after(self.latency(), reply, read(request, Lost("not_sent", "no connection")))
            return None
        # Frozen between the last look at the clock and the first byte: no client can help that.
        left_at = now + (who.zombie_s or 0.0)
        who.zombie_s = None
        self.timeline.at(left_at, self._leave, request, who, fate, reply)
        return None

    def _pay_fate(self) -> str:
        if self.faults.late and self.rng.random() < self.faults.late:
            return "late"
        return self.rng.choices(PAY_FATES, PAY_WEIGHTS)[0]

    def _leave(self, request: Request, who: Any, fate: str, reply: Callable[[Any], None]) -> None:
        left_at, timeline = self.timeline.now, self.timeline
        who.sent.add(who.fence)
        window = request.send_before if request.send_before is not None else float("inf")
        key = asked_for(PAYS, request.method, request.arguments)
        leaves = PartialLeft if is_partial(request.arguments) else Left
        self.entries.append(leaves(left_at, who.number, who.settlement, key, who.fence, window))
        context = (left_at, window)
        patience = self.patience()
        gone = read(request, Lost("lost", "the connection was cut")) if fate[:4] in {"lost", "late"} else None
        match fate:
            case "refused" | "blocked" | "expired" | "error_before":
                timeline.after(self.latency(), reply, self._refusal(request, fate))
            case "lost_before":
                timeline.after(patience, reply, gone)
            case "lost_after":
                timeline.after(self.latency(), self._execute, request, who, context, None)
                timeline.after(patience, reply, gone)
            case "late":
                timeline.after(self.late(), self._execute, request, who, context, None)
                timeline.after(patience, reply, gone)
            case "error_after":
                answer = self._refusal(request, fate)
                timeline.after(self.latency(), self._execute, request, who, context, lambda _: reply(answer))
            case _:
                timeline.after(self.latency(), self._execute, request, who, context, reply)

    def patience(self) -> float:
        """How long somebody waits for an answer that does not come."""
        return DEADLINE_S if self.rng.random() < 0.5 else DEADLINE_S * self.rng.random()

    def late(self, takes_s: float = 0.0) -> float:
        """When a request begins to run that is late, and takes so long itself."""
        longest = DEADLINE_S + SERVER_RUN_S - self.faults.lag_s - 1.0 - takes_s
        # As often as not at the very end of what is possible.
        return longest - 3 * self.rng.random() if self.rng.random() < 0.4 else longest * self.rng.random()

    def _execute(
        self, request: Request, who: Any, context: tuple[float, float], reply: Callable[[Any], None] | None
    ) -> None:
        left_at, send_before = context
        unpaid = self.faults.unpaid > 0 and self.rng.random() < self.faults.unpaid
        ids = {"attempt": who.number, "settlement": who.settlement, "fence": who.fence}
        outcome: Response | BitrixError
        try:
            sent = {"left_at": left_at, "send_before": send_before, "unpaid": unpaid}
            does = self.portal.show_partial if is_partial(request.arguments) else self.portal.pay
            told = does(request.method, request.arguments, **ids, **sent)
            outcome = Response(told)
        except RestError as error:
            outcome = read_envelope(request, error.document(), status=error.status)
        if reply is not None:
            self.timeline.after(self.latency(), reply, outcome)

    def _refusal(self, request: Request, fate: str) -> BitrixError:
        status, body = REFUSALS[fate]
        outcome = read_envelope(request, body, status=status)
        assert isinstance(outcome, BitrixError)
        return outcome

    def _send_read(self, request: Request, who: Any, reply: Callable[[Any], None]) -> None:
        fate = self.rng.choices(READ_FATES, READ_WEIGHTS)[0] if self.spoilt() else "ok"
        if who.fence in who.sent and self.rng.random() < self.faults.dark:
            # What swallows a pay's answer often swallows the next ones.
            fate = "lost_before"
        if fate in {"ok", "slow"}:
            there = self.latency() if fate == "ok" else 20.0 * self.rng.random()
            self.timeline.after(there, self._serve, request, who, fate, self.timeline.now, reply)
        elif fate == "not_sent":
            self.timeline.after(self.latency(), reply, read(request, Lost("not_sent", "no connection")))
        elif fate == "lost_before":
            wait = DEADLINE_S if self.rng.random() < 0.5 else self.latency()
            self.timeline.after(wait, reply, read(request, Lost("lost", "the connection was cut")))
        else:
            self.timeline.after(self.latency(), reply, self._refusal(request, fate))

    def _serve(self, request: Request, who: Any, fate: str, began: float, reply: Callable[[Any], None]) -> None:
        outcome, of, paid = self._answer(request)
        back = self.latency() if fate == "ok" else 20.0 * self.rng.random()
        if paid is not None:
            at = self.timeline.now + back
            key = asked_for(GETS, request.method, request.arguments)
            self.timeline.at(at, self._arrive, Read(at, who.name, key, began, of, paid), reply, outcome)
        else:
            self.timeline.after(back, reply, outcome)

    def _arrive(self, entry: Read, reply: Callable[[Any], None], outcome: Any) -> None:
        self.entries.append(entry)
        reply(outcome)

    def _answer(self, request: Request) -> tuple[Response | BitrixError, float, bool | None]:
        """What comes back, of which moment it is, and whether it shows an invoice paid."""
        of = self.timeline.now - self.lag()
        if request.method in GETS:
            version = self.portal.shows(asked_for(GETS, request.method, request.arguments), of)
            if version is not None:
                return Response(version.answer), of, version.truth.paid
        try:
            if request.method == HISTORY:
                return Response(self.portal.stage_history(request.arguments, of).value), of, None
            result = self.portal.call(request.method, request.arguments)
        except RestError as error:
            return read_envelope(request, error.document(), status=error.status), of, None
        return Response(result.value, result.next, result.total), of, None
