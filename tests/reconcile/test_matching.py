from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from airflow_b24.ledger import adoptions, dismissals, settlements, statuses
from airflow_b24.ledger.errors import ForeignLedgerError
from airflow_b24.reconcile import matching
from airflow_b24.reconcile.releasing import release
from airflow_b24.reconcile.reporting import lines
from airflow_b24.reconcile.settling import settle_matched, settle_plain
from airflow_b24.reconcile.witnessing import as_found, paid_lately


def counts(office: Any, table: str) -> int:
    with office.store.snapshot() as connection:
        found: int = connection.execute(text(f"SELECT count(*) FROM b24_{table}")).scalar_one()  # noqa: S608
        return found


def reasons(office: Any) -> list[str]:
    with office.store.snapshot() as connection:
        return [row["outcome_reason"] for row in statuses.payments(connection)]


def test_shadow_records_the_proof_and_writes_no_settlement(office: Any) -> None:
    office.bill()
    office.receive()
    assert office.match("shadow") == {"payments": 1, "proven": 1, "review": 0, "promised": 0}
    assert (counts(office, "settlement"), counts(office, "allocation"), office.due()) == (0, 0, {})
    assert reasons(office) == ["number_and_tax_id"]


def test_pay_matches_afresh_after_shadow_and_makes_it_ready_once(office: Any) -> None:
    office.bill()
    office.receive()
    office.match("shadow")
    assert office.match() == {"payments": 1, "proven": 1, "review": 0, "promised": 1}
    assert office.match() == {"payments": 0, "proven": 0, "review": 0, "promised": 0}
    assert office.due() == {2: 1}


def test_nothing_waiting_asks_the_portal_nothing(office: Any) -> None:
    office.match()
    assert not office.state.journal


def test_an_invoice_un_paid_while_the_lists_are_read_keeps_its_number(office: Any, monkeypatch: Any) -> None:
    office.bill()
    office.person(2, "P")
    office.smart_bill(7, number="2026/2")
    office.receive()
    paid_since = matching.paid_since

    def reversed_meanwhile(*arguments: Any) -> Any:
        office.person(2, "N")
        return paid_since(*arguments)

    monkeypatch.setattr(matching, "paid_since", reversed_meanwhile)
    assert office.match()["promised"] == 0
    assert reasons(office) == ["ambiguous"]


def test_an_invoice_that_is_renumbered_while_the_lists_are_read_is_what_it_was_last(
    office: Any, monkeypatch: Any
) -> None:
    office.bill()
    office.receive()
    paid_since = matching.paid_since

    def renumbered_meanwhile(*arguments: Any) -> Any:
        # Neither its number nor its sum is of interest any more.
        office.state.invoices[2].number, office.state.invoices[2].price = "2026/77", Decimal("9.00")
        office.person(2, "N")
        return paid_since(*arguments)

    monkeypatch.setattr(matching, "paid_since", renumbered_meanwhile)
    assert office.match()["promised"] == 0
    assert reasons(office) == ["unknown_reference"]


def test_nothing_is_held_or_asked_of_invoices_that_no_payment_could_mean(office: Any, monkeypatch: Any) -> None:
    office.bill()
    for other in range(3, 60):
        office.bill(other, price=f"{other}.00", company_id=1000 + other)
    office.receive()
    asked: list[list[int]] = []
    requisites = matching.companies.requisites
    monkeypatch.setattr(matching.companies, "requisites", lambda ids: asked.append(list(ids)) or requisites(asked[-1]))
    assert office.match()["promised"] == 1
    assert asked == [[21]]


def test_a_company_all_of_whose_invoices_are_left_out_is_another_company_all_the_same(office: Any) -> None:
    office.bill(my_company_id=998)
    office.bill(3, price="1.00")
    office.receive()
    assert office.match()["promised"] == 0
    assert reasons(office) == ["payee_mismatch"]


@pytest.mark.parametrize("waits", [True, False])
def test_a_witness_looks_at_every_paid_invoice_some_at_a_time(office: Any, monkeypatch: Any, waits: bool) -> None:
    monkeypatch.setattr(matching, "PORTION", 2)
    for invoice_id in range(2, 7):
        office.bill(invoice_id)
        office.person(invoice_id, "P")
    office.bill(9)
    if waits:
        office.receive(9)
    seen: list[list[int]] = []
    matching.match_payments(office.desk, "pay", office.today, lambda rows: seen.append([row.id for row in rows]))
    assert {len(each) for each in seen} <= {1, 2}
    assert {each for portion in seen for each in portion} == {2, 3, 4, 5, 6}


