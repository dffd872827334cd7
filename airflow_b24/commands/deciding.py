"""`airflow b24 ledger release|retry|confirm|accept|dismiss|reopen|ignore|close`: a person's word on what waits for one."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from getpass import getuser
from typing import Any, Final, TypeVar

from sqlalchemy import Connection

from airflow_b24.bitrix.errors import BitrixError
from airflow_b24.commands.answering import PROBLEM, confirmed, hooked, note, settings, tell
from airflow_b24.commands.lookup import look_up
from airflow_b24.commands.printing import (
    accepted_line,
    confirmed_line,
    dismissed_line,
    ignored_line,
    one_line,
    released_line,
    reopened_line,
    retried_line,
)
from airflow_b24.hooks import Bitrix24Hook
from airflow_b24.ledger import dismissals, payments, record_words, revisions, settlements, statuses
from airflow_b24.ledger.cases import close_one, open_cases
from airflow_b24.ledger.dismissals import Facts
from airflow_b24.ledger.facts import Row, Sibling
from airflow_b24.ledger.releases import accept
from airflow_b24.ledger.states import IN_WORDS
from airflow_b24.payments.money import Money
from airflow_b24.pins import VariablePins
from airflow_b24.reconcile.differing import changes
from airflow_b24.reconcile.guarding import refuse_foreign_ledger
from airflow_b24.reconcile.releasing import check_in_review, check_releasable, confirm, release, retry
from airflow_b24.reconcile.whereabouts import whereabouts

_IGNORED: Final = "I have looked: nobody has to deal with this record any more, for the reason given."
T = TypeVar("T")
# What a person is about to decide on, to be compared with what is there once they have said yes, and told line by line.
About = Callable[[Bitrix24Hook], tuple[T, Sequence[str]]]


def run_release(args: Namespace) -> None:
    """Free a settlement's invoice and payments, after a person has said that this money did not pay it."""
    asked = (
        "I have looked: this money did not pay this invoice. They are parted for good; each is free for others, and so "
        "is all that is named above."
    )
    with _decided(args, _settlement(args.settlement_id, check_releasable), asked) as (hook, shown):
        tell([released_line(release(hook.desk(), args.settlement_id, shown))])


def run_retry(args: Namespace) -> None:
    """Let a settlement in review be paid after all, after a person has mended what stood in its way."""
    asked = "I have looked: this invoice is to be marked paid with this money."
    with _decided(args, _settlement(args.settlement_id, check_in_review), asked) as (hook, shown):
        tell([retried_line(retry(hook.desk(), args.settlement_id, shown))])


def run_confirm(args: Namespace) -> None:
    """End a settlement in review whose invoice is paid, after a person has said that it was with this money."""
    asked = "I have looked: this invoice is paid, and it was with this money. Nothing is sent."
    with _decided(args, _settlement(args.settlement_id, check_in_review), asked) as (hook, shown):
        tell([confirmed_line(confirm(hook.desk(), args.settlement_id, shown))])


def run_accept(args: Namespace) -> None:
    """Let a payment that the bank changed or took back stand as it was first delivered."""
    asked = "I have looked: this payment stands as it was first delivered, as written above."
    with _decided(args, _amended(args.payment_id), asked) as (hook, shown):
        was_held = accept(hook.ledger, args.payment_id, shown)
        tell([accepted_line(args.payment_id, was_held=was_held)])


def run_dismiss(args: Namespace) -> None:
    """Take a payment out of matching, after a person has said that they have dealt with it elsewhere."""
    asked = "I have dealt with this payment elsewhere: it is paid back, put to an invoice by hand, or not ours."
    with _decided(args, _unpromised(args.payment_id), asked) as (hook, shown):
        is_new = dismissals.dismiss(hook.ledger, args.payment_id, _person(), shown)
        tell([dismissed_line(args.payment_id, is_new=is_new)])


def run_reopen(args: Namespace) -> None:
    """Take a dismissal back."""
    asked = "I have looked: this payment is to be matched again."
    with _decided(args, _payment(args.payment_id), asked) as (hook, shown):
        was_dismissed = dismissals.reopen(hook.ledger, args.payment_id, _person(), shown)
        tell([reopened_line(args.payment_id, was_dismissed=was_dismissed)])


def run_ignore(args: Namespace) -> None:
    """Ignore a record that cannot be read, after a person has said why, or take that back."""
    asked = "I have looked: this record is to wait for a person again." if args.undo else _IGNORED
    with _decided(args, _record(args.record_id, None if args.undo else args.reason), asked) as (hook, _):
        if args.undo:
            is_new = record_words.reopen(hook.ledger, args.record_id, _person())
        else:
            is_new = record_words.ignore(hook.ledger, args.record_id, _person(), args.reason)
        tell([ignored_line(args.record_id, undone=args.undo, is_new=is_new)])


def _person() -> str:
    try:
        return getuser()
    except (KeyError, OSError):
        # A container's user may have no name.
        return "a person"


