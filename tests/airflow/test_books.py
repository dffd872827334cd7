"""`airflow b24 ledger check|export|adopt`, run in this process."""

from __future__ import annotations

import csv
import json
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from airflow_b24.ledger.records import Record, ingest
from airflow_b24.operators import MatchPaymentsOperator, PayInvoiceOperator
from airflow_b24.reconcile.reporting import lines
from airflow_b24.sandbox import seed

Run = Callable[..., tuple[int, str, str]]


def pay(invoice_id: int = 5) -> None:
    operator = PayInvoiceOperator(task_id="pay", invoice_id=invoice_id)
    context: Any = {"ti": type("Task", (), {"xcom_push": lambda *_, **__: None})()}
    assert operator.execute(context)["status"] == "paid"


def match() -> list[dict[str, int]]:
    found: list[dict[str, int]] = MatchPaymentsOperator(task_id="match", mode="pay").execute({})
    return found


@pytest.fixture
def paid(world: Any) -> Any:
    """A ledger with one invoice paid from it, and a record that could not be read."""
    world.bill(5)
    pay()
    ingest(world.store(), "bank", [Record('{"amount": 1.5}', "quarantined", rule="amount", detail="a float")], None)
    return world


def damage(world: Any, statement: str) -> None:
    with world.store().transaction() as connection:
        connection.execute(text(statement))


def test_check_of_a_ledger_in_good_order_says_so(paid: Any, run: Run) -> None:
    code, out, err = run("ledger", "check")
    assert (code, err) == (0, "")
    assert "Checkpoint of the events before" in out
    assert out.splitlines()[-1] == "Every rule holds."


def test_check_names_each_violation_and_exits_with_1(paid: Any, run: Run) -> None:
    damage(paid, "UPDATE b24_settlement SET sends = 0")
    code, out, _ = run("ledger", "check")
    assert code == 1
    assert "!!  I3    settlement 1: it was paid by us, but nothing was sent before" in out
    assert out.splitlines()[-1] == "1 violation."
    code, out, _ = run("ledger", "check", "--json")
    told = json.loads(out)
    assert (code, told["ok"], [found["row"] for found in told["violations"]]) == (1, False, ["settlement 1"])


def test_check_prints_the_sums_to_the_minor_unit(world: Any, run: Run) -> None:
    world.bill(5)
    code, out, _ = run("ledger", "check")
    assert (code, out) == (2, "")
    world.store()
    ingest_one(world, "118.00")
    code, out, _ = run("ledger", "check")
    assert "40702: in 118.00 RUB = paid 0.00 RUB + waiting 118.00 RUB + review 0.00 RUB" in out
    assert code == 0
    damage(world, "UPDATE b24_raw SET currency = '???'")
    code, out, _ = run("ledger", "check")
    assert code == 1
    assert "40702: in 11800 ??? (minor units)" in out


def ingest_one(world: Any, amount: str) -> None:
    from datetime import date

    from airflow_b24.ledger.payments import NewPayment

    texts = {"remittance": "=1+1", "payer_name": "ООО", "payer_tax_id": "0277012345", "payer_account": "1"}
    money = {"amount": int(amount.replace(".", "")), "currency": "RUB", "exponent": 2, "booked_on": date(2026, 11, 20)}
    new = NewPayment(account="40702", key="id:B1", occurrence=0, document_number="17", **texts, **money)
    ingest(world.store(), "bank", [Record("{1}", "payment", payment=new, account=new.account, key=new.key)], None)


def test_check_says_what_would_stop_paying(paid: Any, run: Run) -> None:
    paid.api.variables.clear()
    code, out, _ = run("ledger", "check")
    assert code == 1
    assert "nothing is pinned" in out
    assert "airflow b24 ledger adopt" in out


@pytest.mark.parametrize("given", ["yesterday", "2026-13-01"])
def test_a_day_that_is_none_is_one_line(paid: Any, run: Run, given: str) -> None:
    code, out, err = run("ledger", "check", "--before", given)
    assert (code, out) == (2, "")
    assert err.startswith(f"--before: {given!r} is no date")
    assert run("ledger", "export", "--format", "csv", "--since", given)[0] == 2


def test_a_checkpoint_can_be_computed_again(paid: Any, run: Run) -> None:
    today = datetime.now(UTC).date()
    told = [
        json.loads(run("ledger", "check", "--json", *words)[1])["checkpoint"]
        for words in ([], ["--before", f"{today}"])
    ]
    assert told[0] == told[1]
    assert json.loads(run("ledger", "check", "--json", "--before", "2026-01-01")[1])["checkpoint"]["events"] == 0


def test_a_checkpoint_of_days_that_are_not_over_is_refused(paid: Any, run: Run) -> None:
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    code, out, err = run("ledger", "check", "--before", f"{tomorrow}")
    assert (code, out) == (2, "")
    assert err == f"--before: the days before {tomorrow} are not over (UTC); give today or an earlier day\n"


