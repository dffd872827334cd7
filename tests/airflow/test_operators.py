from __future__ import annotations

import inspect
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException
from sqlalchemy import update

from airflow_b24.bitrix.errors import UnknownOutcomeError
from airflow_b24.ledger import notes, settlements
from airflow_b24.ledger.portals import portal_id
from airflow_b24.ledger.schema import settlement
from airflow_b24.ledger.store import utc_now
from airflow_b24.operators import (
    Bitrix24Operator,
    CollectPaymentsOperator,
    MatchPaymentsOperator,
    PayInvoiceOperator,
    PayPaymentOperator,
    SweepLedgerOperator,
)
from airflow_b24.paginators import JSONResponseCursorPaginator
from airflow_b24.payments.statements.records import RecordFields
from airflow_b24.sandbox import seed
from airflow_b24.sandbox.payment_documents import new_document
from airflow_b24.sources import HttpSource

OURS = (PayInvoiceOperator, PayPaymentOperator, CollectPaymentsOperator, MatchPaymentsOperator, Bitrix24Operator)
PAY = "sale.paysystem.pay.invoice"
NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
BANK = HttpSource(
    http_conn_id="bank",
    endpoint="bank/payments",
    data_selector="payments",
    paginator=JSONResponseCursorPaginator(),
    record_fields=RecordFields(remittance="purpose", payer_tax_id="payer.tax_id", payer_name="payer.name"),
)


class Task:
    """The task instance an operator talks to."""

    def __init__(self) -> None:
        self.pushed: dict[str, object] = {}

    def xcom_push(self, key: str, value: object) -> None:
        self.pushed[key] = value


def _run(operator: BaseOperator, **context: Any) -> Any:
    """Render and execute, as a worker does."""
    whole: Any = {"ti": Task(), **context}
    operator.render_template_fields(whole)
    return operator.execute(whole)


def _pay(**arguments: Any) -> Any:
    return _run(PayInvoiceOperator(task_id="pay", **arguments))


@pytest.mark.parametrize("operator", OURS)
def test_every_template_field_is_an_argument(operator: type[BaseOperator]) -> None:
    assert set(operator.template_fields) <= set(inspect.signature(operator.__init__).parameters)


@pytest.mark.parametrize("operator", OURS)
def test_no_argument_takes_a_name_of_airflows(operator: type[BaseOperator]) -> None:
    ours = set(inspect.signature(operator.__init__).parameters) - {"self", "kwargs"}
    assert ours & set(inspect.signature(BaseOperator.__init__).parameters) - {"self", "kwargs"} == set()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"invoice_id": 0}, "invoice_id: '0' is no id; give a whole number above 0"),
        ({"invoice_id": -5}, "invoice_id: '-5'"),
        ({"invoice_id": "5.0"}, "invoice_id: '5.0'"),
        ({"invoice_id": 5.0}, "invoice_id: '5.0'"),
        ({"invoice_id": True}, "invoice_id: 'True'"),
        ({"invoice_id": ""}, "invoice_id: ''"),
        ({"invoice_id": None}, "invoice_id: 'None'"),
        ({"invoice_id": " 5"}, "invoice_id: ' 5'"),
        ({"invoice_id": "٥"}, "invoice_id: '٥'"),
        ({"invoice_id": "1e3"}, "invoice_id: '1e3'"),
        ({"invoice_id": [5]}, "invoice_id: '[5]'"),
        ({"invoice_id": 10**18}, "invoice_id: '1000000000000000000'"),
        ({"invoice_id": "{{ params.nothing }}"}, "invoice_id: ''"),
        ({"invoice_id": 5, "pay_system_id": 0}, "pay_system_id: '0' is no id; give a whole number above 0"),
        ({"invoice_id": 5, "pay_system_id": "31.0"}, "pay_system_id: '31.0'"),
        ({"invoice_id": 5, "pay_system_id": True}, "pay_system_id: 'True'"),
        ({"invoice_id": 5, "pay_system_id": [31]}, "pay_system_id: '[31]'"),
        ({"invoice_id": 5, "bx_rest_handler": "  "}, "bx_rest_handler: give the code of a REST handler"),
        ({"invoice_id": 5, "bx_rest_handler": 7}, "bx_rest_handler: give the code of a REST handler"),
        ({"invoice_id": 5, "settlement_id": 0}, "settlement_id: '0' is no id; give a whole number above 0"),
        ({"invoice_id": 5, "settlement_id": "one"}, "settlement_id: 'one'"),
        ({"invoice_id": 5, "invoice_type": "old"}, "invoice_type: 'old' is not known"),
    ],
    ids=str,
)
def test_a_bad_argument_fails_for_good_before_anything_is_sent(
    world: Any, arguments: dict[str, Any], named: str
) -> None:
    world.bill(5)
    world.connect(pay_system_id=None)
    with pytest.raises(AirflowFailException) as caught:
        _run(PayInvoiceOperator(task_id="pay", **arguments), params={"nothing": ""})
    assert named in str(caught.value)
    assert world.state.requests == 0


