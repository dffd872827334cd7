from __future__ import annotations

from collections import Counter
from datetime import date
from decimal import Decimal

import pytest

from airflow_b24.sandbox import seed, seed_funnels

TODAY = date(2026, 11, 22)
STATE = seed.demo(TODAY)
RECORDS = {record["id"]: record for record in STATE.bank.records}


def test_every_payment_has_one_expectation_and_the_bank_delivers_one_twice() -> None:
    delivered = Counter(record["id"] for record in STATE.bank.records)
    assert set(delivered) == {story.payment_id for story in seed.DEMO}
    assert sorted(delivered.values())[-2:] == [1, 2]


def test_the_bank_does_not_send_the_name_of_the_story() -> None:
    assert not [record for record in STATE.bank.records if {"scenario", "name", "end"} & set(record)]


def test_all_four_ends_and_all_the_stories_are_there() -> None:
    assert {story.end for story in seed.DEMO} == {"paid", "by_hand", "review", "ignored"}
    assert {story.scenario for story in seed.DEMO} >= {
        *("number_and_tax_id", "number_and_date", "overpaid", "unknown_reference", "two_invoices_named"),
        *("first_part", "second_part", "two_at_once"),
        *("two_invoices_fit", "duplicate_delivery", "paid_by_hand", "second_payment", "cancelled_invoice"),
        *("answer_lost", "rate_limit", "debit", "pending", "malformed_amount", "true_but_unpaid"),
    }


SUMS = {"first_part": [125], "second_part": [125], "two_at_once": [126, 127]}


@pytest.mark.parametrize(
    "story", [s for s in seed.DEMO if s.end == "paid" and s.scenario not in SUMS], ids=lambda story: story.scenario
)
def test_a_payment_that_must_settle_names_its_open_invoice_amount_and_payer(story: seed.Expectation) -> None:
    kind = STATE.smart_invoices if story.kind == "smart" else STATE.invoices
    record, invoice = RECORDS[story.payment_id], kind[story.invoice_id or 0]
    assert invoice.number in record["purpose"]
    assert record["amount"] == str(invoice.price)
    assert not getattr(invoice, "paid", invoice.executed_pays)
    tax_ids = {row["RQ_INN"] for row in STATE.requisites if row["ENTITY_ID"] == str(invoice.company_id)}
    assert record["payer"]["tax_id"] in tax_ids or f"{invoice.billed_on:%d.%m.%Y}" in record["purpose"]


def test_the_parts_of_an_invoice_and_the_invoices_of_a_payment_add_up() -> None:
    paid = {story.scenario: RECORDS[story.payment_id]["amount"] for story in seed.DEMO if story.scenario in SUMS}
    price = {number: STATE.invoices[number].price for number in (125, 126, 127)}
    assert Decimal(paid["first_part"]) + Decimal(paid["second_part"]) == price[125]
    assert Decimal(paid["two_at_once"]) == price[126] + price[127]


def test_the_malformed_record_is_a_json_number() -> None:
    record = next(RECORDS[story.payment_id] for story in seed.DEMO if story.scenario == "malformed_amount")
    assert record["amount"] == 118.5


def test_paid_by_hand_is_proved_by_date_and_document_and_the_second_payment_is_not() -> None:
    stories = {story.scenario: story for story in seed.DEMO}
    ours, other = (STATE.invoices[stories[name].invoice_id] for name in ("paid_by_hand", "second_payment"))
    mine, late = (RECORDS[stories[name].payment_id] for name in ("paid_by_hand", "second_payment"))
    assert ours.paid_at.date().isoformat() >= mine["booked_on"]
    assert ours.voucher_number == mine["document_number"]
    assert other.paid_at.date().isoformat() < late["booked_on"]
    assert other.voucher_number != late["document_number"]


def test_numbers_are_unique_and_the_day_is_the_one_given() -> None:
    for today in (TODAY, date(2027, 1, 2), date(2028, 2, 29)):
        state = seed.demo(today)
        numbers = [invoice.number for kind in (state.invoices, state.smart_invoices) for invoice in kind.values()]
        assert len(set(numbers)) == len(numbers)
        # The same ids in both spaces: an id alone must never be enough.
        assert state.smart_invoices.keys() < state.invoices.keys()
        assert all(record["booked_on"] < today.isoformat() for record in state.bank.records)


def test_the_faults_of_the_demo_fit_their_invoices() -> None:
    kinds = {(rule.kind, *rule.match.items(), rule.times) for rule in STATE.faults.rules}
    legacy = {("lost_after", "113", 1), ("refused", "114", 3), ("unpaid", "117", 1000)}
    expected = {(kind, ("INVOICE_ID", number), times) for kind, number, times in legacy}
    assert kinds == expected | {("lost_after", ("id", "105"), 1)}


def test_secrets_are_long_and_differ() -> None:
    secrets = [seed.ADMIN_SECRET, seed.TECHNICAL_SECRET, seed.CRM_ONLY_SECRET, seed.READER_SECRET, seed.BANK_API_KEY]
    assert len(set(secrets)) == len(secrets)
    assert min(map(len, secrets)) >= 16


def test_the_portal_has_a_default_funnel_a_renamed_one_and_an_automated_one_and_no_invoices() -> None:
    state = seed.portal(TODAY)
    success = {funnel.id: funnel.ending("S").id for funnel in state.funnels.values()}
    assert success == {5: "DT31_5:P", 8: "DT31_8:UC_PAID01", 9: "DT31_9:P"}
    assert [funnel.id for funnel in state.funnels.values() if funnel.default] == [seed_funnels.STANDARD]
    assert (state.invoices, state.smart_invoices, state.stage_history) == ({}, {}, [])


def test_a_smart_bill_is_an_invoice_which_the_customer_has() -> None:
    state = seed.portal(TODAY)
    bill = seed.SmartBill(501, "2026/501", "118.00", 21, 5, seed_funnels.RENAMED, state={"comments": "x"})
    invoice = seed.add_smart_invoice(state, bill, TODAY)
    assert state.smart_invoices == {501: invoice}
    assert (invoice.price, invoice.billed_on, invoice.pay_before) == (
        Decimal("118.00"),
        date(2026, 11, 17),
        date(2026, 12, 1),
    )
    assert (invoice.stage_id, invoice.comments, invoice.moved_by) == ("DT31_8:UC_SENT01", "x", seed.ACCOUNTANT)
    paid = seed.add_smart_invoice(state, seed.SmartBill(502, "7", "1.00", 21, 5, stage_id="DT31_5:P"), TODAY)
    assert [record.stage_id for record in state.stage_history if record.owner_id == 502] == ["DT31_5:N", "DT31_5:P"]
    assert (paid.stage_id, paid.executed_pays) == ("DT31_5:P", [])
