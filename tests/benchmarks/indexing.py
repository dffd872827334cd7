"""Rows found as a database finds them: the sandbox looks at every row of a long list and sorts them, which no portal does."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

from airflow_b24.sandbox import listing
from airflow_b24.sandbox.invoice import Invoice
from airflow_b24.sandbox.php import Arguments, either_case, items, to_int

# Where the rows begin, or end, that a condition on ids lets through.
FROM: Mapping[str, Callable[..., int]] = {">ID": bisect_right, ">=ID": bisect_left}
UP_TO: Mapping[str, Callable[..., int]] = {"<ID": bisect_left, "<=ID": bisect_right}


def find_ids_by_index() -> None:
    """Let this process's sandbox look only at invoices within the ids asked for, and stop at a full page.

    It still checks each of them, and orders what it has found.
    """
    honest = listing.matching

    def matching(rows: Sequence[Any], columns: Any, arguments: Arguments, *more: Any) -> list[Any]:
        found: list[Any] = []
        for some in in_order(within(rows, arguments), arguments):
            found += honest(some, columns, arguments, *more)
            if len(found) >= listing.PAGE_SIZE:
                break
        return found

    listing.matching = matching  # type: ignore[assignment]


def within(rows: Sequence[Any], arguments: Arguments) -> Sequence[Any]:
    """Return the invoices, which lie in order of id, that the conditions on ids could let through."""
    if not rows or not isinstance(rows[0], Invoice):
        return rows
    first, last, id_of = 0, len(rows), attrgetter("id")
    for key, value in items(either_case(arguments, "filter")):
        if key.upper() in FROM:
            first = max(first, FROM[key.upper()](rows, to_int(value), key=id_of))
        elif key.upper() in UP_TO:
            last = min(last, UP_TO[key.upper()](rows, to_int(value), key=id_of))
    return rows[first:last]


def in_order(rows: Sequence[Any], arguments: Arguments) -> Iterator[Sequence[Any]]:
    """Yield the invoices some at a time, in the order asked for; all at once where all of them are counted or sorted."""
    order = dict(items(either_case(arguments, "order")))
    if (
        to_int(either_case(arguments, "start")) >= 0
        or list(order) != ["ID"]
        or not (rows and isinstance(rows[0], Invoice))
    ):
        yield rows
        return
    ordered = rows[::-1] if order["ID"] == "DESC" else rows
    for start in range(0, len(ordered), listing.PAGE_SIZE):
        yield ordered[start : start + listing.PAGE_SIZE]
