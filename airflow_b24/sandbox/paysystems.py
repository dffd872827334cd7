"""The methods sale.paysystem.* and crm.paysystem.list: paying an invoice, and preparing a portal for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_b24.sandbox.invoice import Invoice
from airflow_b24.sandbox.listing import Column, Columns, Result, matching, page
from airflow_b24.sandbox.php import Arguments, is_empty, is_set, items, to_int, to_text, upper_keys
from airflow_b24.sandbox.state import Handler, PaySystem, State, Turn
from airflow_b24.sandbox.values import write
from airflow_b24.sandbox.wire import RestError

# source-derived: handlers which expect their own callback format instead of a REST call.
GATEWAYS = frozenset({"yandexcheckout", "paypal", "qiwi", "webmoney", "sberbankonline", "alfabank", "liqpay", "adyen"})
PERSON_TYPES = {"CRM_INVOICE": {1: "CRM_CONTACT", 2: "CRM_COMPANY"}, "ORDER": {3: "Individual", 4: "Company"}}
_CANCELLED = {"en": "Order #{} canceled", "ru": "Заказ №{} отменен"}


def kind(state: State, system: PaySystem) -> str:
    """`rest` pays, `gateway` refuses, `bill` answers true and does nothing."""
    if system.action_file in state.handlers:
        return "rest"
    return "gateway" if system.action_file in GATEWAYS else "bill"


def pay_invoice(turn: Turn) -> Result:
    """sale.paysystem.pay.invoice: always `true` or an error; `true` does not prove that anything was paid."""
    state, sent = turn.state, upper_keys(turn.arguments)
    _may_pay(turn)
    _check_pay_system(state, sent)
    invoice = _invoice(state, sent, "Empty field INVOICE_ID!")
    system = _pay_system(state, sent)
    if system is None or system.registry != "CRM_INVOICE":
        raise RestError(400, "ERROR_PROCESS_REQUEST_RESULT", "Pay system not found")
    if kind(state, system) == "bill":
        # source-derived: processRequest is an empty success for handlers that are no service handlers.
        return Result(value=True)
    if kind(state, system) == "gateway":
        raise RestError(400, "ERROR_PROCESS_REQUEST_RESULT", "Payment identifier is empty")
    if invoice.cancelled:
        raise RestError(400, "ERROR_PROCESS_REQUEST_RESULT", _CANCELLED[state.settings.language].format(invoice.id))
    # source-derived: failures of the final save are only logged, e.g. for a number that another invoice has too.
    if not state.number_is_taken(invoice.number, invoice.id) and not (turn.fault and turn.fault.kind == "unpaid"):
        invoice.pay_through(system.id, turn.caller.user.id, turn.now.astimezone(state.zone), _ps_fields(sent))
    return Result(value=True)


def _may_pay(turn: Turn) -> None:
    if not turn.state.settings.crm_module:
        raise RestError(400, "ERROR_INVOICE_NO_SUPPORTED", "Pay invoice is not supported!")
    # source-derived: one of add and update is enough, and no invoice of its own is looked at.
    if not turn.caller.user.invoice_rights & {"add", "update"}:
        raise RestError(403, "ACCESS_DENIED", "Access denied!")


def _check_pay_system(state: State, sent: Arguments) -> None:
    if not is_set(sent, "PAY_SYSTEM_ID") and not is_set(sent, "BX_REST_HANDLER"):
        raise RestError(400, "ERROR_CHECK_FAILURE", "Empty field BX_REST_HANDLER and PAY_SYSTEM_ID")
    if is_set(sent, "PAY_SYSTEM_ID") and to_int(sent["PAY_SYSTEM_ID"]) not in state.pay_systems:
        asked = to_text(sent["PAY_SYSTEM_ID"])
        raise RestError(400, "ERROR_CHECK_FAILURE", f"Pay system with ID={asked} not found")
    # source-derived: the handler is validated even where PAY_SYSTEM_ID is sent and wins.
    if is_set(sent, "BX_REST_HANDLER") and to_text(sent["BX_REST_HANDLER"]) not in state.handlers:
        raise RestError(400, "ERROR_CHECK_FAILURE", "Incorrect rest handler code")


def _invoice(state: State, sent: Arguments, when_empty: str) -> Invoice:
    if is_empty(sent.get("INVOICE_ID")):
        raise RestError(400, "ERROR_CHECK_FAILURE", when_empty)
    invoice = state.invoices.get(to_int(sent["INVOICE_ID"]))
    if invoice is None:
        asked = to_text(sent["INVOICE_ID"])
        raise RestError(400, "ERROR_INTERNAL_INVOICE_NOT_FOUND", f"Invoice #{asked} not found")
    return invoice


def _pay_system(state: State, sent: Arguments) -> PaySystem | None:
    if is_set(sent, "PAY_SYSTEM_ID"):
        return state.pay_systems.get(to_int(sent["PAY_SYSTEM_ID"]))
    code = to_text(sent["BX_REST_HANDLER"])
    return next((system for system in state.pay_systems.values() if system.action_file == code), None)


def _ps_fields(sent: Arguments) -> dict[str, str]:
    return {name: to_text(value) for name, value in sent.items() if name.startswith("PS_") and not is_empty(value)}


def invoice_settings(turn: Turn) -> Result:
    """sale.paysystem.settings.invoice.get: the values of the handler's codes for one invoice."""
    state, sent = turn.state, upper_keys(turn.arguments)
    _may_pay(turn)
    if not is_set(sent, "PAY_SYSTEM_ID") and not is_set(sent, "BX_REST_HANDLER"):
        _check_pay_system(state, sent)
    if is_empty(sent.get("INVOICE_ID")):
        raise RestError(400, "ERROR_CHECK_FAILURE", "Empty field INVOICE_ID")
    _check_pay_system(state, sent)
    system = _pay_system(state, sent)
    if system is None:
        code = to_text(sent.get("BX_REST_HANDLER"))
        raise RestError(400, "ERROR_PAY_SYSTEM_NOT_FOUND", f"Pay system with handler {code} not found")
    invoice = _invoice(state, sent, "Empty field INVOICE_ID")
    if kind(state, system) != "rest":
        raise RestError(403, "ACCESS_DENIED", "Access denied!")
    codes = items(state.handlers[system.action_file].settings.get("CODES"))
    return Result({name: _evaluated(turn, invoice, system, name, code) for name, code in codes})


