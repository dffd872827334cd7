"""`airflow b24 report|review|ledger release`: what became of the payments, and a person's word on one of them."""

from __future__ import annotations

import sys
from argparse import Namespace
from dataclasses import asdict
from typing import Any

from airflow_b24.commands.answering import PROBLEM, as_json, hooked, note, settings, tell
from airflow_b24.commands.lookup import Ledger, look_up
from airflow_b24.commands.printing import released_line, report_lines, review_lines
from airflow_b24.hooks import Bitrix24Hook
from airflow_b24.reconcile import reporting
from airflow_b24.reconcile.releasing import release
from airflow_b24.reconcile.reporting import Line

_NOTHING_YET = "No run has written here yet."


def run_report(args: Namespace) -> None:
    """Print every payment and what became or would become of it, then totals of all of them."""
    with hooked(args) as hook:
        ledger = look_up(hook)
        every = reporting.lines(ledger.store) if ledger.store else []
        shown = [line for line in every if args.status is None or _has_status(line, args.status)]
        totals = reporting.totals(every)
        if args.json:
            tell(as_json({"ledger": ledger.name, "totals": totals, "payments": [_plain(line) for line in shown]}))
        elif _told_where(ledger):
            tell(report_lines(shown, totals, sum(map(reporting.would_pay, every))))


def run_review(args: Namespace) -> None:
    """Print what waits for a person, newest first."""
    with hooked(args) as hook:
        ledger = look_up(hook)
        waiting = reporting.reviews(ledger.store) if ledger.store else []
        if args.json:
            tell(as_json([_plain(line) for line in waiting]))
        elif _told_where(ledger):
            tell(review_lines(waiting))


def run_release(args: Namespace) -> None:
    """Take a settlement out of review, after a person has said that its money did not pay its invoice."""
    with hooked(args) as hook:
        settings(hook)
        ledger = look_up(hook)
        if ledger.store is None:
            raise ValueError(f"--ledger-conn-id: {ledger.name}: {_NOTHING_YET[0].lower()}{_NOTHING_YET[1:]}")
        if not _confirmed(args, ledger):
            note("Nothing was changed.")
            raise SystemExit(PROBLEM)
        _release(hook, args.settlement_id)


def _release(hook: Bitrix24Hook, settlement_id: int) -> None:
    row = release(hook.desk(), settlement_id)
    tell([released_line(row)])


def _confirmed(args: Namespace, ledger: Ledger) -> bool:
    if args.yes:
        return True
    if not sys.stdin.isatty():
        raise ValueError("--yes: nobody can be asked, standard input is no terminal; look first, then give --yes")
    note(
        f"I have looked: this money did not pay invoice {_invoice(ledger, args.settlement_id)}. "
        "The invoice and the payment become free and are matched afresh."
    )
    sys.stderr.write("Type yes to go on: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _invoice(ledger: Ledger, settlement_id: int) -> str:
    waiting = reporting.reviews(ledger.store) if ledger.store else []
    numbers = (line.invoices for line in waiting if line.settlement_id == settlement_id)
    return next(numbers, f"of settlement {settlement_id}")


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
