"""Noting: what an invoice was paid with is written on it as far as people wish, and again later where that failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from airflow_b24.bitrix.errors import AuthError, BitrixError, RefusedError
from airflow_b24.ledger import notes
from airflow_b24.ledger.facts import Row
from airflow_b24.ledger.states import State
from airflow_b24.reconcile.commenting import comment
from airflow_b24.reconcile.desk import Desk
from airflow_b24.reconcile.progressing import show_progress

# Each takes some requests, which the payments of this run want too.
AT_ONCE: Final = 50

Write = Callable[[Desk, Row], bool]


def note_on_invoice(desk: Desk, row: Row, *, in_timeline: bool) -> None:
    """Write the progress and, if wished, the comment of what our call has paid; the ledger keeps whether that went well.

    One that fails keeps the other from nothing. Raises the first BitrixError or ValueError at the end. Repeating is safe
    by settlement: what stands there already is looked for first.
    """
    writes = list(_wished(desk, row, in_timeline=in_timeline))
    troubles = [trouble for write in writes if (trouble := _tried(write, desk, row)) is not None]
    if writes:
        notes.note(desk.store, row, _said(troubles[0]) if troubles else "")
    for trouble in troubles:
        raise trouble


def note_again(desk: Desk, *, in_timeline: bool) -> int:
    """Write on paid invoices what is missing there, at most AT_ONCE at a time; returns on how many it was written.

    Those that were paid within 7 days, but for the last hour: who pays writes as well. One that cannot be written on
    stops no other, unless the portal is closed to all. Raises the first one's BitrixError or ValueError at the end. Repeating is safe.
    """
    if not in_timeline and not desk.wishes.fields:
        return 0
    written, troubles = 0, list[Exception]()
    for row in notes.unwritten(desk.store, desk.portal_id, AT_ONCE):
        try:
            note_on_invoice(desk, row, in_timeline=in_timeline)
            written += 1
        except (AuthError, RefusedError):
            raise
        except (BitrixError, ValueError) as error:
            troubles.append(error)
    for trouble in troubles:
        raise trouble
    return written


def _wished(desk: Desk, row: Row, *, in_timeline: bool) -> Iterator[Write]:
    if row.state is not State.PAID or row.how != "sent":
        return
    if row.kind == "smart" and desk.wishes.fields:
        yield show_progress
    if in_timeline:
        yield comment


def _tried(write: Write, desk: Desk, row: Row) -> BitrixError | ValueError | None:
    try:
        write(desk, row)
    except (BitrixError, ValueError) as error:
        return error
    return None


def _said(trouble: BitrixError | ValueError) -> str:
    return trouble.said if isinstance(trouble, BitrixError) else str(trouble)
