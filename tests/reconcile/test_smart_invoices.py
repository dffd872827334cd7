"""Smart invoices on their whole way, beside legacy ones whose ids and numbers may be the same."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_b24.bitrix.errors import AuthError
from airflow_b24.bitrix.stages import Wishes
from airflow_b24.ledger import cases, settlements
from airflow_b24.ledger.facts import Row
from airflow_b24.ledger.schema import settlement
from airflow_b24.ledger.settlement import Settled
from airflow_b24.ledger.states import State
from airflow_b24.reconcile import reporting
from airflow_b24.reconcile.releasing import confirm, release, retry
from airflow_b24.reconcile.settling import settle_matched, settle_plain
from airflow_b24.reconcile.sweeping import sweep
from airflow_b24.reconcile.witnessing import as_found, paid_lately, unknown_pays
from airflow_b24.sandbox import seed
from airflow_b24.sandbox.seed_funnels import AUTOMATED, CONTRACT, RENAMED

MOVE = "crm.item.update"


def ready(office: Any, invoice_id: int = 2, **changed: Any) -> int:
    """A smart invoice, its payment and their settlement."""
    office.smart_bill(invoice_id, **changed)
    office.receive(invoice_id)
    assert office.match()["promised"] == 1
    return int(office.due()[invoice_id])


def settle(office: Any, settlement_id: int, invoice_id: int = 2) -> Settled:
    # No pay system: none is needed.
    return settle_matched(office.desk, settlement_id, invoice_id, None)


def row(office: Any, settlement_id: int = 1) -> Row:
    return settlements.look(office.store, settlement_id)


def stage(office: Any, invoice_id: int = 2) -> str:
    return str(office.state.smart_invoices[invoice_id].stage_id)


def pays(office: Any, invoice_id: int = 2) -> int:
    return len(office.state.smart_invoices[invoice_id].executed_pays)


def open_cases(office: Any) -> list[str]:
    with office.store.snapshot() as connection:
        return [case["kind"] for case in cases.open_cases(connection)]


@pytest.mark.parametrize(("funnel_id", "paid"), [(5, "DT31_5:P"), (RENAMED, "DT31_8:UC_PAID01")])
def test_a_proven_smart_invoice_is_moved_to_the_success_of_its_own_funnel(
    office: Any, funnel_id: int, paid: str
) -> None:
    settled = settle(office, ready(office, funnel_id=funnel_id))
    assert (settled.row.kind, settled.row.state, settled.row.how) == ("smart", State.PAID, "sent")
    assert (stage(office), pays(office), settled.row.pay_system) == (paid, 1, f"stage:{paid}")
    assert (office.asked(MOVE), office.asked("crm.item.get")) == (1, 2)


def test_the_same_id_in_both_spaces_is_two_invoices(office: Any) -> None:
    legacy = office.bill(2, number="Л-17")
    settled = settle(office, ready(office))
    assert settled.row.state is State.PAID
    assert not legacy.paid
    assert office.executed() == 0


def test_the_same_number_of_the_same_customer_in_both_spaces_proves_neither(office: Any) -> None:
    office.bill(2)
    office.smart_bill(2)
    office.receive(2)
    assert office.match() == {"payments": 1, "proven": 0, "review": 1, "promised": 0}


def test_one_payment_for_an_invoice_of_each_kind_pays_both(office: Any) -> None:
    office.bill(3)
    office.smart_bill(2)
    office.receive(2, amount=23600, remittance="Оплата по счетам № 2026/2, № 2026/3")
    assert office.match()["promised"] == 1
    due = office.due()
    for invoice_id in (2, 3):
        assert settle_matched(office.desk, due[invoice_id], invoice_id, office.pay_system).row.how == "sent"
    assert (pays(office), office.executed(3)) == (1, 1)


def test_one_of_each_kind_is_not_sent_while_the_other_is_no_longer_what_it_was(office: Any) -> None:
    office.bill(3)
    office.smart_bill(2)
    office.receive(2, amount=23600, remittance="Оплата по счетам № 2026/2, № 2026/3")
    office.match()
    due = office.due()
    office.moves(2, "DT31_5:D")
    refused = settle_matched(office.desk, due[3], 3, office.pay_system).row
    assert (refused.reason, office.executed(3)) == ("sibling_changed", 0)


FAULTS: dict[str, tuple[dict[str, Any], str, str]] = {
    # fault on the move: the state after the attempt, and after another one once the quiet time is over
    "refused once": ({"kind": "refused"}, "paid", "paid"),
    "lost on the way there": ({"kind": "lost_before"}, "unknown", "paid"),
    "lost on the way back": ({"kind": "lost_after"}, "paid", "paid"),
    "a page of 502": ({"kind": "html_502_after"}, "paid", "paid"),
    "a cut answer": ({"kind": "truncated_after"}, "paid", "paid"),
    "answered and nothing done": ({"kind": "unpaid", "times": 1000}, "review", "review"),
    "an unclear error": ({"kind": "error", "status": 500}, "unknown", "paid"),
    "a plan that forbids it": ({"kind": "error", "code": "UPDATE_DYNAMIC_ITEM_RESTRICTED", "status": 400}, "ready", "paid"),
    "no right to the invoice": ({"kind": "error", "code": "ACCESS_DENIED", "status": 400}, "ready", "paid"),
    "no right to the stage": ({"kind": "error", "code": "-", "status": 400}, "ready", "paid"),
    "a value that the portal will not have": (
        {"kind": "error", "code": "CRM_FIELD_ERROR_VALUE_NOT_VALID", "status": 400}, "review", "review"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("fault", "first", "last"), FAULTS.values(), ids=FAULTS)
def test_a_fault_on_the_move_ends_where_it_must_and_never_pays_twice(
    office: Any, fault: dict[str, Any], first: str, last: str
) -> None:
    settlement_id = ready(office)
    office.fault(**fault, method=MOVE)
    assert settle(office, settlement_id).row.state == first
    office.let_the_quiet_time_pass()
    assert settle(office, settlement_id).row.state == last
    assert pays(office) == (last == "paid")


def test_a_move_that_needs_a_right_or_a_plan_says_so(office: Any) -> None:
    settlement_id = ready(office)
    office.state.settings.smart_plan_restricted = True
    settled = settle(office, settlement_id)
    office.state.settings.smart_plan_restricted = False
    assert settled.trouble is not None
    assert isinstance(settled.trouble.cause, AuthError)
    assert "plan does not allow changing smart invoices" in str(settled.trouble.cause)


def test_a_stage_that_asks_for_a_field_needs_a_person_and_names_it(office: Any) -> None:
    settlement_id = ready(office, funnel_id=AUTOMATED)
    settled = settle(office, settlement_id)
    assert (settled.row.state, settled.row.reason) == (State.REVIEW, "required_field")
    with office.store.snapshot() as connection:
        (evidence,) = connection.execute(settlement.select().with_only_columns(settlement.c.evidence)).scalars()
    assert "Договор" in evidence["text"]
    (line,) = reporting.lines(office.store)
    assert line.why.startswith(
        "The stage of paid invoices asked for a field that was empty: fill it in there, then retry."
    )
    assert line.why.endswith('CRM_FIELD_ERROR_REQUIRED: Field "Договор" is required.')
    office.state.smart_invoices[2].custom[CONTRACT] = "14"
    retry(office.desk, settlement_id)
    assert settle(office, settlement_id).row.how == "sent"


def test_a_robot_that_moves_a_paid_invoice_on_at_once_does_not_unpay_it(office: Any) -> None:
    settlement_id = ready(office, funnel_id=AUTOMATED, custom={CONTRACT: "14"})
    assert settle(office, settlement_id).row.how == "sent"
    assert stage(office) == "DT31_9:UC_DOCS01"
    assert sweep(office.desk)["reversed"] == 0
    assert settle(office, settlement_id).trouble is None
    assert pays(office) == 1


def test_a_person_who_takes_a_robots_invoice_back_unpays_it(office: Any) -> None:
    settlement_id = ready(office, funnel_id=AUTOMATED, custom={CONTRACT: "14"})
    settle(office, settlement_id)
    office.moves(2, "DT31_9:S")
    assert sweep(office.desk)["reversed"] == 1
    assert settle(office, settlement_id).trouble is not None
    assert (open_cases(office), pays(office)) == (["reversed"], 1)


def test_a_lost_answer_is_read_and_whoever_paid_is_told(office: Any) -> None:
    settlement_id = ready(office)
    office.fault("lost_before", method=MOVE)
    assert settle(office, settlement_id).row.state is State.UNKNOWN
    office.moves(2, "DT31_5:P")
    settled = settle(office, settlement_id)
    assert (settled.row.state, settled.row.how, pays(office)) == (State.PAID, "by_hand", 0)


class Silenced:
    """A client whose portal falls silent before it pays: stages, who we are, the pre-read, the pay."""

    def __init__(self, office: Any) -> None:
        self._client, self._office, self._runs = office.desk.client, office, 0

    def run(self, flow: Any) -> Any:
        self._runs += 1
        if self._runs == 4:
            self._office.fault("lost_after", method="crm.item.*", times=1000)
        return self._client.run(flow)


def test_what_landed_and_was_taken_back_is_not_sent_again(office: Any) -> None:
    settlement_id = ready(office)
    silenced = office.with_desk(client=Silenced(office))
    assert settle(silenced, settlement_id).row.state is State.UNKNOWN
    office.state.faults.rules.clear()
    office.moves(2, "DT31_5:S")
    office.let_the_quiet_time_pass()
    settled = settle(office, settlement_id)
    assert (settled.row.reason, pays(office)) == ("landed_then_changed", 1)


def test_an_invoice_paid_by_hand_consumes_its_payment_and_nothing_is_sent(office: Any) -> None:
    settlement_id = ready(office)
    office.moves(2, "DT31_5:P")
    settled = settle(office, settlement_id)
    assert (settled.row.how, office.asked(MOVE)) == ("by_hand", 0)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda office: office.moves(2, "DT31_5:D"), "cancelled"),
        (lambda office: office.smart_bill(price="119.00"), "amount_changed"),
        (lambda office: office.smart_bill(company_id=22), "invoice_changed"),
        (lambda office: office.smart_bill(number="2026/9"), "invoice_changed"),
        (lambda office: office.state.smart_invoices.clear(), "invoice_not_found"),
    ],
)
def test_a_review_of_a_smart_invoice_goes_on_when_what_stood_in_its_way_has_gone(
    office: Any, spoil: Any, reason: str
) -> None:
    settlement_id = ready(office)
    spoil(office)
    assert settle(office, settlement_id).row.reason == reason
    assert sweep(office.desk)["ready"] == 0
    office.smart_bill()
    assert sweep(office.desk)["ready"] == 1
    assert settle(office, settlement_id).row.how == "sent"


def test_a_reversed_smart_invoice_is_released_by_a_person_and_paid_anew(office: Any) -> None:
    settlement_id = ready(office)
    settle(office, settlement_id)
    office.moves(2, "DT31_5:S")
    sweep(office.desk)
    office.let_the_quiet_time_pass()
    release(office.desk, settlement_id)
    office.receive(2, key="id:second")
    office.match()
    again = office.due()[2]
    # It was taken back, or a robot that works as the accountant has moved it on: a person looks.
    assert settle(office, again).row.reason == "moved_on_from_paid"
    assert sweep(office.desk)["ready"] == 0
    retry(office.desk, again)
    assert settle(office, again).row.how == "sent"
    assert pays(office) == 2


def test_what_a_person_paid_and_a_robot_of_theirs_moved_on_is_not_paid_again(office: Any) -> None:
    settlement_id = ready(office, funnel_id=AUTOMATED, custom={CONTRACT: "14"})
    office.moves(2, "DT31_9:P")
    assert stage(office) == "DT31_9:UC_DOCS01"
    assert (settle(office, settlement_id).row.reason, pays(office)) == ("moved_on_from_paid", 0)


def test_what_the_webhooks_user_takes_back_by_hand_is_neither_paid_nor_consumed(office: Any) -> None:
    settlement_id = ready(office)
    office.moves(2, "DT31_5:P", by=seed.TECHNICAL)
    office.moves(2, "DT31_5:S", by=seed.TECHNICAL)
    settled = settle(office, settlement_id)
    assert (settled.row.state, settled.row.reason, pays(office)) == (State.REVIEW, "moved_on_from_paid", 0)


def test_an_old_paid_invoice_that_is_filed_today_is_not_paid_with_todays_money(office: Any) -> None:
    office = office.with_desk(wishes=Wishes(also_paid=("DT31_5:D",)))
    settlement_id = ready(office)
    office.moves(2, "DT31_5:P")
    office.moves(2, "DT31_5:D")
    assert settle(office, settlement_id).row.reason == "already_paid"


def test_a_bare_id_means_no_smart_invoice_while_legacy_ones_may_not_be_seen(office: Any) -> None:
    office.smart_bill()
    office.state.settings.legacy_invoices = False
    office.fault("error", method="crm.invoice.list", status=400, code="", times=9)
    with pytest.raises(ValueError, match="invoice_type: this portal has, or may have, legacy and smart invoices"):
        settle_plain(office.desk, 2, None)


def test_a_person_may_confirm_what_the_portal_does_not_prove(office: Any) -> None:
    settlement_id = ready(office)
    office.smart_bill(price="119.00")
    settle(office, settlement_id)
    office.smart_bill()
    office.moves(2, "DT31_5:P")
    assert confirm(office.desk, settlement_id).how == "by_hand"


WISHED = Wishes(paid_stage=("DT31_5:D",), also_paid=("DT31_8:UC_SENT01",))


def test_a_wished_stage_is_where_a_paid_invoice_goes_and_what_counts_as_paid(office: Any) -> None:
    office = office.with_desk(wishes=WISHED)
    settled = settle(office, ready(office))
    assert (settled.row.how, stage(office)) == ("sent", "DT31_5:D")
    # In the stage that counts as paid, too, it waits for no money: nothing is promised to it.
    office.smart_bill(3, funnel_id=RENAMED)
    office.receive(3, booked_on=office.today)
    assert office.match()["promised"] == 0


def test_a_smart_invoice_is_paid_by_its_id_where_the_portal_has_no_others(office: Any) -> None:
    office.smart_bill()
    office.state.settings.legacy_invoices = False
    first = settle_plain(office.desk, 2, None)
    assert (first.row.kind, first.row.how, pays(office)) == ("smart", "sent", 1)
    assert settle_plain(office.desk, 2, None).row.id == first.row.id
    assert pays(office) == 1


def test_an_id_that_may_be_of_either_kind_is_refused(office: Any) -> None:
    office.bill(2)
    office.smart_bill(2)
    with pytest.raises(
        ValueError, match=r'invoice_type: this portal has, or may have, legacy and smart.*"legacy" or "smart"'
    ):
        settle_plain(office.desk, 2, office.pay_system)
    assert (office.executed(), pays(office)) == (0, 0)


@pytest.mark.parametrize(("kind", "legacy", "smart"), [("legacy", 1, 0), ("smart", 0, 1)])
def test_an_id_whose_kind_is_named_pays_in_that_space_alone(office: Any, kind: str, legacy: int, smart: int) -> None:
    office.bill(2)
    office.smart_bill(2)
    office = office.with_desk(invoice_type=kind)
    assert settle_plain(office.desk, 2, office.pay_system).row.kind == kind
    assert (office.executed(), pays(office)) == (legacy, smart)


def test_a_settlement_keeps_its_kind_whatever_type_the_task_was_told(office: Any) -> None:
    office.bill(2, number="Л-17")
    settlement_id = ready(office)
    told = office.with_desk(invoice_type="legacy")
    assert settle_matched(told.desk, settlement_id, 2, office.pay_system).row.kind == "smart"
    assert (office.executed(), pays(office)) == (0, 1)


@pytest.mark.parametrize(("legacy_on", "exists", "kinds"), [
    (True, False, ("legacy", "smart")), (False, True, ("legacy", "smart")), (False, False, ("smart",)),
])  # fmt: skip
def test_auto_asks_the_portal_which_kinds_it_has(
    office: Any, legacy_on: bool, exists: bool, kinds: tuple[str, ...]
) -> None:
    office.smart_bill()
    office.state.settings.legacy_invoices = legacy_on
    if exists:
        office.bill(3)
    assert office.with_desk().desk.invoices.kinds == kinds


def test_a_portal_without_smart_invoices_is_not_asked_for_their_stages(office: Any) -> None:
    office.bill(2)
    assert office.desk.invoices.kinds == ("legacy",)
    office.match()
    assert office.asked("crm.category.list") == 0


def test_a_smart_pay_of_ours_that_this_ledger_does_not_know_is_found_out_and_can_be_adopted(office: Any) -> None:
    office.smart_bill(2)
    office.smart_bill(3)
    office.moves(2, "DT31_5:P", by=seed.TECHNICAL)
    office.moves(3, "DT31_5:P")
    (found,) = unknown_pays(office.desk, None, paid_lately(office.desk))
    assert found.key == ("smart", 2)
    assert (as_found(found).kind, as_found(found).expected) == ("smart", 11800)


def test_a_smart_pay_of_ours_that_this_ledger_made_accuses_nobody(office: Any) -> None:
    settle(office, ready(office))
    assert unknown_pays(office.desk, None, paid_lately(office.desk)) == []


@pytest.mark.parametrize("method", ["crm.item.list", "crm.category.list"])
def test_auto_says_what_to_do_where_our_user_may_not_read_smart_invoices(office: Any, method: str) -> None:
    office.smart_bill()
    office.bill(3, number="2026/3")
    office.receive(3)
    office.fault("error", times=9, method=method, status=400, code="ACCESS_DENIED", description="Access denied")
    said = 'extra.invoice_type: the portal has smart invoices, and our user may not read them; .* or say "legacy"'
    with pytest.raises(AuthError, match=said):
        office.match()
    assert office.with_desk(invoice_type="legacy").match()["promised"] == 1


def test_another_refusal_is_left_as_it_is(office: Any) -> None:
    office.smart_bill()
    office.receive(2)
    office.fault("error", times=9, method="crm.item.list", status=401, code="INVALID_CREDENTIALS")
    with pytest.raises(AuthError, match="INVALID_CREDENTIALS") as caught:
        office.match()
    assert "invoice_type" not in str(caught.value)
