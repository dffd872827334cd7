"""Whether a smart invoice has ever been paid: the invoice itself remembers one stage back, its history all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from airflow_b24.bitrix.errors import BitrixError, RequestError, ResponseError
from airflow_b24.bitrix.fields import UNEXPECTED_VALUE, is_rows, read_id, read_text
from airflow_b24.bitrix.flows import Flow, Repeats, attempt, batch
from airflow_b24.bitrix.protocol import Request, Response
from airflow_b24.bitrix.stages import SMART_INVOICE, Stages

METHOD: Final = "crm.stagehistory.list"

# The newest record of a stage that means paid, "" when there is none, None where the portal keeps no history.
LastPaid = str | None


def last_paid(invoice_id: int, stages: Stages, repeats: Repeats, *, paced: bool) -> Flow[LastPaid | BitrixError]:
    """Read when an invoice came to a stage that means paid last; an error is returned, not raised. Repeating is safe."""
    request = Request(METHOD, _arguments(invoice_id, stages), write=False, paced=paced)
    return _read((yield from attempt(request, repeats)), invoice_id, stages)


def last_paid_of(ids: Sequence[int], stages: Stages) -> Flow[dict[int, LastPaid | BitrixError]]:
    """The same for many, 50 to a request."""
    outcomes = yield from batch({str(each): (METHOD, _arguments(each, stages)) for each in ids})
    return {int(name): _read(outcome, int(name), stages) for name, outcome in outcomes.items()}


def _arguments(invoice_id: int, stages: Stages) -> dict[str, object]:
    # docs: the page of crm.stagehistory.list; an array of values is one of them.
    of = {"OWNER_ID": invoice_id, "STAGE_ID": stages.paid_ids}
    return {
        "entityTypeId": SMART_INVOICE,
        "order": {"ID": "DESC"},
        "filter": of,
        "select": ["ID", "OWNER_ID", "STAGE_ID"],
    }


def _read(outcome: Response | BitrixError, invoice_id: int, stages: Stages) -> LastPaid | BitrixError:
    if isinstance(outcome, RequestError):
        # No such method for invoices, or no right to it: what the invoice itself remembers has to do.
        return None
    if isinstance(outcome, BitrixError):
        return outcome
    rows = outcome.result.get("items") if isinstance(outcome.result, dict) else None
    if not is_rows(rows):
        return ResponseError(UNEXPECTED_VALUE, "items: expected a list of objects", method=METHOD)
    try:
        ids = [read_id(row, "ID") for row in rows if _is_asked_for(row, invoice_id, stages)]
    except ResponseError as error:
        return error
    return str(max(ids)) if ids else ""


def _is_asked_for(row: Mapping[str, object], invoice_id: int, stages: Stages) -> bool:
    # The portal drops a condition that it does not know, and returns more.
    return read_id(row, "OWNER_ID") == invoice_id and stages.is_paid(read_text(row, "STAGE_ID"))
