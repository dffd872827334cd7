"""A DAG in which everything happens: success, and every failure that could show a secret. It holds none itself."""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
import warnings
from datetime import date, datetime, timedelta

from airflow.sdk import DAG, task

from airflow_b24.hooks import Bitrix24Hook
from airflow_b24.operators import (
    Bitrix24Operator,
    CollectPaymentsOperator,
    MatchPaymentsOperator,
    PayInvoiceOperator,
)
from airflow_b24.paginators import JSONResponseCursorPaginator
from airflow_b24.payments.statements.records import RecordFields
from airflow_b24.sources import HttpSource

TOLD = json.loads(os.environ["B24_SECRETS_TOLD"])
FIELDS = RecordFields(remittance="purpose", payer_name="payer.name", payer_tax_id="payer.tax_id")


def bank(**changed: object) -> HttpSource:
    usual = {"http_conn_id": "bank", "endpoint": "bank/payments", "data_selector": "payments", "record_fields": FIELDS}
    return HttpSource(**{**usual, "paginator": JSONResponseCursorPaginator(), **changed})  # type: ignore[arg-type]


def tried(what: str, act: object) -> str:
    """Let it fail, and say everything about it that a careless author would."""
    try:
        return f"{what}: {act()!r}"  # type: ignore[operator]
    except Exception as error:
        logging.getLogger("careless").exception("%s failed: %r", what, error)  # noqa: TRY401
        print(what, repr(error), vars(error))  # noqa: T201
        traceback.print_exc(file=sys.stderr)
        warnings.warn(f"{what}: {error}", stacklevel=2)
        return f"{what}: {error!r}"


with DAG(
    "secrets",
    schedule="@once",
    start_date=datetime(2026, 1, 1),  # noqa: DTZ001
    catchup=False,
    default_args={"retries": 0, "retry_delay": timedelta(seconds=1)},
):
    collect = CollectPaymentsOperator(
        task_id="collect", source=bank(), start_from="2026-01-01", ledger_conn_id="ledger", retries=2
    )
    match = MatchPaymentsOperator(task_id="match", mode="pay", ledger_conn_id="ledger", retries=2)
    pay = PayInvoiceOperator.partial(task_id="pay", ledger_conn_id="ledger", retries=2).expand_kwargs(match.output)

    @task
    def report() -> dict[str, object]:
        with Bitrix24Hook(ledger_conn_id="ledger") as hook:
            logging.getLogger("careless").info("%r %r %r", hook, hook.settings, vars(hook))
            return hook.report()

    collect >> match >> pay >> report()

    @task
    def careless() -> list[str]:
        """Ask for every fault, by every connection there is, and keep what is said about it."""
        said = []
        for conn_id, faults in TOLD["faults"].items():
            with Bitrix24Hook(conn_id, "ledger") as hook:
                said += [tried(conn_id, lambda hook=hook: hook.call("profile"))]
                for fault, encoding in faults:
                    arguments = {"fault": fault, "encoding": encoding}
                    said += [tried(fault, lambda hook=hook, sent=arguments: hook.call("crm.company.update", sent))]
            said += [f"{Bitrix24Hook(conn_id).test_connection()}"]
        said += [tried("no ledger", lambda: Bitrix24Hook().report())]
        for fault, encoding in TOLD["bank_faults"]:
            source = bank(params={"fault": fault, "encoding": encoding})
            said += [tried(f"bank, {fault}", lambda source=source: list(source.read(date(2026, 1, 1))))]
        return said

    careless()

    Bitrix24Operator(task_id="refused", method="profile", arguments={"fault": "refused credentials"})
    Bitrix24Operator(task_id="unreachable", method="profile", bitrix24_conn_id="unreachable")
    CollectPaymentsOperator(
        task_id="bank_fails", source=bank(params={"fault": "HTML"}), start_from="2026-01-01", ledger_conn_id="ledger"
    )
    # The configured ledger refuses its password, and quotes it.
    MatchPaymentsOperator(task_id="ledger_refuses", mode="pay")
    # A key in the query, as an API may want it: rendered when the task runs.
    CollectPaymentsOperator(
        task_id="key_in_query",
        source=bank(params={"api_key": "{{ conn.bank_query.password }}", "fault": "garbage in a header"}),
        start_from="2026-01-01",
        ledger_conn_id="ledger",
    )
