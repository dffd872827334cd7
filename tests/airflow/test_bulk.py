"""The step that pays many, with Airflow's words for what is left open and what has failed."""

from __future__ import annotations

import copy
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from sqlalchemy import update

from airflow_b24.bitrix.errors import ADVICE, LEFT_OPEN, BitrixError, RefusedError, UnknownOutcomeError
from airflow_b24.ledger.facts import Refused
from airflow_b24.ledger.portals import portal_id
from airflow_b24.ledger.schema import ledger, settlement
from airflow_b24.ledger.settlement import Patience, Settled
from airflow_b24.ledger.settlements import look
from airflow_b24.operators import (
    CollectPaymentsOperator,
    MatchPaymentsOperator,
    PayInvoiceOperator,
    PayMatchedInvoicesOperator,
    SweepLedgerOperator,
)
from airflow_b24.payments.statements.records import RecordFields
from airflow_b24.reconcile import lane
from airflow_b24.reconcile.ending import StoppedError
from airflow_b24.sources import HttpSource
from airflow_b24.summaries import SHOWN, error_of, summed

PAY = "sale.paysystem.pay.invoice"
BANK = HttpSource(
    http_conn_id="bank",
    endpoint="bank/payments",
    data_selector="payments",
    record_fields=RecordFields(remittance="purpose", payer_tax_id="payer.tax_id", payer_name="payer.name"),
)
NOTHING = {"paid": 0, "already_paid": 0, "review": 0, "waiting": 0, "failed": 0, "failures": []}


class Task:
    """The task instance an operator talks to."""

    def __init__(self) -> None:
        self.pushed: dict[str, object] = {}

    def xcom_push(self, key: str, value: object) -> None:
        self.pushed[key] = value


def run(operator: Any, task: Task | None = None) -> Any:
    context: Any = {"ti": task or Task()}
    operator.render_template_fields(context)
    return operator.execute(context)


def pay(settlements: Any, task: Task | None = None, **arguments: Any) -> Any:
    return run(PayMatchedInvoicesOperator(task_id="pay", settlements=settlements, **arguments), task)


def matched(world: Any, *invoice_ids: int) -> list[dict[str, int]]:
    for invoice_id in invoice_ids:
        world.bill(invoice_id)
        world.payment(invoice_id)
    run(CollectPaymentsOperator(task_id="collect", source=BANK, start_from="2026-01-01"))
    found: list[dict[str, int]] = run(MatchPaymentsOperator(task_id="match", mode="pay"))
    assert [each["invoice_id"] for each in found] == list(invoice_ids)
    return found


def test_all_that_was_matched_is_paid_in_one_task_and_a_second_run_asks_for_nothing(world: Any) -> None:
    settlements = matched(world, 5, 6, 7)
    assert pay(settlements) == {**NOTHING, "paid": 3}
    asked = world.state.requests
    assert pay(settlements, lanes=1) == {**NOTHING, "paid": 3}
    assert (world.pays(), world.state.requests) == ({5: 1, 6: 1, 7: 1}, asked)


def test_nothing_matched_is_nothing_to_do(world: Any) -> None:
    assert pay([]) == NOTHING
    assert world.state.requests == 0


def test_a_lost_batch_fails_the_task_until_it_may_be_sent_again(world: Any) -> None:
    settlements, task = matched(world, 5, 6), Task()
    world.fault("lost_before", method=PAY)
    with pytest.raises(UnknownOutcomeError, match="Of 2 matched invoices: 2 waiting") as caught:
        pay(settlements, task)
    in_s = (caught.value.retry_at - datetime.now(UTC)).total_seconds()
    assert in_s == pytest.approx(Patience().quiet_after(2), abs=10)
    assert task.pushed == {"summary": {**NOTHING, "waiting": 2}}