def test_a_witness_that_refuses_stops_everything_before_a_promise(office: Any) -> None:
    office.bill(3)
    office.person(3, "P")
    office.bill()
    office.receive()

    def refuse(rows: Any) -> None:
        raise ForeignLedgerError("no")

    with pytest.raises(ForeignLedgerError):
        matching.match_payments(office.desk, "pay", office.today, refuse)
    assert counts(office, "settlement") == counts(office, "outcome") == 0


def test_every_ready_settlement_is_due_and_not_only_those_of_this_run(office: Any) -> None:
    first = office.ready(2)
    second = office.ready(3)
    assert office.due() == {2: first, 3: second}


def test_a_second_payment_of_the_invoice_is_a_review_whether_it_is_paid_yet_or_not(office: Any) -> None:
    settlement_id = office.ready()
    office.receive(key="id:second")
    assert office.match()["review"] == 1
    settle_matched(office.desk, settlement_id, 2, office.pay_system)
    office.receive(key="id:third")
    assert office.match() == {"payments": 2, "proven": 0, "review": 2, "promised": 0}
    assert reasons(office)[1:] == ["already_settled"] * 2
    assert office.executed() == 1


def adopted(office: Any, **changed: Any) -> None:
    """Invoice 2 was paid from a ledger that is lost, and a person has told this one so."""
    office.bill(**changed)
    office.person(2, "P")
    told = [as_found(invoice) for invoice in paid_lately(office.desk)]
    assert adoptions.adopt(office.store, office.desk.portal_id, told) == 1


def test_the_payment_of_an_adopted_invoice_is_put_to_it_and_a_second_one_is_a_review(office: Any) -> None:
    adopted(office)
    office.receive()
    assert office.match()["promised"] == 1
    office.receive(key="id:second")
    assert office.match() == {"payments": 1, "proven": 0, "review": 1, "promised": 0}
    assert [line.status for line in lines(office.store)] == ["by_hand", "review"]
    assert (office.due(), office.executed()) == ({}, 0)


def dearer(office: Any) -> None:
    office.state.invoices[2].price = Decimal("118.01")


@pytest.mark.parametrize(
    ("then", "reason"),
    [
        (lambda office: office.person(2, "S"), "paid_by_id"),
        (dearer, "paid_by_id"),
        (lambda office: None, "already_paid"),
    ],
    ids=["taken back since", "another price since", "paid before the booking"],
)
def test_an_adopted_invoice_that_is_not_the_payments_takes_nothing(office: Any, then: Any, reason: str) -> None:
    adopted(office)
    then(office)
    office.receive(**({"booked_on": office.today + timedelta(days=3)} if reason == "already_paid" else {}))
    assert office.match()["promised"] == 0
    assert reasons(office) == [reason]


def test_two_payments_of_one_invoice_in_one_run_are_both_reviewed(office: Any) -> None:
    office.bill()
    office.receive(key="id:first")
    office.receive(key="id:second")
    assert office.match()["promised"] == 0
    assert reasons(office) == ["competing_payments"] * 2


def test_paid_by_hand_on_the_portal_is_still_matched_with_its_money(office: Any) -> None:
    office.bill()
    office.person(2, "P")
    office.receive()
    assert office.match()["promised"] == 1
    settled = settle_matched(office.desk, office.due()[2], 2, office.pay_system)
    assert (settled.row.how, office.executed()) == ("by_hand", 0)


