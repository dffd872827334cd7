from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from statistics import mean

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_b24.bitrix.lookahead import LANES, MOST_PAGES, TRIED, Lookahead, Page, Pages, Question

PAGE = 50


def random(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - repeatable


@dataclass
class Portal:
    """Ids as they are by now; answers in any order, and may cut pages short, leave some out, or not tell the newest id."""

    ids: list[int]
    rng: Random = field(default_factory=lambda: random(1))
    cuts: bool = False
    leaves_out: bool = False
    tells_newest: bool = True
    alone: bool = False
    seconds: float = 0.0
    questions: int = 0
    pages: int = 0
    most_known: int = 0
    sizes: list[int] = field(default_factory=list)
    busy: list[int] = field(default_factory=list)
    meanwhile: Callable[[Portal], object] = lambda _: None

    def answer(self, question: Question) -> Pages[int]:
        self.questions += 1
        self.pages += len(question.after)
        self.sizes.append(len(question.after))
        pages = [self._page(after) for after in question.after]
        if self.leaves_out and len(pages) > 1:
            pages = self.rng.sample(pages, self.rng.randint(1, len(pages)))
        told = question.opening and self.tells_newest
        newest, whole = (max(self.ids, default=0), 1 < len(self.ids) == len(pages[0].ids)) if told else (0, False)
        self.meanwhile(self)
        return Pages(pages, newest, whole, self.seconds, self.alone)

    def _page(self, after: int) -> Page[int]:
        first = bisect_right(self.ids, after)
        found = self.ids[first : first + (self.rng.randint(1, PAGE) if self.cuts else PAGE)]
        return Page(after, found, found)

    def list(self) -> Iterator[int]:
        """Read it all, as many questions at once as there may be; whichever answer comes first is taken."""
        ahead: Lookahead[int] = Lookahead()
        opening = ahead.open()
        ahead.take(opening, self.answer(opening))
        yield from ahead.rows()
        flying: list[tuple[Question, Pages[int]]] = []
        while not ahead.ended:
            while question := ahead.ask():
                flying.append((question, self.answer(question)))
            known = sum(len(each.after) for each, _ in flying) + len(ahead._held)
            self.most_known = max(self.most_known, known)
            assert flying, "nothing is under way, and nothing is asked for"
            self.busy.append(len(flying))
            assert self.busy[-1] <= LANES
            ahead.take(*flying.pop(self.rng.randrange(len(flying))))
            yield from ahead.rows()


def scattered(count: int, span: int, seed: int = 7) -> list[int]:
    return sorted(random(seed).sample(range(1, span + 1), count))


def clustered(clusters: int, of: int, apart: int) -> list[int]:
    return [cluster * apart + each for cluster in range(clusters) for each in range(1, of + 1)]


def page_after_page(ids: list[int]) -> int:
    """How many pages there are, the empty one at the end among them."""
    return -(-len(ids) // PAGE) + 1


DENSE = list(range(1, 5001))
WORLDS = st.builds(
    lambda spans, seed: sorted(
        {each for first, count, step in spans for each in range(first, first + count * step, step)}
    ),
    st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 400), st.sampled_from([1, 1, 2, 7, 1000])), max_size=4),
    st.integers(),
)


@settings(max_examples=150, deadline=None)
@given(WORLDS, st.integers(), st.tuples(*[st.booleans()] * 4))
def test_whatever_lies_where_all_of_it_is_handed_out_once_and_in_order(
    ids: list[int], seed: int, oddities: tuple[bool, bool, bool, bool]
) -> None:
    portal = Portal(ids, random(seed), *oddities)
    assert list(portal.list()) == ids


@settings(max_examples=150, deadline=None)
@given(WORLDS, st.integers())
def test_what_is_there_all_the_while_is_handed_out_once_whatever_comes_and_goes(ids: list[int], seed: int) -> None:
    def change(portal: Portal) -> None:
        gone = rng.sample(portal.ids, min(len(portal.ids), rng.randrange(4)))
        come = {rng.randrange(1, max([1000, *portal.ids]) + 60) for _ in range(rng.randrange(4))} if left else set()
        left[:] = left[1:]
        stable.difference_update(gone)
        ever.update(come)
        portal.ids = sorted({*portal.ids} - {*gone} | come)

    # Whoever adds rows for ever is listed for ever.
    rng, stable, ever, left = random(seed), {*ids}, {*ids}, [0] * 40
    found = list(Portal(ids, random(seed), meanwhile=change).list())
    assert found == sorted({*found})
    assert stable <= {*found} <= ever


