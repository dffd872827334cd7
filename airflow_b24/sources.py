"""Where payments come from. A source only describes: it is frozen, shows no secret, and reads when it is told to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date
from typing import Any, Protocol, Self

import jmespath
from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk import XComArg
from jmespath.exceptions import JMESPathError
from requests import RequestException, Response

from airflow_b24.paginators import Ask, Page, Paginator, SinglePagePaginator
from airflow_b24.payments.errors import SourceFormatError
from airflow_b24.payments.statements.records import RecordFields, decode_json

MAX_PAGES = 10_000
TIMEOUT_S = 60


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

    def __post_init__(self) -> None:
        for item in fields(self):
            _refuse_xcom(item.name, getattr(self, item.name))
        try:
            jmespath.compile(self.data_selector)
        except JMESPathError:
            raise ValueError(f"data_selector: {self.data_selector!r} is not a jmespath expression") from None

    @property
    def name(self) -> str:
        """The source's name in the ledger."""
        return f"http:{self.http_conn_id}:{self.endpoint}"

    def rendered(self, render: Callable[[Any], Any]) -> Self:
        """A copy with its templates filled in."""
        names = ("http_conn_id", "endpoint", "params", "since_param")
        return replace(self, **{name: render(getattr(self, name)) for name in names})

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
        response = self._get(ask)
        body = decode_json(response.content)
        records = jmespath.search(self.data_selector, body)
        if not isinstance(records, list):
            raise SourceFormatError(
                "data_selector",
                f"{self.data_selector!r} finds no list of payments in the answer of {self.http_conn_id}",
                "look at an answer of the API and set data_selector to where its list is",
            )
        return Page(response.url, body, dict(response.headers), len(records)), records

    def _get(self, ask: Ask) -> Response:
        hook = HttpHook(method="GET", http_conn_id=self.http_conn_id)
        options = {"check_response": False, "timeout": TIMEOUT_S, "allow_redirects": False}
        try:
            endpoint = _below(hook.url_from_endpoint(""), ask.url) if ask.url else self.endpoint
            response: Response = hook.run(endpoint, data=dict(ask.params), extra_options=options)
        except RequestException as error:
            # Its text holds the address, and some banks take their key in the address.
            raise SourceError(f"{self.http_conn_id}: no answer ({type(error).__name__})") from None
        if response.status_code in {401, 403}:
            raise ValueError(
                f"http_conn_id: {self.http_conn_id} is refused (HTTP {response.status_code}); check its key"
            )
        if response.status_code != 200:
            raise SourceError(f"{self.http_conn_id}: HTTP {response.status_code} from {self.endpoint}")
        return response


def _below(base: str, url: str) -> str:
    base = base.rstrip("/") + "/"
    if not url.startswith(base):
        raise SourceFormatError(
            "paginator", "the next page is not below the connection's address", "shorten the connection's host"
        )
    return url[len(base) :]


def _refuse_xcom(name: str, value: object) -> None:
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else [value]
    if any(isinstance(part, XComArg) for part in parts):
        raise TypeError(
            f"{name}: another task's output cannot stand inside a source; write a template instead, "
            "for example \"{{ ti.xcom_pull('task_id') }}\""
        )
