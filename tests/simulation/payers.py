"""What payers send, drawn from a seed: real texts, the truth behind them, and how the bank tells of them over time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from random import Random
from typing import Any

from airflow_b24.sandbox.bank import OWN_ACCOUNT
from airflow_b24.sandbox.scenarios import COMPANIES
from tests.simulation import texts
from tests.simulation.funnels import PLAIN
from tests.simulation.history import Key, Meant

TODAY = date(2026, 11, 20)
PAYERS = (21, 22, 23)
STRANGERS = (24, 25, 26)
OTHER_ACCOUNT = "40702810900000000002"


@dataclass(frozen=True, slots=True)
class Bill:
    id: int
    number: str
    minor: int
    billed_on: date
    company: int
    currency: str = "RUB"
    kind: str = "legacy"
    # Smart ones alone have these: their funnel, and whether what its stage of success asks for is missing.
    funnel: int = PLAIN
    lacks: bool = False

    @property
    def key(self) -> Key:
        return self.kind, self.id

    @property
    def day(self) -> str:
        return f"{self.billed_on:%d.%m.%Y}"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A version of a payment's record: when the bank begins to show it, and what it shows."""

    at: float
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Transfer:
    """Money a payer sent, as the bank tells of it over time."""

    meant: Meant
    deliveries: tuple[Delivery, ...]


def transfers(rng: Random, bills: tuple[Bill, ...]) -> tuple[Transfer, ...]:
    sent: list[Transfer] = []
    free = list(bills)
    for story in range(rng.choice((1, 1, 2, 2, 3))):
        if len(sent) >= 4:
            break
        # Most payers pay what nobody has paid yet; something that can be paid comes first.
        bill = rng.choice(free) if free and rng.random() < 0.75 else rng.choice(bills)
        kinds, weights = (PAYABLE, PAYABLE_WEIGHTS) if story == 0 and rng.random() < 0.8 else (KINDS, KIND_WEIGHTS)
        made = sent_for(rng, bill, bills, len(sent) + 1, rng.choices(kinds, weights)[0])
        taken = {place for transfer in made for place, _ in transfer.meant.invoices}
        free = [each for each in free if each.key not in taken]
        sent += made
    return tuple(sent[:4])


PAYABLE = ("full", "no_tax_id", "no_date", "parts", "both")
PAYABLE_WEIGHTS = (5, 1, 2, 2, 3)


