"""The dictionary ledger's money: records, payments, allocations, releases; the same rules as the SQL ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow_b24.ledger.allocations import AT_ONCE
from airflow_b24.ledger.cursors import Cursor
from airflow_b24.ledger.errors import InvariantError
from airflow_b24.ledger.facts import Row
from airflow_b24.ledger.payments import IDENTITY, PROVING, NewPayment
from airflow_b24.ledger.promise import Part, Promise, groups
from airflow_b24.ledger.records import AMENDED, Record, _place
from airflow_b24.ledger.states import TRANSITIONS, State
from tests.simulation.books_of_settlements import SettlementBooks

Fields = dict[str, Any]


def _fields(new: NewPayment) -> Fields:
    return {name: getattr(new, name) for name in NewPayment.__slots__}


class DictBooks(SettlementBooks):
    """The whole ledger in dictionaries."""

    # records

    def ingest(self, source: str, records: Iterable[Record], read: Cursor | None) -> dict[str, int]:
        ordered = sorted(records, key=_place)
        booked = {(record.account, record.key) for record in ordered if record.payment is not None}
        for record in ordered:
            self._keep(source, record, booked)
        if read is not None:
            self.cursor[source] = read
        self._commit()
        return {}

    def _keep(self, source: str, record: Record, booked: set[tuple[str, str]]) -> None:
        judged = {"verdict": record.verdict, "rule": record.rule, "detail": record.detail}
        whose = {"account": record.account, "key": record.key, **record.read_as}
        place = (source, record.digest, record.occurrence)
        row = self.raw.get(place)
        if row is not None:
            self._again(row, record, {**judged, **whose}, booked)
            return
        new = {"id": len(self.raw) + 1, "payment_id": None, "deliveries": 1}
        self.raw[place] = row = {**new, **whose, **judged}
        self._judge(row, record)

    def _judge(self, row: Fields, record: Record) -> None:
        if record.payment is not None:
            self._as_payment(row, record.payment)
            return
        held = self._hold_if_known(record.account, record.key) if record.key else None
        if held is not None:
            row |= {"payment_id": held, **AMENDED}

    def _again(self, row: Fields, record: Record, judged: Fields, booked: set[tuple[str, str]]) -> None:
        row["deliveries"] += 1
        if row["payment_id"] is not None:
            if record.payment is not None and row["verdict"] == "payment":
                self._read_anew(row["payment_id"], record)
            was_set_aside = row["verdict"] != "payment" and row["rule"] != AMENDED["rule"]
            if was_set_aside and record.payment is None and (record.account, record.key) not in booked:
                self._judge(row, record)
            return
        row |= judged
        self._judge(row, record)

    def _as_payment(self, row: Fields, new: NewPayment) -> None:
        payment_id, fate = self._record(new)
        row |= {"payment_id": payment_id, **(AMENDED if fate == "amended" else {})}
        if new.occurrence == 0:
            for each in self.raw.values():
                if (each["account"], each["key"], each["payment_id"]) == (new.account, new.key, None):
                    each["payment_id"] = payment_id

    # payments

    def _known(self, account: str, key: str, occurrence: int) -> Fields | None:
        for row in self.payment.values():
            if (row["account"], row["key"], row["occurrence"]) == (account, key, occurrence):
                return row
        return None

    def _record(self, new: NewPayment) -> tuple[int, str]:
        values = _fields(new)
        known = self._known(new.account, new.key, new.occurrence)
        if known is None:
            made = len(self.payment) + 1
            self.payment[made] = {"id": made, **values, "allocated": 0, "held": False, "received_at": self.now}
            return made, "new"
        free = known["allocated"] == 0
        if any(known[name] != values[name] and not (known[name] == "" and free) for name in PROVING):
            self._hold(known)
            return known["id"], "amended"
        if free:
            known |= {name: value for name, value in values.items() if known[name] == "" and value != ""}
        return known["id"], "repeated"

    def _hold_if_known(self, account: str, key: str) -> int | None:
        known = self._known(account, key, 0)
        if known is None:
            return None
        self._hold(known)
        return known["id"]  # type: ignore[no-any-return]

    def _hold(self, payment: Fields) -> None:
        payment["held"] = True
        self.hold_for_payment(payment["id"], "amended")

    def _read_anew(self, payment_id: int, record: Record) -> None:
        assert record.payment is not None
        values, known = _fields(record.payment), self.payment[payment_id]
        if known["allocated"] or any(known[name] != values[name] for name in IDENTITY):
            return
        known |= {name: value for name, value in values.items() if name not in IDENTITY and value != ""}
        for each in self.raw.values():
            if each["payment_id"] == payment_id and each["verdict"] == "payment":
                each |= record.read_as

    def unallocated(self, *, held: bool = False) -> list[Fields]:
        rows = [dict(row) for row in self.payment.values() if row["allocated"] == 0 and row["held"] == held]
        return sorted(rows, key=lambda row: (row["booked_on"], row["id"]))

    @staticmethod
    def dismissed() -> list[Fields]:
        """Nobody dismisses a payment here."""
        return []

    # allocations

    def allocate_all(self, promises: Iterable[Promise]) -> list[tuple[int, ...]]:
        made: list[tuple[int, ...]] = []
        for group in groups(promises, AT_ONCE):
            kept = [promise for promise in group if self._is_kept(promise)]
            for place, promise in sorted((place, each.payment_id) for each in kept for place in each.places):
                self._begin(place, next(each for each in kept if each.payment_id == promise))
            made += [self._put(promise) if promise in kept else () for promise in group]
            self._commit()
        return made

    def _is_kept(self, promise: Promise) -> bool:
        if not all(self._takes(promise, part) for part in promise.parts):
            return False
        try:
            self._take_money(promise)
        except InvariantError:
            return False
        return True

    def _takes(self, promise: Promise, part: Part) -> bool:
        if (part.kind, part.invoice_id) in self.parted(1).get(promise.payment_id, ()):
            return False
        known = self.live(promise.portal_id, part.kind, part.invoice_id)
        if known is None:
            return part.amount <= part.expected
        row = self.settlement[known]
        same = (row["expected"], row["currency"]) == (part.expected, promise.currency)
        takes_more = row["state"] == "collecting" and row["hold"] is None
        fits = row["allocated"] + part.amount <= part.expected
        return same and takes_more and fits and (row["identity"] or {}) == dict(part.identity)

    def _begin(self, place: tuple[int, Any, int], promise: Promise) -> None:
        if self.live(*place) is None:
            part = promise.places[place]
            row = self.add(place[1:], part.invoice_number, part.expected, promise.currency, promise.exponent)
            row |= {"origin": "match", "state": State.COLLECTING, "identity": dict(part.identity)}

    def _put(self, promise: Promise) -> tuple[int, ...]:
        rows = [self._fund(place, part) for place, part in promise.places.items()]
        for row, part in zip(rows, promise.places.values(), strict=True):
            put = {"settlement_id": row["id"], "payment_id": promise.payment_id, "amount": part.amount}
            self.allocation.append({"id": len(self.allocation) + 1, **put})
            self._money.append((row["id"], self.payment[promise.payment_id]["key"], part.amount))
            self.append(row["id"], "allocated", row["state"], 0)
        return tuple(row["id"] for row in rows)

    def _fund(self, place: tuple[int, Any, int], part: Part) -> Fields:
        known = self.live(*place)
        assert known is not None
        row = self.settlement[known]
        together = row["allocated"] + part.amount
        state = State.READY if together == part.expected else State.COLLECTING
        return self.set(row, {"allocated": together, "state": state})

    def _take_money(self, promise: Promise) -> None:
        row = self.payment[promise.payment_id]
        together = row["allocated"] + sum(part.amount for part in promise.parts)
        fits = together <= row["amount"] and not row["held"] and row["currency"] == promise.currency
        if not fits or any(row[name] != value for name, value in promise.facts.items()):
            raise InvariantError("not free, or changed")
        row["allocated"] = together

    def collected(self, portal_id: int) -> dict[tuple[str, int], list[Fields]]:
        found: dict[tuple[str, int], list[Fields]] = {}
        for each in sorted(self.allocation, key=lambda each: each["payment_id"]):
            row = self.settlement[each["settlement_id"]]
            if row["state"] == "collecting":
                about = {name: row[name] for name in ("kind", "invoice_id", "expected", "hold", "identity")}
                found.setdefault((row["kind"], row["invoice_id"]), []).append(
                    {**about, **self.payment[each["payment_id"]]}
                )
        return found

    def unfunded(self, portal_id: int) -> dict[tuple[str, int], tuple[int, str]]:
        # Nothing is adopted in these worlds: no ledger is lost.
        return {}

    # releases

    def parted(self, portal_id: int) -> dict[int, frozenset[tuple[str, int]]]:
        found: dict[int, frozenset[tuple[str, int]]] = {}
        for each in self.allocation:
            row = self.settlement[each["settlement_id"]]
            if row["state"] == "released":
                pair = (row["kind"], row["invoice_id"])
                found[each["payment_id"]] = found.get(each["payment_id"], frozenset()) | {pair}
        return found

    def release(self, row: Row) -> Row:
        found = self.locked(row.id)
        if (found["state"], found["fence"], found["allocated"]) != (row.state, row.fence, row.allocated):
            raise InvariantError(f"settlement {row.id} has moved meanwhile: look at it again")
        if State.RELEASED not in TRANSITIONS[State(found["state"])]:
            raise InvariantError(f"settlement {row.id} cannot be released")
        for sibling in row.siblings:
            other = self.locked(sibling.id)
            if other["sends"] == 0 and other["state"] in {"ready", "review"}:
                self._release(other)
        self._release(found)
        self._commit()
        return self.row_of(found)

    def _release(self, found: Fields) -> None:
        for each in self.allocation:
            if each["settlement_id"] == found["id"]:
                self.payment[each["payment_id"]]["allocated"] -= each["amount"]
        was = found["state"]
        self.set(found, {"state": State.RELEASED, "fence": found["fence"] + 1})
        self.append(found["id"], "released", was, found["fence"])
        self.close(found["id"])

    def accept(self, payment_id: int) -> bool:
        row = self.payment[payment_id]
        held, row["held"] = row["held"], False
        mine = {each["settlement_id"] for each in self.allocation if each["payment_id"] == payment_id}
        others = {each["settlement_id"] for each in self.allocation if self.payment[each["payment_id"]]["held"]}
        for settlement_id in sorted(mine - others):
            found = self.locked(settlement_id)
            if found["state"] == State.RELEASED:
                continue
            self.set(found, {"hold": None})
            self.close(settlement_id, "amended")
            self.append(settlement_id, "accepted", found["state"], found["fence"])
        self._commit()
        return bool(held)
