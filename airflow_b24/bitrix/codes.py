"""The one table from a portal's error code to what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from airflow_b24.bitrix.errors import (
    OPERATION_TIME_LIMIT,
    AuthError,
    BitrixError,
    RefusedError,
    RequestError,
    ResponseError,
    UnknownOutcomeError,
)

ErrorGroup = Literal["refused", "auth", "request", "unclear"]

# Keyed on `error`, never on the text (localised) nor on the status (documentation and portals disagree on it).
# Sources: docs of sale.paysystem.pay.invoice, of common errors, of the methods named; the others are source-derived.
GROUPS: Final[Mapping[str, ErrorGroup]] = {
    # documented limits
    "QUERY_LIMIT_EXCEEDED": "refused",
    "OPERATION_TIME_LIMIT": "refused",
    # source-derived: the authorization server could not be asked
    "CONNECTION_ERROR": "refused",
    # docs: common errors
    "ACCESS_DENIED": "auth",
    "NO_AUTH_FOUND": "auth",
    "INVALID_REQUEST": "auth",
    "OVERLOAD_LIMIT": "auth",
    "INVALID_CREDENTIALS": "auth",
    "insufficient_scope": "auth",
    "expired_token": "auth",
    "user_access_error": "auth",
    "PORTAL_DELETED": "auth",
    "allowed_only_intranet_user": "auth",
    # source-derived: auth providers
    "invalid_token": "auth",
    "authorization_error": "auth",
    "APPLICATION_NOT_FOUND": "auth",
    "ERROR_OAUTH": "auth",
    "NOT_INSTALLED": "auth",
    "PAYMENT_REQUIRED": "auth",
    "METHOD_CONFIRM_WAITING": "auth",
    "METHOD_CONFIRM_DENIED": "auth",
    # docs: page of sale.paysystem.pay.invoice
    "ERROR_CHECK_FAILURE": "request",
    "ERROR_PAY_INVOICE_NOT_SUPPORTED": "request",
    # source-derived: what a portal really sends for the line above
    "ERROR_INVOICE_NO_SUPPORTED": "request",
    "ERROR_INTERNAL_INVOICE_NOT_FOUND": "request",
    "ERROR_PROCESS_REQUEST_RESULT": "request",
    # docs: common errors
    "ERROR_BATCH_METHOD_NOT_ALLOWED": "request",
    "ERROR_BATCH_LENGTH_EXCEEDED": "request",
    "ERROR_MANIFEST_IS_NOT_AVAILABLE": "request",
    "ERROR_METHOD_NOT_FOUND": "request",
    # docs: sale.paysystem.handler.add, sale.paysystem.add; source-derived: settings.invoice.get
    "ERROR_HANDLER_ALREADY_EXIST": "request",
    "ERROR_HANDLER_NOT_FOUND": "request",
    "ERROR_PERSON_TYPE_NOT_FOUND": "request",
    "ERROR_PAY_SYSTEM_NOT_FOUND": "request",
    # docs: crm.item.*
    "NOT_FOUND": "request",
    "INVALID_ARG_VALUE": "request",
    "ENTITY_TYPE_NOT_SUPPORTED": "request",
    "UPDATE_DYNAMIC_ITEM_RESTRICTED": "auth",
    "CRM_FIELD_ERROR_REQUIRED": "request",
    "CRM_FIELD_ERROR_VALUE_NOT_VALID": "request",
    # docs: common errors; they may come after the work is done
    "INTERNAL_SERVER_ERROR": "unclear",
    "ERROR_UNEXPECTED_ANSWER": "unclear",
    "ERROR_CORE": "unclear",
}

# docs: limits, common errors, crm.item.update. These speak of one method, others may go on.
OF_A_METHOD: Final = frozenset(
    {
        OPERATION_TIME_LIMIT,
        "insufficient_scope",
        "METHOD_CONFIRM_WAITING",
        "METHOD_CONFIRM_DENIED",
        "UPDATE_DYNAMIC_ITEM_RESTRICTED",
    }
)

_ERRORS: Final[Mapping[ErrorGroup | None, type[BitrixError]]] = {
    "refused": RefusedError,
    "auth": AuthError,
    "request": RequestError,
}


# docs: crm.item.update. Some of its refusals have no code of their own ("Insufficient permissions to change the stage"),
# or 0 and 100; source-derived: what it answers so, it says before it saves.
SPEAKS_FIRST: Final = "crm.item."


def classify(code: str, status: int | None, *, write: bool, method: str = "") -> type[BitrixError]:
    """Return the error group of a code; one that the table does not hold goes by the status, on reads only.

    `method` is given for an error that the portal itself has worded.
    """
    group = GROUPS.get(code)
    write = write and not (group is None and status == 400 and method.lower().startswith(SPEAKS_FIRST))
    if status == 429 and code != "OVERLOAD_LIMIT":
        return RefusedError
    if group in _ERRORS:
        return _ERRORS[group]
    if group is None and status == 401:
        return AuthError
    if write:
        return UnknownOutcomeError
    return ResponseError if group else _by_status(status)


def _by_status(status: int | None) -> type[BitrixError]:
    if status in {401, 403}:
        return AuthError
    if status is not None and 400 <= status < 500 and status != 408:
        return RequestError
    return ResponseError
