"""Many settled at once, against a portal over HTTP: whatever becomes of a batch, each is paid once and told of."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from airflow_b24.bitrix import stage_history
from airflow_b24.bitrix.auth import Webhook
from airflow_b24.bitrix.client import Client
from airflow_b24.bitrix.errors import AuthError, RefusedError, ResponseError, UnknownOutcomeError
from airflow_b24.bitrix.limits import Unpaced, now_s
from airflow_b24.bitrix.stages import Wishes
from airflow_b24.ledger import moves, payments, settlements
from airflow_b24.ledger.errors import LedgerError, UnknownIdError
from airflow_b24.ledger.facts import Unknown
from airflow_b24.ledger.settlement import Patience, Settled
from airflow_b24.ledger.states import State
from airflow_b24.reconcile import bulk, lane
from airflow_b24.reconcile.bulk import settle_all
from airflow_b24.reconcile.desk import PaySystem
from airflow_b24.reconcile.ending import Ending
from airflow_b24.reconcile.lanes import Outcomes, Progress, Queue, Tempo
from airflow_b24.reconcile.settling import settle_matched
from airflow_b24.sandbox import seed
from airflow_b24.sandbox.funnel import Funnel, Robot, Stage
from airflow_b24.sandbox.operating import WINDOW, OperatingTime

PAY, MOVE = "sale.paysystem.pay.invoice", "crm.item.update"
MANY = range(2, 14)
REFUSED = RefusedError("QUERY_LIMIT_EXCEEDED", "too many", method="batch")


def ready(office: Any, ids: Any = MANY) -> dict[int, int]:
    """Invoices with their payments, matched: {settlement's id: its invoice's}."""
    for invoice_id in ids:
        office.bill(invoice_id)
        office.receive(invoice_id)
    return matched(office)


def matched(office: Any) -> dict[int, int]:
    office.match()
    return {settlement_id: invoice_id for invoice_id, settlement_id in office.due().items()}


def settle(office: Any, wanted: dict[int, int], **options: Any) -> dict[int, Any]:
    return settle_all(office.desk, wanted, office.pay_system, **{"lanes": 1, **options})


def states(outcomes: dict[int, Any]) -> dict[str, int]:
    """How many stand where; one that was only refused for now is `ready`."""
    return dict(
        Counter(
            each.row.state.value if isinstance(each, Settled) else type(each).__name__ for each in outcomes.values()
        )
    )


def executed(office: Any) -> dict[int, int]:
    """How many invoices were paid so often."""
    invoices = (*office.state.invoices.values(), *office.state.smart_invoices.values())
    return dict(Counter(len(invoice.executed_pays) for invoice in invoices))


class Meddling:
    """The real client, and something that happens right before its n-th flow: 1 is the probe, 2 reads, 3 pays."""

    def __init__(self, office: Any, before: int, what: Callable[[], object]) -> None:
        self._client, self._before, self._what, self._runs = office.desk.client, before, what, 0

    def run(self, flow: Any) -> Any:
        self._runs += 1
        if self._runs == self._before:
            self._what()
        return self._client.run(flow)


def meddle(office: Any, before: int, what: Callable[[], object]) -> Any:
    return office.with_desk(client=Meddling(office, before, what))


def test_all_are_paid_once_and_proved_by_what_was_read_back(office: Any) -> None:
    wanted = ready(office, range(2, 52))
    outcomes = settle(office, wanted, lanes=3)
    assert list(outcomes) == list(wanted)
    assert {(each.row.state, each.row.how, each.trouble) for each in outcomes.values()} == {(State.PAID, "sent", None)}
    assert (executed(office), office.asked(PAY)) == ({1: 50}, 0)


def test_a_chunk_is_read_with_the_pays_before_it_so_that_each_takes_one_request(office: Any) -> None:
    wanted = ready(office, range(2, 52))
    office.state.journal.clear()
    settle(office, wanted)
    # The first reading, and each 25.
    assert office.asked("batch") == 1 + 2


def test_what_has_an_end_is_taken_from_the_ledger_and_nothing_is_asked(office: Any) -> None:
    wanted = ready(office)
    settle(office, wanted)
    office.state.journal.clear()
    assert states(settle(office, wanted)) == {"paid": 12}
    assert list(office.state.journal) == []


def test_one_wrong_id_hides_no_other(office: Any) -> None:
    wanted = ready(office)
    other = office.with_desk(portal_id=office.meet("other.example"))
    first, second, *_ = wanted
    outcomes = settle(office, {**wanted, 999: 5, first: 555})
    assert isinstance(outcomes[999], UnknownIdError)
    assert isinstance(outcomes[first], ValueError)
    assert states(outcomes) == {"paid": 11, "UnknownIdError": 1, "ValueError": 1}
    assert isinstance(settle(other, {second: wanted[second]})[second], ValueError)


def test_a_deleted_invoice_is_a_review_and_hides_no_other(office: Any) -> None:
    wanted = ready(office)
    office.delete(5)
    outcomes = settle(office, wanted)
    assert states(outcomes) == {"paid": 11, "review": 1}
    assert [each.row.reason for each in outcomes.values() if each.row.state is State.REVIEW] == ["invoice_not_found"]


FAULTS: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    # of the first batch that pays: how many stand where after the run
    "its answer lost on the way back": ({"kind": "lost_after"}, {"paid": 12}),
    "its answer cut": ({"kind": "truncated_after"}, {"paid": 12}),
    "a page of 502 after it ran": ({"kind": "html_502_after"}, {"paid": 12}),
    "lost on the way there": ({"kind": "lost_before"}, {"unknown": 12}),
    "refused": ({"kind": "refused"}, {"paid": 12}),
    "refused for good": ({"kind": "refused", "times": 1000}, {"ready": 12}),
    "a token that has expired": ({"kind": "expired_token"}, {"ready": 12}),
    "blocked by hand": ({"kind": "refused_by_hand"}, {"ready": 12}),
    "one refused inside": ({"kind": "error", "code": "QUERY_LIMIT_EXCEEDED", "status": 503}, {"paid": 12}),
    "one refused inside until later": ({"kind": "operation_time_limit"}, {"paid": 11, "ready": 1}),
    "one refused by the pay system": (
        {"kind": "error", "code": "ERROR_PROCESS_REQUEST_RESULT"},
        {"paid": 11, "review": 1},
    ),
    "one without a right": ({"kind": "error", "code": "ACCESS_DENIED", "status": 403}, {"paid": 11, "ready": 1}),
    "one unclear": ({"kind": "error", "code": "WHATEVER"}, {"paid": 11, "unknown": 1}),
    "one true and unpaid": ({"kind": "unpaid"}, {"paid": 11, "review": 1}),
}


@pytest.mark.parametrize(("fault", "stand"), FAULTS.values(), ids=FAULTS)
def test_a_fault_of_a_batch_leaves_each_paid_once_and_told_of(
    office: Any, fault: dict[str, Any], stand: dict[str, int]
) -> None:
    wanted = ready(office)
    given = {"kind": "error", "code": "OVERLOAD_LIMIT", "status": 503, "method": "batch"}
    fault = given if fault["kind"] == "refused_by_hand" else fault
    outcomes = settle(meddle(office, 3, lambda: office.fault(**fault)), wanted)
    assert states(outcomes) == stand
    assert executed(office).get(1, 0) == stand.get("paid", 0)
    assert all((each.trouble is None) is (each.row.state in {"paid", "review"}) for each in outcomes.values())
    office.state.faults.rules.clear()
    office.let_the_quiet_time_pass()
    again = settle(office, wanted)
    reviews = stand.get("review", 0)
    assert states(again) == {"paid": 12 - reviews} | ({"review": reviews} if reviews else {})
    assert executed(office) == {1: 12 - reviews} | ({0: reviews} if reviews else {})


@pytest.mark.parametrize("kind", ["html_503_after", "lost_after", "truncated_after"])
def test_a_portal_that_answers_nobody_brings_nothing_before_a_person_however_long(office: Any, kind: str) -> None:
    wanted = ready(office)
    office.fault(kind, times=10**6, method="batch")
    for _ in range(2 * Patience().claims):
        assert states(settle(office, wanted)) == {"ready": 12}
    office.state.faults.rules.clear()
    assert states(settle(office, wanted)) == {"paid": 12}


def test_what_was_taken_back_while_the_pace_was_waited_for_is_not_believed_to_be_paid(
    office: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = ready(office)
    for invoice_id in wanted.values():
        office.person(invoice_id, "P")

    def take_back() -> None:
        office.person(5, "S")
        monkeypatch.setattr(lane, "now_s", lambda: now_s() + 170.0)

    outcomes = settle(office.with_desk(pace=Waited(take_back)), wanted)
    assert Counter(each.row.how for each in outcomes.values()) == {"by_hand": 11, "sent": 1}
    assert executed(office) == {0: 11, 1: 1}


class Waited(Unpaced):
    """A pace whose second slot is waited for, while something happens."""

    def __init__(self, what: Callable[[], object]) -> None:
        self._waits = iter([lambda: None, what])

    def reserve(self, n: int, within_s: float, *, urgent: bool = False) -> Iterator[float]:
        if (what := next(self._waits, None)) is not None:
            what()
        return iter(())


def test_looking_again_at_what_stays_unpaid_takes_slots_of_its_own(office: Any, client: Callable[..., Any]) -> None:
    wanted, pace = ready(office, range(2, 15)), Counted()
    settle(office, dict([wanted.popitem()]))
    office.fault("unpaid", times=12)
    office.state.journal.clear()
    settle(office.with_desk(client=client(pace=pace), pace=pace), wanted)
    assert (pace.reserved, office.asked("batch")) == (2 + len(Patience().looks), 2 + len(Patience().looks))


class Counted:
    """How many slots were taken."""

    at_once, reserved = Unpaced.at_once, 0

    def reserve(self, n: int, within_s: float, *, urgent: bool = False) -> Iterator[float]:
        self.reserved += n
        return iter(())

    def push_back(self, seconds: float) -> None:
        raise AssertionError("nothing was refused")


def test_a_lost_batch_is_sent_again_only_where_it_did_not_land_and_once_it_cannot_any_more(office: Any) -> None:
    wanted = ready(office)
    outcomes = settle(meddle(office, 3, lambda: office.fault("lost_before")), wanted)
    assert {type(each.trouble) for each in outcomes.values()} == {Unknown}
    assert all(each.wait_s == pytest.approx(Patience().quiet_after(12), abs=5) for each in outcomes.values())
    assert states(settle(office, wanted)) == {"unknown": 12}
    assert executed(office) == {0: 12}


def test_a_batch_without_an_answer_for_some_is_unknown_for_those_alone(office: Any) -> None:
    wanted = ready(office)
    settled = settle(office.with_desk(client=Forgetful(office)), wanted)
    # They are read at once, and found paid.
    assert (states(settled), executed(office)) == ({"paid": 12}, {1: 12})
    assert {each.row.sends for each in settled.values()} == {1}


class Forgetful:
    """The real client, whose answer to a batch lacks some pays."""

    def __init__(self, office: Any) -> None:
        self._client = office.desk.client

    def run(self, flow: Any) -> Any:
        return self._client.run(self._with_gaps(flow))

    def _with_gaps(self, flow: Any) -> Any:
        reply = None
        while True:
            try:
                effect = flow.send(reply)
            except StopIteration as stop:
                return stop.value
            reply = yield effect
            if getattr(effect, "method", "") == "batch" and effect.write:
                for name in ("p3", "p4", "r0"):
                    reply.result["result"].pop(name, None)


def test_refused_pays_are_tried_again_after_the_pause_and_not_for_ever(office: Any) -> None:
    wanted = ready(office)
    office.fault("operation_time_limit", times=1000)
    outcomes = settle(office, wanted)
    # The portal has never said when it is free again: perhaps in a minute.
    assert office.naps == [pytest.approx(60.0, abs=1)] * (Patience().rounds - 1)
    assert {(each.row.state, round(each.wait_s / 10)) for each in outcomes.values()} == {(State.READY, 6)}


def test_a_portal_that_refuses_batch_after_batch_is_left_alone(office: Any) -> None:
    wanted = ready(office, range(2, 62))
    office.fault("refused", times=1000, method="batch", match={})
    office.state.journal.clear()
    outcomes = settle(office, wanted)
    assert all(isinstance(each.trouble.cause, RefusedError) for each in outcomes.values())
    assert {settlements.look(office.desk.store, each).attempts for each in wanted} == {0}
    # Read with its repeats in each round; the other chunks are not even asked for.
    assert office.asked("batch") <= 2 * 2 * Patience().rounds


def test_a_shut_door_is_knocked_at_once(office: Any) -> None:
    wanted = ready(office, range(2, 62))
    office.fault("error", times=1000, method="batch", code="OVERLOAD_LIMIT", status=503)
    office.state.journal.clear()
    outcomes = settle(office, wanted)
    assert {type(each.trouble.cause) for each in outcomes.values()} == {AuthError}
    assert office.asked("batch") <= 2


def one_by_one(office: Any) -> tuple[Any, dict[int, int]]:
    """A desk that reads each smart invoice with its documents, and some that are to be paid so."""
    for invoice_id in MANY:
        office.smart_bill(invoice_id)
        office.receive(invoice_id)
    wanted = matched(office)
    by_document = office.with_desk(wishes=Wishes(mark_with="payment"))
    # What smart invoices take was asked before the door is shut.
    _ = by_document.desk.invoices.smart
    office.state.journal.clear()
    return by_document, wanted


SHUT: dict[str, tuple[dict[str, Any], int]] = {
    # of a portal that pays one by one: how often it is asked
    "blocked by hand": ({"kind": "error", "code": "OVERLOAD_LIMIT", "status": 503}, 1),
    "no such webhook": ({"kind": "error", "code": "INVALID_CREDENTIALS", "status": 401}, 1),
    "deleted": ({"kind": "error", "code": "PORTAL_DELETED", "status": 403}, 1),
    "a right that its kind lacks": ({"kind": "error", "code": "insufficient_scope", "status": 403}, 1),
    "too many requests": ({"kind": "refused"}, 2 * Patience().rounds),
    "used up for long": ({"kind": "error", "code": "OPERATION_TIME_LIMIT", "status": 429}, 2 * Patience().rounds),
}


@pytest.mark.parametrize(("fault", "asked"), SHUT.values(), ids=SHUT)
def test_a_shut_door_is_knocked_at_once_where_each_is_settled_by_itself(
    office: Any, fault: dict[str, Any], asked: int
) -> None:
    by_document, wanted = one_by_one(office)
    office.fault(**fault, method="*", times=1000)
    outcomes = settle(by_document, wanted)
    assert (states(outcomes), len(office.state.journal)) == ({"ready": 12}, asked)
    assert len({each.trouble.cause for each in outcomes.values()}) == 1


def test_what_may_not_be_done_to_one_stops_no_other(office: Any) -> None:
    by_document, wanted = one_by_one(office)
    office.fault("error", method="crm.item.get", code="ACCESS_DENIED", status=403, match={"id": "5"})
    # They have no payment document, which is for a person to see to.
    assert states(settle(by_document, wanted)) == {"ready": 1, "review": 11}


def test_a_portal_out_of_pace_is_asked_for_one_turn_where_each_is_settled_by_itself(office: Any) -> None:
    by_document, wanted = one_by_one(office)
    pace = Late()
    first, *others = settle(by_document.with_desk(pace=pace), wanted).values()
    assert (pace.asked, {each.trouble.cause for each in others}) == (1, {first})


class Renamed(httpx.BaseTransport):
    """What leads to the portal under its new name; at the old one so many are answered at once, with a redirect."""

    def __init__(self, portal: str, at_once: int) -> None:
        self._portal, self._inner = httpx.URL(portal), httpx.HTTPTransport()
        self._together = threading.Barrier(at_once)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "old.example":
            self._together.wait(10)
            return httpx.Response(302, headers={"location": "https://new.example/rest/"}, stream=httpx.ByteStream(b""))
        there = {"scheme": self._portal.scheme, "host": self._portal.host, "port": self._portal.port}
        body = {"headers": {"Content-Type": request.headers["content-type"]}, "content": request.read()}
        return self._inner.handle_request(httpx.Request("POST", request.url.copy_with(**there), **body))

    def close(self) -> None:
        self._inner.close()


def test_lanes_that_ask_a_renamed_portal_at_the_same_moment_all_find_it_again(
    office: Any, served: tuple[Any, str]
) -> None:
    wanted = ready(office, range(2, 62))
    # What paid lately is not asked about first: that question alone would find the new name.
    first, *others = wanted
    settle(office, {first: wanted[first]})
    address = httpx.URL(served[1]).copy_with(scheme="https", host="old.example", port=None)
    transport = Renamed(served[1], at_once=4)
    with Client(Webhook.parse(str(address)), transport=transport, allowed_hosts=["new.example"], sleep=nap) as client:
        outcomes = settle(office.with_desk(client=client), {each: wanted[each] for each in others}, lanes=4)
    assert (states(outcomes), executed(office)) == ({"paid": 59}, {1: 60})


def nap(_seconds: float) -> None:
    """No real sleeping."""


def test_a_person_who_pays_one_in_between_is_believed_and_nothing_is_paid_twice(office: Any) -> None:
    wanted = ready(office)
    told: list[Progress] = []
    outcomes = settle(meddle(office, 2, lambda: office.person(5, "P")), wanted, tell=told.append)
    assert Counter(each.row.how for each in outcomes.values()) == {"sent": 11, "by_hand": 1}
    assert told[-1].states == {"paid": 11, "already_paid": 1}
    assert executed(office) == {1: 11, 0: 1}


def test_a_hold_that_comes_between_claim_and_commit_stops_that_one(office: Any) -> None:
    wanted = ready(office)
    outcomes = settle(Held(office).office, wanted)
    assert states(outcomes) == {"paid": 11, "review": 1}
    assert [each.row.reason for each in outcomes.values() if each.row.state is State.REVIEW] == ["held"]
    assert executed(office) == {1: 11, 0: 1}


class Held:
    """The real client, which lets the bank amend a payment right after the pre-read."""

    def __init__(self, office: Any) -> None:
        self._client, self._real, self._runs = office.desk.client, office, 0
        self.office = office.with_desk(client=self)

    def run(self, flow: Any) -> Any:
        self._runs += 1
        found = self._client.run(flow)
        if self._runs == 2:
            self._real.receive(5, amount=11900)
        return found


def test_where_batches_are_refused_each_is_paid_by_itself(office: Any) -> None:
    wanted = ready(office)
    office.fault("error", times=12, code="ERROR_BATCH_METHOD_NOT_ALLOWED")
    assert states(settle(office, wanted)) == {"paid": 12}
    assert (executed(office), office.asked(PAY)) == ({1: 12}, 12)


def test_where_no_batch_at_all_is_taken_each_is_paid_by_itself(office: Any) -> None:
    wanted = ready(office)
    office.fault("error", times=1000, method="batch", code="ERROR_METHOD_NOT_FOUND", status=404)
    assert states(settle(office, wanted)) == {"paid": 12}
    assert (executed(office), office.asked(PAY)) == ({1: 12}, 12)


def both_kinds(office: Any) -> dict[int, int]:
    for invoice_id in range(2, 8):
        office.bill(invoice_id)
        office.receive(invoice_id)
    for invoice_id in range(8, 14):
        office.smart_bill(invoice_id)
        office.receive(invoice_id)
    return matched(office)


def test_both_kinds_go_in_one_request(office: Any) -> None:
    wanted = both_kinds(office)
    office.state.journal.clear()
    assert states(settle(office, wanted)) == {"paid": 12}
    assert (executed(office), office.asked("batch"), office.asked(MOVE)) == ({1: 12}, 2, 0)


def test_where_the_portal_moves_no_smart_invoice_in_a_batch_those_are_moved_one_by_one(office: Any) -> None:
    wanted = both_kinds(office)
    office.state.settings.smart_batch_refused = True
    try:
        assert states(settle(office, wanted)) == {"paid": 12}
    finally:
        office.state.settings.smart_batch_refused = False
    assert (executed(office), office.asked(MOVE)) == ({1: 12}, 6)


def test_what_no_list_shows_in_full_is_settled_one_by_one(office: Any) -> None:
    wanted = both_kinds(office)
    by_document = office.with_desk(wishes=Wishes(mark_with="payment"))
    outcomes = settle(by_document, wanted)
    # They have no payment document, which is for a person to see to.
    assert states(outcomes) == {"paid": 6, "review": 6}


def test_without_a_pay_system_the_smart_ones_are_paid_all_the_same(office: Any) -> None:
    wanted = both_kinds(office)
    office.pay_system = None
    outcomes = settle(office, wanted)
    assert states(outcomes) == {"paid": 6, "ready": 6}
    assert all(
        "pay_system_id" in str(each.trouble.cause) for each in outcomes.values() if each.row.state is State.READY
    )


def test_one_payment_for_two_invoices_is_settled_with_a_look_at_both(office: Any) -> None:
    for invoice_id in (20, 21):
        office.bill(invoice_id)
    office.receive(20, amount=23600, remittance="Оплата по счетам № 2026/20 и № 2026/21")
    wanted = ready(office)
    assert states(settle(office, wanted)) == {"paid": len(wanted)}
    assert executed(office)[1] == len(wanted)


def test_a_lane_that_breaks_loses_no_outcome_and_the_others_go_on(office: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ready(office, range(2, 62))
    real, calls = moves.claim_all, []

    def claim_all(store: Any, ids: Any) -> Any:
        calls.append(ids)
        if len(calls) == 2:
            raise LedgerError("the ledger's database failed")
        return real(store, ids)

    monkeypatch.setattr(moves, "claim_all", claim_all)
    outcomes = settle(office, wanted, lanes=3)
    assert len(outcomes) == 60
    untried = [each for each in outcomes.values() if each.trouble]
    assert {(each.row.state, each.trouble.code) for each in untried} == {(State.READY, "NOT_TRIED")}
    assert len(untried) <= 40
    assert executed(office) == {1: 60 - len(untried), 0: len(untried)}
    assert states(settle(office, wanted)) == {"paid": 60}
    assert executed(office) == {1: 60}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("gone with a password"), "an unexpected RuntimeError"),
        (LedgerError("the disk is full"), "the disk is full"),
        (REFUSED, str(REFUSED)),
    ],
)
def test_a_lane_that_breaks_with_pays_under_way_tells_of_them_as_unknown_and_why(
    office: Any, error: Exception, said: str
) -> None:
    wanted, told = ready(office), list[Progress]()

    def crash() -> None:
        raise error

    outcomes = settle(meddle(office, 3, crash), wanted, tell=told.append)
    assert {(each.row.state, type(each.trouble)) for each in outcomes.values()} == {(State.SENDING, Unknown)}
    assert all(each.wait_s == pytest.approx(Patience().quiet_after(12), abs=5) for each in outcomes.values())
    assert {each.trouble.text for each in outcomes.values()} == {f"the outcome of the call is not known yet: {said}"}
    assert {str(each.trouble.cause) for each in outcomes.values()} == {said}
    assert told[-1].broken == (said,)


def test_what_broke_a_lane_is_told_where_every_invoice_has_an_outcome_too(office: Any, monkeypatch: Any) -> None:
    wanted, told, real = ready(office), list[Progress](), Queue.take_one

    def take_one(queue: Queue) -> int | None:
        raise KeyError(real(queue))

    monkeypatch.setattr(Queue, "take_one", take_one)
    assert states(settle(office, wanted, lanes=2, tell=told.append)) == {"paid": 12}
    assert told[-1].broken == ("an unexpected KeyError",)


def test_two_runs_over_the_same_at_once_pay_each_once(office: Any) -> None:
    wanted = ready(office, range(2, 62))
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: settle(office, wanted, lanes=2), range(2)))
    assert [len(each) for each in found] == [60, 60]
    assert max(executed(office)) == 1
    office.let_the_quiet_time_pass()
    assert states(settle(office, wanted)) == {"paid": 60}
    assert executed(office) == {1: 60}


def test_a_pay_system_that_does_nothing_is_found_out_though_the_first_invoices_are_gone(office: Any) -> None:
    wanted = ready(office)
    for invoice_id in (2, 3):
        office.delete(invoice_id)
    outcomes = settle_all(office.desk, wanted, PaySystem(seed.BILL_SYSTEM), lanes=1)
    assert (states(outcomes), executed(office)) == ({"ready": 12}, {0: 10})
    assert all("is not built on a REST handler" in each.trouble.text for each in outcomes.values())


def test_a_pay_system_that_does_nothing_stops_the_run(office: Any) -> None:
    wanted = ready(office, range(2, 62))
    office.fault("unpaid", times=1000)
    outcomes = settle(office, wanted)
    spoilt = [each for each in outcomes.values() if each.row.state is State.REVIEW]
    kept = [each for each in outcomes.values() if each.row.state is State.READY]
    # The first chunk; the second one was on its way to the portal, and is not sent.
    assert len(spoilt) == 30
    assert len(kept) == 30
    assert all("stayed unpaid" in str(each.trouble.cause) for each in kept)


def test_a_pre_read_that_grew_too_old_is_taken_anew_before_anything_is_sent(office: Any) -> None:
    wanted = ready(office)
    outcomes = settle(office.with_desk(patience=Patience(read_age_s=0.0)), wanted)
    assert {(each.row.state, each.trouble.code) for each in outcomes.values()} == {(State.READY, "STALE_READ")}
    assert executed(office) == {0: 12}


def test_a_send_window_that_has_passed_sends_nothing(office: Any) -> None:
    wanted = ready(office)
    outcomes = settle(office.with_desk(patience=Patience(window_s=0.0, rounds=2)), wanted)
    assert {each.row.state for each in outcomes.values()} == {State.READY}
    assert executed(office) == {0: 12}


def test_a_portal_out_of_pace_claims_nothing(office: Any) -> None:
    wanted = ready(office)
    outcomes = settle(office.with_desk(pace=Late()), wanted, lanes=2)
    assert {type(each.trouble.cause) for each in outcomes.values()} == {RefusedError}
    assert {each.row.fence for each in outcomes.values()} == {0}


class Late(Unpaced):
    """A pace whose next slot is an hour away."""

    def __init__(self) -> None:
        self.asked = 0

    def reserve(self, n: int, within_s: float, *, urgent: bool = False) -> Iterator[float]:
        self.asked += 1
        yield 3600.0


class Narrow(Unpaced):
    """A pace that lets everything start, and that one must be sparing with."""

    at_once = 1


def test_where_requests_are_scarce_one_reads_what_all_lanes_begin_with(office: Any) -> None:
    wanted = ready(office, range(2, 152))
    office.state.journal.clear()
    outcomes = settle(office.with_desk(pace=Narrow()), wanted, lanes=3)
    assert ({each.row.how for each in outcomes.values()}, executed(office)) == ({"sent"}, {1: 150})
    # One reading for three lanes, and 48 pays to a request.
    assert office.asked("batch") == 1 + 4


def test_where_requests_are_scarce_no_lane_makes_one_of_its_own_for_a_few(office: Any) -> None:
    wanted = ready(office, range(2, 22))
    office.state.journal.clear()
    settle(office.with_desk(pace=Narrow()), wanted, lanes=12)
    assert (office.asked("batch"), executed(office)) == (2, {1: 20})


def test_a_first_reading_that_fails_leaves_each_lane_to_begin_by_itself(
    office: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails, real = iter([LedgerError("it is locked")]), moves.claim_all

    def fail_once(*given: Any) -> Any:
        if (error := next(fails, None)) is not None:
            raise error
        return real(*given)

    wanted = ready(office, range(2, 102))
    monkeypatch.setattr(moves, "claim_all", fail_once)
    outcomes = settle(office.with_desk(pace=Narrow()), wanted, lanes=2)
    assert Counter(each.row.state for each in outcomes.values()) == {State.PAID: 4, State.READY: 96}


@pytest.mark.parametrize("pace", [Late, Unpaced], ids=["no pace", "no ledger"])
def test_where_the_first_reading_comes_to_nothing_each_is_told_of_and_nothing_is_sent(
    office: Any, pace: type[Unpaced], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise LedgerError("the disk is full")

    wanted, narrow = ready(office), pace()
    monkeypatch.setattr(narrow, "at_once", 1)
    monkeypatch.setattr(moves, "claim_all", fail)
    outcomes = settle(office.with_desk(pace=narrow), wanted, lanes=2)
    assert {type(each.trouble.cause) for each in outcomes.values()} == {RefusedError if pace is Late else LedgerError}
    assert executed(office) == {0: 12}


@pytest.mark.parametrize("waits", [0, 1], ids=["at the first reading", "while lanes ride"])
def test_a_run_that_is_told_to_end_writes_down_what_was_on_its_way(
    office: Any, monkeypatch: pytest.MonkeyPatch, waits: int
) -> None:
    wanted, real, left, ending = ready(office, range(2, 62)), bulk.wait, iter(range(waits)), Ending()

    def stop(*given: Any, **more: Any) -> Any:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return real(*given, **more)

    monkeypatch.setattr(bulk, "wait", stop)
    with pytest.raises(KeyboardInterrupt):
        settle(office.with_desk(pace=Narrow()), wanted, lanes=2, ending=ending)
    assert ending.is_told
    rows = settlements.look_all(office.store, wanted)
    assert {row.state for row in rows.values()} <= ({State.PAID, State.READY} if waits else {State.READY})


def test_it_is_told_how_far_it_has_come(office: Any) -> None:
    told: list[Progress] = []
    settle(office, ready(office), tell=told.append)
    assert told[-1] == Progress(12, 12, {"paid": 12})


def test_what_keeps_a_run_from_coming_any_further_is_told_until_it_is_over(office: Any) -> None:
    told: list[Progress] = []
    wanted = ready(office)
    office.fault("refused", times=1000, method="batch", match={})
    settle(office, wanted, tell=told.append)
    assert (told[-1].states, "QUERY_LIMIT_EXCEEDED" in told[-1].trouble) == ({"waiting": 12}, True)
    assert (told[-1].done, told[-1].of) == (0, 12)
    office.state.faults.rules.clear()
    settle(office, wanted, tell=told.append)
    assert (told[-1].states, told[-1].trouble) == ({"paid": 12}, "")


LATER = RefusedError(
    "OPERATION_TIME_LIMIT", "used up", method="batch", retry_at=datetime(2026, 11, 30, 12, 5, tzinfo=UTC)
)


@pytest.mark.parametrize(
    ("told", "trouble"),
    [
        ([REFUSED, REFUSED], REFUSED.said),
        ([LATER], f"{LATER.said} (not before 12:05:00 UTC)"),
        ([REFUSED, True], ""),
        ([], ""),
        ([True], ""),
    ],
)
def test_an_answer_that_refuses_everything_is_the_runs_trouble_and_told_once(told: list[object], trouble: str) -> None:
    outcomes = Outcomes([1])
    outcomes.hear(told)
    outcomes.hear([True])
    assert [outcomes.progress().trouble for _ in range(2)] == [trouble, ""]


@pytest.mark.parametrize("lanes", [0, 13])
def test_lanes_without_end_are_refused(office: Any, lanes: int) -> None:
    with pytest.raises(ValueError, match=f"lanes: {lanes}"):
        settle(office, {}, lanes=lanes)


def world(office: Any) -> dict[int, int]:
    """One of each: to be paid, paid by hand, cancelled, deleted, of another price, held, refused, true but unpaid."""
    wanted = ready(office)
    office.person(3, "P")
    office.person(4, "D")
    office.delete(5)
    office.state.invoices[6].price += 1
    office.receive(7, amount=11900)
    office.fault("error", code="ERROR_PROCESS_REQUEST_RESULT", match={"INVOICE_ID": "8"})
    office.fault("unpaid", times=1000, match={"INVOICE_ID": "9"})
    office.fault("error", code="QUERY_LIMIT_EXCEEDED", status=503, match={"INVOICE_ID": "10"})
    office.state.invoices[11].number = "2026/99"
    return wanted


def test_one_by_one_and_all_at_once_end_in_the_same_states(office: Any) -> None:
    ends = []
    for at_once in (False, True):
        for invoice_id in list(office.state.invoices):
            del office.state.invoices[invoice_id]
        office.state.faults.rules.clear()
        office = fresh(office, "one" if at_once else "other")
        wanted = world(office)
        if at_once:
            settle(office, wanted, lanes=2)
        else:
            for settlement_id, invoice_id in wanted.items():
                settle_matched(office.desk, settlement_id, invoice_id, office.pay_system)
        rows = settlements.look_all(office.store, wanted).values()
        ends.append(sorted((row.invoice_id, row.state, row.how, row.reason, row.sends, row.in_flight) for row in rows))
    assert ends[0] == ends[1]
    assert len({(state, how, reason) for _, state, how, reason, *_ in ends[0]}) == 9


def fresh(office: Any, name: str) -> Any:
    """The same world anew for another portal of the same ledger, whose payments are others."""
    real = office.new_payment

    def new_payment(invoice_id: int = 2, key: str = "", amount: int = 11800, **changed: Any) -> Any:
        return real(invoice_id, key or f"id:{name}{invoice_id}", amount, **changed)

    changed = office.with_desk(portal_id=office.meet(f"{name}.example"))
    changed.receive = lambda invoice_id=2, key="", amount=11800, **more: _record(
        changed, new_payment(invoice_id, key, amount, **more)
    )
    return changed


def _record(office: Any, new: Any) -> int:
    with office.store.transaction() as connection:
        return int(payments.record(connection, new)[0])


@pytest.mark.parametrize(
    ("total", "lanes", "size"), [(500, 10, 25), (500, 5, 34), (3, 4, 10), (10_000, 4, 48), (60, 1, 30), (0, 4, 10)]
)
def test_what_is_left_is_spread_evenly_over_the_lanes(total: int, lanes: int, size: int) -> None:
    assert Tempo(total, lanes, 48, 1000).size == size


def test_a_chunk_is_never_longer_than_the_portal_takes_five_seconds_for() -> None:
    tempo = Tempo(10_000, 1, 48, 1000)
    tempo.took(25, 0.5)
    tempo.took(25, 0.5)
    tempo.took(25, 0.5)
    assert tempo.size == 48
    tempo.took(48, 48.0)
    assert tempo.size == 5
    tempo.took(5, 60.0)
    assert tempo.size == 1


def test_of_what_nobody_answers_for_fewer_and_fewer_are_asked_for_together_until_somebody_does() -> None:
    tempo, sizes = Tempo(10_000, 1, 48, 1000), []
    for asked, is_answered in (
        (30, False),
        (15, False),
        (7, True),
        (14, False),
        (7, False),
        (1, False),
        *[(9, True)] * 6,
    ):
        tempo.heard(asked, is_answered=is_answered)
        sizes.append(tempo.size)
    assert sizes == [15, 7, 14, 7, 3, 1, 2, 4, 8, 16, 32, 48]


def test_one_that_no_list_with_it_can_be_shown_of_keeps_its_neighbours_from_nothing_for_long(office: Any) -> None:
    wanted = ready(office, range(2, 50))
    for _ in range(8):
        outcomes = settle(office.with_desk(client=Poisoned(office, 33)), wanted)
    left = [each for each in outcomes.values() if each.row.state is not State.PAID]
    assert [(each.row.invoice_id, each.row.attempts > 0) for each in left] == [(33, True)]
    assert executed(office) == {1: 47, 0: 1}


class Poisoned:
    """The real client of a portal that dies, whatever else it was asked, where it lists one of its invoices."""

    def __init__(self, office: Any, invoice_id: int) -> None:
        self._client, self._named = office.desk.client, re.compile(rf"\.list\?.*={invoice_id}(&|$)")

    def run(self, flow: Any) -> Any:
        return self._client.run(self._dying(flow))

    def _dying(self, flow: Any) -> Any:
        reply = None
        while True:
            try:
                request = flow.send(reply)
            except StopIteration as done:
                return done.value
            reply = yield request
            if any(map(self._named.search, getattr(request, "arguments", {}).get("cmd", {}).values())):
                kind = UnknownOutcomeError if request.write else ResponseError
                reply = kind("UNREADABLE_ANSWER", "not JSON", status=500, method=request.method)


def test_where_requests_are_scarce_each_carries_as_much_as_it_can() -> None:
    tempo = Tempo(500, 10, 48, 45)
    for _ in range(9):
        tempo.took(25, 0.5)
    tempo.waited(True)
    assert tempo.size == 48
    tempo.waited(False)
    assert tempo.size == 25


@pytest.mark.parametrize(
    ("total", "at_once", "is_scarce", "size"),
    [(500, 30, False, 25), (500, 29, True, 48), (2500, 45, True, 48), (90, 4, False, 10), (90, 3, True, 48)],
)
def test_where_a_run_needs_more_requests_than_start_at_once_each_carries_as_much_as_it_can(
    total: int, at_once: int, is_scarce: bool, size: int
) -> None:
    tempo = Tempo(total, 10, 48, at_once)
    assert (tempo.is_scarce, tempo.size) == (is_scarce, size)


def test_what_is_to_be_taken_first_counts_into_the_chunk_and_a_stopped_queue_gives_nothing_new() -> None:
    queue = Queue(range(10), [20], dict.fromkeys((*range(10), 20, 21), "legacy"))
    assert queue.take((7, 8), 4) == (7, 8, 0, 1)
    assert queue.take((1, 2, 3), 2) == (1, 2)
    queue.stop(ValueError("first"))
    queue.stop(ValueError("second"))
    queue.leave([21])
    assert (queue.take((9,), 4), queue.take_one(), str(queue.why(0))) == ((9,), None, "first")


def test_a_kind_that_is_stopped_leaves_the_other_in_the_queue() -> None:
    queue = Queue([1, 2, 3, 4], [5, 6], {1: "smart", 2: "legacy", 3: "smart", 4: "legacy", 5: "smart", 6: "legacy"})
    queue.stop(ValueError("spent"), "smart")
    queue.leave([1, 2])
    assert (queue.take((), 9), queue.take_one(), queue.take_one(), queue.take_one()) == ((2, 4), 6, 2, None)
    assert (str(queue.why(3)), queue.why(4)) == ("spent", None)


def test_a_smart_invoice_whose_history_says_that_it_was_paid_is_not_moved_again(office: Any) -> None:
    wanted = both_kinds(office)
    for stage in ("DT31_5:P", "DT31_5:S", "DT31_5:N"):
        office.moves(9, stage)
    outcomes = settle(office, wanted)
    assert states(outcomes) == {"paid": 11, "review": 1}
    assert executed(office)[1] == 11


def filed_twice(office: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is paid goes on to a second and a third stage at once: the invoice itself remembers the last one alone."""
    five = office.state.funnels[5]
    stages = [replace(each, robot=Robot("DT31_5:X")) if each.id == "DT31_5:P" else each for each in five.stages]
    stages += [Stage("DT31_5:X", "Документы", 150, robot=Robot("DT31_5:Y")), Stage("DT31_5:Y", "Архив", 160)]
    monkeypatch.setitem(office.state.funnels, 5, Funnel(5, five.name, tuple(stages), default=True))


