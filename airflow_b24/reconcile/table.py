"""A plain table for a terminal: the last column takes what room is left, or stands below each row where that is too little."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Sequence
from typing import TypeAlias

GAP = "  "
WIDEST = 30
# Less than this tears a sentence into words.
NARROWEST = 40
INDENT = "    "


# All cells but the last, and the last.
Row: TypeAlias = tuple[Sequence[str], str]


def table(header: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None) -> str:
    """Lay the rows out under the header; cells but the last are cut at 30 characters.

    Where less than 40 characters are left for the last column it stands below its row, indented.
    """
    room = width or shutil.get_terminal_size((140, 40)).columns
    cells = [[_cut(cell) for cell in row[:-1]] for row in rows]
    widths = [max(map(len, column)) for column in zip(header[:-1], *cells, strict=True)]
    left = room - sum(widths) - len(GAP) * len(widths)
    lasts = [_flat(row[-1]) for row in rows]
    if left < NARROWEST and any(len(last) > left for last in lasts):
        lines = _below(header, list(zip(cells, lasts, strict=True)), widths, room)
    else:
        lines = _beside(header, list(zip(cells, lasts, strict=True)), widths, left)
    return "\n".join(lines)


def _beside(header: Sequence[str], rows: Sequence[Row], widths: Sequence[int], left: int) -> Iterator[str]:
    yield _line(header[:-1], widths, header[-1])
    yield _line(["─" * size for size in widths], widths, "─" * max(left, len(header[-1])))
    for first, last in rows:
        wrapped = textwrap.wrap(last, max(left, 1)) or [""]
        yield _line(first, widths, wrapped[0])
        yield from (_line([""] * len(widths), widths, rest) for rest in wrapped[1:])


def _below(header: Sequence[str], rows: Sequence[Row], widths: Sequence[int], room: int) -> Iterator[str]:
    yield _line(header[:-1], widths, "")
    yield f"{INDENT}{header[-1]}"
    yield _line(["─" * size for size in widths], widths, "")
    for first, last in rows:
        yield _line(first, widths, "")
        yield from textwrap.wrap(
            last, max(room, NARROWEST), initial_indent=INDENT, subsequent_indent=INDENT, break_long_words=False
        )


def _line(cells: Sequence[str], widths: Sequence[int], last: str) -> str:
    padded = (cell.ljust(size) for cell, size in zip(cells, widths, strict=True))
    return GAP.join([*padded, last]).rstrip()


def _cut(cell: str) -> str:
    flat = _flat(cell)
    return flat if len(flat) <= WIDEST else flat[: WIDEST - 1] + "…"


def _flat(cell: str) -> str:
    # A bank's text must not move the cursor or colour the terminal.
    return "".join(char if char.isprintable() else " " for char in cell)