@pytest.mark.parametrize(
    ("invoice", "payment", "reason"),
    [
        ({"price": "117.99"}, {}, "overpaid"),
        ({"price": "118.01", "company_id": None}, {"remittance": "Оплата по счету № 2026/2"}, "underpaid"),
        ({"currency": "EUR"}, {}, "wrong_currency"),
        ({"status_id": "D", "cancelled": True}, {}, "cancelled"),
        ({}, {"account": "40702810000000000666"}, "payee_mismatch"),
        ({}, {"payer_tax_id": "7711000220"}, "payer_mismatch"),
        ({"company_id": None}, {"remittance": "Оплата по счету № 2026/2"}, "one_identifier"),
        ({}, {"remittance": "спасибо"}, "no_reference"),
        ({"number": "2026/7"}, {}, "unknown_reference"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_without_a_proof_a_person_decides(
    office: Any, invoice: dict[str, Any], payment: dict[str, Any], reason: str
) -> None:
    office.bill(**invoice)
    office.receive(**payment)
    assert office.match() == {"payments": 1, "proven": 0, "review": 1, "promised": 0}
    assert (reasons(office), counts(office, "settlement")) == ([reason], 0)


def test_portals_that_share_a_ledger_prove_nothing_by_an_invoice_whose_own_account_is_unknown(office: Any) -> None:
    office.bill(my_company_id=None)
    office.receive()
    assert office.match("shadow")["proven"] == 1
    office.meet("other.example")
    assert office.match()["proven"] == 0
    assert (reasons(office), counts(office, "settlement")) == (["payee_unknown"], 0)


def test_portals_that_share_a_ledger_pay_invoices_whose_own_account_is_known(office: Any) -> None:
    office.meet("other.example")
    office.bill()
    office.receive()
    assert office.match()["promised"] == 1


@pytest.mark.parametrize("spoilt", [{"currency": "rub"}, {"price": "NaN"}], ids=str)
def test_an_invoice_that_cannot_be_priced_stops_no_other_and_still_holds_its_number(
    office: Any, spoilt: dict[str, str]
) -> None:
    office.bill(2, **spoilt)
    office.bill(3)
    office.bill(4)
    office.bill(5, number="2026/4", **spoilt)
    for invoice_id in (2, 3, 4):
        office.receive(invoice_id)
    assert office.match() == {"payments": 3, "proven": 1, "review": 2, "promised": 1}
    assert reasons(office) == ["price_not_exact", "number_and_tax_id", "ambiguous"]


def test_the_word_of_each_portal_is_kept_and_a_settlement_of_the_other_is_not_due_here(office: Any) -> None:
    office.ready()
    assert settlements.due(office.store, office.meet("other.example"), limit=9) == []
    with office.store.snapshot() as connection:
        assert connection.execute(text("SELECT portal_id FROM b24_outcome")).scalars().all() == [office.desk.portal_id]


def test_a_number_that_two_invoices_have_is_not_guessed_though_one_is_cancelled(office: Any) -> None:
    office.bill(2)
    office.bill(3, number="2026/2", status_id="D", cancelled=True)
    office.receive()
    assert office.match()["proven"] == 0


def test_the_invoice_is_found_behind_many_pages(office: Any) -> None:
    for invoice_id in range(1, 121):
        office.bill(invoice_id)
    for invoice_id in (1, 50, 51, 117, 120):
        office.receive(invoice_id)
    assert office.match()["promised"] == 5
    assert set(office.due()) == {1, 50, 51, 117, 120}


def test_a_review_is_matched_afresh_when_the_invoice_is_mended(office: Any) -> None:
    office.bill(price="117.00")
    office.receive()
    assert office.match()["review"] == 1
    office.bill(price="118.00")
    assert office.match()["promised"] == 1


def test_the_like_of_a_held_payment_is_for_a_person(office: Any) -> None:
    office.bill()
    office.receive(key="id:first")
    office.receive(key="id:second")
    office.receive(key="id:first", remittance="changed since")
    assert office.match()["promised"] == 0
    assert reasons(office)[1] == "alike_payments"


def test_a_held_payment_is_not_matched(office: Any) -> None:
    office.bill()
    office.receive()
    office.receive(amount=11900)
    assert office.match()["payments"] == 0


def paid_twice(office: Any, kind: str) -> None:
    """A customer has paid the same invoice twice, and a person has dismissed the first payment."""
    office.smart_bill() if kind == "smart" else office.bill()
    office.receive(key="id:first")
    office.receive(key="id:second")
    office.match()
    assert reasons(office) == ["competing_payments"] * 2
    dismissals.dismiss(office.store, 1, "anna")


@pytest.mark.parametrize("kind", ["legacy", "smart"])
def test_of_two_payments_the_one_that_was_not_put_to_the_paid_invoice_by_hand_waits_for_a_person(
    office: Any, kind: str
) -> None:
    paid_twice(office, kind)
    office.moves(2, "DT31_5:P") if kind == "smart" else office.person(2, "P")
    assert office.match() == {"payments": 1, "proven": 0, "review": 1, "promised": 0}
    assert (reasons(office)[1], office.due()) == ("already_paid", {})
    assert [line.status for line in lines(office.store)] == ["dismissed", "review"]


@pytest.mark.parametrize("kind", ["legacy", "smart"])
def test_an_open_invoice_whose_money_was_paid_back_is_paid_with_the_next(office: Any, kind: str) -> None:
    paid_twice(office, kind)
    assert office.match() == {"payments": 1, "proven": 1, "review": 0, "promised": 1}


def test_a_payment_parted_from_an_invoice_and_dismissed_has_not_paid_it(office: Any) -> None:
    release(office.desk, office.ready())
    dismissals.dismiss(office.store, 1, "anna")
    office.person(2, "P")
    office.receive(key="id:second")
    assert office.match()["promised"] == 1


def states(office: Any) -> dict[int, str]:
    with office.store.snapshot() as connection:
        found = connection.execute(text("SELECT invoice_id, state FROM b24_settlement")).all()
        return {row.invoice_id: row.state for row in found}


def test_parts_are_collected_over_runs_and_settled_when_the_sum_is_exact(office: Any) -> None:
    office.bill()
    office.receive(key="id:first", amount=5000)
    assert office.match() == {"payments": 1, "proven": 1, "review": 0, "promised": 1}
    assert (states(office), office.due()) == ({2: "collecting"}, {})
    office.receive(key="id:second", amount=4000)
    office.receive(key="id:third", amount=2800)
    assert office.match()["promised"] == 2
    assert (states(office), office.due()) == ({2: "ready"}, {2: 1})
    settled = settle_matched(office.desk, 1, 2, office.pay_system)
    assert (settled.row.how, office.executed()) == ("sent", 1)


def test_more_than_the_rest_and_the_like_of_a_part_are_for_a_person(office: Any) -> None:
    office.bill()
    office.receive(key="id:first", amount=5000)
    office.match()
    office.receive(key="id:whole")
    office.receive(key="id:alike", amount=5000)
    assert office.match()["proven"] == 0
    assert reasons(office)[1:] == ["overpaid", "alike_payments"]


@pytest.mark.parametrize("change", [{"price": "119.00"}, {"company_id": None}, {"currency": "EUR"}], ids=str)
def test_an_invoice_that_is_not_the_one_of_its_first_part_collects_no_more(office: Any, change: dict[str, Any]) -> None:
    office.bill()
    office.receive(key="id:first", amount=5000)
    office.match()
    office.bill(**change)
    office.receive(key="id:second", amount=6800)
    assert office.match()["promised"] == 0
    assert reasons(office)[1:] == ["already_settled"]


def test_shadow_collects_nothing(office: Any) -> None:
    office.bill()
    office.receive(amount=5000)
    assert office.match("shadow")["promised"] == 0
    assert counts(office, "settlement") == 0


def test_one_payment_becomes_a_settlement_of_each_invoice_it_names(office: Any) -> None:
    office.bill(2)
    office.bill(3, "22.00")
    office.receive(key="id:both", amount=14000, remittance="Оплата по счетам № 2026/2, 2026/3")
    assert office.match()["promised"] == 1
    assert states(office) == {2: "ready", 3: "ready"}
    for invoice_id, settlement_id in office.due().items():
        assert settle_matched(office.desk, settlement_id, invoice_id, office.pay_system).row.how == "sent"
    assert office.executed(2) == office.executed(3) == 1


def test_a_payment_that_a_person_parted_from_its_invoice_is_not_put_to_it_again(office: Any) -> None:
    settlement_id = office.ready()
    release(office.desk, settlement_id)
    assert office.match() == {"payments": 1, "proven": 0, "review": 1, "promised": 0}
    assert reasons(office) == ["released_before"]


def test_a_payment_for_an_invoice_that_was_paid_by_its_id_is_told_so(office: Any) -> None:
    office.bill()
    settle_plain(office.desk, 2, office.pay_system)
    office.receive()
    assert office.match()["review"] == 1
    [line] = lines(office.store)
    assert (line.status, line.reason, line.settlement_id) == ("review", "paid_by_id", None)
    assert "without a payment" in line.why
