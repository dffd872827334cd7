"""What a lane asks for: the effects of settling many invoices at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Final, TypeAlias

from airflow_b24.ledger.facts import Answered, Decision, Fact, Key, Refused, Row, Unknown
from airflow_b24.ledger.settlement import Effect, Settled, rests_on_old

# The reason of a refusal that is none of the invoice, but of asking for many at once.
ALONE: Final = "alone"

Told: TypeAlias = Answered | Refused | Unknown


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows that were claimed and then read, and when the reading began."""

    rows: tuple[Row, ...] = ()
    seen: Mapping[Key, Fact] = field(default_factory=dict)
    read_at: float = 0.0

    def deal(self, lanes: int, size: int) -> list[Chunk]:
        """Deal it out evenly to as few lanes as can pay it in a request each; the others begin with nothing."""
        busy = min(lanes, ceil(len(self.rows) / size))
        dealt = [Chunk(self.rows[start::busy], self.seen, self.read_at) for start in range(busy)]
        return [*dealt, *[Chunk()] * (lanes - busy)]


@dataclass(frozen=True, slots=True)
class Next:
    """The ids of the next chunks, each as many as one request should pay: `first` ones, then new ones. -> tuple[int, ...]"""

    first: tuple[int, ...]
    chunks: int = 1


@dataclass(frozen=True, slots=True)
class ClaimAll:
    """Raise the fence of each and get the rows, as `Claim` does. -> Sequence[Row]"""

    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CommitAll:
    """Move each row if our fence still holds; `read_at` is the age check of what rests on a read. -> CommittedAll"""

    decided: tuple[tuple[Row, Decision], ...]
    read_at: float | None = None

    def is_stale(self, oldest: float) -> bool:
        """Say whether anything is to be sent, or believed, on a reading before `oldest`, or of nobody knows when."""
        return rests_on_old(self.decided, self.read_at, oldest)


@dataclass(frozen=True, slots=True)
class CommittedAll:
    """The moved rows by id; None when another attempt was faster, or why it cannot be sent. Stale: nothing was moved."""

    rows: Mapping[int, Row | Refused | None]
    send_before: float | None = None
    stale: bool = False


@dataclass(frozen=True, slots=True)
class ExchangeAll:
    """Ask the portal, in one request: pay these, then read those. -> ExchangedAll

    Its slot is reserved, unless it is `paced`: then it waits for its turn by itself, and being refused is an answer.
    """

    pays: tuple[Row, ...]
    reads: tuple[Row, ...]
    send_before: float | None = None
    paced: bool = False


@dataclass(frozen=True, slots=True)
class ExchangedAll:
    """The answer to each pay, what the invoices show (one that no list shows is left out), when it began."""

    answers: Mapping[Key, Told]
    seen: Mapping[Key, Fact]
    began: float


@dataclass(frozen=True, slots=True)
class Report:
    """These have come as far as they can in this run. -> None"""

    settled: tuple[Settled, ...]


@dataclass(frozen=True, slots=True)
class Leave:
    """These are to be settled one by one. -> None"""

    ids: tuple[int, ...]


LaneEffect: TypeAlias = Effect | Next | ClaimAll | CommitAll | ExchangeAll | Report | Leave
