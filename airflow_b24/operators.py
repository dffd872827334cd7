"""The steps of a DAG: collect payments, match them, pay invoices, or call any REST method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException

from airflow_b24.bitrix.errors import UnknownOutcomeError
from airflow_b24.bitrix.fields import check_id
from airflow_b24.bitrix.pages import invoice_url
from airflow_b24.bitrix.protocol import ANSWERS_TRUE
from airflow_b24.hooks import Bitrix24Hook
from airflow_b24.keys import refuse_tokens
from airflow_b24.ledger.facts import Row
from airflow_b24.ledger.settlements import due, look
from airflow_b24.links import INVOICE_URL, InvoiceLink
from airflow_b24.pins import VariablePins
from airflow_b24.reconcile.collecting import collect
from airflow_b24.reconcile.commenting import comment
from airflow_b24.reconcile.desk import Desk, PaySystem
from airflow_b24.reconcile.guarding import refuse_foreign_ledger, refuse_unknown_pays, remember
from airflow_b24.reconcile.matching import Mode, Witness, match_payments
from airflow_b24.reconcile.progressing import show_parts, show_progress
from airflow_b24.reconcile.settling import settle_matched, settle_plain
from airflow_b24.reconcile.sweeping import sweep
from airflow_b24.reconcile.witnessing import paid_lately
from airflow_b24.results import describe, paid_or_raise
from airflow_b24.retries import default_policy, for_airflow
from airflow_b24.sources import Source


class _PortalOperator(BaseOperator):
    """What all of ours share: the connection, the ledger, and retries at the time an error names."""

    ui_color = "#d8f3fd"

    def __init__(
        self,
        *,
        bitrix24_conn_id: str = Bitrix24Hook.default_conn_name,
        ledger_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.bitrix24_conn_id = bitrix24_conn_id
        self.ledger_conn_id = ledger_conn_id
        # After super().__init__: a default set before it is lost in `.partial()`, which passes None.
        if getattr(self, "retry_policy", None) is None and (policy := default_policy()) is not None:
            self.retry_policy = policy

    @property
    def hook(self) -> Bitrix24Hook:
        """A hook on this task's connection and ledger."""
        return Bitrix24Hook(self.bitrix24_conn_id, self.ledger_conn_id)

    def execute(self, context: Context) -> Any:
        """Do the operator's own part; errors leave in Airflow's words, without the chain that led to them."""
        try:
            return self._work(context)
        except Exception as error:  # noqa: BLE001 - translated, never swallowed
            translated = for_airflow(error)
        raise translated

    def _work(self, context: Context) -> Any:
        raise NotImplementedError


class PayInvoiceOperator(_PortalOperator):
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
                self.pay_system_id if _given(self.pay_system_id) else None,
                self.bx_rest_handler if _given(self.bx_rest_handler) else None,
            )
            desk = hook.desk(self.invoice_type if _given(self.invoice_type) else None)
            refuse_foreign_ledger(desk, VariablePins(), pay_system, is_start=settlement_id is None)
            kind = desk.invoices.only_kind if settlement_id is None else look(desk.store, settlement_id).kind
            url = invoice_url(hook.settings.auth.origin, kind, invoice_id)
            context["ti"].xcom_push(key=INVOICE_URL, value=url)
            if settlement_id is None:
                settled = settle_plain(desk, invoice_id, pay_system)
                self._remember(desk)
            else:
                settled = settle_matched(desk, settlement_id, invoice_id, pay_system)
            self._tell(desk, settled.row, in_timeline=hook.settings.timeline_comments)
        # For map_index_template: the number an accountant knows, also when the task fails.
        cast_context: Any = context
        cast_context["invoice_number"] = settled.row.invoice_number
        result = paid_or_raise(settled, matched=self._is_matched)
        self.log.info("Invoice %s: %s", settled.row.invoice_number, describe(result))
        return result

    def _tell(self, desk: Desk, row: Row, *, in_timeline: bool) -> None:
        """Write on the invoice what it was paid with, as far as that is wished."""
        try:
            show_progress(desk, row)
            if in_timeline:
                comment(desk, row)
        except Exception as error:  # noqa: BLE001 - whatever it is, what was settled is settled
            self.log.warning("Not everything was written on the invoice: %s; run the task again for it", error)

    def _remember(self, desk: Desk) -> None:
        try:
            remember(desk, VariablePins())
        except Exception as error:  # noqa: BLE001 - whatever it is, what was settled is settled
            self.log.warning("The pin of the ledger was not moved on (%s); the next run does it", type(error).__name__)


