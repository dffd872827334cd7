"""What can go wrong with a portal, grouped by what to do next.

::

    BitrixError            code, description, status, method, host, retry_at
    ├─ RefusedError        it did not run; it may be repeated, from `retry_at` on when that is known
    ├─ AuthError           it did not run; a person must act (access, scope, plan, a moved portal)
    ├─ RequestError        it did not run; our arguments are wrong
    ├─ UnknownOutcomeError a write may have happened: read first, then decide
    └─ ResponseError       a read got no clear answer; asking again may help

`code` is the portal's own `error`, or one of the constants below when the portal said nothing of the kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Final, TypeVar

from airflow_b24.bitrix.redaction import REDACTOR

E = TypeVar("E", bound="BitrixError")

NOT_SENT: Final = "NOT_SENT"
SEND_WINDOW_PASSED: Final = "SEND_WINDOW_PASSED"
ANSWER_LOST: Final = "ANSWER_LOST"
UNREADABLE_ANSWER: Final = "UNREADABLE_ANSWER"
UNEXPECTED_RESULT: Final = "UNEXPECTED_RESULT"
REDIRECTED: Final = "REDIRECTED"
OUT_OF_PACE: Final = "OUT_OF_PACE"
INVOICE_GONE: Final = "INVOICE_GONE"
NOT_RENEWED: Final = "NOT_RENEWED"
AUTHORISE_AGAIN: Final = "AUTHORISE_AGAIN"
NOT_KEPT: Final = "NOT_KEPT"
LEFT_OPEN: Final = "LEFT_OPEN"

# docs: limits. The portal's own codes for too many requests, with status 503, and for a method that has used up its time.
QUERY_LIMIT_EXCEEDED: Final = "QUERY_LIMIT_EXCEEDED"
OPERATION_TIME_LIMIT: Final = "OPERATION_TIME_LIMIT"
# docs: common errors. The portal's own code for a method that works by itself alone.
BATCH_NOT_ALLOWED: Final = "ERROR_BATCH_METHOD_NOT_ALLOWED"
# docs: batch, common errors. The portal runs the same call outside a batch.
NOT_IN_BATCH: Final = frozenset({BATCH_NOT_ALLOWED, "ERROR_BATCH_LENGTH_EXCEEDED"})
# docs: common errors. The portal's own code for what its user may not do.
ACCESS_DENIED: Final = "ACCESS_DENIED"
# docs: common errors. The portal's own code, on which a token is renewed.
EXPIRED_TOKEN: Final = "expired_token"  # noqa: S105 - a code


class BitrixError(Exception):
    """A portal did not do what was asked; the class says what to do next. `retry_at` is an aware time in UTC."""

    advice: ClassVar[str] = "Look the code up in the Bitrix24 REST documentation."

    def __init__(
        self,
        code: str,
        description: str = "",
        *,
        status: int | None = None,
        method: str = "",
        host: str = "",
        retry_at: datetime | None = None,
    ) -> None:
        if retry_at is not None and retry_at.tzinfo is None:
            raise ValueError("retry_at: give an aware datetime in UTC")
        # Portals repeat what they are sent, also deep inside a batch: whatever becomes an error is masked here.
        self.code, self.description = REDACTOR.scrub(code), REDACTOR.scrub(description)
        super().__init__(self.code, self.description)
        self.status = status
        self.method = method
        self.host = host
        self.retry_at = retry_at

    def __str__(self) -> str:
        place = " at ".join(part for part in (self.method, self.host) if part) or "Bitrix24"
        said = _on_one_line(self.code, self.description)
        status = f" (HTTP {self.status})" if self.status is not None else ""
        later = f" Not before {self.retry_at.isoformat(timespec='seconds')}." if self.retry_at else ""
        return f"{place}: {said or 'an error without a code'}{status}. {ADVICE.get(self.code, self.advice)}{later}"

    @property
    def said(self) -> str:
        """What the portal refused and why, on one line: without our own advice."""
        return _on_one_line(self.method, self.code, self.description)

    def as_kind(self, kind: type[E]) -> E:
        """Return the same as an error of another group, or as another one of its own."""
        return kind(self.code, self.description, **self._details)

    @property
    def _details(self) -> dict[str, Any]:
        return {"status": self.status, "method": self.method, "host": self.host, "retry_at": self.retry_at}

    def __reduce__(self) -> tuple[Any, ...]:
        # Airflow moves errors between processes, and Exception's own pickling forgets keyword arguments.
        return _rebuild, (type(self), self.code, self.description, self._details)


def _on_one_line(*parts: str) -> str:
    return " ".join(": ".join(filter(None, parts)).split()).removesuffix(".")


class RefusedError(BitrixError):
    """The portal did not run it; the same request may be sent again, from `retry_at` on when that is known."""

    advice = "Nothing ran: it is safe to send it again later."


class AuthError(BitrixError):
    """It did not run, and it will not until a person changes access, scopes, the plan or the connection."""

    advice = "Nothing ran: check the connection's webhook or token, its scopes (crm, pay_system) and its user's rights."


class RequestError(BitrixError):
    """It did not run because of our arguments; the same request fails again."""

    advice = "Nothing ran: correct the arguments named here."


class UnknownOutcomeError(BitrixError):
    """The answer to a write is lost or unclear: it may have happened. Read before anything is sent again."""

    advice = "It may have happened: read the record back before sending anything again."


class ResponseError(BitrixError):
    """A read got no clear answer; asking again may help."""

    advice = "Nothing was changed: ask again, and look at the portal if this goes on."


ADVICE: Final[Mapping[str, str]] = {
    QUERY_LIMIT_EXCEEDED: "Nothing ran: too many requests reach this portal from this address; send fewer, later.",
    OPERATION_TIME_LIMIT: "Nothing ran: this method has used up its operating time; wait until the portal frees it.",
    "OVERLOAD_LIMIT": "Nothing ran: Bitrix24 support blocked REST on this portal by hand and must lift the block.",
    "NO_AUTH_FOUND": "Nothing ran: the webhook or token is wrong; copy the address of the inbound webhook again.",
    "INVALID_CREDENTIALS": "Nothing ran: the webhook's address is mistyped, the webhook deleted or its user dismissed; "
    "copy the address again, or create a new inbound webhook.",
    "insufficient_scope": "Nothing ran: add the missing scope to the webhook (invoices: crm, paying: pay_system).",
    EXPIRED_TOKEN: "Nothing ran: the access token has expired.",
    NOT_RENEWED: "Nothing ran: no new access token could be had just now; it is safe to try again later.",
    AUTHORISE_AGAIN: "Nothing ran, and nothing is paid until a person authorises the application again.",
    "INVALID_REQUEST": "Nothing ran: the portal wants https; change the connection's address.",
    "PORTAL_DELETED": "Nothing ran: the portal is deleted or its public part is closed.",
    "PAYMENT_REQUIRED": "Nothing ran: the portal's subscription has ended.",
    "ERROR_INTERNAL_INVOICE_NOT_FOUND": "Nothing ran: give the id of a legacy invoice (crm.invoice.*), not a smart one.",
    "ERROR_METHOD_NOT_FOUND": "Nothing ran: no such method here, or the webhook lacks its scope.",
    "UPDATE_DYNAMIC_ITEM_RESTRICTED": "Nothing ran: the portal's plan does not allow changing smart invoices.",
    "CRM_FIELD_ERROR_REQUIRED": "Nothing ran: the stage asks for a field that is empty; fill it in on the invoice.",
    "ENTITY_TYPE_NOT_SUPPORTED": "Nothing ran: this portal has no smart invoices.",
    NOT_SENT: "Nothing left this machine: check the portal's address, DNS, the network and the certificate.",
    INVOICE_GONE: "Nothing ran: the portal has no such invoice with this id; it may have been deleted.",
    NOT_KEPT: "The portal takes a field that it does not have in silence: `airflow-b24 doctor` looks at them.",
    LEFT_OPEN: "The next attempt goes on from there, and reads before it sends anything.",
    SEND_WINDOW_PASSED: "Nothing left this machine: the time allowed for sending was over before the first byte.",
}


def _rebuild(kind: type[BitrixError], code: str, description: str, details: dict[str, Any]) -> BitrixError:
    return kind(code, description, **details)
