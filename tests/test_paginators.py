from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest

from airflow_b24.paginators import (
    Ask,
    HeaderLinkPaginator,
    JSONLinkPaginator,
    JSONResponseCursorPaginator,
    OffsetPaginator,
    Page,
    PageNumberPaginator,
    Paginator,
    SinglePagePaginator,
)
from airflow_b24.payments.errors import SourceFormatError

URL = "https://bank.test/v1/payments?from=2026-11-01"
PARAMS = {"from": "2026-11-01"}


def _page(body: Any = None, records: int = 2, **headers: str) -> Page:
    return Page(URL, body, headers, records)


def _second(paginator: Paginator, page: Page) -> Ask | None:
    return paginator.next(paginator.first(PARAMS), page)


@pytest.mark.parametrize(
    ("paginator", "first"),
    [
        (SinglePagePaginator(), {}),
        (JSONResponseCursorPaginator(), {}),
        (PageNumberPaginator(), {"page": 1}),
        (PageNumberPaginator(page_param="p", base_page=0), {"p": 0}),
        (OffsetPaginator(limit=100), {"offset": 0, "limit": 100}),
        (JSONLinkPaginator(), {}),
        (HeaderLinkPaginator(), {}),
    ],
)
def test_the_first_request_goes_to_the_endpoint_with_all_its_parameters(
    paginator: Paginator, first: Mapping[str, Any]
) -> None:
    assert paginator.first(PARAMS) == Ask({**PARAMS, **first})


@pytest.mark.parametrize(
    ("paginator", "page", "following"),
    [
        (JSONResponseCursorPaginator(), _page({"next_cursor": "c2"}), Ask({**PARAMS, "cursor": "c2"})),
        (
            JSONResponseCursorPaginator("meta.next", "after"),
            _page({"meta": {"next": 7}}),
            Ask({**PARAMS, "after": 7}),
        ),
        (PageNumberPaginator(), _page(), Ask({**PARAMS, "page": 2})),
        (OffsetPaginator(limit=2), _page(), Ask({**PARAMS, "offset": 2, "limit": 2})),
        (JSONLinkPaginator(), _page({"next": "/v1/payments?page=2"}), Ask({}, "https://bank.test/v1/payments?page=2")),
        (JSONLinkPaginator("links.next"), _page({"links": {"next": f"{URL}&p=2"}}), Ask({}, f"{URL}&p=2")),
        (HeaderLinkPaginator(), _page(Link=f'<{URL}&p=2>; rel="next"'), Ask({}, f"{URL}&p=2")),
        (HeaderLinkPaginator(), _page(link=f'<{URL}&p=1>; rel="prev", <{URL}&p=3>; rel="next"'), Ask({}, f"{URL}&p=3")),
        (HeaderLinkPaginator(), _page(link=f'<{URL}&ids=1,2;3>; title="a, b"; rel=next'), Ask({}, f"{URL}&ids=1,2;3")),
        (HeaderLinkPaginator(), _page(link=f'<{URL}&p=2>; rel="last NEXT"'), Ask({}, f"{URL}&p=2")),
    ],
)
def test_the_next_request_is_what_the_answer_says(paginator: Paginator, page: Page, following: Ask) -> None:
    assert _second(paginator, page) == following


@pytest.mark.parametrize(
    ("paginator", "page"),
    [
        (SinglePagePaginator(), _page()),
        (JSONResponseCursorPaginator(), _page({"next_cursor": None})),
        (JSONResponseCursorPaginator(), _page({"next_cursor": ""})),
        (JSONResponseCursorPaginator(), _page({})),
        (PageNumberPaginator(), _page(records=0)),
        (OffsetPaginator(limit=2), _page(records=0)),
        (JSONLinkPaginator(), _page({"next": None})),
        (JSONLinkPaginator(), _page({"next": ""})),
        (JSONLinkPaginator(), _page([])),
        (HeaderLinkPaginator(), _page()),
        (HeaderLinkPaginator(), _page(link=f'<{URL}&p=1>; rel="prev"')),
        (HeaderLinkPaginator(), _page(link=f'<{URL}&p=1>; rel="nextish"; title="rel=next"')),
    ],
)
def test_there_is_an_end(paginator: Paginator, page: Page) -> None:
    assert _second(paginator, page) is None


def test_a_bank_that_gives_fewer_records_than_asked_for_is_read_on() -> None:
    assert _second(OffsetPaginator(limit=500), _page(records=100)) == Ask({**PARAMS, "offset": 100, "limit": 500})


@pytest.mark.parametrize(
    "link", ["https://evil.test/x", "http://bank.test/x", "https://bank.test:8443/x", "//evil.test/x"]
)
@pytest.mark.parametrize("kind", ["body", "header"])
def test_the_banks_key_is_sent_to_no_other_host(kind: str, link: str) -> None:
    paginator, page = (
        (JSONLinkPaginator(), _page({"next": link}))
        if kind == "body"
        else (HeaderLinkPaginator(), _page(link=f'<{link}>; rel="next"'))
    )
    with pytest.raises(SourceFormatError, match="another host"):
        _second(paginator, page)


@pytest.mark.parametrize("link", ["http://[", "https://[::1", "//[x]/", 7, True, [URL], {"href": URL}])
def test_an_address_that_is_none_is_refused_by_its_field(link: Any) -> None:
    with pytest.raises(SourceFormatError, match="paginator: "):
        _second(JSONLinkPaginator(), _page({"next": link}))


@pytest.mark.parametrize("cursor", [True, False, [], ["c2"], {}, {"after": "c2"}])
def test_a_cursor_that_is_neither_text_nor_number_is_refused_by_its_field(cursor: Any) -> None:
    with pytest.raises(SourceFormatError, match=r"paginator: the cursor is neither.*check cursor_path"):
        _second(JSONResponseCursorPaginator(), _page({"next_cursor": cursor}))


@pytest.mark.parametrize("part", ["<", "<>", "<a>;", "<a>; rel=", ";", "<a>;rel" + " " * 50])
def test_time_is_linear_in_a_hostile_header(part: str) -> None:
    began = time.process_time()
    HeaderLinkPaginator().next(Ask({}), _page(link=part * (65_536 // len(part))))
    # Linear reading takes some milliseconds; a quadratic one ten seconds.
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("paginator", "page"),
    [
        (JSONResponseCursorPaginator(), _page({"next_cursor": "same"})),
        (JSONLinkPaginator(), _page({"next": URL})),
        (HeaderLinkPaginator(), _page(link=f'<{URL}>; rel="next"')),
    ],
)
def test_a_page_that_names_itself_as_the_next_is_refused(paginator: Paginator, page: Page) -> None:
    asked = _second(paginator, page)
    assert asked is not None
    with pytest.raises(SourceFormatError, match="this page again"):
        paginator.next(asked, page)
