"""The steps of a DAG: collect payments, match them, pay invoices, or call any REST method."""

from __future__ import annotations

from airflow_b24.operators.bulk import PayMatchedInvoicesOperator
from airflow_b24.operators.calling import Bitrix24Operator
from airflow_b24.operators.paying import PayInvoiceOperator, PayPaymentOperator
from airflow_b24.operators.reconciling import CollectPaymentsOperator, MatchPaymentsOperator, SweepLedgerOperator

__all__ = [
    "Bitrix24Operator",
    "CollectPaymentsOperator",
    "MatchPaymentsOperator",
    "PayInvoiceOperator",
    "PayMatchedInvoicesOperator",
    "PayPaymentOperator",
    "SweepLedgerOperator",
]