_PAYMENT_VALUES = {
    "PAID": ("paid", "flag"),
    "DATE_PAID": ("paid_at", "datetime"),
    "SUM": ("price", "money"),
    "ACCOUNT_NUMBER": ("number", "text"),
    "PAY_VOUCHER_DATE": ("voucher_date", "date"),
    "XML_ID": ("xml_id", "text"),
}


def _evaluated(turn: Turn, invoice: Invoice, system: PaySystem, name: str, code: Any) -> str:
    preset = upper_keys(code).get("DEFAULT", {}) if isinstance(code, Mapping) else {}
    provided = _PAYMENT_VALUES.get(to_text(preset.get("PROVIDER_VALUE"))) if isinstance(preset, Mapping) else None
    if provided and preset.get("PROVIDER_KEY") == "PAYMENT":
        return write(getattr(invoice, provided[0]), provided[1], turn.state.zone)
    return to_text(system.settings.get(name, ""))


def _need_crm_admin(turn: Turn) -> None:
    if not turn.caller.user.crm_admin:
        raise RestError(403, "ACCESS_DENIED", "Access denied!")


def _row(system: PaySystem) -> dict[str, Any]:
    # docs: sale.paysystem.list; ID, PERSON_TYPE_ID and SORT are numbers here, unlike crm.*.
    fixed = {"RESULT_FILE": None, "NEW_WINDOW": "N", "PS_MODE": None, "IS_CASH": "N", "AUTO_CHANGE_1C": "N"}
    return fixed | {
        "ID": system.id,
        "PERSON_TYPE_ID": system.person_type_id,
        "NAME": system.name,
        "PSA_NAME": system.name,
        "SORT": system.sort,
        "DESCRIPTION": system.description,
        "ACTION_FILE": system.action_file,
        "ACTIVE": "Y" if system.active else "N",
        "ALLOW_EDIT_PAYMENT": "Y",
        "CAN_PRINT_CHECK": "N",
        "ENTITY_REGISTRY_TYPE": system.registry,
        "XML_ID": system.xml_id,
    }


def _columns(names: Mapping[str, Any]) -> Columns:
    def column(name: str, value: object) -> Column:
        return Column("int" if isinstance(value, int) else "text", lambda row: row[name])

    return {name: column(name, value) for name, value in names.items()}


