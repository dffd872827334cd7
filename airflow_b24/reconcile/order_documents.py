"""A smart invoice's payment document is a payment of an order too: what was paid as that may have been other money."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from airflow_b24.ledger import settlements
from airflow_b24.ledger.facts import Decision
from airflow_b24.ledger.states import State
from airflow_b24.reconcile.desk import Desk


def unless_paid_as_order(desk: Desk, decision: Decision) -> Decision:
    """Return the decision, or a review where it takes for paid by hand what somebody had paid by the document's id.

    Nothing tells whose money that was: a second payment of the customer must not vanish in it. Raises LedgerError.
    """
    marks: Mapping[str, Any] = (decision.evidence or {}).get("marks") or {}
    document = marks.get("document") or ""
    if decision.state is not State.PAID or decision.how != "by_hand" or not document:
        return decision
    with desk.store.snapshot() as connection:
        known = settlements.live(connection, desk.portal_id, "payment", int(document))
    row = settlements.look(desk.store, known) if known else None
    if row is None or not (row.state is State.PAID or row.may_land):
        return decision
    evidence = {**(decision.evidence or {}), "paid_as_order": row.id}
    return replace(decision, state=State.REVIEW, how=None, reason="already_paid", evidence=evidence)
