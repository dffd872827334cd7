"""Lists, read by id ranges: the portal's own page numbers wrap around and its totals lie."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import mean
from typing import Any, Final, Generic, TypeVar

from airflow_b24.bitrix.errors import (
    BATCH_NOT_ALLOWED,
    BitrixError,
    ResponseError,
)
from airflow_b24.bitrix.fields import is_rows, read_id
from airflow_b24.bitrix.flows import Flow, attempt, call, together
from airflow_b24.bitrix.lookahead import Page, Pages, Question
from airflow_b24.bitrix.protocol import BATCH, Request, Response

T = TypeVar("T")

# docs: huge data. No counting, at most 50 rows, and the next page begins behind the last id.
_NO_COUNT: Final = -1
_NEWEST: Final = "newest"


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """A list on the portal, for `Client.iterate`; each page of it is a flow of its own.

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
        """Read the first rows with ids above `after`. Raises BitrixError; repeating is safe."""
        request = self.request(after)
        return self._page(after, (yield from call(request.method, request.arguments)))

    def all(self) -> Flow[list[T]]:
        """Read a short list within another flow, page after page, in order of id."""
        found: list[T] = []
        after = 0
        # Only an empty page ends a list: a portal may cut a page short, and a missed row could hide a tie.
        while (page := (yield from self.page(after))).ids:
            found += page.rows
            after = page.ids[-1]
        return found

    def read(self, question: Question) -> Flow[Pages[T]]:
        """Read some pages in one request, all or some of them, as `Lookahead` asks for them.

        The first one that fails in there is asked for by itself, and repeated, as a page alone would be; others that
        failed are left out. Raises BitrixError.
        """
        requests = {str(after): self.request(after) for after in question.after}
        requests |= {_NEWEST: self._newest_id()} if question.opening else {}
        told = {} if question.alone else (yield from together(requests))
        answers = {name: each for name, each in told.items() if isinstance(each, Response)}
        alone = question.alone or any(_is_only_alone(each) for each in told.values())
        missing = [name for name in requests if name not in answers]
        # Nothing is read ahead one by one, so that where the list ends is of no use.
        for name in missing if question.opening and not alone else missing[:1]:
            answers[name] = yield from self._by_itself(requests[name], None if alone else told[name])
        pages = [self._page(after, answers[str(after)]) for after in question.after if str(after) in answers]
        newest = self._newest(answers.get(_NEWEST))
        whole = question.opening and not missing and _is_whole(pages[0].ids, newest)
        return Pages(pages, newest[0] if newest else 0, whole, _seconds(answers.values()), alone)

    def _by_itself(self, request: Request, told: Response | BitrixError | None) -> Flow[Response]:
        outcome = yield from attempt(request, told=told)
        if isinstance(outcome, BitrixError):
            raise outcome
        return outcome

    def request(self, after: int = 0) -> Request:
        """Return what asks for the first page behind an id."""
        return self._asking("ASC", {**self.filter, f">{self.id_field}": after}, self.select)

    def _newest_id(self) -> Request:
        return self._asking("DESC", self.filter, [self.id_field])

    def _asking(self, order: str, conditions: Mapping[str, object], select: Sequence[str]) -> Request:
        arguments = {"order": {self.id_field: order}, "filter": conditions, "select": list(select), "start": _NO_COUNT}
        return Request(self.method, {**self.beside, **arguments}, write=False)

    def rows(self, response: Response) -> Sequence[Mapping[str, Any]]:
        """Return the rows of an answer, none of them parsed. Raises ResponseError when it holds no rows."""
        result = response.result
        if self.rows_in is not None:
            result = result.get(self.rows_in) if isinstance(result, dict) else None
        if not is_rows(result):
            raise ResponseError("UNEXPECTED_VALUE", "expected a list of objects", method=self.method)
        return result

    def _page(self, after: int, response: Response) -> Page[T]:
        rows = self.rows(response)
        ids = [read_id(row, self.id_field) for row in rows]
        for before, each in pairwise([after, *ids]):
            if each <= before:
                text = f"{self.id_field}: {each} after {before}"
                raise ResponseError("UNEXPECTED_VALUE", text, method=self.method)
        return Page(after, ids, [self.parse(row) for row in rows])

    def _newest(self, response: Response | None) -> list[int]:
        """Read the newest ids; none where there are none, or where the rows do not descend, so that nobody knows."""
        ids = [read_id(row, self.id_field) for row in self.rows(response)] if response else []
        return ids if all(one > other for one, other in pairwise(ids)) else []


def _is_whole(ids: Sequence[int], newest: Sequence[int]) -> bool:
    """Say whether ids that ascend are the same that descend; a single one does both, whatever was left out of it."""
    return len(ids) > 1 and [*ids] == [*reversed(newest)]


def _is_only_alone(outcome: Response | BitrixError) -> bool:
    """Say whether a batch is refused, and not just what one holds; without a clear answer it may well have run."""
    if isinstance(outcome, (Response, ResponseError)):
        return False
    return outcome.method == BATCH or outcome.code == BATCH_NOT_ALLOWED


def _seconds(answers: Iterable[Response]) -> float:
    """How long the portal worked for a page; its `duration` may begin at a whole second."""
    told = [each.time.processing for each in answers if each.time]
    return mean(told) if told else 0.0
