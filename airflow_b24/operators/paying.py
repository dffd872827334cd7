"""Steps that pay one: an invoice, or a payment of an order."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from airflow.sdk import Context

from airflow_b24.bitrix.fields import check_id
from airflow_b24.bitrix.pages import invoice_url
from airflow_b24.ledger.facts import Row
from airflow_b24.ledger.settlements import look
from airflow_b24.links import INVOICE_URL, InvoiceLink
from airflow_b24.operators.portal import PortalOperator, is_given
from airflow_b24.pins import VariablePins
from airflow_b24.reconcile.desk import Desk, PaySystem
from airflow_b24.reconcile.guarding import refuse_foreign_ledger, remember
from airflow_b24.reconcile.noting import note_on_invoices
from airflow_b24.reconcile.settling import settle_matched, settle_plain
from airflow_b24.results import describe, paid_or_raise


class PayInvoiceOperator(PortalOperator):
    """Marks one invoice paid, exactly once, and proves it by reading it back.

    A legacy invoice is paid through a pay system, a smart one by moving it to the stage of success of its own funnel.
    Returns `{"invoice_id", "invoice_type", "settlement_id", "status", "reason", "number", "amount", "currency"}`; `status` is `paid` (our call,
    proved), `already_paid` (by hand) or, when a `settlement_id` was given, `review`; a plain pay that needs a review
    fails. Repeating is safe: by `settlement_id`, else by invoice. A lost answer is retried by reading, at a time the
    error names; give the task `retries`.

    :param invoice_id: the invoice's id, a whole number ("5" is one, "5.0" is not)
    :param invoice_type: "legacy", "smart", or "auto": whichever the portal has; where it has both, a bare id says
        nothing and is refused. A `settlement_id` knows it by itself
    :param pay_system_id: the pay system to pay a legacy invoice through; wins over `bx_rest_handler`
    :param bx_rest_handler: code of a REST handler, whose first pay system is used
    :param settlement_id: what MatchPaymentsOperator returns beside the invoice's id
    """

    template_fields: Sequence[str] = (
        "invoice_id",
        "invoice_type",
        "pay_system_id",
        "bx_rest_handler",
        "settlement_id",
    )
    operator_extra_links = (InvoiceLink(),)

    def __init__(
        self,
        *,
        invoice_id: int | str,
        pay_system_id: int | str | None = None,
        bx_rest_handler: str | None = None,
        settlement_id: int | str | None = None,
        invoice_type: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.invoice_id = invoice_id
        self.invoice_type = invoice_type
        self.pay_system_id = pay_system_id
        self.bx_rest_handler = bx_rest_handler
        self.settlement_id = settlement_id
        # One that renders to nothing must not turn a matched payment into a plain pay.
        self._is_matched = settlement_id is not None

    def _work(self, context: Context) -> dict[str, Any]:
        invoice_id = check_id(self.invoice_id, "invoice_id")
        settlement_id = check_id(self.settlement_id, "settlement_id") if self._is_matched else None
        with self.hook as hook:
            pay_system = hook.pay_system(
                self.pay_system_id if is_given(self.pay_system_id) else None,
                self.bx_rest_handler if is_given(self.bx_rest_handler) else None,
            )
            desk = hook.desk(self.invoice_type if is_given(self.invoice_type) else None)
            refuse_foreign_ledger(desk, VariablePins(), pay_system, is_start=settlement_id is None)
            kind = desk.invoices.only_kind if settlement_id is None else look(desk.store, settlement_id).kind
            url = invoice_url(hook.settings.auth.origin, kind, invoice_id)
            context["ti"].xcom_push(key=INVOICE_URL, value=url)
            if settlement_id is None:
                settled = settle_plain(desk, invoice_id, pay_system)
                self._remember(desk)
            else:
                settled = settle_matched(desk, settlement_id, invoice_id, pay_system)
            write_on_invoices(desk, [settled.row], in_timeline=hook.settings.timeline_comments, log=self.log)
        # For map_index_template: the number an accountant knows, also when the task fails.
        cast_context: Any = context
        cast_context["invoice_number"] = settled.row.invoice_number
        result = paid_or_raise(settled, matched=self._is_matched)
        self.log.info("Invoice %s: %s", settled.row.invoice_number, describe(result))
        return result

    def _remember(self, desk: Desk) -> None:
        try:
            remember(desk, VariablePins())
        except Exception as error:  # noqa: BLE001 - whatever it is, what was settled is settled
            self.log.warning("The pin of the ledger was not moved on (%s); the next run does it", type(error).__name__)


class PayPaymentOperator(PortalOperator):
    """Marks one payment of an order (of a shop, a deal or a smart invoice) paid, exactly once, and proves it.

    Returns `{"payment_id", "settlement_id", "status", "number", "amount", "currency"}`, with the same `status` as
    PayInvoiceOperator's plain pay. Repeating is safe by payment.

    :param payment_id: the payment's id, as `crm.item.payment.list` shows it
    :param pay_system_id: the pay system to pay through, which the payment must be bound to; its own if empty
    """

    template_fields: Sequence[str] = ("payment_id", "pay_system_id")

    def __init__(self, *, payment_id: int | str, pay_system_id: int | str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.payment_id = payment_id
        self.pay_system_id = pay_system_id

    def _work(self, context: Context) -> dict[str, Any]:
        payment_id = check_id(self.payment_id, "payment_id")
        chosen = check_id(self.pay_system_id, "pay_system_id") if is_given(self.pay_system_id) else None
        pay_system = None if chosen is None else PaySystem(chosen)
        with self.hook as hook:
            desk = hook.desk()
            refuse_foreign_ledger(desk, VariablePins(), hook.own_pay_system)
            settled = settle_plain(desk, payment_id, pay_system, kind="payment")
        result = paid_or_raise(settled, matched=False)
        self.log.info("Payment %s: %s", settled.row.invoice_number, describe(result))
        return {"payment_id": result.pop("invoice_id"), **result}


def write_on_invoices(desk: Desk, rows: Sequence[Row], *, in_timeline: bool, log: Any) -> None:
    """Write on invoices what they were paid with, as far as that is wished; what cannot be is left to the sweep."""
    tell = partial(log.info, "Written on %s of %s invoices")
    try:
        note_on_invoices(desk, rows, in_timeline=in_timeline, tell=tell)
    except Exception as error:  # noqa: BLE001 - whatever it is, what was settled is settled
        log.warning("Not everything was written on the invoices, a later sweep tries again: %s", error)
