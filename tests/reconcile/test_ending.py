"""A run that is told to end: what it waits for, and what it leaves as it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_b24.bitrix.limits import Unpaced
from airflow_b24.ledger import settlements
from airflow_b24.ledger.states import State
from airflow_b24.reconcile.ending import Ending, StoppedError
from tests.reconcile.test_bulk import executed, meddle, one_by_one, ready, settle, states


@pytest.mark.parametrize("seconds", [0.0, 0.5, 2.0, 2.3, 170.0])
def test_what_is_not_told_to_end_sleeps_as_long_as_it_should(seconds: float) -> None:
    naps: list[float] = []
    Ending(naps.append).sleep(seconds)
    assert sum(naps) == pytest.approx(seconds)


def test_once_it_is_told_nothing_is_waited_for_but_a_moments_look_at_what_was_sent() -> None:
    naps: list[float] = []
    ending = Ending(lambda seconds: (naps.append(seconds), ending.tell()))  # type: ignore[arg-type, func-returns-value]
    with pytest.raises(StoppedError, match="told to end"):
        ending.sleep(170.0)
    ending.sleep(2.0)
    assert naps == [0.5, 2.0]


def test_what_was_claimed_and_read_is_not_sent_once_the_run_is_told_to_end(office: Any) -> None:
    wanted, ending = ready(office, range(2, 62)), Ending()
    # Right before the second chunk is read, beside the pays of the first.
    outcomes = settle(meddle(office, 3, ending.tell), wanted, ending=ending)
    assert (states(outcomes), executed(office)) == ({"paid": 30, "ready": 30}, {1: 30, 0: 30})
    waiting = [each for each in outcomes.values() if each.row.state is State.READY]
    assert {(each.row.sends, str(each.trouble.cause)) for each in waiting} == {(0, "the run was told to end")}
    assert states(settle(office, wanted)) == {"paid": 60}


def test_what_was_not_begun_is_not_even_claimed_once_the_run_is_told_to_end(office: Any) -> None:
    wanted, ending = ready(office, range(2, 62)), Ending()
    outcomes = settle(meddle(office, 2, ending.tell), wanted, ending=ending)
    assert executed(office) == {0: 60}
    assert {each.trouble.code for each in outcomes.values()} == {"NOT_SENT", "NOT_TRIED"}
    assert sum(row.attempts > 0 for row in settlements.look_all(office.store, wanted).values()) == 30


class Full(Unpaced):
    """A pace whose next slot is long in coming; meanwhile the run is told to end."""

    def __init__(self, ending: Ending) -> None:
        self.ending = ending

    def reserve(self, n: int, within_s: float, *, urgent: bool = False) -> Iterator[float]:
        self.ending.tell()
        yield 170.0


def test_a_lane_that_waits_for_its_turn_stops_waiting_once_the_run_is_told_to_end(office: Any) -> None:
    wanted, ending = ready(office), Ending(office.naps.append)
    outcomes = settle(office.with_desk(pace=Full(ending), sleep=ending.sleep), wanted, lanes=3, ending=ending)
    assert {(each.row.state, each.row.fence, str(each.trouble.cause)) for each in outcomes.values()} == {
        (State.READY, 0, "the run was told to end")
    }
    assert sum(office.naps) < 2


def test_one_that_is_settled_by_itself_is_not_sent_once_the_run_is_told_to_end(office: Any) -> None:
    wanted, ending = ready(office), Ending()
    # The portal takes no batch: each lane reads one by itself, before it pays it.
    office.fault("error", times=10**6, method="batch", code="ERROR_METHOD_NOT_FOUND", status=404)
    tells = iter([False, False, True])

    class Told:
        def run(self, flow: Any) -> Any:
            if next(tells, False):
                ending.tell()
            return office.desk.client.run(flow)

    outcomes = settle(office.with_desk(client=Told()), wanted, ending=ending)
    assert (states(outcomes), executed(office)) == ({"ready": 12}, {0: 12})
    assert {str(each.trouble.cause) for each in outcomes.values()} == {"the run was told to end"}


def test_where_each_is_settled_by_itself_no_other_is_begun_once_the_run_is_told_to_end(office: Any) -> None:
    by_document, wanted = one_by_one(office)
    ending = Ending()
    # What smart invoices take is asked first, and then the first of them is read.
    outcomes = settle(meddle(by_document, 3, ending.tell), wanted, ending=ending)
    assert states(outcomes) == {"review": 1, "ready": 11}
    assert office.asked("crm.item.get") <= 2
