"""Legacy invoices: reading, listing, paying. Only what the portal is known to understand is sent to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from airflow_b24.bitrix.errors import INVOICE_GONE, BitrixError, RequestError, ResponseError
from airflow_b24.bitrix.fields import UNEXPECTED_VALUE, check_id
from airflow_b24.bitrix.flows import QUICK, Flow, attempt, call
from airflow_b24.bitrix.invoice import Invoice
from airflow_b24.bitrix.legacy_invoice import SELECT, PayInvoice, parse_invoice
from airflow_b24.bitrix.listing import Listing
from airflow_b24.bitrix.protocol import PAY_INVOICE, Request, Response
from airflow_b24.bitrix.reading import read_asked_for

__all__ = [
    "FIELDS",
    "PayInvoice",
    "by_id",
    "get_invoice",
    "invoice_listing",
    "listing_of",
    "look",
    "moved_since",
    "open_invoices",
    "paid_since",
    "pay_invoice",
]

# source-derived: what crm.invoice.list knows; it drops a condition on anything else and returns MORE rows.
FIELDS: Final = frozenset(
    {
        *SELECT,
        "EMP_STATUS_ID",
        "TAX_VALUE",
        "REASON_MARKED",
        "DATE_MARKED",
        "DATE_PAY_BEFORE",
        "DATE_INSERT",
        "DATE_UPDATE",
        "CREATED_BY",
        "RESPONSIBLE_ID",
        "LID",
        "XML_ID",
        "IS_RECURRING",
        "COMMENTS",
        "USER_DESCRIPTION",
        "UF_QUOTE_ID",
    }
)
# docs: a list gives 50 rows to a page.
PAGE: Final = 50
_CUSTOM_FIELD: Final = re.compile(r"UF_CRM_[A-Z0-9_]+")
_CONDITION: Final = re.compile(r"([^A-Za-z]*)([A-Za-z][A-Za-z0-9_]*)")
_ONE_VALUE: Final = frozenset({"", "=", "==", "!", "!=", ">", ">=", "<", "<=", "%", "=%", "%=", "!%"})
_MANY_VALUES: Final = frozenset({"", "@", "!@"})

Filter = Mapping[str, object]


def get_invoice(invoice_id: int) -> Flow[Invoice]:
    """Read one invoice. Raises BitrixError; repeating is safe."""
    invoice_id = check_id(invoice_id, "invoice_id")
    return _get(invoice_id)


def _get(invoice_id: int) -> Flow[Invoice]:
    try:
        found = _as_invoice((yield from call("crm.invoice.get", {"id": invoice_id})), invoice_id)
    except RequestError as error:
        raise (yield from _gone(invoice_id, paced=True)) or error from None
    if isinstance(found, BitrixError):
        raise found
    return found


def look(invoice_id: int) -> Flow[Invoice | BitrixError]:
    """Read one invoice at once, its slot being reserved; an error is returned, not raised. Repeating is safe."""
    request = Request("crm.invoice.get", {"id": invoice_id}, write=False, paced=False)
    outcome = yield from attempt(request, QUICK)
    if isinstance(outcome, RequestError):
        return (yield from _gone(invoice_id, paced=False)) or outcome
    return outcome if isinstance(outcome, BitrixError) else _as_invoice(outcome, invoice_id)


def _gone(invoice_id: int, *, paced: bool) -> Flow[BitrixError | None]:
    """Tell a deleted invoice from a missing right: crm.invoice.get refuses both in the same way, a list does not."""
    arguments = {"filter": {"=ID": invoice_id}, "select": ["ID"], "start": -1}
    listed = yield from attempt(Request("crm.invoice.list", arguments, write=False, paced=paced), QUICK)
    if isinstance(listed, BitrixError) or listed.result != []:
        return None
    return RequestError(INVOICE_GONE, f"invoice_id={invoice_id} is not there any more", method="crm.invoice.get")


def _as_invoice(response: Response, invoice_id: int) -> Invoice | BitrixError:
    return read_asked_for(parse_invoice, response.result, invoice_id, id_field="ID", method="crm.invoice.get")


def pay_invoice(pay: PayInvoice) -> Flow[Response]:
    """Mark an invoice paid. `true` proves nothing: read it back. Repeated only while nothing ran.

    Raises UnknownOutcomeError when it may have run; a repeat then moves the voucher date and the pay system.
    """
    return call(PAY_INVOICE, pay.arguments, write=True)


def invoice_listing(
    filter: Filter | None = None,  # noqa: A002 - the portal's word
    select: Sequence[str] = (),
    *,
    parse: Callable[[Mapping[str, Any]], Invoice] = parse_invoice,
) -> Listing[Invoice]:
    """Return the list of invoices which pass the filter, e.g. `{"=PAYED": "N", ">=PRICE": Decimal("100")}`.

    `select` adds fields, found in `Invoice.raw`.

    Raises ValueError naming the field or operator which the portal would silently ignore.
    """
    conditions = dict(_condition(key, value) for key, value in (filter or {}).items())
    if "ID" in {key.lstrip("<>=!@%") for key in conditions if key.startswith(">") and not key.startswith("><")}:
        raise ValueError("filter: '>ID' is used for paging; filter ids with '@ID' or '<=ID'")
    fields = dict.fromkeys((*SELECT, *(_field(name, "select") for name in select)))
    return Listing("crm.invoice.list", conditions, tuple(fields), parse)


def open_invoices() -> Listing[Invoice]:
    """Return the list of all unpaid invoices, cancelled ones too."""
    return invoice_listing({"=PAYED": "N"}, parse=lambda row: _expect(parse_invoice(row), paid=False))


def paid_since(day: date) -> Listing[Invoice]:
    """Return the list of all invoices paid on or after a day of the portal's calendar."""
    filter_by = {"=PAYED": "Y", ">=DATE_PAYED": day}
    return invoice_listing(filter_by, parse=lambda row: _expect(parse_invoice(row), paid=True))


