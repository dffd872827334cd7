"""A history in which all went well, and for every rule of the checker a wrong to plant in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.simulation.history import (
    Answered,
    Began,
    Changed,
    Delivered,
    Ended,
    Executed,
    History,
    Left,
    Meant,
    Moved,
    Read,
    Shown,
)

ONE, OTHER = ("legacy", 1), ("legacy", 2)
BORN = Shown(0.0, "born", "born", ONE, False, False, 11800, "RUB", "2026/1", 21, "", "", "", False)
PAID = BORN._replace(at=5.2, by="us", what="pay", paid=True, voucher_day="2026-11-20", paid_on="2026-11-20")
PAYMENT = Meant("B1", "40702", 11800, "RUB", "2026-11-18", "17", ((ONE, 11800),), True, "text")
MADE = Changed(
    2.0, "match", 1, ONE, "match", None, "ready", 0, 0, 0, None, None, None, 11800, "RUB", 11800, False, False, None
)
CLAIMED = MADE._replace(at=4.0, actor="attempt 1", before="ready", fence=1, attempts=1)
SENDING = CLAIMED._replace(at=5.0, after="sending", sends=1, in_flight=True, quiet_until=190.0)
DONE = SENDING._replace(at=6.0, before="sending", after="paid", how="sent", in_flight=False)
UNKNOWN = SENDING._replace(at=6.0, before="sending", after="unknown")
REVIEW = SENDING._replace(at=6.0, before="sending", after="review", reason="true_but_unpaid", answered=True)
EXECUTED = Executed(5.2, 1, 1, ONE, 1, 5.1, 10.0, False, 11800, "RUB", "", "2026-11-20")
HAND = PAID._replace(by="person", what="pay")
BACK = BORN._replace(by="person", what="reverse")
COLUMNS = {
    "id": 1,
    "kind": "legacy",
    "invoice_id": 1,
    "origin": "match",
    "state": "paid",
    "expected": 11800,
    "allocated": 11800,
}


def happy() -> History:
    """One payment, matched, sent, read back, paid."""
    history = History(
        entries=[
            BORN,
            Delivered(1.0, "B1", "text", True, 11800),
            Moved(2.0, "match", 1, "B1", 11800),
            MADE,
            Began(3.0, 1, 1),
            CLAIMED,
            Read(4.9, "attempt 1", ONE, 4.5, 4.7, False),
            SENDING,
            Left(5.1, 1, 1, ONE, 1, 10.0),
            EXECUTED,
            PAID,
            Answered(5.2, 1, 1, ONE, True),
            Read(5.9, "attempt 1", ONE, 5.5, 5.7, True),
            DONE,
            Ended(6.1, 1, 1, "paid", "sent", "", 3, 3.0),
        ],
        meant={"B1": PAYMENT},
        limits={"quiet_s": 185.0, "window_s": 5.0, "read_age_s": 10.0, "lag_s": 0.0, "frozen_s": 0.0},
    )
    history.settlements = [dict(COLUMNS)]
    history.payments = [
        {
            "id": 1,
            "key": "id:B1",
            "account": "40702",
            "currency": "RUB",
            "amount": 11800,
            "allocated": 11800,
            "held": False,
        }
    ]
    history.allocations = [{"settlement_id": 1, "payment_id": 1, "amount": 11800}]
    history.raws = [{"verdict": "payment", "payment_id": 1, "account": "40702", "currency": "RUB", "amount": 11800}]
    history.outcomes = [{"payment_id": 1, "verdict": "proven", "reason": "number_and_date"}]
    history.events = [
        {"settlement_id": 1, "seq": number, "what": what, "fence": min(number - 1, 1)}
        for number, what in enumerate(("allocated", "claimed", "sending", "paid"), start=1)
    ]
    return history


def place(history: History, kind: type, number: int = 0) -> int:
    return [index for index, entry in enumerate(history.entries) if type(entry) is kind][number]


def swap(kind: type, number: int = 0, **changes: Any) -> Callable[[History], None]:
    def plant(history: History) -> None:
        index = place(history, kind, number)
        history.entries[index] = history.entries[index]._replace(**changes)

    return plant


def drop(kind: type, number: int = 0) -> Callable[[History], None]:
    return lambda history: history.entries.pop(place(history, kind, number)) and None


def add(*entries: Any) -> Callable[[History], None]:
    """More entries, each after all that is not later."""

    def plant(history: History) -> None:
        history.entries = sorted([*history.entries, *entries], key=lambda entry: entry.at)

    return plant


def last(table: str, **changes: Any) -> Callable[[History], None]:
    return lambda history: getattr(history, table)[0].update(changes)


def ends(*entries: Any, **changes: Any) -> Callable[[History], None]:
    """What follows the send instead of a read-back that said paid."""

    def plant(history: History) -> None:
        kept = history.entries[: place(history, Answered) + 1]
        history.entries = sorted([*kept, *entries], key=lambda entry: entry.at)
        history.settlements[0].update(changes)

    return plant


def resent(at: float, read: Read | None = None, *, answered: bool = False) -> Callable[[History], None]:
    """The answer was lost, and a second attempt sends again."""
    claimed = UNKNOWN._replace(at=at - 2, actor="attempt 2", before="unknown", fence=2, attempts=2)
    sending = claimed._replace(at=at, after="sending", sends=2, quiet_until=at + 185)
    looked = read or Read(at - 0.5, "attempt 2", ONE, at - 1, at - 0.8, False)
    return ends(UNKNOWN._replace(answered=answered), claimed, looked, sending, state="sending")


def idle(history: History) -> None:
    history.idle = True


def second_settlement(history: History) -> None:
    history.entries.append(MADE._replace(at=7.0, settlement=2, allocated=11800))


def held_event(history: History) -> None:
    history.events.pop(2)


def released(at: float, *more: Any) -> Callable[[History], None]:
    freed = DONE._replace(at=at, actor="person", before="review", after="released", how=None, fence=2)
    review = REVIEW._replace(at=5.05)

    def plant(history: History) -> None:
        kept = [each for each in history.entries if type(each) is not Ended and each is not DONE]
        history.entries = sorted([*kept, review, freed, *more], key=lambda entry: entry.at)
        history.settlements[0]["state"] = "released"
        history.payments[0]["allocated"] = 0

    return plant


def sibling(history: History) -> None:
    other = BORN._replace(invoice=OTHER)
    cancelled = other._replace(at=2.5, by="person", what="cancel", cancelled=True)
    add(other, cancelled, Moved(2.0, "match", 2, "B1", 11800), MADE._replace(settlement=2, invoice=OTHER))(history)


def as_smart(history: History) -> History:
    """The same history of a smart invoice: it has no voucher, and tells who moved it."""
    history.entries = [_as_smart(entry) for entry in history.entries]
    for row in history.settlements:
        row["kind"] = "smart"
    for payment, meant in history.meant.items():
        meant = meant._replace(invoices=tuple((("smart", key[1]), amount) for key, amount in meant.invoices))
        history.meant[payment] = meant
    return history


def _as_smart(entry: Any) -> Any:
    if not hasattr(entry, "invoice"):
        return entry
    entry = entry._replace(invoice=("smart", entry.invoice[1]))
    if isinstance(entry, Executed):
        return entry._replace(day="", day_before="")
    if not isinstance(entry, Shown):
        return entry
    return entry._replace(voucher_number="", voucher_day="", mover="us" if entry.by == "us" else "person")


def moved_by_a_person(history: History) -> None:
    """Our call came too late and moved nothing, and yet the row says that it was ours."""
    as_smart(history)
    swap(Executed, 0, moved=False)(history)
    swap(Shown, 1, by="person", mover="person")(history)


LATE = EXECUTED._replace(
    at=300.0, attempt=2, fence=2, left_at=299.0, send_before=310.0, was_paid=True, day_before="2026-11-20"
)
LATE_SENDING = SENDING._replace(at=298.0, actor="attempt 2", before="unknown", fence=2, sends=2)
PLANTED: dict[str, Callable[[History], None]] = {
    "no_promise": drop(Changed, 2),
    "unread": swap(Read, 0, paid=True),
    "not_as_matched": add(BORN._replace(at=4.6, by="person", what="price", price=36000)),
    "read_before_claim": swap(Read, 0, began=3.5),
    "old_read": swap(Read, 0, at=4.1, began=-30.0, of=-29.0),
    "held": swap(Changed, 2, hold="amended"),
    "sibling": sibling,
    "idle": idle,
    "resend_after_true": resent(300.0, answered=True),
    "resend_unread": resent(300.0, Read(299.5, "attempt 2", ONE, 299.0, 299.2, True)),
    "resend_early": resent(100.0),
    "unasked": swap(Changed, 0, origin="manual"),
    "misdirected": swap(Left, 0, invoice=("smart", 1)),
    "attribution": moved_by_a_person,
    "executions": add(EXECUTED._replace(at=5.3)),
    "double": add(EXECUTED._replace(at=5.3, was_paid=True)),
    "voucher_moved": add(EXECUTED._replace(at=5.3, was_paid=True, day_before="2026-11-20", day="2026-11-21")),
    "against_a_person": add(
        BACK._replace(at=200.0),
        Read(297.0, "attempt 2", ONE, 296.5, 296.7, False),
        LATE_SENDING._replace(before="sending", after="unknown", sends=1, at=290.0),
        LATE_SENDING,
        LATE,
    ),
    "over_a_person": add(BORN._replace(at=3.0, by="person", what="pay", mover="person", moved_on=True)),
    "over_reversal": add(PAID._replace(at=4.8, by="us"), BACK._replace(at=5.15)),
    "orphan": last("settlements", state="ready"),
    "released_paid": released(50.0),
    "landed_after_release": released(5.15),
    "late_effect": lambda history: (
        (swap(Executed, 0, left_at=30.0, at=31.0)(history), swap(Shown, 1, at=31.0)(history), released(5.15)(history))
        and None
    ),
    "parted": released(5.15, Moved(9.0, "match", 2, "B1", 11800), MADE._replace(at=9.0, settlement=2)),
    "table": swap(Changed, 3, after="collecting"),
    "fence": swap(Changed, 3, fence=0),
    "not_read": drop(Read, 1),
    "wrong_amount": add(PAID._replace(at=5.3, by="person", what="price", price=36000)),
    "not_ours": swap(Changed, 3, sends=0),
    "how": swap(Changed, 3, how="guessed"),
    "by_hand": lambda history: (
        (swap(Changed, 3, how="by_hand")(history), swap(Shown, 1, paid_on="2026-11-01")(history)) and None
    ),
    "old_belief": swap(Changed, 3, before="ready", at=60.0),
    "reason": ends(REVIEW._replace(reason="cancelled"), state="review"),
    "unbounded": swap(Ended, 0, requests=10_000),
    "error": swap(Ended, 0, trouble="InvariantError"),
    "result": swap(Ended, 0, state="review"),
    "rows": swap(Changed, 3, after="review", reason="held", hold="amended"),
    "I1": last("payments", allocated=100),
    "I2": second_settlement,
    "covered": swap(Changed, 0, allocated=1),
    "wrong": lambda history: history.meant.update(B1=PAYMENT._replace(invoices=())),
    "wrong_invoice": add(PAID._replace(at=5.3, by="person", what="company", company=29)),
    "lost": lambda history: history.payments.clear(),
    "I4": last("raws", amount=1),
    "waits": last("settlements", state="unknown"),
    "unseen": add(BACK._replace(at=50.0)),
    "I5": held_event,
}
# What a smart invoice has not: a voucher, and a pay system.
LEGACY_ALONE = frozenset({"voucher_moved", "idle"})


def wrong_kind(history: History) -> None:
    """The id of a smart invoice is paid in the space of the legacy ones, where it is somebody else's."""
    as_smart(history)
    add(BORN)(history)
    swap(Left, 0, invoice=ONE)(history)
    swap(Executed, 0, invoice=ONE)(history)
    swap(Shown, 2, invoice=ONE, mover="")(history)


def never_in_success(history: History) -> None:
    """The portal answered with the item, and it is where it was."""
    as_smart(history)
    history.entries.pop(place(history, Shown, 1))
    history.entries.pop(place(history, Executed))


def ours_called_by_hand(history: History) -> None:
    as_smart(history)
    swap(Changed, 3, how="by_hand")(history)


PLANTED_SMART: dict[str, tuple[Callable[[History], None], str]] = {
    "a smart id is paid in the legacy space": (wrong_kind, "misdirected"),
    "a second call moved it once more": (
        lambda history: (add(EXECUTED._replace(at=5.3, was_paid=True))(history), as_smart(history)) and None,
        "double",
    ),
    "paid, and it never showed a stage of success": (never_in_success, "not_read"),
    "what a person did is called ours": (moved_by_a_person, "attribution"),
    "what our call did is called a person's": (ours_called_by_hand, "attribution"),
}
