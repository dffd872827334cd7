"""Comment: what an invoice was paid with is said in its timeline, where people look. Optional, and never in the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from airflow_b24.bitrix.flows import Flow
from airflow_b24.bitrix.legacy_invoices import get_invoice
from airflow_b24.bitrix.timeline import Place, comment_once, place_of_legacy, place_of_smart
from airflow_b24.ledger.facts import Row
from airflow_b24.payments.money import Money

Payments = Sequence[Mapping[str, Any]]

# A company's timeline has the comments on all its invoices; another ledger counts its settlements anew.
MARKER: Final = "[airflow_b24 settlement {id} of ledger {ledger}]"
PLAIN: Final = {"[": "(", "]": ")", "<": "(", ">": ")"}
LONGEST: Final = 200
# The portal's clock and the ledger's need not agree.
APART: Final = timedelta(days=1)


def comment(row: Row, payments: Payments, ledger: str) -> Flow[bool]:
    """Say in a paid invoice's timeline (a legacy one's: its deal's or company's) what it was paid with, once.

    `ledger` is the id of the ledger that the settlement is in. Returns whether a comment was written: not where there is
    no timeline, nor where one is there already. Raises BitrixError. Repeating is safe by settlement.
    """
    if row.kind == "smart":
        place: Place | None = place_of_smart(row.invoice_id)
    else:
        place = place_of_legacy((yield from get_invoice(row.invoice_id)))
    if place is None:
        return False
    marker = MARKER.format(id=row.id, ledger=ledger)
    return (yield from comment_once(place, words(row, payments), marker, row.created_at - APART)) is not None


def words(row: Row, payments: Payments) -> str:
    """The comment's text."""
    paid = f"Invoice {_plain(row.invoice_number)} was marked paid: {Money(row.expected, row.currency)}."
    return "\n".join([paid, *map(_payment, payments)])


def _plain(text: str) -> str:
    """A text of a stranger's, without what a timeline would take for a link, a mention or a new line."""
    return " ".join("".join(PLAIN.get(char, char) if char.isprintable() else " " for char in text[:LONGEST]).split())


def _payment(payment: Mapping[str, Any]) -> str:
    document = f", document {_plain(payment['document_number'])}" if payment["document_number"] else ""
    payer = f", {_plain(payment['payer_name'])}" if payment["payer_name"] else ""
    return f"{Money(payment['put'], payment['currency'])} received on {payment['booked_on']}{document}{payer}."
