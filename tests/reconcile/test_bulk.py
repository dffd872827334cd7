"""Many settled at once, against a portal over HTTP: whatever becomes of a batch, each is paid once and told of."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from airflow_b24.bitrix.client import Client
from airflow_b24.ledger import settlements
from airflow_b24.ledger.settlement import Settled
from airflow_b24.ledger.states import State
from airflow_b24.reconcile.bulk import settle_all

PAY = "sale.paysystem.pay.invoice"
MANY = range(2, 32)


def ready(office: Any, ids: Any = MANY) -> dict[int, int]:
    """Invoices with their payments, matched: {settlement's id: its invoice's}."""
    for invoice_id in ids:
        office.bill(invoice_id)
        office.receive(invoice_id)
    office.match()
    return {settlement_id: invoice_id for invoice_id, settlement_id in office.due().items()}


def settle(office: Any, wanted: dict[int, int], **options: Any) -> dict[int, Any]:
    return settle_all(office.desk, wanted, office.pay_system, **{"lanes": 1, **options})


def states(outcomes: dict[int, Any]) -> list[str]:
    return sorted(
        {each.row.state.value if isinstance(each, Settled) else type(each).__name__ for each in outcomes.values()}
    )


def executed(office: Any) -> list[int]:
    return sorted({len(invoice.executed_pays) for invoice in office.state.invoices.values()})


def test_all_are_paid_once_and_proved_by_what_was_read_back(office: Any) -> None:
    wanted = ready(office)
    outcomes = settle(office, wanted, lanes=3)
    assert list(outcomes) == list(wanted)
    assert {(each.row.state, each.row.how, each.trouble) for each in outcomes.values()} == {(State.PAID, "sent", None)}
    assert (executed(office), office.asked(PAY)) == ([1], 0)
