"""Rules about money: nothing is used twice, nothing is lost, nothing goes where its payer did not mean it to go."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.simulation.checker import Story, Verdict, key_of
from tests.simulation.history import Key, Meant

Row = dict[str, Any]
LIVE = {"collecting", "ready", "sending", "unknown", "paid", "review"}
MATCHED = {"ready", "sending", "unknown", "paid"}
END = float("inf")


def promises_never_exceed_payments(story: Story, verdict: Verdict) -> None:
    """I1: what is promised of a payment is what its live settlements have of it, and never more than there is."""
    states = {row["id"]: row["state"] for row in story.history.settlements}
    used: Counter[int] = Counter()
    for each in story.history.allocations:
        if states[each["settlement_id"]] != "released":
            used[each["payment_id"]] += each["amount"]
    for payment in story.history.payments:
        if not 0 <= payment["allocated"] <= payment["amount"] or payment["allocated"] != used[payment["id"]]:
            verdict.blame("I1", END, f"{payment}: {used[payment['id']]} are promised")


def an_invoice_has_one_settlement(story: Story, verdict: Verdict) -> None:
    """I2, at every moment; and what is ready or further has all its money."""
    live: dict[Key, set[int]] = {}
    changes = sorted((change for each in story.changes.values() for change in each), key=lambda change: change.at)
    for change in changes:
        mine = live.setdefault(change.invoice, set())
        (mine.discard if change.after == "released" else mine.add)(change.settlement)
        if len(mine) > 1:
            verdict.blame("I2", change.at, f"invoice {change.invoice} has settlements {sorted(mine)}")
        if change.origin == "match" and change.after in MATCHED and change.allocated != change.expected:
            verdict.blame("covered", change.at, f"{change}: it has not all its money")
    for row in story.history.settlements:
        together = sum(each["amount"] for each in story.history.allocations if each["settlement_id"] == row["id"])
        if row["origin"] == "match" and together != row["allocated"]:
            verdict.blame("covered", END, f"settlement {row['id']} has {together}, its row says {row['allocated']}")


def money_goes_where_it_was_meant(story: Story, verdict: Verdict) -> None:
    """The truth about every payer is hidden from the product; a false match is the worst that can happen."""
    keys = {row["id"]: row["key"].removeprefix("id:") for row in story.history.payments}
    invoices = {row["id"]: row for row in story.history.settlements}
    for each in story.history.allocations:
        row = invoices[each["settlement_id"]]
        if row["state"] == "released":
            continue
        meant = story.history.meant.get(keys.get(each["payment_id"], ""))
        if meant is None:
            verdict.blame("lost", END, f"{each}: nobody paid this")
            continue
        if each["amount"] > _allowed(story, meant, row):
            verdict.blame("wrong", END, f"{meant} was put to invoice {key_of(row)}")
    for row in invoices.values():
        if row["state"] == "paid" and row["origin"] == "match":
            _check_company(story, verdict, row)


def _allowed(story: Story, meant: Meant, row: Row) -> int:
    """How much of the money was meant for the invoice, or for one whose copy it is all that is left of."""
    amounts, key = dict(meant.invoices), key_of(row)
    since = min((each.at for each in story.money_of(row["id"]) if each.payment == meant.payment), default=END)
    for original, copy in meant.copies:
        now = story.at(original, since)
        if copy == key and (now.gone or now.number != story.shown[copy][0].number):
            return amounts[original]
    return amounts.get(key, 0)


def _check_company(story: Story, verdict: Verdict, row: Row) -> None:
    """An id that was given to another customer before we paid is another invoice."""
    made = story.changes[row["id"]][0].at
    paid = next((each for each in story.changes[row["id"]] if each.after == "paid" and each.before != "paid"), None)
    if paid is None:
        return verdict.blame("rows", END, f"{row}: nothing made it paid")
    read = story.last_read(paid.actor, paid.invoice, paid.at)
    seen = story.at(paid.invoice, read.of) if read else None
    matched = {(each.number, each.company) for each in story.between(paid.invoice, made - 5.0, made)}
    if seen is not None and (seen.number, seen.company) not in matched:
        verdict.blame("wrong_invoice", paid.at, f"{paid}: the invoice is {seen}, matched was {matched}")
    return None


def nothing_is_lost(story: Story, verdict: Verdict) -> None:
    """I4: every payment read is in the ledger once, and is settled, waiting or in review; the sums agree."""
    rows = {row["key"].removeprefix("id:"): row for row in story.history.payments}
    spoken = {each["payment_id"] for each in story.history.outcomes}
    for payment, told in story.delivered.items():
        first = next((each for each in told if each.booked), None)
        if first is None:
            continue
        row, meant = rows.get(payment), story.history.meant[payment]
        if row is None:
            verdict.blame("lost", first.at, f"{meant} is not in the ledger")
        elif row["amount"] not in {each.amount for each in told if each.booked and each.at == first.at}:
            verdict.blame("lost", first.at, f"{meant} is in the ledger as {row}")
        elif not row["allocated"] and not row["held"] and row["id"] not in spoken:
            verdict.blame("lost", END, f"{meant} waits and nobody says why")
    _check_raws(story, verdict)


def _check_raws(story: Story, verdict: Verdict) -> None:
    known = {row["id"]: row for row in story.history.payments}
    sums: Counter[tuple[str, str]] = Counter()
    counted: set[int] = set()
    for raw in story.history.raws:
        if raw["verdict"] == "payment" and raw["payment_id"] not in known:
            verdict.blame("I4", END, f"{raw} is no payment")
        elif raw["verdict"] == "payment" and raw["payment_id"] not in counted:
            counted.add(raw["payment_id"])
            sums[raw["account"], raw["currency"]] += raw["amount"]
    for row in known.values():
        sums[row["account"], row["currency"]] -= row["amount"]
        if row["id"] not in counted:
            verdict.blame("I4", END, f"{row} was never delivered")
    if any(sums.values()):
        verdict.blame("I4", END, f"the sums differ: {dict(sums)}")


def nothing_waits_for_ever(story: Story, verdict: Verdict) -> None:
    """Liveness: once faults have stopped, every settlement ends or is before a person, every payment has its word."""
    for row in story.history.settlements:
        # A pay by its id that came to nothing is shown to people, and waits for whoever asked for it.
        waiting = {"sending", "unknown"} if row["origin"] == "manual" else {"ready", "sending", "unknown"}
        if row["state"] in waiting and story.history.pays_truly:
            verdict.blame("waits", END, f"{row}")
        elif row["state"] == "collecting" and row["allocated"] >= row["expected"]:
            verdict.blame("waits", END, f"{row} has all its money")
    last: dict[int, Row] = {each["payment_id"]: each for each in story.history.outcomes}
    for payment in story.history.payments:
        said = last.get(payment["id"])
        if not payment["allocated"] and not payment["held"] and (said is None or said["verdict"] != "review"):
            verdict.blame("waits", END, f"{payment} is {said}")


def late_trouble_is_shown(story: Story, verdict: Verdict) -> None:
    """What is paid in the ledger and unpaid on the portal has an open case, and so has what the bank changed since."""
    held = {row["id"] for row in story.history.payments if row["held"]}
    for row in story.history.settlements:
        if row["state"] != "paid":
            continue
        now = story.shown[key_of(row)][-1]
        cases = {each["kind"] for each in story.history.cases if each["settlement_id"] == row["id"]}
        open_ = {
            each["kind"]
            for each in story.history.cases
            if each["settlement_id"] == row["id"] and (each["closed_at"] is None or each.get("dismissed"))
        }
        if not now.paid and not now.gone and "reversed" not in open_:
            verdict.blame("unseen", END, f"{row}: the portal says {now}, cases are {open_}")
        mine = {each["payment_id"] for each in story.history.allocations if each["settlement_id"] == row["id"]}
        if mine & held and "amended" not in cases:
            verdict.blame("unseen", END, f"{row}: its payment is held, cases are {cases}")


def stories_are_whole(story: Story, verdict: Verdict) -> None:
    """I5: each settlement's events are numbered without a gap, and each send that became durable is among them."""
    numbers: dict[int, list[int]] = {}
    sends: set[tuple[int, int]] = set()
    for each in story.history.events:
        numbers.setdefault(each["settlement_id"], []).append(each["seq"])
        if each["what"] == "sending":
            sends.add((each["settlement_id"], each["fence"]))
    for settlement, found in numbers.items():
        if found != list(range(1, len(found) + 1)):
            verdict.blame("I5", END, f"settlement {settlement} has events {found}")
    for settlement, changes in story.changes.items():
        for change in changes:
            if change.after == "sending" and change.before != "sending" and (settlement, change.fence) not in sends:
                verdict.blame("I5", change.at, f"{change} has no event")


