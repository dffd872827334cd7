"""The short cuts of the simulated portal say what the sandbox says, page by page, whatever has happened to its invoices."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_b24.bitrix.listing import Listing
from airflow_b24.reconcile.portal import PortalInvoices
from airflow_b24.sandbox.wire import RestError
from tests.simulation import product
from tests.simulation.client import Client
from tests.simulation.funnels import AFTER_PAID, FUNNELS, PARTS, wishes
from tests.simulation.history import Executed, History
from tests.simulation.payers import Bill
from tests.simulation.portal import Portal
from tests.simulation.timeline import Timeline
from tests.simulation.wire import Wire
from tests.simulation.worlds import Faults

BEGINS = datetime(2026, 11, 20, 8, tzinfo=UTC)
DOINGS: tuple[dict[str, Any], ...] = (
    {"do": "pay"},
    {"do": "cancel"},
    {"do": "reverse"},
    {"do": "edit", "fields": {"price": "360.00"}},
    {"do": "edit", "fields": {"company_id": 29}},
    {"do": "edit", "fields": {"comments": "checked"}},
)


class Stand:
    """A portal with both kinds, a client that takes short cuts and one that does not."""

    def __init__(self, seed: int, *, also_paid: bool) -> None:
        self.rng = Random(seed)
        self.timeline, self.history = Timeline(), History()
        wished = (AFTER_PAID,) if also_paid else ()
        self.portal = Portal(
            self.timeline, self.history, BEGINS, lambda _: None, kinds=("legacy", "smart"), also_paid=wished
        )
        wire = Wire(self.portal, self.rng, Faults())
        stand = SimpleNamespace(wire=wire, actor="test")
        self.fast, self.slow = Client(stand, fast=True), Client(stand)
        self.invoices = [PortalInvoices(client, "auto", wishes(wished, PARTS)) for client in (self.fast, self.slow)]  # type: ignore[arg-type]
        bills = [Bill(place, f"2026/{place}", 11800, date(2026, 11, 11), 21) for place in (1, 2)]
        smart = [
            Bill(place, f"2026/{place}", 11800, date(2026, 11, 11), 21, kind="smart", funnel=funnel, lacks=place == 4)
            for place, funnel in enumerate((*FUNNELS, *FUNNELS), start=1)
        ]
        self.keys = [bill.key for bill in (*bills, *smart)]
        for bill in (*bills, *smart):
            self.portal.born(bill)

    def happen(self) -> None:
        """Somebody does something, or a call of ours lands."""
        self.timeline.pass_time(self.rng.choice((0.3, 60.0, 90_000.0)))
        key = self.rng.choice(self.keys)
        chance = self.rng.random()
        if chance < 0.04:
            self.portal.delete(key)
        elif chance < 0.4:
            self.pay(key, unpaid=self.rng.random() < 0.1)
        else:
            self.portal.edit(key, "test", self.rng.choice(DOINGS))

    def pay(self, key: tuple[str, int], *, unpaid: bool = False) -> None:
        """A call of ours runs; `unpaid`: it is answered, and nothing is stored."""
        method, arguments = "sale.paysystem.pay.invoice", {"INVOICE_ID": key[1], "PAY_SYSTEM_ID": 31}
        if key[0] == "smart":
            funnel = (*FUNNELS, *FUNNELS)[key[1] - 1]
            method = "crm.item.update"
            arguments = {"entityTypeId": 31, "id": key[1], "fields": {"stageId": f"DT31_{funnel}:P"}}
        ids = {"attempt": 1, "settlement": 1, "fence": 1}
        with suppress(RestError):
            self.portal.pay(method, arguments, **ids, left_at=0.0, send_before=9.9, unpaid=unpaid)

    def ask(self, kind: str, how: str, *arguments: Any) -> list[Any]:
        """Ask both clients."""
        both = zip((self.fast, self.slow), self.invoices, strict=True)
        asked = [(client, getattr(each.of(kind), how)(*arguments)) for client, each in both]  # type: ignore[arg-type]
        return [list(client.iterate(one)) if isinstance(one, Listing) else client.run(one) for client, one in asked]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("also_paid", [False, True])
def test_lists_and_reads_are_the_sandboxs_and_paid_is_what_the_product_reads(seed: int, also_paid: bool) -> None:
    stand = Stand(seed, also_paid=also_paid)
    with product.replaced():
        assert [each.kinds for each in stand.invoices] == [("legacy", "smart")] * 2
        assert stand.invoices[0].smart == stand.invoices[1].smart
        for _ in range(40):
            stand.happen()
            for kind in ("legacy", "smart"):
                ids = [key[1] for key in stand.keys if key[0] == kind]
                day = stand.portal.now.date()
                for how, *asked in (("open_invoices",), ("paid_since", day), ("moved_since", day), ("by_id", ids)):
                    fast, slow = stand.ask(kind, how, *asked)
                    assert fast == slow
                for invoice in slow:
                    truth = stand.portal.truth(invoice.key)
                    assert (invoice.paid or invoice.moved_on == "robot", invoice.cancelled) == (
                        truth.paid,
                        truth.cancelled,
                    )
                    assert (invoice.moved_on is not None) is truth.moved_on
                    assert (invoice.paid_by_us is None) or (truth.mover == "us") is invoice.paid_by_us
                    assert stand.slow.run(stand.invoices[1].of(invoice.kind).get_invoice(invoice.id)) == invoice


def test_a_second_call_moves_nothing_and_a_third_after_a_person_does() -> None:
    stand = Stand(1, also_paid=False)
    key = ("smart", 1)
    for does in ("", "", "reverse", ""):
        stand.portal.edit(key, does, {"do": does}) if does else stand.pay(key)
    assert [entry.moved for entry in stand.history.entries if isinstance(entry, Executed)] == [True, False, True]


def test_a_robot_moves_on_what_we_paid_and_whom_it_works_as_is_shown() -> None:
    for place, mover in ((2, "nobody"), (3, "us")):
        stand = Stand(1, also_paid=False)
        stand.pay(("smart", place))
        truth = stand.portal.truth(("smart", place))
        assert (truth.paid, truth.mover) == (True, mover)


def test_a_call_that_a_required_field_or_the_portal_itself_swallows_pays_nothing() -> None:
    stand = Stand(1, also_paid=False)
    stand.pay(("smart", 4))
    stand.pay(("smart", 1), unpaid=True)
    assert not any(stand.portal.truth(("smart", place)).paid for place in (1, 4))
    assert not any(isinstance(entry, Executed) for entry in stand.history.entries)