def test_a_sweep_says_who_still_waits_and_until_when_and_what_it_returns_is_finished_in_one_task(
    world: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settlements = matched(world, 5, 6)
    world.fault("lost_before", method=PAY, times=2)
    with pytest.raises(UnknownOutcomeError):
        pay(settlements)
    world.bill(7)
    with pytest.raises(UnknownOutcomeError):
        run(PayInvoiceOperator(task_id="one", invoice_id=7))
    assert run(SweepLedgerOperator(task_id="sweep")) == []
    until = re.search(r"3 more wait until (\S+ \S+) \(UTC\)", " ".join(capsys.readouterr().out.split()))
    assert until is not None
    assert datetime.fromisoformat(f"{until[1]}+00:00") > datetime.now(UTC)
    with world.store().transaction() as connection:
        connection.execute(update(settlement).values(quiet_until=datetime(2026, 1, 1, tzinfo=UTC), quiet_clock=None))
    begun = run(SweepLedgerOperator(task_id="sweep"))
    assert "more wait until" not in capsys.readouterr().out
    assert pay(begun) == {**NOTHING, "paid": 3}
    assert world.pays() == {5: 1, 6: 1, 7: 1}


def test_operating_time_that_is_used_up_gives_the_task_back_until_the_portal_frees_it(world: Any) -> None:
    settlements, task = matched(world, 5, 6, 7), Task()
    world.fault("operation_time_limit", method=PAY, match={"INVOICE_ID": "6"})
    with pytest.raises(RefusedError, match="Of 3 matched invoices: 2 paid, 1 waiting") as caught:
        pay(settlements, task)
    # What its neighbours say: the portal counts ten minutes.
    assert (caught.value.retry_at - datetime.now(UTC)).total_seconds() == pytest.approx(600, abs=10)
    assert task.pushed == {"summary": {**NOTHING, "paid": 2, "waiting": 1}}
    assert pay(settlements) == {**NOTHING, "paid": 3}
    assert world.pays() == {5: 1, 6: 1, 7: 1}


@pytest.fixture
def on_sigterm() -> Iterator[Callable[[PayMatchedInvoicesOperator], Callable[[], None]]]:
    """Sends SIGTERM to this process, whose handler is Airflow's own: it calls `on_kill`, and raises nothing."""
    before, heard = signal.getsignal(signal.SIGTERM), threading.Event()

    def terminate(operator: PayMatchedInvoicesOperator) -> Callable[[], None]:
        def on_term(_signal: int, _frame: object) -> None:
            operator.on_kill()
            heard.set()

        def send() -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            assert heard.wait(10)

        signal.signal(signal.SIGTERM, on_term)
        return send

    yield terminate
    signal.signal(signal.SIGTERM, before)


def test_a_task_that_gets_sigterm_writes_down_what_was_on_its_way_and_sends_nothing_more(
    world: Any, monkeypatch: pytest.MonkeyPatch, on_sigterm: Any
) -> None:
    world.connect(timeline_comments=True)
    world.state.bank.page_size = 100
    settlements, task, real = matched(world, *range(5, 54)), Task(), lane.exchange_all
    operator = PayMatchedInvoicesOperator(task_id="pay", settlements=settlements, lanes=1)
    terminate = on_sigterm(operator)

    def exchange_all(pays: Any, *others: Any, **how: Any) -> Any:
        if pays:
            terminate()
        return real(pays, *others, **how)

    monkeypatch.setattr(lane, "exchange_all", exchange_all)
    with pytest.raises(RefusedError, match=r"Of 49 matched invoices: 25 paid, 24 waiting.*the run was told to end"):
        run(operator, task)
    assert task.pushed == {"summary": {**NOTHING, "paid": 25, "waiting": 24}}
    # What they were paid with is written on them by the sweep.
    assert (list(world.pays().values()), world.state.comments) == ([1] * 25, [])
    monkeypatch.setattr(lane, "exchange_all", real)
    assert pay(settlements) == {**NOTHING, "paid": 49}
    assert list(world.pays().values()) == [1] * 49


def test_a_task_that_is_told_to_end_waits_for_nothing_long(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    operator = PayMatchedInvoicesOperator(task_id="pay", settlements=matched(world, 5))

    def settle_all(desk: Any, *_given: Any, **_more: Any) -> Any:
        operator.on_kill()
        with pytest.raises(StoppedError):
            desk.sleep(170.0)
        return {}

    monkeypatch.setattr("airflow_b24.operators.bulk.settle_all", settle_all)
    assert run(operator) == NOTHING


def test_a_task_may_be_told_to_end_before_and_after_its_run_and_its_next_one_pays(world: Any) -> None:
    operator = PayMatchedInvoicesOperator(task_id="pay", settlements=matched(world, 5))
    operator.on_kill()
    assert copy.deepcopy(operator).execute({"ti": Task()}) == {**NOTHING, "paid": 1}  # type: ignore[typeddict-item]
    operator.execute({"ti": Task()})  # type: ignore[typeddict-item]
    operator.on_kill()
    assert copy.deepcopy(operator).execute({"ti": Task()}) == {**NOTHING, "paid": 1}  # type: ignore[typeddict-item]


def test_what_broke_a_lane_stands_in_the_log_without_foreign_words(
    world: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def exchange_all(*_given: Any, **_how: Any) -> Any:
        raise KeyError("a password")

    settlements = matched(world, 5, 6)
    monkeypatch.setattr(lane, "exchange_all", exchange_all)
    with pytest.raises(RefusedError, match="The first that waits: an unexpected KeyError"):
        pay(settlements, lanes=2)
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("A lane ended early: an unexpected KeyError") == 1
    assert "a password" not in said


def test_one_that_failed_for_good_fails_the_task_for_good_once_all_else_is_paid(world: Any) -> None:
    settlements, task = matched(world, 5, 6), Task()
    with pytest.raises(AirflowFailException, match=r"Of 3 .*: 2 paid, 1 failed\. .*settlement_id=404 is not in this"):
        pay([*settlements, {"invoice_id": 9, "settlement_id": 404}], task)
    assert world.pays() == {5: 1, 6: 1}
    (failed,) = task.pushed["summary"]["failures"]  # type: ignore[index]
    assert (failed["invoice_id"], failed["settlement_id"]) == (9, 404)


def test_what_needs_a_person_is_counted_and_fails_nothing(world: Any) -> None:
    settlements = matched(world, 5, 6)
    world.state.invoices[6].price += 1
    assert pay(settlements) == {**NOTHING, "paid": 1, "review": 1}


@pytest.mark.parametrize(
    ("settlements", "named"),
    [
        ("text", "settlements: found str 'text'; give what MatchPaymentsOperator returns"),
        (None, "settlements: found NoneType None; give"),
        ({"invoice_id": 5, "settlement_id": 1}, r"settlements: found dict \{'invoice_id': 5"),
        ([{"invoice_id": 5, "settlement_id": 1}, 5], r"settlements\[1\]: found int 5; give"),
        ([{"invoice_id": 5}], r"settlements\[0\]: missing or unknown: settlement_id; give"),
        ([{"invoice_id": 5, "settlement_id": 1, "more": 1}], r"settlements\[0\]: missing or unknown: more; give"),
        ([{"invoice_id": "5.0", "settlement_id": 1}], r"settlements\[0\].invoice_id: '5.0' is no id"),
        ([{"invoice_id": 5, "settlement_id": 0}], r"settlements\[0\].settlement_id: '0' is no id"),
        (
            [{"invoice_id": 5, "settlement_id": 1}, {"invoice_id": 6, "settlement_id": 1}],
            r"settlements\[1\]: settlement_id=1 is named with two invoices",
        ),
    ],
    ids=str,
)
def test_what_is_no_match_fails_for_good_before_anything_is_asked(world: Any, settlements: Any, named: str) -> None:
    with pytest.raises(AirflowFailException, match=named):
        pay(settlements)
    assert world.state.requests == 0


@pytest.mark.parametrize("lanes", [0, 13, "4", True])
def test_lanes_that_cannot_be_are_refused_when_the_dag_is_read(lanes: Any) -> None:
    with pytest.raises(ValueError, match=r"lanes: .*whole number from 1 to 12"):
        PayMatchedInvoicesOperator(task_id="pay", settlements=[], lanes=lanes)


def test_a_ledger_that_is_not_the_pinned_one_pays_nothing(world: Any) -> None:
    settlements = matched(world, 5)
    with world.store().transaction() as connection:
        connection.execute(update(ledger).values(id="a new file"))
    with pytest.raises(AirflowFailException, match="is paid from ledger"):
        pay(settlements)
    assert world.pays() == {}


def test_a_settlement_of_another_portal_is_not_paid_here(world: Any) -> None:
    settlements = matched(world, 5)
    with world.store().transaction() as connection:
        other = portal_id(connection, "other.example")
        connection.execute(update(settlement).values(portal_id=other))
    with pytest.raises(AirflowFailException, match="is of another portal"):
        pay(settlements)
    assert world.pays() == {}


def test_once_the_portal_takes_no_comment_the_rest_is_left_to_the_sweep(
    world: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.connect(timeline_comments=True)
    settlements = matched(world, 5, 6, 7)
    monkeypatch.setattr("airflow_b24.reconcile.noting.CHUNK", 2)
    world.fault("error", method="crm.timeline.comment.list", times=9, code="insufficient_scope", status=403)
    assert pay(settlements) == {**NOTHING, "paid": 3}
    said = " ".join(capsys.readouterr().out.split())
    assert (said.count("Written on"), said.count("Written on 0 of 3 invoices")) == (1, 1)
    assert said.count("Not everything was written on the invoices") == 1
    assert re.search(r"a later sweep tries again: crm\.timeline\.comment\.list: insufficient_scope", said)
    assert world.state.comments == []


def test_while_it_writes_on_invoices_it_says_how_far_it_has_come(
    world: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.connect(timeline_comments=True)
    monkeypatch.setattr("airflow_b24.reconcile.noting.CHUNK", 2)
    settlements = matched(world, 5, 6, 7)
    assert pay(settlements) == {**NOTHING, "paid": 3}
    said = " ".join(capsys.readouterr().out.split())
    assert re.findall(r"Written on (\d of \d) invoices", said) == ["2 of 3", "3 of 3"]
    assert len(world.state.comments) == 3
    assert pay(settlements) == {**NOTHING, "paid": 3}
    assert "Written on" not in capsys.readouterr().out
    assert len(world.state.comments) == 3


def test_the_list_of_what_failed_is_bounded_and_its_count_is_not() -> None:
    outcomes: dict[int, Any] = {each: ValueError(f"no {each}") for each in range(1, 200)}
    summary = summed({each: each for each in outcomes}, outcomes)
    assert (len(summary["failures"]), summary["failed"]) == (SHOWN, 199)
    assert "Of 199 matched invoices: 199 failed. The first that failed: no 1" in str(error_of(outcomes, summary))


@pytest.mark.parametrize(
    "first",
    [
        RefusedError("OPERATION_TIME_LIMIT", "Used up.", method=PAY, status=429, retry_at=datetime.now(UTC)),
        UnknownOutcomeError(LEFT_OPEN, "invoice 2026/5: not known yet.", retry_at=datetime.now(UTC)),
    ],
)
def test_the_error_of_many_says_the_code_what_to_do_and_when_once(first: BitrixError) -> None:
    outcomes: dict[int, Any] = {1: first}
    text = str(error_of(outcomes, summed({1: 1}, outcomes)))
    once = (first.code, first.description.removesuffix("."), ADVICE[LEFT_OPEN], "Not before ", "1 waiting")
    assert {part: text.count(part) for part in once} == dict.fromkeys(once, 1)
    assert ".." not in text
    assert "0 failed" not in text
    assert "Nothing ran" not in text


def test_the_time_that_the_portal_named_is_not_moved_on_by_what_the_run_took_afterwards(world: Any) -> None:
    (first,) = matched(world, 5)
    named = datetime.now(UTC) + timedelta(seconds=30)
    cause = RefusedError("OPERATION_TIME_LIMIT", retry_at=named)
    # Refused five minutes ago, and measured then.
    trouble = Refused(cause.code, str(cause), repeatable=True, wait_s=330.0, cause=cause)
    row = look(world.store(), first["settlement_id"])
    outcomes: dict[int, Any] = {1: Settled(row, trouble.wait_s, trouble)}
    error = error_of(outcomes, summed({1: 1}, outcomes))
    assert (type(error), error.retry_at) == (RefusedError, named)  # type: ignore[union-attr]


def test_the_earliest_time_that_helps_is_the_one_to_try_again_at() -> None:
    now = datetime.now(UTC)
    waits = [RefusedError("A", retry_at=now + timedelta(seconds=each)) for each in (90, 30, 60)]
    outcomes: dict[int, Any] = dict(enumerate([*waits, ValueError("for good")]))
    error = error_of(outcomes, summed({each: each for each in outcomes}, outcomes))
    assert (type(error), error.retry_at) == (RefusedError, waits[1].retry_at)  # type: ignore[union-attr]
