"""`python -m tests.simulation --seeds N`: run seeds, print what came of them; one seed prints its whole story."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from tests.simulation.ablations import GUARDS
from tests.simulation.checker import check
from tests.simulation.crowds import SETTLINGS
from tests.simulation.offices import KINDS
from tests.simulation.rules_paths import TABLE
from tests.simulation.running import Tally, clock, commit, run, simulate, stage
from tests.simulation.tracing import trace

# Ways through the table that no run can take, each with its reason; there is none.
NEVER_TAKEN: set[tuple[str, str]] = set()
MOST_SHOWN = 10


def main() -> int:
    """Return 0 when nothing was violated."""
    options = _options()
    guards = tuple(name for name in options.without.split("+") if name)
    if options.seeds == 1 and options.store != "both" and not options.json:
        return _tell(options, guards)
    began = clock()
    where = {
        "jobs": options.jobs,
        "store": options.store,
        "mode": options.mode,
        "guards": guards,
        "kinds": options.kinds,
        "settling": options.settling,
    }
    tally = run(options.seeds, options.start, tells=True, **where)
    found = _summary(tally, options, clock() - began)
    print(json.dumps(found, ensure_ascii=False, indent=2) if options.json else _text(found))
    return 1 if tally.failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--start", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--store", choices=("dict", "sqlite", "both"), default="dict", help="both: and compare")
    parser.add_argument("--mode", choices=("safety", "liveness"), default="safety")
    parser.add_argument("--kinds", choices=KINDS, default="mixed", help="of invoices; mixed: each world draws its own")
    parser.add_argument(
        "--settling", choices=SETTLINGS, default="mixed", help="one by one, many in a request, or drawn"
    )
    parser.add_argument("--without", default="", metavar="GUARD", help=f"joined by +: {', '.join(GUARDS)}")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _tell(options: argparse.Namespace, guards: tuple[str, ...]) -> int:
    with stage(options.store, guards) as books:
        history = simulate(options.start, books, options.mode, options.kinds, options.settling)
    verdict = check(history)
    print("\n".join(trace(history)))
    for violation in verdict.violations:
        print(f"VIOLATION {violation.rule} at {violation.at:.3f} s: {violation.text}")
    print(f"residuals {dict(verdict.residuals)}, {len(verdict.violations)} violations, commit {commit()}")
    return 1 if verdict.violations else 0


def _summary(tally: Tally, options: argparse.Namespace, seconds: float) -> dict[str, Any]:
    provable, avoidable = tally.provable[0.1], tally.avoidable[0.1]
    return {
        "seeds": tally.seeds,
        "start": options.start,
        "store": options.store,
        "mode": options.mode,
        "kinds": options.kinds,
        "settling": options.settling,
        "without": options.without,
        "commit": commit(),
        "seconds": round(seconds, 1),
        "ms_per_seed": round(seconds * 1000 * options.jobs / max(tally.seeds, 1), 2),
        "pays_executed": tally.executed.total(),
        "pays_by_kind": dict(sorted(tally.executed.items())),
        "partial": dict(tally.partial),
        "pays_in_bulk": tally.bulk["pays"],
        "bulk": dict(tally.bulk),
        "failed_seeds": tally.failures,
        "violations": dict(tally.rules),
        "first": {seed: f"{each.rule}: {each.text}"[:400] for seed, each in sorted(tally.failed.items())[:MOST_SHOWN]},
        # Lines for kept_seeds.txt, to be added by whoever has understood them: the suite replays them for ever.
        "keep": [
            f"{options.mode} {seed} {options.kinds} {options.settling} # {each.rule}"
            for seed, each in sorted(tally.failed.items())[:MOST_SHOWN]
        ],
        "residuals": dict(tally.residuals),
        "provable_at_10_percent": provable,
        "avoidable_reviews_at_10_percent": avoidable,
        "avoidable_share": avoidable / provable if provable else 0.0,
        "reviews": dict(tally.reviews.most_common()),
        "edges": {f"{before} -> {after}": count for (before, after), count in tally.edges.most_common()},
        "edges_not_taken": sorted(f"{edge[0]} -> {edge[1]}" for edge in _missing(tally)),
    }


def _missing(tally: Tally) -> set[tuple[str, str]]:
    return {(str(before), after) for before, after in TABLE} - set(tally.edges) - NEVER_TAKEN


def _text(found: dict[str, Any]) -> str:
    lines = [f"{name:34}{value}" for name, value in found.items() if not isinstance(value, dict) and name != "keep"]
    for name in ("pays_by_kind", "partial", "bulk", "edges", "reviews", "residuals", "violations"):
        lines.append(f"{name}:")
        lines += [f"  {what:32}{count}" for what, count in found[name].items()]
    for seed, text in found["first"].items():
        lines.append(
            f"FAILED --mode {found['mode']} --kinds {found['kinds']} --settling {found['settling']} --start {seed} --seeds 1  "
            f"(commit {found['commit']})\n  {text}"
        )
    if found["keep"]:
        lines += [
            "To keep, once understood, in tests/simulation/kept_seeds.txt:",
            *(f"  {line}" for line in found["keep"]),
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
