"""Poll a bank or gateway over HTTP, match what came in with Bitrix24 invoices, and mark the right ones paid, many at once.

The same as `b24_pay_from_http`, but one task pays all that was matched, up to 48 invoices to a request: for who has
hundreds or thousands of payments a day. It starts in shadow mode: everything is matched and reported, nothing is paid.
Set the param `mode` to "pay" when a day of reports looks right, and `start_from` to the first booking date that counts.

Needs two connections: `bitrix24_default` (Bitrix24) and `bank` (HTTP: the bank's address, its key in the headers).
Change the HttpSource below to what your bank answers.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.sdk import DAG, Param, task

from airflow_b24.hooks import Bitrix24Hook
from airflow_b24.operators import CollectPaymentsOperator, MatchPaymentsOperator, PayMatchedInvoicesOperator
from airflow_b24.paginators import JSONResponseCursorPaginator
from airflow_b24.payments.statements.records import RecordFields
from airflow_b24.sources import HttpSource

BANK = HttpSource(
    http_conn_id="bank",
    endpoint="bank/payments",
    data_selector="payments",
    since_param="from",
    paginator=JSONResponseCursorPaginator(cursor_path="next_cursor", cursor_param="cursor"),
    record_fields=RecordFields(
        remittance="purpose",
        payer_name="payer.name",
        payer_tax_id="payer.tax_id",
        payer_account="payer.account",
        direction="direction",
        status="status",
        time_zone="Europe/Moscow",
    ),
)

with DAG(
    dag_id="b24_pay_in_bulk",
    description="Collect payments, match them with Bitrix24 invoices, mark the proven ones paid in one task",
    doc_md=__doc__,
    schedule="*/15 * * * *",
    start_date=datetime(2026, 1, 1),  # noqa: DTZ001 - Airflow reads it in its own zone
    catchup=False,
    max_active_runs=1,
    tags=["bitrix24", "payments"],
    params={
        "mode": Param("shadow", enum=["shadow", "pay"], description="shadow: only look. pay: mark invoices paid."),
        "start_from": Param(
            None,
            type=["null", "string"],
            format="date",
            description="First booking date that counts (YYYY-MM-DD); earlier payments are ignored.",
        ),
    },
    default_args={"retries": 3, "retry_delay": timedelta(seconds=30)},
):
    collect = CollectPaymentsOperator(task_id="collect", source=BANK, start_from="{{ params.start_from or '' }}")

    match = MatchPaymentsOperator(task_id="match", mode="{{ params.mode }}", max_items=10_000)

    pay = PayMatchedInvoicesOperator(
        task_id="pay",
        settlements=match.output,
        lanes=4,
        retries=5,
        retry_delay=timedelta(seconds=30),
        retry_exponential_backoff=2.0,
    )

    @task(task_id="report", retries=1)
    def report() -> dict[str, object]:
        """Show what became of every payment; runs always, and one failed payment still fails the run."""
        return Bitrix24Hook().report()

    collect >> match >> pay >> report().as_teardown()