@pytest.mark.parametrize(
    ("name", "ids", "questions", "pages"),
    [
        ("nothing", [], 1, 1),
        ("a row", [7], 2, 2),
        ("a page", list(range(1, 51)), 1, 1),
        ("two pages", list(range(1, 101)), 2, 3),
        ("ten pages", list(range(1, 501)), 2, 11),
        ("5,000 without a gap", DENSE, 9, 101),
        ("5,000, every tenth deleted", [each for each in range(1, 5556) if each % 10], 11, 113),
        ("5,000 of 50,000", scattered(5000, 50_000), 13, 145),
        ("5,000 of 50,000,000", scattered(5000, 50_000_000), 13, 145),
        ("50,000 of 500,000", scattered(50_000, 500_000), 70, 1350),
        ("100,000 without a gap", list(range(1, 100_001)), 84, 2001),
        ("200 of 10,000,000", scattered(200, 10_000_000), 3, 12),
        ("a few old ones, then many", [*range(1, 1000, 9), *range(900_000, 903_000)], 12, 140),
        ("many old ones, then a few", [*range(1, 3000), *range(900_000, 900_100)], 16, 155),
        ("300 of every 3,000", clustered(36, 300, 3000), 42, 385),
        ("60 of every 2,000", clustered(200, 60, 2000), 210, 421),
        ("50 of every 1,000,000", clustered(200, 50, 10**6), 204, 361),
    ],
)
def test_a_list_costs_about_as_many_pages_as_it_has(name: str, ids: list[int], questions: int, pages: int) -> None:
    portal = Portal(ids)
    assert list(portal.list()) == ids
    assert portal.questions <= questions
    assert portal.pages <= pages


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 60), st.integers(1, 700), st.sampled_from([1, 1, 1, 3, 40]), st.integers(0, 10**5)),
        max_size=4,
    ),
    st.integers(),
    st.sampled_from([0.0, 0.0, 3.0, 9.0]),
)
# What is known leaves many holes of few rows, each of which costs a page; then those are in the way of many that are new.
@example([(1, 51, 20, 0), (63, 50, 1, 750)], 0, 0.0)
@example([(1, 51, 20, 0), (63, 50, 1, 750)], 0, 3.0)
@example([(1, 1000, 20, 0), (200, 52, 1, 68)], 0, 0.0)
# So few pages to a question that the questions are what runs out.
@example([(12, 46, 1, 10**5), (8, 52, 2, 10**5)], 3, 9.0)
def test_wherever_the_rows_lie_they_cost_half_as_many_pages_again_at_most_no_more_requests_and_bounded_memory(
    eras: list[tuple[int, int, int, int]], seed: int, seconds: float
) -> None:
    ids, last = [], 0
    for clusters, of, step, apart in eras:
        for _ in range(clusters):
            ids += range(last + 1, last + 1 + of * step, step)
            last = ids[-1] + apart
    portal = Portal(ids, random(seed), seconds=seconds)
    assert list(portal.list()) == ids
    # What is tried before much is known of the list comes on top, and a page that finds its end.
    assert portal.pages <= 1.5 * page_after_page(ids) + TRIED + 1
    assert portal.questions <= page_after_page(ids) + LANES
    assert portal.most_known <= (LANES + 1) * MOST_PAGES


def test_a_list_that_is_dense_again_is_read_ahead_again() -> None:
    ids = [*clustered(100, 50, 10**6), *range(10**8, 10**8 + 50_000)]
    portal = Portal(ids)
    assert list(portal.list()) == ids
    assert portal.questions <= 100 + LANES + 65


@pytest.mark.parametrize("seed", range(20))
def test_whichever_answer_comes_first_no_lane_is_idle_and_the_last_ones_end_together(seed: int) -> None:
    portal = Portal(DENSE, random(seed))
    assert list(portal.list()) == DENSE
    assert portal.busy == [4, 4, 4, 4, 4, 3, 2, 1]
    assert portal.sizes == [1, 13, 13, 13, 13, 12, 12, 12, 12]


@pytest.mark.parametrize("ids", [list(range(1, 15_001, 3)), scattered(5000, 50_000), scattered(5000, 50_000_000)])
def test_of_rows_that_lie_scattered_three_questions_of_four_are_under_way_in_the_mean(ids: list[int]) -> None:
    portals = [Portal(ids, random(seed)) for seed in range(20)]
    assert all(list(portal.list()) == ids for portal in portals)
    assert mean(busy for portal in portals for busy in portal.busy) >= 3


def test_what_is_tried_before_an_answer_is_there_is_shared_among_the_lanes() -> None:
    portal = Portal(list(range(1, 20_001)))
    assert list(portal.list()) == portal.ids
    assert portal.sizes[1 : 1 + LANES] == [TRIED // LANES] * LANES


def test_no_more_is_held_than_five_requests_bring() -> None:
    portal = Portal(list(range(1, 50_001)), random(3))
    assert sum(1 for _ in portal.list()) == 50_000
    assert portal.most_known <= (LANES + 1) * MOST_PAGES


def test_nothing_more_is_asked_for_while_as_much_waits_to_be_handed_out() -> None:
    portal, ahead = Portal(list(range(1, 50_001))), Lookahead[int]()
    opening = ahead.open()
    ahead.take(opening, portal.answer(opening))
    assert len(list(ahead.rows())) == PAGE
    asked = 0
    # A reader that takes its time, while every answer is there at once.
    while question := ahead.ask():
        ahead.take(question, portal.answer(question))
        asked += len(question.after)
    assert asked <= (LANES + 1) * MOST_PAGES
    assert len(list(ahead.rows())) == asked * PAGE
    assert ahead.ask() is not None


def test_nothing_is_asked_for_before_the_first_page_is_read() -> None:
    portal = Portal(DENSE)
    rows = portal.list()
    assert [next(rows) for _ in range(PAGE)] == DENSE[:PAGE]
    assert portal.questions == 1
    next(rows)
    assert portal.questions <= 2 + LANES


def test_a_portal_that_refuses_the_method_in_a_batch_is_asked_for_one_page_after_the_other() -> None:
    portal = Portal(list(range(1, 201)), alone=True)
    assert list(portal.list()) == portal.ids
    assert portal.questions == portal.pages == 5


def test_a_slow_portal_is_asked_for_fewer_pages_at_once() -> None:
    portal = Portal(DENSE, seconds=2.5)
    assert list(portal.list()) == DENSE
    assert portal.pages / (portal.questions - 1) <= 4.1
