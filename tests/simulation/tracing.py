"""A history as lines for a reader."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.simulation.history import (
    Act,
    Answered,
    Began,
    Changed,
    Delivered,
    Ended,
    Executed,
    History,
    Key,
    Left,
    Moved,
    Read,
    RunBegan,
    RunEnded,
    RunStopped,
    Shown,
)


def trace(history: History) -> Iterator[str]:
    """What payers meant, then every entry in order."""
    for meant in history.meant.values():
        yield f"{'':12}{meant.payment}: {meant.amount} {meant.currency} booked {meant.booked_on}, meant for {meant.invoices}"
    for entry in history.entries:
        if entry.at >= history.calm_since:
            yield f"{history.calm_since:10.3f}  -- faults stop, people go home --"
            history.calm_since = float("inf")
        yield f"{entry.at:10.3f}  {_told(entry)}"
    for row in history.settlements:
        yield f"{'':12}settlement {row['id']} of {row['kind']} invoice {row['invoice_id']}: {row['state']} {row['how'] or row['reason'] or ''}"
    for case in history.cases:
        yield f"{'':12}case {case['kind']} on settlement {case['settlement_id']}, closed {case['closed_at']}"


def _named(invoice: Key) -> str:
    return f"{invoice[0]} invoice {invoice[1]}"


def _told(entry: Any) -> str:
    match entry:
        case Shown():
            state = "gone" if entry.gone else "paid" if entry.paid else "cancelled" if entry.cancelled else "unpaid"
            state += f" (moved by {entry.mover})" if entry.mover else ""
            return f"portal     {entry.by} {entry.what}: {_named(entry.invoice)} {state} {entry.price} {entry.currency}"
        case Left():
            late = " TOO LATE" if entry.at >= entry.send_before else ""
            who = f"lane {entry.attempt} in batch {entry.batch}" if entry.batch else f"attempt {entry.attempt}"
            return f"wire       {who} pays {_named(entry.invoice)}, fence {entry.fence}{late}"
        case Executed():
            vain = "" if entry.moved else ", which moved nothing"
            vain += ", brought twice" if entry.again else ""
            who = f"batch {entry.batch}" if entry.batch else f"attempt {entry.attempt}"
            return f"portal     EXECUTED pay of {_named(entry.invoice)}, {who} fence {entry.fence}{vain}"
        case Answered():
            return f"portal     true, and {'paid' if entry.paid else 'unpaid'}"
        case Read():
            said = "paid" if entry.paid else "unpaid"
            return f"{entry.actor:10} read {_named(entry.invoice)}: {said}, as of {entry.of:.3f}"
        case Changed():
            extra = " ".join(str(each) for each in (entry.how, entry.reason, entry.hold) if each)
            return f"{entry.actor:10} settlement {entry.settlement}: {entry.before} -> {entry.after} fence {entry.fence} {extra}"
        case Moved():
            return f"{entry.actor:10} {entry.amount} of {entry.payment} promised to settlement {entry.settlement}"
        case Began():
            return f"attempt {entry.attempt:<3}begins with settlement {entry.settlement}"
        case Ended():
            return f"attempt {entry.attempt:<3}ends: {entry.state} {entry.how} {entry.trouble}"
        case RunBegan():
            return f"run {entry.run:<7}begins with settlements {', '.join(map(str, entry.settlements))}"
        case RunStopped():
            return f"run {entry.run:<7}is told to end"
        case RunEnded():
            told = (f"{each.settlement} {each.state} {each.how} {each.trouble}".rstrip() for each in entry.told)
            return f"run {entry.run:<7}ends: {entry.cause or '; '.join(told)} {' '.join(entry.broken)}"
        case Delivered():
            return f"bank       {entry.payment}: {entry.amount} {'booked' if entry.booked else 'not booked'}"
        case Act():
            return f"person     {entry.what} {entry.settlement}: {'done' if entry.done else 'refused'}"
        case _:
            return str(entry)
