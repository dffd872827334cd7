from __future__ import annotations

import pytest

from airflow_b24.bitrix.methods import is_read, is_write


@pytest.mark.parametrize(
    "method",
    ["crm.invoice.get", "crm.invoice.list", "CRM.Invoice.Fields", "scope", "profile", "crm.status.entity.types"],
)
def test_what_is_known_to_read_may_be_repeated(method: str) -> None:
    assert is_read(method)
    assert not is_write(method)


@pytest.mark.parametrize(
    "method",
    ["sale.paysystem.pay.invoice", "crm.invoice.update", "batch", "unheard.of", "event.offline.get", "x.forget"],
)
def test_everything_else_counts_as_a_write(method: str) -> None:
    assert is_write(method)


def test_the_caller_may_know_better_but_not_about_a_pay() -> None:
    assert not is_write("unheard.of", claimed=False)
    assert is_write("crm.invoice.list", claimed=True)
    assert is_write("Sale.PaySystem.Pay.Invoice", claimed=False)
