"""Where payments come from. A source only describes: it is frozen, shows no secret, and reads when it is told to."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, fields, replace
from datetime import date
from hashlib import sha256
from http.client import HTTPException
from threading import Thread
from typing import Any, Protocol, Self, TypeVar
from urllib.parse import unquote, urlsplit

import jmespath
from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import XComArg
from jmespath.exceptions import JMESPathError
from requests import Response, Session
from urllib3.exceptions import HTTPError

from airflow_b24.bitrix.auth import is_loopback
from airflow_b24.keys import mask_keys, refuse_keys
from airflow_b24.paginators import Ask, OffsetPaginator, Page, PageNumberPaginator, Paginator, SinglePagePaginator
from airflow_b24.payments.errors import SourceFormatError
from airflow_b24.payments.statements.records import RecordFields, decode_json
from airflow_b24.payments.statements.strict_json import LARGEST_BODY

T = TypeVar("T")

MAX_PAGES = 10_000
TIMEOUT_S = 60
LONGEST_S = 300
# All of requests' own errors are OSErrors; what it lets through from below is any of the others.
_FAILURES = (OSError, HTTPException, HTTPError, ValueError)


class SourceError(Exception):
    """A source did not answer; asking again may help."""


class Source(Protocol):
    """What CollectPaymentsOperator needs of a source."""

    record_fields: RecordFields

    @property
    def name(self) -> str:
        """The source's name in the ledger; its watermark is kept under it."""

    def rendered(self, render: Callable[[Any], Any]) -> Self:
        """A copy with its templates filled in."""

    def read(self, since: date) -> Iterator[object]:
        """Yield the records booked on or after a day."""


@dataclass(frozen=True, kw_only=True)
class HttpSource:
    """A JSON API, asked through a connection of Airflow's http provider.

    `data_selector` (jmespath) finds the list of records in an answer; `since_param` is the query parameter for the
    first day wanted (YYYY-MM-DD), None when the API has none; `record_fields` says where each fact stands in a record.
    The other text fields are templated. Headers and keys belong into the connection, not here.
    """

    http_conn_id: str
    endpoint: str
    data_selector: str = "@"
    params: Mapping[str, str] = field(default_factory=dict)
    since_param: str | None = "from"
    paginator: Paginator = field(default_factory=SinglePagePaginator)
    record_fields: RecordFields = field(default_factory=RecordFields)
    # The parameters before they were filled in: a date that changes with each run does not make another source.
    templates: Mapping[str, str] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for item in fields(self):
            _refuse_xcom(item.name, getattr(self, item.name))
        try:
            jmespath.compile(self.data_selector)
        except JMESPathError:
            raise ValueError(f"data_selector: {self.data_selector!r} is not a jmespath expression") from None
        if self.record_fields.id is None and isinstance(self.paginator, (OffsetPaginator, PageNumberPaginator)):
            # Counted pages shift while payments come in, and a row seen twice would be a second payment.
            raise ValueError("record_fields.id: counted pages need a trusted id; map it, or use another paginator")
        if self.templates is None:
            refuse_keys({"http_conn_id": self.http_conn_id, "endpoint": self.endpoint}, self.params)

    @property
    def name(self) -> str:
        """The source's name in the ledger: two that differ in what they ask for are two, each with its own watermark."""
        params = self.params if self.templates is None else self.templates
        whose = [self.record_fields.own_account, self.data_selector]
        asked = json.dumps([self.endpoint, dict(params), *whose], sort_keys=True)
        return f"http:{self.http_conn_id}:{self.endpoint}"[:200] + f"#{sha256(asked.encode()).hexdigest()[:12]}"

    def rendered(self, render: Callable[[Any], Any]) -> Self:
        """A copy with its templates filled in."""
        names = ("http_conn_id", "endpoint", "params", "since_param")
        return replace(self, templates=self.params, **{name: render(getattr(self, name)) for name in names})

    def read(self, since: date) -> Iterator[object]:
        """Yield the records booked on or after a day, page by page.

        Raises SourceError when the API does not answer, SourceFormatError when its answer has the wrong shape.
        """
        params = {**self.params, **({self.since_param: since.isoformat()} if self.since_param else {})}
        ask: Ask | None = self.paginator.first(params)
        for _ in range(MAX_PAGES):
            if ask is None:
                return
            page, records = self._page(ask)
            yield from records
            ask = self.paginator.next(ask, page)
        raise SourceFormatError("paginator", f"more than {MAX_PAGES} pages", "check how the source says it is done")

    def _page(self, ask: Ask) -> tuple[Page, list[object]]:
        url, headers, content = self._get(ask)
        body = decode_json(content)
        records = jmespath.search(self.data_selector, body)
        if not isinstance(records, list):
            raise SourceFormatError(
                "data_selector",
                f"{self.data_selector!r} finds no list of payments in the answer of {self.http_conn_id}",
                "look at an answer of the API and set data_selector to where its list is",
            )
        return Page(url, body, headers, len(records)), records

    def _get(self, ask: Ask) -> tuple[str, dict[str, str], bytes]:
        hook = HttpHook(method="GET", http_conn_id=self.http_conn_id)
        # Not the hook's own `run`: it logs the address of a failed request, and some banks take their key there.
        session = hook.get_conn(extra_options={"allow_redirects": False})
        # Told not to follow a redirect, requests still reads all of its body, whatever the size, and its Location.
        vars(session)["get_redirect_target"] = lambda _: None
        _refuse_unsafe(self.http_conn_id, hook.base_url, session)
        url = _below(hook.base_url, ask.url) if ask.url else hook.url_from_endpoint(self.endpoint)
        mask_keys(session, ask.params)
        try:
            status, address, headers, content = _within(LONGEST_S, lambda: _fetch(session, url, ask.params))
        except SourceFormatError:
            raise
        except _FAILURES as error:
            failed = type(error).__name__
        else:
            self._check_status(status)
            return address, headers, content
        # Outside of `except`: the library's own error holds the request with its headers.
        raise SourceError(f"{self.http_conn_id}: no answer ({failed})")

    def _check_status(self, status: int) -> None:
        if status in {401, 403}:
            raise ValueError(f"http_conn_id: {self.http_conn_id} is refused (HTTP {status}); check its key")
        if status != 200:
            raise SourceError(f"{self.http_conn_id}: HTTP {status} from {self.endpoint}")


