"""A step that calls any REST method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowFailException

from airflow_b24.bitrix.errors import UnknownOutcomeError
from airflow_b24.bitrix.protocol import ANSWERS_TRUE
from airflow_b24.keys import refuse_tokens
from airflow_b24.operators.portal import PortalOperator


class Bitrix24Operator(PortalOperator):
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
