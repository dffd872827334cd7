"""Whereabouts: how an invoice stands on the portal at this moment, in words for whoever is to decide on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from airflow_b24.bitrix.flows import Repeats, call
from airflow_b24.bitrix.invoice import Invoice, Kind
from airflow_b24.bitrix.stages import Stages
from airflow_b24.ledger.facts import Key, Row
from airflow_b24.reconcile.desk import Desk

GONE: Final = "not there any more, or our user may not see it"
# A person waits for it: a portal that does not answer at once is not asked again.
ONCE: Final = Repeats(refused=1, unclear=1)


def whereabouts(desk: Desk, rows: Iterable[Row]) -> dict[int, str]:
    """Say by settlement how its invoice stands: a smart one's stage with its name and what it means.

    Rows of other portals, and payments of orders, are left out. Reads only, in few requests. Raises BitrixError, or
    ValueError when a wished stage is not there.
    """
    mine = [row for row in rows if row.portal_id == desk.portal_id and row.kind != "payment"]
    if not mine:
        return {}
    desk.client.run(call("profile", repeats=ONCE))
    wanted: dict[Kind, set[int]] = {}
    for row in mine:
        wanted.setdefault(row.kind, set()).add(row.invoice_id)
    listed = (desk.client.run(desk.invoices.of(kind).by_id(sorted(ids))) for kind, ids in wanted.items())
    found: dict[Key, Invoice] = {invoice.key: invoice for invoices in listed for invoice in invoices}
    return {row.id: _words(desk, found.get(row.key)) for row in mine}


def _words(desk: Desk, invoice: Invoice | None) -> str:
    if invoice is None:
        return GONE
    if invoice.kind == "smart":
        return _staged(desk.invoices.smart.stages, invoice)
    return "cancelled" if invoice.cancelled else f"{_paid(invoice)} (status {invoice.status_id})"


def _paid(invoice: Invoice) -> str:
    return "paid" if invoice.paid else "not paid"


def _staged(stages: Stages, invoice: Invoice) -> str:
    stage = stages.by_id.get(invoice.status_id)
    if stage is None:
        return f"stage {invoice.status_id}, which is none of its funnels'"
    said = f"stage {stage.id} ({stage.name}), {_meaning(stages, stage.id)}"
    return f"{said}; its payment document: {_paid(invoice)}" if stages.wishes.mark_with == "payment" else said


def _meaning(stages: Stages, stage_id: str) -> str:
    meanings: Mapping[str, bool] = {
        "means paid": stages.is_paid(stage_id),
        "means lost": stages.is_lost(stage_id),
        "where parts wait for the rest: not paid": stage_id in stages.wishes.partial_stage,
        "where new invoices begin: not paid": stages.is_first(stage_id),
    }
    return next((meaning for meaning, is_so in meanings.items() if is_so), "on the way: not paid")
