"""Every guard of the product, and how to take it away in a simulation: by wrapping, never by a switch in the product.

`--without fence` or `--without hold+held` (a guard together with its backup).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from unittest.mock import patch

from airflow_b24.bitrix import legacy_invoices, smart_invoice
from airflow_b24.bitrix.stages import Stages
from airflow_b24.ledger import decide, partial
from airflow_b24.ledger.facts import Row
from airflow_b24.ledger.states import State
from airflow_b24.payments import matching as payments_matching
from airflow_b24.payments import payable
from airflow_b24.reconcile import matching, paying, releasing, sweeping
from airflow_b24.reconcile.paying import ByStage
from airflow_b24.reconcile.portal import PortalInvoices
from tests.simulation import books_of_money, simulating
from tests.simulation.books_of_money import DictBooks
from tests.simulation.funnels import PLAIN
from tests.simulation.removing import (
    FAR,
    Hasty,
    Patches,
    after,
    any_amount,
    any_paid_is_ours,
    any_way,
    as_a_legacy_one,
    before,
    before_sending,
    committing,
    deciding_after,
    deciding_before,
    identify_without,
    live_by_id,
    moved_on_by_anybody,
    never_parted,
    no_case_at_paid,
    no_intent,
    no_unique,
    no_window,
    not_told_whose,
    nothing,
    one_is_enough,
    patience,
    read_first,
    take_without,
    true_is_proof,
    unavailable_unless_paid,
)
from tests.simulation.removing_in_bulk import IN_BULK


@dataclass(frozen=True, slots=True)
class Guard:
    """What it is for, and how it is taken away."""

    about: str
    patches: Patches


GUARDS: dict[str, Guard] = {
    "fence": Guard(
        "only the newest claim may commit",
        lambda: [committing(lambda books, row: replace(row, fence=books.locked(row.id)["fence"]))],
    ),
    "state": Guard(
        "a commit moves only the state it was decided on",
        lambda: [any_way(), committing(lambda books, row: replace(row, state=State(books.locked(row.id)["state"])))],
    ),
    "intent": Guard("`sending` is durable before the first byte", no_intent),
    "claim_first": Guard("the read that decides is taken after the claim", read_first),
    "window": Guard("a send leaves within seconds of its commit", no_window),
    "quiet": Guard(
        "sending again waits until the earlier call cannot land",
        lambda: [
            patch.object(simulating, "PATIENCE", Hasty()),
        ],
    ),
    "read_age": Guard("the read that decides is at most 10 s old", lambda: patience(read_age_s=FAR)),
    "snapshot": Guard(
        "sent again only if the portal's marks have not moved",
        lambda: deciding_before(lambda row, seen: replace(row, snapshot=seen.marks)),
    ),
    "hold": Guard(
        "a veto in the row stops the commit of a send",
        lambda: [
            patch.object(DictBooks, "is_held", lambda self, found: False),
        ],
    ),
    "held": Guard("a veto is seen at the claim", lambda: deciding_before(lambda row, seen: replace(row, hold=None))),
    "amount": Guard("the price read is the price matched", lambda: deciding_before(any_amount)),
    "identity": Guard(
        "the invoice is still the one that was matched",
        lambda: [
            *deciding_before(lambda row, seen: replace(row, identity=None)),
            *deciding_after(lambda row, seen: replace(row, identity=None)),
        ],
    ),
    "cancelled": Guard(
        "a cancelled invoice is not paid",
        lambda: before(
            lambda row, seen, now, beside=None: before_sending(row, replace(seen, cancelled=False), now, beside)
        ),
    ),
    "siblings": Guard(
        "the first of several is sent when all are as matched",
        lambda: [patch.object(Row, "unread_siblings", property(lambda row: ()))],
    ),
    "read_back": Guard("`true` proves nothing", lambda: after(true_is_proof)),
    "paid_amount": Guard("what was paid is what was expected", lambda: deciding_after(any_amount)),
    "own_send": Guard("paid by us only if we sent", lambda: before(any_paid_is_ours)),
    "answered": Guard(
        "`true` and unpaid is never sent again",
        lambda: deciding_before(lambda row, seen: replace(row, answered=False)),
    ),
    "by_hand": Guard(
        "a hand payment must fit day and voucher",
        lambda: [
            patch.object(decide, "_fits_payment", lambda row, seen: True),
            patch.object(payments_matching, "unavailable", unavailable_unless_paid()),
        ],
    ),
    "idle": Guard(
        "nothing goes through a pay system that pays nothing",
        lambda: [
            patch.object(paying, "refuse_idle", nothing),
        ],
    ),
    "unique": Guard("an invoice has one live settlement", no_unique),
    "competition": Guard(
        "several payments that prove one invoice prove nothing",
        lambda: [
            patch.object(payments_matching, "_without_competition", lambda payments, outcomes: outcomes),
        ],
    ),
    "alike": Guard(
        "two payments alike are never added up",
        lambda: [
            patch.object(payable, "alike", lambda one, other: False),
            patch.object(payments_matching, "alike", lambda one, other: False),
        ],
    ),
    "two_identifiers": Guard("a number alone proves nothing", one_is_enough),
    "payer": Guard("another payer's tax id refutes", identify_without("payer_mismatch")),
    "date": Guard("another invoice date refutes", identify_without("date_mismatch")),
    "held_money": Guard("held money is not promised", take_without("held")),
    "free_money": Guard("money is promised once", take_without("allocated")),
    "parted": Guard(
        "a pair parted by a person stays parted",
        lambda: [
            patch.object(DictBooks, "parted", never_parted),
        ],
    ),
    "release_unpaid": Guard(
        "what our call may have paid is not released",
        lambda: [
            patch.object(releasing, "_check_unpaid", nothing),
        ],
    ),
    "release_quiet": Guard(
        "nothing is released or retried while a call may land",
        lambda: [
            patch.object(releasing, "_check_quiet", nothing),
        ],
    ),
    "release_reversed": Guard(
        "paid is released only after a reversal",
        lambda: [
            patch.object(releasing, "_check_reversed", nothing),
        ],
    ),
    "case_at_paid": Guard("a hold that comes while we pay becomes a case", no_case_at_paid),
    "amended": Guard(
        "what the bank changes or takes back is held",
        lambda: [
            patch.object(DictBooks, "_hold", nothing),
        ],
    ),
    "settled": Guard(
        "matching passes over invoices that have a settlement",
        lambda: [
            patch.object(DictBooks, "live_among", lambda self, portal_id, keys: {}),
        ],
    ),
    "release_states": Guard(
        "only what is at rest is released",
        lambda: [
            patch.object(releasing, "RELEASABLE", frozenset(State)),
        ],
    ),
    "table": Guard(
        "a move is a way through the table",
        lambda: [
            any_way(),
            patch.object(books_of_money, "TRANSITIONS", dict.fromkeys(State, frozenset(State))),
        ],
    ),
    "moved_lately": Guard(
        "what is un-paid while lists are read keeps its number",
        lambda: [
            patch.object(matching, "_moved_since", lambda *_: []),
        ],
    ),
    "own_space": Guard(
        "a smart id is paid in its own space", lambda: [patch.object(ByStage, "order", as_a_legacy_one)]
    ),
    "own_read": Guard(
        "an invoice is read in its own space",
        lambda: [
            patch.object(PortalInvoices, "look", lambda self, key: lambda: legacy_invoices.look(key[1])),
        ],
    ),
    "own_settlement": Guard(
        "a settlement is of a kind and an id", lambda: [patch.object(DictBooks, "live", live_by_id)]
    ),
    "named_kind": Guard(
        "an id that may be of either kind is not paid",
        lambda: [
            patch.object(PortalInvoices, "only_kind", property(lambda self: self.kinds[0])),
        ],
    ),
    "own_funnel": Guard(
        "paid is a stage of the invoice's own funnel",
        lambda: [
            patch.object(Stages, "paid_stage", lambda self, category_id: f"DT31_{PLAIN}:P"),
        ],
    ),
    "whose_move": Guard("what a person moved is not ours", not_told_whose),
    "robot": Guard(
        "what a robot moved on from a stage of success is paid",
        lambda: [
            patch.object(smart_invoice, "_moved_on", lambda *_: None),
        ],
    ),
    "robot_alone": Guard("what a person moved on from there is not", moved_on_by_anybody),
    "partial_quiet": Guard(
        "nothing is paid while a move to the stage of parts may land",
        lambda: [patch.object(Row, "partial_may_land", property(lambda row: False))],
    ),
    "partial_due": Guard(
        "nor is an attempt begun until then",
        lambda: [patch.object(DictBooks, "_can_be_sent", lambda self, row, now: row["state"] == State.READY)],
    ),
    "partial_read": Guard(
        "what is paid is not moved to the stage of parts",
        lambda: [patch.object(partial, "may_be_partial", lambda row, seen: row.state is State.COLLECTING)],
    ),
    "sweep": Guard("ended invoices are read again", lambda: [patch.object(sweeping, "sweep", nothing)]),
    **{name: Guard(*each) for name, each in IN_BULK.items()},
}


@contextmanager
def without(names: Sequence[str]) -> Iterator[None]:
    """Run the product without these guards."""
    with ExitStack() as stack:
        for name in names:
            for each in GUARDS[name].patches():
                stack.enter_context(each)
        yield


__all__ = ["GUARDS", "Guard", "without"]
