"""Which kinds of invoices a portal has, whether they can be read, and where a paid one goes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from airflow_b24.bitrix.client import Client
from airflow_b24.bitrix.errors import AuthError, BitrixError, RequestError
from airflow_b24.bitrix.invoice import Invoice, Kind
from airflow_b24.bitrix.legacy_invoices import invoice_listing
from airflow_b24.bitrix.paysystems import invoice_status_types
from airflow_b24.bitrix.stages import Stages
from airflow_b24.preparing.findings import Finding, ask, failed
from airflow_b24.reconcile.portal import LeftOut, PortalInvoices

OPEN_INVOICES_READ: Final = 500

LEGACY: Final = "legacy invoices"
SMART: Final = "smart invoices"
RIGHTS: Final = "Give the webhook's user read and update for invoices in CRM > Settings > Access permissions."
_OLD_INVOICES: Final = (
    "If they are in use, switch invoices (old version) on in CRM > Settings > Other > Other settings."
)


@dataclass(frozen=True, slots=True)
class Read:
    """Open invoices of one kind, the oldest first and not all of them, and any one invoice."""

    open: Sequence[Invoice]
    any: Invoice | None


def read(client: Client, portal: PortalInvoices, kind: Kind) -> Read | BitrixError:
    """Read some open invoices of a kind. Raises ValueError when a wished stage of smart ones is not there."""
    return ask(lambda: _legacy(client) if kind == "legacy" else _smart(client, portal))


def _legacy(client: Client) -> Read:
    unpaid = islice(client.iterate(invoice_listing({"=PAYED": "N"})), OPEN_INVOICES_READ)
    waiting = [invoice for invoice in unpaid if not invoice.cancelled]
    return Read(waiting, waiting[0] if waiting else next(client.iterate(invoice_listing()), None))


def _smart(client: Client, portal: PortalInvoices) -> Read:
    if not portal.smart.stages.open_ids:
        return Read([], None)
    waiting = list(islice(client.iterate(portal.smart.open_listing()), OPEN_INVOICES_READ))
    return Read(waiting, waiting[0] if waiting else None)


def left_out_finding(kind: Kind, why: LeftOut | None) -> Finding:
    """Say why there is nothing to tell of a kind of invoices."""
    check = LEGACY if kind == "legacy" else SMART
    if why == "unwanted":
        return Finding(check, "ok", f"Not looked at: extra.invoice_type leaves {kind} invoices out.")
    if why == "unseen":
        text = "The webhook's user may not see any: if there are some, payments for them are not matched."
        return Finding(check, "not checkable", text, f'{RIGHTS} Or set extra.invoice_type to "smart".')
    return Finding(check, "ok", f"The portal has no {kind} invoices.")


def legacy_finding(client: Client, found: Read | BitrixError | None) -> Finding:
    """Say whether legacy invoices are there and switched on."""
    types = ask(lambda: client.run(invoice_status_types()))
    if isinstance(types, BitrixError):
        return failed(LEGACY, types)
    exist = isinstance(found, Read) and found.any is not None
    if "INVOICE_STATUS" in types:
        return Finding(LEGACY, "ok", "They are switched on" + ("." if exist else "; there are none yet."))
    if exist:
        text = "There are some, but they are switched off: people cannot see them."
        return Finding(LEGACY, "warning", text, _OLD_INVOICES)
    return Finding(LEGACY, "problem", "They are switched off: there is nothing to pay.", _OLD_INVOICES)


def smart_finding(portal: PortalInvoices, found: Read | BitrixError | str) -> Finding:
    """Say how many smart invoices wait for money, and to which stages paid ones are moved; a text is what is wrong."""
    if isinstance(found, str):
        return Finding(SMART, "problem", f"extra.{found}.", "Correct the connection's extra.")
    if isinstance(found, (AuthError, RequestError)):
        return Finding(SMART, "problem", failed("", found).text, RIGHTS)
    if isinstance(found, BitrixError):
        return failed(SMART, found)
    return _marked(portal.smart.stages, f"{counted(found.open, 'smart')} can be read;")


def _marked(stages: Stages, readable: str) -> Finding:
    if doubt := _doubt(stages):
        return Finding(SMART, "problem", doubt, "Name a stage in which the money is there.")
    if stages.wishes.mark_with == "payment":
        return Finding(SMART, "ok", f"{readable} a paid one is marked by its payment document of the whole sum.")
    try:
        targets = [stages.by_id[stages.paid_stage(each)] for each in _funnels(stages)]
    except ValueError as error:
        return Finding(SMART, "problem", f"{error}.", "Put paid_stage into the connection's extra.")
    where = ", ".join(f"{stage.id} ({stage.name})" for stage in targets)
    return Finding(SMART, "ok", f"{readable} a paid one is moved to {where}{_also(stages)}{_partial(stages)}.")


def _doubt(stages: Stages) -> str:
    """What speaks against a stage that is wished for as paid: it is there, and hardly means that."""
    wishes = stages.wishes
    for name, listed in (("paid_stage", wishes.paid_stage), ("also_paid_stages", wishes.also_paid)):
        for stage in (stages.by_id[each] for each in listed):
            is_first = stages.is_first(stage.id)
            if stage.semantics == "failure" or is_first:
                meant = "is where new invoices begin" if is_first else "means that an invoice is lost"
                return f"extra.{name}: {stage.id} ({stage.name}) {meant}."
    return ""


def _also(stages: Stages) -> str:
    wished = ", ".join(f"{each} ({stages.by_id[each].name})" for each in stages.wishes.also_paid)
    return f", and one in {wished} counts as paid" if wished else ""


def _partial(stages: Stages) -> str:
    wished = ", ".join(f"{each} ({stages.by_id[each].name})" for each in stages.wishes.partial_stage)
    return f", one that waits for the rest of its money to {wished}" if wished else ""


def _funnels(stages: Stages) -> Iterable[int]:
    return sorted({stage.category_id for stage in stages.by_id.values()})


def counted(waiting: Sequence[Invoice], kind: Kind) -> str:
    """The open invoices in words."""
    more = "At least " if len(waiting) >= OPEN_INVOICES_READ else ""
    return f"{more}{len(waiting)} open {kind} invoice{'' if len(waiting) == 1 else 's'}"
