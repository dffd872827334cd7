"""Report: what became of every payment and why, derived afresh from the ledger each time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from airflow_b24.ledger import cases, notes, records, statuses
from airflow_b24.ledger.states import ADOPTED, CONFIRMED, UNDER_WAY, State
from airflow_b24.ledger.states import REASONS as SETTLEMENT_REASONS
from airflow_b24.ledger.statuses import Ended
from airflow_b24.ledger.store import Store, utc_now
from airflow_b24.payments.matching import OF_OTHERS
from airflow_b24.payments.money import Money
from airflow_b24.payments.reasons import REASONS, RULES
from airflow_b24.reconcile.differing import changes
from airflow_b24.reconcile.table import table

CASES: Mapping[str, str] = {
    "reversed": "The invoice was paid and is unpaid on the portal now: somebody took the payment back.",
    "amended": "The invoice is paid, and the bank has since sent the payment again with other content.",
    "overtaken": "A part came in for this invoice, which is paid, cancelled or changed on the portal since.",
    "late_effect": "A person released the invoice, and it is paid since: perhaps by a call of ours that came late.",
}
TOLD_BY_A_PERSON = {
    ADOPTED: "A person has adopted it: it was paid, though not from this ledger.",
    CONFIRMED: "A person has confirmed it: it was paid, with this money.",
}
# By rule, why a record that can be read counts for nothing.
ASIDE: Mapping[str, str] = {
    "before_start": "It was booked before the first day that counts.",
    "not_a_credit": "It is no money that came in: a debit.",
    "not_booked": "The bank has not booked it (yet).",
}
PART_OVERDUE = "part_overdue"
TOLD_BY_PORTAL = frozenset({"portal_refused", "required_field"})
REST_FREE = "rest_free"
# So long a part may wait for the rest before a person should ask the payer.
PATIENCE = timedelta(days=10)


@dataclass(frozen=True, slots=True)
class Line:
    """One payment's fate; `status` is paid, by_hand, review, waiting, dismissed or ignored; no `amount`: unreadable.

    `kinds` are those of the invoices it is put to: legacy, smart. `would` is what `pay` mode would do with a payment that
    shadow mode has proven: pay, by_hand (somebody has marked the invoice paid already) or part. `part` says how much of
    an invoice's sum the payment is, where it is not all of it.
    """

    status: str
    why: str
    reason: str
    payment: str
    amount: Money | None = None
    account: str = ""
    booked_on: str = ""
    payer: str = ""
    remittance: str = ""
    invoices: str = ""
    kinds: tuple[str, ...] = ()
    settlement_id: int | None = None
    payment_id: int | None = None
    case_id: int | None = None
    record_id: int | None = None
    would: str = ""
    part: str = ""


def report(store: Store) -> dict[str, Any]:
    """Totals of everything in the ledger: counts by status, and sums in by account and currency (as texts).

    `payments` = distinct payments delivered = `paid` + `review` + `waiting` + `ignored` + `dismissed` (a person has dealt
    with them elsewhere); `paid` includes `by_hand`, `waiting` what shadow mode `would_pay`. What is at its end is counted by the database, however much it is.
    """
    with store.snapshot() as connection:
        ended = statuses.ended(connection)
        rest = _lines(connection, statuses.payments(connection, unended=True), records.set_aside(connection))
    return totals(rest, beside(store), ended)


def unended(store: Store) -> list[Line]:
    """`lines` without the payments that are spent on paid invoices, which are most of a long ledger's."""
    with store.snapshot() as connection:
        return _lines(connection, statuses.payments(connection, unended=True), records.set_aside(connection))


def newest(store: Store, count: int) -> list[Line]:
    """At most so many of `lines`: the last payments, and only where there are fewer, the last records that are none."""
    with store.snapshot() as connection:
        known = statuses.payments(connection, newest=count)
        room = count - len(known)
        return _lines(connection, known, records.set_aside(connection)[-room:] if room else ())


def beside(store: Store) -> dict[str, int]:
    """Count what is beside what became of the payments: cases that nobody has closed, invoices not written on lately."""
    with store.snapshot() as connection:
        lacking = notes.troubles(connection, notes.TRIED_FOR)
        return {"open_cases": len(cases.open_cases(connection)), "not_written": len(lacking)}


