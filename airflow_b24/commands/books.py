"""`airflow b24 ledger check|export|adopt`: the ledger itself is examined, written out, or taken for the one that pays."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

from airflow_b24.bitrix.invoice import Invoice
from airflow_b24.commands.answering import PROBLEM, as_json, confirmed, hooked, note, settings, tell
from airflow_b24.commands.lookup import Ledger, look_up
from airflow_b24.commands.printing import one_line, plural
from airflow_b24.ledger import adoptions
from airflow_b24.ledger.checking import Checked, check
from airflow_b24.ledger.store import Store
from airflow_b24.ledger.turnover import Turnover
from airflow_b24.ledger.violation import Violation
from airflow_b24.payments.errors import PaymentError
from airflow_b24.payments.money import Money
from airflow_b24.pins import VariablePins
from airflow_b24.reconcile.desk import Desk
from airflow_b24.reconcile.exporting import export
from airflow_b24.reconcile.guarding import Standing, compare, pin, standings
from airflow_b24.reconcile.witnessing import as_found, paid_lately, unknown_pays

_ASKED: Final = "I have looked: no other ledger pays on this portal, and the invoices above were paid. This ledger goes on from here."


def run_check(args: Namespace) -> None:
    """Verify the ledger's rules and its pins, and print the sums; exits with 1 when something is wrong."""
    with hooked(args) as hook:
        ledger = look_up(hook)
        store = _there(ledger)
        checked = check(store, _over(_day(args.before, "--before")))
        found = [*checked.violations, *_unpinned(store)]
        tell(as_json(_plain(ledger, checked, found)) if args.json else _check_lines(ledger, checked, found))
    if found:
        raise SystemExit(PROBLEM)


def run_export(args: Namespace) -> None:
    """Write every payment and what became of it, to a file of its owner's alone or to standard output."""
    with hooked(args) as hook:
        lines = export(_there(look_up(hook)), args.format, _day(args.since, "--since"))
        if args.output is None:
            tell(lines)
        else:
            _write(Path(args.output), lines, force=args.force)
            note(f"Wrote {args.output}")


def run_adopt(args: Namespace) -> None:
    """Show what speaks against this ledger and, when a person says so, let it pay from now on."""
    with hooked(args) as hook:
        settings(hook)
        desk, pins = hook.desk(), VariablePins()
        standing = compare(desk.store, pins, desk.portal_id)
        unknown = unknown_pays(desk, hook.own_pay_system, paid_lately(desk))
        tell([f"Ledger {look_up(hook).name}", *_adopt_lines(standing, unknown)])
        if standing.pins and standing.trouble is None and not unknown:
            tell(["It is the one that pays there already: nothing to adopt."])
            return
        if not confirmed(args, _ASKED):
            note("Nothing was changed.")
            raise SystemExit(PROBLEM)
        _adopt(desk, pins, unknown, is_doubtful=standing.trouble is not None or bool(unknown))


def _adopt(desk: Desk, pins: VariablePins, unknown: list[Invoice], *, is_doubtful: bool) -> None:
    suspended = adoptions.suspend(desk.store, desk.portal_id, desk.patience) if is_doubtful else 0
    adopted = adoptions.adopt(desk.store, desk.portal_id, [as_found(invoice) for invoice in unknown])
    # Read again: what was adopted is part of its story.
    standing = compare(desk.store, pins, desk.portal_id)
    pin(pins, standing)
    noun = "invoice" if adopted == 1 else "invoices"
    tell([f"Ledger {standing.ledger.id} pays on {standing.name} from now on; {adopted} {noun} adopted as paid."])
    if suspended:
        tell([f"{suspended} that it had begun or was about to pay now wait for a person: see `airflow b24 review`."])


