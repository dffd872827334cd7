from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from airflow_b24.bitrix.errors import AuthError, BitrixError, RequestError, UnknownOutcomeError
from airflow_b24.bitrix.flows import Flow
from airflow_b24.bitrix.stages import Wishes
from airflow_b24.ledger import notes, settlements
from airflow_b24.ledger.checking import check
from airflow_b24.ledger.events import history
from airflow_b24.ledger.schema import settlement
from airflow_b24.ledger.store import utc_now
from airflow_b24.reconcile import reporting, reviewing
from airflow_b24.reconcile.bulk import settle_all
from airflow_b24.reconcile.noting import note_again, note_on_invoices
from airflow_b24.reconcile.progressing import show_parts
from airflow_b24.reconcile.settling import settle_matched, settle_plain

ADD, UPDATE = "crm.timeline.comment.add", "crm.item.update"
# README: 22 to 28 for 300 invoices; 120 of both kinds with comments and fields took 9.
MOST_REQUESTS = 10
FIELD = "ufCrm_SMART_INVOICE_1700000021"


@pytest.fixture(autouse=True)
def tried_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has failed is tried again at once: of an event the time cannot be changed."""
    monkeypatch.setattr(notes, "PAUSES", (timedelta(),))


def paid(office: Any, invoice_id: int = 2) -> Any:
    office.ready(invoice_id)
    return settle_matched(office.desk, office.due()[invoice_id], invoice_id, office.pay_system).row


def noted(office: Any, settlement_id: int = 1) -> list[str]:
    with office.store.snapshot() as connection:
        return [each["what"] for each in history(connection, settlement_id) if "noted" in each["what"]]


def comments(office: Any) -> int:
    return len(office.state.comments_on("company", 21))


def pass_time(office: Any, hours: float) -> None:
    """Everything was paid so long ago."""
    with office.store.transaction() as connection:
        connection.execute(update(settlement).values(updated_at=utc_now(connection) - timedelta(hours=hours)))


def told(office: Any) -> tuple[str, int]:
    found = reporting.report(office.store)["not_written"]
    return reporting.lines(office.store)[0].why.partition(" Not written on the invoice: ")[2], found


def broken(office: Any) -> list[Any]:
    # No record brought the payments of these tests.
    return [each for each in check(office.store).violations if each.rule != "I4"]


def failed(office: Any, row: Any, method: str = ADD) -> None:
    office.fault("error", method=method, status=400, code="ACCESS_DENIED")
    with pytest.raises(AuthError):
        note_on_invoices(office.desk, [row], in_timeline=True)


def test_a_comment_that_failed_is_seen_in_the_report_and_written_by_a_later_sweep_once(office: Any) -> None:
    failed(office, paid(office))
    assert told(office) == (f"{ADD}: ACCESS_DENIED.", 1)
    assert (note_again(office.desk, in_timeline=True), comments(office)) == (0, 0)
    pass_time(office, 2)
    assert (note_again(office.desk, in_timeline=True), comments(office)) == (1, 1)
    assert told(office) == ("", 0)
    assert (note_again(office.desk, in_timeline=True), comments(office)) == (0, 1)
    assert noted(office) == ["not noted", "noted"]
    assert broken(office) == []


def test_a_comment_whose_answer_was_lost_is_looked_for_before_it_is_written_again(office: Any) -> None:
    row = paid(office)
    office.fault("lost_after", method=ADD)
    with pytest.raises(UnknownOutcomeError):
        note_on_invoices(office.desk, [row], in_timeline=True)
    pass_time(office, 2)
    assert (note_again(office.desk, in_timeline=True), comments(office)) == (1, 1)


def test_what_a_worker_died_before_is_written_by_a_later_sweep(office: Any) -> None:
    paid(office)
    pass_time(office, 2)
    assert (note_again(office.desk, in_timeline=True), comments(office)) == (1, 1)


def test_what_was_paid_long_ago_or_by_hand_or_with_no_wish_is_left_alone(office: Any) -> None:
    paid(office)
    office.ready(3)
    office.person(3, "P")
    settle_matched(office.desk, office.due()[3], 3, office.pay_system)
    pass_time(office, 2)
    asked = len(office.state.journal)
    assert note_again(office.desk, in_timeline=False) == 0
    pass_time(office, 24 * 8)
    assert note_again(office.desk, in_timeline=True) == 0
    assert len(office.state.journal) == asked
    pass_time(office, 24 * 6)
    assert note_again(office.desk, in_timeline=True) == 1


def test_the_story_says_of_each_try_what_became_of_it(office: Any) -> None:
    row = paid(office)
    for _ in range(2):
        failed(office, row)
    with office.store.snapshot() as connection:
        events = [each["what"] for each in history(connection, row.id)]
    assert events[-5:] == ["paid", "noting", "not noted", "noting", "not noted"]
    assert told(office)[1] == 1
    assert broken(office) == []


def test_one_that_cannot_be_written_on_stops_no_other_but_a_closed_portal_stops_the_next_chunk(
    office: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid(office)
    paid(office, 3)
    pass_time(office, 2)
    office.fault("error", method=ADD, status=400, code="NOT_FOUND")
    with pytest.raises(RequestError):
        note_again(office.desk, in_timeline=True)
    assert (comments(office), noted(office), noted(office, 2)) == (1, ["not noted"], ["noted"])
    office.state.comments.clear()
    monkeypatch.setattr("airflow_b24.reconcile.noting.CHUNK", 1)
    paid(office, 4)
    pass_time(office, 2)
    office.fault("error", times=9, method=ADD, status=400, code="insufficient_scope")
    with pytest.raises(AuthError):
        note_again(office.desk, in_timeline=True)
    # What nobody has tried yet goes first.
    assert (noted(office), noted(office, 3)) == (["not noted"], ["not noted"])


def test_what_the_webhooks_user_may_not_edit_keeps_no_other_from_being_written_on(
    both: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_b24.reconcile.noting.CHUNK", 2)
    rows = smart_rows(both, 6)
    for row in rows[:3]:
        deny(both, row)
    with pytest.raises(AuthError, match="ACCESS_DENIED"):
        note_on_invoices(both.desk, rows, in_timeline=False)
    assert [noted(both, row.id) for row in rows] == [["not noted"]] * 3 + [["noted"]] * 3


def test_what_fails_again_and_again_takes_no_place_of_what_can_be_written_on(
    both: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_b24.reconcile.noting.AT_ONCE", 2)
    rows = smart_rows(both, 4)
    for row in rows[:2]:
        deny(both, row)
    for row in rows[2:]:
        deny(both, row, times=1)
    pass_time(both, 2)
    for _ in range(3):
        with pytest.raises(AuthError):
            note_again(both.desk, in_timeline=False)
    assert note_again(both.desk, in_timeline=False) == 2
    assert [noted(both, row.id)[-1] for row in rows] == ["not noted"] * 2 + ["noted"] * 2


def test_a_field_that_is_wrong_hides_not_that_the_portal_takes_no_comment(
    both: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_b24.reconcile.noting.CHUNK", 1)
    office = both.with_desk(wishes=Wishes(fields={"paid": "ufCrm_GONE"}))
    rows, told = smart_rows(office, 3), list[Any]()
    office.fault("error", times=9, method=ADD, status=403, code="insufficient_scope")
    with pytest.raises(AuthError, match="insufficient_scope"):
        note_on_invoices(office.desk, rows, in_timeline=True, tell=lambda *far: told.append(far))
    assert told == [(0, 3)]


def test_what_nobody_has_tried_goes_first(office: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_b24.reconcile.noting.AT_ONCE", 1)
    failed(office, paid(office))
    paid(office, 3)
    pass_time(office, 2)
    assert note_again(office.desk, in_timeline=True) == 1
    assert (noted(office), noted(office, 2)) == (["not noted"], ["noted"])


def test_a_plain_pay_that_lacks_its_comment_says_so_too(office: Any) -> None:
    office.bill()
    failed(office, settle_plain(office.desk, 2, office.pay_system).row)
    with office.store.snapshot() as connection:
        [row] = reviewing.statuses.plain(connection)
    assert reviewing.plain_line(row).why.endswith(f"Not written on the invoice: {ADD}: ACCESS_DENIED.")


@pytest.fixture
def smart(office: Any) -> Any:
    office.smart_bill()
    office.state.smart_fields = {**office.state.smart_fields, FIELD: "Оплачено"}
    return office.with_desk(wishes=Wishes(fields={"paid": FIELD, "balance": "ufCrm_GONE"}))


def smart_paid(office: Any) -> Any:
    office.receive(2)
    office.match()
    return settle_matched(office.desk, office.due()[2], 2, None).row


def both_kinds(office: Any, each: int) -> list[Any]:
    """So many legacy and so many smart invoices that our calls have paid; of the smart ones people wish for a field."""
    for invoice_id in range(2, 2 + each):
        office.bill(invoice_id, number=f"2026/L{invoice_id}")
        office.smart_bill(invoice_id, number=f"2026/S{invoice_id}")
        for mark in "LS":
            words = f"Оплата по счету № 2026/{mark}{invoice_id}"
            office.receive(invoice_id, key=f"id:{mark}{invoice_id}", remittance=words)
    office.match()
    listed = settlements.due(office.store, office.desk.portal_id, limit=2 * each)
    wanted = {row["settlement_id"]: row["invoice_id"] for row in listed}
    assert len(wanted) == 2 * each
    return [settled.row for settled in settle_all(office.desk, wanted, office.pay_system, lanes=1).values()]


def smart_rows(office: Any, count: int) -> list[Any]:
    return sorted((row for row in both_kinds(office, count) if row.kind == "smart"), key=lambda row: row.id)


def deny(office: Any, row: Any, times: int = 99) -> None:
    """The webhook's user may not edit this smart invoice."""
    match = {"id": str(row.invoice_id)}
    office.fault("error", times=times, method=UPDATE, status=400, code="ACCESS_DENIED", match=match)


