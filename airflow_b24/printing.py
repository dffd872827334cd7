"""What the commands print for people: readable without colour, in a file as well as in a terminal."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from airflow_b24.findings import Finding
from airflow_b24.preparation import Prepared
from airflow_b24.reconcile.reporting import Line

_SYMBOLS: Final = {"ok": "ok", "problem": "!!", "warning": " !", "not checkable": "??"}


def setup_lines(prepared: Prepared, portal: str, conn_id: str) -> Iterator[str]:
    """Say what was created, what was there, and what to do now."""
    yield f"Portal {portal} is prepared."
    yield from (f"  created  {what}" for what in prepared.created)
    yield from (f"  existed  {what}" for what in prepared.existing)
    yield "One of the pay systems is enough: it marks invoices to companies and to contacts paid alike."
    yield "The administrator's webhook was not stored: delete it on the portal, it is not needed any more."
    yield f"Put this into the extra of the connection {conn_id!r}, whose own webhook needs the scopes crm and pay_system:"


def finding_lines(found: Sequence[Finding]) -> Iterator[str]:
    """List findings, each with its fix below it, and counts at the end."""
    width = max(len(each.check) for each in found)
    for each in found:
        yield f"{_SYMBOLS[each.state]}  {each.check:<{width}}  {_printable(each.text)}"
        if each.fix:
            yield f"{'':{width + 6}}-> {_printable(each.fix)}"
    counts = Counter[str](each.state for each in found)
    yield ", ".join(
        f"{counts[state]} {state} ({symbol.strip()})" for state, symbol in _SYMBOLS.items() if counts[state]
    )


def review_lines(waiting: Sequence[Line]) -> Iterator[str]:
    """Show each payment with the reason and what the bank said, cut to the terminal's width."""
    if not waiting:
        yield "Nothing waits for a person."
        return
    width = shutil.get_terminal_size().columns
    for line in waiting:
        amount = "" if line.amount is None else str(line.amount)
        yield "  ".join(_printable(word) for word in (line.booked_on, amount, line.payer, line.payment) if word)
        yield f"    why       {_printable(line.why or line.reason)}"
        if line.invoices:
            yield f"    invoices  {_printable(line.invoices)}"
        if line.remittance:
            yield _cut(f"    text      {_printable(line.remittance)}", width)
    yield f"{len(waiting)} {'waits' if len(waiting) == 1 else 'wait'} for a person."


def _printable(text: str) -> str:
    # A bank's text may hold anything, also what moves a terminal's cursor.
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: max(width - 1, 1)]}…"
