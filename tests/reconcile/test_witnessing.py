from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from airflow_b24.ledger import adoptions
from airflow_b24.reconcile.desk import PaySystem
from airflow_b24.reconcile.settling import settle_plain
from airflow_b24.reconcile.witnessing import as_found, paid_lately, unknown_pays
from airflow_b24.sandbox import seed
from airflow_b24.sandbox.state import MOSCOW

OURS = PaySystem(seed.REST_SYSTEM)
BY_HANDLER = PaySystem(bx_rest_handler=seed.HANDLER)


def paid(office: Any, invoice_id: int = 2, by: int = seed.TECHNICAL, through: int = seed.REST_SYSTEM) -> None:
    """An invoice paid outside this ledger."""
    office.bill(invoice_id, pay_system_id=through)
    office.state.invoices[invoice_id].save("P", office.state.sorts(), by, datetime.now(MOSCOW))


def accused(office: Any, pay_system: PaySystem | None = OURS) -> list[int]:
    return [invoice.id for invoice in unknown_pays(office.desk, pay_system, paid_lately(office.desk))]


@pytest.mark.parametrize(
    ("by", "through", "pay_system", "is_accused"),
    [
        (seed.TECHNICAL, seed.REST_SYSTEM, OURS, True),
        (seed.TECHNICAL, seed.BILL_SYSTEM, OURS, False),
        (seed.ACCOUNTANT, seed.REST_SYSTEM, OURS, False),
        (seed.ACCOUNTANT, seed.BILL_SYSTEM, OURS, False),
        # Which pay system a handler pays through is not known before it has paid: our user alone must tell.
        (seed.TECHNICAL, seed.BILL_SYSTEM, BY_HANDLER, True),
        (seed.ACCOUNTANT, seed.REST_SYSTEM, BY_HANDLER, False),
        # Tasks name their pay systems themselves.
        (seed.TECHNICAL, seed.BILL_SYSTEM, None, True),
        (seed.ACCOUNTANT, seed.REST_SYSTEM, None, False),
    ],
)
def test_our_user_and_our_pay_system_together_accuse(
    office: Any, by: int, through: int, pay_system: PaySystem | None, is_accused: bool
) -> None:
    paid(office, by=by, through=through)
    assert accused(office, pay_system) == ([2] if is_accused else [])


def test_an_open_invoice_and_one_paid_long_ago_accuse_nobody(office: Any) -> None:
    office.bill(2, pay_system_id=seed.REST_SYSTEM)
    paid(office, 3)
    office.state.invoices[3].paid_at = datetime.now(MOSCOW) - timedelta(days=60)
    assert accused(office) == []


def test_what_was_sent_from_here_accuses_nobody(office: Any) -> None:
    office.bill(2)
    settle_plain(office.desk, 2, OURS)
    assert accused(office) == []
    paid(office, 3)
    assert accused(office) == [3]


def test_a_settlement_that_was_never_sent_is_no_alibi(office: Any) -> None:
    office.ready(2)
    paid(office, 2)
    assert accused(office) == [2]


def test_a_pay_system_that_was_sent_through_stays_ours_when_the_connection_names_another(office: Any) -> None:
    office.bill(2)
    settle_plain(office.desk, 2, OURS)
    paid(office, 3)
    assert accused(office, PaySystem(777)) == [3]


def test_a_handler_is_known_by_the_pay_system_that_its_first_pay_showed(office: Any) -> None:
    office.bill(2)
    settle_plain(office.desk, 2, BY_HANDLER)
    paid(office, 3)
    paid(office, 4, through=seed.BILL_SYSTEM)
    assert accused(office, BY_HANDLER) == [3]


def test_what_one_pay_system_showed_says_nothing_of_a_handler(office: Any) -> None:
    office.bill(2)
    settle_plain(office.desk, 2, OURS)
    paid(office, 3, through=seed.BILL_SYSTEM)
    assert (accused(office, OURS), accused(office, BY_HANDLER)) == ([], [3])


def test_what_a_person_has_adopted_accuses_no_more(office: Any) -> None:
    paid(office, 2)
    paid(office, 3)
    found = [as_found(invoice) for invoice in paid_lately(office.desk)]
    adoptions.adopt(office.store, office.desk.portal_id, found[:1])
    assert accused(office) == [3]


def test_the_portal_is_asked_who_we_are_only_when_there_is_somebody_to_accuse(office: Any) -> None:
    paid(office, 2, through=seed.BILL_SYSTEM)
    assert accused(office) == []
    assert office.asked("profile") == 0
    paid(office, 3)
    paid(office, 4)
    assert accused(office) == [3, 4]
    assert office.asked("profile") == 1


# There is no half a yen: such a price is kept as evidence alone.
@pytest.mark.parametrize(("currency", "expected"), [("RUB", 11850), ("JPY", 0)])
def test_an_accused_invoice_is_adopted_as_the_portal_shows_it(office: Any, currency: str, expected: int) -> None:
    office.bill(2, "118.50", currency=currency, pay_system_id=seed.REST_SYSTEM)
    office.state.invoices[2].save("P", office.state.sorts(), seed.TECHNICAL, datetime.now(MOSCOW))
    [invoice] = paid_lately(office.desk)
    found = as_found(invoice)
    assert (found.kind, found.invoice_id, found.expected, found.currency) == ("legacy", 2, expected, currency)
    assert (found.evidence["paid"], found.evidence["paid_by"]) == (True, seed.TECHNICAL)
    adoptions.adopt(office.store, office.desk.portal_id, [found])
    assert accused(office) == []
