"""What the commands print for people: readable without colour, in a file as well as in a terminal."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from airflow_b24.commands.ways import advice, ways_on
from airflow_b24.ledger.facts import Row
from airflow_b24.preparing.findings import Finding
from airflow_b24.preparing.setup import Prepared
from airflow_b24.reconcile.reporting import Line, page

_SYMBOLS: Final = {"ok": "ok", "problem": "!!", "warning": " !", "not checkable": "??"}


def setup_lines(prepared: Prepared, portal: str, conn_id: str, *, has_keys: bool) -> Iterator[str]:
    """Say what was created, what was there, and what to do now."""
    yield f"Portal {portal} is prepared."
    yield from (f"  created  {what}" for what in prepared.created)
    yield from (f"  existed  {what}" for what in prepared.existing)
    yield "One of the pay systems is enough: it marks invoices to companies and to contacts paid alike."
    yield "The administrator's webhook was not stored: delete it on the portal, it is not needed any more."
    if has_keys:
        yield f"Add this to the extra of the connection {conn_id!r}, and leave the application's keys that stand there:"
    else:
        yield f"Put this into the extra of the connection {conn_id!r}, whose own webhook needs the scopes crm and pay_system:"


def finding_lines(found: Sequence[Finding]) -> Iterator[str]:
    """List findings, each with its fix below it, and counts at the end."""
    width = max(len(each.check) for each in found)
    root = _root(found)
    for each in found:
        if each.waits:
            continue
        yield f"{_SYMBOLS[each.state]}  {each.check:<{width}}  {one_line(each.text)}"
        if each.fix:
            yield f"{'':{width + 6}}-> {one_line(each.fix)}"
        if each is root:
            yield _waiting_line([other.check for other in found if other.waits], width)
    counts = Counter[str](each.state for each in found)
    yield ", ".join(f"{counts[state]} {state}" for state in _SYMBOLS if counts[state])


def _root(found: Sequence[Finding]) -> Finding | None:
    """Return the finding that the first check not made waits for: the last fault before it."""
    first = next((index for index, each in enumerate(found) if each.waits), 0)
    faults = [each for each in found[:first] if each.state in {"problem", "not checkable"}]
    return faults[-1] if faults else None


def _waiting_line(checks: Sequence[str], width: int) -> str:
    count = "1 check waits" if len(checks) == 1 else f"{len(checks)} checks wait"
    return f"{_SYMBOLS['not checkable']}  {'':{width}}  {count} for this: {', '.join(checks)}."


def report_lines(shown: Sequence[Line], totals: Mapping[str, Any]) -> Iterator[str]:
    """Show payments as a table, then the totals of all of them."""
    if shown:
        yield page(list(shown))
        yield ""
    proven = f" ({totals['would_pay']} of them would be paid)" if totals["would_pay"] else ""
    waiting = f"{totals['waiting']} waiting{proven}"
    yield (
        f"{plural(totals['payments'], 'payment')}: {totals['paid']} paid ({totals['by_hand']} of them by hand), "
        f"{totals['review']} for review, {waiting}, {totals['ignored']} ignored"
        f"{_beside(totals['dismissed'], 'dismissed')}."
        f"{_cases(totals['open_cases'])}"
    )
    if totals["not_written"]:
        yield f"{plural(totals['not_written'], 'invoice')} could not be written on as wished: a later sweep tries again."
    yield from (f"Received on {one_line(account)}: {money}" for account, money in totals["received"].items())


def _cases(count: int) -> str:
    return f" {plural(count, 'open case')}: see `airflow b24 review`." if count else ""


def _beside(count: int, what: str) -> str:
    return f", {count} {what}" if count else ""


def released_line(row: Row) -> str:
    """Say what a release has done."""
    if row.allocated == 0:
        return f"Settlement {row.id} is released: invoice {one_line(row.invoice_number)} is free for a payment again."
    return (
        f"Settlement {row.id} is released: invoice {one_line(row.invoice_number)} and its payment are parted for good, "
        "and each is matched afresh with others."
    )


def retried_line(row: Row) -> str:
    """Say what a retry has done."""
    return f"Settlement {row.id} is ready again: the next paying run settles invoice {one_line(row.invoice_number)}."


def confirmed_line(row: Row) -> str:
    """Say what a confirmation has done."""
    return f"Settlement {row.id} is paid, by hand: invoice {one_line(row.invoice_number)} was paid with this money."


def accepted_line(payment_id: int, *, was_held: bool) -> str:
    """Say what accepting a payment has done."""
    if not was_held:
        return f"Payment {payment_id} was not held; nothing has changed."
    return f"Payment {payment_id} stands as it was first delivered; what it was held for goes on with the next sweep."


def dismissed_line(payment_id: int, *, is_new: bool) -> str:
    """Say what dismissing a payment has done."""
    if not is_new:
        return f"Payment {payment_id} is dismissed already; nothing has changed."
    return f"Payment {payment_id} is dismissed: it is matched no more. `airflow b24 ledger reopen` takes that back."


def reopened_line(payment_id: int, *, was_dismissed: bool) -> str:
    """Say what taking a dismissal back has done."""
    if not was_dismissed:
        return f"Payment {payment_id} is not dismissed; nothing has changed."
    return f"Payment {payment_id} is open again: the next matching run looks at it."


def ignored_line(record_id: int, *, undone: bool, is_new: bool) -> str:
    """Say what ignoring a record, or taking that back, has done."""
    if not is_new:
        return f"Record {record_id} was {'not ignored' if undone else 'ignored already'}; nothing has changed."
    return f"Record {record_id} {'waits for a person again' if undone else 'is ignored: it leaves the list'}."


def plural(count: int, noun: str) -> str:
    """So many of something, in words."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def review_lines(waiting: Sequence[Line], now: Mapping[int, str]) -> Iterator[str]:
    """Show each payment with the reason and what the bank said, cut to the terminal's width; `now` is by settlement."""
    if not waiting:
        yield "Nothing waits for a person."
        return
    width = shutil.get_terminal_size().columns
    for line in waiting:
        amount = "" if line.amount is None else str(line.amount)
        yield "  ".join(one_line(word) for word in (line.booked_on, amount, line.payer, line.payment) if word)
        yield f"    why       {one_line(line.why or line.reason)}"
        if line.invoices:
            yield f"    invoices  {one_line(line.invoices)}"
        if standing := now.get(line.settlement_id or 0):
            yield f"    now       {one_line(standing)}"
        if line.remittance:
            yield _cut(f"    text      {one_line(line.remittance)}", width)
        if advice(line):
            yield f"    do        {advice(line)}"
        yield from (
            f"    {word:<8}  airflow b24 ledger {word} {number}   {when}" for word, number, when in ways_on(line)
        )
    yield f"{len(waiting)} {'waits' if len(waiting) == 1 else 'wait'} for a person."


def one_line(text: str) -> str:
    """Return a text of foreign origin as one line without anything that cannot be printed."""
    # A bank's text may hold anything, also what moves a terminal's cursor.
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: max(width - 1, 1)]}…"
