from __future__ import annotations

from itertools import takewhile

import pytest

from airflow_b24.reconcile.table import table


def _lines(header: list[str], rows: list[list[str]], width: int = 80) -> list[str]:
    return table(header, rows, width).splitlines()


def test_columns_stand_under_their_headers() -> None:
    assert _lines(["id", "why"], [["1", "one"], ["234", "two"]], 40) == [
        "id   why",
        "───  " + "─" * 35,
        "1    one",
        "234  two",
    ]


def test_a_table_without_rows_is_its_header() -> None:
    assert len(_lines(["id", "why"], [])) == 2


def test_the_last_column_wraps_into_the_room_that_is_left() -> None:
    lines = _lines(["id", "why"], [["7", "word " * 20]], 44)
    assert all(len(line) <= 44 for line in lines)
    assert " ".join(line.strip("7 ") for line in lines[2:]) == ("word " * 20).strip()
    assert lines[3].startswith("    word")


SENTENCE = "The text names the invoice number and the payer's tax id is the invoice's."


@pytest.mark.parametrize("width", [20, 80, 100])
def test_where_little_room_is_left_the_last_column_stands_below_its_row_and_no_word_is_torn(width: int) -> None:
    lines = _lines(["payment", "payer", "status", "why"], [["B0001" * 4, "x" * 30, "by_hand", SENTENCE]], width)
    assert lines[1] == "    why"
    assert lines[3].split() == ["B0001" * 4, "x" * 30, "by_hand"]
    assert all(line.startswith("    ") and len(line) <= max(width, 40) for line in lines[4:])
    assert " ".join(" ".join(lines[4:]).split()) == SENTENCE


def test_short_words_stay_beside_their_row_however_little_room_is_left() -> None:
    assert _lines(["first", "why"], [["x" * 30, "short"]], 40)[2] == f"{'x' * 30}  short"


@pytest.mark.parametrize(
    ("cell", "shown"), [("a" * 30, "a" * 30), ("a" * 31, "a" * 29 + "…")], ids=["as long as allowed", "longer"]
)
def test_a_long_cell_is_cut_at_thirty_characters(cell: str, shown: str) -> None:
    assert "".join(takewhile(lambda char: char != " ", _lines(["a", "b"], [[cell, ""]])[2])) == shown


@pytest.mark.parametrize("hostile", ["\x1b[31mred", "one\ntwo", "back\r", "bell\x07", "right-to-left\u202e", "nul\0"])
def test_text_from_a_bank_cannot_move_the_cursor_or_break_a_line(hostile: str) -> None:
    text = table(["a", "b"], [[hostile, hostile]], 80)
    assert len(text.splitlines()) == 3
    assert all(char.isprintable() for char in text.replace("\n", ""))


def test_rows_of_another_length_than_the_header_are_refused() -> None:
    with pytest.raises(ValueError, match="argument"):
        table(["a", "b", "c"], [["1", "2"]])
