"""What each payer meant, told before anything happens: invoices, the money for them, and how the wire will behave."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from airflow_b24.ledger import payments
from airflow_b24.ledger.payments import NewPayment
from airflow_b24.ledger.portals import portal_id
from airflow_b24.ledger.store import Store, make_engine
from airflow_b24.sandbox import seed
from airflow_b24.sandbox.bank import OWN_ACCOUNT
from airflow_b24.sandbox.faults import Rule
from airflow_b24.sandbox.invoice import Invoice
from airflow_b24.sandbox.state import State

TODAY = datetime.now(UTC).date()
BILLED = TODAY - timedelta(days=9)
PAY, GET = "sale.paysystem.pay.invoice", "crm.invoice.get"
COMPANY, TAX_ID = 21, "7711000219"
# (how often, fault, its details): the portal is slow, refuses, and loses what was sent to it or what it answers.
WIRE: Sequence[tuple[int, str, dict[str, Any]]] = (
    (45, "", {}),
    (10, "lost_before", {"method": PAY}),
    (12, "lost_after", {"method": PAY}),
    (5, "html_502_after", {"method": PAY}),
    (5, "truncated_after", {"method": PAY}),
    (8, "slow", {"method": PAY, "seconds": 0.2}),
    (4, "slow", {"method": PAY, "seconds": 1.3}),
    (4, "refused", {"method": PAY}),
    (4, "error", {"method": PAY}),
    (3, "lost_after", {"method": GET}),
)


@dataclass(frozen=True, slots=True)
class Story:
    """One invoice over `price` minor units and the money that came for it, 0 for none; only the exact sum pays it."""

    invoice_id: int
    price: int
    received: int
    faults: tuple[Rule, ...] = field(default=(), repr=False)

    @property
    def pays(self) -> bool:
        return self.price == self.received

    @property
    def key(self) -> str:
        return f"id:B{self.invoice_id}"


def tell(count: int, dice: random.Random, trouble: float = 1.0) -> list[Story]:
    """So many stories: eight in ten pay their invoice, one brings too much, one brings nothing.

    `trouble` is the share of those whose wire may behave badly.
    """
    return [_story(place + 1, dice, trouble) for place in range(count)]


def _story(invoice_id: int, dice: random.Random, trouble: float) -> Story:
    # No two prices are alike: a payment that lands on another's invoice cannot look right.
    price = 10_000 + invoice_id
    received = dice.choices([price, price + 50_000, 0], [8, 1, 1])[0]
    faults = tuple(_faults(invoice_id, dice)) if dice.random() < trouble else ()
    return Story(invoice_id, price, received, faults)


def _faults(invoice_id: int, dice: random.Random) -> Iterator[Rule]:
    weights = [often for often, _, _ in WIRE]
    for _ in range(dice.choice([1, 1, 1, 2])):
        _, kind, details = dice.choices(WIRE, weights)[0]
        if kind:
            name = "INVOICE_ID" if details["method"] == PAY else "ID"
            yield Rule(kind, match={name: str(invoice_id)}, **details)


def portal_state(stories: Sequence[Story]) -> State:
    """A portal with the stories' invoices and faults."""
    state = seed.portal(TODAY)
    # A portal with legacy invoices alone, as older ones are.
    state.settings.smart_invoices = False
    state.settings.rate_limit = False
    state.invoices = {story.invoice_id: _invoice(story) for story in stories}
    state.faults.rules = [rule for story in stories for rule in story.faults]
    return state


def _invoice(story: Story) -> Invoice:
    owners = {"company_id": COMPANY, "my_company_id": seed.OWN_COMPANY, "pay_system_id": seed.BILL_SYSTEM}
    price = Decimal(story.price).scaleb(-2)
    return Invoice(story.invoice_id, _number(story), price, status_id="S", billed_on=BILLED, **owners)


def receive(url: str, portal: str, stories: Sequence[Story]) -> int:
    """Record the stories' payments in the ledger; returns the portal's id there."""
    store = Store(make_engine(url))
    with store.transaction() as connection:
        for story in stories:
            if story.received:
                payments.record(connection, _payment(story))
        known = portal_id(connection, portal)
    store.close()
    return known


def _payment(story: Story) -> NewPayment:
    booked: date = TODAY - timedelta(days=2)
    return NewPayment(
        account=OWN_ACCOUNT,
        key=story.key,
        occurrence=0,
        amount=story.received,
        currency="RUB",
        exponent=2,
        booked_on=booked,
        remittance=f"Оплата по счету № {_number(story)} от {BILLED:%d.%m.%Y}",
        payer_name="ООО «Северный ветер»",
        payer_tax_id=TAX_ID,
        payer_account="",
        document_number=str(story.invoice_id),
    )


def _number(story: Story) -> str:
    return f"2026/{story.invoice_id}"
