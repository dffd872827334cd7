"""The few sums that the figures are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import ceil
from statistics import median

BURST, PER_S, PAGE = 50, 2.0, 50
TIMES = {1: "once", 2: "twice"}


def middle(values: Sequence[float]) -> float:
    """Return the median, of an even number the mean of the two in the middle."""
    return float(median(values))


def ideal_s(requests: int, each_s: float, *, burst: int = BURST, per_s: float = PER_S) -> float:
    """Return the seconds that requests one after the other take at best, each `each_s` long, from a cold bucket.

    The n-th may not begin before the bucket has room for it, nor before the one ahead of it has its answer.
    """
    if requests <= 0:
        return 0.0
    waiting = max(0.0, (requests - burst) / per_s)
    return max(waiting, (requests - 1) * each_s) + each_s


def least_s(invoices: int, requests: float, at_once: int, *, write_s: float, latency_s: float, page_s: float) -> float:
    """Return the seconds that so many pays take at best, the portal's work spread evenly over the requests side by side.

    `page_s` is what a page of a list takes, 0 for who verifies nothing: each invoice is read once before and once after.
    """
    pages = 2 * ceil(invoices / PAGE)
    return (invoices * write_s + requests * latency_s + pages * page_s) / at_once


def per_thousand(requests: float, invoices: int) -> float:
    """Return the requests for 1,000 invoices."""
    return 1000 * requests / invoices


def in_order(invoice_ids: Iterable[int]) -> bool:
    """Say whether ids ascend."""
    found = list(invoice_ids)
    return found == sorted(found)


def in_words(executed: Mapping[int, int]) -> str:
    """Say how many invoices were paid how often: `{1: 450, 2: 50}` is "450 once, 50 twice"."""
    return ", ".join(f"{executed[n]} {TIMES.get(n, f'{n} times')}" for n in sorted(executed)) or "none"
