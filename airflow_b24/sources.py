"""Where payments come from. A source only describes: it is frozen, shows no secret, and reads when it is told to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date
from hashlib import sha256
from typing import Any, Protocol, Self

import jmespath
from airflow.sdk import XComArg
from jmespath.exceptions import JMESPathError

from airflow_b24.keys import refuse_keys
from airflow_b24.paginators import Ask, OffsetPaginator, Page, PageNumberPaginator, Paginator, SinglePagePaginator
from airflow_b24.payments.errors import SourceFormatError
from airflow_b24.payments.statements.records import RecordFields, decode_json

MAX_PAGES = 10_000


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
        # Here, for a DAG file that describes a source is read again and again, and asks nothing.
        from airflow_b24.transport import fetch  # noqa: PLC0415

        url, headers, content = fetch(self.http_conn_id, self.endpoint, ask)
        body = decode_json(content)
        records = jmespath.search(self.data_selector, body)
        if not isinstance(records, list):
            raise SourceFormatError(
                "data_selector",
                f"{self.data_selector!r} finds no list of payments in the answer of {self.http_conn_id}",
                "look at an answer of the API and set data_selector to where its list is",
            )
        return Page(url, body, headers, len(records)), records


def _refuse_xcom(name: str, value: object) -> None:
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else [value]
    if any(isinstance(part, XComArg) for part in parts):
        raise TypeError(
            f"{name}: another task's output cannot stand inside a source; write a template instead, "
            "for example \"{{ ti.xcom_pull('task_id') }}\""
        )
