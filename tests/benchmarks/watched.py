"""One Airflow command in this process, watched: when it was in the ledger, and how much memory it took.

    python -m tests.benchmarks.watched FILE dags test ...

The product knows nothing of it: what is watched is put around the ledger's transactions from outside.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airflow_b24.ledger.store import Store

Spell = tuple[str, float, float]


class Watch:
    """Spells in the ledger, each of (`ledger`, `pace` or `opening`, the time it began, seconds), in any thread."""

    def __init__(self) -> None:
        self.spells: list[Spell] = []
        self.memory_before_kb = 0
        self._here = threading.local()

    def install(self) -> None:
        """Stand around every transaction of this process's ledgers."""
        for name in ("transaction", "snapshot"):
            setattr(Store, name, self._around(getattr(Store, name)))
        Store.open = self._around_opening(Store.open)  # type: ignore[method-assign]

    def _around(self, honest: Any) -> Any:
        @contextmanager
        def watched(store: Store) -> Iterator[Any]:
            kind = "pace" if str(store.engine.url.database).endswith("-pace") else "ledger"
            with self._spell(kind), honest(store) as connection:
                yield connection

        return watched

    def _around_opening(self, honest: Any) -> Any:
        def watched(url: Any) -> Any:
            self.memory_before_kb = self.memory_before_kb or memory_kb("VmRSS")
            with self._spell("opening"):
                return honest(url)

        return watched

    @contextmanager
    def _spell(self, kind: str) -> Iterator[None]:
        """Opening is made of transactions: the outermost counts."""
        if getattr(self._here, "inside", False):
            yield
            return
        self._here.inside, began, clock = True, time.time(), time.perf_counter()
        try:
            yield
        finally:
            self._here.inside = False
            self.spells.append((kind, began, time.perf_counter() - clock))

    def save(self, path: Path) -> None:
        """Write down what was seen."""
        memory = {"peak_kb": memory_kb("VmHWM"), "before_kb": self.memory_before_kb}
        path.write_text(json.dumps({**memory, "spells": self.spells}), encoding="utf-8")


def memory_kb(name: str) -> int:
    """Return this process's memory: VmRSS is what it holds now, VmHWM the most that it ever held."""
    # man proc_pid_status; getrusage would count what the process was forked from.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.findall(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)[0])


def main() -> None:
    """Be Airflow."""
    path, arguments = Path(sys.argv[1]), sys.argv[2:]
    watch = Watch()
    watch.install()
    # After the home is known.
    from airflow.__main__ import main as airflow

    sys.argv = ["airflow", *arguments]
    try:
        airflow()
    finally:
        watch.save(path)


if __name__ == "__main__":
    main()
