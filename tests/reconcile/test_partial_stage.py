"""The stage in which a smart invoice waits for the rest of its money: a late move must never un-pay it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_b24.bitrix.errors import AuthError, BitrixError, UnknownOutcomeError
from airflow_b24.bitrix.stages import Wishes
from airflow_b24.ledger import cases, moves, settlements
from airflow_b24.ledger.checking import check
from airflow_b24.ledger.states import State
from airflow_b24.reconcile.progressing import show_parts
from airflow_b24.reconcile.releasing import confirm, release
from airflow_b24.reconcile.settling import settle_matched
from airflow_b24.reconcile.sweeping import sweep
from airflow_b24.sandbox.faults import Rule
from airflow_b24.sandbox.funnel import Funnel, Stage
from airflow_b24.sandbox.seed import ACCOUNTANT

UPDATE, PARTS = "crm.item.update", "DT31_5:H"


@pytest.fixture
def parts(office: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A desk whose people wish for a stage of parts, an invoice of 118.00, and 18.00 of it."""
    five: Funnel = office.state.funnels[5]
    more = Funnel(5, five.name, (*five.stages, Stage(PARTS, "Оплачен частично", 125)), default=five.default)
    monkeypatch.setitem(office.state.funnels, 5, more)
    at_work = office.with_desk(wishes=Wishes(partial_stage=(PARTS,)))
    at_work.smart_bill()
    receive(at_work, "id:1", 1800)
    return at_work


def receive(office: Any, key: str, amount: int) -> None:
    office.receive(2, key=key, amount=amount, booked_on=office.today - timedelta(days=3))
    office.match()


def stage(office: Any) -> str:
    found: str = office.state.smart_invoices[2].stage_id
    return found


def row(office: Any) -> Any:
    with office.store.snapshot() as connection:
        known = settlements.live(connection, office.desk.portal_id, "smart", 2)
    return settlements.look(office.store, known)


def kinds_of_cases(office: Any) -> list[str]:
    with office.store.snapshot() as connection:
        return [case["kind"] for case in cases.open_cases(connection)]


def moved_to_parts(office: Any) -> int:
    return sum(record.stage_id == PARTS for record in office.state.stage_history)


def test_an_invoice_with_parts_is_moved_once_and_paid_from_there(parts: Any) -> None:
    assert show_parts(parts.desk) == 1
    assert (stage(parts), row(parts).answered) == (PARTS, True)
    assert show_parts(parts.desk) == 0
    receive(parts, "id:2", 10000)
    # A copy of the move may be on its way, whoever has answered.
    assert parts.due() == {}
    parts.let_the_quiet_time_pass()
    settled = settle_matched(parts.desk, parts.due()[2], 2, None)
    assert (settled.row.state, settled.row.how, stage(parts)) == (State.PAID, "sent", "DT31_5:P")
    assert show_parts(parts.desk) == 0
    assert len(parts.state.smart_invoices[2].executed_pays) == 1


def test_what_people_move_on_from_there_is_left_alone(parts: Any) -> None:
    show_parts(parts.desk)
    parts.moves(2, "DT31_5:S")
    receive(parts, "id:2", 1000)
    assert show_parts(parts.desk) == 0
    assert stage(parts) == "DT31_5:S"


def test_without_money_a_wish_or_a_stage_in_its_funnel_nothing_is_moved(parts: Any) -> None:
    assert show_parts(parts.with_desk(wishes=Wishes()).desk) == 0
    other = next(each for each in parts.state.funnels if each != 5)
    place = parts.state.funnels[other].stages[1].id
    assert show_parts(parts.with_desk(wishes=Wishes(partial_stage=(place,))).desk) == 0
    assert parts.asked(UPDATE) == 0


@pytest.mark.parametrize("where", ["DT31_5:P", "DT31_5:D"])
def test_an_invoice_that_is_paid_or_lost_is_never_moved(parts: Any, where: str) -> None:
    parts.moves(2, where)
    assert show_parts(parts.desk) == 0
    assert (stage(parts), parts.asked(UPDATE)) == (where, 0)


def test_while_a_lost_move_may_still_land_nothing_is_paid_or_released(parts: Any) -> None:
    parts.fault("lost_before", method=UPDATE)
    with pytest.raises(UnknownOutcomeError):
        show_parts(parts.desk)
    waiting = row(parts)
    assert waiting.partial_may_land
    with pytest.raises(ValueError, match="may still land"):
        release(parts.desk, waiting.id)
    receive(parts, "id:2", 10000)
    assert parts.due() == {}
    settled = settle_matched(parts.desk, waiting.id, 2, None)
    assert (settled.row.state, stage(parts), parts.asked(UPDATE)) == (State.READY, "DT31_5:S", 1)
    assert settled.wait_s is not None
    assert 100 < settled.wait_s <= parts.desk.patience.quiet_s
    parts.let_the_quiet_time_pass()
    settled = settle_matched(parts.desk, parts.due()[2], 2, None)
    assert (settled.row.state, settled.row.how, stage(parts)) == (State.PAID, "sent", "DT31_5:P")


