"""A batch in virtual time: its commands run one after the other, others act in between, and it is lost as a whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from airflow_b24.bitrix.errors import RefusedError
from airflow_b24.bitrix.protocol import Lost, Request, Response, read, read_envelope
from airflow_b24.sandbox import batch as sandbox_batch
from airflow_b24.sandbox.batch import Command, Outcomes
from airflow_b24.sandbox.wire import RestError
from tests.simulation.history import Key, Left, Read
from tests.simulation.sides import HISTORY, LISTS, PAYS, asked_for
from tests.simulation.spoiling import (
    NOT_BEGUN,
    NOTHING_RUNS,
    OF_READS,
    OF_WRITES,
    PAY_RUN_S,
    REFUSALS,
    UNCLEAR,
    UNTOLD,
    Course,
    course,
    step_of,
)

if TYPE_CHECKING:
    from tests.simulation.wire import Wire

# What the product promises to wait for: no request runs later than the client's deadline and the longest server run.
DEADLINE_S = 60.0


@lru_cache(maxsize=50_000)
def _command(key: str, text: str) -> Command:
    """Read a command, each text but once: commands are never changed."""
    return sandbox_batch.commands({"cmd": {key: text}})[0]


def _commands(request: Request) -> list[Command]:
    sent: Any = request.arguments["cmd"]
    return [_command(key, text) for key, text in sent.items()]


@dataclass(slots=True)
class Batch:
    """One request on its way. `who` sends it, and says in `rows` of which settlement, under which fence, each pay is."""

    wire: Wire
    request: Request
    who: Any
    reply: Callable[[Any], None]
    fate: str = "ok"
    number: int = 0
    rows: Mapping[Key, Any] = field(default_factory=dict)
    commands: list[Command] = field(default_factory=list)
    pays: list[Key] = field(default_factory=list)
    # What comes of it, and who was shown what by it.
    outcomes: Outcomes = field(default_factory=Outcomes)
    reads: list[Read] = field(default_factory=list)
    left_at: float = 0.0
    again: bool = False
    lag_s: float = 0.0
    course: Course = NOT_BEGUN
    is_told: bool = False

    def send(self) -> None:
        """Look at the clock a last time, and let it leave."""
        timeline, request = self.wire.timeline, self.request
        self.commands = _commands(request)
        self.pays = [asked_for(PAYS, each.method, each.arguments) for each in self.commands if each.method in PAYS]
        self.fate = self._fate()
        if request.send_before is not None and timeline.now >= request.send_before:
            self._tell(read(request, Lost("expired_window", "it was too late to send")))
        elif self.fate == "not_sent":
            timeline.after(self.wire.latency(), self._tell, read(request, Lost("not_sent", "no connection")))
        else:
            # One that goes astray is still of the settlement in whose place it stands.
            rows = self.who.rows
            self.rows = {key: rows.get(key, each) for key, each in zip(self.pays, rows.values(), strict=True)}
            frozen_s = 0.0
            if self.pays:
                # Frozen between the last look at the clock and the first byte: no client can help that.
                frozen_s, self.who.zombie_s = self.who.zombie_s or 0.0, None
            timeline.after(frozen_s, self._leave)

    def _fate(self) -> str:
        wire, rng = self.wire, self.wire.rng
        if not self.pays and self.who.is_dark and rng.random() < wire.faults.dark:
            return "lost_before"
        if wire.shut and wire.faults.rate and rng.random() < 0.95:
            return wire.shut
        if not wire.spoilt():
            return "ok"
        if self.pays and wire.faults.late and rng.random() < wire.faults.late:
            return "late"
        fates = OF_WRITES if self.pays else OF_READS
        return rng.choices(list(fates), list(fates.values()))[0]

    def _leave(self) -> None:
        wire, timeline = self.wire, self.wire.timeline
        self.left_at = timeline.now
        self._note_pays()
        step_s = step_of(wire.rng, self.fate, len(self.commands))
        self.lag_s = wire.lag()
        self.course = course(wire.rng, self.fate, self.commands, step_s)
        if self.fate in UNTOLD:
            timeline.after(wire.patience(), self._tell, read(self.request, Lost("lost", "the connection was cut")))
        elif self.fate == "slow":
            timeline.after(DEADLINE_S, self._tell, read(self.request, Lost("lost", "the deadline is over")))
        if self.fate in NOTHING_RUNS:
            if self.fate != "lost_before":
                timeline.after(wire.latency(), self._tell, self._refusal())
            return
        begins = wire.late(self._takes_s(step_s)) if self.fate == "late" else wire.latency()
        timeline.after(begins, self._run, 0)
        if self.fate == "twice":
            timeline.after(begins + 10 * wire.rng.random(), self._copy()._run, 0)

    def _takes_s(self, step_s: float) -> float:
        """How long it runs, but for what is waited for it beyond a single call."""
        count = len(self.pays)
        return count * step_s - (count - 1) * PAY_RUN_S

    def _note_pays(self) -> None:
        window = self.request.send_before if self.request.send_before is not None else float("inf")
        if self.pays:
            self.wire.batches += 1
            self.number = self.wire.batches
        for key in self.pays:
            row = self.rows[key]
            self.who.sent.add((row.id, row.fence))
            self.wire.entries.append(Left(self.left_at, self.who.number, row.id, key, row.fence, window, self.number))

    def _copy(self) -> Batch:
        """The same once more; whatever is answered to it reaches nobody."""
        return replace(self, again=True, outcomes=Outcomes(), reads=[], is_told=True)

    def _refusal(self) -> Any:
        status, code = REFUSALS[self.fate]
        if self.fate == "expired" and self.request.send_before is not None and self.wire.rng.random() < 0.5:
            # An application's token, which the next request renews.
            return RefusedError(code, "", status=status, method=self.request.method)
        return read_envelope(self.request, {"error": code, "error_description": ""}, status=status)

    # On the portal

    def _run(self, place: int) -> None:
        """Run one command, and the next one a moment later."""
        if place in {self.course.early, self.course.run}:
            self._answer()
        if place == self.course.run:
            return
        command, spoilt = self.commands[place], self.course.spoilt
        refused, shown = spoilt.get(place), len(self.reads)
        try:
            value = self._execute(command, refused)
        except RestError as error:
            self.outcomes.error[command.key] = error.document()
        else:
            self.outcomes.result[command.key] = value
        if place in spoilt:
            # Whoever reads the answer is not told what it would have shown.
            self.outcomes.result.pop(command.key, None)
            del self.reads[shown:]
            if refused is None:
                self.outcomes.error.pop(command.key, None)
        self.wire.timeline.after(self.course.step_s, self._run, place + 1)

    def _execute(self, command: Command, refused: RestError | None) -> object:
        wire = self.wire
        is_pay = command.method in PAYS
        if is_pay and PAYS[command.method][0] in wire.alone:
            raise sandbox_batch.not_allowed()
        if refused is not None and (refused is not UNCLEAR or wire.rng.random() < 0.5):
            raise refused
        value = self._pay(command) if is_pay else self._list(command)
        if refused is not None:
            raise refused
        return value

    def _pay(self, command: Command) -> object:
        wire, key = self.wire, asked_for(PAYS, command.method, command.arguments)
        row = self.rows[key]
        unpaid = wire.faults.unpaid > 0 and wire.rng.random() < wire.faults.unpaid
        window = self.request.send_before if self.request.send_before is not None else float("inf")
        return wire.portal.pay(
            command.method,
            command.arguments,
            attempt=self.who.number,
            settlement=row.id,
            fence=row.fence,
            left_at=self.left_at,
            send_before=window,
            unpaid=unpaid,
            batch=self.number,
            again=self.again,
        )

    def _list(self, command: Command) -> object:
        """One server answers all of a batch, however old that is what it shows."""
        portal, of = self.wire.portal, self.wire.timeline.now - self.lag_s
        if command.method == HISTORY:
            return portal.stage_history(command.arguments, of).value
        kind, name = LISTS[command.method]
        ids: Any = command.arguments["filter"][f"@{name}"]  # type: ignore[index,call-overload]
        found = (portal.shows((kind, each), of) for each in sorted(map(int, ids)))
        versions = [each for each in found if each is not None]
        self.reads += [
            Read(0.0, self.who.name, each.truth.invoice, self.left_at, of, each.truth.paid) for each in versions
        ]
        if not self.wire.fast and not self.lag_s:
            return portal.call(command.method, command.arguments).value
        rows = [each.row for each in versions]
        return rows if kind == "legacy" else {"items": rows}

    # Back to us

    def _answer(self) -> None:
        if self.fate not in UNTOLD:
            outcome = self._refusal() if self.fate == "error_after" else Response(self.outcomes.document())
            reads = list(self.reads) if isinstance(outcome, Response) else []
            self.wire.timeline.after(self.wire.latency(), self._tell, outcome, reads)

    def _tell(self, outcome: Any, reads: Sequence[Read] = ()) -> None:
        if self.is_told:
            return
        self.is_told = True
        self.wire.entries.extend(each._replace(at=self.wire.timeline.now) for each in reads)
        self.reply(outcome)
