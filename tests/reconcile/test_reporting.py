from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from airflow_b24.commands.ways import ways_on
from airflow_b24.ledger import records, releases, settlements
from airflow_b24.ledger.records import Record
from airflow_b24.ledger.states import IN_WORDS, UNDER_WAY, State
from airflow_b24.reconcile import reporting, reviewing
from airflow_b24.reconcile.exporting import export
from airflow_b24.reconcile.settling import settle_matched, settle_plain
from airflow_b24.reconcile.sweeping import sweep
from airflow_b24.sandbox.bank import OWN_ACCOUNT


def lines(office: Any) -> dict[str, tuple[str, str]]:
    """Every line; what the database counts and the newest of them must say the same."""
    found = reporting.lines(office.store)
    assert reporting.report(office.store) == reporting.totals(found, reporting.beside(office.store))
    assert reporting.newest(office.store, 100) == found
    assert reporting.unended(office.store) == [line for line in found if line.status not in {"paid", "by_hand"}]
    return {line.payment: (line.status, line.reason) for line in found}


def settle(office: Any, invoice_id: int) -> None:
    settle_matched(office.desk, office.due()[invoice_id], invoice_id, office.pay_system)


def test_an_empty_ledger_reports_nothing(office: Any) -> None:
    assert reporting.report(office.store) == {
        "payments": 0,
        "paid": 0,
        "by_hand": 0,
        "review": 0,
        "waiting": 0,
        "ignored": 0,
        "dismissed": 0,
        "open_cases": 0,
        "not_written": 0,
        "would_pay": 0,
        "received": {},
    }


def test_what_was_matched_before_a_person_parted_the_two_is_no_forecast(office: Any) -> None:
    settlement_id = office.ready(2)
    releases.release(office.store, settlements.look(office.store, settlement_id))
    assert lines(office) == {"B2": ("waiting", "new")}
    [line] = reporting.lines(office.store)
    assert (line.would, line.why) == ("", "Not matched yet: the next run does it.")
    office.match()
    assert lines(office) == {"B2": ("review", "released_before")}


def test_each_payment_has_one_fate_and_they_add_up(office: Any) -> None:
    for invoice_id in (2, 3, 4, 5):
        office.ready(invoice_id)
    office.person(3, "P")
    office.fault("unpaid", match={"INVOICE_ID": "4"})
    for invoice_id in (2, 3, 4):
        settle(office, invoice_id)
    office.receive(6, amount=50)
    office.match()
    office.receive(7, amount=7)
    aside = [Record("{d}", "ignored", rule="not_a_credit"), Record("{q}", "quarantined", rule="amount", detail="bad")]
    records.ingest(office.store, "bank", aside, None)
    assert lines(office) == {
        "B2": ("paid", "number_and_tax_id"),
        "B3": ("by_hand", "number_and_tax_id"),
        "B4": ("review", "true_but_unpaid"),
        "B5": ("waiting", "ready"),
        "B6": ("review", "unknown_reference"),
        "B7": ("waiting", "new"),
        "record 1": ("ignored", "not_a_credit"),
        "record 2": ("review", "quarantined"),
    }
    found = reporting.report(office.store)
    assert found.pop("received") == {f"{OWN_ACCOUNT} RUB": "472.57 RUB"}
    assert found == {
        "payments": 8,
        "paid": 2,
        "by_hand": 1,
        "review": 3,
        "waiting": 2,
        "ignored": 1,
        "dismissed": 0,
        "open_cases": 0,
        "not_written": 0,
        "would_pay": 0,
    }
    assert found["payments"] == sum(found[name] for name in ("paid", "review", "waiting", "ignored"))


def test_shadow_says_what_would_be_paid(office: Any) -> None:
    office.bill()
    office.receive()
    office.match("shadow")
    [line] = reporting.lines(office.store)
    assert (line.status, line.reason, line.invoices) == ("waiting", "number_and_tax_id", "2026/2")
    assert line.why.startswith("Would be paid.")
    assert (line.would, reporting.would_pay(line)) == ("pay", True)
    assert reporting.report(office.store)["would_pay"] == 1