def commented(office: Any) -> Counter[str]:
    """How many comments each settlement has, by its marker."""
    return Counter(each.text.splitlines()[-1] for each in office.state.comments)


@pytest.fixture
def both(smart: Any) -> Any:
    smart.state.settings.legacy_invoices = True
    smart.state.smart_invoices.clear()
    return smart.with_desk(wishes=Wishes(fields={"paid": FIELD}))


def test_many_are_written_on_once_each_in_few_requests(both: Any) -> None:
    rows, told = both_kinds(both, 60), list[Any]()
    before = both.state.requests
    # Named twice, as no list of ours names them: still once each.
    assert note_on_invoices(both.desk, [*rows, *rows], in_timeline=True, tell=lambda *far: told.append(far)) == 120
    assert set(commented(both).values()) == {1}
    assert len(commented(both)) == 120
    assert {each.custom[FIELD] for each in both.state.smart_invoices.values()} == {"118.00"}
    assert told == [(50, 120), (100, 120), (120, 120)]
    assert both.state.requests - before <= MOST_REQUESTS
    assert {what for row in rows for what in noted(both, row.id)} == {"noted"}
    written = both.asked(ADD), both.asked(UPDATE)
    assert note_on_invoices(both.desk, rows, in_timeline=True) == 120
    assert (both.asked(ADD), both.asked(UPDATE)) == written
    assert broken(both) == []