def people_are_asked_for_little(story: Story, verdict: Verdict) -> None:
    """Counts payments that could be proven, in a world nobody interfered with, and went before a person all the same."""
    if not story.history.pays_truly or story.acts:
        return
    touched = {
        each.invoice for versions in story.shown.values() for each in versions if each.by == "person" or each.lacks
    }
    wanted: Counter[Key] = Counter(place for meant in story.history.meant.values() for place, _ in meant.invoices)
    rows = {row["key"].removeprefix("id:"): row for row in story.history.payments}
    states = {row["id"]: row["state"] for row in story.history.settlements}
    ends = {each["payment_id"]: states[each["settlement_id"]] for each in story.history.allocations}
    for payment, meant in story.history.meant.items():
        if not _is_plain(story, meant, touched, wanted):
            continue
        verdict.provable += 1
        if payment not in rows or ends.get(rows[payment]["id"]) != "paid":
            verdict.avoidable += 1


def _is_plain(story: Story, meant: Meant, touched: set[Key], wanted: Counter[Key]) -> bool:
    told = story.delivered.get(meant.payment, ())
    alone = all(place not in touched and wanted[place] == 1 for place, _ in meant.invoices)
    return meant.provable and alone and {each.content for each in told} == {meant.content}


RULES = (
    promises_never_exceed_payments,
    an_invoice_has_one_settlement,
    money_goes_where_it_was_meant,
    nothing_is_lost,
    nothing_waits_for_ever,
    late_trouble_is_shown,
    stories_are_whole,
    people_are_asked_for_little,
)
