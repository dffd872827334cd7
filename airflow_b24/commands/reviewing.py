"""`airflow b24 report|review`: what became of payments, and what waits for a person."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from typing import Any

from airflow_b24.commands.answering import as_json, hooked, tell
from airflow_b24.commands.lookup import Ledger, look_up
from airflow_b24.commands.pinning import warn_of_another
from airflow_b24.commands.printing import report_lines, review_lines
from airflow_b24.reconcile import reporting, reviewing
from airflow_b24.reconcile.reporting import Line

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
            tell(report_lines(shown, totals, sum(map(reporting.would_pay, every))))


def run_review(args: Namespace) -> None:
    """Print what waits for a person, newest first."""
    with hooked(args) as hook:
        ledger = look_up(hook)
        warn_of_another(hook, ledger.store)
        waiting = reviewing.reviews(ledger.store) if ledger.store else []
        if args.json:
            tell(as_json([_plain(line) for line in waiting]))
        elif _told_where(ledger):
            tell(review_lines(waiting))


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