@pytest.mark.parametrize(
    "given", [{}, {"pay_system_id": "", "bx_rest_handler": ""}, {"pay_system_id": "None"}, {"invoice_type": "legacy"}]
)
def test_a_legacy_invoice_without_a_pay_system_fails_for_good_and_nothing_is_written(
    world: Any, given: dict[str, Any]
) -> None:
    world.bill(5)
    world.connect(pay_system_id=None)
    with pytest.raises(AirflowFailException, match=r"bx_rest_handler: both are missing.*airflow-b24 setup"):
        _pay(invoice_id=5, **given)
    assert world.pays() == {}
    with world.store().snapshot() as connection:
        assert connection.execute(settlement.select()).all() == []


def test_a_bad_argument_fails_no_dag_file_for_it_may_be_a_template() -> None:
    PayInvoiceOperator(task_id="pay", invoice_id="{{ params.invoice_id }}", pay_system_id="")


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        ({"invoice_id": 5, "pay_system_id": seed.REST_SYSTEM}, {"pay_system_id": None}),
        ({"invoice_id": "5", "pay_system_id": "31"}, {"pay_system_id": seed.BILL_SYSTEM}),
        ({"invoice_id": 5, "bx_rest_handler": seed.HANDLER}, {"pay_system_id": None}),
        ({"invoice_id": 5, "bx_rest_handler": "unheard-of", "pay_system_id": seed.REST_SYSTEM}, {}),
        ({"invoice_id": 5}, {}),
        ({"invoice_id": 5}, {"pay_system_id": None, "bx_rest_handler": seed.HANDLER}),
    ],
    ids=["id", "id beats extra", "handler", "id beats handler", "extra's id", "extra's handler"],
)
def test_an_invoice_is_paid_once_and_proved(world: Any, arguments: dict[str, Any], extra: dict[str, Any]) -> None:
    world.bill(5, "45300.50")
    world.connect(**extra)
    result = _pay(**arguments)
    assert result == {
        "invoice_id": 5,
        "invoice_type": "legacy",
        "settlement_id": 1,
        "status": "paid",
        "reason": None,
        "number": "2026/5",
        "amount": "45300.50",
        "currency": "RUB",
    }
    assert world.pays() == {5: 1}


@pytest.mark.parametrize(("switched_on", "count"), [(True, 1), (False, 0)])
def test_what_paid_an_invoice_is_said_in_its_timeline_where_that_is_wished(
    world: Any, switched_on: bool, count: int
) -> None:
    invoice = world.bill(5)
    world.connect(timeline_comments=switched_on)
    for _ in range(2):
        assert _pay(invoice_id=5)["status"] == "paid"
    assert len(world.state.comments_on("company", invoice.company_id)) == count


def test_a_comment_that_cannot_be_written_stops_nothing(world: Any, capsys: pytest.CaptureFixture[str]) -> None:
    world.bill(5)
    world.connect(timeline_comments=True)
    world.fault("error", method="crm.timeline.comment.list", status=403, code="ACCESS_DENIED", times=9)
    assert _pay(invoice_id=5)["status"] == "paid"
    assert "Not everything was written on the invoice" in capsys.readouterr().out


