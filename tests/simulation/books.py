"""The ledger in dictionaries: the same rules as the SQL one, for runs by the million. A differential test keeps them equal.

Every function here stands in for the one of the same name in `airflow_b24.ledger`; see `facades`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_b24.ledger.errors import InvariantError
from airflow_b24.ledger.outcomes import Outcome
from tests.simulation.history import History, Key, Moved
from tests.simulation.sqlite_books import WATCHED, changed

if TYPE_CHECKING:
    from tests.simulation.simulating import Simulation

Table = dict[int, dict[str, Any]]
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
WATCHED_NAMES = frozenset(WATCHED)


class Books:
    """All tables of one ledger, and the transaction that is open on them."""

    fast = True
    portal_id = 1
    # Transactions follow one another all by themselves: nobody waits for a turn.
    is_sqlite = False

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

    # rows

    def locked(self, settlement_id: int) -> dict[str, Any]:
        row = self.settlement.get(settlement_id)
        if row is None:
            raise InvariantError(f"settlement_id={settlement_id} is not in this ledger")
        return row

    def add(self, key: Key, number: str, expected: int, currency: str, exponent: int) -> dict[str, Any]:
        """A new settlement, noted as such."""
        now, new = self.now, len(self.settlement) + 1
        fixed = {"id": new, "portal_id": 1, "kind": key[0], "invoice_id": key[1], "invoice_number": number}
        money = {"expected": expected, "currency": currency, "exponent": exponent}
        self.settlement[new] = row = {**NEW, **fixed, **money, "created_at": now, "updated_at": now}
        self._pending[new] = None
        return row

    # cases

    def open_case(self, settlement_id: int, kind: str, evidence: Any = None) -> None:
        if not self.is_open(settlement_id, kind):
            new = {"id": len(self.case) + 1, "settlement_id": settlement_id, "kind": kind}
            self.case.append({**new, "opened_at": self.now, "closed_at": None, "dismissed": False})

    def notice(self, settlement_id: int, kind: str, evidence: Any = None) -> None:
        if not self._dismissed(settlement_id, kind):
            self.open_case(settlement_id, kind, evidence)

    def is_noticed(self, settlement_id: int, kind: str) -> bool:
        return self.is_open(settlement_id, kind) or bool(self._dismissed(settlement_id, kind))

    def gone(self, settlement_id: int, kind: str) -> None:
        self.close(settlement_id, kind)
        for each in self._dismissed(settlement_id, kind):
            each["dismissed"] = False

    def _dismissed(self, settlement_id: int, kind: str) -> list[dict[str, Any]]:
        mine = [each for each in self.case if each["settlement_id"] == settlement_id and each["kind"] == kind]
        return [each for each in mine if each["dismissed"]]

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
            each |= {"closed_at": self.now, "dismissed": True}
        return was_open

    # outcomes

    def record_outcomes(self, portal_id: int, mode: str, said: Iterable[Outcome]) -> None:
        for each in said:
            self.record_outcome(portal_id, mode, each)

    def record_outcome(self, portal_id: int, mode: str, said: Outcome) -> None:
        values = {
            "mode": mode,
            "verdict": said.verdict,
            "reason": said.reason,
            "invoices": list(said.invoices),
            "evidence": dict(said.evidence),
        }
        for row in reversed(self.outcome):
            if row["payment_id"] == said.payment_id:
                if all(row[name] == value for name, value in values.items()):
                    return
                break
        new = {"id": len(self.outcome) + 1, "payment_id": said.payment_id, "decided_at": self.now}
        self.outcome.append({**new, **values})
