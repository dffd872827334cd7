"""Airflow provider for Bitrix24 payments: matches incoming payments with invoices and marks the right one paid, once."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"


def get_provider_info() -> dict[str, Any]:
    """What Airflow asks every provider; called by each of its processes, so it imports nothing else."""
    from airflow_b24.provider_info import PROVIDER_INFO  # noqa: PLC0415

    return {**PROVIDER_INFO, "versions": [__version__]}
