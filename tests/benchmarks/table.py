"""Figures as people read them: one row a line, columns under their names."""

from __future__ import annotations

from collections.abc import Sequence

from tests.benchmarks.measuring import Row

HIDDEN = "runs"


def table(title: str, rows: Sequence[Row]) -> str:
    """Return a section as text."""
    names = [name for name in (rows[0] if rows else {}) if name != HIDDEN]
    cells = [names, *([shown(row[name]) for name in names] for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(names))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
    rule = "  ".join("-" * width for width in widths)
    return "\n".join([title, "", lines[0].rstrip(), rule, *(line.rstrip() for line in lines[1:]), ""])


def shown(value: object) -> str:
    """Return one cell: whole numbers without a fraction, others with two digits of it, nothing as a dash."""
    if value is None or value == "":
        return "-"
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() else f"{value:.2f}"
    return str(value)
