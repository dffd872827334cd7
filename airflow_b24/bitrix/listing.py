"""Lists, read by id ranges: the portal's own page numbers wrap around and its totals lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from airflow_b24.bitrix.errors import ResponseError
from airflow_b24.bitrix.fields import is_rows, read_id
from airflow_b24.bitrix.flows import Flow, call
from airflow_b24.bitrix.protocol import Request, Response

T = TypeVar("T")

# docs: huge data. No counting, at most 50 rows, and the next page begins behind the last id.
_NO_COUNT: Final = -1


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows in order of id; `after` is the id to go on behind, None when nothing follows."""

    rows: tuple[T, ...]
    after: int | None


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """A list on the portal: each page is a flow of its own, `all` is one flow for everything.

    `parse` reads one row and may raise ResponseError, also for a row which the filter should have kept out:
    some methods drop a condition they do not know, and return more.
    """

    method: str
    filter: Mapping[str, object]
    select: Sequence[str]
    parse: Callable[[Mapping[str, Any]], T] = field(repr=False)
    # crm.item.* call the id otherwise, want the type beside the filter, and put the rows one level deeper.
    id_field: str = "ID"
    beside: Mapping[str, object] = field(default_factory=dict)
    rows_in: str | None = None

    def page(self, after: int = 0) -> Flow[Page[T]]:
        """Read the rows with ids above `after`. Raises BitrixError; repeating is safe."""
        response = yield from call(self.method, self._arguments(after))
        rows = self.rows(response)
        last = self._last_id(rows, after)
        # Only an empty page ends a list: a portal may cut a page short, and a missed row could hide a tie.
        return Page(tuple(self.parse(row) for row in rows), last if rows else None)

    def all(self) -> Flow[list[T]]:
        """Read everything, in order of id."""
        found: list[T] = []
        after: int | None = 0
        while after is not None:
            page = yield from self.page(after)
            found += page.rows
            after = page.after
        return found

    def request(self) -> Request:
        """Return the first page as a request of its own, whose slot is reserved already."""
        return Request(self.method, self._arguments(0), write=False, paced=False)

    def rows(self, response: Response) -> Sequence[Mapping[str, Any]]:
        """Return the rows of an answer, none of them parsed. Raises ResponseError when it holds no rows."""
        result = response.result
        if self.rows_in is not None:
            result = result.get(self.rows_in) if isinstance(result, dict) else None
        if not is_rows(result):
            raise ResponseError("UNEXPECTED_VALUE", "expected a list of objects", method=self.method)
        return result

    def _arguments(self, after: int) -> dict[str, object]:
        return {
            **self.beside,
            "order": {self.id_field: "ASC"},
            "filter": {**self.filter, f">{self.id_field}": after},
            "select": list(self.select),
            "start": _NO_COUNT,
        }

    def _last_id(self, rows: Sequence[Mapping[str, Any]], after: int) -> int:
        for row in rows:
            row_id = read_id(row, self.id_field)
            if row_id <= after:
                text = f"{self.id_field}: {row_id} after {after}"
                raise ResponseError("UNEXPECTED_VALUE", text, method=self.method)
            after = row_id
        return after
