from __future__ import annotations

from typing import Any

import pytest

from airflow_b24.sandbox import seed

ADD, LIST = "crm.timeline.comment.add", "crm.timeline.comment.list"
READER = seed.webhook_path(seed.READER, seed.READER_SECRET)


def comment(desk, text: str, entity_id: int = 501, entity_type: str = "dynamic_31") -> Any:
    return desk.result(ADD, {"fields": {"ENTITY_ID": entity_id, "ENTITY_TYPE": entity_type, "COMMENT": text}})


def test_a_comment_is_kept_beside_its_invoice_in_the_documented_shape(smart) -> None:
    assert comment(smart, "Оплачено по выписке") == 1
    asked = {"filter": {"ENTITY_ID": 501, "ENTITY_TYPE": "dynamic_31"}}
    assert smart.result(LIST, asked) == [
        {
            "ID": "1",
            "ENTITY_ID": "501",
            "ENTITY_TYPE": "dynamic_31",
            "CREATED": "2026-11-22T12:00:00+03:00",
            "COMMENT": "Оплачено по выписке",
            "AUTHOR_ID": "9",
        }
    ]
    assert [entry["text"] for entry in smart.smart_books(501)["timeline"]] == ["Оплачено по выписке"]


def test_comments_are_not_merged_and_are_told_apart_by_what_they_are_beside(smart) -> None:
    assert [comment(smart, "x"), comment(smart, "x"), comment(smart, "y", 501, "deal")] == [1, 2, 3]
    asked = {"filter": {"ENTITY_ID": "501", "ENTITY_TYPE": "dynamic_31"}, "order": {"ID": "ASC"}, "select": ["ID"]}
    assert smart.result(LIST, asked) == [{"ID": "1"}, {"ID": "2"}]
    assert len(smart.smart_books(501)["timeline"]) == 2


@pytest.mark.parametrize("missing", ["ENTITY_ID", "ENTITY_TYPE", "COMMENT"])
def test_a_comment_that_lacks_something_is_refused(smart, missing: str) -> None:
    fields = {"ENTITY_ID": 501, "ENTITY_TYPE": "dynamic_31", "COMMENT": "x"} | {missing: ""}
    assert smart.refused(ADD, {"fields": fields}) == (400, "", f"Field {missing} is required")
    assert smart.state.comments == []


def test_a_reader_reads_comments_and_writes_none(smart) -> None:
    fields = {"ENTITY_ID": 501, "ENTITY_TYPE": "dynamic_31", "COMMENT": "x"}
    assert smart.refused(ADD, {"fields": fields}, path=READER) == (400, "", "Access denied.")
    assert smart.result(LIST, path=READER) == []
