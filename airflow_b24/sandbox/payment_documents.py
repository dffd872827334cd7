"""The methods crm.item.payment.* and sale.paysystem.pay.payment: payment documents of smart invoices."""

from __future__ import annotations

from airflow_b24.sandbox.funnel import SUCCESS
from airflow_b24.sandbox.listing import Result
from airflow_b24.sandbox.payment_document import PaymentDocument
from airflow_b24.sandbox.paysystems import kind
from airflow_b24.sandbox.php import is_empty, to_int, to_text, upper_keys
from airflow_b24.sandbox.smart_invoice import SmartPay
from airflow_b24.sandbox.smart_invoices import argument, find
from airflow_b24.sandbox.stage_moves import move
from airflow_b24.sandbox.state import PaySystem, State, Turn
from airflow_b24.sandbox.values import write_json
from airflow_b24.sandbox.wire import RestError

_CHECK = "ERROR_CHECK_FAILURE"


def list_(turn: Turn) -> Result:
    """crm.item.payment.list: the documents of one invoice, never paged."""
    invoice = find(turn, "entityId", "read")
    return Result([row(turn.state, each) for each in documents_of(turn.state, invoice.id)])


def documents_of(state: State, invoice_id: int) -> list[PaymentDocument]:
    """The payment documents of a smart invoice."""
    return [each for each in state.payment_documents.values() if each.invoice_id == invoice_id]


def get(turn: Turn) -> Result:
    """crm.item.payment.get."""
    return Result(row(turn.state, _find(turn, "read")))


def row(state: State, document: PaymentDocument) -> dict[str, object]:
    """A payment document as REST shows it."""
    # docs: crm.item.payment.list.
    system = state.pay_systems.get(document.pay_system_id)
    return {
        "id": document.id,
        "accountNumber": document.number,
        "paid": "Y" if document.paid else "N",
        "datePaid": write_json(document.paid_at, "datetime", state.zone),
        "empPaidId": document.paid_by,
        "paySystemId": document.pay_system_id,
        "sum": write_json(document.amount, "money", state.zone),
        "currency": document.currency,
        "paySystemName": system.name if system else "",
    }


def _find(turn: Turn, right: str) -> PaymentDocument:
    # docs: these errors have the code 0.
    document = turn.state.payment_documents.get(to_int(argument(turn, "id")))
    if document is None:
        raise RestError(400, "0", "Payment has not been found")
    if right not in turn.caller.user.invoice_rights:
        raise RestError(400, "0", "Insufficient permissions")
    return document


def add(turn: Turn) -> Result:
    """crm.item.payment.add: returns the new id; the document has no sum and no pay system yet."""
    invoice = find(turn, "entityId", "update")
    return Result(new_document(turn.state, invoice.id).id)


def new_document(state: State, invoice_id: int) -> PaymentDocument:
    """Add an empty document to a smart invoice."""
    invoice, document_id = state.smart_invoices[invoice_id], max(state.payment_documents, default=0) + 1
    number = f"{invoice.number}/{len(documents_of(state, invoice_id)) + 1}"
    document = PaymentDocument(document_id, invoice_id, number, currency=invoice.currency)
    state.payment_documents[document_id] = document
    return document


def pay(turn: Turn) -> Result:
    """crm.item.payment.pay: true for a paid one too; the stage of the invoice stays as it is."""
    turn = turn.acted()
    _pay(turn, _find(turn, "update"), "crm.item.payment.pay")
    return Result(value=True)


def _pay(turn: Turn, document: PaymentDocument, method: str) -> None:
    state, user, now = turn.state, turn.caller.user.id, turn.now.astimezone(turn.state.zone)
    document.pay(user, now)
    invoice = state.smart_invoices.get(document.invoice_id)
    if invoice is None:
        return
    invoice.executed_pays.append(SmartPay(now, user, method, document.id))
    # docs: only the trigger "order paid" of a funnel, where one is set up, moves the invoice.
    funnel = state.funnels.get(invoice.category_id) if state.settings.paid_order_moves_stage else None
    if funnel and all(each.paid for each in documents_of(state, invoice.id)):
        move(state, invoice, funnel.ending(SUCCESS), user, now)


def unpay(turn: Turn) -> Result:
    """crm.item.payment.unpay: true for an unpaid one too."""
    turn = turn.acted()
    _find(turn, "update").unpay()
    return Result(value=True)


def pay_payment(turn: Turn) -> Result:
    """sale.paysystem.pay.payment: `true` or an error; only a REST handler really pays."""
    turn = turn.acted()
    if not turn.caller.user.invoice_rights & {"add", "update"}:
        raise RestError(403, "ACCESS_DENIED", "Access denied!")
    system, document = _bound(turn)
    if system.registry != "ORDER":
        # not established: the words for a pay system of legacy invoices.
        raise RestError(400, "ERROR_PROCESS_REQUEST_RESULT", "Pay system not found")
    how = kind(turn.state, system)
    if how == "gateway":
        raise RestError(400, "ERROR_PROCESS_REQUEST_RESULT", "Payment identifier is empty")
    # docs: handlers that are no service handlers answer true and do nothing.
    if how == "rest":
        _pay(turn, document, "sale.paysystem.pay.payment")
    return Result(value=True)


def _bound(turn: Turn) -> tuple[PaySystem, PaymentDocument]:
    sent, state = upper_keys(turn.arguments), turn.state
    if is_empty(sent.get("PAY_SYSTEM_ID")):
        raise RestError(400, _CHECK, "Empty field PAY_SYSTEM_ID!")
    system = state.pay_systems.get(to_int(sent["PAY_SYSTEM_ID"]))
    if system is None:
        raise RestError(400, _CHECK, "Pay system not found")
    if is_empty(sent.get("PAYMENT_ID")):
        raise RestError(400, _CHECK, "Empty field PAYMENT_ID")
    document = state.payment_documents.get(to_int(sent["PAYMENT_ID"]))
    # docs: the document must be bound to that pay system already.
    if document is None or document.pay_system_id != system.id:
        asked = f"ID={to_text(sent['PAYMENT_ID'])} and PAY_SYSTEM_ID={to_text(sent['PAY_SYSTEM_ID'])}"
        raise RestError(400, _CHECK, f"Payment with {asked} not found")
    return system, document
