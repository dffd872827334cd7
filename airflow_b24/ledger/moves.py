"""Settlements on their way: claims, and moves under a fence; a chunk of them is one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from airflow_b24.ledger import cases, events, quiet
from airflow_b24.ledger.errors import InvariantError
from airflow_b24.ledger.events import Event
from airflow_b24.ledger.facts import Decision, Row
from airflow_b24.ledger.rows import locked_all, rows_after, rows_of, write_all
from airflow_b24.ledger.settlement import Patience, applied
from airflow_b24.ledger.states import State, may_follow
from airflow_b24.ledger.store import Store, utc_now

CLAIMABLE = frozenset({State.READY, State.SENDING, State.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Move:
    """A decision about a claimed row, and what its call goes through if it is a send."""

    row: Row
    decision: Decision
    through: str = ""


def claim(store: Store, settlement_id: int) -> Row:
    """Raise the fence and take the row; whoever claimed before can no longer commit anything.

    A `sending` left behind becomes `unknown` first: its call may have run. Raises UnknownIdError.
    """
    return claim_all(store, [settlement_id])[0]


def claim_all(store: Store, ids: Sequence[int]) -> list[Row]:
    """Claim many in one transaction; the rows come in the order of their ids as given."""
    with store.transaction() as connection:
        found = locked_all(connection, ids)
        now = utc_now(connection)
        taken = {each["id"]: _taken(each) for each in found.values() if each["state"] in CLAIMABLE}
        write_all(connection, taken)
        events.append_all(
            connection, [Event(each, "claimed", new["state"], new["fence"], now) for each, new in taken.items()]
        )
        return rows_of(connection, [{**found[each], **taken.get(each, {})} for each in ids])


def _taken(found: Mapping[str, Any]) -> dict[str, Any]:
    state = State.READY if found["state"] == State.READY else State.UNKNOWN
    return {"fence": found["fence"] + 1, "attempts": found["attempts"] + 1, "state": state}


def move(store: Store, row: Row, decision: Decision, patience: Patience, through: str = "") -> Row | None:
    """Apply the decision if the fence and the state still are the row's, and for a send if nothing holds it.

    None when another attempt was faster; what was seen is kept as evidence all the same.
    """
    return move_all(store, [Move(row, decision, through)], patience)[0]


def move_all(store: Store, moves: Sequence[Move], patience: Patience) -> list[Row | None]:
    """Apply many decisions in one transaction, each for itself; the rows come in their order."""
    for each in moves:
        if not may_follow(each.row.state, each.decision.state):
            ways = f"{each.row.state} -> {each.decision.state}"
            raise InvariantError(f"settlement {each.row.id}: {ways} is not in the table")
    with store.transaction() as connection:
        found = locked_all(connection, [each.row.id for each in moves])
        now = utc_now(connection)
        events.append_all(connection, [_event(each, found[each.row.id], now) for each in moves])
        mine = [each for each in moves if _is_mine(each, found[each.row.id])]
        sends = sum(each.decision.state is State.SENDING for each in mine)
        quiet_time = quiet.begin(connection, patience.quiet_after(sends)) if sends else {}
        changes = {each.row.id: _changes(each, quiet_time) for each in mine}
        write_all(connection, changes)
        _tell_of_holds(connection, mine, found)
        moved = rows_after(connection, [(each.row, {**found[each.row.id], **changes[each.row.id]}) for each in mine])
        by_id = {row.id: row for row in moved}
        return [by_id.get(each.row.id) for each in moves]


def _is_mine(move: Move, found: Mapping[str, Any]) -> bool:
    held = move.decision.state is State.SENDING and found["hold"]
    return (found["fence"], found["state"]) == (move.row.fence, move.row.state) and not held


def _event(move: Move, found: Mapping[str, Any], now: datetime) -> Event:
    return Event(move.row.id, _what(move, found), found["state"], move.row.fence, now, _evidence(move.decision))


def _what(move: Move, found: Mapping[str, Any]) -> str:
    if not _is_mine(move, found):
        return "observed"
    # What stays where it is was not even read.
    return "refused" if move.decision.state is move.row.state else move.decision.state


def _evidence(decision: Decision) -> dict[str, Any]:
    return {"reason": decision.reason, "how": decision.how, **(decision.evidence or {})}


def _changes(move: Move, quiet_time: Mapping[str, Any]) -> dict[str, Any]:
    changes = applied(move.row, move.decision) | {"evidence": _evidence(move.decision)}
    if move.decision.state is State.SENDING:
        changes |= {**quiet_time, "pay_system": move.through}
    return changes


def _tell_of_holds(connection: Connection, moves: Sequence[Move], found: Mapping[int, Mapping[str, Any]]) -> None:
    for each in moves:
        hold = found[each.row.id]["hold"]
        if each.decision.state is State.PAID and hold:
            # The bank's word came while ours was on its way: paid is paid, and a person must know.
            cases.open_case(connection, each.row.id, hold, {})


def begin_partial(store: Store, row: Row, patience: Patience, stage: str, marks: Mapping[str, str]) -> Row | None:
    """Begin the quiet time of a move to the stage of parts; None when the row has moved, or takes no more money."""
    with store.transaction() as connection:
        found = locked_all(connection, [row.id])[row.id]
        if (found["state"], found["fence"]) != (State.COLLECTING, row.fence) or found["hold"] is not None:
            return None
        fence, now = found["fence"] + 1, utc_now(connection)
        events.append_all(connection, [Event(row.id, "partial", State.COLLECTING, fence, now, {"stage": stage})])
        looked = {"fence": fence, "pay_system": stage, "snapshot": dict(marks), "answered": False}
        changes = {**quiet.begin(connection, patience.quiet_s), **looked}
        write_all(connection, {row.id: changes})
        return rows_after(connection, [(row, {**found, **changes})])[0]


def end_partial(store: Store, row: Row, *, ran: bool, again: bool = False, overtaken: bool = False) -> None:
    """Write what the portal answered to that move. What was refused ends the quiet time; `again`: it may be repeated."""
    with store.transaction() as connection:
        found = locked_all(connection, [row.id])[row.id]
        if overtaken and found["state"] == State.COLLECTING:
            cases.notice(connection, row.id, cases.OVERTAKEN, {"invoice_id": row.invoice_id})
        if found["fence"] == row.fence:
            over = {} if ran else {"quiet_until": None, "quiet_clock": None}
            write_all(connection, {row.id: {**over, "answered": not again}})