def sent_for(rng: Random, bill: Bill, bills: tuple[Bill, ...], first: int, kind: str) -> list[Transfer]:
    """What one payer sends for an invoice, and perhaps others of the same company."""
    others = [each for each in bills if each is not bill and each.company == bill.company]
    if kind == "parts":
        share = rng.choice((3000, 5900, bill.minor // 2))
        return [
            _part(rng, first, bill, share),
            _part(rng, first + 1, bill, bill.minor - share, later=rng.random() < 0.5),
        ]
    if kind == "echo":
        # One half was paid, and two sources tell of it under two ids.
        text = texts.one(rng, texts.FULL, bill.number, bill.day)
        half = _transfer(rng, first, bill, bill.minor // 2, text, ((bill.key, bill.minor // 2),))
        return [half, _echo(half, first + 1)]
    if kind == "both" and others:
        other = rng.choice(others)
        text = texts.two(rng, (bill.number, bill.day), (other.number, other.day))
        meant = ((bill.key, bill.minor), (other.key, other.minor))
        return [_transfer(rng, first, bill, bill.minor + other.minor, text, meant)]
    return [_single(rng, first, bill, bills, kind)]


def _part(rng: Random, place: int, bill: Bill, minor: int, *, later: bool = False) -> Transfer:
    text = texts.one(rng, texts.FULL, bill.number, bill.day)
    part = _transfer(rng, place, bill, minor, text, ((bill.key, minor),))
    wait = rng.choice((100.0, 500.0, 4000.0)) if later else 0.0
    return Transfer(part.meant, tuple(Delivery(each.at + wait, each.record) for each in part.deliveries))


def _echo(transfer: Transfer, place: int) -> Transfer:
    key = f"B{place}"
    versions = tuple(Delivery(each.at, {**each.record, "id": key}) for each in transfer.deliveries)
    return Transfer(transfer.meant._replace(payment=key, invoices=()), versions)


KINDS = (
    "full",
    "no_tax_id",
    "no_date",
    "parts",
    "both",
    "over",
    "under",
    "again",
    "stranger",
    "wrong_day",
    "vague",
    "unknown",
    "hostile",
    "currency",
    "mixed_up",
    "other_account",
    "bare",
    "echo",
)
KIND_WEIGHTS = (30, 10, 10, 10, 16, 3, 4, 4, 4, 3, 2, 2, 3, 1, 4, 1, 3, 3)


def _single(rng: Random, place: int, bill: Bill, bills: tuple[Bill, ...], kind: str) -> Transfer:
    meant: tuple[tuple[Key, int], ...] = ((bill.key, bill.minor),)
    full = texts.one(rng, texts.FULL, bill.number, bill.day)
    minor, changed = bill.minor, {}
    match kind:
        case "no_tax_id":
            changed = {"tax_id": rng.choice(("", "0"))}
        case "no_date":
            full = texts.one(rng, texts.NUMBER_ONLY, bill.number, bill.day)
        case "over":
            minor = bill.minor + rng.choice((1, 100, 11800))
            meant = ((bill.key, minor),)
        case "under":
            minor = bill.minor - rng.choice((1, 100, 5000))
            meant = ((bill.key, minor),)
        case "stranger":
            # Somebody else's money with our customer's invoice on it: nobody knows what was meant, and it is not proven.
            stranger = rng.choice(STRANGERS)
            full = texts.one(rng, texts.NUMBER_ONLY + texts.FULL, bill.number, bill.day)
            meant, changed = (), {"tax_id": COMPANIES[stranger][1]}
        case "bare":
            full = texts.one(rng, texts.NUMBER_ONLY, bill.number, bill.day)
            meant, changed = (), {"tax_id": ""}
        case "wrong_day":
            full = texts.one(rng, texts.FULL, bill.number, "01.02.2026")
        case "vague":
            full, meant = texts.one(rng, texts.VAGUE, bill.number, bill.day), ()
        case "unknown":
            full = texts.one(rng, texts.FULL, "7777", bill.day)
        case "hostile":
            full, meant = texts.one(rng, texts.HOSTILE, bill.number, bill.day), ()
        case "currency":
            changed = {"currency": "USD"}
        case "mixed_up":
            # Number of one, day and sum of another: what was meant is the sum's.
            other = rng.choice(bills)
            if other is not bill and (other.billed_on != bill.billed_on):
                full = texts.one(rng, texts.FULL, other.number, bill.day)
        case "other_account":
            changed = {"account": OTHER_ACCOUNT}
    provable = kind in {"full", "no_tax_id", "no_date"}
    return _transfer(rng, place, bill, minor, full, meant, provable=provable, **changed)


def _transfer(
    rng: Random,
    place: int,
    bill: Bill,
    minor: int,
    text: str,
    meant: tuple[tuple[Key, int], ...],
    *,
    provable: bool = False,
    tax_id: str | None = None,
    currency: str = "RUB",
    account: str = OWN_ACCOUNT,
) -> Transfer:
    title, own_tax_id = COMPANIES[bill.company]
    booked = TODAY - timedelta(days=rng.choice((0, 1, 2, 2)))
    key, document = f"B{place}", str(16 + place)
    record = {
        "id": key,
        "account": account,
        "amount": f"{minor // 100}.{minor % 100:02d}",
        "currency": currency,
        "booked_on": booked.isoformat(),
        "direction": "credit",
        "status": "booked",
        "payer": {
            "name": title,
            "tax_id": own_tax_id if tax_id is None else tax_id,
            "account": f"40702810{bill.company:012d}",
        },
        "document_number": document,
        "purpose": text,
    }
    truth = Meant(key, account, minor, currency, booked.isoformat(), document, meant, provable, content(record))
    return Transfer(truth, _deliveries(rng, record))


def content(record: dict[str, Any]) -> str:
    """All that proves something in a record, and whether it is booked money."""
    names = ("amount", "currency", "booked_on", "purpose", "payer", "direction", "status")
    return str([record[name] for name in names])


def _deliveries(rng: Random, record: dict[str, Any]) -> tuple[Delivery, ...]:
    first = 0.0 if rng.random() < 0.85 else rng.choice((20.0, 200.0, 500.0, 4000.0))
    versions = [Delivery(first, record)]
    chance = rng.random()
    if chance < 0.03:
        # First pending, then booked.
        versions = [Delivery(0.0, {**record, "status": "pending"}), Delivery(first + 60.0, record)]
    elif chance < 0.18:
        later = first + rng.choice((5.1, 5.3, 6.0, 10.0, 100.0, 300.0, 1000.0, 90_000.0))
        payer = {**record["payer"], "tax_id": COMPANIES[24][1]}
        changed = rng.choice(
            (
                {"amount": "1.00"},
                {"payer": payer},
                {"status": "pending"},
                {"purpose": "Возврат"},
                {"direction": "debit"},
            )
        )
        versions.append(Delivery(later, {**record, **changed}))
        if rng.random() < 0.25:
            versions.append(Delivery(later + rng.choice((60.0, 600.0)), record))
    return tuple(versions)
