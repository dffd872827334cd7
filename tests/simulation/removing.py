"""How each guard is taken away: a wrapper around the ledger, the decisions, the driver or the matching."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from airflow_b24.bitrix import smart_invoice
from airflow_b24.bitrix.invoice import InvoiceKey
from airflow_b24.bitrix.legacy_invoice import PayInvoice
from airflow_b24.ledger import bulk, decide, settlement
from airflow_b24.ledger.facts import Answered, Decision, Row, Seen
from airflow_b24.ledger.moves import Move
from airflow_b24.ledger.settlement import Claim, Commit, Committed, Exchange, Exchanged, Patience
from airflow_b24.ledger.states import State
from airflow_b24.payments import matching as payments_matching
from airflow_b24.payments import payable
from airflow_b24.payments.matching import Proven, Unproven
from airflow_b24.reconcile import sweeping
from airflow_b24.reconcile.paying import ByStage
from airflow_b24.sandbox import seed as portal_seed
from tests.simulation import attempts, books_of_settlements, simulating
from tests.simulation.attempts import Attempt
from tests.simulation.books_of_money import DictBooks

FAR = 1e9
Patches = Callable[[], Sequence[Any]]
before_sending, after_sending, reviewed = decide.before_sending, decide.after_sending, decide.reviewed


def committing(change: Callable[[DictBooks, Row], Row]) -> Any:
    real = DictBooks.move_all

    def move_all(self: DictBooks, moves: Sequence[Move], patience: Patience) -> list[Row | None]:
        return real(self, [replace(each, row=change(self, each.row)) for each in moves], patience)

    return patch.object(DictBooks, "move_all", move_all)


def any_way() -> Any:
    """The table of transitions is a guard of its own."""
    return patch.object(books_of_settlements, "may_follow", lambda before, after: True)


def before(decides: Callable[..., Decision]) -> Sequence[Any]:
    """One by one and in bulk it is decided by the same rules."""
    return [patch.object(module, "before_sending", decides) for module in (settlement, bulk)]


def after(decides: Callable[..., Decision]) -> Sequence[Any]:
    return [patch.object(module, "after_sending", decides) for module in (settlement, bulk)]


def deciding_before(change: Callable[[Row, Seen], Row]) -> Sequence[Any]:
    """Decide on a row that does not know what the guard looks at, at every place where a read decides."""

    def decides(row: Row, seen: Seen, now: Any, beside: Any = None) -> Decision:
        return before_sending(change(row, seen), seen, now, beside)

    def reviews(row: Row, seen: Seen, beside: Any = None) -> Decision | None:
        return reviewed(change(row, seen), seen, beside)

    return [*before(decides), patch.object(sweeping, "reviewed", reviews)]


def deciding_after(change: Callable[[Row, Any], Row]) -> Sequence[Any]:
    def decides(row: Row, answer: Any, seen: Any) -> Decision:
        return after_sending(change(row, seen), answer, seen)

    return after(decides)


def any_amount(row: Row, seen: Any) -> Row:
    if not isinstance(seen, Seen) or seen.amount is None:
        return row
    return replace(row, expected=seen.amount, currency=seen.currency)


def true_is_proof(row: Row, answer: Any, seen: Any) -> Decision:
    if isinstance(answer, Answered):
        return Decision(State.PAID, how="sent", in_flight=False)
    return after_sending(row, answer, seen)


def any_paid_is_ours(row: Row, seen: Seen, now: Any, beside: Any = None) -> Decision:
    if row.state is State.READY and seen.paid:
        return Decision(State.PAID, how="sent", in_flight=False)
    return before_sending(row, seen, now, beside)


def patience(**changes: Any) -> Sequence[Any]:
    return [patch.object(simulating, "PATIENCE", replace(simulating.PATIENCE, **changes))]


class Hasty(Patience):
    """Nobody waits until an earlier call cannot land any more."""

    quiet_s = 0.0  # type: ignore[assignment]

    def quiet_after(self, pays: int) -> float:
        return 0.0


def no_window() -> Sequence[Any]:
    real = attempts.exchange
    return [
        patch.object(
            attempts, "exchange", lambda pays, reads, send_before=None: real(pays, reads, (pays and FAR) or None)
        )
    ]


def read_first() -> Sequence[Any]:
    """The read that decides is taken before the claim."""
    in_the_ledger, exchange, exchanged = Attempt._in_the_ledger, Attempt._exchange, Attempt._exchanged

    def claims(self: Attempt, effect: Any, asked_at: float) -> None:
        if isinstance(effect, Claim):
            self.claiming = (effect, asked_at)  # type: ignore[attr-defined]
            row = self.simulation.store.look(effect.settlement_id)
            return exchange(self, Exchange(row, pay=False), asked_at)
        return in_the_ledger(self, effect, asked_at)

    def told(self: Attempt, got: Any) -> None:
        claiming = self.__dict__.pop("claiming", None)
        if claiming is None:
            return exchanged(self, got)
        effect, began = self.told
        read = attempts.fact(got.reads.get(effect.row.key))
        self.early = Exchanged(None, read, began)  # type: ignore[attr-defined]
        return in_the_ledger(self, *claiming)

    def uses(self: Attempt, effect: Exchange, asked_at: float) -> None:
        early = self.__dict__.pop("early", None)
        if early is None or effect.pay or effect.beside:
            return exchange(self, effect, asked_at)
        self.fence = effect.row.fence
        return self.step(early)

    return [
        patch.object(Attempt, "_in_the_ledger", claims),
        patch.object(Attempt, "_exchanged", told),
        patch.object(Attempt, "_exchange", uses),
    ]


def no_intent() -> Sequence[Any]:
    """Nothing is written down before the first byte leaves."""
    real = Attempt._in_the_ledger

    def commits(self: Attempt, effect: Any, asked_at: float) -> None:
        if isinstance(effect, Commit) and effect.decision.state is State.SENDING:
            marks = (effect.decision.evidence or {}).get("marks")
            sent = {"sends": effect.row.sends + 1, "pay_system": self.way.through(marks), "snapshot": marks}
            row = replace(effect.row, state=State.SENDING, in_flight=True, **sent)
            return self.step(Committed(row, send_before=asked_at + 5.0))
        return real(self, effect, asked_at)

    return [patch.object(Attempt, "_in_the_ledger", commits)]


def no_unique() -> Sequence[Any]:
    real = DictBooks.live

    def live(self: DictBooks, *where: Any) -> int | None:
        found = real(self, *where)
        return found if found is not None and self.settlement[found]["state"] == "collecting" else None

    return [patch.object(DictBooks, "live", live)]


def one_is_enough() -> Sequence[Any]:
    real = payments_matching._identify

    def identify(*arguments: Any) -> Any:
        found = real(*arguments)
        proven = isinstance(found, Unproven) and found.reason == "one_identifier"
        return Proven(found.invoices, "number_and_date", found.evidence) if proven else found

    return [patch.object(payments_matching, "_identify", identify)]


def identify_without(reason: str) -> Patches:
    def patches() -> Sequence[Any]:
        real = payments_matching._identify

        def identify(*arguments: Any) -> Any:
            found = real(*arguments)
            proven = isinstance(found, Unproven) and found.reason == reason
            return Proven(found.invoices, "number_and_date", found.evidence) if proven else found

        return [patch.object(payments_matching, "_identify", identify)]

    return patches


def no_case_at_paid() -> Sequence[Any]:
    real_move, real_open = DictBooks.move_all, DictBooks.open_case
    moving: list[int] = []

    def move_all(self: DictBooks, *arguments: Any) -> list[Row | None]:
        moving.append(1)
        try:
            return real_move(self, *arguments)
        finally:
            moving.pop()

    def open_case(self: DictBooks, *arguments: Any) -> None:
        if not moving:
            real_open(self, *arguments)

    return [patch.object(DictBooks, "move_all", move_all), patch.object(DictBooks, "open_case", open_case)]


def take_without(*forgotten: str) -> Patches:
    def patches() -> Sequence[Any]:
        real = DictBooks._take_money

        def take(self: DictBooks, promise: Any) -> None:
            row = self.payment[promise.payment_id]
            kept = {name: row[name] for name in forgotten if name in row}
            row |= {name: {"held": False, "allocated": 0}[name] for name in kept}
            try:
                real(self, promise)
            finally:
                if "held" in kept:
                    row["held"] = kept["held"]
                if "allocated" in kept:
                    row["allocated"] += kept["allocated"]

        return [patch.object(DictBooks, "_take_money", take)]

    return patches


def never_parted(self: DictBooks, portal_id: int) -> Mapping[int, frozenset[tuple[str, int]]]:
    return {}


def nothing(*_: Any, **__: Any) -> None:
    return None


def unavailable_unless_paid() -> Any:
    def unavailable(payment: Any, invoice: Any) -> Any:
        found = payable.unavailable(payment, invoice)
        return None if found and found[0] == "already_paid" else found

    return unavailable


class Astray(PayInvoice):
    """A pay of the legacy invoice that happens to have a smart one's id."""

    @property
    def key(self) -> InvoiceKey:
        return InvoiceKey("smart", self.invoice_id)


