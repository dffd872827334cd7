"""`airflow b24 ledger dismiss|reopen`, and what `review` says of payments without a settlement, run in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from getpass import getuser
from typing import Any

import pytest
from sqlalchemy import update

from airflow_b24.commands import deciding
from airflow_b24.ledger.payments import NewPayment
from airflow_b24.ledger.records import Record, ingest
from airflow_b24.ledger.schema import settlement
from airflow_b24.operators import MatchPaymentsOperator
from airflow_b24.sandbox import seed, stage_moves

Run = Callable[..., tuple[int, str, str]]
NOW = datetime.now(UTC)
TODAY = NOW.date()
ACCOUNT = "40702810900000000001"


def told(number: str = "7", **changed: Any) -> Record:
    """What the bank says of a payment."""
    texts = {"payer_name": "ООО «Северный ветер»", "payer_tax_id": "7711000219", "payer_account": ""}
    money = {"amount": 11800, "currency": "RUB", "exponent": 2, "booked_on": TODAY, "document_number": "17"}
    words = {"remittance": f"Оплата по счету № 2026/{number}", **texts, **money, **changed}
    new = NewPayment(account=ACCOUNT, key=f"id:B{number}", occurrence=0, **words)
    return Record(json.dumps(words, default=str), "payment", payment=new, account=new.account, key=new.key)


def receive(world: Any, number: str = "7", **changed: Any) -> None:
    ingest(world.store(), "bank", [told(number, **changed)], None)


def match() -> list[dict[str, int]]:
    found: list[dict[str, int]] = MatchPaymentsOperator(task_id="match", mode="pay").execute({})
    return found


@pytest.fixture
def overpaid(world: Any) -> Any:
    """A ledger that pays, with one payment that is too much for its invoice."""
    world.bill(7)
    receive(world, amount=11900)
    assert match() == []
    return world


def shown(run: Run, *words: str) -> list[tuple[str, str]]:
    told = json.loads(run("report", "--json", *words)[1])
    return [(each["payment"], each["status"]) for each in told["payments"]]


def test_review_says_what_to_do_with_a_payment_without_a_settlement(overpaid: Any, run: Run) -> None:
    _, out, _ = run("review")
    lines = out.splitlines()
    assert lines[2] == "    why       The payment is more than what is still to be paid of the invoice."
    assert any(
        line.startswith("    do        Correct the invoice's price in Bitrix24, and the next run") for line in lines
    )
    assert any(line.startswith("    dismiss   airflow b24 ledger dismiss 1   when it is dealt with") for line in lines)


def test_a_dismissed_payment_waits_for_nobody_and_is_matched_no_more(overpaid: Any, run: Run) -> None:
    code, out, err = run("ledger", "dismiss", "1", person="yes\n")
    assert (code, out.startswith("Payment 1 is dismissed")) == (0, True)
    assert "Payment 1: B7, 119.00 RUB, booked" in err
    assert "I have dealt with this payment elsewhere" in err
    assert "Nothing waits for a person." in run("review")[1]
    overpaid.state.invoices[7].price += 1
    assert match() == []
    assert shown(run, "--status", "dismissed") == [("B7", "dismissed")]
    _, out, _ = run("report")
    assert f"{getuser()} has dealt with it" in " ".join(out.split())
    assert "0 waiting, 0 ignored, 1 dismissed." in out


def test_dismissed_money_has_a_place_in_the_books_and_its_day_in_the_export(overpaid: Any, run: Run) -> None:
    run("ledger", "dismiss", "1", "--yes")
    code, out, _ = run("ledger", "check")
    zeros = "paid 0.00 RUB + waiting 0.00 RUB + review 0.00 RUB"
    assert (code, f"{ACCOUNT}: in 119.00 RUB = {zeros} + dismissed 119.00 RUB" in out) == (0, True)
    row = json.loads(run("ledger", "export", "--format", "json")[1])[0]
    assert (row["status"], row["closed_on"]) == ("dismissed", TODAY.isoformat())


def test_a_record_that_cannot_be_read_leaves_the_list_for_a_reason_and_comes_back(overpaid: Any, run: Run) -> None:
    odd = Record('{"amount": 1.5}', "quarantined", rule="amount", detail="a float", account=ACCOUNT, key="id:Q1")
    ingest(overpaid.store(), "bank", [odd], None)
    line = next(each for each in json.loads(run("review", "--json")[1]) if each["payment"] == "Q1")
    number = str(line["record_id"])
    assert f"ignore    airflow b24 ledger ignore {number}   with --reason" in run("review")[1]
    code, _, err = run("ledger", "ignore", number, person="yes\n")
    # Said before anybody is asked.
    assert (code, err.startswith("--reason: "), "I have looked" in err) == (2, True, False)
    code, out, err = run("ledger", "ignore", number, "--reason", "a notice, no money", person="yes\n")
    assert (code, out) == (0, f"Record {number} is ignored: it leaves the list.\n")
    assert ("a float" in err, '{"amount": 1.5}' in err, "Reason: a notice, no money" in err) == (True, True, True)
    assert "Q1" not in run("review")[1]
    assert shown(run, "--status", "ignored") == [("Q1", "ignored")]
    _, out, _ = run("report")
    assert f"{getuser()} has dealt with it, as said on {TODAY}: a notice, no money" in " ".join(out.split())
    assert (run("ledger", "check")[0], "unread" in run("ledger", "check")[1]) == (0, False)
    row = next(each for each in json.loads(run("ledger", "export", "--format", "json")[1]) if each["id"] == "Q1")
    assert (row["status"], row["reason"], row["closed_on"]) == ("ignored", "dismissed", TODAY.isoformat())
    assert run("ledger", "ignore", number, "--undo", "--yes")[1] == f"Record {number} waits for a person again.\n"
    assert "Q1" in run("review")[1]


def test_a_record_that_was_dealt_with_and_can_be_read_later_pays_nothing_until_it_is_reopened(
    world: Any, run: Run
) -> None:
    world.bill(7)
    odd = replace(told(), verdict="quarantined", payment=None, rule="amount", detail="a float")
    ingest(world.store(), "bank", [odd], None)
    run("ledger", "ignore", "1", "--reason", "paid back on Monday", "--yes")
    receive(world)
    assert match() == []
    assert shown(run) == [("B7", "dismissed")]
    words = f"{getuser()} has dealt with it elsewhere, as said on {TODAY}: paid back on Monday"
    assert words in " ".join(run("report")[1].split())
    code, out, _ = run("ledger", "check")
    assert (code, "review 0.00 RUB + dismissed 118.00 RUB" in out) == (0, True)
    row = json.loads(run("ledger", "export", "--format", "json")[1])[0]
    assert (row["status"], row["why"], row["closed_on"]) == ("dismissed", words, TODAY.isoformat())
    run("ledger", "reopen", "1", "--yes")
    assert [each["invoice_id"] for each in match()] == [7]


def test_a_reopened_payment_is_matched_again(overpaid: Any, run: Run) -> None:
    run("ledger", "dismiss", "1", "--yes")
    overpaid.state.invoices[7].price += 1
    code, out, _ = run("ledger", "reopen", "1", person="yes\n")
    assert (code, out) == (0, "Payment 1 is open again: the next matching run looks at it.\n")
    assert [each["invoice_id"] for each in match()] == [7]


def test_a_word_said_twice_changes_nothing(overpaid: Any, run: Run) -> None:
    assert run("ledger", "reopen", "1", "--yes")[1] == "Payment 1 is not dismissed; nothing has changed.\n"
    run("ledger", "dismiss", "1", "--yes")
    assert run("ledger", "dismiss", "1", "--yes")[1] == "Payment 1 is dismissed already; nothing has changed.\n"


def test_a_payment_put_to_an_invoice_is_not_dismissed_and_the_way_on_is_named(overpaid: Any, run: Run) -> None:
    overpaid.state.invoices[7].price += 1
    match()
    code, out, err = run("ledger", "dismiss", "1", "--yes")
    assert (code, out) == (2, "")
    assert err == (
        "PAYMENT_ID: 1 is put to invoice 2026/7: first `airflow b24 ledger release 1`, then dismiss the payment\n"
    )


@pytest.mark.parametrize("command", ["dismiss", "reopen"])
def test_a_payment_that_the_bank_changes_while_the_person_is_asked_is_to_be_looked_at_again(
    overpaid: Any, run: Run, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    if command == "reopen":
        run("ledger", "dismiss", "1", "--yes")

    def asked(*_: Any) -> bool:
        receive(overpaid, amount=9911900)
        return True

    monkeypatch.setattr(deciding, "confirmed", asked)
    code, out, err = run("ledger", command, "1")
    assert (code, out) == (2, "")
    assert err.endswith("PAYMENT_ID: 1 has changed meanwhile; look at it again\n")
    assert shown(run) == [("B7", "review")]


@pytest.mark.parametrize("is_held", [True, False])
def test_a_payment_that_the_bank_changes_while_it_is_to_be_accepted_is_to_be_looked_at_again(
    overpaid: Any, run: Run, monkeypatch: pytest.MonkeyPatch, is_held: bool
) -> None:
    if is_held:
        receive(overpaid, amount=100)

    def asked(*_: Any) -> bool:
        receive(overpaid, amount=200)
        return True

    monkeypatch.setattr(deciding, "confirmed", asked)
    code, out, err = run("ledger", "accept", "1")
    assert (code, out) == (2, "")
    assert err.endswith("PAYMENT_ID: 1 has changed meanwhile; look at it again\n")
    assert "accept    airflow b24 ledger accept 1" in run("review")[1]


@pytest.mark.parametrize("command", ["dismiss", "reopen"])
def test_a_ledger_that_does_not_pay_keeps_no_word_of_a_person(overpaid: Any, run: Run, command: str) -> None:
    (key,) = overpaid.api.variables
    overpaid.api.variables[key] = json.dumps({"ledger": "another", "mark": 1})
    code, out, err = run("ledger", command, "1", "--yes")
    assert (code, out, "is paid from ledger another" in err) == (2, "", True)


def test_accept_shows_what_the_bank_has_changed_and_so_do_review_and_export(overpaid: Any, run: Run) -> None:
    receive(overpaid, amount=100)
    changed = "amount: 11900 -> 100"
    _, out, _ = run("review")
    assert f"with other content. Changed: {changed}." in out
    assert "    accept    airflow b24 ledger accept 1" in out
    code, _, err = run("ledger", "accept", "1", "--yes")
    assert (code, err.splitlines()[1]) == (0, f"The bank has changed {changed}")
    receive(overpaid, amount=200)
    assert "11900 -> 200" in json.loads(run("ledger", "export", "--format", "json")[1])[0]["why"]


@pytest.mark.parametrize("command", ["release", "retry", "confirm", "accept", "dismiss", "reopen", "close"])
@pytest.mark.parametrize("number", ["9" * 23, "-1", "1.5", "one", ""])
def test_a_number_that_is_none_is_told_by_the_arguments_name(run: Run, world: Any, command: str, number: str) -> None:
    # What begins with a dash is taken for an option: that is told, too.
    code, out, err = run("ledger", command, *(["--", number] if number else [number]))
    assert (code, out, "Traceback" in err) == (2, "", False)
    assert "_id: " in err


@pytest.mark.parametrize("command", ["retry", "confirm"])
def test_what_does_not_wait_for_a_person_is_refused_before_anybody_is_asked(
    overpaid: Any, run: Run, command: str
) -> None:
    overpaid.state.invoices[7].price += 1
    match()
    code, out, err = run("ledger", command, "1", person="yes\n")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("SETTLEMENT_ID: 1 is matched and to be paid by the next run, not in review")


def test_a_release_of_a_payment_says_that_the_two_are_parted(overpaid: Any, run: Run) -> None:
    overpaid.state.invoices[7].price += 1
    match()
    _, out, _ = run("ledger", "release", "1", "--yes")
    assert out.startswith("Settlement 1 is released: invoice 2026/7 and its payment are parted for good")
    code, out, err = run("ledger", "release", "1", person="yes\n")
    assert (code, out, err) == (2, "", "SETTLEMENT_ID: 1 is released, and nothing of that can be released\n")


@pytest.fixture
def filed(world: Any) -> Any:
    """A ledger that pays, with a smart invoice in review that somebody has moved on since."""
    smart = world.smart_bill(7)
    smart.number = "2026/7"
    receive(world)
    match()
    store = world.store()
    with store.transaction() as connection:
        connection.execute(update(settlement).values(state="review", reason="moved_on_from_paid"))
    store.close()
    stage_moves.move(world.state, smart, world.state.funnels[5].stage("DT31_5:S"), seed.ACCOUNTANT, NOW)
    return world


def test_review_says_in_which_stage_a_smart_invoice_is_now_and_what_can_be_done_there(filed: Any, run: Run) -> None:
    _, out, _ = run("review")
    assert "    now       stage DT31_5:S (Отправлен), on the way: not paid" in out.splitlines()
    assert "    do        If the money is there, move the invoice to its stage of success by hand, and the next" in out
    assert json.loads(run("review", "--json")[1])[0]["now"].startswith("stage DT31_5:S (")


def test_review_shows_the_ledger_where_the_portal_does_not_answer(filed: Any, run: Run) -> None:
    filed.fault("error", times=9, method="profile", status=401, code="INVALID_CREDENTIALS")
    code, out, err = run("review")
    assert (code, "    now " in out, "airflow b24 ledger confirm 1" in out) == (0, False, True)
    assert err == "How the invoices stand in Bitrix24 now is not known (AuthError): run `airflow b24 doctor`.\n"


@pytest.mark.parametrize("command", ["confirm", "retry", "release"])
def test_who_is_asked_is_shown_the_stage_in_which_the_invoice_is_now(filed: Any, run: Run, command: str) -> None:
    code, _, err = run("ledger", command, "1", person="no\n")
    assert (code, err.splitlines()[1]) == (1, "In Bitrix24 now: stage DT31_5:S (Отправлен), on the way: not paid.")
    filed.fault("error", times=9, method="profile", status=401, code="INVALID_CREDENTIALS")
    assert "In Bitrix24 now: not known. profile at " in run("ledger", command, "1", person="no\n")[2]
