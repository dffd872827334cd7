"""The portal's invoices of each kind; what it takes to read smart ones is asked for once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Final, Literal, cast

from airflow_b24.bitrix import legacy_invoices
from airflow_b24.bitrix.bulk import PAGE, Reading
from airflow_b24.bitrix.client import Client
from airflow_b24.bitrix.errors import AuthError, RequestError
from airflow_b24.bitrix.exchange import Look
from airflow_b24.bitrix.invoice import Kind
from airflow_b24.bitrix.kinds import Invoices
from airflow_b24.bitrix.order_payments import OrderPayments
from airflow_b24.bitrix.paysystems import invoice_status_types, profile
from airflow_b24.bitrix.smart_invoices import SmartInvoices
from airflow_b24.bitrix.stages import Wishes, read_stages
from airflow_b24.ledger.facts import Key

InvoiceType = Literal["auto", "legacy", "smart"]
# The connection says so; our user may not see any; the portal has none.
LeftOut = Literal["unwanted", "unseen", "none"]
# docs: the page of crm.item.list
_NOT_ALLOWED: Final = "ACCESS_DENIED"
_ALLOW: Final = (
    'give the webhook\'s user read and update for them in CRM > Settings > Access permissions, or say "legacy" if none of '
    "them is to be paid"
)
INVOICE_TYPES: Final[tuple[InvoiceType, ...]] = ("auto", "legacy", "smart")


def check_invoice_type(value: object, field_name: str = "invoice_type") -> InvoiceType:
    """Return the type of invoices to work with. Raises ValueError naming the field."""
    for known in INVOICE_TYPES:
        if value == known:
            return known
    raise ValueError(f'{field_name}: {str(value)[:40]!r} is not known; give "auto", "legacy" or "smart"')


class PortalInvoices:
    """The invoices of one portal, of the type that is wanted; `auto` asks the portal which it has."""

    def __init__(self, client: Client, invoice_type: InvoiceType = "auto", wishes: Wishes | None = None) -> None:
        self._client = client
        self._type = invoice_type
        self._wishes = wishes or Wishes()

    @cached_property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds to work with; never none. Raises ValueError when a wished stage is not there, BitrixError.

        Where the portal was asked for them, smart ones that our user may not read are an error that says what to do:
        nothing could be told of their numbers.
        """
        if self._type == "auto" and "smart" in self.there:
            self._check_smart_ones()
        return self.there

    @cached_property
    def there(self) -> tuple[Kind, ...]:
        """The kinds that are wanted or, where nobody says which, that the portal has. Raises BitrixError."""
        if self._type != "auto":
            return (self._type,)
        types = self._client.run(invoice_status_types())
        has_smart = any(name.startswith("SMART_INVOICE_STAGE_") for name in types)
        # source-derived: the REST methods of legacy invoices go on working where people cannot see them any more.
        has_legacy = "INVOICE_STATUS" in types or not has_smart or bool(self._legacy_ones)
        return cast("tuple[Kind, ...]", ("legacy",) * has_legacy + ("smart",) * has_smart)

    def left_out(self, kind: Kind) -> LeftOut | None:
        """Say why there are no invoices of this kind among those to work with; None where there are. Raises BitrixError."""
        if kind in self.there:
            return None
        if self._type != "auto":
            return "unwanted"
        return "unseen" if kind == "legacy" and self._legacy_ones is None else "none"

    @property
    def only_kind(self) -> Kind:
        """The kind that a bare id is of. Raises ValueError where it could be of either, BitrixError."""
        if len(self.kinds) > 1 or (self.kinds == ("smart",) and self._type == "auto" and self._legacy_ones is None):
            raise ValueError(
                "invoice_type: this portal has, or may have, legacy and smart invoices, and an id may be one of each; give "
                '"legacy" or "smart"'
            )
        return self.kinds[0]

    @cached_property
    def smart(self) -> SmartInvoices:
        """The smart ones, in three requests. Raises ValueError when a wished stage is not there, BitrixError."""
        stages = self._client.run(read_stages(self._wishes))
        return SmartInvoices(stages, self._we)

    @cached_property
    def order_payments(self) -> OrderPayments:
        """The payments of orders, in one request."""
        return OrderPayments(self._we)

    @cached_property
    def _we(self) -> int:
        return self._client.run(profile()).id

    def of(self, kind: Kind) -> Invoices:
        """The invoices of one kind."""
        if kind == "legacy":
            return legacy_invoices
        return self.smart if kind == "smart" else self.order_payments

    def look(self, key: Key) -> Look:
        """How one invoice is read back."""
        kind, invoice_id = key
        return lambda: self.of(kind).look(invoice_id)

    def readings(self, keys: Iterable[Key]) -> list[Reading]:
        """How these are read in as few lists as can be; those that no list shows in full are left out."""
        wanted: dict[Kind, list[int]] = {}
        for kind, invoice_id in keys:
            wanted.setdefault(kind, []).append(invoice_id)
        pages = (
            (kind, ids[start : start + PAGE])
            for kind, ids in wanted.items()
            if self.is_listed(kind)
            for start in range(0, len(ids), PAGE)
        )
        return [self._reading(kind, ids) for kind, ids in pages]

    def is_listed(self, kind: Kind) -> bool:
        """Say whether a list shows all that there is to know of an invoice of this kind."""
        return kind == "legacy" or (kind == "smart" and not self.smart.by_payment)

    def _reading(self, kind: Kind, ids: Sequence[int]) -> Reading:
        if kind == "legacy":
            return Reading(kind, ids, legacy_invoices.listing_of(ids))
        return Reading(kind, ids, self.smart.listing_of(ids), self.smart.histories_of(ids))

    @cached_property
    def _legacy_ones(self) -> bool | None:
        """Whether there are legacy invoices; None when our user may not see them: then they are not listed."""
        try:
            return bool(self._client.run(legacy_invoices.invoice_listing().page()).rows)
        except (AuthError, RequestError):
            return None

    def _check_smart_ones(self) -> None:
        try:
            if self.smart.stages.open_ids:
                self._client.run(self.smart.open_listing().page())
        except AuthError as error:
            if error.code != _NOT_ALLOWED:
                raise
            said = f"extra.invoice_type: the portal has smart invoices, and our user may not read them; {_ALLOW}"
            raise AuthError(error.code, said, status=error.status, method=error.method, host=error.host) from None
