"""What every step of a DAG shares: the connection, the ledger, and errors in Airflow's words."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseOperator, Context

from airflow_b24.hooks import Bitrix24Hook
from airflow_b24.retries import default_policy, for_airflow


class PortalOperator(BaseOperator):
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


def is_given(value: Any) -> bool:
    """Say whether an argument was given; a template that renders to nothing was not."""
    return value not in (None, "", "None")


def check_count(value: object, name: str, most: int | None = None) -> int:
    """Return a whole number above 0. Raises ValueError naming the argument."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1 or (most is not None and value > most):
        to = "above 0" if most is None else f"from 1 to {most}"
        raise ValueError(f"{name}: {value!r} is not usable; give a whole number {to}")
    return value
