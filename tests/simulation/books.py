"""The ledger in dictionaries: the same rules as the SQL one, for runs by the million. A differential test keeps them equal.

Every function here stands in for the one of the same name in `airflow_b24.ledger`; see `facades`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_b24.ledger.allocations import Part, Promise
from airflow_b24.ledger.errors import InvariantError
from airflow_b24.ledger.facts import Decision, Row, Sibling
from airflow_b24.ledger.plain import Plain
from airflow_b24.ledger.settlement import Patience, applied
from airflow_b24.ledger.settlements import COPIED
from airflow_b24.ledger.states import TRANSITIONS, State
from tests.simulation.history import History, Moved
from tests.simulation.sqlite_books import WATCHED, changed

if TYPE_CHECKING:
    from tests.simulation.simulating import Simulation

Table = dict[int, dict[str, Any]]
CLAIMABLE = frozenset({"ready", "sending", "unknown"})
LIVE_PATHS = TRANSITIONS
NEW = {
    "allocated": 0,
    "fence": 0,
    "attempts": 0,
    "sends": 0,
    "in_flight": False,
    "answered": False,
    "hold": None,
    "how": None,
    "reason": None,
    "pay_system": "",
    "identity": None,
    "snapshot": None,
    "evidence": None,
    "quiet_until": None,
}
SIBLING = tuple(Sibling.__dataclass_fields__.keys() - {"state"})


class Books:
    """All tables of one ledger, and the transaction that is open on them."""

    fast = True
    portal_id = 1

    def open(self, simulation: Simulation) -> Books:
        """Begin empty, in the simulation's time."""
        self.simulation = simulation
        self.settlement: Table = {}
        self.payment: Table = {}
        self.allocation: list[dict[str, Any]] = []
        self.raw: dict[tuple[str, str, int], dict[str, Any]] = {}
        self.outcome: list[dict[str, Any]] = []
        self.case: list[dict[str, Any]] = []
        self.event: list[dict[str, Any]] = []
        self.cursor: dict[str, Any] = {}
        self.last_seq: dict[int, int] = {}
        self._pending: dict[int, str | None] = {}
        self._money: list[tuple[int, str, int]] = []
        self._undo: list[Any] | None = None
        return self

    # What the simulation asks

    def settlements(self) -> list[dict[str, Any]]:
        return list(self.settlement.values())

    def payments(self) -> list[dict[str, Any]]:
        return list(self.payment.values())

    def cases(self) -> list[dict[str, Any]]:
        return self.case

    def last_rows(self, history: History) -> None:
        history.settlements, history.payments = self.settlements(), self.payments()
        history.allocations, history.raws = self.allocation, list(self.raw.values())
        history.outcomes, history.cases, history.events = self.outcome, self.case, self.event

    # Transactions

    @property
    def now(self) -> datetime:
        return self.simulation.ledger_now()

    @contextmanager
    def transaction(self) -> Iterator[Books]:
        yield self
        self._commit()

    @contextmanager
    def snapshot(self) -> Iterator[Books]:
        yield self

    def _commit(self) -> None:
        if not self._pending and not self._money:
            return
        simulation = self.simulation
        now, actor, entries = simulation.timeline.now, simulation.actor, simulation.entries
        for settlement, key, amount in self._money:
            entries.append(Moved(now, actor, settlement, key.removeprefix("id:"), amount))
        changes = []
        for settlement_id, before in self._pending.items():
            row = self.settlement[settlement_id]
            changes.append(changed(now, actor, before, tuple(row[name] for name in WATCHED), simulation.seconds))
        entries += changes
        self._pending.clear()
        self._money.clear()
        for each in changes:
            if each.before != each.after:
                simulation.happened(each.after)

    def set(self, row: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change a settlement's row, and note it when something that matters changed."""
        if any(row[name] != value for name, value in changes.items() if name in WATCHED_NAMES):
            self._pending.setdefault(row["id"], row["state"])
        if self._undo is not None:
            self._undo.append((row, {name: row[name] for name in changes}))
        row.update(changes)
        row["updated_at"] = self.now
        return row

    def append(
        self, settlement_id: int, what: str, state: str, fence: int, evidence: Mapping[str, Any] | None = None
    ) -> None:
        """One more event in the settlement's story."""
        seq = self.last_seq[settlement_id] = self.last_seq.get(settlement_id, 0) + 1
        self.event.append(
            {"settlement_id": settlement_id, "seq": seq, "at": self.now, "what": what, "state": state, "fence": fence}
        )

    # settlements

    def locked(self, settlement_id: int) -> dict[str, Any]:
        row = self.settlement.get(settlement_id)
        if row is None:
            raise InvariantError(f"settlement_id={settlement_id} is not in this ledger")
        return row

    def claim(self, settlement_id: int) -> Row:
        found = self.locked(settlement_id)
        if found["state"] not in CLAIMABLE:
            return self.row_of(found)
        state = State.READY if found["state"] == State.READY else State.UNKNOWN
        self.set(found, {"fence": found["fence"] + 1, "attempts": found["attempts"] + 1, "state": state})
        self.append(settlement_id, "claimed", state, found["fence"])
        self._commit()
        return self.row_of(found)

    def look(self, settlement_id: int) -> Row:
        return self.row_of(self.locked(settlement_id))

    def move(self, row: Row, decision: Decision, patience: Patience, pay_system: str) -> Row | None:
        if decision.state not in TRANSITIONS[row.state]:
            raise InvariantError(f"settlement {row.id}: {row.state} -> {decision.state} is not in the table")
        found = self.locked(row.id)
        sending = decision.state is State.SENDING
        mine = found["fence"] == row.fence and found["state"] == row.state and not (sending and self.is_held(found))
        self.append(row.id, decision.state if mine else "observed", found["state"], row.fence)
        if not mine:
            return None
        if decision.state is State.PAID and found["hold"]:
            self.open_case(row.id, found["hold"])
        evidence = {"reason": decision.reason, "how": decision.how, **(decision.evidence or {})}
        changes = applied(row, decision) | {"evidence": evidence}
        if sending:
            quiet_until = self.now + timedelta(seconds=patience.quiet_s)
            changes |= {"quiet_until": quiet_until, "pay_system": pay_system}
        self.set(found, changes)
        self._commit()
        return self.row_of(found)

    def is_held(self, found: dict[str, Any]) -> bool:
        return bool(found["hold"])

    def record_of(self, portal_id: int, pay_system: str, last: int) -> list[bool]:
        lately = self.now - timedelta(days=1)
        rows = [
            row
            for row in self.settlement.values()
            if row["pay_system"] == pay_system
            and (
                (row["state"] == "paid" and row["how"] == "sent")
                or (row["state"] == "review" and row["reason"] == "true_but_unpaid")
            )
            and row["quiet_until"] is not None
            and row["quiet_until"] > lately
        ]
        rows.sort(key=lambda row: (row["quiet_until"], row["id"]), reverse=True)
        return [row["state"] == "paid" for row in rows[:last]]

    def live(self, portal_id: int, kind: str, invoice_id: int) -> int | None:
        found = [
            row["id"]
            for row in self.settlement.values()
            if row["invoice_id"] == invoice_id and row["state"] != "released"
        ]
        return found[0] if found else None

    def live_invoices(self, portal_id: int) -> set[tuple[str, int]]:
        return {("legacy", row["invoice_id"]) for row in self.settlement.values() if row["state"] != "released"}

    def due(self, portal_id: int, limit: int, *, begun: bool = False) -> list[dict[str, int]]:
        now = self.now
        found = [row for row in self.settlement.values() if self._is_due(row, now, begun)]
        found.sort(key=lambda row: (row["attempts"], row["id"]))
        return [{"invoice_id": row["invoice_id"], "settlement_id": row["id"]} for row in found[:limit]]

    def _is_due(self, row: dict[str, Any], now: datetime, begun: bool) -> bool:
        quiet = row["state"] in {"sending", "unknown"} and row["quiet_until"] <= now
        return quiet if begun else row["origin"] == "match" and (quiet or row["state"] == "ready")

    def ended_since(self, portal_id: int, ago: timedelta) -> list[Row]:
        lately = self.now - ago
        in_trouble = {each["settlement_id"] for each in self.case if each["closed_at"] is None}
        return [
            self.row_of(row)
            for row in self.settlement.values()
            if row["state"] in {"review", "collecting"}
            or (row["state"] in {"paid", "released"} and (row["updated_at"] > lately or row["id"] in in_trouble))
        ]

    def hold_for_payment(self, payment_id: int, why: str) -> None:
        for each in self.allocation:
            if each["payment_id"] != payment_id:
                continue
            row = self.settlement[each["settlement_id"]]
            if row["state"] == "paid":
                self.open_case(row["id"], why)
            elif row["state"] != "released":
                self.set(row, {"hold": why})

    def row_of(self, found: dict[str, Any]) -> Row:
        mine = [self.payment[each["payment_id"]] for each in self.allocation if each["settlement_id"] == found["id"]]
        return Row(
            **{name: found[name] for name in COPIED},
            quiet_until=found["quiet_until"],
            booked_on=max((each["booked_on"] for each in mine), default=None),
            document_number=mine[0]["document_number"] if len(mine) == 1 else "",
            siblings=self._siblings(found["id"]),
            state=State(found["state"]),
            claimed_at=self.now,
        )

    def _siblings(self, settlement_id: int) -> tuple[Sibling, ...]:
        if len(self.settlement) < 2:
            return ()
        mine = {each["payment_id"] for each in self.allocation if each["settlement_id"] == settlement_id}
        theirs = {
            each["settlement_id"]
            for each in self.allocation
            if each["payment_id"] in mine and each["settlement_id"] != settlement_id
        }
        rows = (self.settlement[each] for each in sorted(theirs))
        return tuple(
            Sibling(**{name: row[name] for name in SIBLING}, state=State(row["state"]))
            for row in rows
            if row["state"] != "released"
        )

    # plain

    def open_plain(self, plain: Plain) -> int:
        known = self.live(plain.portal_id, plain.kind, plain.invoice_id)
        if known is not None:
            return known
        row = self.add(plain.invoice_id, plain.invoice_number, plain.expected, plain.currency, plain.exponent)
        row |= {"origin": "manual", "state": State.READY}
        self.append(row["id"], "asked", State.READY, 0)
        self._commit()
        return row["id"]  # type: ignore[no-any-return]

    def reopen_plain(self, row: Row, expected: int, currency: str, exponent: int) -> None:
        found = self.locked(row.id)
        safe = found["origin"] == "manual" and found["state"] == "review" and not found["in_flight"]
        if not safe or found["fence"] != row.fence:
            return
        changes = {"state": State.READY, "reason": None, "expected": expected, "currency": currency}
        self.set(found, {**changes, "exponent": exponent})
        self.append(row.id, "asked again", State.READY, row.fence)
        self._commit()

    def add(self, invoice_id: int, number: str, expected: int, currency: str, exponent: int) -> dict[str, Any]:
        """A new settlement, noted as such."""
        now, new = self.now, len(self.settlement) + 1
        fixed = {"id": new, "portal_id": 1, "kind": "legacy", "invoice_id": invoice_id, "invoice_number": number}
        money = {"expected": expected, "currency": currency, "exponent": exponent}
        self.settlement[new] = row = {**NEW, **fixed, **money, "created_at": now, "updated_at": now}
        self._pending[new] = None
        return row

    # cases

    def open_case(self, settlement_id: int, kind: str, evidence: Any = None) -> None:
        if not self.is_open(settlement_id, kind):
            new = {"id": len(self.case) + 1, "settlement_id": settlement_id, "kind": kind}
            self.case.append({**new, "opened_at": self.now, "closed_at": None})

    def is_open(self, settlement_id: int, kind: str) -> bool:
        return any(self._open(each, settlement_id, kind) for each in self.case)

    def _open(self, each: dict[str, Any], settlement_id: int, kind: str | None) -> bool:
        mine = each["settlement_id"] == settlement_id and each["closed_at"] is None
        return mine and (kind is None or each["kind"] == kind)

    def close(self, settlement_id: int, kind: str | None = None) -> None:
        for each in self.case:
            if self._open(each, settlement_id, kind):
                each["closed_at"] = self.now

    def close_one(self, case_id: int) -> bool:
        each = self.case[case_id - 1]
        was_open = each["closed_at"] is None
        if was_open:
            each["closed_at"] = self.now
        return was_open


WATCHED_NAMES = frozenset(WATCHED)
__all__ = ["Books", "Part", "Promise"]
