"""`python -m tests.secrets --scenarios 10000`: so many failing scenarios, every sink searched for every canary."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import cycle, islice
from pathlib import Path

from tests.secrets import scenarios, sinks
from tests.secrets.search import Hit, hits


def main() -> int:
    """Print what was searched and what was found; 1 when anything was."""
    parser = argparse.ArgumentParser("python -m tests.secrets", description=__doc__)
    parser.add_argument("--scenarios", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    options = parser.parse_args()
    began, found, searched, failed = time.monotonic(), Counter[str](), 0, 0
    with ProcessPoolExecutor(options.jobs) as pool:
        parts = [(options.seed, number, options.scenarios, options.jobs) for number in range(options.jobs)]
        for each in pool.map(_part, *zip(*parts, strict=True)):
            found += each[0]
            searched, failed = searched + each[1], failed + each[2]
    result = {"scenarios": options.scenarios, "failed": failed, "bytes": searched, "hits": found.total()}
    result |= {"seed": options.seed, "seconds": round(time.monotonic() - began)}
    for where, count in found.most_common():
        print(f"{count:6} {where}")  # noqa: T201
    print(json.dumps(result) if options.json else ", ".join(f"{name} {value}" for name, value in result.items()))  # noqa: T201
    return 1 if found else 0


def _part(seed: int, first: int, count: int, jobs: int) -> tuple[Counter[str], int, int]:
    found, searched, failed = Counter[str](), 0, 0
    with tempfile.TemporaryDirectory() as folder, scenarios.stage(Path(folder)) as stage:
        # There are more than ten thousand; beyond all of them they come again, against the ledger as it is by then.
        for scenario in islice(cycle(scenarios.scenarios(seed)), first, count, jobs):
            given = scenarios.play(stage, scenario)
            searched, failed = searched + sum(map(len, given.values())), failed + bool(given["error"])
            found.update(_where(hit, str(scenario)) for hit in hits(given))
        left = sinks.files(Path(folder))
        found.update(_where(hit, "the ledger") for hit in hits(left))
    return found, searched + sum(map(len, left.values())), failed


def _where(hit: Hit, scenario: str) -> str:
    return f"{hit.canary} in {hit.sink} ({hit.how}): {scenario}"


if __name__ == "__main__":
    raise SystemExit(main())
