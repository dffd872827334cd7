"""The judge: the portal's books against the ledger's rows, read by plain SQL; it shares no code with the product."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import create_engine, text

from tests.processes.stories import Story

Rows = list[dict[str, Any]]
OPEN = frozenset({"collecting", "ready", "sending", "unknown"})
# Trying was given up in time, and a person is asked: no harm, but counted.
PATIENCE_LOST = frozenset({"gave_up"})
# A call may be under way; it is about to be.
AT_STAKE = ("sending", "claimed")


@dataclass(frozen=True, slots=True)
class Ledger:
    """All rows that matter, as they lie in the database."""

    settlements: Rows
    events: Rows
    allocations: Rows
    payments: Rows


@dataclass(slots=True)
class Verdict:
    """What is wrong, in words; beside it what a person had to be asked, and what the portal itself did too late."""

    violations: list[str] = field(default_factory=list)
    gave_up: int = 0
    paid: int = 0


def read(url: str) -> Ledger:
    """Read the ledger as it lies there."""
    engine = create_engine(url)
    with engine.connect() as connection:
        tables = [
            [dict(row) for row in connection.execute(text(f"SELECT * FROM b24_{name} ORDER BY id")).mappings()]  # noqa: S608
            for name in ("settlement", "event", "allocation", "payment")
        ]
    engine.dispose()
    return Ledger(*tables)


def judge(stories: Sequence[Story], books: Mapping[str, Any], ledger: Ledger, quiet_s: float) -> Verdict:
    """Compare what each payer meant, what the portal did, and what the ledger says."""
    invoices = {invoice["id"]: invoice for invoice in books["invoices"]}
    live = {row["invoice_id"]: row for row in ledger.settlements if row["state"] != "released"}
    verdict = Verdict()
    verdict.violations += _strays(stories, ledger)
    for story in stories:
        row, invoice = live.get(story.invoice_id), invoices[story.invoice_id]
        found = [*_portal_side(story, invoice), *_sent_in_time(story, invoice, row, ledger, quiet_s)]
        found += _paying(story, invoice, row, ledger) if story.pays else _idle(story, row, ledger)
        verdict.violations += [f"invoice {story.invoice_id}: {each}" for each in found]
    states = Counter((row["state"], row["reason"]) for row in ledger.settlements)
    verdict.paid = sum(count for (state, _), count in states.items() if state == "paid")
    verdict.gave_up = sum(count for (_, reason), count in states.items() if reason in PATIENCE_LOST)
    return verdict


def phase(ledger: Ledger, held: AbstractSet[int], moment: datetime) -> str:
    """What the ledger's story had come to at that moment, of all invoices that were held the one with most at stake."""
    last = {row["id"]: "new" for row in ledger.settlements if row["invoice_id"] in held}
    for event in ledger.events:
        if event["settlement_id"] in last and _at(event["at"]) <= moment:
            last[event["settlement_id"]] = str(event["what"])
    return next((each for each in AT_STAKE if each in last.values()), min(last.values()))


def _strays(stories: Sequence[Story], ledger: Ledger) -> Iterator[str]:
    told = {story.invoice_id for story in stories}
    for row in ledger.settlements:
        if row["invoice_id"] not in told:
            yield f"settlement {row['id']} is of invoice {row['invoice_id']}, which nobody told of"
    lives = Counter(row["invoice_id"] for row in ledger.settlements if row["state"] != "released")
    yield from (f"invoice {number} has {count} live settlements" for number, count in lives.items() if count > 1)
    for payment in ledger.payments:
        used = sum(row["amount"] for row in ledger.allocations if row["payment_id"] == payment["id"])
        if used != payment["allocated"] or used > payment["amount"]:
            yield f"payment {payment['key']}: {used} allocated, {payment['allocated']} noted, {payment['amount']} received"


def _portal_side(story: Story, invoice: Mapping[str, Any]) -> Iterator[str]:
    # Nobody takes a payment back here: once paid it shows as paid, so that a second pay can never be right.
    if invoice["executed_pays"] > 1:
        yield f"paid {invoice['executed_pays']} times"
    if invoice["executed_pays"] and not story.pays:
        yield "paid, though its money never came"
    if bool(invoice["executed_pays"]) != invoice["paid"]:
        yield f"paid={invoice['paid']} by {invoice['executed_pays']} calls"


def _sent_in_time(
    story: Story, invoice: Mapping[str, Any], row: Mapping[str, Any] | None, ledger: Ledger, quiet_s: float
) -> Iterator[str]:
    """Each pay that ran has a durable `sending` of its own before it, and not longer before than the quiet time."""
    own = [event for event in ledger.events if row and event["settlement_id"] == row["id"]]
    sent = sorted(_at(event["at"]) for event in own if event["what"] == "sending")
    ran = sorted(datetime.fromisoformat(pay["at"]) for pay in invoice["pays"])
    if len(ran) > len(sent):
        yield f"{len(ran)} pays ran, {len(sent)} were announced"
    for moment in ran:
        if not any(began <= moment <= began + timedelta(seconds=quiet_s) for began in sent):
            yield f"a pay ran at {moment}, not within {quiet_s} s of any `sending`: {sent}"


def _paying(story: Story, invoice: Mapping[str, Any], row: Mapping[str, Any] | None, ledger: Ledger) -> Iterator[str]:
    """The whole payment lies on its own invoice, which is paid there and here; or a person is asked, and it is kept."""
    if row is None:
        yield "its payment was lost: no settlement"
        return
    (payment,) = (each for each in ledger.payments if each["key"] == story.key)
    shares = [each for each in ledger.allocations if each["settlement_id"] == row["id"]]
    if [(share["payment_id"], share["amount"]) for share in shares] != [(payment["id"], story.price)]:
        yield f"its settlement stands on {shares}, not on payment {payment['id']}"
    if row["state"] == "review" and row["reason"] in PATIENCE_LOST:
        return
    if row["state"] in OPEN:
        yield f"not brought to an end: {row['state']}"
        return
    if (row["state"], row["how"], invoice["paid"]) != ("paid", "sent", True):
        yield f"ledger {row['state']}/{row['how']}/{row['reason']}, portal paid={invoice['paid']}"
    if not any(_proves(event, story) for event in ledger.events if event["settlement_id"] == row["id"]):
        yield "no event proves that it was read back as paid"


def _proves(event: Mapping[str, Any], story: Story) -> bool:
    seen = event["evidence"] if isinstance(event["evidence"], dict) else json.loads(event["evidence"])
    shown = (seen.get("paid"), seen.get("amount"), seen.get("currency"))
    return event["what"] == "paid" and shown == (True, story.price, "RUB")


def _idle(story: Story, row: Mapping[str, Any] | None, ledger: Ledger) -> Iterator[str]:
    if row is not None:
        yield f"it has a settlement ({row['state']}), though no money came for it"
    if any(each["key"] == story.key and each["allocated"] for each in ledger.payments):
        yield "money that does not fit was used"


def _at(moment: datetime | str) -> datetime:
    given = moment if isinstance(moment, datetime) else datetime.fromisoformat(moment)
    return given.astimezone(UTC) if given.tzinfo else given.replace(tzinfo=UTC)
