"""The client of every step that is no attempt: it takes time, its requests fail, and its process may be gone."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

from airflow_b24.bitrix.errors import BitrixError, RefusedError, ResponseError
from airflow_b24.bitrix.invoice import Invoice
from airflow_b24.bitrix.legacy_invoice import parse_invoice
from airflow_b24.bitrix.listing import Listing
from airflow_b24.bitrix.protocol import Request, Response, Wait, read_envelope
from airflow_b24.bitrix.smart_invoice import parse_invoice as parse_smart
from airflow_b24.bitrix.smart_invoices import SmartInvoices
from airflow_b24.bitrix.stage_history import History
from airflow_b24.bitrix.stages import Stages
from airflow_b24.sandbox.wire import RestError
from tests.simulation.history import Read
from tests.simulation.portal import Row, Version
from tests.simulation.sides import GETS, HISTORY, LISTS, asked_for, last_paid
from tests.simulation.wire import Crash, Wire

REQUISITES: dict[tuple[str, tuple[int, ...]], Any] = {}
# What a portal has beside its invoices never changes in these worlds.
SETTLED: dict[tuple[str, Any], Any] = {}
PARSED: dict[int, tuple[Row, Invoice]] = {}
PARSED_SMART: dict[int, tuple[Row, Stages, Invoice]] = {}


class Client:
    """What a step that is no attempt (matching, sweeping, a person's release) uses: it takes time, others go on meanwhile."""

    def __init__(self, simulation: Any, *, fast: bool = False) -> None:
        self.simulation = simulation
        self.wire: Wire = simulation.wire
        self.fast = fast
        self.requests = 0

    def run(self, flow: Generator[Any, Any, Any]) -> Any:
        """Ask, and wait for the answer: by the time it is here the portal may look different."""
        wire, rng, actor = self.wire, self.wire.rng, self.simulation.actor
        takes = wire.latency()
        wire.timeline.pass_time(takes / 2)
        self.requests += 1
        self.simulation.actor = actor
        if wire.spoilt() and rng.random() < 0.3:
            flow.close()
            raise ResponseError("ANSWER_LOST") if rng.random() < 0.5 else RefusedError("QUERY_LIMIT_EXCEEDED")
        if wire.faults.crash and rng.random() < wire.faults.crash / 10:
            flow.close()
            raise Crash
        of = wire.timeline.now - wire.lag()
        found = self._serve(flow, of)
        wire.timeline.pass_time(takes / 2)
        self.simulation.actor = actor
        return found

    def iterate(self, listing: Listing[Invoice]) -> Iterator[Invoice]:
        """List at one moment."""
        return iter(self.run(listing.all()))

    def _serve(self, flow: Generator[Any, Any, Any], of: float) -> Any:
        if self.fast and flow.__name__ in {"all", "by_id"}:
            return self._list(flow, self.wire.timeline.now)
        if self.fast and flow.__name__ in {"_tax_ids", "_accounts"}:
            return self._company(flow, of)
        if self.fast and flow.__name__ in {"read_stages", "profile"}:
            return self._settled(flow, of)
        return self._drive(flow, of)

    def _list(self, flow: Generator[Any, Any, Any], of: float) -> list[Invoice]:
        """What a list of invoices would return, without the pages and filters between."""
        local = flow.gi_frame.f_locals  # type: ignore[attr-defined]
        flow.close()
        lister, portal = local.get("self"), self.wire.portal
        if "ids" in local:
            kind = "smart" if isinstance(lister, SmartInvoices) else "legacy"
            found = [each for each in portal.listed(kind, of) if each.truth.invoice[1] in set(local["ids"])]
            self._note(found)
            return [self._remembered(lister, each.row, of) if lister else parsed(each.row) for each in found]
        if lister.method == "crm.invoice.list":
            paid, since = lister.filter.get("=PAYED"), lister.filter.get(">=DATE_PAYED", "")
            rows = [each.row for each in portal.listed("legacy", of)]
            moved = lister.filter.get(">=DATE_STATUS", "")
            rows = [row for row in rows if row["DATE_STATUS"] >= moved and (not since or row["DATE_PAYED"] >= since)]
            return [parsed(row) for row in rows if paid in (None, row["PAYED"])]
        stages, moved = lister.filter.get("@stageId"), lister.filter.get(">=movedTime", "")
        rows = [each.row for each in portal.listed("smart", of)]
        return [
            lister.parse(row) for row in rows if row["movedTime"] >= moved and (not stages or row["stageId"] in stages)
        ]

    def _remembered(self, lister: SmartInvoices, row: Row, of: float) -> Invoice:
        """A smart invoice with what its stage history tells of it."""
        invoice, stages = lister._parse(row), lister.stages
        if invoice.status_id not in stages.open_ids:
            return invoice
        history = History(invoice.status_id, last_paid(invoice.id, stages.paid_ids, self.wire.portal.history_of(of)))
        return lister.with_history(invoice, history)  # type: ignore[return-value]

    def _settled(self, flow: Generator[Any, Any, Any], of: float) -> Any:
        place = (flow.__name__, flow.gi_frame.f_locals.get("wishes"))  # type: ignore[attr-defined]
        if place not in SETTLED:
            SETTLED[place] = self._drive(flow, of)
        flow.close()
        return SETTLED[place]

    def _company(self, flow: Generator[Any, Any, Any], of: float) -> Any:
        """Requisites never change in these worlds."""
        place = (flow.__name__, tuple(flow.gi_frame.f_locals["company_ids"]))  # type: ignore[attr-defined]
        if place not in REQUISITES:
            REQUISITES[place] = self._drive(flow, of)
        flow.close()
        return REQUISITES[place]

    def _note(self, found: list[Version]) -> None:
        now, actor = self.wire.timeline.now, self.simulation.actor
        self.wire.entries.extend(Read(now, actor, each.truth.invoice, now, now, each.truth.paid) for each in found)

    def _versions(self, kind: str, rows: list[Row], name: str) -> list[Version]:
        now, portal = self.wire.timeline.now, self.wire.portal
        found = (portal.shows((kind, int(row[name])), now) for row in rows)
        return [each for each in found if each is not None]

    def _drive(self, flow: Generator[Any, Any, Any], of: float) -> Any:
        reply: Any = None
        try:
            while True:
                effect = flow.send(reply)
                reply = None if isinstance(effect, Wait) else self._answer(effect, of)
        except StopIteration as stop:
            return stop.value

    def _answer(self, request: Request, of: float) -> Response | BitrixError:
        portal = self.wire.portal
        if request.method in GETS:
            key = asked_for(GETS, request.method, request.arguments)
            version = portal.shows(key, of)
            if version is not None:
                now = self.wire.timeline.now
                self.wire.entries.append(Read(now, self.simulation.actor, key, now, of, version.truth.paid))
                return Response(version.answer)
        if request.method == HISTORY:
            return Response(portal.stage_history(request.arguments, of).value)
        try:
            result = portal.call(request.method, request.arguments)
        except RestError as error:
            return read_envelope(request, error.document(), status=error.status)
        if request.method in LISTS:
            kind, name = LISTS[request.method]
            if f"@{name}" in request.arguments["filter"]:  # type: ignore[operator]
                self._note(self._versions(kind, result.value if kind == "legacy" else result.value["items"], name))  # type: ignore[arg-type,index]
        return Response(result.value, result.next, result.total)


def parsed_smart(row: object, stages: Stages, we: int | None = None) -> Invoice:
    """The same for a smart invoice, whose stages are the same ones time after time."""
    known = PARSED_SMART.get(id(row))
    if known is None or known[0] is not row or known[1] is not stages:
        if len(PARSED_SMART) > 10_000:
            PARSED_SMART.clear()
        known = PARSED_SMART[id(row)] = (row, stages, parse_smart(row, stages, we))  # type: ignore[assignment]
    return known[2]


def parsed(row: Row) -> Invoice:
    """Read a row, each but once: rows are never changed."""
    known = PARSED.get(id(row))
    if known is None or known[0] is not row:
        if len(PARSED) > 10_000:
            PARSED.clear()
        known = PARSED[id(row)] = (row, parse_invoice(row))
    return known[1]