def test_a_move_that_got_no_answer_is_made_again_when_it_can_land_no_more(parts: Any) -> None:
    parts.fault("lost_before", method=UPDATE)
    with pytest.raises(UnknownOutcomeError):
        show_parts(parts.desk)
    assert (show_parts(parts.desk), stage(parts)) == (0, "DT31_5:S")
    parts.let_the_quiet_time_pass()
    assert (show_parts(parts.desk), stage(parts), moved_to_parts(parts)) == (1, PARTS, 1)


def test_a_refusal_ends_the_quiet_time_at_once_and_is_told(parts: Any) -> None:
    parts.fault("refused", method=UPDATE, times=9)
    with pytest.raises(BitrixError):
        show_parts(parts.desk)
    assert (row(parts).quiet_until, row(parts).answered) == (None, False)
    parts.state.faults.rules.clear()
    assert (show_parts(parts.desk), stage(parts)) == (1, PARTS)


def test_what_the_stage_asks_for_is_told_once_and_stops_no_other_invoice(parts: Any) -> None:
    five = parts.state.funnels[5]
    asking = Stage(PARTS, "Оплачен частично", 125, required=(next(iter(parts.state.smart_fields)),))
    parts.state.funnels[5] = Funnel(5, five.name, (*five.stages[:-1], asking), default=True)
    parts.smart_bill(3, custom=dict.fromkeys(parts.state.smart_fields, "17"))
    parts.receive(3, key="id:9", amount=1800)
    parts.match()
    with pytest.raises(BitrixError, match="required"):
        show_parts(parts.desk)
    assert (stage(parts), parts.state.smart_invoices[3].stage_id) == ("DT31_5:S", PARTS)
    assert show_parts(parts.desk) == 0


def test_an_invoice_that_a_person_pays_just_before_our_move_becomes_a_case_at_once(
    parts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = moves.begin_partial

    def meanwhile(*arguments: Any) -> Any:
        parts.moves(2, "DT31_5:P", ACCOUNTANT)
        return begin(*arguments)

    monkeypatch.setattr(moves, "begin_partial", meanwhile)
    show_parts(parts.desk)
    assert (stage(parts), kinds_of_cases(parts)) == (PARTS, [cases.OVERTAKEN])


@pytest.mark.parametrize("filed", [(), ("DT31_5:S",)])
def test_one_whose_answer_was_lost_is_found_by_the_sweep_wherever_it_had_been_filed(
    parts: Any, filed: tuple[str, ...]
) -> None:
    for each in ("DT31_5:P", *filed, PARTS):
        parts.moves(2, each)
    assert sweep(parts.desk)["overtaken"] == 1
    assert show_parts(parts.desk) == 0


def test_once_the_rest_has_come_a_person_is_asked_about_what_had_been_paid_in_between(parts: Any) -> None:
    for each in ("DT31_5:P", PARTS, "DT31_5:S"):
        parts.moves(2, each)
    receive(parts, "id:2", 10000)
    settled = settle_matched(parts.desk, parts.due()[2], 2, None)
    assert (settled.row.state, settled.row.reason) == (State.REVIEW, "moved_on_from_paid")
    confirmed = confirm(parts.desk, settled.row.id)
    assert (confirmed.state, confirmed.how, sweep(parts.desk)["reversed"]) == (State.PAID, "by_hand", 0)
    assert [each for each in check(parts.store).violations if each.rule == "I3"] == []


def test_a_move_that_landed_unheard_of_is_not_made_again(parts: Any) -> None:
    parts.fault("lost_after", method=UPDATE)
    with pytest.raises(UnknownOutcomeError):
        show_parts(parts.desk)
    parts.let_the_quiet_time_pass()
    assert (show_parts(parts.desk), row(parts).answered) == (0, True)
    parts.moves(2, "DT31_5:S")
    assert (show_parts(parts.desk), stage(parts), moved_to_parts(parts)) == (0, "DT31_5:S", 1)


def test_a_portal_out_of_reach_is_asked_for_one_invoice_alone(parts: Any) -> None:
    parts.smart_bill(3)
    parts.receive(3, key="id:9", amount=1800)
    parts.match()
    parts.state.faults.rules.append(Rule("error", "*", times=99, status=401, code="INVALID_CREDENTIALS"))
    asked = len(parts.state.journal)
    with pytest.raises(AuthError):
        show_parts(parts.desk)
    assert len(parts.state.journal) == asked + 1
