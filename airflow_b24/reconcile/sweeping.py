"""Sweep: invoices are read again after their end, so that reviews close themselves and late trouble is seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta

from airflow_b24.ledger import cases, moves, rows, settlements
from airflow_b24.ledger.decide import as_sent, bears_our_mark, is_overtaken, reviewed
from airflow_b24.ledger.facts import Key, Kind, Row, Seen
from airflow_b24.ledger.settlements import ended_since
from airflow_b24.ledger.states import State
from airflow_b24.reconcile.desk import Desk
from airflow_b24.reconcile.order_documents import unless_paid_as_order
from airflow_b24.reconcile.translating import seen

# How long an end is looked after: a reversal or a late effect that comes later is found by people.
WATCHED = timedelta(days=7)


def sweep(desk: Desk) -> dict[str, int]:
    """Read every invoice in review or with parts, and those paid or released within 7 days; nothing is sent.

    A review ends itself when the invoice is paid with full proof, or when what stood in the way has gone. An invoice
    unpaid after its end, paid after its release, or settled otherwise while parts wait for the rest, becomes a case; the
    case closes when that has gone again, and stays closed once a person has closed it.
    Repeating is safe. Returns counts: read, closed, ready, reversed, late_effect, overtaken.
    """
    rows = ended_since(desk.store, desk.portal_id, WATCHED)
    found = _read(desk, rows)
    counts: Counter[str] = Counter(read=len(found), closed=0, ready=0, reversed=0, late_effect=0, overtaken=0)
    for row in rows:
        counts.update(_look_after(desk, row, found))
    return dict(counts)


def _read(desk: Desk, rows: Sequence[Row]) -> dict[Key, Seen]:
    siblings = (each.key for row in rows if row.state is State.REVIEW for each in row.unread_siblings)
    wanted: dict[Kind, set[int]] = {}
    for kind, invoice_id in (*(row.key for row in rows), *siblings):
        wanted.setdefault(kind, set()).add(invoice_id)
    listed = (desk.client.run(desk.invoices.of(kind).by_id(sorted(ids))) for kind, ids in wanted.items())
    return {invoice.key: seen(invoice) for invoices in listed for invoice in invoices}


def _look_after(desk: Desk, row: Row, found: Mapping[Key, Seen]) -> list[str]:
    shown = found.get(row.key)
    if shown is None:
        # Deleted on the portal, or this user may not see it: nothing can be said.
        return []
    now = as_sent(row, shown)
    if row.state is State.REVIEW:
        return _close_review(desk, row, now, found)
    if row.state is State.COLLECTING:
        return _watch(desk, row, cases.OVERTAKEN, has_trouble=is_overtaken(row, now))
    if row.state is State.PAID:
        return _watch(desk, row, cases.REVERSED, has_trouble=not now.paid)
    is_ours = row.may_land or (row.sends > 0 and bears_our_mark(row, now))
    return _watch(desk, row, cases.LATE_EFFECT, has_trouble=now.paid and is_ours and not _is_taken(desk, row))


def _close_review(desk: Desk, row: Row, now: Seen, found: Mapping[Key, Seen]) -> list[str]:
    decision = reviewed(row, now, found)
    # From one review to another is no way.
    if decision is None or unless_paid_as_order(desk, decision).state is State.REVIEW:
        return []
    if moves.move(desk.store, row, decision, desk.patience, "") is None:
        return []
    return ["closed" if decision.state is State.PAID else "ready"]


def _watch(desk: Desk, row: Row, kind: str, *, has_trouble: bool) -> list[str]:
    with desk.store.transaction() as connection:
        if rows.locked(connection, row.id)["state"] != row.state:
            # A person or another attempt was faster; the next sweep looks at what they made of it.
            return []
        if has_trouble:
            cases.notice(connection, row.id, kind, {"invoice_id": row.invoice_id})
        else:
            cases.gone(connection, row.id, kind)
    return [kind] if has_trouble else []


def _is_taken(desk: Desk, row: Row) -> bool:
    """Say whether the invoice has another settlement by now, which may have paid it."""
    with desk.store.snapshot() as connection:
        return settlements.live(connection, row.portal_id, row.kind, row.invoice_id) is not None
