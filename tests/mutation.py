"""The mutation score of what decides about money: how many small breaks of the code its tests notice.

    python -m tests.mutation [--only FILE] [--json]

breaks each expression of FILES in turn, in a temporary copy, and runs its tests against each break; it takes some
minutes and wants the extra `mutation`. What survived is shown as a diff. Exit code: 1 where a file scores below 90 %,
2 where nothing could be measured. A break counts as noticed only where a test fails: not where it ran out of time, nor
where no test reaches it. Random and timed tests are left out: on a busy machine they fail of themselves.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILES = (
    "airflow_b24/ledger/decide.py",
    "airflow_b24/ledger/settlement.py",
    "airflow_b24/ledger/bulk.py",
    "airflow_b24/payments/matching.py",
    "airflow_b24/payments/payable.py",
    "airflow_b24/payments/money.py",
)
TIMED = "tests/payments/test_matching.py::test_time_is_linear_even_when_all_invoices_share_a_number_and_an_amount"
LEAST_PERCENT = 90.0

# https://mutmut.readthedocs.io/: the configuration is a table of pyproject.toml.
CONFIGURATION = """
[tool.mutmut]
source_paths = ["airflow_b24/"]
only_mutate = {files}
pytest_add_cli_args = ["-n0", "-p", "no:cacheprovider", "-m", "not hypothesis", "--deselect", "{timed}"]
pytest_add_cli_args_test_selection = {tests}
use_git_change_detection = false
"""


@dataclass(frozen=True, slots=True)
class Score:
    """What became of the mutants of one file."""

    file: str
    mutants: int
    killed: int
    survived: int
    timeouts: int
    no_tests: int

    @property
    def percent(self) -> float:
        return 100 * self.killed / self.mutants if self.mutants else 0.0


def configuration(files: Sequence[str]) -> str:
    """What is broken, and the tests that judge it: those of the same name."""
    tests = [f"{Path('tests', *Path(file).parts[1:-1])}/test_{Path(file).name}" for file in files]
    return CONFIGURATION.format(files=json.dumps(files), tests=json.dumps(tests), timed=TIMED)


def prepare(folder: Path, files: Sequence[str]) -> None:
    """Copy what is broken and its tests, with the configuration of mutmut."""
    for name in ("airflow_b24", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (folder / "pyproject.toml").write_text(pyproject + configuration(files), encoding="utf-8")


def mutmut(folder: Path, *words: str) -> str:
    """Run mutmut in the copy and return what it says; it exits with a RuntimeError that holds the end of that."""
    # Its spinner floods a terminal, so that its words are captured.
    run = subprocess.run(
        [sys.executable, "-m", "mutmut", *words],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace", check=False,
    )  # fmt: skip
    if run.returncode:
        raise RuntimeError(f"mutmut {words[0]} ended with {run.returncode}:\n{run.stdout[-3000:]}")
    return run.stdout


def outcomes(told: str) -> dict[str, str]:
    """Read lines such as `airflow_b24.payments.money.x_parse_money__mutmut_1: killed`."""
    lines = (line.strip().rpartition(": ") for line in told.splitlines() if "__mutmut_" in line)
    return {mutant: outcome for mutant, _, outcome in lines}


def score(file: str, found: dict[str, str]) -> Score:
    module = file.removesuffix(".py").replace("/", ".") + "."
    counts = Counter(outcome for mutant, outcome in found.items() if mutant.startswith(module))
    told = (counts[outcome] for outcome in ("killed", "survived", "timeout", "no tests"))
    return Score(file, counts.total(), *told)


def tell(scores: list[Score]) -> None:
    titles = ("file", "mutants", "killed", "survived", "timeouts", "no tests", "score")
    rows = [(*map(str, asdict(each).values()), f"{each.percent:.1f} %") for each in scores]
    for name, *figures in (titles, *rows):
        sys.stdout.write(f"{name:<34}{''.join(f'{figure:>10}' for figure in figures)}\n")


def measure(folder: Path, files: Sequence[str], processes: int, *, as_json: bool) -> int:
    prepare(folder, files)
    mutmut(folder, "run", "--max-children", str(processes))
    found = outcomes(mutmut(folder, "results", "--all", "true"))
    scores = [score(file, found) for file in files]
    left = {mutant: mutmut(folder, "show", mutant) for mutant, outcome in found.items() if outcome != "killed"}
    if as_json:
        files = [{**asdict(each), "score": round(each.percent, 1)} for each in scores]
        sys.stdout.write(json.dumps({"files": files, "left": left}, ensure_ascii=False) + "\n")
    else:
        sys.stdout.writelines(f"{diff}\n" for diff in left.values())
        tell(scores)
    return 0 if min(each.percent for each in scores) >= LEAST_PERCENT else 1


def main() -> int:
    summary = (__doc__ or "").split("\n", maxsplit=1)[0]
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=summary)
    parser.add_argument("--only", choices=FILES, help="one file")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="how many at a time")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            files = (given.only,) if given.only else FILES
            return measure(Path(folder), files, given.processes, as_json=given.json)
        except RuntimeError as error:
            sys.stderr.write(f"{error}\n")
            return 2


if __name__ == "__main__":
    sys.exit(main())
