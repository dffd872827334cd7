"""A step that pays many: everything that was matched, in as few requests as the portal's pace allows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from airflow.sdk import Context

from airflow_b24.bitrix.fields import check_id
from airflow_b24.hooks import Bitrix24Hook
from airflow_b24.ledger.facts import Row
from airflow_b24.ledger.settlement import Settled
from airflow_b24.ledger.settlements import look_all
from airflow_b24.ledger.states import State
from airflow_b24.operators.paying import write_on_invoices
from airflow_b24.operators.portal import PortalOperator, check_count, is_given
from airflow_b24.pins import VariablePins
from airflow_b24.reconcile.bulk import MOST_LANES, settle_all
from airflow_b24.reconcile.desk import PaySystem
from airflow_b24.reconcile.ending import Ending
from airflow_b24.reconcile.guarding import refuse_foreign_ledger
from airflow_b24.reconcile.lanes import Outcome, Progress
from airflow_b24.summaries import error_of, summed

SUMMARY = "summary"

FIX: Final = (
    'give what MatchPaymentsOperator returns, [{"invoice_id": 5, "settlement_id": 17}]: settlements=match.output'
)


class PayMatchedInvoicesOperator(PortalOperator):
    """Marks all matched invoices paid in one task, each exactly once and proved; as safe as one task for each.

    Returns `{"paid", "already_paid", "review", "waiting", "failed", "failures"}`: counts, and `failures` as a list of at
    most 50 `{"invoice_id", "settlement_id", "why"}`. When something has failed, or has no clear end yet, the task fails once all
    else is done, with the summary in the XCom `summary`: for good, or with the time at which trying again helps. Give it
    `retries`: an attempt goes on with what is left, and takes what has ended from the ledger, without asking the portal
    (SweepLedgerOperator finds what was taken back since). Repeating is safe by settlement.

    :param settlements: what MatchPaymentsOperator or SweepLedgerOperator returns, `[{"invoice_id", "settlement_id"}]`
    :param lanes: how many requests may be under way at once, from 1 to 12
    :param pay_system_id: the pay system to pay legacy invoices through; wins over `bx_rest_handler`
    :param bx_rest_handler: code of a REST handler, whose first pay system is used
    """

    template_fields: Sequence[str] = ("settlements", "pay_system_id", "bx_rest_handler")
    # Of the run that is under way or was the last one; each attempt has its own.
    _ending: Ending | None = None

    def __init__(
        self,
        *,
        settlements: Any,
        lanes: int = 4,
        pay_system_id: int | str | None = None,
        bx_rest_handler: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.settlements = settlements
        self.lanes = check_count(lanes, "lanes", MOST_LANES)
        self.pay_system_id = pay_system_id
        self.bx_rest_handler = bx_rest_handler

    def _work(self, context: Context) -> dict[str, Any]:
        wanted = _wanted(self.settlements)
        self._ending = ending = Ending()
        with self.hook as hook:
            pay_system = hook.pay_system(
                self.pay_system_id if is_given(self.pay_system_id) else None,
                self.bx_rest_handler if is_given(self.bx_rest_handler) else None,
            )
            outcomes = self._settle(hook, wanted, pay_system, ending)
        summary = summed(wanted, outcomes)
        self.log.info("Of %s invoices: %s", len(wanted), summary)
        error = error_of(outcomes, summary)
        if error is not None:
            context["ti"].xcom_push(key=SUMMARY, value=summary)
            raise error
        return summary

    def on_kill(self) -> None:
        """Let the run that is under way send nothing more: Airflow asks for that on SIGTERM, and after a timeout."""
        if self._ending is not None:
            self._ending.tell()

    def _settle(
        self, hook: Bitrix24Hook, wanted: Mapping[int, int], pay_system: PaySystem | None, ending: Ending
    ) -> Mapping[int, Outcome]:
        if not wanted:
            return {}
        desk = replace(hook.desk(), sleep=ending.sleep)
        refuse_foreign_ledger(desk, VariablePins(), pay_system, is_start=False)
        before = look_all(desk.store, wanted)
        outcomes = settle_all(desk, wanted, pay_system, lanes=self.lanes, tell=self._tell, ending=ending)
        if not ending.is_told:
            newly_paid = _newly_paid(before, outcomes.values())
            write_on_invoices(desk, newly_paid, in_timeline=hook.settings.timeline_comments, log=self.log)
        return outcomes

    def _tell(self, progress: Progress) -> None:
        trouble = f"; the portal said: {progress.trouble}" if progress.trouble else ""
        states = ", ".join(f"{count} {state}" for state, count in progress.states.items()) or "on their way"
        self.log.info("%s of %s done: %s%s", progress.done, progress.of, states, trouble)
        for why in progress.broken:
            self.log.warning("A lane ended early: %s", why)


def _newly_paid(before: Mapping[int, Row], outcomes: Iterable[Outcome]) -> list[Row]:
    settled = (each.row for each in outcomes if isinstance(each, Settled))
    return [row for row in settled if row.state is State.PAID and before[row.id].state is not State.PAID]


def _wanted(given: Any) -> dict[int, int]:
    """Read {settlement's id: its invoice's}. Raises ValueError naming the place."""
    wanted: dict[int, int] = {}
    if not isinstance(given, list):
        raise _unlike("settlements", given)
    for place, each in enumerate(given):
        name = f"settlements[{place}]"
        if not isinstance(each, dict):
            raise _unlike(name, each)
        if odd := set(each) ^ {"invoice_id", "settlement_id"}:
            raise ValueError(f"{name}: missing or unknown: {', '.join(sorted(map(str, odd)))}; {FIX}")
        settlement_id = check_id(each["settlement_id"], f"{name}.settlement_id")
        invoice_id = check_id(each["invoice_id"], f"{name}.invoice_id")
        if wanted.setdefault(settlement_id, invoice_id) != invoice_id:
            raise ValueError(f"{name}: settlement_id={settlement_id} is named with two invoices")
    return wanted


def _unlike(name: str, found: object) -> ValueError:
    return ValueError(f"{name}: found {type(found).__name__} {repr(found)[:80]}; {FIX}")