def _refuse_unsafe(conn_id: str, base_url: str, session: Session) -> None:
    """Whoever can write the bank's answer can have invoices marked paid."""
    parts = urlsplit(base_url)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise ValueError(f"http_conn_id: {conn_id} is asked in clear text; write https:// before its host")
    if session.verify is False:
        raise ValueError(f"http_conn_id: {conn_id} has verify off; give the path of the bank's CA bundle instead")


def _fetch(session: Session, url: str, params: Mapping[str, Any]) -> tuple[int, str, dict[str, str], bytes]:
    # `verify` again: requests prefers REQUESTS_CA_BUNDLE to what its own session says.
    options: dict[str, Any] = {"timeout": TIMEOUT_S, "stream": True, "verify": session.verify}
    with session, session.get(url, params=dict(params), allow_redirects=False, **options) as response:
        content = _content(response) if response.status_code == 200 else b""
        return response.status_code, response.url, dict(response.headers), content


def _content(response: Response) -> bytes:
    """Read the answer up to the size and the time that a page of payments may need."""
    content, until = bytearray(), time.monotonic() + LONGEST_S
    for chunk in response.iter_content(65536):
        content += chunk
        if len(content) > LARGEST_BODY or time.monotonic() > until:
            problem = f"more than {LARGEST_BODY} bytes or {LONGEST_S} seconds for one page"
            raise SourceFormatError("body", problem, "ask for smaller pages: set a paginator")
    return bytes(content)


def _within(seconds: float, ask: Callable[[], T]) -> T:
    """Raise TimeoutError when it takes longer; requests bounds each wait for a byte, not the time of all of them."""
    answered: Future[T] = Future()

    def run() -> None:
        try:
            answered.set_result(ask())
        except Exception as error:  # noqa: BLE001 - raised again where the answer is waited for
            answered.set_exception(error)

    # A daemon: one that waits for a dripping peer must not keep the task's process alive.
    Thread(target=run, name="bank", daemon=True).start()
    return answered.result(seconds)


def _below(base: str, url: str) -> str:
    # A path with `..` is another one when it arrives.
    if not url.startswith(base.rstrip("/") + "/") or ".." in unquote(urlsplit(url).path).split("/"):
        raise SourceFormatError(
            "paginator", "the next page is not below the connection's address", "shorten the connection's host"
        )
    return url


def _refuse_xcom(name: str, value: object) -> None:
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else [value]
    if any(isinstance(part, XComArg) for part in parts):
        raise TypeError(
            f"{name}: another task's output cannot stand inside a source; write a template instead, "
            "for example \"{{ ti.xcom_pull('task_id') }}\""
        )
