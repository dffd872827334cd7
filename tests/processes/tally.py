"""What a run of kills has done, and what came of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields


@dataclass(slots=True)
class Count:
    """One way of settling over one store; `phases` is how the ledger stood when a settlement's worker was killed.

    `beside` of the kills hit workers that settled one by one beside those in bulk.
    """

    store: str
    way: str
    seed: int
    kills: int = 0
    beside: int = 0
    within_settlements: int = 0
    while_matching: int = 0
    freezes: int = 0
    portal_freezes: int = 0
    rounds: int = 0
    payments: int = 0
    paid: int = 0
    gave_up: int = 0
    sends: int = 0
    phases: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def plain(self) -> dict[str, object]:
        """For JSON."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def __str__(self) -> str:
        phases = ", ".join(f"{number} {phase}" for phase, number in self.phases.most_common())
        beside = f", {self.beside} of one by one beside" if self.beside else ""
        return (
            f"{self.store}, {self.way}: {self.kills} kills ({self.within_settlements} within a settlement: {phases}; "
            f"{self.while_matching} while matching{beside}), {self.freezes} freezes; {self.rounds} rounds, "
            f"{self.payments} payments, {self.paid} paid with {self.sends} sends; {len(self.violations)} violations"
        )
