"""FAULTS.md is true: every fault has its row, and every test named there exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "tests" / "FAULTS.md"
# How many faults there are of each kind.
KINDS = {"P": 7, "N": 8, "M": 5, "C": 5, "A": 10, "V": 3, "R": 4, "F": 4, "S": 13}
IDS = [f"{kind}{number + 1}" for kind, count in KINDS.items() for number in range(count)]
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
EXCUSE = re.compile(r"not (yet|ours): \w+")


def rows(page: str) -> dict[str, tuple[str, str]]:
    """What we do about each fault, and the cell of its tests; a fault told twice is refused."""
    found: dict[str, tuple[str, str]] = {}
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and re.fullmatch(r"[A-Z]\d+", cells[0]):
            fault, (_, done, tests) = cells[0], cells[1:]
            assert fault not in found, f"{fault} is told twice"
            found[fault] = (done, tests)
    return found


@cache
def names_in(path: str) -> frozenset[str]:
    """The tests of a file, which is read and not imported."""
    file = ROOT / path
    if not file.is_file():
        return frozenset()
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, kinds))


def complaints(page: str) -> list[str]:
    """What is wrong with a page."""
    told = rows(page)
    wrong = [f"{fault} has no row" for fault in IDS if fault not in told]
    wrong += [f"{fault} is no fault of the catalogue" for fault in told if fault not in IDS]
    for fault, (done, tests) in told.items():
        if not TEST.search(tests) and not EXCUSE.match(done):
            wrong.append(f"{fault} has neither a test nor a reason")
        wrong += [f"{fault}: no {path}::{name}" for path, name in TEST.findall(tests) if name not in names_in(path)]
    # What stands in such a cell in another way would never be looked for.
    cells = [each for _, tests in told.values() for each in tests.split("<br>")]
    return wrong + [f"no test: {each}" for each in cells if each != "–" and not TEST.fullmatch(each)]


def test_every_fault_has_a_row_with_tests_that_exist_or_a_reason() -> None:
    assert complaints(PAGE.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("| A2 |", "| A22 |", "A2 has no row"),
        ("| A2 |", "| A22 |", "A22 is no fault of the catalogue"),
        ("::test_a_formula_is_a_text", "::test_a_formula", "N5: no tests/reconcile/test_cells.py::test_a_formula"),
        ("tests/reconcile/test_cells.py", "tests/cells.py", "N5: no tests/cells.py::test_a_formula_is_a_text"),
        ("not ours: ", "", "S13 has neither a test nor a reason"),
        ("`tests/reconcile/test_cells.py::", "`", "no test: `test_a_formula_is_a_text`"),
    ],
)
def test_a_page_that_is_not_true_is_found_out(old: str, new: str, complaint: str) -> None:
    page = PAGE.read_text("utf-8")
    assert old in page
    assert complaint in complaints(page.replace(old, new))


def test_a_fault_told_twice_is_refused() -> None:
    page = PAGE.read_text("utf-8")
    with pytest.raises(AssertionError, match="A2 is told twice"):
        rows(page.replace("| A3 |", "| A2 |"))
