"""One measurement: a fresh portal, a client in a process of its own, and an end to it whatever the client does."""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from airflow_b24.sandbox.server import Addresses
from tests.benchmarks.arithmetic import in_words, middle
from tests.benchmarks.outcome import WHEN_READY, Outcome
from tests.benchmarks.portal import Certified, Report, Setup, open_portal
from tests.benchmarks.scale import Scale
from tests.processes.children import Children

T = TypeVar("T")
Row = dict[str, Any]
# A client by its name, and the file of ours that speaks with it.
CLIENTS: Mapping[str, str] = {
    "ours": "ours",
    "fast_bitrix24": "fast_client",
    "b24pysdk": "sdk_client",
    "b24api": "api_client",
    "bare loop": "bare_loop",
}
PEERS = ("fast_bitrix24", "b24pysdk", "b24api")
START_S, READY = 60.0, "ready"


@dataclass(frozen=True, slots=True)
class Task:
    """What a client is asked to do, on which portal, and after how many seconds it is ended."""

    client: str
    function: str
    arguments: tuple[Any, ...]
    setup: Setup
    limit_s: float
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measured:
    """Every repetition of one task: what the client said, None where it was ended, and what its portal saw."""

    task: Task
    runs: Sequence[tuple[Outcome | None, Report]]

    @property
    def outcomes(self) -> list[Outcome]:
        return [outcome for outcome, _ in self.runs if outcome is not None]

    @property
    def ended(self) -> bool:
        """Whether it ran out of time, which is measured once."""
        return len(self.outcomes) < len(self.runs)

    @property
    def can(self) -> bool:
        return all(outcome.can for outcome in self.outcomes)

    @property
    def seconds(self) -> float | None:
        return None if self.ended or not self.can else middle([outcome.seconds for outcome in self.outcomes])

    @property
    def requests(self) -> float:
        return middle([report.requests for _, report in self.runs])

    @property
    def refused(self) -> float:
        return middle([report.refused for _, report in self.runs])

    def row(self, **more: object) -> Row:
        """Return the columns that every section has, and `runs` with everything that was seen."""
        row: Row = {"client": self.task.client, **more, "seconds": self.seconds, "requests": self.requests}
        return {**row, "503": self.refused, "executed": self.executed, "said": self.said, "runs": self._raw()}

    @property
    def executed(self) -> str:
        return _each(in_words(report.executed) for _, report in self.runs)

    @property
    def said(self) -> str:
        if not self.can:
            return "cannot do this"
        return _each(_spoken(outcome, self.task) for outcome, _ in self.runs)

    def _raw(self) -> list[dict[str, object]]:
        return [_plain(outcome, report) for outcome, report in self.runs]


def _each(words: Any) -> str:
    return " / ".join(dict.fromkeys(words))


def _spoken(outcome: Outcome | None, task: Task) -> str:
    if outcome is None:
        return f"ended after {task.limit_s:.0f} s"
    words = [f"{count} {word}" for word, count in Counter(outcome.said.values()).items()]
    words += [f"{silent} silent"] if (silent := task.setup.invoices - len(outcome.said)) else []
    return ", ".join(words + ([outcome.error.partition(":")[0]] if outcome.error else []))


def _plain(outcome: Outcome | None, report: Report) -> dict[str, object]:
    seen: dict[str, object] = {"requests": report.requests, "503": report.refused, "renewals": report.renewals}
    seen |= {"executed": report.executed, "methods": report.methods}
    if outcome is None:
        return {"ended": True, **seen}
    said = dict(Counter(outcome.said.values()))
    return {"seconds": round(outcome.seconds, 4), "said": said, "error": outcome.error, **seen}


def _is_done(outcome: Outcome | None) -> bool:
    return outcome is not None and outcome.can


def load(ca_file: Path) -> None:
    """Load every client once, before any process is started, so that no clock and no limit counts it."""
    trust = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), str(ca_file))
    os.environ.update({**trust, **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1")})
    for name in (*(f"tests.benchmarks.{each}" for each in CLIENTS.values()), "airflow_b24.ledger.migrations"):
        importlib.import_module(name)


@dataclass(slots=True)
class Bench:
    """Where clients are measured: how large, and with whose hands; `found` are the rows of the sections before."""

    children: Children
    scale: Scale
    certified: Certified
    found: dict[str, list[Row]] = field(default_factory=dict)

    def measure(self, task: Task) -> Measured:
        """Repeat a task for its time's sake, each time on a fresh portal."""
        return self._repeated(task, self.scale.repetitions)

    def count(self, task: Task) -> Measured:
        """Repeat a task for the sake of what happens, each time on a fresh portal."""
        return self._repeated(task, self.scale.counts)

    def _repeated(self, task: Task, times: int) -> Measured:
        """What runs out of time, or cannot be done, is not repeated."""
        runs = [self._once(task)]
        while len(runs) < times and _is_done(runs[-1][0]):
            runs.append(self._once(task))
        measured = Measured(task, runs)
        shown = "-" if measured.seconds is None else f"{measured.seconds:.2f} s"
        sys.stderr.write(f"{task.client} {task.function}: {shown}, {measured.said}\n")
        return measured

    def _once(self, task: Task) -> tuple[Outcome | None, Report]:
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            folder = Path(name)
            with open_portal(self.children, task.setup, self.certified) as portal:
                outcome = ask(self.children, lambda ready: perform(task, portal.addresses, folder, ready), task.limit_s)
                return outcome, portal.end()


def ask(children: Children, question: Callable[[Callable[[], object]], T], limit_s: float) -> T | None:
    """Return the answer of a child, None when it took longer than that from when it said that it was ready.

    Either way the child is gone afterwards. Raises RuntimeError when it died, or never became ready.
    """
    inbox, outbox = multiprocessing.Pipe(duplex=False)
    with inbox:
        pid = children.start(lambda: outbox.send(question(lambda: outbox.send(READY))))
        outbox.close()
        try:
            answer: T | None = _heard(inbox, limit_s)
        except EOFError:
            raise RuntimeError("a client's process ended without an answer: see its traceback above") from None
        finally:
            children.kill(pid)
    return answer


def _heard(inbox: Any, limit_s: float) -> Any:
    if not inbox.poll(START_S):
        raise RuntimeError(f"a client was not ready after {START_S:.0f} s")
    first = inbox.recv()
    if first != READY:
        return first
    return inbox.recv() if inbox.poll(limit_s) else None


def perform(task: Task, addresses: Addresses, folder: Path, ready: Callable[[], object]) -> Outcome:
    """Be the client, in a process of its own."""
    WHEN_READY.append(ready)
    os.environ.update(task.environment)
    logging.disable()
    module = importlib.import_module(f"tests.benchmarks.{CLIENTS[task.client]}")
    os.chdir(folder)
    outcome: Outcome = getattr(module, task.function)(addresses, *task.arguments)
    return outcome
