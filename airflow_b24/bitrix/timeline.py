"""Comments in the timeline of a CRM object: found by a marker of ours, and written once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from airflow_b24.bitrix.errors import ResponseError
from airflow_b24.bitrix.fields import UNEXPECTED_VALUE, is_rows, read_id, read_moment
from airflow_b24.bitrix.flows import Flow, call
from airflow_b24.bitrix.invoice import Invoice
from airflow_b24.bitrix.stages import SMART_INVOICE

_LIST: Final = "crm.timeline.comment.list"


class Place(NamedTuple):
    """The CRM object whose timeline is written in."""

    entity_type: str
    entity_id: int


def place_of_smart(invoice_id: int) -> Place:
    """Return where a comment on a smart invoice belongs: it has a timeline of its own."""
    # docs: crm.timeline.comment.add. The type of an item is `dynamic_` and its number.
    return Place(f"dynamic_{SMART_INVOICE}", invoice_id)


def place_of_legacy(invoice: Invoice) -> Place | None:
    """Return where a comment on a legacy invoice belongs: it has no timeline, its deal or company has.

    None when there is neither.
    """
    if invoice.deal_id is not None:
        return Place("deal", invoice.deal_id)
    return None if invoice.company_id is None else Place("company", invoice.company_id)


def comment_once(place: Place, text: str, marker: str, since: datetime) -> Flow[int | None]:
    """Write a comment that ends in its marker and return its id; None when one with the marker is there already.

    None with the marker can be older than `since`. Raises BitrixError. Repeating is safe, also after a lost answer: what is there is looked for first.
    """
    if (yield from _has(place, marker, since)):
        return None
    fields = {"ENTITY_TYPE": place.entity_type, "ENTITY_ID": place.entity_id, "COMMENT": f"{text}\n{marker}"}
    response = yield from call("crm.timeline.comment.add", {"fields": fields}, write=True)
    return read_id({"result": response.result}, "result")


def _has(place: Place, marker: str, since: datetime) -> Flow[bool]:
    # docs: the page of crm.timeline.comment.list. Newest first; 50 to a page, and no filter by time.
    start: int | None = 0
    while start is not None:
        arguments = {
            "filter": {"ENTITY_TYPE": place.entity_type, "ENTITY_ID": place.entity_id},
            "select": ["ID", "CREATED", "COMMENT"],
            "order": {"ID": "DESC"},
            "start": start,
        }
        response = yield from call(_LIST, arguments)
        rows = response.result
        if not is_rows(rows):
            raise ResponseError(UNEXPECTED_VALUE, "expected a list of comments", method=_LIST)
        if any(str(row.get("COMMENT") or "").rstrip().endswith(marker) for row in rows):
            return True
        if _are_older(rows, since):
            return False
        start = response.next if response.next is not None and response.next > start else None
    return False


def _are_older(rows: Sequence[Mapping[str, Any]], since: datetime) -> bool:
    """Say whether these comments and all behind them are; nobody knows where a time cannot be read."""
    try:
        moments = [moment for row in rows if (moment := read_moment(row, "CREATED")) is not None]
    except ResponseError:
        return False
    # Where they do not descend as was asked, newer ones may follow.
    return len(moments) == len(rows) > 0 and max(moments) < since and moments[0] >= moments[-1]
