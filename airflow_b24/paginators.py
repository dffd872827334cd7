"""How a bank's API says that there is more; named as dlt names them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol
from urllib.parse import urljoin, urlsplit

import jmespath

from airflow_b24.payments.errors import SourceFormatError

# RFC 8288: an address may hold commas and semicolons, `rel` may stand without quotes and name several relations.
LINK = re.compile(r"<([^<>]*)>([^<]*)")
RELATION = re.compile(r""";\s*rel\s*=\s*"?([^";,]*)""", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Page:
    """One answer: the address it came from, its decoded body, its headers and how many records it held."""

    url: str
    body: Any
    headers: Mapping[str, str]
    records: int


@dataclass(frozen=True, slots=True)
class Ask:
    """The next request: an address, None for the source's own endpoint, and query parameters."""

    params: Mapping[str, Any]
    url: str | None = None


# How APIs commonly say that an answer is not all.
SAYS_MORE = ("next_cursor", "nextCursor", "cursor", "next", "next_page", "nextPage", "has_more", "hasMore")


class Paginator(Protocol):
    """Answers one question: what to ask for after this page."""

    def first(self, params: Mapping[str, Any]) -> Ask:
        """Return the first request."""

    def next(self, asked: Ask, page: Page) -> Ask | None:
        """Return the request that follows, None when there is no more."""


@dataclass(frozen=True, slots=True)
class SinglePagePaginator:
    """The source answers with everything at once; one that says there is more is an error, for payments would be missed."""

    def first(self, params: Mapping[str, Any]) -> Ask:
        """Return the only request."""
        return Ask(params)

    def next(self, asked: Ask, page: Page) -> Ask | None:
        """Return nothing."""
        body = page.body if isinstance(page.body, dict) else {}
        for name in SAYS_MORE:
            if body.get(name):
                fix = "set a paginator, for example JSONResponseCursorPaginator(cursor_path=...)"
                raise SourceFormatError("paginator", f"the answer says that there is more ({name})", fix)
        return None


@dataclass(frozen=True, slots=True)
class JSONResponseCursorPaginator:
    """Each answer names the cursor of the next page at `cursor_path` (jmespath), sent back as `cursor_param`."""

    cursor_path: str = "next_cursor"
    cursor_param: str = "cursor"

    def first(self, params: Mapping[str, Any]) -> Ask:
        """Return the request without a cursor."""
        return Ask(params)

    def next(self, asked: Ask, page: Page) -> Ask | None:
        """Return the request with the cursor the answer named."""
        cursor = jmespath.search(self.cursor_path, page.body)
        if cursor is None or cursor == "":
            return None
        if isinstance(cursor, bool) or not isinstance(cursor, (str, int, Decimal)):
            # requests would make several parameters of a list, and text of anything.
            raise SourceFormatError("paginator", "the cursor is neither text nor number", "check cursor_path", cursor)
        return _moved(asked, Ask({**asked.params, self.cursor_param: cursor}))


@dataclass(frozen=True, slots=True)
class PageNumberPaginator:
    """Pages are numbered; an empty one is the end."""

    page_param: str = "page"
    base_page: int = 1

    def first(self, params: Mapping[str, Any]) -> Ask:
        """Return the request for the first page."""
        return Ask({**params, self.page_param: self.base_page})

    def next(self, asked: Ask, page: Page) -> Ask | None:
        """Return the request for the next number."""
        number = asked.params[self.page_param]
        return Ask({**asked.params, self.page_param: number + 1}) if page.records else None


@dataclass(frozen=True, slots=True)
class OffsetPaginator:
    """Records are counted from an offset; an empty page is the end, for a server may give fewer than `limit`."""

    limit: int
    offset_param: str = "offset"
    limit_param: str = "limit"

    def first(self, params: Mapping[str, Any]) -> Ask:
        """Return the request from offset 0."""
        return Ask({**params, self.offset_param: 0, self.limit_param: self.limit})

    def next(self, asked: Ask, page: Page) -> Ask | None:
        """Return the request behind the records already read."""
        offset = asked.params[self.offset_param] + page.records
        return Ask({**asked.params, self.offset_param: offset}) if page.records else None


@dataclass(frozen=True, slots=True)
class JSONLinkPaginator:
    """Each answer holds the address of the next page at `next_url_path` (jmespath); only the same host is followed."""

    next_url_path: str = "next"

    def first(self, params: Mapping[str, Any]) -> Ask:
        """Return the first request."""
        return Ask(params)

    def next(self, asked: Ask, page: Page) -> Ask | None:
        """Return the request to the address the answer named."""
        link = jmespath.search(self.next_url_path, page.body)
        return _moved(asked, Ask({}, _same_host(page.url, link))) if link else None


@dataclass(frozen=True, slots=True)
class HeaderLinkPaginator:
    """The header `Link: <address>; rel="next"` holds the next page; only the same host is followed."""

    def first(self, params: Mapping[str, Any]) -> Ask:
        """Return the first request."""
        return Ask(params)

    def next(self, asked: Ask, page: Page) -> Ask | None:
        """Return the request to the address the header named."""
        header = {name.lower(): value for name, value in page.headers.items()}.get("link", "")
        for address, words in LINK.findall(header):
            relation = RELATION.search(words)
            if relation and "next" in relation.group(1).lower().split():
                return _moved(asked, Ask({}, _same_host(page.url, address)))
        return None


def _same_host(url: str, link: Any) -> str:
    fix = "check what the source answers with"
    try:
        address: str = urljoin(url, link)
        same = urlsplit(address)[:2] == urlsplit(url)[:2]
    except (TypeError, ValueError):
        raise SourceFormatError("paginator", "the next page's address cannot be read", fix, link) from None
    if not same:
        # The request carries the bank's key: it goes to no other host.
        raise SourceFormatError("paginator", "the next page is on another host", fix)
    return address


def _moved(asked: Ask, following: Ask) -> Ask:
    if following == asked:
        raise SourceFormatError("paginator", "the next page is this page again", "check cursor_path and cursor_param")
    return following
