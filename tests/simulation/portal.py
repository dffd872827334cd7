"""The sandbox's portal in virtual time: its own methods, and what each invoice looked like at every moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from airflow_b24.sandbox import batch as sandbox_batch
from airflow_b24.sandbox.faults import Rule
from airflow_b24.sandbox.listing import Result
from airflow_b24.sandbox.methods import METHODS
from airflow_b24.sandbox.smart_invoice import ENTITY_TYPE
from airflow_b24.sandbox.state import Turn
from tests.simulation import sides
from tests.simulation.history import Answered, Executed, History, Key, PartialMoved, Shown
from tests.simulation.payers import Bill
from tests.simulation.sides import GET_OF, HISTORY, PAYS, STATE, US, asked_for
from tests.simulation.timeline import Timeline

UNPAID = Rule("unpaid")
Row = dict[str, Any]


class Version(NamedTuple):
    """An invoice from one moment on: what the portal answers of it, None when it is not there, and what is true of it."""

    at: float
    answer: Any
    truth: Shown

    @property
    def row(self) -> Row:
        found: Row = self.answer["item"] if self.truth.invoice[0] == "smart" else self.answer
        return found


class Portal:
    """One world's invoices on the shared portal; reads may show them as they were some seconds ago."""

    def __init__(
        self,
        timeline: Timeline,
        history: History,
        begins: datetime,
        happened: Callable[[str], None],
        *,
        kinds: tuple[str, ...] = ("legacy",),
        is_hidden: bool = False,
        also_paid: tuple[str, ...] = (),
    ) -> None:
        self.happened = happened
        self.timeline = timeline
        self.history = history
        self.begins = begins
        self.also_paid = frozenset(also_paid)
        self.versions: dict[Key, list[Version]] = {}
        sides.begin_anew(kinds, is_hidden=is_hidden)

    @property
    def now(self) -> datetime:
        return self.begins + timedelta(seconds=self.timeline.now)

    def born(self, bill: Bill) -> None:
        sides.put(bill)
        self.versions[bill.key] = []
        self._remember(bill.key, "born", "born")

    def shows(self, key: Key, of: float) -> Version | None:
        """What the portal answered of it at that moment, None when it was not there."""
        versions = self.versions.get(key)
        if not versions:
            return None
        found = versions[0]
        for version in reversed(versions):
            if version.at <= of:
                found = version
                break
        return None if found.answer is None else found

    def listed(self, kind: str, of: float) -> list[Version]:
        """All of one kind that were there at that moment, in order of id."""
        found = (self.shows(key, of) for key in sorted(self.versions) if key[0] == kind)
        return [version for version in found if version is not None]

    def call(self, method: str, arguments: Mapping[str, Any]) -> Result:
        """Any method but a pay, as it is now. Raises RestError."""
        if method != "batch":
            return METHODS[method].run(Turn(STATE, US, dict(arguments), self.now))

        def execute(_: int, command: sandbox_batch.Command) -> sandbox_batch.Done:
            found = self.call(command.method, command.arguments)
            return sandbox_batch.Done(found.value, {}, found.total, found.next)

        listed = sandbox_batch.commands(dict(arguments))
        return Result(sandbox_batch.run(listed, sandbox_batch.halts(dict(arguments)), execute).document())

    def pay(
        self,
        method: str,
        arguments: Mapping[str, Any],
        *,
        attempt: int,
        settlement: int,
        fence: int,
        left_at: float,
        send_before: float,
        unpaid: bool,
        batch: int = 0,
        again: bool = False,
    ) -> object:
        """Run our pay now and note what it really did. Raises RestError."""
        key, invoice = asked_for(PAYS, method, arguments), sides.find(asked_for(PAYS, method, arguments))
        before = self.truth(key)
        done, moves = len(invoice.executed_pays) if invoice else 0, len(STATE.stage_history)
        told = METHODS[method].run(Turn(STATE, US, dict(arguments), self.now, UNPAID if unpaid else None)).value
        now, after = self.timeline.now, self.truth(key)
        assert invoice is not None
        if len(invoice.executed_pays) > done:
            moved = key[0] == "legacy" or len(STATE.stage_history) > moves
            who = (attempt, settlement, key, fence, left_at, send_before)
            shows = (before.paid, after.price, after.currency, before.voucher_day, after.voucher_day)
            self.history.entries.append(Executed(now, *who, *shows, moved, batch, again))
            if moved:
                self._remember(key, "us", "pay")
            self.happened("executed")
        self.history.entries.append(Answered(now, attempt, settlement, key, after.paid))
        return told

    def show_partial(
        self,
        method: str,
        arguments: Mapping[str, Any],
        *,
        attempt: int,
        settlement: int,
        fence: int,
        left_at: float,
        send_before: float,
        unpaid: bool,
    ) -> object:
        """Run our move to the stage of parts and note what it really did. Raises RestError."""
        key = asked_for(PAYS, method, arguments)
        before, moves = self.truth(key), len(STATE.stage_history)
        told = METHODS[method].run(Turn(STATE, US, dict(arguments), self.now)).value
        if len(STATE.stage_history) > moves:
            who = (attempt, settlement, key, fence, left_at, send_before)
            self.history.entries.append(PartialMoved(self.timeline.now, *who, before.paid))
            self._remember(key, "us", "partial")
        return told

    def history_of(self, of: float) -> int:
        """How many records the stage history had at that moment."""
        moment = self.begins + timedelta(seconds=of)
        return sum(record.at <= moment for record in STATE.stage_history)

    def stage_history(self, arguments: Mapping[str, Any], of: float) -> Result:
        """What the stage history told at that moment."""
        records = STATE.stage_history
        STATE.stage_history = records[: self.history_of(of)]
        try:
            return METHODS[HISTORY].run(Turn(STATE, US, dict(arguments), self.now))
        finally:
            STATE.stage_history = records

    def truth(self, key: Key) -> Shown:
        """What is true of it now."""
        return sides.shown(self.timeline.now, "", "", key, self.also_paid)

    def edit(self, key: Key, what: str, document: Mapping[str, Any], now: datetime | None = None) -> None:
        """What a person does on the invoice's page."""
        if sides.find(key) is None:
            return
        sides.edit(key, document, now or self.now)
        self._remember(key, "person", what)

    def delete(self, key: Key) -> None:
        if sides.table(key[0]).pop(key[1], None) is not None:
            self._remember(key, "person", "delete")

    def _remember(self, key: Key, by: str, what: str) -> None:
        truth = sides.shown(self.timeline.now, by, what, key, self.also_paid)
        answer: Any = None
        if not truth.gone:
            answer = (
                METHODS[GET_OF[key[0]]]
                .run(Turn(STATE, US, {"entityTypeId": ENTITY_TYPE, "id": key[1]}, self.now))
                .value
            )
        self.history.entries.append(truth)
        self.versions[key].append(Version(truth.at, answer, truth))