def moved_since(day: date) -> Listing[Invoice]:
    """Return the list of all invoices whose status changed on or after a day of the portal's, whatever it is now."""
    return invoice_listing({">=DATE_STATUS": day})


def by_id(ids: Sequence[int]) -> Flow[list[Invoice]]:
    """Read these invoices, in order of id, 50 to a request; those that are gone are left out."""
    found: list[Invoice] = []
    for start in range(0, len(ids), PAGE):
        found += yield from listing_of(ids[start : start + PAGE]).all()
    return found


def listing_of(ids: Sequence[int]) -> Listing[Invoice]:
    """Return the list of these invoices, at most a page of them; those that are gone are not in it."""
    return invoice_listing({"@ID": [check_id(each, "ids") for each in ids]})


def _expect(invoice: Invoice, *, paid: bool) -> Invoice:
    if invoice.paid is not paid:
        raise ResponseError(UNEXPECTED_VALUE, f"PAYED: the filter was ignored for invoice {invoice.id}")
    return invoice


def _condition(key: str, value: object) -> tuple[str, object]:
    match = _CONDITION.fullmatch(key)
    if match is None:
        raise ValueError(f"filter: {key!r} is no condition; write it like '>=PRICE'")
    operator, name = match.groups()
    name = _field(name, "filter")
    many = isinstance(value, (list, tuple, set, frozenset))
    if operator not in (_MANY_VALUES if many else _ONE_VALUE):
        hint = "a list goes with '@' or '!@'" if many else "'@' and '!@' want a list"
        raise ValueError(f"filter: the operator {operator!r} of {key!r} is not usable here; {hint}")
    return operator + name, _many(key, value) if isinstance(value, (list, tuple, set, frozenset)) else _one(key, value)


def _field(name: str, where: str) -> str:
    upper = name.upper()
    if upper in FIELDS or _CUSTOM_FIELD.fullmatch(upper):
        return upper
    fix = " (the currency is CURRENCY)" if upper == "CURRENCY_ID" else ""
    raise ValueError(f"{where}: crm.invoice.list does not know the field {name!r} and would ignore it{fix}")


def _many(key: str, values: list[object] | tuple[object, ...] | set[object] | frozenset[object]) -> list[object]:
    if not values:
        # Not established: what a portal does with an empty list.
        raise ValueError(f"filter: the list of {key!r} is empty; leave the call out instead")
    return [_one(key, value) for value in values]


def _one(key: str, value: object) -> object:
    if isinstance(value, datetime) and value.tzinfo is None:
        raise ValueError(f"filter: the time of {key!r} has no time zone; give an aware datetime")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal) and value.is_finite():
        return format(value, "f")
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return value
    raise ValueError(
        f"filter: {type(value).__name__} is no value for {key!r}; give text, whole number, Decimal or date"
    )
