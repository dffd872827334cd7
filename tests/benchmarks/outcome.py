"""What a client says of what it was asked to do, and how long that took."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

# What a client says of each invoice, in the order in which it says it.
Said = MutableMapping[int, str]
PAID, LISTED = "paid", "listed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was said of which invoice, in how many seconds; `error` is what the client raised, `can` that it has such a call.

    `retry_at` is when that error says that trying again helps (Unix seconds).
    """

    said: Mapping[int, str]
    seconds: float
    error: str = ""
    can: bool = True
    retry_at: float | None = None


CANNOT = Outcome({}, 0.0, can=False)
# Told when a client is ready, so that what loading takes counts for nothing.
WHEN_READY: list[Callable[[], object]] = []


def timed(work: Callable[[Said], None]) -> Outcome:
    """Let a client work, which is ready and has not connected yet; `work` writes down what it says as it says it."""
    said: dict[int, str] = {}
    for tell in WHEN_READY:
        tell()
    error, retry_at, began = "", None, time.perf_counter()
    try:
        work(said)
    except Exception as raised:  # noqa: BLE001 - whatever a client raises is what it has to say
        error = f"{type(raised).__name__}: {raised}"[:200]
        named = getattr(raised, "retry_at", None)
        retry_at = named.timestamp() if named else None
    return Outcome(said, time.perf_counter() - began, error, retry_at=retry_at)


def in_threads(work: Callable[[Sequence[int]], None], chunks: Sequence[Sequence[int]], concurrency: int) -> None:
    """Hand the chunks to so many threads; the first error is raised when all of them are done."""
    with ThreadPoolExecutor(concurrency) as pool:
        futures = [pool.submit(work, chunk) for chunk in chunks]
    for future in futures:
        future.result()


def chunked(invoice_ids: Sequence[int], size: int = 50) -> list[Sequence[int]]:
    """Cut into batches."""
    return [invoice_ids[start : start + size] for start in range(0, len(invoice_ids), size)]