def test_a_sweep_writes_the_comment_that_could_not_be_written_and_only_logs_what_still_cannot(
    world: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notes, "PAUSES", (timedelta(),))
    invoice = world.bill(5)
    world.connect(timeline_comments=True)
    world.fault("error", method="crm.timeline.comment.list", status=403, code="ACCESS_DENIED", times=2)
    _pay(invoice_id=5)
    store = world.store()
    with store.transaction() as connection:
        connection.execute(update(settlement).values(updated_at=utc_now(connection) - timedelta(hours=2)))
    store.close()
    assert _run(SweepLedgerOperator(task_id="sweep")) == []
    assert "Not everything was written on paid invoices, a later sweep tries again" in capsys.readouterr().out
    assert world.state.comments_on("company", invoice.company_id) == []
    _run(SweepLedgerOperator(task_id="sweep"))
    assert len(world.state.comments_on("company", invoice.company_id)) == 1


def test_a_smart_invoice_is_paid_by_its_id_and_its_kind(world: Any) -> None:
    world.bill(5)
    smart = world.smart_bill(5)
    with pytest.raises(AirflowFailException, match=r"invoice_type: this portal has, or may have, legacy and smart"):
        _pay(invoice_id=5)
    result = _pay(invoice_id=5, invoice_type="smart")
    assert (result["status"], result["invoice_type"], result["number"]) == ("paid", "smart", smart.number)
    assert (world.pays(), world.smart_pays()) == ({}, {5: 1})


def test_a_payment_of_an_order_is_paid_once_by_its_id(world: Any) -> None:
    world.smart_bill(5)
    document = new_document(world.state, 5)
    document.amount, document.pay_system_id = Decimal("118.00"), seed.ORDER_SYSTEM
    operator = PayPaymentOperator(task_id="pay", payment_id="{{ params.id }}")
    first = _run(operator, params={"id": document.id})
    assert first == {
        "payment_id": 1,
        "invoice_type": "payment",
        "settlement_id": 1,
        "status": "paid",
        "reason": None,
        "number": document.number,
        "amount": "118.00",
        "currency": "RUB",
    }
    assert _run(PayPaymentOperator(task_id="pay", payment_id=1, pay_system_id=33)) == first
    assert world.smart_pays() == {5: 1}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"payment_id": "5.0"}, "payment_id"), ({"payment_id": 5, "pay_system_id": 0}, "pay_system_id")],
)
def test_a_bad_payment_fails_for_good_before_anything_is_sent(
    world: Any, arguments: dict[str, Any], named: str
) -> None:
    with pytest.raises(AirflowFailException, match=named):
        _run(PayPaymentOperator(task_id="pay", **arguments))
    assert world.state.requests == 0


def test_an_invoice_paid_before_is_not_paid_again(world: Any) -> None:
    world.bill(5)
    first = _pay(invoice_id=5)
    assert _pay(invoice_id="5") == first
    assert world.pays() == {5: 1}


def test_an_invoice_paid_by_hand_is_already_paid(world: Any) -> None:
    world.bill(5, paid=True, status_id="P", paid_at=NOW)
    assert _pay(invoice_id=5)["status"] == "already_paid"
    assert world.pays() == {}


def test_the_task_shows_the_invoices_number_and_its_address_also_when_it_fails(world: Any) -> None:
    world.bill(5, status_id="D", cancelled=True)
    context: Any = {"ti": Task()}
    operator = PayInvoiceOperator(task_id="pay", invoice_id=5)
    with pytest.raises(AirflowFailException):
        operator.execute(context)
    assert context["invoice_number"] == "2026/5"
    assert context["ti"].pushed == {"b24_invoice_url": f"{world.addresses.https}/crm/invoice/show/5/"}


def test_a_plain_pay_that_needs_a_person_fails_for_good(world: Any) -> None:
    world.bill(5, status_id="D", cancelled=True)
    with pytest.raises(AirflowFailException, match=r"2026/5 is not paid.*cancelled"):
        _pay(invoice_id=5)
    assert world.pays() == {}


def test_an_invoice_the_portal_does_not_know_fails_for_good(world: Any) -> None:
    with pytest.raises(AirflowFailException, match="Nothing ran"):
        _pay(invoice_id=404)


