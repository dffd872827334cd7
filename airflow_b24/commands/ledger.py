"""`airflow b24 report|review`, `airflow b24 ledger release|retry|accept|close`: what became of payments, and a person's word on one."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from airflow_b24.commands.answering import PROBLEM, as_json, hooked, note, settings, tell
from airflow_b24.commands.lookup import Ledger, look_up
from airflow_b24.commands.printing import accepted_line, released_line, report_lines, retried_line, review_lines
from airflow_b24.hooks import Bitrix24Hook
from airflow_b24.ledger import settlements
from airflow_b24.ledger.cases import close_one
from airflow_b24.ledger.releases import accept
from airflow_b24.ledger.store import Store
from airflow_b24.reconcile import reporting
from airflow_b24.reconcile.releasing import release, retry
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
    """Free a settlement's invoice and payments, after a person has said that this money did not pay it."""
    asked = (
        "I have looked: this money did not pay invoice {invoice}. They are parted for good; each is free for others."
    )
    with _decided(args, asked) as hook:
        tell([released_line(release(hook.desk(), args.settlement_id))])


def run_retry(args: Namespace) -> None:
    """Let a settlement in review be paid after all, after a person has mended what stood in its way."""
    with _decided(args, "I have looked: invoice {invoice} is to be marked paid with this money.") as hook:
        tell([retried_line(retry(hook.desk(), args.settlement_id))])


def run_accept(args: Namespace) -> None:
    """Let a payment that the bank changed or took back stand as it was first delivered."""
    with _decided(args, f"I have looked: payment {args.payment_id} stands as it was first delivered.") as hook:
        was_held = accept(hook.ledger, args.payment_id)
        tell([accepted_line(args.payment_id, was_held=was_held)])


def run_close(args: Namespace) -> None:
    """Close a case that a person has dealt with."""
    with _decided(args, f"Case {args.case_id} is dealt with.") as hook:
        with hook.ledger.transaction() as connection:
            closed = close_one(connection, args.case_id)
        if not closed:
            raise ValueError(f"CASE_ID: {args.case_id} is no open case; `airflow b24 review` shows them")
        tell([f"Case {args.case_id} is closed."])


@contextmanager
def _decided(args: Namespace, asked: str) -> Iterator[Bitrix24Hook]:
    """A hook on a ledger that is there, once the person has said yes."""
    with hooked(args) as hook:
        settings(hook)
        ledger = look_up(hook)
        if ledger.store is None:
            raise ValueError(f"--ledger-conn-id: {ledger.name}: {_NOTHING_YET[0].lower()}{_NOTHING_YET[1:]}")
        if not _confirmed(args, asked.format(invoice=_invoice(args, ledger.store))):
            note("Nothing was changed.")
            raise SystemExit(PROBLEM)
        yield hook


def _confirmed(args: Namespace, asked: str) -> bool:
    if args.yes:
        return True
    if not sys.stdin.isatty():
        raise ValueError("--yes: nobody can be asked, standard input is no terminal; look first, then give --yes")
    note(asked)
    sys.stderr.write("Type yes to go on: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _invoice(args: Namespace, store: Store) -> str:
    settlement_id = getattr(args, "settlement_id", None)
    return "" if settlement_id is None else settlements.look(store, settlement_id).invoice_number


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
