"""Ours and three clients that others wrote, side by side in one run, each on fresh sandbox portals.

    python -m tests.benchmarks.peers [--quick] [--json] [--only NAME [NAME ...]]

needs the extra `bench` (with .ci/constraints-bench.txt). Figures and the picture go to tests/benchmarks/results: those of a
run in full under the day's date, and the sections' names if it was not whole; those of a quick one git ignores.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

import airflow_b24
from tests.benchmarks.arithmetic import BURST, PER_S
from tests.benchmarks.measuring import PEERS, Bench, Row, load
from tests.benchmarks.picture import draw
from tests.benchmarks.portal import certify
from tests.benchmarks.scale import FULL, QUICK, Scale
from tests.benchmarks.table import table
from tests.processes.children import Children

# No other client has these: a whole Airflow, its DAG files, and a model beside it; they need none installed.
OURS_ALONE = ("airflow", "parsing", "curve", "capacity")
SECTIONS = ("bulk", "singles", "lists", "losses", "renewals", "operating", *OURS_ALONE)
RESULTS = Path(__file__).parent / "results"
PLOTTED = "bulk"
CURVE = "curve"


def main(arguments: list[str] | None = None) -> int:
    """Measure, show and keep; exit code 2 where the other clients are not installed."""
    asked = _parser().parse_args(arguments)
    missing = [name for name in (*PEERS, "matplotlib") if importlib.util.find_spec(name) is None]
    names = tuple(asked.only or SECTIONS)
    if missing and not set(names) <= set(OURS_ALONE):
        fix = "pip install -c .ci/constraints-bench.txt -e '.[bench]'"
        sys.stderr.write(f"not installed: {', '.join(missing)}; run: {fix}\n")
        return 2
    scale = QUICK if asked.quick else FULL
    found = measure(names, scale)
    found["kept as"] = keep(found, scale, names)
    sys.stdout.write(json.dumps(found, indent=1) + "\n" if asked.json else page(found))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.peers", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small and twice, to see that all of it works")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--only", choices=SECTIONS, nargs="+", help="some sections")
    return parser


def measure(names: tuple[str, ...], scale: Scale) -> dict[str, Any]:
    """Return everything that was measured, and under which conditions."""
    began = time.monotonic()
    conditions = {**asdict(scale), "burst": BURST, "per_s": PER_S, "load": os.getloadavg()}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, Children() as children:
        bench = Bench(children, scale, certify(Path(folder)))
        if not set(names) <= set(OURS_ALONE):
            load(bench.certified[0])
        for name in names:
            bench.found[name] = importlib.import_module(f"tests.benchmarks.{name}").measure(bench)
    took_s = round(time.monotonic() - began)
    return {"at": _now(), "took_s": took_s, "versions": _versions(), "conditions": conditions, "sections": bench.found}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    machine = f"{os.cpu_count()} x {platform.machine()}"
    others = {name: version(name) for name in ("apache-airflow", *PEERS) if _is_installed(name)}
    return {"python": platform.python_version(), "processors": machine, "ours": airflow_b24.__version__, **others}


def _is_installed(name: str) -> bool:
    return any(True for _ in distributions(name=name))


def keep(found: Mapping[str, Any], scale: Scale, names: tuple[str, ...]) -> str:
    """Write the figures, and the picture if its section was measured; returns the files' name."""
    words = (*([] if scale is FULL else ["trial"]), datetime.now(UTC).date().isoformat())
    name = "-".join((*words, *([] if names == SECTIONS else names)))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if PLOTTED in found["sections"]:
        draw(
            [row for row in found["sections"][PLOTTED] if _is_plotted(row, scale)],
            found["sections"].get(CURVE, ()),
            f"{scale.pays} invoices, medians of {scale.repetitions}",
            RESULTS / f"{name}.svg",
        )
    return name


def _is_plotted(row: Row, scale: Scale) -> bool:
    return row["invoices"] == scale.pays and row["at most to a request"] is None


def page(found: Mapping[str, Any]) -> str:
    """Return all sections as text, headed by the conditions."""
    sections: Mapping[str, list[Row]] = found["sections"]
    titles = {name: importlib.import_module(f"tests.benchmarks.{name}").TITLE for name in sections}
    parts = [_conditions(found), *(table(titles[name], rows) for name, rows in sections.items())]
    return "\n".join([*parts, f"kept as tests/benchmarks/results/{found['kept as']}, in {found['took_s']} s\n"])


def _conditions(found: Mapping[str, Any]) -> str:
    given, latency = found["conditions"], found["conditions"]["latency"]
    times = {name: f"{1000 * seconds:g} ms" for name, seconds in latency.items()}
    versions = ", ".join(f"{name} {each}" for name, each in found["versions"].items())
    return (
        f"{given['name']}: medians of {given['repetitions']} (of {given['counts']} where only counted), each on a fresh sandbox portal in a process of its own, over https\n"
        f"the portal takes {times['latency_s']} a request, and in it {times['read_s']} to read an invoice, {times['list_s']} "
        f"a page of a list ({times['count_s']} more to count), {times['write_s']} a pay; it works on any number of requests\n"
        f"side by side, and lets in {given['burst']} at once, then {given['per_s']:g} a second\n"
        f"{versions}; load {given['load'][0]:.1f}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