def test_a_settlement_that_the_ledger_does_not_know_fails_for_good(world: Any) -> None:
    with pytest.raises(AirflowFailException, match="settlement_id=404 is not in this ledger"):
        _pay(invoice_id=5, settlement_id=404)


def test_a_lost_answer_is_proved_by_reading(world: Any) -> None:
    world.bill(5)
    world.fault("lost_after", method=PAY)
    assert _pay(invoice_id=5)["status"] == "paid"
    assert world.pays() == {5: 1}


def test_an_outcome_that_stays_unknown_is_retried_when_the_call_cannot_land_any_more(world: Any) -> None:
    world.bill(5)
    world.fault("lost_before", method=PAY)
    before = datetime.now(UTC)
    with pytest.raises(UnknownOutcomeError, match="2026/5") as caught:
        _pay(invoice_id=5)
    assert caught.value.retry_at is not None
    assert timedelta(seconds=120) < caught.value.retry_at - before < timedelta(minutes=10)
    with pytest.raises(UnknownOutcomeError):
        _pay(invoice_id=5)
    assert world.pays() == {}


def test_a_wrong_kind_of_pay_system_is_found_out(world: Any) -> None:
    world.bill(5)
    with pytest.raises(AirflowFailException, match=r"answer(s|ed) true"):
        _pay(invoice_id=5, pay_system_id=seed.BILL_SYSTEM)
    assert not world.state.invoices[5].paid


def test_a_webhook_without_the_scope_fails_for_good_and_pays_nothing(world: Any) -> None:
    world.bill(5)
    world.connect(secret=seed.CRM_ONLY_SECRET)
    with pytest.raises(AirflowFailException, match="pay_system"):
        _pay(invoice_id=5)
    assert world.pays() == {}


def test_a_settlement_of_another_invoice_is_refused_before_anything_is_sent(world: Any) -> None:
    world.bill(5)
    (ready,) = _ready(world, [5])
    with pytest.raises(AirflowFailException, match=r"settlement_id=1 is of invoice 5, not of invoice_id=6"):
        _pay(invoice_id=6, settlement_id=ready["settlement_id"])
    assert world.state.requests == 0


def test_a_matched_invoice_that_needs_a_person_is_a_result(world: Any) -> None:
    world.bill(5, status_id="D", cancelled=True)
    (ready,) = _ready(world, [5])
    result = _pay(**ready)
    assert (result["status"], result["reason"]) == ("review", "cancelled")


def _ready(world: Any, invoice_ids: list[int], amount: int = 11800) -> list[dict[str, int]]:
    """Make settlements ready, as matching would leave them."""
    world.pin()
    store = world.store()
    with store.transaction() as connection:
        portal = portal_id(connection, world.addresses.https.removeprefix("https://"))
        rows = [
            {
                "portal_id": portal,
                "kind": "legacy",
                "invoice_id": invoice_id,
                "invoice_number": f"2026/{invoice_id}",
                "origin": "match",
                "state": "ready",
                "expected": amount,
                "allocated": amount,
                "currency": "RUB",
                "exponent": 2,
                "created_at": NOW,
                "updated_at": NOW,
            }
            for invoice_id in invoice_ids
        ]
        connection.execute(settlement.insert(), rows)
    return settlements.due(store, portal, len(invoice_ids))


def _mark_paid(world: Any, items: list[dict[str, int]]) -> None:
    with world.store().transaction() as connection:
        mine = settlement.c.id.in_([item["settlement_id"] for item in items])
        connection.execute(settlement.update().where(mine).values(state="paid", how="sent"))


def test_no_more_is_emitted_than_airflow_can_map_and_the_rest_comes_with_the_next_run(world: Any) -> None:
    _ready(world, list(range(1, 1101)))
    seen: list[int] = []
    for expected in (500, 500, 100, 0):
        items = _run(MatchPaymentsOperator(task_id="match", mode="pay"))
        assert len(items) == expected
        assert all(set(item) == {"invoice_id", "settlement_id"} for item in items)
        seen += [item["invoice_id"] for item in items]
        _mark_paid(world, items)
    assert seen == list(range(1, 1101))


def test_shadow_mode_emits_nothing_even_when_something_is_ready(world: Any) -> None:
    _ready(world, [5])
    assert _run(MatchPaymentsOperator(task_id="match")) == []
    assert _run(MatchPaymentsOperator(task_id="match", mode="{{ params.mode }}"), params={"mode": "shadow"}) == []


