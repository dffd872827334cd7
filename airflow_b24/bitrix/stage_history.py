"""Where a smart invoice has been: the invoice itself remembers one stage back, its history all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from airflow_b24.bitrix.errors import BitrixError, RequestError, ResponseError
from airflow_b24.bitrix.fields import UNEXPECTED_VALUE, is_rows, read_id, read_text
from airflow_b24.bitrix.flows import Flow, Repeats, attempt, batch
from airflow_b24.bitrix.protocol import Request, Response
from airflow_b24.bitrix.stages import SMART_INVOICE, Stages

METHOD: Final = "crm.stagehistory.list"
# docs: a list gives 50 rows to a page.
PAGE: Final = 50


@dataclass(frozen=True, slots=True)
class History:
    """The stage that an invoice came to last, and the newest record of one that means paid, empty when there is none."""

    stage_id: str
    paid: str


def read_history(
    invoice_id: int, stages: Stages, repeats: Repeats, *, paced: bool
) -> Flow[History | BitrixError | None]:
    """Read an invoice's history, None where the portal keeps none; an error is returned, not raised."""
    request = Request(METHOD, arguments(invoice_id), write=False, paced=paced)
    return read((yield from attempt(request, repeats)), invoice_id, stages)


def read_histories(ids: Sequence[int], stages: Stages) -> Flow[dict[int, History | BitrixError | None]]:
    """The same for many, 50 to a request."""
    outcomes = yield from batch({str(each): (METHOD, arguments(each)) for each in ids})
    return {int(name): read(outcome, int(name), stages) for name, outcome in outcomes.items()}


def paid_records(ids: Sequence[int], stages: Stages) -> Request:
    """Return what asks for the records with which any of these invoices came to a stage that means paid."""
    # docs: the page of crm.stagehistory.list; an array of values is one of them.
    of = {"OWNER_ID": list(ids), "STAGE_ID": stages.paid_ids}
    return Request(METHOD, {**arguments(0), "filter": of}, write=False, paced=False)


def read_paid(outcome: Response | BitrixError, invoice_id: int, stages: Stages) -> str | BitrixError | None:
    """Read one invoice's newest record out of the answer to that; an error is returned, not raised.

    Raises nothing for a page that is full: what it leaves out may be the invoice's own, which must then be asked for.
    """
    if isinstance(outcome, Response) and _is_full(outcome.result):
        return RequestError("HISTORY_TOO_LONG", "the records do not fit into one page", method=METHOD)
    found = read(outcome, invoice_id, stages)
    if isinstance(found, BitrixError):
        return found
    return None if isinstance(outcome, BitrixError) else (found.paid if found else "")


def _is_full(result: object) -> bool:
    rows = result.get("items") if isinstance(result, dict) else None
    return isinstance(rows, list) and len(rows) >= PAGE


def arguments(invoice_id: int) -> dict[str, object]:
    """What is asked for: the newest page of one invoice's records."""
    # docs: the page of crm.stagehistory.list
    of, fields = {"OWNER_ID": invoice_id}, ["ID", "OWNER_ID", "STAGE_ID"]
    return {"entityTypeId": SMART_INVOICE, "order": {"ID": "DESC"}, "filter": of, "select": fields}


def read(outcome: Response | BitrixError, invoice_id: int, stages: Stages) -> History | BitrixError | None:
    """Read the portal's answer; an error is returned, not raised."""
    if isinstance(outcome, RequestError):
        # No such method for invoices, or no right to it: what the invoice itself remembers has to do.
        return None
    if isinstance(outcome, BitrixError):
        return outcome
    rows = outcome.result.get("items") if isinstance(outcome.result, dict) else None
    if not is_rows(rows):
        return ResponseError(UNEXPECTED_VALUE, "items: expected a list of objects", method=METHOD)
    try:
        return _history(rows, invoice_id, stages)
    except ResponseError as error:
        return error


def _history(rows: Sequence[Mapping[str, Any]], invoice_id: int, stages: Stages) -> History | None:
    # The portal drops a condition that it does not know, and returns more.
    mine = {read_id(row, "ID"): read_text(row, "STAGE_ID") for row in rows if read_id(row, "OWNER_ID") == invoice_id}
    paid = [each for each, stage_id in mine.items() if stages.is_paid(stage_id)]
    return History(mine[max(mine)], str(max(paid)) if paid else "") if mine else None
