"""Mark one invoice paid, from a form: Trigger, type the invoice's id, done once however often it is pressed."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from airflow_b24.operators import PayInvoiceOperator

with DAG(
    dag_id="b24_pay_one_invoice",
    description="Mark one Bitrix24 invoice paid, at the price it has now",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    tags=["bitrix24", "payments"],
    params={
        "invoice_id": Param(
            None, type=["null", "integer"], minimum=1, description="Id of the invoice, from its address."
        ),
        "invoice_type": Param(
            None,
            type=["null", "string"],
            enum=[None, "auto", "legacy", "smart"],
            description="Which invoice the id is of; the connection's kind if empty, auto: the one that the portal has.",
        ),
        "pay_system_id": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            description="Pay system to pay a legacy invoice through; empty: the connection's own.",
        ),
    },
):
    PayInvoiceOperator(
        task_id="pay",
        invoice_id="{{ params.invoice_id }}",
        invoice_type="{{ params.invoice_type or '' }}",
        pay_system_id="{{ params.pay_system_id or '' }}",
        retries=5,
        retry_delay=timedelta(seconds=30),
        retry_exponential_backoff=2.0,
    )
