from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_b24.bitrix.stages import Wishes
from airflow_b24.ledger import statuses
from airflow_b24.reconcile.progressing import show_parts, show_progress
from airflow_b24.reconcile.settling import settle_matched

PAID, BALANCE, COUNT, LAST = (f"ufCrm_SMART_INVOICE_170000001{n}" for n in range(4))
FIELDS = {"paid": PAID, "balance": BALANCE, "payments": COUNT, "last_paid_on": LAST}
UPDATE = "crm.item.update"


@pytest.fixture
def parts(office: Any) -> Any:
    """A desk whose people want to see the progress."""
    office.state.smart_fields = {**office.state.smart_fields, **dict.fromkeys(FIELDS.values(), "x")}
    return office.with_desk(wishes=Wishes(fields=FIELDS))


def part(office: Any, key: str, amount: int, days_ago: int) -> None:
    office.receive(2, key=key, amount=amount, booked_on=office.today - timedelta(days=days_ago))
    office.match()


def progress(office: Any, row: Any) -> bool:
    with office.store.snapshot() as connection:
        payments = statuses.paid_with(connection, row.id)
    return bool(office.desk.client.run(show_progress(office.desk.wishes.fields, row, payments)))


def shown(office: Any) -> list[str]:
    custom = office.state.smart_invoices[2].custom
    return [custom.get(name, "") for name in (PAID, BALANCE, COUNT, LAST)]


def test_parts_are_shown_in_fields_until_the_invoice_is_paid(parts: Any) -> None:
    parts.smart_bill()
    part(parts, "id:1", 1800, 5)
    assert show_parts(parts.desk) == 1
    day = (parts.today - timedelta(days=5)).isoformat()
    assert (shown(parts), parts.state.smart_invoices[2].stage_id) == (["18.00", "100.00", "1", day], "DT31_5:S")
    assert show_parts(parts.desk) == 0
    part(parts, "id:2", 6000, 3)
    assert show_parts(parts.desk) == 1
    assert shown(parts)[:3] == ["78.00", "40.00", "2"]
    part(parts, "id:3", 4000, 2)
    row = settle_matched(parts.desk, parts.due()[2], 2, None).row
    assert progress(parts, row)
    assert (row.how, shown(parts)[:3]) == ("sent", ["118.00", "0.00", "3"])
    assert parts.state.smart_invoices[2].stage_id == "DT31_5:P"
    assert len(parts.state.smart_invoices[2].executed_pays) == 1
    assert not progress(parts, row)


@pytest.mark.parametrize("stage_id", ["DT31_5:P", "DT31_5:D"])
def test_an_invoice_that_is_paid_or_lost_meanwhile_is_never_moved(parts: Any, stage_id: str) -> None:
    parts.smart_bill()
    part(parts, "id:1", 1800, 5)
    parts.moves(2, stage_id)
    show_parts(parts.desk)
    assert (parts.state.smart_invoices[2].stage_id, shown(parts)[0]) == (stage_id, "18.00")


def test_without_a_wish_nothing_is_written_or_asked(office: Any) -> None:
    office.smart_bill()
    part(office, "id:1", 1800, 5)
    asked = len(office.state.journal)
    assert show_parts(office.desk) == 0
    assert len(office.state.journal) == asked


def test_what_a_person_paid_or_a_legacy_invoice_is_left_alone(parts: Any) -> None:
    parts.smart_bill()
    part(parts, "id:1", 11800, 2)
    parts.moves(2, "DT31_5:P")
    assert not progress(parts, settle_matched(parts.desk, parts.due()[2], 2, None).row)
    parts.bill(3, number="2026/3")
    parts.receive(3)
    parts.match()
    assert not progress(parts, settle_matched(parts.desk, parts.due()[3], 3, parts.pay_system).row)
    assert parts.asked(UPDATE) == 0