class Interrupted:
    """A client that does something else between what it has looked for and what it writes."""

    def __init__(self, client: Any, meanwhile: Callable[[], object]) -> None:
        self.client, self.meanwhile = client, [meanwhile]

    def run(self, flow: Flow[Any]) -> Any:
        return self.client.run(self._interrupted(flow))

    def _interrupted(self, flow: Flow[Any]) -> Flow[Any]:
        reply: Any = None
        while True:
            try:
                effect = flow.send(reply)
            except StopIteration as stop:
                return stop.value
            if getattr(effect, "write", False) and self.meanwhile:
                self.meanwhile.pop()()
            reply = yield effect


def test_two_tasks_at_once_write_on_each_invoice_once(both: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_b24.reconcile.noting.CHUNK", 3)
    rows, others = both_kinds(both, 4), list[int]()

    def other() -> None:
        others.append(note_on_invoices(both.desk, rows, in_timeline=True))

    mine = both.with_desk(client=Interrupted(both.desk.client, other))
    assert note_on_invoices(mine.desk, rows, in_timeline=True) == 8
    # The other one writes on what is not taken yet.
    assert others == [5]
    assert Counter(commented(both).values()) == {1: 8}
    assert {noted(both, row.id)[-1] for row in rows} == {"noted"}
    assert broken(both) == []


def test_what_a_worker_died_over_is_written_once_by_a_sweep_in_an_hour(
    office: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = paid(office)

    def dies() -> None:
        raise KeyError("the worker")

    dying = office.with_desk(client=Interrupted(office.desk.client, dies))
    with pytest.raises(KeyError):
        note_on_invoices(dying.desk, [row], in_timeline=True)
    pass_time(office, 2)
    assert note_again(office.desk, in_timeline=True) == 0
    monkeypatch.setattr("airflow_b24.ledger.notes.LEFT_ALONE", timedelta())
    assert (note_again(office.desk, in_timeline=True), comments(office)) == (1, 1)


def test_what_was_released_meanwhile_is_not_written_on(office: Any) -> None:
    row = paid(office)
    with office.store.transaction() as connection:
        connection.execute(update(settlement).values(state="released"))
    assert (note_on_invoices(office.desk, [row], in_timeline=True), comments(office)) == (0, 0)


@pytest.mark.parametrize("kind", ["lost_after", "html_502_after", "truncated_after", "lost_before"])
def test_a_batch_of_comments_whose_answer_is_lost_leads_to_no_second_comment(both: Any, kind: str) -> None:
    rows = both_kinds(both, 4)
    both.fault(kind, method=ADD)
    with pytest.raises(UnknownOutcomeError):
        note_on_invoices(both.desk, rows, in_timeline=True)
    # The smart ones' comments: those of legacy ones are a step behind, for their deal or company is read first.
    assert {row.kind for row in rows if noted(both, row.id) == ["not noted"]} == {"smart"}
    pass_time(both, 2)
    assert note_again(both.desk, in_timeline=True) == 4
    assert set(commented(both).values()) == {1}
    assert len(commented(both)) == 8
    assert {each.custom[FIELD] for each in both.state.smart_invoices.values()} == {"118.00"}


def test_an_invoice_that_is_gone_hides_no_other(both: Any) -> None:
    rows = both_kinds(both, 3)
    both.delete(3)
    del both.state.smart_invoices[4]
    told: list[Any] = []
    with pytest.raises(RequestError, match="INVOICE_GONE"):
        note_on_invoices(both.desk, rows, in_timeline=True, tell=lambda *far: told.append(far))
    assert told == [(4, 6)]
    gone = {("legacy", 3), ("smart", 4)}
    assert {row.key: noted(both, row.id) for row in rows} == {
        row.key: ["not noted" if row.key in gone else "noted"] for row in rows
    }
    assert {each.custom[FIELD] for each in both.state.smart_invoices.values()} == {"118.00"}


def test_where_fields_alone_are_wished_for_legacy_invoices_take_no_ones_place(
    both: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_b24.reconcile.noting.AT_ONCE", 2)
    both_kinds(both, 2)
    pass_time(both, 2)
    assert note_again(both.desk, in_timeline=False) == 2
    assert note_again(both.desk, in_timeline=False) == 0


def test_a_field_that_is_not_there_is_named_is_sent_never_and_keeps_neither_the_others_nor_the_comment(
    smart: Any,
) -> None:
    row = smart_paid(smart)
    with pytest.raises(RequestError, match="NOT_KEPT: progress_fields: ufCrm_GONE: not there"):
        note_on_invoices(smart.desk, [row], in_timeline=True)
    assert smart.state.smart_invoices[2].custom[FIELD] == "118.00"
    assert len(smart.state.comments_on("dynamic_31", 2)) == 1
    assert told(smart)[0].startswith(f"{UPDATE}: NOT_KEPT: progress_fields: ufCrm_GONE")
    moves = smart.asked(UPDATE)
    with pytest.raises(RequestError):
        note_on_invoices(smart.desk, [row], in_timeline=True)
    assert smart.asked(UPDATE) == moves


def test_of_one_invoices_troubles_the_progress_is_told_first(smart: Any) -> None:
    row = smart_paid(smart)
    smart.fault("error", method=ADD, status=400, code="NOT_FOUND")
    with pytest.raises(RequestError, match="NOT_KEPT"):
        note_on_invoices(smart.desk, [row], in_timeline=True)
    assert told(smart)[0].startswith(f"{UPDATE}: NOT_KEPT")


def test_what_a_person_paid_and_what_nobody_wishes_for_is_not_written_on(both: Any) -> None:
    both.ready(3)
    both.person(3, "P")
    by_hand = settle_matched(both.desk, both.due()[3], 3, both.pay_system).row
    asked = both.state.requests
    assert note_on_invoices(both.desk, [by_hand], in_timeline=True) == 0
    assert both.state.requests == asked
    ours = paid(both, 4)
    assert note_on_invoices(both.desk, [ours], in_timeline=False) == 0
    assert noted(both, by_hand.id) + noted(both, ours.id) == []


def test_a_field_that_does_not_keep_what_is_written_is_named(smart: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    row = smart_paid(smart)
    monkeypatch.setattr("airflow_b24.sandbox.smart_invoices.to_text", lambda _: "118")
    smart.state.smart_invoices[2].custom = {}
    desk = smart.with_desk(wishes=Wishes(fields={"last_paid_on": FIELD})).desk
    with pytest.raises(RequestError, match=f"progress_fields: {FIELD}: not there, or does not keep"):
        note_on_invoices(desk, [row], in_timeline=False)


def test_a_progress_of_parts_that_the_portal_refuses_is_seen_in_the_report_until_it_is_shown(smart: Any) -> None:
    smart = smart.with_desk(wishes=Wishes(fields={"paid": FIELD}))
    smart.receive(2, key="id:1", amount=1800, booked_on=smart.today - timedelta(days=1))
    smart.match()
    text = 'Field "Договор" is required'
    smart.fault("error", method=UPDATE, status=400, code="CRM_FIELD_ERROR_REQUIRED", description=text)
    with pytest.raises(BitrixError):
        show_parts(smart.desk)
    assert told(smart) == (f"{UPDATE}: CRM_FIELD_ERROR_REQUIRED: {text}.", 1)
    assert (show_parts(smart.desk), told(smart)) == (1, ("", 0))
    assert noted(smart) == ["not noted", "noted"]
    assert broken(smart) == []


def test_parts_that_the_user_may_not_edit_keep_no_others_from_being_shown(smart: Any) -> None:
    smart = smart.with_desk(wishes=Wishes(fields={"paid": FIELD}))
    for invoice_id in (2, 3, 4):
        if invoice_id > 2:
            smart.smart_bill(invoice_id)
        smart.receive(invoice_id, amount=1800, booked_on=smart.today - timedelta(days=1))
    smart.match()
    rows = settlements.collecting(smart.store, smart.desk.portal_id, "smart", 50)
    deny(smart, rows[0])
    with pytest.raises(AuthError):
        show_parts(smart.desk)
    shown = {each.id: each.custom.get(FIELD) for each in smart.state.smart_invoices.values()}
    assert [shown[row.invoice_id] for row in rows] == [None, "18.00", "18.00"]


def test_parts_whose_progress_is_shown_leave_no_note(smart: Any) -> None:
    smart = smart.with_desk(wishes=Wishes(fields={"paid": FIELD}))
    smart.receive(2, key="id:1", amount=1800, booked_on=smart.today - timedelta(days=1))
    smart.match()
    show_parts(smart.desk)
    assert noted(smart) == []


def test_the_story_of_what_is_noted_is_of_the_state_it_was_noted_in(office: Any) -> None:
    note_on_invoices(office.desk, [paid(office)], in_timeline=True)
    with office.store.snapshot() as connection:
        last = history(connection, 1)[-1]
        assert connection.execute(select(settlement.c.fence)).scalar_one() == last["fence"]
    assert (last["what"], last["state"], last["evidence"]) == ("noted", "paid", {})
