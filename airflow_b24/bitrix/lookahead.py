"""A long list read ahead: pages are asked for behind ids where the ones before them may end. No I/O.

Whatever is guessed, a list is put together as page after page would: what lies behind an id is known from a page that
was asked for behind that id, or behind a smaller one, and reaches beyond it; only an empty page ends the list, or one
that the portal has shown from both ends in one request. A wrong guess costs a page and never a row.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from math import ceil, inf
from statistics import median
from typing import Final, Generic, TypeVar

T = TypeVar("T")

LANES: Final = 4
# Fewer are not worth a request, where a portal lets in 2 a second; as many keep the rows that are waited for in bounds.
FEWEST_PAGES, MOST_PAGES = 10, 25
# A cloud portal cuts a request at 60 s.
LONGEST_BATCH_S: Final = 10.0
# Each page costs operating time. Rows scattered at random take a third more pages than they fill; a list that would take
# more than so many is read the slower, at worst page after page. What is tried before much is known of it comes on top.
WASTE, TRIED = 0.5, 60
# Of 50 rows scattered at random every twelfth page falls short of so much of what pages reach on average.
_SURE: Final = 0.8


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """The first rows behind the id `after`, and their ids, which ascend; without rows, nothing is behind it."""

    after: int
    ids: Sequence[int]
    rows: Sequence[T]

    @property
    def last(self) -> float:
        """Up to which id it tells what there is."""
        return self.ids[-1] if self.ids else inf


@dataclass(frozen=True, slots=True)
class Question:
    """Pages to be asked for in one request, each behind one of these ids; `opening` asks for the newest id, too.

    `alone`: there is but one, as the portal refuses its method in a batch.
    """

    after: tuple[int, ...]
    opening: bool = False
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Pages(Generic[T]):
    """What came of a question: some of its pages, one at least. `newest` is 0 where it is not known or there is none.

    `whole`: the page is the list, its end was seen, too. `seconds` is how long the portal took for a page, 0 where it
    does not tell.
    """

    pages: Sequence[Page[T]]
    newest: int = 0
    whole: bool = False
    seconds: float = 0.0
    alone: bool = False


class Lookahead(Generic[T]):
    """Says what to ask for next, `lanes` questions at once, and hands out the rows in order of their ids.

    No more pages are asked for or held than the `lanes` largest questions and one more ask for; and wherever the rows
    lie, no more in all than WASTE above what page after page would ask for, and TRIED; nor more questions than it, and
    `lanes`.
    """

    def __init__(self, lanes: int = LANES) -> None:
        self._lanes = lanes
        # Behind which id the next row is to be found; whatever is before it was handed out, or is ready to be.
        self._after = 0
        self._newest, self._first = 0, 0
        # What is under way, and how far each of its pages was thought to reach.
        self._flying: dict[Question, int] = {}
        self._held: list[Page[T]] = []
        self._ready: deque[Sequence[T]] = deque()
        self.ended = False
        # How many rows a full page has, and how many ids apart pages are asked for.
        self._full, self._step = 0, 1
        self._spans: deque[int] = deque(maxlen=MOST_PAGES)
        self._last: Pages[T] = Pages(())
        # What it took to know how many rows that are handed out, or ready to be.
        self._questions, self._pages, self._told = 0, 0, 0

    def open(self) -> Question:
        """Return what to ask for first, and by itself: the first page, and where the list ends."""
        return self._sent(Question((0,), opening=True))

    def ask(self) -> Question | None:
        """Return what to ask for next; None when replies must come in first, or rows be handed out."""
        if self.ended or len(self._flying) >= (1 if self._last.alone else self._lanes):
            return None
        size, room = self._size(), self._room()
        if room < size and (self._flying or self._ready):
            return None
        # What is held behind a hole waits for the hole to be filled, however much it is.
        size = max(1, min(size, room))
        missing = list(self._missing())
        most = min(self._within(size), _in_equal_parts(sum(map(len, missing)), size))
        after = tuple(islice(chain.from_iterable(missing), most))
        return self._sent(Question(after, alone=self._last.alone)) if after else None

    def take(self, question: Question, found: Pages[T]) -> None:
        """Take what came of a question; pages that are missing will be asked for again."""
        del self._flying[question]
        self._last = found
        self._held += found.pages
        self._pages += len(found.pages)
        self._measure(found.pages)
        self._advance()
        if question.opening:
            self._newest, self._first = found.newest, self._after
            self.ended = self.ended or found.whole

    def rows(self) -> Iterator[T]:
        """Hand out the rows that are known to be next."""
        while self._ready:
            yield from self._ready.popleft()

    def _sent(self, question: Question) -> Question:
        self._flying[question] = self._step
        self._questions += 1
        return question

    def _room(self) -> int:
        known = sum(len(each.after) for each in self._flying) + len(self._held) + len(self._ready)
        return (self._lanes + 1) * MOST_PAGES - known

    def _size(self) -> int:
        """How many pages to ask for: two requests' worth for each lane, and no more than a request has time for.

        What is tried before anything is known is shared among the lanes.
        """
        if self._last.alone:
            return 1
        share = ceil((self._newest - self._first) / self._step / (2 * self._lanes))
        in_time = int(LONGEST_BATCH_S / self._last.seconds) if self._last.seconds else MOST_PAGES
        most = MOST_PAGES if self._questions > self._lanes else TRIED // self._lanes
        return max(1, min(max(FEWEST_PAGES, share), in_time, most))

    def _within(self, size: int) -> int:
        """How many of so many pages may be asked for; the one behind the last row always pays for itself."""
        rows, holes = self._known()
        full_pages, flying = rows / self._full, sum(len(each.after) for each in self._flying)
        spare = int(full_pages * (1 + WASTE)) + TRIED - self._pages - flying - holes
        if not self._flying:
            return max(1, min(size, spare))
        if spare < min(size, FEWEST_PAGES) or self._questions >= int(full_pages) + self._lanes - holes:
            return 0
        return min(size, spare)

    def _known(self) -> tuple[int, int]:
        """Count the rows that are known, be they next or not, and the holes before those that wait for others.

        Each hole may cost a page that brings nothing new; to have left it, another one has brought as much as it holds.
        """
        rows, holes, place = self._told, 0, float(self._after)
        for page in sorted(self._held, key=lambda page: page.after):
            holes += page.after > place
            rows += len(page.ids) - bisect_right(page.ids, place)
            place = max(place, page.last)
        return rows, holes

    def _missing(self) -> Iterator[Sequence[int]]:
        """Yield behind which ids nothing is known or asked for, in their order; the last one should find the end."""
        asked = {after: after + step for each, step in self._flying.items() for after in each.after}
        place: float = self._after
        for after, last in sorted([*asked.items(), *((page.after, page.last) for page in self._held)]):
            yield self._steps(place, after)
            place = max(place, last)
        end = max([self._newest, self._after, *(page.ids[-1] for page in self._held if page.ids)])
        yield self._steps(place, end)
        if place < inf and end not in asked:
            yield (end,)

    def _steps(self, place: float, end: int) -> Sequence[int]:
        return range(int(place), end, self._step) if place < end else ()

    def _advance(self) -> None:
        """Make ready what follows, as far as it is known; drop what tells nothing new."""
        while near := [page for page in self._held if page.after <= self._after]:
            self._held = [page for page in self._held if page.after > self._after]
            self.ended = self.ended or not all(page.ids for page in near)
            onward = max(near, key=lambda page: page.ids[-1] if page.ids else 0)
            if onward.ids and onward.ids[-1] > self._after:
                rows = onward.rows[bisect_right(onward.ids, self._after) :]
                self._ready.append(rows)
                self._told += len(rows)
                self._after = onward.ids[-1]

    def _measure(self, pages: Sequence[Page[T]]) -> None:
        """Learn how far a full page reaches from how far its rows lie apart; a gap before them says nothing."""
        self._full = max([self._full, *(len(page.ids) for page in pages)])
        self._spans += [page.ids[-1] - page.ids[0] for page in pages if len(page.ids) == self._full > 1]
        if self._spans:
            reach = median(self._spans) * self._full / (self._full - 1)
            self._step = max(self._full, int(reach * _SURE))


def _in_equal_parts(pages: int, size: int) -> int:
    """How many pages to ask for where so many are left: so that the last questions end together, and are no more."""
    return ceil(pages / ceil(pages / size)) if pages else 0
