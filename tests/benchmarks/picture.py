"""The figures as a picture: seconds to pay many invoices, a bar for each client, and of a whole DAG by their number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.measuring import Row

COLOURS = {"ours": "#1b7f4d", "fast_bitrix24": "#4c72b0", "b24pysdk": "#dd8452", "b24api": "#937860"}
WIDTH = 0.2


def draw(rows: Sequence[Row], curve: Sequence[Row], subject: str, path: Path) -> None:
    """Save the picture as SVG; what ran out of time is left out of it. `curve` comes beside it, if there is one."""
    # In the extra `bench` alone.
    import matplotlib as plain
    from matplotlib.figure import Figure

    plain.rcParams["svg.hashsalt"] = "airflow_b24"
    figure = Figure(figsize=(11 if curve else 7, 4.2), layout="constrained")
    sides = 2 if curve else 1
    axes = figure.add_subplot(1, sides, 1, xlabel="requests side by side", ylabel="seconds", title=subject)
    _groups(axes, rows, sorted({row["at once"] for row in rows}))
    axes.legend()
    if curve:
        _line(figure.add_subplot(1, sides, 2, xlabel="invoices", ylabel="seconds"), curve)
    figure.savefig(path, metadata={"Date": None})


def _groups(axes: Any, rows: Sequence[Row], sides: Sequence[int]) -> None:
    for place, client in enumerate(COLOURS):
        seconds = {row["at once"]: row["seconds"] for row in rows if row["client"] == client and row["seconds"]}
        _bars(axes, client, {sides.index(at_once) + (place - 1.5) * WIDTH: each for at_once, each in seconds.items()})
    axes.set_xticks(range(len(sides)), [str(at_once) for at_once in sides])


def _bars(axes: Any, client: str, heights: Mapping[float, float]) -> None:
    label = f"{client} (paid and verified)" if client == "ours" else f"{client} (paid)"
    if heights:
        bars = axes.bar(list(heights), list(heights.values()), WIDTH, label=label, color=COLOURS[client])
        axes.bar_label(bars, fmt="%.1f", fontsize=8)


def _line(axes: Any, curve: Sequence[Row]) -> None:
    axes.set(title="a whole DAG run, from bank to paid, in bulk", xscale="log", yscale="log")
    modelled = {row["invoices"]: row["model, s"] for row in curve}
    measured = {row["invoices"]: row["measured, s"] for row in curve if row["measured, s"] != ""}
    axes.plot(list(modelled), list(modelled.values()), color=COLOURS["fast_bitrix24"], linestyle="--", label="model")
    axes.plot(list(measured), list(measured.values()), "o", color=COLOURS["ours"], label="measured")
    for invoices, seconds in measured.items():
        axes.annotate(f"{seconds:.0f} s", (invoices, seconds), (4, -12), textcoords="offset points", fontsize=8)
    # Room for what is written below the first.
    axes.margins(y=0.12)
    axes.legend()
