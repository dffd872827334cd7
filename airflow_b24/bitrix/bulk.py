"""Paying many invoices and reading many in one request: a batch, of which each command has an outcome of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from airflow_b24.bitrix.commands import MAX_COMMANDS, decode, in_batch
from airflow_b24.bitrix.errors import BitrixError, ResponseError
from airflow_b24.bitrix.exchange import Exchanged, Order
from airflow_b24.bitrix.fields import read_id
from airflow_b24.bitrix.flows import QUICK, Flow, Reply, answered, attempt
from airflow_b24.bitrix.invoice import Invoice, InvoiceKey, Kind
from airflow_b24.bitrix.listing import Listing
from airflow_b24.bitrix.protocol import Request, Response

# docs: a list gives 50 rows to a page.
PAGE: Final = 50
# With what is read before and after at most 96 invoices: three pages at worst, where the kinds are two.
MOST_PAYS: Final[Mapping[frozenset[Kind], int]] = {
    frozenset({"legacy"}): MAX_COMMANDS - 2,
    # Beside each page the histories of what stands open.
    frozenset({"smart"}): MAX_COMMANDS - 4,
    frozenset({"legacy", "smart"}): MAX_COMMANDS - 5,
}

Outcomes = Mapping[str, Response | BitrixError]


@dataclass(frozen=True, slots=True)
class Beside:
    """What must be read after a list so that its invoices are whole, and how it is put to each of them."""

    request: Request
    put: Callable[[Invoice, Response | BitrixError], Invoice | BitrixError]


@dataclass(frozen=True, slots=True)
class Reading:
    """Invoices of one kind, at most a page of them, the list which shows them, and what is read beside it."""

    kind: Kind
    ids: Sequence[int]
    listing: Listing[Invoice]
    beside: Beside | None = None

    @property
    def keys(self) -> list[InvoiceKey]:
        """What is to be read."""
        return [InvoiceKey(self.kind, each) for each in self.ids]


def exchange_all(
    pays: Sequence[Order],
    readings: Sequence[Reading] = (),
    send_before: float | None = None,
    *,
    paced: bool = False,
) -> Flow[Exchanged]:
    """Pay invoices and then read invoices, in one request; errors are values, nothing is raised for one.

    Each pay has its own outcome: True, which proves nothing, or why not; all have the same when the whole request has
    failed. An invoice that the portal does not show is left out of what was read. With pays the request is sent once,
    not after `send_before` (an instant of `now_s`), and never repeated; without them it only reads, and is. Its slot
    must be reserved before, unless it is `paced`. Raises ValueError for more than a batch holds, or an invoice named twice.
    """
    _check(pays, readings)
    requests = dict(_commands(pays, readings))
    if not requests:
        return Exchanged({}, {})
    outcome = yield from _ask(in_batch(requests, write=bool(pays), paced=paced, send_before=send_before))
    if isinstance(outcome, BitrixError):
        unread = {key: outcome for reading in readings for key in reading.keys}
        return Exchanged({pay.key: outcome for pay in pays}, {**unread})
    outcomes = decode(outcome, requests)
    return Exchanged(dict(_paid(pays, outcomes)), dict(_read(readings, outcomes)))


def _check(pays: Sequence[Order], readings: Sequence[Reading]) -> None:
    if len({pay.key for pay in pays}) != len(pays):
        raise ValueError("pays: an invoice is named twice; pay it once")
    commands = len(pays) + sum(1 if each.beside is None else 2 for each in readings)
    if commands > MAX_COMMANDS or any(len(each.ids) > PAGE for each in readings):
        raise ValueError(f"pays, readings: a request holds {MAX_COMMANDS} commands, and a list {PAGE} invoices")


def _commands(pays: Sequence[Order], readings: Sequence[Reading]) -> Iterator[tuple[str, Request]]:
    # docs: batch. Commands run in their order, so that what is read is what has been paid.
    yield from ((f"p{index}", pay.request()) for index, pay in enumerate(pays))
    for index, reading in enumerate(readings):
        yield f"r{index}", reading.listing.request()
        if reading.beside is not None:
            yield f"b{index}", reading.beside.request


def _ask(request: Request) -> Flow[Response | BitrixError]:
    if not request.write:
        return (yield from attempt(request, QUICK))
    return _outcome((yield request))


def _outcome(reply: Reply) -> Response | BitrixError:
    return reply if isinstance(reply, BitrixError) else answered(reply)


def _paid(pays: Sequence[Order], outcomes: Outcomes) -> Iterator[tuple[InvoiceKey, bool | BitrixError]]:
    for index, pay in enumerate(pays):
        outcome = outcomes[f"p{index}"]
        yield pay.key, outcome if isinstance(outcome, BitrixError) else pay.is_answered(outcome)


def _read(readings: Sequence[Reading], outcomes: Outcomes) -> Iterator[tuple[InvoiceKey, Invoice | BitrixError]]:
    for index, reading in enumerate(readings):
        outcome = outcomes[f"r{index}"]
        if isinstance(outcome, BitrixError):
            yield from ((key, outcome) for key in reading.keys)
            continue
        for key, found in _listed(reading, outcome):
            if isinstance(found, Invoice) and reading.beside is not None:
                yield key, reading.beside.put(found, outcomes[f"b{index}"])
            else:
                yield key, found


def _listed(reading: Reading, response: Response) -> Iterable[tuple[InvoiceKey, Invoice | BitrixError]]:
    try:
        rows = reading.listing.rows(response)
    except ResponseError as error:
        return [(key, error) for key in reading.keys]
    # source-derived: crm.invoice.list drops a condition that it does not know, and shows more than was asked for.
    asked = frozenset(reading.keys)
    parsed = (_parsed(reading, row) for row in rows)
    return [(key, found) for key, found in parsed if key in asked]


def _parsed(reading: Reading, row: Mapping[str, Any]) -> tuple[InvoiceKey | None, Invoice | BitrixError]:
    """One row that cannot be read hides no other."""
    key: InvoiceKey | None = None
    try:
        key = InvoiceKey(reading.kind, read_id(row, reading.listing.id_field))
        return key, reading.listing.parse(row)
    except ResponseError as error:
        return key, error
