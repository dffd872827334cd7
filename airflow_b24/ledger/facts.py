"""What is decided about: a settlement as the ledger has it, what the portal shows and answers, and the decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, Literal, TypeAlias

from airflow_b24.ledger.states import RESTORED, State

# An invoice of a portal, or a payment of an order: the ids of each kind are a space of their own.
Kind: TypeAlias = Literal["legacy", "smart", "payment"]
Key: TypeAlias = tuple[Kind, int]

# What a call went through, as the ledger writes it: a payment document, or an order's payment by its pay system.
DOCUMENT: Final = "document:"
ORDER: Final = "order:"
# A payment that is marked unpaid again forgets that it was paid, and by whom.
TRACELESS: Final = (DOCUMENT, ORDER)


@dataclass(frozen=True, slots=True)
class Sibling:
    """Another settlement that the same payment is for."""

    id: int
    kind: Kind
    invoice_id: int
    state: State
    expected: int
    currency: str
    sends: int
    in_flight: bool
    answered: bool
    hold: str | None
    reason: str | None
    identity: Mapping[str, str] | None

    @property
    def key(self) -> Key:
        return self.kind, self.invoice_id

    @property
    def may_have_run(self) -> bool:
        """Say whether a call for it ran, or may have: one that was refused did not."""
        return self.sends > 0 and (self.in_flight or self.answered or self.state is State.PAID)


@dataclass(frozen=True, slots=True)
class Row:
    """What the ledger knows of one settlement at the moment of its claim."""

    id: int
    portal_id: int
    kind: Kind
    invoice_id: int
    invoice_number: str
    origin: str
    state: State
    fence: int
    expected: int
    currency: str
    exponent: int
    created_at: datetime
    claimed_at: datetime
    allocated: int = 0
    attempts: int = 0
    sends: int = 0
    in_flight: bool = False
    answered: bool = False
    # What it was last sent through: a pay system's id, `handler:code` or `stage:id`.
    pay_system: str = ""
    hold: str | None = None
    how: str | None = None
    reason: str | None = None
    identity: Mapping[str, str] | None = None
    snapshot: Mapping[str, str] | None = None
    quiet_until: datetime | None = None
    booked_on: date | None = None
    document_number: str = ""
    siblings: tuple[Sibling, ...] = ()

    @property
    def key(self) -> Key:
        return self.kind, self.invoice_id

    @property
    def may_land(self) -> bool:
        """Say whether a call may land that nobody has heard of yet: ours, or one of the ledger this is a copy of."""
        return self.in_flight or self.reason == RESTORED

    @property
    def partial_may_land(self) -> bool:
        """Say whether a move to the stage of parts may still land, which would un-pay what is paid by then."""
        # Nothing was sent yet: the quiet time can only be that of such a move.
        return self.sends == 0 and self.quiet_until is not None and self.claimed_at < self.quiet_until

    @property
    def leaves_no_trace(self) -> bool:
        """Say whether what it was sent through is as before once a person has taken it back."""
        return self.pay_system.startswith(TRACELESS)

    @property
    def is_open_ended(self) -> bool:
        """Say whether a call is under way, or was when somebody last looked, whose outcome nobody knows."""
        return self.state in {State.SENDING, State.UNKNOWN}

    @property
    def unread_siblings(self) -> tuple[Sibling, ...]:
        """What must be read before this is sent: once a call for one of them may have run, each is on its own."""
        return () if any(sibling.may_have_run for sibling in self.siblings) else self.siblings

    @property
    def beside(self) -> tuple[Key, ...]:
        """The other invoices of its payment, to be read with its own: a call that was begun is looked for alone."""
        return tuple(sibling.key for sibling in self.unread_siblings) if self.state is State.READY else ()


@dataclass(frozen=True, slots=True)
class Seen:
    """What the portal shows of the invoice; `amount` in minor units, None when it is not exact in them.

    `paid_by_us` is None where the portal does not tell for sure who marked it paid; `lacks` is a reason for which it
    cannot be. `moved_on`: a robot, as it seems, has moved it on out of paid.
    """

    paid: bool
    cancelled: bool
    amount: int | None
    currency: str
    paid_on: date | None = None
    voucher_number: str = ""
    identity: Mapping[str, str] | None = None
    marks: Mapping[str, str] | None = None
    paid_by_us: bool | None = None
    lacks: str | None = None
    moved_on: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """The call did not run. `repeatable`: it may be made again, in `wait_s` seconds if that is known.

    Durations, not times: the ledger's clock and a worker's need not agree.
    """

    code: str
    text: str
    repeatable: bool
    reason: str = "portal_refused"
    wait_s: float | None = None
    cause: Exception | None = None
    # The portal has no time for anybody: that says nothing of the invoice, and such a claim does not count.
    is_busy: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """No clear answer came: a call may have run."""

    text: str
    cause: Exception | None = None
    # Nothing of what was asked together came back: that says nothing of any one invoice, and such a reading does not count.
    is_of_all: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """The portal answered `true`, which proves nothing."""


Fact: TypeAlias = Seen | Refused | Unknown


@dataclass(frozen=True, slots=True)
class Decision:
    """The next state and why."""

    state: State
    how: str | None = None
    reason: str | None = None
    in_flight: bool | None = None
    answered: bool | None = None
    attempts: int | None = None
    look_again: bool = False
    # A person has decided on what was seen: it is remembered as what it was then.
    is_told: bool = False
    evidence: Mapping[str, Any] | None = None
