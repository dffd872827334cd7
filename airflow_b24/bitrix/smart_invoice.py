"""A smart invoice out of a portal's row, and the order to mark one paid by moving its stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from airflow_b24.bitrix.errors import BitrixError, ResponseError
from airflow_b24.bitrix.fields import (
    UNEXPECTED_VALUE,
    check_id,
    read_amount,
    read_currency,
    read_day,
    read_funnel_id,
    read_id,
    read_link,
    read_moment,
    read_text,
    unexpected,
)
from airflow_b24.bitrix.invoice import Invoice, InvoiceKey, Kind, Mover
from airflow_b24.bitrix.protocol import Request, Response
from airflow_b24.bitrix.stage_history import History
from airflow_b24.bitrix.stages import SMART_INVOICE, Stages, check_stage_id

KIND: Final[Kind] = "smart"
# docs: crm/universal/object-fields, the fields of an invoice.
SELECT: Final = (
    "id",
    "accountNumber",
    "title",
    "stageId",
    "previousStageId",
    "categoryId",
    "movedBy",
    "movedTime",
    "opportunity",
    "currencyId",
    "companyId",
    "contactId",
    "mycompanyId",
    "begindate",
)


def parse_invoice(row: object, stages: Stages, we: int | None = None) -> Invoice:
    """Read one item of crm.item.get or .list; `we` is our own user's id. Raises ResponseError naming the field."""
    if not isinstance(row, Mapping):
        raise unexpected("item", "an object", row)
    stage_id, moved_by = read_text(row, "stageId"), read_link(row, "movedBy")
    paid, was_paid = stages.is_paid(stage_id), stages.is_paid(read_text(row, "previousStageId"))
    moved_at = read_moment(row, "movedTime")
    return Invoice(
        kind=KIND,
        id=read_id(row, "id"),
        number=read_text(row, "accountNumber"),
        topic=read_text(row, "title"),
        status_id=stage_id,
        paid=paid,
        cancelled=stages.is_lost(stage_id),
        # Moved from one stage that means paid to another (filed, say), it was paid earlier; nobody says when.
        paid_at=moved_at if paid and not was_paid else None,
        paid_by=moved_by if paid else None,
        paid_by_us=_is_ours(moved_by, we) if paid else None,
        # A stage that nobody knows: neither open nor paid can be said of it, so nothing is ever paid.
        price=read_amount(row, "opportunity") if stage_id in stages.by_id else None,
        currency=read_currency(row, "currencyId"),
        status_changed_at=read_text(row, "movedTime"),
        company_id=read_link(row, "companyId"),
        contact_id=read_link(row, "contactId"),
        my_company_id=read_link(row, "mycompanyId"),
        billed_on=read_day(row, "begindate"),
        raw=dict(row),
        category_id=read_funnel_id(row, "categoryId"),
        paid_before=read_text(row, "movedTime") if was_paid else "",
        moved_by=moved_by,
        moved_on=_moved_on(stages, stage_id, moved_by, we) if was_paid else None,
    )


def with_history(invoice: Invoice, history: History | None, stages: Stages, we: int | None) -> Invoice | BitrixError:
    """The invoice with all that the portal remembers of it: one that has ever been paid and stands open was moved on.

    An error when the history is older than the invoice, as a portal of several servers may show it.
    """
    if history is None:
        return invoice
    if history.paid:
        moved_on = _moved_on(stages, invoice.status_id, invoice.moved_by, we)
        return replace(invoice, paid_before=history.paid, moved_on=moved_on)
    if history.stage_id != invoice.status_id:
        text = f"stageId: {invoice.status_id}, and {history.stage_id} in the history; one of them is old"
        return ResponseError(UNEXPECTED_VALUE, text, method="crm.item.get")
    return invoice


def _moved_on(stages: Stages, stage_id: str, moved_by: int | None, we: int | None) -> Mover | None:
    """Say who moved an invoice on out of a stage that means paid; None for one that is at an end."""
    if stage_id not in stages.open_ids:
        return None
    if stage_id in stages.wishes.partial_stage:
        # Where parts wait for the rest nothing is paid, whoever moved it there.
        return "person"
    return "robot" if moved_by is None or moved_by == we else "person"


def _is_ours(moved_by: int | None, we: int | None) -> bool | None:
    """Say whether it was our user who moved it; None when a robot did, or nobody knows."""
    return None if moved_by is None or we is None else moved_by == we


@dataclass(frozen=True, slots=True)
class MoveInvoice:
    """The order to mark one smart invoice paid by moving it to a stage of its own funnel."""

    invoice_id: int
    stage_id: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "invoice_id", check_id(self.invoice_id, "invoice_id"))
        check_stage_id(self.stage_id, "stage_id")

    @property
    def key(self) -> InvoiceKey:
        """Return what it pays."""
        return InvoiceKey(KIND, self.invoice_id)

    def request(self, send_before: float | None = None) -> Request:
        """Return the move as a request whose slot is reserved already."""
        # docs: the page of crm.item.update
        arguments = {"entityTypeId": SMART_INVOICE, "id": self.invoice_id, "fields": {"stageId": self.stage_id}}
        return Request("crm.item.update", arguments, write=True, paced=False, send_before=send_before)

    def is_answered(self, response: Response) -> bool:
        """Say whether the portal answers with this invoice, whatever its stage is by now."""
        item = response.result.get("item") if isinstance(response.result, dict) else None
        return isinstance(item, dict) and str(item.get("id")) == str(self.invoice_id)
