from __future__ import annotations

import threading

import pytest

from airflow_b24.bitrix.limits import LocalPace, Pace, Unpaced, now_s


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_starts_at_once_and_the_rest_at_the_rate() -> None:
    clock = Clock()
    pace = LocalPace(burst=10, rate=2.0, margin=2, clock=clock)
    starts = [pace.reserve(1) for _ in range(12)]
    assert starts[:8] == [100.0] * 8
    assert starts[8:] == [100.5, 101.0, 101.5, 102.0]


def test_the_portals_bucket_never_overflows() -> None:
    clock = Clock()
    pace = LocalPace(clock=clock)
    starts: list[float] = []
    for step in range(400):
        clock.now = 100.0 + step * 0.1
        starts.append(pace.reserve(1))
    level, last = 0.0, starts[0]
    for start in starts:
        level, last = max(0.0, level - (start - last) * 2.0) + 1, start
        assert level <= 50


def test_a_reservation_of_many_starts_when_all_may() -> None:
    clock = Clock()
    pace = LocalPace(burst=4, rate=2.0, margin=0, clock=clock)
    assert pace.reserve(4) == 100.0
    assert pace.reserve(2) == 101.0


@pytest.mark.parametrize("n", [0, -1, 46])
def test_a_reservation_that_can_never_start_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match="n: reserve between 1 and 45"):
        LocalPace().reserve(n)


@pytest.mark.parametrize("settings", [{"burst": 5, "margin": 5}, {"margin": -1}, {"rate": 0}, {"rate": float("nan")}])
def test_settings_without_a_meaning_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"margin|rate"):
        LocalPace(**settings)  # type: ignore[arg-type]


def test_threads_share_one_budget() -> None:
    clock = Clock()
    pace = LocalPace(burst=10, rate=2.0, margin=0, clock=clock)
    starts: list[float] = []
    threads = [threading.Thread(target=lambda: starts.extend(pace.reserve(1) for _ in range(10))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(starts) == [100.0] * 10 + [100.5 + 0.5 * n for n in range(30)]


def test_without_a_budget_everything_starts_at_once() -> None:
    pace: Pace = Unpaced()
    assert pace.reserve(1000) < now_s()


def test_the_window_clock_never_goes_back() -> None:
    assert now_s() <= now_s()
