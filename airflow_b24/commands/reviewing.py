"""`airflow b24 report|review`: what became of payments, and what waits for a person."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from airflow.sdk.exceptions import AirflowNotFoundException
from sqlalchemy.exc import SQLAlchemyError

from airflow_b24.bitrix.errors import BitrixError
from airflow_b24.commands.answering import as_json, hooked, note, tell
from airflow_b24.commands.lookup import Ledger, look_up
from airflow_b24.commands.pinning import warn_of_another
from airflow_b24.commands.printing import report_lines, review_lines
from airflow_b24.hooks import Bitrix24Hook
from airflow_b24.ledger import portals
from airflow_b24.ledger.errors import LedgerError
from airflow_b24.ledger.settlements import look_all
from airflow_b24.ledger.store import Store
from airflow_b24.reconcile import reporting, reviewing
from airflow_b24.reconcile.reporting import Line
from airflow_b24.reconcile.whereabouts import whereabouts

_NOTHING_YET = "No run has written here yet."


def run_report(args: Namespace) -> None:
    """Print every payment and what became or would become of it, then totals of all of them."""
    with hooked(args) as hook:
        ledger = look_up(hook)
        warn_of_another(hook, ledger.store)
        every = reporting.lines(ledger.store) if ledger.store else []
        shown = [line for line in every if args.status is None or _has_status(line, args.status)]
        totals = reporting.totals(every, reporting.beside(ledger.store) if ledger.store else {})
        if args.json:
            tell(as_json({"ledger": ledger.name, "totals": totals, "payments": [_plain(line) for line in shown]}))
        elif _told_where(ledger):
            tell(report_lines(shown, totals))


def run_review(args: Namespace) -> None:
    """Print what waits for a person, newest first."""
    with hooked(args) as hook:
        ledger = look_up(hook)
        warn_of_another(hook, ledger.store)
        waiting = reviewing.reviews(ledger.store) if ledger.store else []
        now = _now(hook, ledger.store, waiting) if ledger.store else {}
        if args.json:
            tell(as_json([{**_plain(line), "now": now.get(line.settlement_id or 0)} for line in waiting]))
        elif _told_where(ledger):
            tell(review_lines(waiting, now))


def _now(hook: Bitrix24Hook, store: Store, waiting: Sequence[Line]) -> Mapping[int, str]:
    """How the invoices in review stand on the portal, by settlement; said beside the answer where that is not known."""
    rows = look_all(store, [line.settlement_id for line in waiting if line.settlement_id is not None])
    try:
        host = hook.settings.auth.origin.netloc
        with store.snapshot() as connection:
            portal_id = portals.known_as(connection, host)
        mine = [row for row in rows.values() if row.portal_id == portal_id]
        return dict(whereabouts(hook.desk(), mine)) if mine else {}
    except (AirflowNotFoundException, ValueError, BitrixError, LedgerError, SQLAlchemyError) as error:
        note(f"How the invoices stand in Bitrix24 now is not known ({type(error).__name__}): run `airflow b24 doctor`.")
        return {}


def _told_where(ledger: Ledger) -> bool:
    """Name the ledger; say so and return False when there is nothing in it to show."""
    tell([f"Ledger {ledger.name}"])
    if ledger.store is None:
        tell([_NOTHING_YET])
    return ledger.store is not None


def _has_status(line: Line, status: str) -> bool:
    if status == "would_pay":
        return reporting.would_pay(line)
    return line.status == status or (status == "paid" and line.status == "by_hand")


def _plain(line: Line) -> dict[str, Any]:
    amount = None if line.amount is None else str(line.amount)
    return {**asdict(line), "amount": amount, "would_pay": reporting.would_pay(line)}
