"""What can be set about the sandbox's portal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

BilledTo = Literal["methods", "batch", "both"]


@dataclass(slots=True)
class Settings:
    """Knobs of the sandbox; seconds are simulated server work, 0 means as fast as it goes."""

    rate_limit: bool = True
    # A request takes its latency, each of its commands what its kind takes, and counting comes on top of a list.
    latency_s: float = 0.0
    read_s: float = 0.0
    list_s: float = 0.0
    # A pay, a move and whatever else changes something.
    write_s: float = 0.0
    count_s: float = 0.0
    # How many requests the portal works on at once, as it has so many PHP workers; 0 is no bound.
    workers: int = 0
    operating: bool = True
    # docs (limits), source-derived: a batch is billed to the methods in it, and `batch` itself never.
    # Measured on a box with a later version (b24jssdk#539): to `batch` alone. `both` is the worst of the two.
    operating_billed_to: BilledTo = "methods"
    integer_time: bool = False
    language: str = "en"
    crm_module: bool = True
    legacy_invoices: bool = True
    smart_invoices: bool = True
    smart_batch_refused: bool = False
    smart_plan_restricted: bool = False
    paid_order_moves_stage: bool = False