def totals(found: list[Line], beside: Mapping[str, int], ended: Sequence[Ended] = ()) -> dict[str, Any]:
    """Count lines as `report` does, and what is `ended` beside them; `beside` is what the function of that name counts."""
    counts = Counter(line.status for line in found)
    sums: dict[str, Money] = {}
    told = [(line.account, line.amount) for line in found if line.amount is not None and line.status != "ignored"]
    for each in ended:
        counts["by_hand" if each.by_hand else "paid"] += each.count
        told.append((each.account, Money(each.amount, each.currency)))
    for account, amount in told:
        key = f"{account} {amount.currency}"
        sums[key] = sums[key] + amount if key in sums else amount
    return {
        "payments": len(found) + sum(each.count for each in ended),
        "paid": counts["paid"] + counts["by_hand"],
        "by_hand": counts["by_hand"],
        "review": counts["review"],
        "waiting": counts["waiting"],
        "would_pay": sum(map(would_pay, found)),
        "ignored": counts["ignored"],
        "dismissed": counts["dismissed"],
        "open_cases": beside.get("open_cases", 0),
        "not_written": beside.get("not_written", 0),
        "received": {key: str(money) for key, money in sorted(sums.items())},
    }


def lines(store: Store) -> list[Line]:
    """One line for each distinct payment delivered, whatever became of it, oldest first."""
    with store.snapshot() as connection:
        return _lines(connection, statuses.payments(connection), records.set_aside(connection))


def _lines(connection: Connection, known: Iterable[dict[str, Any]], apart: Iterable[dict[str, Any]]) -> list[Line]:
    overdue_before = utc_now(connection) - PATIENCE
    return [line_of(row, overdue_before) for row in known] + [apart_line(row) for row in apart]


def page(found: list[Line], width: int | None = None) -> str:
    """The lines as a table for a terminal or a log; what shadow mode would pay is called `would pay`."""
    header = ("payment", "booked", "amount", "payer", "status", "invoice", "why")
    rows = [
        (line.payment, line.booked_on, str(line.amount or ""), line.payer, _status(line), line.invoices, line.why)
        for line in found
    ]
    return table(header, rows, width)


def _status(line: Line) -> str:
    return {"pay": "would pay", "by_hand": "would be by_hand"}.get(line.would, line.status)


def would_pay(line: Line) -> bool:
    """Say whether the payment is proven and nothing is promised: shadow mode looked at it, `pay` would pay with it."""
    return line.would == "pay"


def line_of(row: dict[str, Any], overdue_before: datetime) -> Line:
    """One payment's line, from a row of `ledger.statuses.payments`."""
    status, reason, why, settlement_id = _fate(row, overdue_before)
    return Line(
        status=status,
        reason=reason,
        why=why,
        payment=row["key"].partition(":")[2],
        amount=Money(row["amount"], row["currency"]),
        account=row["account"],
        booked_on=row["booked_on"].isoformat(),
        payer=row["payer_name"],
        remittance=row["remittance"],
        invoices=", ".join([each["invoice_number"] for each in row["settlements"]] or _candidates(row)),
        kinds=tuple(dict.fromkeys(each["kind"] for each in row["settlements"])),
        settlement_id=settlement_id,
        payment_id=row["id"],
        would=_would(row) if status == "waiting" and not row["settlements"] else "",
        part=", ".join(filter(None, map(_part, row["settlements"]))),
    )


def _candidates(row: Mapping[str, Any]) -> list[str]:
    """The invoices that matching thought of; one that another customer is to pay must not look like a match."""
    others = (row["outcome_evidence"] or {}).get(OF_OTHERS, "").split(", ")
    return [f"{number} (another payer's)" if number in others else number for number in row["invoices"] or ()]


# Of several settlements the one that needs somebody most speaks for the payment.
URGENCY = ("review", "waiting", "paid", "by_hand")
Fate = tuple[str, str, str, int | None]


def _fate(row: dict[str, Any], overdue_before: datetime) -> Fate:
    """Status, reason code and sentence of one payment, and the settlement they are about."""
    if row["dismissed_at"] is not None:
        by, day = row["dismissed_by"], row["dismissed_at"].date()
        why = f": {row['dismissed_for']}" if row["dismissed_for"] else "."
        return "dismissed", "dismissed", f"{by} has dealt with it elsewhere, as said on {day}{why}", None
    fates = [_settlement_fate(each, row["outcome_reason"] or "", overdue_before) for each in row["settlements"]]
    first = min(fates, key=lambda fate: URGENCY.index(fate[0]), default=None)
    if row["held"]:
        return "review", "amended", _amended(row, first), first and first[3]
    if first and row["allocated"] < row["amount"]:
        free = Money(row["amount"] - row["allocated"], row["currency"])
        return "review", REST_FREE, f"{free} of it is put to no invoice any more.", first[3]
    return first or (*_outcome_fate(row), None)