def run_close(args: Namespace) -> None:
    """Close a case that a person has dealt with."""
    with _decided(args, _case(args.case_id), "I have dealt with this case.") as (hook, _):
        with hook.ledger.transaction() as connection:
            closed = close_one(connection, args.case_id)
        if not closed:
            raise ValueError(_no_case(args.case_id))
        tell([f"Case {args.case_id} is closed."])


@contextmanager
def _decided(args: Namespace, about: About[T], asked: str) -> Iterator[tuple[Bitrix24Hook, T]]:
    """A hook on the ledger that pays, once the person has seen what it is about and said yes, and what was shown."""
    with hooked(args) as hook:
        settings(hook)
        ledger = look_up(hook)
        if ledger.store is None:
            raise ValueError(f"--ledger-conn-id: {ledger.name}: no run has written here yet")
        shown, told = about(hook)
        # A word given to a copy would be lost, or worse, be kept by the wrong one.
        refuse_foreign_ledger(hook.desk(), VariablePins(), hook.own_pay_system, is_start=False)
        for line in told:
            note(line)
        if not confirmed(args, asked):
            note("Nothing was changed.")
            raise SystemExit(PROBLEM)
        yield hook, shown


def _settlement(settlement_id: int, check: Callable[[Row], None]) -> About[Row]:
    def about(hook: Bitrix24Hook) -> tuple[Row, Sequence[str]]:
        row = settlements.look(hook.ledger, settlement_id)
        # Before anybody is asked: the decision itself looks once more.
        check(row)
        with hook.ledger.snapshot() as connection:
            paid_with = statuses.paid_with(connection, settlement_id)
        why = f" ({row.reason})" if row.reason else ""
        invoice = f"invoice {row.invoice_number}, {Money(row.expected, row.currency)}, {IN_WORDS[row.state]}{why}"
        money = [_told(each, each["put"]) for each in paid_with]
        return row, [f"Settlement {settlement_id}: {invoice}", *_now(hook, row), *money, *map(_beside, row.siblings)]

    return about


def _now(hook: Bitrix24Hook, row: Row) -> list[str]:
    try:
        return [one_line(f"In Bitrix24 now: {words}.") for words in whereabouts(hook.desk(), [row]).values()]
    except (BitrixError, ValueError) as error:
        return [one_line(f"In Bitrix24 now: not known. {error}")]


def _payment(payment_id: int) -> About[Facts]:
    def about(hook: Bitrix24Hook) -> tuple[Facts, Sequence[str]]:
        with hook.ledger.snapshot() as connection:
            found = statuses.payment_of(connection, payment_id)
        return payments.facts(found), [_told(found, found["amount"])]

    return about


def _amended(payment_id: int) -> About[int]:
    def about(hook: Bitrix24Hook) -> tuple[int, Sequence[str]]:
        _, told = _payment(payment_id)(hook)
        with hook.ledger.snapshot() as connection:
            newest, revision = revisions.newest(connection, payment_id), revisions.of_held(connection).get(payment_id)
        changed = changes(revision.before, revision.now) if revision else ""
        return newest, [*told, f"The bank has changed {changed}"] if changed else told

    return about


def _record(record_id: int, reason: str | None) -> About[None]:
    def about(hook: Bitrix24Hook) -> tuple[None, Sequence[str]]:
        if reason is not None:
            record_words.check_reason(reason)
        with hook.ledger.snapshot() as connection:
            found = record_words.unread_of(connection, record_id)
        told = f"Record {record_id}, received {found['received_at']:%Y-%m-%d}: {found['detail']}"
        return None, [one_line(told), one_line(found["body"]), *([f"Reason: {one_line(reason)}"] if reason else [])]

    return about


def _unpromised(payment_id: int) -> About[Facts]:
    def about(hook: Bitrix24Hook) -> tuple[Facts, Sequence[str]]:
        with hook.ledger.snapshot() as connection:
            dismissals.refuse_promised(connection, payment_id)
        return _payment(payment_id)(hook)

    return about


def _case(case_id: int) -> About[None]:
    def about(hook: Bitrix24Hook) -> tuple[None, Sequence[str]]:
        with hook.ledger.snapshot() as connection:
            return None, [_of_case(connection, case_id)]

    return about


def _of_case(connection: Connection, case_id: int) -> str:
    found = next((each for each in open_cases(connection) if each["id"] == case_id), None)
    if found is None:
        raise ValueError(_no_case(case_id))
    money = Money(found["expected"], found["currency"])
    return f"Case {case_id}: {found['kind']}, invoice {found['invoice_number']}, {money}, since {found['opened_at']:%Y-%m-%d}"


def _no_case(case_id: int) -> str:
    return f"CASE_ID: {case_id} is no open case; `airflow b24 review` shows them"


def _beside(sibling: Sibling) -> str:
    money = Money(sibling.expected, sibling.currency)
    return f"Of the same payment: settlement {sibling.id}, invoice id {sibling.invoice_id}, {money}, {IN_WORDS[sibling.state]}"


def _told(payment: dict[str, Any], amount: int) -> str:
    words = (
        payment["key"].partition(":")[2],
        str(Money(amount, payment["currency"])),
        f"booked {payment['booked_on']}",
        payment["payer_name"],
    )
    return one_line(f"Payment {payment['id']}: {', '.join(filter(None, words))}")
