from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_b24.bitrix.errors import ResponseError, UnknownOutcomeError
from airflow_b24.bitrix.legacy_invoice import parse_invoice
from airflow_b24.bitrix.protocol import Response
from airflow_b24.bitrix.timeline import Place, comment_once, place_of_legacy, place_of_smart

Talk = Callable[..., tuple[list[Any], Any]]
DEAL = Place("deal", 10)
MARKER = "[airflow_b24 settlement 5]"
SINCE = datetime(2026, 11, 22, 12, tzinfo=UTC)
NEW, AT, OLD, OLDER = (f"2026-11-22T{each}+03:00" for each in ("15:00:01", "15:00:00", "14:59:59", "09:00:00"))


def legacy(**links: Any) -> Any:
    return parse_invoice({"ID": "2", "PAYED": "Y", "PRICE": "1.00", "CURRENCY": "RUB", "STATUS_ID": "P", **links})


PLACES = [
    (legacy(UF_DEAL_ID="10", UF_COMPANY_ID="21"), DEAL),
    (legacy(UF_DEAL_ID="0", UF_COMPANY_ID="21"), Place("company", 21)),
    (legacy(), None),
]


@pytest.mark.parametrize(("invoice", "place"), PLACES)
def test_a_comment_on_a_legacy_invoice_belongs_into_the_timeline_of_its_deal_or_company(
    invoice: Any, place: Place | None
) -> None:
    assert place_of_legacy(invoice) == place


def test_a_comment_on_a_smart_invoice_belongs_into_its_own_timeline() -> None:
    assert place_of_smart(17) == Place("dynamic_31", 17)


def test_a_comment_is_written_when_none_with_its_marker_is_there(talk: Talk) -> None:
    effects, written = talk(
        comment_once(DEAL, "Paid.", MARKER, SINCE), Response([{"ID": "1", "COMMENT": "hello"}]), Response(7)
    )
    assert effects[0].arguments["filter"] == {"ENTITY_TYPE": "deal", "ENTITY_ID": 10}
    assert effects[1].arguments == {"fields": {"ENTITY_TYPE": "deal", "ENTITY_ID": 10, "COMMENT": f"Paid.\n{MARKER}"}}
    assert (effects[1].write, written) == (True, 7)


def test_a_marker_is_looked_for_on_every_page(talk: Talk) -> None:
    pages = Response([{"ID": "9", "COMMENT": "x"}], next=50), Response([{"ID": "1", "COMMENT": f"Paid.\n{MARKER}\n"}])
    effects, written = talk(comment_once(DEAL, "Paid.", MARKER, SINCE), *pages)
    assert [effect.arguments["start"] for effect in effects] == [0, 50]
    assert written is None


def page(*created: object) -> Response:
    return Response([{"ID": "9", "CREATED": each, "COMMENT": "x"} for each in created], next=50)


def test_behind_a_page_of_comments_that_are_too_old_the_marker_is_not_looked_for(talk: Talk) -> None:
    effects, written = talk(comment_once(DEAL, "Paid.", MARKER, SINCE), page(OLD, OLDER), Response(8))
    assert ([each.method for each in effects], written) == (
        ["crm.timeline.comment.list", "crm.timeline.comment.add"],
        8,
    )
    assert effects[0].arguments["select"] == ["ID", "CREATED", "COMMENT"]


# The last ones are a time that cannot be read.
GOES_ON = [(NEW, OLD), (AT,), (OLDER, OLD), (), *((OLD, each) for each in (None, "", "long ago", OLD[:-6], [], 7))]


@pytest.mark.parametrize("created", GOES_ON)
def test_where_newer_ones_may_follow_or_a_time_cannot_be_read_the_marker_is_looked_for_to_the_end(
    talk: Talk, created: tuple[object, ...]
) -> None:
    last = Response([{"ID": "1", "CREATED": OLDER, "COMMENT": MARKER}])
    effects, written = talk(comment_once(DEAL, "Paid.", MARKER, SINCE), page(*created), last)
    assert ([effect.arguments["start"] for effect in effects], written) == ([0, 50], None)


@pytest.mark.parametrize("text", ["[airflow_b24 settlement 55]", f"{MARKER} says a person", None])
def test_what_only_looks_like_the_marker_is_no_comment_of_ours(talk: Talk, text: str | None) -> None:
    _, written = talk(comment_once(DEAL, "Paid.", MARKER, SINCE), Response([{"ID": "1", "COMMENT": text}]), Response(8))
    assert written == 8


def test_pages_that_do_not_go_on_end_the_search(talk: Talk) -> None:
    _, written = talk(comment_once(DEAL, "Paid.", MARKER, SINCE), Response([], next=0), Response(8))
    assert written == 8


def test_a_lost_answer_is_not_repeated_blindly(talk: Talk) -> None:
    with pytest.raises(UnknownOutcomeError):
        talk(comment_once(DEAL, "Paid.", MARKER, SINCE), Response([]), UnknownOutcomeError("A"))


@pytest.mark.parametrize("result", [None, {}, [1]])
def test_what_is_no_list_of_comments_is_an_error(talk: Talk, result: object) -> None:
    with pytest.raises(ResponseError):
        talk(comment_once(DEAL, "Paid.", MARKER, SINCE), Response(result))