def test_smart_invoices_that_robots_file_are_paid_by_us_and_what_a_person_paid_is_not_paid_over(
    office: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    filed_twice(office, monkeypatch)
    wanted = both_kinds(office)
    office.moves(9, "DT31_5:P")
    office.state.journal.clear()
    outcomes = settle(office, wanted)
    assert states(outcomes) == {"paid": 11, "review": 1}
    (review,) = (each.row for each in outcomes.values() if each.row.state is State.REVIEW)
    assert (review.invoice_id, review.reason) == (9, "moved_on_from_paid")
    assert (executed(office), office.asked("batch"), office.asked(MOVE)) == ({1: 11, 0: 1}, 2, 0)


def test_where_the_histories_do_not_fit_into_a_page_each_invoice_is_asked_about_by_itself(
    office: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = both_kinds(office)
    monkeypatch.setattr(stage_history, "PAGE", 0)
    office.state.journal.clear()
    assert states(settle(office, wanted)) == {"paid": 12}
    assert (executed(office), office.asked(MOVE)) == ({1: 12}, 6)


@pytest.fixture
def spend(office: Any) -> Iterator[Callable[[str, float], None]]:
    """Uses up a method's operating time, of which the portal counts the oldest minute for so many more seconds."""
    now = datetime.now(UTC)

    def use_up(method: str, more_s: float, seconds: float = 500.0) -> None:
        # The second of the sandbox's webhooks is the technical user's.
        office.state.operating.add("webhook 1", method, now + timedelta(seconds=more_s) - WINDOW, seconds)

    yield use_up
    free(office)


def free(office: Any) -> None:
    """Ten minutes later, say."""
    office.state.operating = OperatingTime()
    office.state.settings.operating_billed_to = "methods"


@pytest.mark.parametrize("method", [PAY, "batch"])
def test_operating_time_that_is_used_up_for_long_is_given_back_at_once_with_the_time_that_was_told(
    office: Any, spend: Any, method: str
) -> None:
    office.state.settings.operating_billed_to = "batch" if method == "batch" else "methods"
    wanted = ready(office, range(2, 62))
    first, *others = wanted
    # Still below the limit, and the answer says when the oldest minute is dropped.
    spend(method, 300.0, 400.0)
    assert states(settle(office, {first: wanted[first]})) == {"paid": 1}
    spend(method, 400.0, 100.0)
    outcomes = settle(office, {each: wanted[each] for each in others})
    assert (states(outcomes), office.naps) == ({"ready": 59}, [])
    told = [each.trouble.cause.retry_at - datetime.now(UTC) for each in outcomes.values()]
    assert all(timedelta(seconds=285) < each <= timedelta(seconds=301) for each in told)
    # Those of the first chunk at most were refused, the others were not even asked for.
    assert sum(each.row.sends for each in outcomes.values()) <= 30
    free(office)
    assert states(settle(office, wanted)) == {"paid": 60}
    assert executed(office) == {1: 60}


def test_operating_time_that_is_free_again_soon_is_waited_for(office: Any, spend: Any) -> None:
    wanted = ready(office)
    first, *others = wanted
    spend(PAY, 30.0, 400.0)
    settle(office, {first: wanted[first]})
    spend(PAY, 40.0, 100.0)
    slept = office.with_desk(sleep=lambda seconds: (office.naps.append(seconds), free(office)))
    assert states(settle(slept, {each: wanted[each] for each in others})) == {"paid": 11}
    (waited,) = office.naps
    # To the second that was told, and not into it.
    assert 15 < waited < 31
    assert executed(office) == {1: 12}


def test_a_kind_whose_method_is_used_up_leaves_the_other_going(office: Any, spend: Any) -> None:
    for invoice_id in range(2, 62):
        office.bill(invoice_id)
        office.receive(invoice_id)
    for invoice_id in range(62, 122):
        office.smart_bill(invoice_id)
        office.receive(invoice_id)
    wanted = matched(office)
    spend(MOVE, 300.0, 400.0)
    last, invoice_id = wanted.popitem()
    assert states(settle(office, {last: invoice_id})) == {"paid": 1}
    spend(MOVE, 400.0, 100.0)
    # The kinds in turn, so that each chunk has both.
    outcomes = settle(office, {each: wanted[each] for each in sorted(wanted, key=lambda each: (each % 60, each))})
    stood = Counter((each.row.kind, each.row.state) for each in outcomes.values())
    assert (stood, office.naps) == ({("legacy", State.PAID): 60, ("smart", State.READY): 59}, [])
    refused = [each for each in outcomes.values() if each.row.kind == "smart"]
    assert {each.trouble.cause.code for each in refused} == {"OPERATION_TIME_LIMIT"}
    # The first chunk's were refused, the second's were claimed at that time, and the third's were left alone.
    assert {(each.row.sends, each.row.attempts) for each in refused} == {(1, 0), (0, 1), (0, 0)}
    free(office)
    assert states(settle(office, wanted)) == {"paid": 119}
    assert executed(office) == {1: 120}


def test_a_method_that_is_used_up_one_by_one_is_left_alone_too(office: Any, spend: Any) -> None:
    wanted = both_kinds(office)
    office.state.settings.smart_batch_refused = True
    spend(MOVE, 300.0)
    try:
        outcomes = settle(office, wanted)
    finally:
        office.state.settings.smart_batch_refused = False
    assert states(outcomes) == {"paid": 6, "ready": 6}
    # One of them was tried, again and again; the others were read at most.
    assert office.asked(MOVE) == Patience().rounds


def test_a_pay_system_that_pays_nothing_stops_the_invoices_that_need_one_and_no_others(office: Any) -> None:
    for invoice_id in range(2, 62):
        office.bill(invoice_id)
        office.receive(invoice_id)
    for invoice_id in range(70, 80):
        office.smart_bill(invoice_id)
        office.receive(invoice_id)
    office.match()
    office.fault("unpaid", times=1000)
    outcomes = settle(office, {settlement_id: invoice_id for invoice_id, settlement_id in office.due().items()})
    kinds = Counter((each.row.kind, each.row.state.value) for each in outcomes.values())
    assert kinds["smart", "paid"] == 10
    assert kinds["legacy", "ready"] > 0


@pytest.mark.parametrize("refused", [0, 3], ids=["never sent", "sent and refused"])
def test_one_of_several_whose_sum_holds_no_more_keeps_the_others_from_being_sent(office: Any, refused: int) -> None:
    for invoice_id in (20, 21):
        office.bill(invoice_id)
    office.receive(20, amount=23600, remittance="Оплата по счетам № 2026/20 и № 2026/21")
    office.match()
    (first, one), (second, other) = sorted((settled, billed) for billed, settled in office.due().items())
    for _ in range(refused):
        office.fault("refused", times=1000)
        settle(office, {first: one})
    office.state.faults.rules.clear()
    office.person(one, "D")
    outcomes = settle(office, {second: other})
    assert {(each.row.state.value, each.row.reason) for each in outcomes.values()} == {("review", "sibling_changed")}
    assert executed(office).get(1, 0) == 0
