from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from airflow_b24.bitrix.limits import LocalPace, OperatingTime, Pace, Unpaced, now_s, turn
from airflow_b24.bitrix.protocol import Time


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def wait_s(pace: Pace, n: int = 1, within_s: float = 1000.0) -> float:
    return next(pace.reserve(n, within_s), 0.0)


def test_a_burst_starts_at_once_and_the_rest_at_the_rate() -> None:
    clock = Clock()
    pace = LocalPace(burst=10, rate=2.0, margin=2, clock=clock)
    waits = [wait_s(pace) for _ in range(12)]
    assert waits[:8] == [0.0] * 8
    assert waits[8:] == [0.5, 1.0, 1.5, 2.0]


def test_the_portals_bucket_never_overflows() -> None:
    clock = Clock()
    pace = LocalPace(clock=clock)
    starts: list[float] = []
    for step in range(400):
        clock.now = 100.0 + step * 0.1
        starts.append(clock.now + wait_s(pace, within_s=1e9))
    level, last = 0.0, starts[0]
    for start in starts:
        level, last = max(0.0, level - (start - last) * 2.0) + 1, start
        assert level <= 50


def test_a_reservation_of_many_starts_when_all_may() -> None:
    clock = Clock()
    pace = LocalPace(burst=4, rate=2.0, margin=0, clock=clock)
    assert wait_s(pace, 4) == 0.0
    assert wait_s(pace, 2) == 1.0


def test_who_would_wait_too_long_books_nothing() -> None:
    pace = LocalPace(burst=4, rate=2.0, margin=0, clock=Clock())
    assert [wait_s(pace, 4), wait_s(pace, 4, within_s=1.9), wait_s(pace, 2, within_s=1.9)] == [0.0, 2.0, 1.0]


def test_a_refusal_holds_all_back_and_the_rate_goes_on_from_there() -> None:
    clock = Clock()
    pace = LocalPace(burst=4, rate=2.0, margin=0, clock=clock)
    pace.push_back(3.0)
    assert [wait_s(pace), wait_s(pace)] == [3.5, 4.0]
    clock.now += 10.0
    assert wait_s(pace) == 0.0


@pytest.mark.parametrize("n", [0, -1, 46])
def test_a_reservation_that_can_never_start_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match="n: reserve between 1 and 45"):
        wait_s(LocalPace(), n)


@pytest.mark.parametrize("settings", [{"burst": 5, "margin": 5}, {"margin": -1}, {"rate": 0}, {"rate": float("nan")}])
def test_settings_without_a_meaning_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"margin|rate"):
        LocalPace(**settings)  # type: ignore[arg-type]


def test_threads_share_one_budget() -> None:
    clock = Clock()
    pace = LocalPace(burst=10, rate=2.0, margin=0, clock=clock)
    starts: list[float] = []
    threads = [threading.Thread(target=lambda: starts.extend(wait_s(pace) for _ in range(10))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(starts) == [0.0] * 10 + [0.5 + 0.5 * n for n in range(30)]


def test_without_a_budget_everything_starts_at_once() -> None:
    pace: Pace = Unpaced()
    pace.push_back(60.0)
    assert list(turn(pace, 1000)) == []


def test_the_window_clock_never_goes_back() -> None:
    assert now_s() <= now_s()


NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


def _told(reset_at: datetime) -> Time:
    return Time(0, 0, 0, 0, NOON, NOON, operating=400.0, operating_reset_at=reset_at)


def test_where_nobody_tells_when_a_method_is_free_again_a_minute_is_waited_for_once() -> None:
    operating, noon, minute = OperatingTime(), NOON, timedelta(minutes=1)
    assert operating.free_at("crm.Pay", noon) == noon + minute
    # Another lane of the same request, and then the one that has waited.
    assert operating.free_at("crm.pay", noon + timedelta(seconds=5)) == noon + minute
    assert operating.free_at("crm.pay", noon + minute) == noon + 3 * minute
    operating.hear("crm.pay", _told(noon + 4 * minute))
    assert operating.free_at("crm.pay", noon + minute) == noon + 4 * minute + timedelta(seconds=1)
    assert operating.free_at("crm.pay", noon + 9 * minute) == noon + 10 * minute


def test_a_good_answer_that_tells_nothing_ends_a_guess_so_that_the_next_refusal_is_waited_for_again() -> None:
    operating, minute = OperatingTime(), timedelta(minutes=1)
    assert operating.free_at("crm.pay", NOON) == NOON + minute
    operating.hear("crm.Pay", None)
    assert operating.free_at("crm.pay", NOON + 9 * minute) == NOON + 10 * minute