@pytest.mark.parametrize("mode", ["", "PAY", "Shadow", "yes", "None"])
def test_an_unknown_mode_is_refused_with_the_fix_before_anything_is_sent(world: Any, mode: str) -> None:
    with pytest.raises(AirflowFailException, match=r'mode: .*"shadow".*"pay"'):
        _run(MatchPaymentsOperator(task_id="match", mode=mode))
    assert world.state.requests == 0


@pytest.mark.parametrize("max_items", [0, -1, "500", 1.5, True])
def test_max_items_that_counts_nothing_is_refused_when_the_dag_is_read(max_items: Any) -> None:
    with pytest.raises(ValueError, match=r"max_items: .*whole number above 0"):
        MatchPaymentsOperator(task_id="match", max_items=max_items)


@pytest.mark.parametrize("start_from", ["", "None", "01.12.2026", "2026-13-01", "yesterday"])
def test_collecting_without_a_first_day_is_refused_with_the_fix_before_anything_is_asked(
    world: Any, start_from: str
) -> None:
    world.state.bank.api_key = "another"
    with pytest.raises(AirflowFailException, match=r"start_from: .*2026-12-01.*never pays old history"):
        _run(CollectPaymentsOperator(task_id="collect", source=BANK, start_from=start_from))


def test_a_payment_is_collected_matched_and_its_invoice_paid(world: Any) -> None:
    world.bill(5)
    world.payment(5)
    counts = _run(CollectPaymentsOperator(task_id="collect", source=BANK, start_from="2026-01-01"))
    assert counts == {"received": 1, "new": 1, "repeated": 0, "ignored": 0, "quarantined": 0, "amended": 0}
    again = _run(CollectPaymentsOperator(task_id="collect", source=BANK, start_from="2026-01-01"))
    assert (again["new"], again["repeated"]) == (0, 1)
    (item,) = _run(MatchPaymentsOperator(task_id="match", mode="pay"))
    assert _pay(**item)["status"] == "paid"
    assert world.pays() == {5: 1}


def test_an_error_leaves_the_task_without_the_chain_that_led_to_it(world: Any) -> None:
    with pytest.raises(AirflowFailException) as caught:
        _pay(invoice_id=404)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_any_method_can_be_called_with_templated_arguments(world: Any) -> None:
    world.bill(5)
    operator = Bitrix24Operator(
        task_id="get", method="crm.invoice.{{ params.verb }}", arguments={"ID": "{{ params.id }}"}
    )
    assert _run(operator, params={"verb": "get", "id": 5})["ACCOUNT_NUMBER"] == "2026/5"


def test_any_methods_refusal_is_translated_too(world: Any) -> None:
    with pytest.raises(AirflowFailException, match="no such method"):
        _run(Bitrix24Operator(task_id="get", method="crm.unheard.of"))


def test_a_lost_write_through_any_method_fails_for_good_for_a_retry_would_send_it_again(world: Any) -> None:
    world.bill(5)
    world.fault("lost_after", method="crm.invoice.update")
    operator = Bitrix24Operator(
        task_id="update", method="crm.invoice.update", arguments={"ID": 5, "fields": {"COMMENTS": "x"}}
    )
    with pytest.raises(AirflowFailException, match="may have happened"):
        _run(operator)


@pytest.mark.parametrize("method", [PAY, PAY.upper()])
def test_the_call_that_answers_true_to_anything_is_refused_through_any_method(world: Any, method: str) -> None:
    with pytest.raises(AirflowFailException, match=r"method: .*use PayInvoiceOperator"):
        _run(Bitrix24Operator(task_id="pay", method=method, arguments={"INVOICE_ID": 5}))
    assert world.state.requests == 0


@pytest.mark.parametrize("nothing", ["", "None"])
def test_a_settlement_that_renders_to_nothing_is_no_plain_pay(world: Any, nothing: str) -> None:
    world.bill(5)
    with pytest.raises(AirflowFailException, match="settlement_id: "):
        _pay(invoice_id=5, settlement_id=nothing)
    assert world.state.requests == 0
