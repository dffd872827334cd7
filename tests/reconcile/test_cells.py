from __future__ import annotations

import csv
import time

import pytest

from airflow_b24.reconcile import cells

FORMULAS = [
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "＝1+1",
    "＋1",
    "－1",
    "＠A1",
    '=HYPERLINK("http://x","y")',
    "=cmd|'/C calc'!A0",
]
HIDDEN = ["\t=1+1", "\r=1+1", "\n=1+1", " =1+1", "\u200b=1+1", "\ufeff=1+1", "\x00=1+1", "\u202e=1+1", "\u00a0=1+1"]
NUMBERS = ["40702810900000000001", "0277012345", "2026/2", "12.05", "1,5", "12E5", "10:30", "100%", "(5)", "01.02.2026"]
PLAIN = ["ООО «Ромашка»", "Invoice No. 2026/2", "INV-7", "a=b", "", "№ 5", "PO+7", "it's 5"]


@pytest.mark.parametrize("given", FORMULAS + HIDDEN)
def test_a_formula_is_a_text(given: str) -> None:
    made = cells.text(given)
    assert made.startswith("'")
    assert made.isprintable()


@pytest.mark.parametrize("given", NUMBERS)
def test_what_a_spreadsheet_would_read_as_a_number_or_a_day_stays_as_it_was_written(given: str) -> None:
    assert cells.text(given) == f"'{given}"


@pytest.mark.parametrize("given", PLAIN)
def test_plain_text_stays_as_it_is(given: str) -> None:
    assert cells.text(given) == given


@pytest.mark.parametrize("given", ["pay,=1+1", "pay; @SUM(A1)", 'pay, "=1+1', "pay|-2+3", "pay,\t+1"])
def test_a_spreadsheet_that_splits_elsewhere_finds_no_formula_either(given: str) -> None:
    parts = [part.strip(" \"'") for part in cells.text(given).replace(";", ",").replace("|", ",").split(",")]
    assert all("'" in cells.text(given) for part in parts if part[:1] in "=+-@")
    assert not any(piece.lstrip(' "').startswith(("=", "+", "-", "@")) for piece in cells.text(given).split(","))


@pytest.mark.parametrize("given", ["9" * 20_000 + "x", "1 " * 20_000 + "x", "," * 20_000, ", " * 20_000 + "x"])
def test_a_long_text_costs_little(given: str) -> None:
    began = time.monotonic()
    cells.text(given)
    assert time.monotonic() - began < 1


def test_our_own_amounts_are_numbers_where_people_write_a_comma() -> None:
    assert cells.number("118.00") == "118,00"
    assert cells.number("1180") == "1180"


def test_lines_are_semicolons_with_a_mark_that_says_utf_8() -> None:
    made = list(cells.lines(("id", "text"), [("1", 'a "b"; c'), ("2", cells.text("x\r\ny"))]))
    assert made[0].startswith("\ufeff")
    read = list(csv.reader("\n".join(made).removeprefix("\ufeff").splitlines(), delimiter=";"))
    assert read == [["id", "text"], ["1", 'a "b"; c'], ["2", "x y"]]
