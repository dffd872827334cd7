from __future__ import annotations

import csv
import json
from datetime import timedelta
from typing import Any

import pytest

from airflow_b24.ledger import adoptions, cases, records
from airflow_b24.ledger.records import Record
from airflow_b24.reconcile.exporting import COLUMNS, export
from airflow_b24.reconcile.reporting import lines
from airflow_b24.reconcile.settling import settle_matched, settle_plain
from airflow_b24.reconcile.witnessing import as_found, paid_lately


def as_csv(office: Any, **how: Any) -> list[dict[str, str]]:
    made = "\n".join(export(office.store, "csv", **how)).removeprefix("\ufeff")
    return list(csv.DictReader(made.splitlines(), delimiter=";"))


def as_json(office: Any, **how: Any) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads("\n".join(export(office.store, "json", **how)))
    return found


@pytest.fixture
def books(office: Any) -> Any:
    """Invoice 2 paid and reversed since, invoice 3 paid by hand, a payment nobody knows, and a record that is none."""
    for invoice_id in (2, 3):
        office.ready(invoice_id)
    office.person(3, "P")
    for invoice_id, settlement_id in office.due().items():
        settle_matched(office.desk, settlement_id, invoice_id, office.pay_system)
    office.receive(9, remittance="=1+1; за услуги", payer_tax_id="0277012345")
    aside = [Record('{"amount": 1.5}', "quarantined", rule="amount", detail="a float")]
    records.ingest(office.store, "bank", aside, None)
    with office.store.transaction() as connection:
        cases.open_case(connection, 1, "reversed", {})
    return office


def test_each_payment_is_a_row_with_its_fate(books: Any) -> None:
    sent, by_hand, unknown = [row for row in as_json(books) if row["record"] == "payment"]
    assert {
        name: sent[name] for name in ("amount", "currency", "status", "invoices", "settlement", "how", "cases")
    } == {
        "amount": "118.00",
        "currency": "RUB",
        "status": "paid",
        "invoices": "2026/2",
        "settlement": "1",
        "how": "sent",
        "cases": "reversed 1",
    }
    assert (sent["payer"], sent["payer_tax_id"], sent["paid_on"]) == (
        "ООО «Северный ветер»",
        "7711000219",
        f"{books.today}",
    )
    assert (by_hand["status"], by_hand["how"], by_hand["cases"]) == ("by_hand", "by_hand", "")
    assert (unknown["status"], unknown["settlement"], unknown["paid_on"]) == ("waiting", "", "")


def test_every_line_of_the_report_is_in_it_and_so_is_every_case(books: Any) -> None:
    kinds = [row["record"] for row in as_json(books)]
    assert kinds == ["payment"] * 3 + ["record", "case", "checkpoint"]
    assert len(lines(books.store)) == 4
    [case] = [row for row in as_json(books) if row["record"] == "case"]
    assert (case["status"], case["reason"], case["invoices"], case["settlement"]) == (
        "review",
        "reversed",
        "2026/2",
        "1",
    )


def test_a_closed_case_stays_in_it(books: Any) -> None:
    with books.store.transaction() as connection:
        cases.close(connection, 1, "reversed")
    [case] = [row for row in as_json(books) if row["record"] == "case"]
    assert case["status"] == "closed"
    assert case["closed_on"]


def test_the_spreadsheet_says_the_same_in_cells_that_stay_what_they_are(books: Any) -> None:
    sent, _, unknown = [row for row in as_csv(books) if row["record"] == "payment"]
    assert list(sent) == list(COLUMNS)
    assert (sent["amount"], sent["settlement"], sent["booked_on"]) == (
        "118,00",
        "1",
        f"{books.today - timedelta(days=2)}",
    )
    assert (unknown["remittance"], unknown["payer_tax_id"]) == ("'=1+1; за услуги", "'0277012345")
    assert unknown["account"].startswith("'4")
    assert [row["record"] for row in as_csv(books)] == [row["record"] for row in as_json(books)]


def test_nothing_booked_before_the_first_day_is_written(books: Any) -> None:
    books.receive(8, booked_on=books.today - timedelta(days=30))
    assert len([row for row in as_json(books) if row["record"] == "payment"]) == 4
    since = books.today - timedelta(days=2)
    assert len([row for row in as_json(books, since=since) if row["record"] == "payment"]) == 3
    later = as_json(books, since=books.today + timedelta(days=2))
    assert [row["record"] for row in later] == ["checkpoint"]


def test_the_checkpoint_stands_at_the_end(books: Any) -> None:
    last = as_json(books)[-1]
    assert (last["record"], last["events"], len(last["sha256"])) == ("checkpoint", "0", 64)
    assert last["sha256"] in as_csv(books)[-1]["why"]


def test_an_empty_ledger_is_a_table_all_the_same(office: Any) -> None:
    assert [row["record"] for row in as_json(office)] == ["checkpoint"]
    assert [row["record"] for row in as_csv(office)] == ["checkpoint"]


def test_an_invoice_paid_by_its_id_is_a_row_of_its_own(office: Any) -> None:
    office.bill()
    settle_plain(office.desk, 2, office.pay_system)
    plain, _ = as_json(office)
    assert {
        name: plain[name] for name in ("record", "status", "amount", "invoices", "settlement", "how", "paid_on")
    } == {
        "record": "plain",
        "status": "paid",
        "amount": "118.00",
        "invoices": "2026/2",
        "settlement": "1",
        "how": "sent",
        "paid_on": f"{office.today}",
    }
    assert [row["record"] for row in as_json(office, since=office.today + timedelta(days=2))] == ["checkpoint"]


def test_an_adopted_invoice_reads_adopted_before_its_payment_comes_and_afterwards(office: Any) -> None:
    office.bill()
    office.person(2, "P")
    found = [as_found(invoice) for invoice in paid_lately(office.desk)]
    adoptions.adopt(office.store, office.desk.portal_id, found)
    assert [(row["record"], row.get("reason")) for row in as_json(office)] == [
        ("plain", "adopted"),
        ("checkpoint", None),
    ]
    office.receive()
    office.match()
    payment, _ = as_json(office)
    assert (payment["record"], payment["status"], payment["reason"]) == ("payment", "by_hand", "adopted")
    assert payment["why"].startswith("A person has adopted it")