def as_a_legacy_one(self: ByStage, row: Row) -> PayInvoice:
    return Astray(row.invoice_id, portal_seed.REST_SYSTEM)


def live_by_id(self: DictBooks, portal_id: int, kind: str, invoice_id: int) -> int | None:
    mine = (row for row in self.settlement.values() if row["invoice_id"] == invoice_id and row["state"] != "released")
    return next((row["id"] for row in mine), None)


def not_told_whose() -> Sequence[Any]:
    """Decide without knowing who moved the invoice, as with a legacy one."""

    def blind(seen: Any) -> Any:
        return replace(seen, paid_by_us=None) if isinstance(seen, Seen) else seen

    def decides(row: Row, seen: Seen, now: Any, beside: Any = None) -> Decision:
        return before_sending(row, blind(seen), now, beside)

    def proves(row: Row, answer: Any, seen: Any) -> Decision:
        return after_sending(row, answer, blind(seen))

    def reviews(row: Row, seen: Seen, beside: Any = None) -> Decision | None:
        return reviewed(row, blind(seen), beside)

    return [
        *before(decides),
        *after(proves),
        patch.object(sweeping, "reviewed", reviews),
    ]


def moved_on_by_anybody() -> Sequence[Any]:
    real = smart_invoice._moved_on

    def moved_on(stages: Any, stage_id: str, moved_by: int | None, we: int | None) -> Any:
        return real(stages, stage_id, None, we)

    return [patch.object(smart_invoice, "_moved_on", moved_on)]