def _amended(row: dict[str, Any], first: Fate | None) -> str:
    is_paid = first is not None and first[0] in {"paid", "by_hand"}
    said = CASES["amended"] if is_paid else "The bank sent this payment again with other content."
    changed = changes(row["revision"].before, row["revision"].now) if row["revision"] else ""
    return f"{said} Changed: {changed}." if changed else said


def why_in_review(row: Mapping[str, Any]) -> str:
    """The sentence of a settlement's reason, and for what the portal refused its own words: they name a field, say."""
    why = SETTLEMENT_REASONS.get(row["reason"], "")
    said = (row["evidence"] or {}).get("text") if row["reason"] in TOLD_BY_PORTAL else None
    # Our own advice follows the portal's words; it is the sentence above.
    return f"{why} It said: {str(said).partition(' (HTTP ')[0]}." if said else why


def with_lack(why: str, settlement: Mapping[str, Any]) -> str:
    """The sentence, and after it why the invoice lacks what was to be written on it."""
    return f"{why} Not written on the invoice: {settlement['lacks']}.".lstrip() if settlement["lacks"] else why


def _settlement_fate(each: dict[str, Any], rule: str, overdue_before: datetime) -> Fate:
    status, reason, why, settlement_id = _told(each, rule, overdue_before)
    is_told = status == "review" or each["state"] == State.COLLECTING or not _part(each)
    return status, reason, with_lack(why if is_told else f"A part, {_part(each)}. {why}", each), settlement_id


def _part(each: Mapping[str, Any]) -> str:
    if each["put"] == each["expected"]:
        return ""
    return f"{Money(each['put'], each['currency'])} of {Money(each['expected'], each['currency'])}"


def _told(each: dict[str, Any], rule: str, overdue_before: datetime) -> Fate:
    state, reason = each["state"], each["reason"]
    if state == State.PAID and reason in TOLD_BY_A_PERSON:
        return "by_hand", reason, f"{TOLD_BY_A_PERSON[reason]} {RULES.get(rule, '')}".rstrip(), each["id"]
    if state == State.PAID and each["how"] == "by_hand":
        return "by_hand", rule, "Somebody had marked it paid already. " + RULES.get(rule, ""), each["id"]
    if state == State.PAID:
        return "paid", rule, RULES.get(rule, ""), each["id"]
    if state == State.REVIEW:
        return "review", reason, why_in_review(each), each["id"]
    if state == State.COLLECTING:
        return _collecting_fate(each, overdue_before)
    return "waiting", state, UNDER_WAY[state], each["id"]


def _collecting_fate(each: dict[str, Any], overdue_before: datetime) -> Fate:
    sums = f"{Money(each['allocated'], each['currency'])} of {Money(each['expected'], each['currency'])}"
    if each["newest"] < overdue_before:
        why = f"Only {sums} came in so far: ask the payer, or release it."
        return "review", PART_OVERDUE, why, each["id"]
    return "waiting", State.COLLECTING, f"A part: {sums} came in so far; it is paid once the rest is here.", each["id"]


def _outcome_fate(row: dict[str, Any]) -> tuple[str, str, str]:
    said = row["outcome_reason"] or "new"
    if row["verdict"] == "review":
        return "review", said, REASONS.get(said, said)
    if row["verdict"] == "proven":
        would = "Would be paid. " if _would(row) == "pay" else "Would be taken as paid by hand. "
        return "waiting", said, would + RULES.get(said, "")
    if row["verdict"] == "part":
        return "waiting", "part", "Would be put to its invoice as a part. " + RULES.get(said, "")
    return "waiting", said, "Not matched yet: the next run does it."


def _would(row: dict[str, Any]) -> str:
    if row["verdict"] == "proven":
        # Matching notes the day where the invoice was marked paid already.
        return "by_hand" if "paid_on" in (row["outcome_evidence"] or {}) else "pay"
    return "part" if row["verdict"] == "part" else ""


def apart_line(row: dict[str, Any]) -> Line:
    """The line of a record that is no payment, by the bank's id for it where there is one."""
    named = row["key"].partition(":")[2] if row["key"].startswith("id:") else f"record {row['id']}"
    if row["said_at"] is not None:
        why = f"{row['said_by']} has dealt with it, as said on {row['said_at'].date()}: {row['detail']}"
        return Line("ignored", why, row["rule"], named, remittance=row["body"], record_id=row["id"])
    if row["verdict"] == "ignored":
        return Line("ignored", ASIDE.get(row["rule"], row["rule"]), row["rule"], named)
    why = f"The record cannot be read: {row['detail']}"
    return Line("review", why, "quarantined", named, remittance=row["body"], record_id=row["id"])
