"""The methods crm.timeline.comment.*: what people and programs wrote beside anything of the CRM."""

from __future__ import annotations

from operator import attrgetter

from airflow_b24.sandbox.listing import Column, Columns, Result, page
from airflow_b24.sandbox.php import either_case, is_empty, to_int, to_text, upper_keys
from airflow_b24.sandbox.state import Comment, Turn
from airflow_b24.sandbox.wire import RestError

_COLUMNS: Columns = {
    "ID": Column("int", attrgetter("id")),
    "ENTITY_ID": Column("int", attrgetter("entity_id")),
    "ENTITY_TYPE": Column("text", attrgetter("entity_type")),
    "CREATED": Column("datetime", attrgetter("at")),
    "COMMENT": Column("text", attrgetter("text")),
    "AUTHOR_ID": Column("int", attrgetter("by")),
}


def add(turn: Turn) -> Result:
    """crm.timeline.comment.add: returns the new id; nothing keeps a comment from being added twice."""
    _need(turn, "update")
    fields = upper_keys(either_case(turn.arguments, "fields"))
    for name in ("ENTITY_ID", "ENTITY_TYPE", "COMMENT"):
        if not isinstance(fields, dict) or is_empty(fields.get(name)):
            # not established: the words for a comment that lacks something.
            raise RestError(400, "", f"Field {name} is required")
    comments, place = turn.state.comments, to_text(fields["ENTITY_TYPE"]).lower()
    text, now = to_text(fields["COMMENT"]), turn.now.astimezone(turn.state.zone)
    comment = Comment(len(comments) + 1, place, to_int(fields["ENTITY_ID"]), text, turn.caller.user.id, now)
    comments.append(comment)
    return Result(comment.id)


def list_(turn: Turn) -> Result:
    """crm.timeline.comment.list."""
    _need(turn, "read")
    return page(turn.state.comments, _COLUMNS, turn.arguments, turn.state.zone)


def _need(turn: Turn, right: str) -> None:
    if right not in turn.caller.user.invoice_rights:
        raise RestError(400, "", "Access denied.")