class PayPaymentOperator(_PortalOperator):
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
        chosen = check_id(self.pay_system_id, "pay_system_id") if _given(self.pay_system_id) else None
        pay_system = None if chosen is None else PaySystem(chosen)
        with self.hook as hook:
            desk = hook.desk()
            refuse_foreign_ledger(desk, VariablePins(), hook.own_pay_system)
            settled = settle_plain(desk, payment_id, pay_system, kind="payment")
        result = paid_or_raise(settled, matched=False)
        self.log.info("Payment %s: %s", settled.row.invoice_number, describe(result))
        return {"payment_id": result.pop("invoice_id"), **result}


class CollectPaymentsOperator(_PortalOperator):
    """Reads a payment source from where it stopped and keeps every record in the ledger.

    Returns counts `{"received", "new", "repeated", "ignored", "quarantined", "amended"}`. Repeating is safe: a payment
    is known by own account and id. A record that cannot be read is quarantined and stops no other.

    :param source: what to read, e.g. an HttpSource
    :param start_from: the first booking date (YYYY-MM-DD, in the account's zone) that counts; earlier payments are
        ignored by the rule `before_start`
    :param overlap: how far back each run reads again, for payments that arrive late
    """

    template_fields: Sequence[str] = ("start_from",)

    def __init__(
        self, *, source: Source, start_from: str, overlap: timedelta = timedelta(days=7), **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.start_from = start_from
        self.overlap = overlap

    def _work(self, context: Context) -> dict[str, int]:
        source = self.source.rendered(lambda value: self.render_template(value, context))
        start_from = _start_day(self.start_from)
        today = datetime.now(ZoneInfo(source.record_fields.time_zone)).date()
        with self.hook as hook:
            counts = collect(
                hook.ledger,
                source.name,
                source.read,
                source.record_fields,
                start_from=start_from,
                today=today,
                overlap=self.overlap,
            )
        self.log.info("Collected from %s: %s", source.name, counts)
        return counts


class MatchPaymentsOperator(_PortalOperator):
    """Matches payments in the ledger with the portal's invoices; only a named proof counts, the rest is for a person.

    Returns what can be paid now, `[{"invoice_id": int, "settlement_id": int}]`, for `PayInvoiceOperator.partial(...)
    .expand_kwargs`; in `shadow` it records what it would do and returns `[]`. Repeating is safe by payment and invoice.

    :param mode: "shadow" or "pay"
    :param invoice_type: "legacy", "smart", or "auto": all that the portal has
    :param max_items: at most so many; the rest comes with the next run
    """

    template_fields: Sequence[str] = ("mode", "invoice_type")

    def __init__(
        self, *, mode: str = "shadow", invoice_type: str | None = None, max_items: int = 500, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.mode = mode
        self.invoice_type = invoice_type
        self.max_items = _count(max_items)

    def _work(self, context: Context) -> list[dict[str, int]]:
        mode = _mode(self.mode)
        with self.hook as hook:
            desk = hook.desk(self.invoice_type if _given(self.invoice_type) else None)
            witness = self._guarded(hook, desk) if mode == "pay" else None
            counts = match_payments(desk, mode, datetime.now(ZoneInfo("UTC")).date(), witness)
            ready = due(desk.store, desk.portal_id, self.max_items) if mode == "pay" else []
            if mode == "pay":
                self._show_parts(desk)
                remember(desk, VariablePins())
        self.log.info("Matched (%s): %s; %s to settle now", mode, counts, len(ready))
        return ready

    def _show_parts(self, desk: Desk) -> None:
        try:
            show_parts(desk)
        except Exception as error:  # noqa: BLE001 - people see an older state for a while; what is ready is paid all the same
            self.log.warning("The progress of invoices paid in parts was not written: %s", error)

    def _guarded(self, hook: Bitrix24Hook, desk: Desk) -> Witness:
        """Refuse a ledger that must not pay; returns who looks at what the portal shows as paid."""
        refuse_foreign_ledger(desk, VariablePins(), hook.own_pay_system)
        return partial(refuse_unknown_pays, desk, hook.own_pay_system)


class SweepLedgerOperator(_PortalOperator):
    """Reads reviewed and lately ended invoices again, and finds what dead runs left; sends nothing itself.

    Returns what was begun and has no end yet, `[{"invoice_id": int, "settlement_id": int}]`, for
    `PayInvoiceOperator.partial(...).expand_kwargs(...)`. Repeating is safe.

    :param max_items: at most so many; the rest comes with the next run
    """

    def __init__(self, *, max_items: int = 500, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_items = _count(max_items)

    def _work(self, context: Context) -> list[dict[str, int]]:
        with self.hook as hook:
            desk = hook.desk()
            refuse_foreign_ledger(desk, VariablePins(), hook.own_pay_system, paid=paid_lately(desk))
            counts = sweep(desk)
            begun = due(desk.store, desk.portal_id, self.max_items, begun=True)
            remember(desk, VariablePins())
        self.log.info("Swept: %s; %s to finish now", counts, len(begun))
        return begun


class Bitrix24Operator(_PortalOperator):
    """Calls any REST method and returns its `result`.

    Reads are repeated on a passing fault; a write only when the portal refused it before running. A write whose answer
    is lost fails at once, whatever the task's `retries`: it may have happened, so read before it is sent again.

    :param method: for example "crm.company.list"
    :param arguments: the method's parameters, as the portal writes them
    """

    template_fields: Sequence[str] = ("method", "arguments")
    template_fields_renderers = {"arguments": "json"}  # noqa: RUF012 - Airflow's way

    def __init__(self, *, method: str, arguments: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.method = method
        self.arguments = arguments
        refuse_tokens(arguments)

    def _work(self, context: Context) -> Any:
        refuse_tokens(self.arguments)
        if self.method.lower() in ANSWERS_TRUE:
            raise ValueError(f"method: {self.method} is not safe to call as it is; use PayInvoiceOperator")
        try:
            with self.hook as hook:
                return hook.call(self.method, self.arguments).result
        except UnknownOutcomeError as error:
            text = str(error)
        # Airflow's retries would send it again; only a person, or a DAG that reads first, knows whether it may.
        raise AirflowFailException(text)


def _count(max_items: int) -> int:
    if isinstance(max_items, bool) or not isinstance(max_items, int) or max_items < 1:
        raise ValueError(f"max_items: {max_items!r} is not usable; give a whole number above 0")
    return max_items


def _given(value: Any) -> bool:
    # A template that renders to nothing means: not given.
    return value not in (None, "", "None")


def _start_day(value: str) -> date:
    try:
        return date.fromisoformat(str(value).strip())
    except ValueError:
        raise ValueError(
            f"start_from: {str(value)[:40]!r} is no date; give the first booking date that counts, for example "
            "2026-12-01 (in the example DAG: the param start_from), so that a first run never pays old history"
        ) from None


def _mode(value: str) -> Mode:
    if value == "shadow":
        return "shadow"
    if value == "pay":
        return "pay"
    raise ValueError(f'mode: {str(value)[:40]!r} is not known; give "shadow" (only look) or "pay"')