def _adopt_lines(standing: Standing, unknown: list[Invoice]) -> Iterator[str]:
    yield f"This ledger   {standing.ledger.id}, {standing.ledger.mark} events"
    for name, pinned in standing.pinned.items():
        yield f"Pinned        {name}: " + ("nothing" if pinned is None else f"{pinned.id}, {pinned.mark} events")
    if standing.trouble is not None:
        yield f"Found         {standing.trouble}"
    yield f"Unknown pays  {len(unknown)} in the last 45 days, by our user"
    for invoice in unknown:
        day = invoice.paid_at.date().isoformat() if invoice.paid_at else ""
        yield f"  {one_line(invoice.number)}  {invoice.price} {invoice.currency}  paid {day}"


def _there(ledger: Ledger) -> Store:
    if ledger.store is None:
        raise ValueError(f"--ledger-conn-id: {ledger.name}: no run has written here yet")
    return ledger.store


def _unpinned(store: Store) -> Iterator[Violation]:
    """What would stop paying at once: see `reconcile.guarding`."""
    for standing in standings(store, VariablePins()):
        if standing.trouble is not None:
            yield Violation("I5", f"portal {standing.name}", f"{standing.trouble}; see `airflow b24 ledger adopt`")


def _check_lines(ledger: Ledger, checked: Checked, found: list[Violation]) -> Iterator[str]:
    yield f"Ledger {ledger.name}"
    for each in checked.turnovers:
        came_in, *became = _sums(each).items()
        yield f"{one_line(each.account)}: in {came_in[1]} = {' + '.join(f'{name} {money}' for name, money in became)}"
    if checked.unread:
        yield f"{plural(checked.unread, 'record')} unread, not in the sums: see `airflow b24 review`."
    if checked.told_of:
        yield f"{plural(checked.told_of, 'record')} ignored by a person's word, not in the sums: see `airflow b24 report`."
    at = checked.checkpoint
    yield f"Checkpoint of the events before {at.before} (UTC): {at.events}, SHA-256 {at.sha256}"
    for each_found in found:
        yield f"!!  {each_found.rule:<4}  {one_line(each_found.row)}: {one_line(each_found.text)}"
    yield f"{plural(len(found), 'violation')}." if found else "Every rule holds."


def _plain(ledger: Ledger, checked: Checked, found: list[Violation]) -> dict[str, Any]:
    at = checked.checkpoint
    return {
        "ledger": ledger.name,
        "ok": not found,
        "accounts": [{"account": each.account, **_sums(each)} for each in checked.turnovers],
        "unread": checked.unread,
        "told_of": checked.told_of,
        "checkpoint": {"before": at.before.isoformat(), "events": at.events, "sha256": at.sha256},
        "violations": [asdict(each) for each in found],
    }


def _sums(each: Turnover) -> dict[str, str]:
    became = {"paid": each.paid, "waiting": each.waiting, "review": each.review, "dismissed": each.dismissed}
    return {name: _money(minor, each.currency) for name, minor in {"in": each.came_in, **became}.items()}


def _money(minor: int, currency: str) -> str:
    try:
        return str(Money(minor, currency))
    except PaymentError:
        # Only a ledger that was changed by hand: it must be shown all the same.
        return f"{minor} {currency or 'without a currency'} (minor units)"


def _day(given: str | None, name: str) -> date | None:
    try:
        return None if given is None else date.fromisoformat(given)
    except ValueError:
        raise ValueError(f"{name}: {given[:40] if given else given!r} is no date; write it like 2026-12-01") from None


def _over(before: date | None) -> date | None:
    if before is not None and before > datetime.now(UTC).date():
        raise ValueError(f"--before: the days before {before} are not over (UTC); give today or an earlier day")
    return before


def _write(path: Path, lines: Iterable[str], *, force: bool) -> None:
    """Write a file of its owner's alone: payers' names and tax ids are nobody else's."""
    if path.exists() and not force:
        raise ValueError(f"--output: {path} exists; give another name, or --force")
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.writelines(f"{line}\n" for line in lines)
        part.replace(path)
    except OSError as error:
        raise ValueError(f"--output: {path}: {error.strerror}; give a file in a folder you may write to") from None
    finally:
        part.unlink(missing_ok=True)