def test_a_payment_that_was_a_part_is_called_one_also_when_its_invoice_is_paid(office: Any) -> None:
    office.bill(2)
    office.receive(2, "id:first", 5000)
    office.match()
    [first] = reporting.lines(office.store)
    assert first.part == "50.00 RUB of 118.00 RUB"
    office.receive(2, "id:second", 6800)
    office.match()
    settle(office, 2)
    told = {line.payment: (line.status, line.part, line.why) for line in reporting.lines(office.store)}
    number = "The text names the invoice number and the payer's tax id is the invoice's."
    assert told == {
        "first": ("paid", "50.00 RUB of 118.00 RUB", f"A part, 50.00 RUB of 118.00 RUB. {number}"),
        "second": ("paid", "68.00 RUB of 118.00 RUB", f"A part, 68.00 RUB of 118.00 RUB. {number}"),
    }
    exported = [json.loads(row.rstrip(",")) for row in export(office.store, "json") if '"payment"' in row]
    assert [row["part"] for row in exported] == ["50.00 RUB of 118.00 RUB", "68.00 RUB of 118.00 RUB"]


def test_what_pays_all_of_its_invoice_is_no_part(office: Any) -> None:
    office.ready()
    [line] = reporting.lines(office.store)
    assert (line.part, "part" in line.why) == ("", False)


def test_shadow_does_not_promise_to_pay_what_somebody_has_marked_paid(office: Any) -> None:
    office.bill()
    office.person(2, "P")
    office.receive()
    office.match("shadow")
    [line] = reporting.lines(office.store)
    assert (line.status, line.would, reporting.would_pay(line)) == ("waiting", "by_hand", False)
    assert line.why.startswith("Would be taken as paid by hand.")
    assert "would be by_hand" in reporting.page([line])
    office.match()
    settle(office, 2)
    assert lines(office) == {"B2": ("by_hand", "number_and_tax_id")}


def test_an_amended_payment_is_a_review_whatever_became_of_it(office: Any) -> None:
    office.ready()
    settle(office, 2)
    office.receive(amount=1)
    assert lines(office) == {"B2": ("review", "amended")}


def test_each_settlement_in_review_says_why_in_words(office: Any) -> None:
    office.ready()
    office.person(2, "D")
    settle(office, 2)
    [line] = reporting.lines(office.store)
    assert (line.status, line.reason, line.why) == (
        "review",
        "cancelled",
        "The invoice was cancelled when it was read.",
    )


def test_what_is_said_of_a_review_stays_true_when_the_portal_shows_something_else_by_now(office: Any) -> None:
    office.ready()
    office.fault("unpaid", match={"INVOICE_ID": "2"})
    settle(office, 2)
    # By hand, with another voucher's number: nothing proves that it was with this money, so the sweep leaves it.
    office.state.invoices[2].voucher_number = "99"
    office.person(2, "P")
    assert sweep(office.desk)["closed"] == 0
    [line] = reviewing.reviews(office.store)
    assert (line.reason, "stayed unpaid when it was read" in line.why) == ("true_but_unpaid", True)
    assert (line.settlement_id, "confirm") in [(number, word) for word, number, _ in ways_on(line)]


def test_what_waits_for_a_person_comes_first_however_much_came_in_since(office: Any) -> None:
    office.receive(2, remittance="за услуги")
    for invoice_id in (3, 4, 5):
        office.ready(invoice_id)
    office.person(3, "D")
    settle(office, 3)
    settle(office, 4)
    aside = [Record(f"{{{n}}}", "ignored", rule="not_a_credit", account="40702", key=f"id:D{n}") for n in range(9)]
    records.ingest(office.store, "bank", aside, None)
    shown, waiting = reviewing.foremost(office.store, 4)
    assert ({line.payment for line in shown[:2]}, waiting) == ({"B2", "B3"}, 2)
    assert [line.payment for line in shown[2:]] == ["B4", "B5"]
    assert [line.status for line in reviewing.foremost(office.store, 1)[0]] == ["review"]
    assert len(reviewing.foremost(office.store, 100)[0]) == 13


def reviews(office: Any) -> list[tuple[Any, ...]]:
    return [
        (line.reason, line.invoices, str(line.amount), line.settlement_id) for line in reviewing.reviews(office.store)
    ]


def test_each_line_names_its_settlement(office: Any) -> None:
    settlement_id = office.ready()
    office.receive(6)
    assert {line.payment: line.settlement_id for line in reporting.lines(office.store)} == {
        "B2": settlement_id,
        "B6": None,
    }


def test_a_plain_pay_without_an_end_waits_for_a_person_and_one_with_an_end_does_not(office: Any) -> None:
    office.bill(2)
    office.bill(3)
    settle_plain(office.desk, 2, office.pay_system)
    office.fault("lost_before")
    lost = settle_plain(office.desk, 3, office.pay_system).row
    assert reviews(office) == [("unknown", "2026/3", "118.00 RUB", lost.id)]
    [line] = reviewing.reviews(office.store)
    assert line.why == f"Asked for by its id. {UNDER_WAY[State.UNKNOWN]}"
    assert reporting.report(office.store)["payments"] == 0


