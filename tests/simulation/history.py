"""What really happened, in order: the only thing the checker looks at. Times are seconds of the virtual world."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

# An invoice: its kind and its id, because ids of the two kinds are two spaces.
Key = tuple[str, int]


class Shown(NamedTuple):
    """The invoice as the portal has had it from this moment on; `by` is who changed it: born, us, person.

    `mover` is who brought a smart one to its stage, as the portal tells it: us, person, nobody. `lacks`: its stage of
    success asks for something that is not there. `moved_on`: it stands in an open stage, straight out of one of success.
    """

    at: float
    by: str
    what: str
    invoice: Key
    paid: bool
    cancelled: bool
    price: int
    currency: str
    number: str
    company: int | None
    voucher_number: str
    voucher_day: str
    paid_on: str
    gone: bool
    mover: str = ""
    lacks: bool = False
    moved_on: bool = False


class Left(NamedTuple):
    """The first byte of a pay left us; `batch` is the number of the request that carries others, too, 0 when it is alone."""

    at: float
    attempt: int
    settlement: int
    invoice: Key
    fence: int
    send_before: float
    batch: int = 0


class PartialLeft(NamedTuple):
    """The first byte of a move to the stage of parts left us."""

    at: float
    attempt: int
    settlement: int
    invoice: Key
    fence: int
    send_before: float


class PartialMoved(NamedTuple):
    """The portal moved the invoice to the stage of parts at our request; `was_paid`: out of paid."""

    at: float
    attempt: int
    settlement: int
    invoice: Key
    fence: int
    left_at: float
    send_before: float
    was_paid: bool


class Executed(NamedTuple):
    """The portal set the invoice paid, or set it again, at our request.

    `moved`: something came of it. A smart invoice that is in its stage of success already is moved by nothing. `again`:
    the network brought one request twice.
    """

    at: float
    attempt: int
    settlement: int
    invoice: Key
    fence: int
    left_at: float
    send_before: float
    was_paid: bool
    price: int
    currency: str
    day_before: str
    day: str
    moved: bool = True
    batch: int = 0
    again: bool = False


class Answered(NamedTuple):
    """The portal said `true` to a pay; `paid` says whether that was so at that moment."""

    at: float
    attempt: int
    settlement: int
    invoice: Key
    paid: bool


class Read(NamedTuple):
    """Somebody of ours was shown the invoice as it was at `of`, asked at `began`, answered at `at`."""

    at: float
    actor: str
    invoice: Key
    began: float
    of: float
    paid: bool


class Changed(NamedTuple):
    """A settlement's row after a durable change; `before` is None for a new one."""

    at: float
    actor: str
    settlement: int
    invoice: Key
    origin: str
    before: str | None
    after: str
    fence: int
    sends: int
    attempts: int
    hold: str | None
    how: str | None
    reason: str | None
    expected: int
    currency: str
    allocated: int
    in_flight: bool
    answered: bool
    quiet_until: float | None


class Moved(NamedTuple):
    """Money was promised to a settlement (or given back: a negative amount), durably."""

    at: float
    actor: str
    settlement: int
    payment: str
    amount: int


class Began(NamedTuple):
    at: float
    attempt: int
    settlement: int


class Ended(NamedTuple):
    """An attempt's last word; `state` is empty when it crashed or failed without one."""

    at: float
    attempt: int
    settlement: int
    state: str
    how: str
    trouble: str
    requests: int
    began: float


class Told(NamedTuple):
    """What a run reported of one settlement; `state` is empty when it was an error."""

    settlement: int
    state: str
    how: str
    trouble: str


class RunBegan(NamedTuple):
    """One task was given many settlements."""

    at: float
    run: int
    settlements: tuple[int, ...]


class RunStopped(NamedTuple):
    """Somebody told it to end: these lanes of it begin nothing more."""

    at: float
    run: int
    lanes: tuple[int, ...]


class RunEnded(NamedTuple):
    """Its last word; `cause` is why there is none. `broken`: what ended one of its `lanes` before its time."""

    at: float
    run: int
    began: float
    told: tuple[Told, ...]
    cause: str
    broken: tuple[str, ...]
    requests: int
    lanes: tuple[int, ...] = ()


class Delivered(NamedTuple):
    """A record of the bank was read into the ledger; `content` is all that proves something in it."""

    at: float
    payment: str
    content: str
    booked: bool
    amount: int


class Act(NamedTuple):
    """A person did something in the ledger, or tried to; `invoice` is what was to be paid at once."""

    at: float
    what: str
    settlement: int
    done: bool
    invoice: Key | None = None


Entry = (
    Shown
    | Left
    | PartialLeft
    | PartialMoved
    | Executed
    | Answered
    | Read
    | Changed
    | Moved
    | Began
    | Ended
    | RunBegan
    | RunStopped
    | RunEnded
    | Delivered
    | Act
)


class Meant(NamedTuple):
    """What a payer meant, which the product is never told: which invoices, and how much of each; () is none of them.

    `copies`: which invoice of the other kind bears the number of one of them. Whoever deletes or renumbers that one has
    left the other in its place. `provable`: the text and the account say so by two independent identifiers, so that no person is needed.
    """

    payment: str
    account: str
    amount: int
    currency: str
    booked_on: str
    document: str
    invoices: tuple[tuple[Key, int], ...]
    provable: bool
    content: str
    copies: tuple[tuple[Key, Key], ...] = ()


@dataclass(slots=True)
class History:
    """All of one run: the entries, what the payers meant, the limits promised, and the ledger's last rows."""

    entries: list[Entry] = field(default_factory=list)
    meant: dict[str, Meant] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)
    settlements: list[dict[str, Any]] = field(default_factory=list)
    payments: list[dict[str, Any]] = field(default_factory=list)
    allocations: list[dict[str, Any]] = field(default_factory=list)
    raws: list[dict[str, Any]] = field(default_factory=list)
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    cases: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    calm_since: float = float("inf")
    # The portal answers `true` and pays nothing now and then; `idle`: through this pay system always.
    pays_truly: bool = True
    idle: bool = False
    fault_rate: float = 0.0
