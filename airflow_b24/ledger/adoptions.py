"""What this ledger knows to have sent, and what a person tells it when it goes on after another, or after a copy."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, or_, select

from airflow_b24.ledger import events, identity, quiet
from airflow_b24.ledger.facts import Key, Kind
from airflow_b24.ledger.rows import AT_ONCE, locked, write
from airflow_b24.ledger.schema import event, settlement
from airflow_b24.ledger.settlement import Patience
from airflow_b24.ledger.states import ADOPTED, PASSING, RESTORED, State
from airflow_b24.ledger.store import Store, utc_now
from airflow_b24.ledger.upsert import insert_if_absent


@dataclass(frozen=True, slots=True)
class Found:
    """An invoice that the portal shows as paid by us; `expected` in minor units, `evidence` what the portal showed."""

    kind: Kind
    invoice_id: int
    invoice_number: str
    expected: int
    currency: str
    exponent: int
    evidence: Mapping[str, Any]


def unknown_among(connection: Connection, portal_id: int, kind: Kind, invoice_ids: Collection[int]) -> set[int]:
    """Those of the invoices which this ledger neither sent anything for nor knows to be paid."""
    told = select(event.c.id).where(event.c.settlement_id == settlement.c.id, event.c.what == ADOPTED).exists()
    wanted, unknown = sorted(invoice_ids), set(invoice_ids)
    for start in range(0, len(wanted), AT_ONCE):
        query = select(settlement.c.invoice_id).where(
            settlement.c.portal_id == portal_id,
            settlement.c.kind == kind,
            settlement.c.invoice_id.in_(wanted[start : start + AT_ONCE]),
            or_(settlement.c.sends > 0, settlement.c.state == State.PAID, told),
        )
        unknown.difference_update(connection.execute(query).scalars())
    return unknown


def unfunded(connection: Connection, portal_id: int) -> dict[Key, tuple[int, str]]:
    """(kind, id) of the adopted invoices whose payment has not come in yet, each with its price and currency."""
    columns = (settlement.c.kind, settlement.c.invoice_id, settlement.c.expected, settlement.c.currency)
    query = select(*columns).where(
        settlement.c.portal_id == portal_id,
        settlement.c.state == State.PAID,
        settlement.c.reason == ADOPTED,
        settlement.c.allocated == 0,
    )
    return {
        (kind, invoice_id): (expected, currency) for kind, invoice_id, expected, currency in connection.execute(query)
    }


def pay_systems(connection: Connection, portal_id: int) -> dict[str, set[str]]:
    """What legacy invoices were sent through from here, by the ledger's names, each with the ids that invoices paid by it showed."""
    shown = settlement.c.evidence["marks", "PAY_SYSTEM_ID"].as_string()
    proved = and_(settlement.c.state == State.PAID, settlement.c.how == "sent")
    query = (
        select(settlement.c.pay_system, case((proved, shown)))
        .where(settlement.c.portal_id == portal_id, settlement.c.kind == "legacy", settlement.c.sends > 0)
        .distinct()
    )
    found: dict[str, set[str]] = {}
    for name, pay_system_id in connection.execute(query):
        found.setdefault(name, set()).update({pay_system_id} - {None, ""})
    return found


def adopt(store: Store, portal_id: int, found: Sequence[Found]) -> int:
    """Record invoices that were paid by us, though not from this ledger, as paid; returns how many were new to it.

    One that has a settlement here already keeps it, with a word of the person in its story. Repeating is safe, by
    invoice.
    """
    with store.transaction() as connection:
        return sum(_adopt(connection, portal_id, each) for each in found)


def suspend(store: Store, portal_id: int, patience: Patience) -> int:
    """Put what was under way before a person: a copy does not know what became of it since. Returns how many.

    Nothing of it is sent again before another ledger's last call can have landed. The ledger gets another name, so that
    the one it was copied from is refused should it come back.
    """
    query = select(settlement.c.id).where(settlement.c.portal_id == portal_id, _goes_on_by_itself())
    with store.transaction() as connection:
        ids = connection.execute(query.order_by(settlement.c.id)).scalars().all()
        suspended = sum(_suspend(connection, settlement_id, patience) for settlement_id in ids)
        identity.rename(connection)
    return suspended


def _goes_on_by_itself() -> ColumnElement[bool]:
    under_way = settlement.c.state.in_([State.COLLECTING, State.READY, State.SENDING, State.UNKNOWN])
    return or_(under_way, and_(settlement.c.state == State.REVIEW, settlement.c.reason.in_(PASSING)))


def _suspend(connection: Connection, settlement_id: int, patience: Patience) -> bool:
    found = locked(connection, settlement_id)
    if found["state"] in {State.PAID, State.RELEASED}:
        return False
    fence, quiet_time = found["fence"] + 1, quiet.begin(connection, patience.quiet_s)
    if found["state"] == State.COLLECTING:
        # The other ledger may have moved it to the stage of parts.
        write(connection, settlement_id, {"fence": fence, **quiet_time})
        return False
    write(connection, settlement_id, {"state": State.REVIEW, "reason": RESTORED, "fence": fence, **quiet_time})
    told = {"state": found["state"], "fence": fence, "evidence": {"reason": RESTORED}}
    events.append(connection, settlement_id, State.REVIEW, at=utc_now(connection), **told)
    return True


def _adopt(connection: Connection, portal_id: int, found: Found) -> bool:
    if not unknown_among(connection, portal_id, found.kind, [found.invoice_id]):
        return False
    now = utc_now(connection)
    end = {"origin": "manual", "state": State.PAID, "how": "by_hand", "reason": ADOPTED}
    values = {"portal_id": portal_id, **asdict(found), **end, "created_at": now, "updated_at": now}
    insert_if_absent(connection, settlement, values)
    live = (
        select(settlement.c.id, settlement.c.state, settlement.c.fence)
        .where(settlement.c.portal_id == portal_id, settlement.c.kind == found.kind)
        .where(settlement.c.invoice_id == found.invoice_id, settlement.c.state != State.RELEASED)
    )
    row = connection.execute(live.with_for_update()).one()
    told = {"state": row.state, "fence": row.fence, "at": now, "evidence": found.evidence}
    events.append(connection, row.id, ADOPTED, **told)
    return True
