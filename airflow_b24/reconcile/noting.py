"""Noting: what invoices were paid with is written on them as far as people wish, and again later where that failed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Final

from airflow_b24.bitrix.abreast import abreast
from airflow_b24.bitrix.commands import is_closed_to_all
from airflow_b24.bitrix.errors import BitrixError
from airflow_b24.bitrix.flows import Flow
from airflow_b24.ledger import identity, notes, statuses
from airflow_b24.ledger.facts import Kind, Row
from airflow_b24.ledger.states import State
from airflow_b24.reconcile.commenting import comment
from airflow_b24.reconcile.desk import Desk
from airflow_b24.reconcile.progressing import show_progress

# Some ten requests for each chunk, which the payments of this run want too.
AT_ONCE: Final = 500
# So many are written on side by side: as many comments as a batch holds.
CHUNK: Final = 50

Trouble = BitrixError | ValueError
Tell = Callable[[int, int], object]


def note_on_invoices(
    desk: Desk, rows: Iterable[Row], *, in_timeline: bool, tell: Tell = lambda written, of: None
) -> int:
    """Write the progress and, if wished, the comment of what our calls have paid; returns on how many all is written.

    What another task is writing on is left to it. The ledger keeps of each whether that went well; `tell` hears now and
    then on how many of how many it did. One that fails keeps no other from anything; only a portal that is closed to all
    ends it. Raises the first BitrixError or ValueError at the end, LedgerError at once. Repeating is safe by settlement:
    what stands there is looked for first.
    """
    kinds = _kinds(desk, in_timeline=in_timeline)
    sent = (row.id for row in rows if row.state is State.PAID and row.how == "sent" and row.kind in kinds)
    wished, written, troubles = list(dict.fromkeys(sent)), 0, list[Trouble]()
    for start in range(0, len(wished), CHUNK):
        chunk = notes.take_all(desk.store, wished[start : start + CHUNK])
        found = _written(desk, chunk, in_timeline=in_timeline)
        notes.note_all(desk.store, [(row, _said(found.get(row.id, []))) for row in chunk])
        written += len(chunk) - len(found)
        tell(written, len(wished))
        here = list(chain.from_iterable(found.values()))
        _raise_first(filter(is_closed_to_all, here))
        troubles += here
    _raise_first(troubles)
    return written


def note_again(desk: Desk, *, in_timeline: bool) -> int:
    """Write on paid invoices what is missing there, at most AT_ONCE of them; returns on how many it was written.

    Those that were paid within 7 days, but for the last hour: who pays writes as well. Raises and repeats as
    `note_on_invoices` does.
    """
    kinds = _kinds(desk, in_timeline=in_timeline)
    if not kinds:
        return 0
    return note_on_invoices(desk, notes.unwritten(desk.store, desk.portal_id, kinds, AT_ONCE), in_timeline=in_timeline)


def _kinds(desk: Desk, *, in_timeline: bool) -> tuple[Kind, ...]:
    """Of which kinds anything is to be written on."""
    if in_timeline:
        return "legacy", "smart"
    return ("smart",) if desk.wishes.fields else ()


def _written(desk: Desk, rows: Sequence[Row], *, in_timeline: bool) -> Mapping[int, Sequence[Trouble]]:
    """Write on invoices side by side; returns the troubles of each that had any."""
    with desk.store.snapshot() as connection:
        payments = statuses.paid_with_all(connection, [row.id for row in rows])
        ledger = identity.read(connection).id
    flows: dict[tuple[int, str], Flow[bool]] = {}
    for row in rows:
        if desk.wishes.fields:
            flows[row.id, "progress"] = show_progress(desk.wishes.fields, row, payments[row.id])
        if in_timeline:
            flows[row.id, "comment"] = comment(row, payments[row.id], ledger)
    troubles: dict[int, list[Trouble]] = {}
    for (settlement_id, _), outcome in desk.client.run(abreast(flows)).items():
        if isinstance(outcome, (BitrixError, ValueError)):
            troubles.setdefault(settlement_id, []).append(outcome)
    return troubles


def _raise_first(troubles: Iterable[Trouble]) -> None:
    for trouble in troubles:
        raise trouble


def _said(troubles: Sequence[Trouble]) -> str:
    """The first of them, in words."""
    for trouble in troubles:
        return trouble.said if isinstance(trouble, BitrixError) else str(trouble)
    return ""
