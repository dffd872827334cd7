"""The simulated portal's batches: what each fate makes of the commands, and what we hear of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_b24.bitrix.bulk import exchange_all
from airflow_b24.bitrix.errors import AuthError, RefusedError, RequestError, UnknownOutcomeError
from airflow_b24.bitrix.exchange import Exchanged
from airflow_b24.bitrix.invoice import Invoice
from airflow_b24.bitrix.legacy_invoice import PayInvoice
from airflow_b24.bitrix.smart_invoice import MoveInvoice
from airflow_b24.reconcile.portal import PortalInvoices
from airflow_b24.sandbox.seed import REST_SYSTEM
from tests.simulation import product
from tests.simulation.batches import Batch
from tests.simulation.client import Client
from tests.simulation.funnels import PLAIN
from tests.simulation.history import Executed, History, Left, Read
from tests.simulation.payers import Bill
from tests.simulation.portal import Portal
from tests.simulation.spoiling import OF_READS, OF_WRITES, PAY_RUN_S
from tests.simulation.timeline import Timeline
from tests.simulation.wire import SERVER_RUN_S, Wire
from tests.simulation.worlds import Faults

BEGINS = datetime(2026, 11, 20, 8, tzinfo=UTC)
KEYS = (("legacy", 1), ("legacy", 2), ("smart", 1), ("smart", 2))


@dataclass
class Stand:
    """A portal with two invoices of each kind, and one batch that pays and reads all of them."""

    fate: str
    seed: int = 1
    faults: Faults = field(default_factory=Faults)
    fast: bool = True
    answered_at: float = 0.0
    told: Exchanged | None = None

    def __post_init__(self) -> None:
        self.timeline, self.history = Timeline(), History()
        self.portal = Portal(self.timeline, self.history, BEGINS, lambda _: None, kinds=("legacy", "smart"))
        self.wire = Wire(self.portal, Random(self.seed), self.faults)
        self.wire.fast = self.fast
        client: Any = Client(SimpleNamespace(wire=self.wire, actor="test"))
        self.invoices = PortalInvoices(client)
        for kind, place in KEYS:
            self.portal.born(Bill(place, f"2026/{place}", 11800, date(2026, 11, 11), 21, kind=kind))
        rows = {key: SimpleNamespace(id=place, fence=7) for place, key in enumerate(KEYS, start=1)}
        self.who = SimpleNamespace(
            number=3, name="lane 3", rows=rows, sent=set(), zombie_s=None, is_dark=self.fate == "dark"
        )

    def run(self, *, pays: bool = True) -> Stand:
        orders = [
            *(PayInvoice(place, REST_SYSTEM) for place in (1, 2)),
            *(MoveInvoice(place, f"DT31_{PLAIN}:P") for place in (1, 2)),
        ]
        readings = self.invoices.readings(KEYS)  # type: ignore[arg-type]
        flow = exchange_all(orders if pays else [], readings, self.timeline.now + 5.0 if pays else None)
        request: Any = next(flow)

        def reply(outcome: Any) -> None:
            self.answered_at = self.timeline.now
            try:
                flow.send(outcome)
            except StopIteration as done:
                self.told = done.value

        batch = Batch(self.wire, request, self.who, reply)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Batch, "_fate", lambda _: self.fate)
            batch.send()
            self.timeline.run(600.0)
        return self

    @property
    def executed(self) -> list[Executed]:
        return [each for each in self.history.entries if isinstance(each, Executed)]

    @property
    def answers(self) -> set[Any]:
        assert self.told is not None
        return {each if isinstance(each, bool) else type(each) for each in self.told.pays.values()}

    @property
    def shown(self) -> set[tuple[str, int]]:
        return {each.invoice for each in self.history.entries if isinstance(each, Read)}


@pytest.fixture(autouse=True)
def _product() -> Any:
    with product.replaced():
        yield


LOST = {UnknownOutcomeError}
# How many of four pays are executed, what their answers are, and whether anything is shown.
FATES: dict[str, tuple[set[int], set[Any], set[int]]] = {
    "ok": ({4}, {True}, {4}),
    "not_sent": ({0}, {RefusedError}, {0}),
    "refused": ({0}, {RefusedError}, {0}),
    "blocked": ({0}, {RefusedError}, {0}),
    "expired": ({0}, {AuthError, RefusedError}, {0}),
    "no_method": ({0}, {RequestError}, {0}),
    "lost_before": ({0}, LOST, {0}),
    "lost_after": ({4}, LOST, {0}),
    "cut": ({0, 1, 2, 3, 4}, LOST, {0}),
    "late": ({4}, LOST, {0}),
    "error_before": ({0}, LOST, {0}),
    "error_after": ({4}, LOST, {0}),
    "slow": ({4}, {True, UnknownOutcomeError}, {0, 4}),
    "twice": ({8}, {True}, {4}),
    "limited": ({0, 1, 2, 3}, {True, RefusedError}, {4}),
    "alone": ({2}, {True, RequestError}, {4}),
    "gaps": ({4}, {True, UnknownOutcomeError}, {0, 2, 4}),
    "early": ({4}, {True, UnknownOutcomeError}, {0, 2, 4}),
    "unclear": ({0, 1, 2, 3, 4}, {True, UnknownOutcomeError}, {4}),
    "unlisted": ({4}, {True}, {0}),
}


@pytest.mark.parametrize("fate", FATES)
def test_a_fate_makes_of_a_batch_what_it_says(fate: str) -> None:
    stands = [Stand(fate, seed).run() for seed in range(40)]
    executed, answers, shown = FATES[fate]
    assert {len(stand.executed) for stand in stands} == executed
    assert set.union(*({_seen(each) for each in stand.answers} for stand in stands)) == answers
    assert {len(stand.shown) for stand in stands} == shown


def _seen(answer: Any) -> Any:
    """What is not in an answer is no answer."""
    return UnknownOutcomeError if getattr(answer, "__name__", "") == "ResponseError" else answer


def test_every_fate_is_tried() -> None:
    assert set(FATES) == set(OF_WRITES) | {"ok"}
    assert set(OF_READS) < set(FATES)


def test_a_pay_is_noted_with_whose_it_is_and_in_which_request() -> None:
    stand = Stand("ok").run()
    left = [each for each in stand.history.entries if isinstance(each, Left)]
    assert [(each.invoice, each.settlement, each.fence, each.batch) for each in left] == [
        (key, place, 7, 1) for place, key in enumerate(KEYS, start=1)
    ]
    assert {(each.batch, each.again) for each in stand.executed} == {(1, False)}
    assert {each.again for each in Stand("twice").run().executed} == {False, True}


def test_no_command_runs_when_nothing_of_it_can_land_any_more() -> None:
    for fate in ("late", "slow", "early", "cut", "twice"):
        stands = [Stand(fate, seed, Faults(lag_s=4.0)).run() for seed in range(40)]
        lands = [each.at - each.left_at for stand in stands for each in stand.executed]
        more_s = (len(KEYS) - 1) * PAY_RUN_S if fate == "late" else 0.0
        assert max(lands) < 60.0 + SERVER_RUN_S - 4.0 + more_s
        assert fate not in {"late", "slow", "early"} or max(lands) > 45.0


def test_others_act_between_two_commands_of_one_batch() -> None:
    stand = Stand("ok")
    edits = iter([{"do": "edit", "fields": {"price": "360.00"}}])

    def happened(what: str) -> None:
        for edit in edits:
            stand.timeline.after(1e-6, stand.portal.edit, KEYS[1], "price", edit)

    stand.portal.happened = happened
    assert [each.price for each in stand.run().executed] == [11800, 36000, 11800, 11800]


def test_what_is_read_is_what_has_been_paid_unless_a_replica_lags() -> None:
    for lag_s, expected in ((0.0, {True}), (4.0, {True, False})):
        stands = [Stand("ok", seed, Faults(lag_s=lag_s)).run() for seed in range(20)]
        found = [each for stand in stands if stand.told for each in stand.told.reads.values()]
        assert {isinstance(each, Invoice) and each.paid for each in found} == expected


def test_lists_by_the_short_cut_and_the_sandboxs_own_show_the_same() -> None:
    short, long = Stand("ok").run(), Stand("ok", fast=False).run()
    assert short.told == long.told
    assert len(short.shown) == 4


@pytest.mark.parametrize("kinds", [("smart",), ("legacy",)])
def test_a_portal_that_takes_a_kind_in_no_batch_refuses_each_of_it(kinds: tuple[str, ...]) -> None:
    stand = Stand("ok")
    stand.wire.alone = kinds
    stand.run()
    assert stand.told is not None
    refused = {key for key, told in stand.told.pays.items() if isinstance(told, RequestError)}
    assert refused == {key for key in KEYS if key[0] in kinds}
    assert len(stand.executed) == 2


def test_a_process_that_froze_behind_its_last_look_at_the_clock_sends_late_and_one_that_looks_sends_nothing() -> None:
    stand = Stand("ok")
    stand.who.zombie_s = 70.0
    assert {each.left_at > each.send_before for each in stand.run().executed} == {True}
    assert stand.who.zombie_s is None
    late = Stand("ok")
    late.timeline.now = 100.0
    orders = [PayInvoice(1, REST_SYSTEM)]
    request: Any = next(exchange_all(orders, (), 99.0))
    told: list[Any] = []
    Batch(late.wire, request, late.who, told.append).send()
    assert isinstance(told[0], RefusedError)
    assert not late.executed
