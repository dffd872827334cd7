"""The client of every step that is no attempt: it takes time, its requests fail, and its process may be gone."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from airflow_b24.bitrix.errors import BitrixError, RefusedError, ResponseError
from airflow_b24.bitrix.invoice import Invoice
from airflow_b24.bitrix.legacy_invoice import parse_invoice
from airflow_b24.bitrix.protocol import Request, Response, Wait, read_envelope
from airflow_b24.sandbox.wire import RestError
from tests.simulation.history import Read
from tests.simulation.portal import GET, Row
from tests.simulation.wire import Crash, Wire

LIST = "crm.invoice.list"
REQUISITES: dict[tuple[str, tuple[int, ...]], Any] = {}
PARSED: dict[int, tuple[Row, Invoice]] = {}


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

    def _serve(self, flow: Generator[Any, Any, Any], of: float) -> Any:
        if self.fast and flow.__name__ in {"all", "by_id"}:
            return self._list(flow, self.wire.timeline.now)
        if self.fast and flow.__name__ in {"_tax_ids", "_accounts"}:
            return self._company(flow, of)
        return self._drive(flow, of)

    def _list(self, flow: Generator[Any, Any, Any], of: float) -> list[Invoice]:
        """What a list of invoices would return, without the pages and filters between."""
        local = flow.gi_frame.f_locals  # type: ignore[attr-defined]
        asked = local["self"].filter if "self" in local else {}
        ids = set(local["ids"]) if "ids" in local else None
        paid, since = asked.get("=PAYED"), asked.get(">=DATE_PAYED", "")
        flow.close()
        rows = self.wire.portal.listed(of)
        if ids is not None:
            found = [row for row in rows if int(row["ID"]) in ids]
            self._note(found)
            return [parsed(row) for row in found]
        return [parsed(row) for row in rows if row["PAYED"] == paid and (not since or row["DATE_PAYED"] >= since)]

    def _company(self, flow: Generator[Any, Any, Any], of: float) -> Any:
        """Requisites never change in these worlds."""
        place = (flow.__name__, tuple(flow.gi_frame.f_locals["company_ids"]))  # type: ignore[attr-defined]
        if place not in REQUISITES:
            REQUISITES[place] = self._drive(flow, of)
        flow.close()
        return REQUISITES[place]

    def _note(self, rows: list[Row]) -> None:
        now, actor = self.wire.timeline.now, self.simulation.actor
        self.wire.entries.extend(Read(now, actor, int(row["ID"]), now, now, row["PAYED"] == "Y") for row in rows)

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
        if request.method == GET:
            row = portal.shows(int(request.arguments["id"]), of)  # type: ignore[call-overload]
            if row is not None:
                now = self.wire.timeline.now
                self.wire.entries.append(Read(now, self.simulation.actor, int(row["ID"]), now, of, row["PAYED"] == "Y"))
                return Response(row)
        try:
            result = portal.call(request.method, request.arguments)
        except RestError as error:
            return read_envelope(request, error.document(), status=error.status)
        if request.method == LIST and "@ID" in request.arguments["filter"]:  # type: ignore[operator]
            self._note(result.value)
        return Response(result.value, result.next, result.total)


def parsed(row: Row) -> Invoice:
    """Read a row, each but once: rows are never changed."""
    known = PARSED.get(id(row))
    if known is None or known[0] is not row:
        if len(PARSED) > 10_000:
            PARSED.clear()
        known = PARSED[id(row)] = (row, parse_invoice(row))
    return known[1]
