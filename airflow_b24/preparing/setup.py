"""Preparing a portal once: the REST handler, and the pay systems through which invoices are marked paid.

There is no page in Bitrix24 for the handler, so an administrator's webhook does it. Created is only what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from airflow_b24.bitrix.auth import Origin
from airflow_b24.bitrix.client import Client
from airflow_b24.bitrix.errors import AuthError
from airflow_b24.bitrix.paysystems import (
    INVOICE_REGISTRY,
    Handler,
    PaySystem,
    PersonType,
    add_handler,
    add_pay_system,
    handlers,
    pay_systems,
    person_types,
    profile,
    scopes,
)

HANDLER_CODE: Final = "airflow_b24"
NAME: Final = "Bank payment (airflow_b24)"
COMPANY: Final = "CRM_COMPANY"
CONTACT: Final = "CRM_CONTACT"
ADMIN_SCOPES: Final = frozenset({"crm", "pay_system"})

_NEW_WEBHOOK: Final = "let an administrator create an inbound webhook with the scopes crm and pay_system for this once"


class PreparationError(ValueError):
    """A portal cannot be prepared as asked; the text names the field and the fix."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A portal on which invoices can be marked paid; `pay_systems` are ids by person type, CRM_COMPANY first."""

    handler: str
    pay_systems: Mapping[str, int]
    created: tuple[str, ...]
    existing: tuple[str, ...]

    @property
    def extra(self) -> dict[str, int]:
        """Return what belongs into the connection's extra: one pay system, as it pays company and contact alike."""
        # source-derived: sale.paysystem.pay.invoice does not compare person types.
        return {"pay_system_id": next(iter(self.pay_systems.values()))}


def prepare(client: Client, name: str = NAME) -> Prepared:
    """Create our REST handler and an inactive pay system for each kind of payer, as far as they are missing.

    Repeating is safe, also after a run that broke off: the key is the handler's code and the person type; but not two
    runs at once. Raises PreparationError, and BitrixError as it comes; after an UnknownOutcomeError just repeat.
    """
    if not name.strip():
        raise PreparationError("name: it is empty; give the name which accountants will see")
    _check_scopes(client)
    payers = _payers(client)
    registered = _as_administrator(client)
    systems = client.run(pay_systems())
    notes: dict[bool, list[str]] = {True: [], False: []}
    notes[HANDLER_CODE not in registered].append(_handler(client, name, registered))
    ids: dict[str, int] = {}
    for payer in payers:
        known = _ours(systems, payer)
        ids[payer.name] = known.id if known else _add_pay_system(client, name, payer)
        notes[known is None].append(f"pay system {ids[payer.name]} for {payer.name}")
    return Prepared(HANDLER_CODE, ids, created=tuple(notes[True]), existing=tuple(notes[False]))


def _check_scopes(client: Client) -> None:
    missing = sorted(ADMIN_SCOPES - client.run(scopes()))
    if missing:
        raise PreparationError(f"webhook: it lacks the scope {' and '.join(missing)}; {_NEW_WEBHOOK}")


def _payers(client: Client) -> list[PersonType]:
    # docs: the page of crm.persontype.list names both
    found = {payer.name: payer for payer in client.run(person_types())}
    payers = [found[name] for name in (COMPANY, CONTACT) if name in found]
    if not payers:
        raise PreparationError(
            f"portal: it has neither of the invoice payers {COMPANY} and {CONTACT}; switch invoices (old version) on "
            "in CRM > Settings > Other > Other settings, then run setup again"
        )
    return payers


def _as_administrator(client: Client) -> dict[str, Handler]:
    """Read the handlers, which is an administrator's right; the portal knows better who is one than `profile`."""
    try:
        return client.run(handlers())
    except AuthError as error:
        if error.code != "ACCESS_DENIED" or error.status != 403:
            raise
    who = client.run(profile())
    raise PreparationError(f"webhook: its user {who.id} ({who.name}) is no CRM administrator; {_NEW_WEBHOOK}")


def _handler(client: Client, name: str, registered: Mapping[str, Handler]) -> str:
    known = registered.get(HANDLER_CODE)
    handler_id = known.id if known else client.run(add_handler(name, HANDLER_CODE, _settings(client.origin)))
    return f"REST handler {HANDLER_CODE} (id {handler_id})"


def _settings(portal: Origin) -> dict[str, object]:
    # docs: sale.paysystem.handler.add wants codes and a form. The form is never shown, as the pay systems are inactive;
    # it points at the portal itself so that no customer's data could ever go elsewhere.
    paid = {
        "NAME": "Paid",
        "SORT": 100,
        "GROUP": "PAYMENT",
        "DEFAULT": {"PROVIDER_KEY": "PAYMENT", "PROVIDER_VALUE": "PAID"},
    }
    form = {"ACTION_URI": f"{portal}/", "METHOD": "POST", "PARAMS": {"paid": "PAYMENT_PAID"}}
    return {"CODES": {"PAYMENT_PAID": paid}, "FORM_DATA": form}


def _ours(systems: tuple[PaySystem, ...], payer: PersonType) -> PaySystem | None:
    """Return the pay system of a former run; one that a person made on our handler pays just as well."""
    usable = [
        system
        for system in systems
        if (system.handler, system.registry, system.person_type_id) == (HANDLER_CODE, INVOICE_REGISTRY, payer.id)
    ]
    return min(usable, key=lambda system: (system.xml_id != _xml_id(payer), system.id), default=None)


def _add_pay_system(client: Client, name: str, payer: PersonType) -> int:
    # Not established: nobody published a trial of CRM_INVOICE by webhook. A refusal is an error here, nothing is lost.
    # source-derived: paying ignores ACTIVE, so that no customer can pick a system which only we use.
    return client.run(add_pay_system(name, HANDLER_CODE, payer.id, active=False, xml_id=_xml_id(payer)))


def _xml_id(payer: PersonType) -> str:
    return f"{HANDLER_CODE}_{payer.name.lower()}"
