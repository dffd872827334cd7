"""How the invoice of a settlement is marked paid: a legacy one through a pay system, a smart one by its stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from airflow_b24.bitrix.exchange import Order
from airflow_b24.bitrix.legacy_invoice import PayInvoice
from airflow_b24.bitrix.order_payments import PayPayment
from airflow_b24.bitrix.payment_documents import PayDocument
from airflow_b24.bitrix.smart_invoice import MoveInvoice
from airflow_b24.bitrix.stages import Stages
from airflow_b24.ledger.facts import DOCUMENT, ORDER, Kind, Row
from airflow_b24.reconcile.desk import Desk, PaySystem
from airflow_b24.reconcile.idle_pay_systems import refuse_idle, refuse_known_idle

STAGE: Final = "stage:"


class Way(Protocol):
    """One way to mark an invoice paid."""

    def through(self, marks: Mapping[str, str]) -> str:
        """Return what the call goes through, as the ledger writes it; `marks` are of the invoice as it was just read."""

    def order(self, row: Row) -> Order:
        """Return the call for a row that says what it goes through."""


@dataclass(frozen=True, slots=True)
class ByPaySystem:
    """`sale.paysystem.pay.invoice`."""

    pay_system: PaySystem

    def through(self, marks: Mapping[str, str]) -> str:
        """Return the pay system's name, whatever the invoice."""
        return self.pay_system.name

    def order(self, row: Row) -> Order:
        """Return the pay."""
        return PayInvoice(row.invoice_id, self.pay_system.pay_system_id, self.pay_system.bx_rest_handler)


@dataclass(frozen=True, slots=True)
class ByStage:
    """`crm.item.update`: to the stage of success in the invoice's own funnel, or the one that is wished for it."""

    stages: Stages

    def through(self, marks: Mapping[str, str]) -> str:
        """Return the stage. Raises ValueError when the funnel has not one."""
        return STAGE + self.stages.paid_stage(int(marks["categoryId"]))

    def order(self, row: Row) -> Order:
        """Return the move."""
        return MoveInvoice(row.invoice_id, row.pay_system.removeprefix(STAGE))


@dataclass(frozen=True, slots=True)
class ByPartialStage:
    """`crm.item.update`: to the stage where an invoice waits for the rest of its money."""

    stages: Stages

    def through(self, marks: Mapping[str, str]) -> str:
        """Return the stage; empty when people wish for none in this funnel."""
        wished = self.stages.partial_stage(int(marks["categoryId"]))
        return f"{STAGE}{wished}" if wished else ""

    def order(self, row: Row) -> Order:
        """Return the move."""
        return MoveInvoice(row.invoice_id, row.pay_system.removeprefix(STAGE))


@dataclass(frozen=True, slots=True)
class ByDocument:
    """`crm.item.payment.pay`: the payment document of the exact sum, which must be there."""

    def through(self, marks: Mapping[str, str]) -> str:
        """Return the document."""
        return DOCUMENT + marks["document"]

    def order(self, row: Row) -> Order:
        """Return the pay."""
        return PayDocument(row.invoice_id, int(row.pay_system.removeprefix(DOCUMENT)))


@dataclass(frozen=True, slots=True)
class ByOrderPaySystem:
    """`sale.paysystem.pay.payment`: through the pay system that the payment is bound to; another one is refused."""

    pay_system_id: int | None = None

    def through(self, marks: Mapping[str, str]) -> str:
        """Return the pay system. Raises ValueError when none is named and the payment is bound to none."""
        bound = self.pay_system_id or marks["paySystemId"]
        if not bound:
            raise ValueError(
                "pay_system_id: missing, and the payment is bound to no pay system; choose one in Bitrix24"
            )
        return f"{ORDER}{bound}"

    def order(self, row: Row) -> Order:
        """Return the pay."""
        return PayPayment(row.invoice_id, int(row.pay_system.removeprefix(ORDER)))


@dataclass(frozen=True, slots=True)
class AsBefore:
    """The very same call as before: what is unknown is sent again in no other way."""

    way: Way
    name: str

    def through(self, marks: Mapping[str, str]) -> str:
        """Return what it was sent through."""
        return self.name

    def order(self, row: Row) -> Order:
        """Return the same call."""
        return self.way.order(row)


def check_way(kind: Kind, pay_system: PaySystem | None) -> None:
    """Raise ValueError when an invoice of this kind cannot be paid with what is configured."""
    if kind == "legacy" and pay_system is None:
        raise ValueError(
            "pay_system_id or bx_rest_handler: both are missing; give one to the operator, or put pay_system_id into the "
            "connection's extra (`airflow-b24 setup` prints it)"
        )


def way_of(desk: Desk, row: Row, pay_system: PaySystem | None) -> Way:
    """How the row's invoice is to be marked paid.

    Raises ValueError when that is not configured, or through a pay system that does nothing; BitrixError.
    """
    if any(sibling.kind == "smart" for sibling in row.siblings):
        # What reading them takes is asked for before the claim, not within it.
        _ = desk.invoices.smart
    way = known_way(desk, row, pay_system)
    if pay_system is not None and not _was_sent(row):
        _refuse_idle(desk, row, pay_system)
    return way


def known_way(desk: Desk, row: Row, pay_system: PaySystem | None) -> Way:
    """The same without a question whether the pay system does anything, for who has asked it already."""
    before = row.pay_system if _was_sent(row) else ""
    if row.kind == "smart":
        return _smart_way(desk, before)
    if row.kind == "payment":
        way = ByOrderPaySystem(pay_system.pay_system_id if pay_system else None)
        return AsBefore(way, before) if before else way
    if before:
        return ByPaySystem(PaySystem.named(before))
    check_way(row.kind, pay_system)
    assert pay_system is not None  # noqa: S101 - looked at just above
    return ByPaySystem(pay_system)


def _was_sent(row: Row) -> bool:
    return bool(row.sends) and row.is_open_ended


def _refuse_idle(desk: Desk, row: Row, pay_system: PaySystem) -> None:
    if row.kind == "legacy":
        refuse_idle(desk, row, pay_system)
    elif row.kind == "payment" and pay_system.pay_system_id is not None:
        refuse_known_idle(desk, row, f"{ORDER}{pay_system.pay_system_id}")


def _smart_way(desk: Desk, before: str) -> Way:
    stages = desk.invoices.smart.stages
    by_document = before.startswith(DOCUMENT) if before else stages.wishes.mark_with == "payment"
    way = ByDocument() if by_document else ByStage(stages)
    return AsBefore(way, before) if before else way
