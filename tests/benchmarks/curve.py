"""The model's line beside the measured curve: how long one run takes that pays so many invoices in bulk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tests.benchmarks.airflow import BULK, MAPPED
from tests.benchmarks.capacity_model import Inputs, fitted, run_seconds
from tests.benchmarks.measuring import Bench, Row

TITLE = (
    "One run that pays so many invoices in bulk: measured, and by the model, which is fitted to the smallest and the largest "
    "and tried on what lies between"
)
RESULTS = Path(__file__).parent / "results"
MODELLED = (100, 1_000, 10_000, 100_000)
Found = Mapping[str, Sequence[Row]]


def measure(bench: Bench) -> list[Row]:
    """Lay the model beside what this run has measured, or the newest that was kept."""
    inputs, origin = inputs_of(bench.found)
    rows, _ = measured(bench.found)
    seconds = {row["invoices"]: row["seconds"] for row in rows if row["DAG"] == BULK}
    sizes = sorted({*MODELLED, *seconds})
    return [
        {
            "invoices": size,
            "measured, s": seconds.get(size, ""),
            "model, s": run_seconds(inputs, size),
            "an hour's worth, invoices": round(3600 * size / run_seconds(inputs, size)),
            "runs": [{"inputs": asdict(inputs), "costs of": origin}] if size == sizes[0] else [],
        }
        for size in sizes
    ]


def measured(found: Found) -> tuple[Sequence[Row], str]:
    """Return the rows of whole DAGs: of this very run, else of the newest day that was kept, else none; and whose they are."""
    if found.get("airflow"):
        return found["airflow"], "this run"
    for path in sorted(RESULTS.glob("20*.json"), reverse=True):
        sections: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["sections"]
        if sections.get("airflow"):
            return sections["airflow"], path.stem
    return (), "no measurement: stated defaults"


def inputs_of(found: Found) -> tuple[Inputs, str]:
    """Return the model's costs as far as they were measured, and where."""
    rows, origin = measured(found)
    bulk = [row for row in rows if row["DAG"] == BULK]
    if not bulk:
        return Inputs(), origin
    requests, seconds = ({row["invoices"]: row[name] for row in bulk} for name in ("requests", "seconds"))
    inputs = fitted(Inputs(), requests, seconds) if len(bulk) > 1 else Inputs()
    largest = max(bulk, key=lambda row: row["invoices"])
    for row in rows:
        if row["DAG"] == MAPPED:
            single = (row["requests"] - inputs.run_requests) / row["invoices"]
            inputs = replace(inputs, single_requests=single)
    ledger_s, kilobytes = largest["ledger, ms each"] / 1000, largest["ledger, KB each"]
    return replace(inputs, ledger_s=ledger_s, ledger_bytes=kilobytes * 1024, **_again(bulk)), origin


def _again(bulk: Sequence[Row]) -> dict[str, float]:
    """What a run spends on a payment that it knows: to collect it again, to list its invoice, and to count it."""
    few, many = (extreme(bulk, key=lambda row: row["invoices"]) for extreme in (min, max))
    more = many["invoices"] - few["invoices"]
    if not more:
        return {}
    (before, *_), (after, *_) = ([_costs(run) for run in row["runs"]] for row in (few, many))
    return {name: max(0.0, after[name] - before[name]) / more for name in after}


def _costs(run: Mapping[str, Any]) -> dict[str, float]:
    tasks = run["again"]["tasks"]
    told = {"listed_requests": run["requests again"], "kept_s": run["report_s"]}
    return {"again_s": tasks["collect"], "listed_s": tasks["match"], **told}
