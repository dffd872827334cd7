"""Finish what dead runs left, and look once more at what has ended: reviews close themselves, late trouble is shown.

Pays nothing that was not begun: it only brings settlements to an end whose call may have run. Needs the connection
`bitrix24_default`. Run it beside the paying DAG; once an hour is plenty.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.sdk import DAG

from airflow_b24.operators import PayMatchedInvoicesOperator, SweepLedgerOperator

with DAG(
    dag_id="b24_sweep_ledger",
    description="Finish what dead runs left, read reviewed and lately ended invoices again",
    doc_md=__doc__,
    schedule="@hourly",
    start_date=datetime(2026, 1, 1),  # noqa: DTZ001 - Airflow reads it in its own zone
    catchup=False,
    max_active_runs=1,
    tags=["bitrix24", "payments"],
    default_args={"retries": 3, "retry_delay": timedelta(seconds=30)},
):
    sweep = SweepLedgerOperator(task_id="sweep")

    PayMatchedInvoicesOperator(
        task_id="finish",
        settlements=sweep.output,
        retries=5,
        retry_delay=timedelta(seconds=30),
        retry_exponential_backoff=2.0,
    )
