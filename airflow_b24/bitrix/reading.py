"""What was asked for by its id, out of the portal's answer: another one's answer is an error."""

from __future__ import annotations

from collections.abc import Callable

from airflow_b24.bitrix.errors import BitrixError, ResponseError
from airflow_b24.bitrix.fields import UNEXPECTED_VALUE
from airflow_b24.bitrix.invoice import Invoice


def read_asked_for(
    parse: Callable[[object], Invoice], row: object, invoice_id: int, *, id_field: str, method: str
) -> Invoice | BitrixError:
    """Read the invoice that was asked for out of a row; an error is returned, not raised."""
    try:
        invoice = parse(row)
    except ResponseError as error:
        return error
    if invoice.id == invoice_id:
        return invoice
    return ResponseError(UNEXPECTED_VALUE, f"{id_field}: asked for {invoice_id}, got {invoice.id}", method=method)
