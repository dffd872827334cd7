"""A model of what saturates first: arithmetic alone, from what was measured on a sandbox and what has to be assumed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from tests.benchmarks.arithmetic import BURST, PER_S

RUN_EVERY_S: Final = 900.0
# docs (limits): 480 s of run time in ten minutes, for each method of a portal.
OPERATING_SHARE: Final = 480 / 600
# collect reads again what was booked so lately, match lists what was paid so lately; the report counts all that is kept.
OVERLAP_DAYS: Final = 7
LISTED_DAYS: Final = 45
MONTH_DAYS: Final = 30
# Of the burst our pace leaves that much unused.
MARGIN: Final = 5
# So many are as good as any number.
ANY: Final = 10**10


@dataclass(frozen=True, slots=True)
class Inputs:
    """What one invoice and one run cost; seconds, requests and bytes.

    Measured on the sandbox: `run_*` of a run in bulk without anything new, `invoice_*` of an invoice on top of that; in
    every run `again_s` for each payment that the bank tells again in the overlap, `listed_*` for each invoice that was
    paid lately, `kept_s` for each payment that the ledger holds. Assumed, for no live portal was asked and no such
    Airflow was built: `pay_s` and `batch_s`, what a pay takes the portal, alone and with its share of a batch; `lanes`
    of such batches; `task_s` of a processor to start a task, how many processors there are, and how many writers
    PostgreSQL lets in at once.
    """

    run_s: float = 9.0
    run_requests: float = 18.0
    invoice_s: float = 0.0045
    invoice_requests: float = 0.0415
    single_requests: float = 3.0
    ledger_s: float = 0.004
    ledger_bytes: float = 4200.0
    again_s: float = 0.00015
    listed_s: float = 0.00025
    listed_requests: float = 0.0009
    kept_s: float = 0.000015
    pay_s: float = 0.04
    batch_s: float = 0.042
    lanes: int = 4
    task_s: float = 2.0
    tasks: int = 4
    processors: int = 2
    writers: int = 8
    months_kept: int = 12


@dataclass(frozen=True, slots=True)
class Load:
    """So many portals, each with so many invoices a month, which come in within so many hours of so many days."""

    portals: int
    invoices: float
    hours: float = 24.0
    days: float = 30.0

    @property
    def seconds(self) -> float:
        """In which all of a month is to be done."""
        return self.days * self.hours * 3600

    @property
    def runs(self) -> float:
        """Of one portal in that time."""
        return self.seconds / RUN_EVERY_S


@dataclass(frozen=True, slots=True)
class Use:
    """How much of a limit a load takes, 1 being all of it; and the most invoices a month of a portal, at as many portals,
    and the most portals, at as many invoices, that leave it whole.
    """

    limit: str
    share: float
    most_invoices: float
    most_portals: float


def uses(inputs: Inputs, load: Load) -> list[Use]:
    """Return the use of every limit, the one that saturates first at the head."""
    found = [_use(inputs, load, limit) for limit in shares(inputs, load)]
    return sorted(found, key=lambda use: (-use.share, use.limit))


def _use(inputs: Inputs, load: Load, limit: str) -> Use:
    def share(**changed: float) -> float:
        return shares(inputs, replace(load, **changed))[limit]  # type: ignore[arg-type]

    most_invoices = _most(lambda many: share(invoices=many))
    return Use(limit, share(), most_invoices, _most(lambda many: share(portals=many)))


def _most(share: Callable[[int], float]) -> float:
    """Return up to how many a share, which only grows, leaves a limit whole."""
    if share(ANY) <= 1:
        return float("inf")
    return max(bisect_right(range(ANY), 1.0, key=share) - 1, 0)


def shares(inputs: Inputs, load: Load) -> dict[str, float]:
    """Return the use of each limit, 1 being all of it."""
    return {**_of_a_portal(inputs, load), **_of_all(inputs, load)}


def _of_a_portal(inputs: Inputs, load: Load) -> dict[str, float]:
    requests = load.runs * (inputs.run_requests + inputs.listed_requests * _listed(load))
    room = PER_S * load.seconds
    runs_s = load.runs * (inputs.run_s + _known_s(inputs, load))
    runs_s += (inputs.invoice_s + inputs.batch_s / inputs.lanes) * load.invoices
    return {
        "requests to a portal, in bulk": (requests + inputs.invoice_requests * load.invoices) / room,
        "requests to a portal, one by one": (requests + inputs.single_requests * load.invoices) / room,
        "operating time of a portal's pay": inputs.pay_s * load.invoices / (OPERATING_SHARE * load.seconds),
        "operating time of batch, where it is billed": inputs.batch_s
        * load.invoices
        / (OPERATING_SHARE * load.seconds),
        "time of a portal's runs, one after the other": runs_s / load.seconds,
    }


def _of_all(inputs: Inputs, load: Load) -> dict[str, float]:
    written = load.portals * inputs.ledger_s * load.invoices / load.seconds
    started = load.portals * load.runs * inputs.tasks * inputs.task_s / load.seconds
    read = load.portals * load.runs * _known_s(inputs, load) / load.seconds
    return {
        "the writer of an SQLite ledger": written,
        f"{inputs.writers} writers of a PostgreSQL ledger": written / inputs.writers,
        f"{inputs.processors} processors, starting Airflow's tasks": started / inputs.processors,
        f"{inputs.processors} processors, reading again what was read before": read / inputs.processors,
    }


def _listed(load: Load) -> float:
    """How many invoices a run lists because they were paid lately."""
    return load.invoices * LISTED_DAYS / MONTH_DAYS


def _known_s(inputs: Inputs, load: Load) -> float:
    """What one run spends on what earlier ones have dealt with: of its portal, and of all that share the ledger."""
    again, kept = load.invoices * OVERLAP_DAYS / MONTH_DAYS, load.portals * load.invoices * inputs.months_kept
    return inputs.again_s * again + inputs.listed_s * _listed(load) + inputs.kept_s * kept


def run_seconds(inputs: Inputs, invoices: int) -> float:
    """Return how long one run takes that finds so many new invoices and pays them in bulk, from a cold bucket.

    While its lanes wait for the bucket the portal works on what they have sent.
    """
    requests = inputs.run_requests + inputs.invoice_requests * invoices
    waiting, working = (requests - (BURST - MARGIN)) / PER_S, inputs.batch_s * invoices / inputs.lanes
    return inputs.run_s + inputs.invoice_s * invoices + max(waiting, working)


def fitted(inputs: Inputs, requests: Mapping[int, float], seconds: Mapping[int, float]) -> Inputs:
    """Return the inputs with the costs that a curve tells, by number of invoices: its two ends are met, no more.

    Whatever lies between the ends is what the model can be tried on.
    """
    few, many = min(seconds), max(seconds)
    each, run = _line(few, requests[few], many, requests[many])
    bare = replace(inputs, run_requests=run, invoice_requests=each, run_s=0.0, invoice_s=0.0)
    each, run = _line(few, seconds[few] - run_seconds(bare, few), many, seconds[many] - run_seconds(bare, many))
    return replace(bare, run_s=run, invoice_s=each)


def _line(few: float, low: float, many: float, high: float) -> tuple[float, float]:
    """Slope and height of the line through two points; through one point it is flat."""
    slope = (high - low) / (many - few) if many > few else 0.0
    return slope, low - slope * few
