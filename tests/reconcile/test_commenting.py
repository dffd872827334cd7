from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from airflow_b24.bitrix.errors import UnknownOutcomeError
from airflow_b24.ledger import identity, statuses
from airflow_b24.reconcile.commenting import comment
from airflow_b24.reconcile.settling import settle_matched, settle_plain
from airflow_b24.sandbox.state import MOSCOW, Comment

LIST = "crm.timeline.comment.list"


def ledger(office: Any) -> str:
    with office.store.snapshot() as connection:
        return identity.read(connection).id


def commented(office: Any, row: Any) -> bool:
    with office.store.snapshot() as connection:
        payments = statuses.paid_with(connection, row.id)
    return bool(office.desk.client.run(comment(row, payments, ledger(office))))


def said(office: Any, times: int, *, days_ago: float) -> None:
    """People have written in the company's timeline."""
    at, comments = datetime.now(MOSCOW) - timedelta(days=days_ago), office.state.comments
    comments += [Comment(len(comments) + 1 + each, "company", 21, "x", 1, at) for each in range(times)]


def paid(office: Any, settlement_id: int) -> Any:
    return settle_matched(office.desk, settlement_id, 2, office.pay_system).row


def comments(office: Any, entity_type: str, entity_id: int) -> list[str]:
    return [each.text for each in office.state.comments_on(entity_type, entity_id)]


def test_a_smart_invoice_says_in_its_own_timeline_what_it_was_paid_with_once(office: Any) -> None:
    office.smart_bill()
    office.receive(2)
    office.match()
    row = paid(office, office.due()[2])
    assert [commented(office, row), commented(office, row)] == [True, False]
    (text,) = comments(office, "dynamic_31", 2)
    booked = office.today.fromordinal(office.today.toordinal() - 2)
    assert text == (
        "Invoice 2026/2 was marked paid: 118.00 RUB.\n"
        f"118.00 RUB received on {booked}, document 17, ООО «Северный ветер».\n"
        f"[airflow_b24 settlement {row.id} of ledger {ledger(office)}]"
    )


@pytest.mark.parametrize(("deal", "place"), [(10, ("deal", 10)), (None, ("company", 21))])
def test_a_legacy_invoice_says_it_in_its_deals_or_its_companys_timeline(
    office: Any, deal: int | None, place: tuple[str, int]
) -> None:
    row = paid(office, office.ready(deal_id=deal))
    assert commented(office, row)
    assert len(comments(office, *place)) == 1


def test_a_plain_pay_names_no_payment(office: Any) -> None:
    office.bill()
    row = settle_plain(office.desk, 2, office.pay_system).row
    assert commented(office, row)
    (text,) = comments(office, "company", 21)
    assert text.splitlines() == [
        "Invoice 2026/2 was marked paid: 118.00 RUB.",
        f"[airflow_b24 settlement 1 of ledger {ledger(office)}]",
    ]


def test_another_ledgers_settlement_of_the_same_number_is_another_comment(office: Any) -> None:
    row = paid(office, office.ready())
    assert commented(office, row)
    with office.store.transaction() as connection:
        identity.rename(connection)
    assert commented(office, row)
    assert len(comments(office, "company", 21)) == 2


def test_of_a_long_timeline_what_is_older_than_the_settlement_is_not_read(office: Any) -> None:
    row = paid(office, office.ready())
    said(office, 120, days_ago=1.5)
    assert commented(office, row)
    assert office.asked(LIST) == 1
    said(office, 60, days_ago=0.5)
    assert not commented(office, row)
    assert office.asked(LIST) == 3


def test_an_invoice_that_has_no_timeline_is_not_commented(office: Any) -> None:
    office.bill(3, number="2026/3", company_id=None)
    assert not commented(office, settle_plain(office.desk, 3, office.pay_system).row)


def test_a_comment_whose_answer_was_lost_is_found_when_it_is_asked_for_again(office: Any) -> None:
    row = paid(office, office.ready())
    office.fault("lost_after", method="crm.timeline.comment.add")
    with pytest.raises(UnknownOutcomeError):
        commented(office, row)
    assert not commented(office, row)
    assert len(comments(office, "company", 21)) == 1


@pytest.mark.parametrize(
    ("name", "written"),
    [
        (
            "[URL=https://evil.example]Pay[/URL] [USER=1]boss[/USER]",
            "(URL=https://evil.example)Pay(/URL) (USER=1)boss(/USER)",
        ),
        ("<b>x</b>\n[airflow_b24 settlement 9 of ledger 1]", "(b)x(/b) (airflow_b24 settlement 9 of ledger 1)"),
        ("a" * 500, "a" * 200),
    ],
)
def test_a_payers_name_is_only_text(office: Any, name: str, written: str) -> None:
    office.bill()
    office.receive(2, payer_name=name)
    office.match()
    assert commented(office, paid(office, office.due()[2]))
    (text,) = comments(office, "company", 21)
    assert text.splitlines()[1].endswith(f"document 17, {written}.")
