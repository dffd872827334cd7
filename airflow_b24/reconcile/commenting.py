"""Comment: what an invoice was paid with is said in its timeline, where people look. Optional, and never in the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from airflow_b24.bitrix.timeline import comment_once, place_of
from airflow_b24.ledger import identity, statuses
from airflow_b24.ledger.facts import Row
from airflow_b24.ledger.states import State
from airflow_b24.payments.money import Money
from airflow_b24.reconcile.desk import Desk

# A company's timeline has the comments on all its invoices; another ledger counts its settlements anew.
MARKER: Final = "[airflow_b24 settlement {id} of ledger {ledger}]"
PLAIN: Final = {"[": "(", "]": ")", "<": "(", ">": ")"}
LONGEST: Final = 200


def comment(desk: Desk, row: Row) -> bool:
    """Say in the invoice's timeline (a legacy one's: its deal's or company's) what our call paid it with, once.

    Returns whether a comment was written: not for what was paid by hand, nor where there is no timeline. Raises
    BitrixError. Repeating is safe by settlement.
    """
    if row.state is not State.PAID or row.how != "sent":
        return False
    invoice = desk.client.run(desk.invoices.of(row.kind).get_invoice(row.invoice_id))
    place = place_of(invoice)
    if place is None:
        return False
    with desk.store.snapshot() as connection:
        payments = statuses.paid_with(connection, row.id)
        marker = MARKER.format(id=row.id, ledger=identity.read(connection).id)
    return desk.client.run(comment_once(place, words(row, payments), marker)) is not None


def words(row: Row, payments: list[dict[str, Any]]) -> str:
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