def list_(turn: Turn) -> Result:
    """sale.paysystem.list: for CRM administrators only, and never paged."""
    _need_crm_admin(turn)
    asked = upper_keys(turn.arguments)
    rows = [_row(system) for system in turn.state.pay_systems.values()]
    columns = _columns(_row(PaySystem(0, "", "")))
    select = [to_text(name) for _, name in items(asked.get("SELECT"))]
    for place, names in (("select", select), ("filter", [name for name, _ in items(asked.get("FILTER"))])):
        for name in names:
            if name.lstrip("!=<>@%?*") not in columns and name != "*":
                # source-derived: a forbidden field is an error with an empty code.
                raise RestError(400, "", f"{name.lstrip('!=<>@%?*')} not allowed for {place}")
    found = matching(rows, columns, asked, turn.state.zone)
    wanted = set(columns) if not select or "*" in select else set(select)
    return Result([{name: value for name, value in row.items() if name in wanted} for row in found])


def add(turn: Turn) -> Result:
    """sale.paysystem.add: returns the new id; not repeatable, so look for the XML_ID first."""
    _need_crm_admin(turn)
    state, sent = turn.state, upper_keys(turn.arguments)
    for name in ("NAME", "PERSON_TYPE_ID", "BX_REST_HANDLER"):
        if is_empty(sent.get(name)):
            raise RestError(400, "ERROR_CHECK_FAILURE", f"Empty field {name}!")
    registry = to_text(sent.get("ENTITY_REGISTRY_TYPE") or "CRM_INVOICE")
    person_type = to_int(sent["PERSON_TYPE_ID"])
    if person_type not in PERSON_TYPES.get(registry, {}):
        raise RestError(400, "ERROR_PERSON_TYPE_NOT_FOUND", "Incorrect person type id!")
    code = to_text(sent["BX_REST_HANDLER"])
    if code not in state.handlers:
        raise RestError(400, "ERROR_HANDLER_NOT_FOUND", "Handler not found")
    system_id = max(state.pay_systems, default=0) + 1
    active = sent.get("ACTIVE") == "Y"
    xml_id, text = to_text(sent.get("XML_ID")), to_text(sent.get("DESCRIPTION"))
    system = PaySystem(system_id, to_text(sent["NAME"]), code, registry, person_type, active, 100, xml_id, text)
    state.pay_systems[system_id] = system
    return Result(system_id)


def handlers(turn: Turn) -> Result:
    """sale.paysystem.handler.list: for CRM administrators only; parameters are ignored."""
    _need_crm_admin(turn)
    return Result([_handler_row(handler) for handler in turn.state.handlers.values()])


def _handler_row(handler: Handler) -> dict[str, Any]:
    numbers = {"ID": str(handler.id), "SORT": str(handler.sort)}
    return numbers | {"NAME": handler.name, "CODE": handler.code, "SETTINGS": handler.settings}


def add_handler(turn: Turn) -> Result:
    """sale.paysystem.handler.add: returns the new id; a code can be added once."""
    _need_crm_admin(turn)
    sent, state = upper_keys(turn.arguments), turn.state
    for name in ("NAME", "CODE", "SETTINGS"):
        if is_empty(sent.get(name)):
            raise RestError(400, "ERROR_CHECK_FAILURE", f"Empty field {name}!")
    code = to_text(sent["CODE"])
    if code in state.handlers:
        raise RestError(400, "ERROR_HANDLER_ALREADY_EXIST", "Handler already exists!")
    handler_id = max((handler.id for handler in state.handlers.values()), default=0) + 1
    settings = dict(items(sent["SETTINGS"]))
    state.handlers[code] = Handler(handler_id, to_text(sent["NAME"]), code, to_int(sent.get("SORT", 100)), settings)
    return Result(handler_id)


def crm_list(turn: Turn) -> Result:
    """crm.paysystem.list: the invoice pay systems, readable without being a CRM administrator."""
    systems = [system for system in turn.state.pay_systems.values() if system.registry == "CRM_INVOICE"]
    rows = [_row(system) | {"HANDLER": system.action_file, "HANDLER_CODE": system.action_file} for system in systems]
    names = ("ID", "NAME", "ACTIVE", "SORT", "DESCRIPTION", "PERSON_TYPE_ID", "ACTION_FILE", "HANDLER", "HANDLER_CODE")
    columns = _columns({name: 0 if name in {"ID", "SORT", "PERSON_TYPE_ID"} else "" for name in names})
    return page(rows, columns, turn.arguments, turn.state.zone, counts_fast=False)


def person_types(turn: Turn) -> Result:
    """crm.persontype.list: the person types of invoices."""
    rows = [{"ID": number, "NAME": name} for number, name in PERSON_TYPES["CRM_INVOICE"].items()]
    return page(rows, _columns({"ID": 0, "NAME": ""}), turn.arguments, turn.state.zone, counts_fast=False)