@pytest.mark.parametrize(
    ("fault", "state", "next_"),
    [
        ("refused", "ready", "the next paying run marks the invoice paid."),
        ("lost_before", "unknown", "have no answer yet: the next run looks and finishes it."),
    ],
)
def test_what_is_under_way_says_what_happens_next_and_names_no_state(
    office: Any, fault: str, state: str, next_: str
) -> None:
    office.ready()
    office.fault(fault, method="sale.paysystem.pay.invoice", times=9)
    settle(office, 2)
    [line] = reporting.lines(office.store)
    assert (line.status, line.reason) == ("waiting", state)
    assert line.why.endswith(next_)
    assert state not in line.why


def test_every_state_has_words_for_people_and_each_that_goes_on_by_itself_says_what_comes_next() -> None:
    assert set(IN_WORDS) == set(State)
    assert set(UNDER_WAY) == {State.READY, State.SENDING, State.UNKNOWN}


def test_a_plain_pay_that_was_refused_for_now_is_run_again_by_its_task(office: Any) -> None:
    office.bill()
    office.fault("refused", method="sale.paysystem.pay.invoice", times=9)
    settle_plain(office.desk, 2, office.pay_system)
    [line] = reviewing.reviews(office.store)
    assert line.why == "Asked for by its id, and not marked paid yet: run its task again."


def test_a_plain_pay_in_review_says_why(office: Any) -> None:
    office.bill()
    office.person(2, "D")
    row = settle_plain(office.desk, 2, office.pay_system).row
    [line] = reviewing.reviews(office.store)
    assert (line.reason, line.why, line.settlement_id) == (
        "cancelled",
        "The invoice was cancelled when it was read.",
        row.id,
    )


def test_trouble_after_the_end_waits_for_a_person_and_is_no_payment(office: Any) -> None:
    settlement_id = office.ready()
    settle(office, 2)
    office.person(2, "N")
    settle_matched(office.desk, settlement_id, 2, office.pay_system)
    assert reviews(office) == [("reversed", "2026/2", "118.00 RUB", settlement_id)]
    [line] = reviewing.reviews(office.store)
    assert (line.payment, line.payer) == ("B2", "ООО «Северный ветер»")
    totals = reporting.report(office.store)
    assert (totals["payments"], totals["review"], totals["open_cases"]) == (1, 0, 1)


def test_an_amendment_of_a_paid_payment_is_shown_once(office: Any) -> None:
    settlement_id = office.ready()
    settle(office, 2)
    office.receive(amount=1)
    assert reviews(office) == [("amended", "2026/2", "118.00 RUB", settlement_id)]
    [line] = reviewing.reviews(office.store)
    assert line.why == "The invoice is paid, and the bank has since sent the payment again with other content."


def test_what_the_bank_changed_is_said(office: Any) -> None:
    told = {"purpose": "2026/2", "amount": {"number": "118.00"}, "status": "booked"}
    since = {**told, "amount": {"number": "1.00"}}
    payment_id = office.receive()
    for body, changed in ((told, {}), (since, {"amount": 100})):
        new = replace(office.new_payment(2), **changed)
        record = Record(json.dumps(body), "payment", payment=new, account=new.account, key=new.key)
        records.ingest(office.store, "bank", [record], None)
    [line] = reviewing.reviews(office.store)
    assert (line.payment_id, line.reason) == (payment_id, "amended")
    assert line.why == "The bank sent this payment again with other content. Changed: amount: 118.00 -> 1.00."


def test_a_record_that_is_no_payment_goes_by_the_banks_id_and_says_why_in_words(office: Any) -> None:
    aside = [
        Record("{d}", "ignored", rule="not_a_credit", account="40702", key="id:B8"),
        Record("{q}", "quarantined", rule="amount", detail="amount: a float", account="40702", key="id:B9"),
        Record("{s}", "ignored", rule="before_start", account="40702", key="sha:1"),
    ]
    records.ingest(office.store, "bank", aside, None)
    assert {line.payment: line.why for line in reporting.lines(office.store)} == {
        "B8": "It is no money that came in: a debit.",
        "B9": "The record cannot be read: amount: a float",
        "record 3": "It was booked before the first day that counts.",
    }


def test_a_candidate_of_another_payer_does_not_look_like_a_match(office: Any) -> None:
    office.bill()
    office.bill(3, company_id=None)
    office.receive(remittance="за услуги", payer_tax_id="7711000220")
    office.match("shadow")
    [line] = reporting.lines(office.store)
    assert (line.status, line.invoices) == ("review", "2026/2 (another payer's), 2026/3")
    assert "2026/2 (another payer's)" in reporting.page([line])
