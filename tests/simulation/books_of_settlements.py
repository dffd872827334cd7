"""The dictionary ledger's settlements: claims, moves under a fence, what is due; the same rules as the SQL ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from airflow_b24.ledger.errors import InvariantError
from airflow_b24.ledger.facts import Decision, Row, Sibling
from airflow_b24.ledger.moves import Move
from airflow_b24.ledger.plain import Plain
from airflow_b24.ledger.rows import COPIED
from airflow_b24.ledger.settlement import Patience, applied
from airflow_b24.ledger.states import State, may_follow
from tests.simulation.books import Books

CLAIMABLE = frozenset({"ready", "sending", "unknown"})
SIBLING = tuple(Sibling.__dataclass_fields__.keys() - {"state"})


class SettlementBooks(Books):
    """Settlements on top of the tables."""

    def claim(self, settlement_id: int) -> Row:
        return self.claim_all([settlement_id])[0]

    def claim_all(self, ids: Sequence[int]) -> list[Row]:
        for settlement_id in sorted(ids):
            found = self.locked(settlement_id)
            if found["state"] not in CLAIMABLE:
                continue
            state = State.READY if found["state"] == State.READY else State.UNKNOWN
            self.set(found, {"fence": found["fence"] + 1, "attempts": found["attempts"] + 1, "state": state})
            self.append(settlement_id, "claimed", state, found["fence"])
        self._commit()
        return [self.look(each) for each in ids]

    def look(self, settlement_id: int) -> Row:
        return self.row_of(self.locked(settlement_id))

    def look_all(self, ids: Iterable[int]) -> dict[int, Row]:
        return {each: self.look(each) for each in sorted(set(ids)) if each in self.settlement}

    def move(self, row: Row, decision: Decision, patience: Patience, through: str = "") -> Row | None:
        return self.move_all([Move(row, decision, through)], patience)[0]

    def move_all(self, moves: Sequence[Move], patience: Patience) -> list[Row | None]:
        for each in moves:
            if not may_follow(each.row.state, each.decision.state):
                ways = f"{each.row.state} -> {each.decision.state}"
                raise InvariantError(f"settlement {each.row.id}: {ways} is not in the table")
        tried = [each for each in moves if self._tried(each)]
        quiet_s = patience.quiet_after(sum(each.decision.state is State.SENDING for each in tried))
        mine = {each.row.id: self._changes(each, quiet_s) for each in tried}
        # Those alike go in one statement, as in the SQL ledger: what is noted comes in its order.
        for names in dict.fromkeys(map(tuple, mine.values())):
            for settlement_id, changes in mine.items():
                if tuple(changes) == names:
                    self.set(self.settlement[settlement_id], changes)
        for each in moves:
            hold = self.settlement[each.row.id]["hold"]
            if each.row.id in mine and each.decision.state is State.PAID and hold:
                self.open_case(each.row.id, hold)
        self._commit()
        return [self.look(each.row.id) if each.row.id in mine else None for each in moves]

    def _tried(self, move: Move) -> bool:
        """Note what was decided, and say whether it still holds."""
        found, row, state = self.locked(move.row.id), move.row, move.decision.state
        held = state is State.SENDING and self.is_held(found)
        mine = found["fence"] == row.fence and found["state"] == row.state and not held
        decided = "refused" if state is row.state else state
        self.append(row.id, decided if mine else "observed", found["state"], row.fence)
        return mine

    def _changes(self, move: Move, quiet_s: float) -> dict[str, Any]:
        decision = move.decision
        evidence = {"reason": decision.reason, "how": decision.how, **(decision.evidence or {})}
        changes = applied(move.row, decision) | {"evidence": evidence}
        if decision.state is State.SENDING:
            quiet_until = self.now + timedelta(seconds=quiet_s)
            changes |= {"quiet_until": quiet_until, "pay_system": move.through}
        return changes

    def begin_partial(self, row: Row, patience: Patience, stage: str, marks: Any) -> Row | None:
        found = self.locked(row.id)
        if (found["state"], found["fence"]) != (State.COLLECTING, row.fence) or found["hold"] is not None:
            return None
        self.append(row.id, "partial", State.COLLECTING, row.fence + 1)
        quiet_until = self.now + timedelta(seconds=patience.quiet_s)
        self.set(
            found,
            {
                "quiet_until": quiet_until,
                "fence": row.fence + 1,
                "pay_system": stage,
                "snapshot": marks,
                "answered": False,
            },
        )
        self._commit()
        return self.row_of(found)

    def end_partial(self, row: Row, *, ran: bool, again: bool = False, overtaken: bool = False) -> None:
        found = self.locked(row.id)
        if overtaken and found["state"] == State.COLLECTING:
            self.notice(row.id, "overtaken")
        if found["fence"] == row.fence:
            self.set(found, {"answered": not again} if ran else {"answered": not again, "quiet_until": None})
        self._commit()

    def collecting(self, portal_id: int, kind: str, limit: int) -> list[Row]:
        rows = [row for row in self.settlement.values() if (row["state"], row["kind"]) == ("collecting", kind)]
        rows.sort(key=lambda row: (-row["updated_at"].timestamp(), row["id"]))
        return [self.row_of(row) for row in rows[:limit]]

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
            if (row["kind"], row["invoice_id"]) == (kind, invoice_id) and row["state"] != "released"
        ]
        return found[0] if found else None

    def live_among(self, portal_id: int, keys: Iterable[tuple[str, int]]) -> dict[tuple[str, int], bool]:
        wanted, found = frozenset(keys), dict[tuple[str, int], bool]()
        for row in self.settlement.values():
            if row["state"] != "released" and (row["kind"], row["invoice_id"]) in wanted:
                found[row["kind"], row["invoice_id"]] = row["origin"] == "manual" and row["allocated"] == 0
        return found

    def due(self, portal_id: int, limit: int, *, begun: bool = False) -> list[dict[str, int]]:
        now = self.now
        found = [row for row in self.settlement.values() if self._is_due(row, now, begun)]
        found.sort(key=lambda row: (row["fence"], row["id"]))
        return [{"invoice_id": row["invoice_id"], "settlement_id": row["id"]} for row in found[:limit]]

    def _is_due(self, row: dict[str, Any], now: datetime, begun: bool) -> bool:
        quiet = row["state"] in {"sending", "unknown"} and row["quiet_until"] <= now
        return quiet if begun else row["origin"] == "match" and (quiet or self._can_be_sent(row, now))

    def _can_be_sent(self, row: dict[str, Any], now: datetime) -> bool:
        lands = row["sends"] == 0 and row["quiet_until"] is not None and row["quiet_until"] > now
        return row["state"] == "ready" and not lands

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
            document_number=mine[0]["document_number"].strip() if len(mine) == 1 else "",
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
        place = (plain.kind, plain.invoice_id)
        row = self.add(place, plain.invoice_number, plain.expected, plain.currency, plain.exponent)
        row |= {"origin": "manual", "state": State.READY}
        self.append(row["id"], "asked", State.READY, 0)
        self._commit()
        return row["id"]  # type: ignore[no-any-return]

    def reopen_plain(self, row: Row, expected: int, currency: str, exponent: int) -> None:
        found = self.locked(row.id)
        safe = found["origin"] == "manual" and found["state"] == "review" and not found["in_flight"]
        if not safe or found["fence"] != row.fence:
            return
        changes = {"state": State.READY, "reason": None, "attempts": 0, "expected": expected, "currency": currency}
        self.set(found, {**changes, "exponent": exponent})
        self.append(row.id, "asked again", State.READY, row.fence)
        self._commit()
