"""Steps that bring money and invoices together, and look once more at what has ended; none of them pays."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from airflow.sdk import Context

from airflow_b24.hooks import Bitrix24Hook
from airflow_b24.ledger.settlements import due, still_quiet
from airflow_b24.operators.portal import PortalOperator, check_count, is_given
from airflow_b24.pins import VariablePins
from airflow_b24.reconcile.collecting import collect
from airflow_b24.reconcile.desk import Desk
from airflow_b24.reconcile.guarding import refuse_foreign_ledger, refuse_unknown_pays, remember
from airflow_b24.reconcile.matching import Mode, Witness, match_payments
from airflow_b24.reconcile.noting import note_again
from airflow_b24.reconcile.progressing import show_parts
from airflow_b24.reconcile.sweeping import sweep
from airflow_b24.reconcile.witnessing import paid_lately
from airflow_b24.sources import Source


class CollectPaymentsOperator(PortalOperator):
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


class MatchPaymentsOperator(PortalOperator):
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
        self.max_items = check_count(max_items, "max_items")

    def _work(self, context: Context) -> list[dict[str, int]]:
        mode = _mode(self.mode)
        with self.hook as hook:
            desk = hook.desk(self.invoice_type if is_given(self.invoice_type) else None)
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


class SweepLedgerOperator(PortalOperator):
    """Reads reviewed and lately ended invoices again, and finds what dead runs left; pays nothing itself.

    Comments and fields of progress that could not be written on paid invoices are tried again, for 7 days.

    Returns what was begun and has no end yet, `[{"invoice_id": int, "settlement_id": int}]`, for
    `PayMatchedInvoicesOperator(settlements=...)` or `PayInvoiceOperator.partial(...).expand_kwargs(...)`; its log says how
    many still wait, because their call may still land, and until when. Repeating is safe.

    :param max_items: at most so many; the rest comes with the next run
    """

    def __init__(self, *, max_items: int = 500, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_items = check_count(max_items, "max_items")

    def _work(self, context: Context) -> list[dict[str, int]]:
        with self.hook as hook:
            desk = hook.desk()
            refuse_foreign_ledger(desk, VariablePins(), hook.own_pay_system, paid=paid_lately(desk))
            counts = sweep(desk)
            begun = due(desk.store, desk.portal_id, self.max_items, begun=True)
            waiting, until = still_quiet(desk.store, desk.portal_id)
            self._note_again(desk, in_timeline=hook.settings.timeline_comments)
            remember(desk, VariablePins())
        self.log.info("Swept: %s; %s to finish now", counts, len(begun))
        if until is not None:
            text = (
                "%s more wait until %s (UTC) at most, for their call may still land: a later run or sweep finishes them"
            )
            self.log.info(text, waiting, f"{until:%Y-%m-%d %H:%M:%S}")
        return begun

    def _note_again(self, desk: Desk, *, in_timeline: bool) -> None:
        try:
            note_again(desk, in_timeline=in_timeline)
        except Exception as error:  # noqa: BLE001 - whatever it is, a later sweep tries again
            self.log.warning("Not everything was written on paid invoices, a later sweep tries again: %s", error)


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
