from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_b24.sandbox import seed

GET, PAY = "crm.invoice.get?id=2", "sale.paysystem.pay.invoice?INVOICE_ID=2&PAY_SYSTEM_ID=31"
BLOCKED = {"error": "OPERATION_TIME_LIMIT", "error_description": "Method is blocked due to operation time limit."}


def at(hour: int, minute: int, second: int) -> datetime:
    return datetime(2026, 5, 14, hour, minute, second, tzinfo=UTC)


def settings(desk, **changed: Any) -> None:
    assert desk.control("POST", "settings", changed)[0] == 200


def get(desk, path: str | None = None) -> tuple[int, Any]:
    return desk.call("crm.invoice.get", {"id": 2}, path=path)


def batch(desk, **commands: str) -> tuple[int, Any]:
    return desk.call("batch", {"cmd": commands})


def operating(document: Any) -> list[float]:
    return [time["operating"] for time in document["result"]["result_time"].values()]


def test_a_basket_holds_a_minute_and_is_dropped_ten_minutes_after_its_first_call(desk) -> None:
    settings(desk, read_s=1)
    first, second, third = at(10, 15, 20), at(10, 16, 10), at(10, 25, 19)
    story = {
        at(10, 5, 20): (1, first),
        at(10, 5, 50): (2, first),
        at(10, 6, 10): (3, first),
        at(10, 15, 19): (4, first),
        at(10, 15, 20): (3, second),
        at(10, 16, 10): (3, third),
    }
    assert {now: told_at(desk, now) for now in story} == story


def told_at(desk, now: datetime) -> tuple[float, datetime]:
    desk.now = now
    time = get(desk)[1]["time"]
    return time["operating"], datetime.fromtimestamp(time["operating_reset_at"], UTC)


def test_a_method_over_its_limit_is_refused_without_timing_until_a_basket_is_dropped(desk) -> None:
    settings(desk, write_s=0.5, operating_limit_s=1)
    assert [desk.pay(2)[0], desk.pay(3)[0], desk.pay(4)[0]] == [200, 200, 200]
    desk.state.invoices[2].executed_pays.clear()
    desk.now += timedelta(minutes=10, seconds=-1)
    assert desk.pay(2) == (429, BLOCKED)
    assert desk.books(2)["executed_pays"] == 0
    desk.now += timedelta(seconds=1)
    status, document = desk.pay(2)
    assert (status, document["time"]["operating"]) == (200, 0.5)


@pytest.mark.parametrize(
    ("path", "method"),
    [
        (seed.webhook_path(), "profile"),
        (seed.webhook_path(secret=seed.CRM_ONLY_SECRET), "crm.invoice.get"),
        (seed.webhook_path(seed.ADMINISTRATOR, seed.ADMIN_SECRET), "crm.invoice.get"),
    ],
)
def test_the_limit_is_of_one_method_and_one_credential(desk, path: str, method: str) -> None:
    settings(desk, read_s=2, operating_limit_s=1)
    assert [get(desk)[0], get(desk)[0]] == [200, 429]
    assert desk.call(method, {"id": 2}, path=path)[0] == 200


@pytest.mark.parametrize(("took_s", "billed_s"), [(0.1, 0.0), (0.11, 0.22)])
def test_calls_of_up_to_a_tenth_of_a_second_are_not_counted(desk, took_s: float, billed_s: float) -> None:
    settings(desk, read_s=took_s)
    assert [get(desk)[1]["time"]["operating"] for _ in range(2)][-1] == pytest.approx(billed_s)


def test_short_calls_of_one_batch_are_counted_together_afterwards(desk) -> None:
    settings(desk, read_s=0.05)
    assert operating(batch(desk, a=GET, b=GET, c=GET)[1]) == [0, 0, 0]
    assert get(desk)[1]["time"]["operating"] == pytest.approx(0.15)


@pytest.mark.parametrize(
    ("billed_to", "commands_s", "batch_s", "later_s"),
    [("methods", [1, 2, 4], 0, 3), ("batch", [0, 0, 0], 6, 1), ("both", [1, 2, 4], 6, 3)],
)
def test_a_batch_is_billed_to_what_is_set(
    desk, billed_to: str, commands_s: list[float], batch_s: float, later_s: float
) -> None:
    settings(desk, operating_billed_to=billed_to, read_s=1, write_s=4, latency_s=8)
    document = batch(desk, a=GET, b=GET, c=PAY)[1]
    assert operating(document) == commands_s
    assert document["time"]["operating"] == batch_s
    assert get(desk)[1]["time"]["operating"] == later_s


@pytest.mark.parametrize("billed_to", ["batch", "both"])
def test_a_blocked_batch_is_refused_as_a_whole(desk, billed_to: str) -> None:
    settings(desk, operating_billed_to=billed_to, read_s=2, operating_limit_s=1)
    assert [batch(desk, a=GET)[0], batch(desk, a=PAY)] == [200, (429, BLOCKED)]
    assert desk.books(2)["paid"] is False
    assert desk.pay(2)[0] == 200


@pytest.mark.parametrize(
    ("billed_to", "errors", "done"),
    [("methods", {"a": BLOCKED}, ["b"]), ("batch", [], ["a", "b"]), ("both", {"a": BLOCKED}, ["b"])],
)
def test_a_blocked_command_of_a_batch_is_an_error_among_its_neighbours(
    desk, billed_to: str, errors: object, done: list[str]
) -> None:
    settings(desk, operating_billed_to=billed_to, read_s=2, operating_limit_s=1)
    assert get(desk)[0] == 200
    status, document = batch(desk, a=GET, b=PAY)
    assert (status, document["result"]["result_error"]) == (200, errors)
    assert list(document["result"]["result"]) == done


def test_a_batch_that_uses_a_method_up_gets_the_rest_of_it_refused(desk) -> None:
    settings(desk, read_s=2, operating_limit_s=3)
    document = batch(desk, a=GET, b=GET, c=GET, d=PAY)[1]
    assert document["result"]["result_error"] == {"c": BLOCKED}
    assert desk.books(2)["paid"] is True


def test_without_the_limiter_nothing_is_billed_nor_blocked_nor_told(desk) -> None:
    settings(desk, operating=False, operating_billed_to="both", read_s=2, operating_limit_s=1)
    answers = [batch(desk, a=GET, b=GET)[1] for _ in range(2)]
    times = [time for document in answers for time in (document["time"], *document["result"]["result_time"].values())]
    assert len(times) == 6
    assert not any({"operating", "operating_reset_at"} & set(time) for time in times)
    settings(desk, operating=True)
    assert get(desk)[1]["time"]["operating"] == 2
