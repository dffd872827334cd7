"""A plain table for a terminal: the last column takes what room is left and wraps."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence

GAP = "  "
WIDEST = 30


def table(header: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None) -> str:
    """Lay the rows out under the header; cells but the last are cut at 30 characters."""
    room = width or shutil.get_terminal_size((140, 40)).columns
    cells = [[_cut(cell) for cell in row[:-1]] for row in rows]
    widths = [max(map(len, column)) for column in zip(header[:-1], *cells, strict=True)]
    left = max(room - sum(widths) - len(GAP) * len(widths), 24)
    lines = [_line([*header[:-1]], widths, header[-1]), _line(["─" * size for size in widths], widths, "─" * left)]
    for row, first in zip(rows, cells, strict=True):
        wrapped = textwrap.wrap(_flat(row[-1]), left) or [""]
        lines.append(_line(first, widths, wrapped[0]))
        lines += [_line([""] * len(widths), widths, rest) for rest in wrapped[1:]]
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int], last: str) -> str:
    padded = (cell.ljust(size) for cell, size in zip(cells, widths, strict=True))
    return GAP.join([*padded, last]).rstrip()


def _cut(cell: str) -> str:
    flat = _flat(cell)
    return flat if len(flat) <= WIDEST else flat[: WIDEST - 1] + "…"


def _flat(cell: str) -> str:
    # A bank's text must not move the cursor or colour the terminal.
    return "".join(char if char.isprintable() else " " for char in cell)
