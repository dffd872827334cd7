"""Lists through both clients, from a portal that answers batches of pages as they are written."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from airflow_b24.bitrix.auth import Webhook
from airflow_b24.bitrix.client import AsyncClient, Client
from airflow_b24.bitrix.errors import AuthError, BitrixError, RefusedError, ResponseError
from airflow_b24.bitrix.invoice import Invoice
from airflow_b24.bitrix.legacy_invoice import SELECT
from airflow_b24.bitrix.legacy_invoices import invoice_listing
from airflow_b24.bitrix.limits import LocalPace, urgently
from airflow_b24.bitrix.listing import Listing
from airflow_b24.bitrix.lookahead import LANES, MOST_PAGES, Lookahead, Page, Pages, Question
from airflow_b24.bitrix.pipelining import in_threads
from airflow_b24.bitrix.protocol import Request, Response, Wait

WEBHOOK = Webhook.parse("https://portal.example/rest/1/s3cr3ts3cr3t/")
METHOD = "crm.invoice.list"
BLOCKED = {"error": "OPERATION_TIME_LIMIT", "error_description": "Method is blocked due to operation time limit."}


def listing(**changed: Any) -> Listing[int]:
    return Listing(**{"method": METHOD, "filter": {"=PAYED": "N"}, "select": ("ID",), "parse": _id, **changed})


def _id(row: Any) -> int:
    return int(row["ID"])


@dataclass
class Portal:
    """So many rows, of which a page shows 50; `spoil` may answer a command instead, or a whole request by its number."""

    count: int
    spoil: Callable[[int, str], object] = lambda n, command: None
    more: dict[str, str] = field(default_factory=dict)
    asked: list[list[str]] = field(default_factory=list)
    busy: int = 0
    busiest: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body, method = json.loads(request.content), request.url.path.rpartition("/")[2]
        with self.lock:
            self.asked.append(list(body["cmd"].values()) if method == "batch" else [method])
            n = len(self.asked)
        spoilt = self.spoil(n, method)
        if spoilt is not None:
            return httpx.Response(200, json=spoilt)
        if method != "batch":
            after = body["filter"].get(">ID")
            return httpx.Response(200, json={"result": self._newest() if after is None else self._page(after)})
        told: dict[str, dict[str, Any]] = {"result": {}, "result_error": {}, "result_time": {}}
        for name, command in body["cmd"].items():
            error = self.spoil(n, command)
            told["result_error" if error else "result"][name] = error or self._answer(command)
        return httpx.Response(200, json={"result": {key: part or [] for key, part in told.items()}})

    async def answer(self, request: httpx.Request) -> httpx.Response:
        with self.lock:
            self.busy += 1
            self.busiest = max(self.busiest, self.busy)
        await asyncio.sleep(0)
        answer = self(request)
        with self.lock:
            self.busy -= 1
        return answer

    def _answer(self, command: str) -> list[dict[str, str]]:
        method, _, query = command.partition("?")
        asked = parse_qs(query)
        assert (method, asked["filter[=PAYED]"], asked["start"]) == (METHOD, ["N"], ["-1"])
        if asked["order[ID]"] == ["DESC"]:
            assert "filter[>ID]" not in asked
            return self._newest()
        return self._page(int(asked["filter[>ID]"][0]))

    def _newest(self) -> list[dict[str, str]]:
        return self._rows(range(self.count, max(self.count - 50, 0), -1))

    def _page(self, after: int) -> list[dict[str, str]]:
        return self._rows(range(after + 1, min(after + 50, self.count) + 1))

    def _rows(self, ids: Iterable[int]) -> list[dict[str, str]]:
        return [{"ID": str(each), **self.more} for each in ids]


Read = Callable[..., list[int]]


def blocking(portal: Portal, **options: Any) -> list[int]:
    with Client(WEBHOOK, transport=httpx.MockTransport(portal), sleep=lambda _: None, **options) as client:
        return list(client.iterate(listing()))


def in_asyncio(portal: Portal, **options: Any) -> list[int]:
    async def no_sleep(_: float) -> None:
        return None

    async def run() -> list[int]:
        transport = httpx.MockTransport(portal.answer)
        async with AsyncClient(WEBHOOK, transport=transport, sleep=no_sleep, **options) as client:
            return [row async for row in client.iterate(listing())]

    return asyncio.run(run())


both = pytest.mark.parametrize("read", [blocking, in_asyncio])


@both
@pytest.mark.parametrize(("count", "requests"), [(0, 1), (1, 2), (2, 1), (50, 1), (51, 2), (500, 2), (5000, 9)])
def test_a_list_is_read_in_order_and_in_few_requests(read: Read, count: int, requests: int) -> None:
    portal = Portal(count)
    assert read(portal) == list(range(1, count + 1))
    assert len(portal.asked) == requests


def test_several_requests_are_under_way_at_once_and_no_more() -> None:
    portal = Portal(5000)
    in_asyncio(portal)
    assert portal.busiest == LANES


def test_threads_read_side_by_side_each_urgent_if_the_reader_is() -> None:
    meeting, urgent = threading.Barrier(LANES, timeout=10), []

    class Pace(LocalPace):
        def reserve(self, n: int, within_s: float, *, urgent: bool = False) -> Any:
            seen.append(urgent)
            return iter(())

    def meet(n: int, command: str) -> None:
        if command == "batch" and 1 < n <= 1 + LANES:
            # Four at once, or nobody gets past.
            meeting.wait()

    seen: list[bool] = urgent
    with urgently():
        assert len(blocking(Portal(5000, meet), pace=Pace())) == 5000
    assert seen == [True] * 9


def test_of_four_answers_that_come_at_once_each_is_followed_by_another_question() -> None:
    portal, meeting = Portal(100_000), asyncio.Barrier(LANES)

    async def meet(request: httpx.Request) -> httpx.Response:
        answer = portal(request)
        if 1 < len(portal.asked) <= 1 + 16 * LANES:
            # Four at once, or nobody gets past.
            await asyncio.wait_for(meeting.wait(), 10)
        return answer

    async def run() -> list[int]:
        async with AsyncClient(WEBHOOK, transport=httpx.MockTransport(meet)) as client:
            return [row async for row in client.iterate(listing())]

    assert asyncio.run(run()) == list(range(1, 100_001))


def test_threads_whose_reader_lags_behind_are_all_busy_again_when_it_goes_on() -> None:
    answered, meeting, asked = threading.Semaphore(0), threading.Barrier(LANES, timeout=10), count()

    def read(question: Question) -> Pages[int]:
        if 0 < next(asked) <= 3 * LANES:
            # Four at once, or nobody gets past.
            meeting.wait()
        shown = [(after, range(after + 1, min(after + 50, 20_000) + 1)) for after in question.after]
        answered.release()
        return Pages([Page(after, ids, ids) for after, ids in shown], 20_000)

    rows = in_threads(Lookahead[int](), read)
    assert [next(rows) for _ in range(51)] == list(range(1, 52))
    assert all(answered.acquire(timeout=10) for _ in range(1 + LANES))
    assert list(rows) == list(range(52, 20_001))


def test_a_list_is_read_only_as_far_as_it_is_wanted_and_ends_cleanly() -> None:
    portal = Portal(100_000)
    before = threading.active_count()
    with Client(WEBHOOK, transport=httpx.MockTransport(portal)) as client:
        rows = client.iterate(listing())
        assert portal.asked == []
        assert [next(rows) for _ in range(50)] == list(range(1, 51))
        assert len(portal.asked) == 1
        assert next(rows) == 51
        rows.close()
        assert sum(map(len, portal.asked)) <= 2 + (LANES + 1) * MOST_PAGES
    assert threading.active_count() == before


@both
def test_a_method_that_a_batch_refuses_is_asked_for_page_after_page(read: Read) -> None:
    refused = {"error": "ERROR_BATCH_METHOD_NOT_ALLOWED", "error_description": "no"}
    portal = Portal(160, lambda n, command: refused if command.startswith(METHOD + "?") else None)
    assert read(portal) == list(range(1, 161))
    assert [len(each) for each in portal.asked] == [2, 1, 1, 1, 1, 1]


@both
@pytest.mark.parametrize(
    "error",
    [
        {"error": "ERROR_METHOD_NOT_FOUND", "error_description": "Method not found!"},
        {"error": "insufficient_scope", "error_description": ""},
        {"error": "ACCESS_DENIED", "error_description": "Access denied!"},
    ],
)
@pytest.mark.parametrize("since", [1, 4])
def test_a_portal_without_a_batch_is_asked_for_page_after_page(read: Read, error: dict[str, str], since: int) -> None:
    portal = Portal(5000, lambda n, command: error if n >= since and command == "batch" else None)
    assert read(portal) == list(range(1, 5001))
    assert len(portal.asked) <= 101 + LANES


@both
def test_a_portal_that_takes_nothing_at_all_says_why_of_the_list_itself(read: Read) -> None:
    portal = Portal(5000, lambda n, command: {"error": "insufficient_scope", "error_description": ""})
    with pytest.raises(AuthError) as caught:
        read(portal)
    assert (caught.value.method, len(portal.asked)) == (METHOD, 2)


@both
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"error": "", "error_description": "Access denied."}, BitrixError),
        ({"error": "insufficient_scope", "error_description": ""}, AuthError),
        ({"error": "ERROR_CORE", "error_description": "SQL query error!"}, ResponseError),
        (BLOCKED, RefusedError),
    ],
)
def test_a_command_that_always_fails_is_the_error_that_a_page_alone_would_be(
    read: Read, error: dict[str, str], kind: type[BitrixError]
) -> None:
    portal = Portal(5000, lambda n, command: error if ("%3EID]=2000" in command or command == METHOD) else None)
    with pytest.raises(kind) as caught:
        read(portal)
    assert (caught.value.code, caught.value.method) == (error["error"], METHOD)


@both
def test_a_command_that_fails_once_costs_one_request_more(read: Read) -> None:
    portal = Portal(
        5000,
        lambda n, command: {"error": "ERROR_CORE"} if "%3EID]=2000&" in command and len(portal.asked) < 9 else None,
    )
    assert read(portal) == list(range(1, 5001))
    assert len([each for each in portal.asked if each == [METHOD]]) == 1


@both
def test_a_batch_without_a_clear_answer_is_read_page_by_page_and_lost_pages_again(read: Read) -> None:
    portal = Portal(5000, lambda n, command: {"nothing": 1} if (n, command) == (3, "batch") else None)
    assert read(portal) == list(range(1, 5001))
    assert [METHOD] in portal.asked


@pytest.mark.parametrize(
    "rows", [[{"ID": "3"}, {"ID": "3"}], [{"ID": "5"}, {"ID": "2"}], [{"ID": "0"}], [{"ID": "x"}], "x"]
)
def test_a_page_that_is_none_is_an_error(rows: Any) -> None:
    portal = Portal(200, lambda n, command: None)
    portal._page = lambda after: rows if after == 100 else Portal._page(portal, after)  # type: ignore[method-assign]
    with pytest.raises(ResponseError):
        blocking(portal)


OPENING = Question((0,), opening=True)
# Far enough for the longest test run.
RESET = datetime.now(UTC) + timedelta(days=1)


def time_told(seconds: float, reset: datetime | None = None) -> dict[str, Any]:
    day = "2026-11-30T10:00:00+03:00"
    told = {"start": 1, "finish": 2.5, "duration": 1.5, "processing": seconds, "date_start": day, "date_finish": day}
    return told | ({"operating": 470.0, "operating_reset_at": int(reset.timestamp())} if reset else {})


def batch(result: Any, error: Any = (), time: Any = (), free_at: datetime | None = None) -> Response:
    told = {"result": result, "result_error": error, "result_time": time}
    return Response(told, free_at={METHOD: free_at} if free_at else {})


def test_what_has_used_up_its_time_waits_until_the_portal_says_that_it_is_free(talk: Any) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=40)
    told = batch({"c0": [{"ID": "1"}]}, {"c1": BLOCKED}, {"c0": time_told(0.25, soon)}, soon)
    effects, found = talk(listing().read(OPENING), told, Response([{"ID": "1"}]))
    assert [type(each) for each in effects] == [Request, Wait, Request]
    assert 35 < effects[1].seconds <= 41
    assert ([page.rows for page in found.pages], found.newest, found.seconds) == ([[1]], 1, 0.25)


def test_a_wait_that_is_too_long_is_an_error_that_names_the_time(talk: Any) -> None:
    with pytest.raises(RefusedError) as caught:
        talk(listing().read(Question((0, 50))), batch([], {"c0": BLOCKED, "c1": BLOCKED}, free_at=RESET))
    assert caught.value.retry_at is not None
    assert abs((caught.value.retry_at - RESET).total_seconds()) < 1


@pytest.mark.parametrize(
    ("rows", "newest"),
    [
        ([], 0),
        ([{"ID": "9"}], 9),
        ([{"ID": "9"}, {"ID": "7"}], 9),
        ([{"ID": "7"}, {"ID": "9"}], 0),
        ([{"ID": "7"}] * 2, 0),
    ],
)
def test_the_newest_id_is_believed_only_where_the_rows_descend(talk: Any, rows: Any, newest: int) -> None:
    _, found = talk(listing().read(OPENING), batch({"c0": [], "c1": rows}))
    assert found.newest == newest


@pytest.mark.parametrize(
    ("page", "newest", "whole"),
    [
        # It ascends and descends, one and the same: so it does when a portal has cut it off, and knows no order.
        ([3], [3], False),
        ([3, 5], [5, 3], True),
        ([3, 5], [3, 5], False),
        ([3], [5, 3], False),
        ([3, 5], [5], False),
        ([3, 5], [], False),
        ([], [], False),
    ],
)
def test_a_list_is_whole_where_it_is_seen_from_both_ends(
    talk: Any, page: list[int], newest: list[int], whole: bool
) -> None:
    rows = [[{"ID": str(each)} for each in ids] for ids in (page, newest)]
    _, found = talk(listing().read(OPENING), batch({"c0": rows[0], "c1": rows[1]}))
    assert found.whole is whole


@pytest.mark.parametrize("failed", ["c0", "c1"])
def test_what_was_not_seen_in_one_request_shows_no_end(talk: Any, failed: str) -> None:
    rows = {"c0": [{"ID": "3"}, {"ID": "5"}], "c1": [{"ID": "5"}, {"ID": "3"}]}
    told = batch({name: each for name, each in rows.items() if name != failed}, {failed: {"error": "ERROR_CORE"}})
    _, found = talk(listing().read(OPENING), told, Response(rows[failed]))
    assert (found.newest, found.whole) == (5, False)


@both
def test_a_portal_that_knows_no_order_and_cuts_pages_to_one_row_is_read_to_its_end(read: Read) -> None:
    portal = Portal(7)
    portal._page = lambda after: Portal._page(portal, after)[:1]  # type: ignore[method-assign]
    portal._newest = lambda: portal._page(0)  # type: ignore[method-assign]
    assert read(portal) == list(range(1, 8))


def test_a_batch_that_has_used_up_its_own_time_is_left_alone(talk: Any) -> None:
    spent = RefusedError("OPERATION_TIME_LIMIT", method="batch", status=429, retry_at=RESET)
    effects, found = talk(listing().read(Question((0, 50))), spent, Response([{"ID": "1"}]))
    assert [each.method for each in effects] == ["batch", METHOD]
    assert ([page.after for page in found.pages], found.alone) == ([0], True)


def test_an_unclear_batch_is_not_repeated_as_a_whole(talk: Any) -> None:
    effects, found = talk(listing().read(Question((0, 50))), ResponseError("ANSWER_LOST"), Response([{"ID": "1"}]))
    requests = [each for each in effects if isinstance(each, Request)]
    assert [each.method for each in requests] == ["batch", METHOD]
    assert [page.after for page in found.pages] == [0]
    with pytest.raises(RefusedError):
        talk(listing().read(Question((0,))), *[RefusedError("QUERY_LIMIT_EXCEEDED")] * 6)


def test_of_100_000_rows_no_more_are_read_ahead_than_five_requests_bring() -> None:
    portal, wanted, most = Portal(100_000), 0, 0
    with Client(WEBHOOK, transport=httpx.MockTransport(portal)) as client:
        for row in client.iterate(listing()):
            wanted += 1
            assert row == wanted
            most = max(most, sum(map(len, portal.asked)) * 50 - wanted)
    assert wanted == 100_000
    # The page and the newest ids that open the list come on top.
    assert most <= (LANES + 1) * MOST_PAGES * 50 + 2 * 50
    assert len(portal.asked) <= 84


DAYTIME = "2026-11-20T10:00:00+03:00"
VALUES = {
    "STATUS_ID": "S",
    "PAYED": "N",
    "PRICE": "118.00",
    "CURRENCY": "RUB",
    "DATE_STATUS": DAYTIME,
    "DATE_BILL": DAYTIME,
}
ROW = {**dict.fromkeys(SELECT[1:], ""), **VALUES}


def _alive() -> int:
    return sum(type(each) is Invoice for each in gc.get_objects())


def test_invoices_pass_by_without_being_kept() -> None:
    gc.collect()
    # What other tests have left behind is not of this list.
    kept, before = list[int](), _alive()
    with Client(WEBHOOK, transport=httpx.MockTransport(Portal(20_000, more=ROW))) as client:
        for place, _ in enumerate(client.iterate(invoice_listing({"=PAYED": "N"}))):
            if place % 5000 == 4999:
                kept.append(_alive() - before)
    assert len(kept) == 4
    assert max(kept) <= ((LANES + 1) * MOST_PAGES + 1) * 50