def test_check_says_how_many_records_are_in_no_sum(paid: Any, run: Run) -> None:
    assert "1 record unread, not in the sums: see `airflow b24 review`." in run("ledger", "check")[1]
    assert json.loads(run("ledger", "check", "--json")[1])["unread"] == 1


def test_export_prints_a_table_or_json(world: Any, run: Run) -> None:
    ingest_one(world, "118.00")
    code, out, _ = run("ledger", "export", "--format", "csv")
    rows = list(csv.DictReader(out.removeprefix("\ufeff").splitlines(), delimiter=";"))
    assert (code, rows[0]["amount"], rows[0]["remittance"], rows[0]["payer_tax_id"]) == (
        0,
        "118,00",
        "'=1+1",
        "'0277012345",
    )
    code, out, _ = run("ledger", "export", "--format", "json")
    assert (code, json.loads(out)[0]["amount"], json.loads(out)[0]["remittance"]) == (0, "118.00", "=1+1")
    assert len(lines(world.store())) == 1
    assert [
        row["record"] for row in json.loads(run("ledger", "export", "--format", "json", "--since", "2026-11-21")[1])
    ] == ["checkpoint"]


def test_an_exported_file_is_its_owners_alone_and_is_not_overwritten(world: Any, run: Run, tmp_path: Path) -> None:
    ingest_one(world, "118.00")
    path = tmp_path / "payments.csv"
    code, out, err = run("ledger", "export", "--format", "csv", "--output", str(path))
    assert (code, out, err) == (0, "", f"Wrote {path}\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes().startswith("\ufeffrecord;".encode())
    path.write_text("a person's own notes", encoding="utf-8")
    code, _, err = run("ledger", "export", "--format", "csv", "--output", str(path))
    assert (code, err) == (2, f"--output: {path} exists; give another name, or --force\n")
    assert path.read_text(encoding="utf-8") == "a person's own notes"
    path.chmod(0o644)
    assert run("ledger", "export", "--format", "json", "--output", str(path), "--force")[0] == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text(encoding="utf-8"))
    assert [each.name for each in tmp_path.glob(".*")] == []


def test_a_file_that_cannot_be_written_is_one_line(world: Any, run: Run, tmp_path: Path) -> None:
    ingest_one(world, "118.00")
    code, _, err = run("ledger", "export", "--format", "csv", "--output", str(tmp_path / "no" / "file.csv"))
    assert code == 2
    assert err.startswith("--output: ")
    assert "No such file or directory" in err


def test_adopt_shows_what_was_found_and_changes_nothing_without_a_yes(paid: Any, run: Run) -> None:
    paid.bill(7)
    paid.paid_elsewhere(7)
    before = dict(paid.api.variables)
    for answer in ("", "no\n", "\n"):
        code, out, err = run("ledger", "adopt", person=answer)
        assert code == 1
        assert "Nothing was changed." in err
    assert "2026/7  118.00 RUB  paid 20" in out
    assert "Unknown pays  1 in the last 45 days" in out
    assert "I have looked: no other ledger pays on this portal" in err
    assert paid.api.variables == before
    code, _, err = run("ledger", "adopt")
    assert (code, err.split(":")[0]) == (2, "--yes")


def test_a_person_who_adopts_lets_paying_go_on(paid: Any, run: Run) -> None:
    paid.bill(7)
    paid.paid_elsewhere(7)
    paid.lose_ledger()
    with pytest.raises(Exception, match="is paid from ledger"):
        match()
    code, out, _ = run("ledger", "adopt", person="yes\n")
    assert code == 0
    # Of both ledgers: the one that was lost had paid invoice 5.
    assert "2 invoices adopted as paid" in out
    assert match() == []
    paid.bill(8)
    pay(8)
    assert paid.pays() == {5: 1, 8: 1}
    assert run("ledger", "check")[0] == 0


def test_adopting_again_says_that_there_is_nothing_to_do(paid: Any, run: Run) -> None:
    code, out, err = run("ledger", "adopt")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "It is the one that pays there already: nothing to adopt."
    paid.api.variables.clear()
    assert run("ledger", "adopt", "--yes")[0] == 0
    assert "nothing to adopt" in run("ledger", "adopt", "--yes")[1]


def test_a_person_who_pays_as_the_webhooks_user_is_found_out_and_can_be_adopted(paid: Any, run: Run) -> None:
    paid.bill(7)
    paid.paid_elsewhere(7, by=seed.ACCOUNTANT)
    assert match() == []
    paid.paid_elsewhere(7)
    with pytest.raises(Exception, match="give the webhook a technical user of its own"):
        match()
    assert run("ledger", "adopt", "--yes")[0] == 0
    assert match() == []
