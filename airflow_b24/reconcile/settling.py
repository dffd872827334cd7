"""Settle: performs the effects of the ledger's conversation against the real store and the real portal."""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from airflow_b24.bitrix.errors import OUT_OF_PACE, RefusedError, RequestError
from airflow_b24.bitrix.exchange import exchange
from airflow_b24.bitrix.invoice import Invoice, InvoiceKey
from airflow_b24.bitrix.limits import MAX_TURN_S, now_s, turn, urgently
from airflow_b24.ledger import cases, moves, plain, settlements
from airflow_b24.ledger.decide import as_sent
from airflow_b24.ledger.facts import Kind, Refused, Row
from airflow_b24.ledger.partial import BeginPartial, EndPartial, PartialEffect
from airflow_b24.ledger.plain import Plain
from airflow_b24.ledger.settlement import (
    Claim,
    Commit,
    Committed,
    Exchange,
    Exchanged,
    Look,
    Pause,
    Reserve,
    Settled,
    settle,
)
from airflow_b24.ledger.states import State
from airflow_b24.reconcile.desk import Desk, PaySystem
from airflow_b24.reconcile.order_documents import unless_paid_as_order
from airflow_b24.reconcile.paying import STAGE, Way, check_way, way_of
from airflow_b24.reconcile.translating import answer, fact, price, seen

Ended = TypeVar("Ended")


def settle_matched(desk: Desk, settlement_id: int, invoice_id: int, pay_system: PaySystem | None) -> Settled:
    """Settle a matched invoice; safe to repeat by `settlement_id`. Raises ValueError when the two ids do not belong."""
    row = settlements.look(desk.store, settlement_id)
    check_invoice(row, invoice_id)
    return _confirmed(desk, row) if row.state is State.PAID else settle_row(desk, row, pay_system)


def check_invoice(row: Row, invoice_id: int) -> None:
    """Raise ValueError when the row is of another invoice."""
    if row.invoice_id != invoice_id:
        raise ValueError(f"settlement_id={row.id} is of invoice {row.invoice_id}, not of invoice_id={invoice_id}")


def same_portal(desk: Desk, row: Row) -> None:
    """Raise ValueError when the row is of another portal."""
    if row.portal_id != desk.portal_id:
        # The other portal's invoice with this id is somebody else's.
        raise ValueError(
            f"settlement_id={row.id} is of another portal than this connection's; give the paying task the "
            "bitrix24_conn_id that the matching task has"
        )


def settle_plain(desk: Desk, invoice_id: int, pay_system: PaySystem | None, *, kind: Kind | None = None) -> Settled:
    """Pay an invoice that somebody named, at the price it has now; safe to repeat by invoice.

    Without a `kind` it is the one that the portal has. Raises ValueError where the id could be of either.
    """
    kind = kind or desk.invoices.only_kind
    check_way(kind, pay_system)
    with desk.store.snapshot() as connection:
        known = settlements.live(connection, desk.portal_id, kind, invoice_id)
    if known is None:
        invoice = _invoice(desk, kind, invoice_id)
        known = plain.open_plain(desk.store, _plain(desk, invoice))
    row = settlements.look(desk.store, known)
    if row.state is State.PAID:
        return _confirmed(desk, row)
    if row.state is State.REVIEW:
        invoice = _invoice(desk, kind, invoice_id)
        asked = _plain(desk, invoice)
        plain.reopen_plain(desk.store, row, asked.expected, asked.currency, asked.exponent)
        row = settlements.look(desk.store, known)
    return settle_row(desk, row, pay_system)


def _invoice(desk: Desk, kind: Kind, invoice_id: int) -> Invoice:
    return desk.client.run(desk.invoices.of(kind).get_invoice(invoice_id))


def settle_row(
    desk: Desk, row: Row, pay_system: PaySystem | None, why_not: Callable[[], Exception | None] | None = None
) -> Settled:
    """Settle the row that was just looked at; safe to repeat by its id. Raises ValueError, BitrixError, LedgerError.

    Before anything is sent `why_not` is asked, and what it answers is raised.
    """
    same_portal(desk, row)
    # What became of a call of ours is not to be found out after all that can be paid yet.
    with urgently(row.is_open_ended):
        return drive(settle(row, desk.patience), desk, way_of(desk, row, pay_system), why_not)


def drive(
    conversation: Generator[PartialEffect, Any, Ended],
    desk: Desk,
    way: Way,
    why_not: Callable[[], Exception | None] | None = None,
) -> Ended:
    """Perform what the conversation asks for until it returns. Raises LedgerError, or RefusedError when out of pace.

    Before anything is sent `why_not` is asked, and what it answers is raised.
    """
    reply: Any = None
    while True:
        try:
            effect = conversation.send(reply)
        except StopIteration as done:
            ended: Ended = done.value
            return ended
        if why_not is not None and _sends(effect) and (why := why_not()) is not None:
            raise why
        reply = _perform(effect, desk, way)


def _sends(effect: PartialEffect) -> bool:
    return isinstance(effect, Commit) and effect.decision.state is State.SENDING


def _perform(effect: PartialEffect, desk: Desk, way: Way) -> Any:
    match effect:
        case Reserve():
            return reserve(desk, effect.requests)
        case Claim() | Look():
            ask = moves.claim if isinstance(effect, Claim) else settlements.look
            return ask(desk.store, effect.settlement_id)
        case Commit():
            return _commit(desk, effect, way)
        case Exchange():
            return _exchange(desk, effect, way)
        case BeginPartial() | EndPartial():
            return _partial(desk, effect, way)
        case Pause():
            return desk.sleep(effect.seconds)


def reserve(desk: Desk, requests: int) -> bool:
    """Wait for the portal's pace; returns whether it had to. Raises RefusedError rather than wait long."""
    waited = False
    for wait_s in turn(desk.pace, requests):
        if wait_s > MAX_TURN_S:
            retry_at = datetime.now(UTC) + timedelta(seconds=wait_s)
            raise RefusedError(OUT_OF_PACE, "the portal's request budget is used up", retry_at=retry_at)
        desk.sleep(wait_s)
        waited = True
    return waited


def _commit(desk: Desk, effect: Commit, way: Way) -> Committed:
    # The window opens before the commit: a process that stalls in between must not send with a fresh deadline.
    began = now_s()
    if effect.is_stale(began - desk.patience.read_age_s):
        return Committed(None, stale=True)
    sending = _sends(effect)
    through = way.through((effect.decision.evidence or {})["marks"]) if sending else ""
    decision = unless_paid_as_order(desk, effect.decision)
    row = moves.move(desk.store, effect.row, decision, desk.patience, through)
    return Committed(row, send_before=began + desk.patience.window_s)


def _partial(desk: Desk, effect: BeginPartial | EndPartial, way: Way) -> Committed | None:
    if isinstance(effect, BeginPartial):
        return _begin_partial(desk, effect, way)
    told = {"ran": effect.ran, "again": effect.again, "overtaken": effect.overtaken}
    moves.end_partial(desk.store, effect.row, **told)
    return None


def _begin_partial(desk: Desk, effect: BeginPartial, way: Way) -> Committed:
    began, row, marks = now_s(), effect.row, effect.seen.marks or {}
    stage = way.through(marks)
    if stage == f"{STAGE}{marks['stageId']}":
        if stage == row.pay_system and not row.answered:
            # It has landed, and its answer was lost.
            moves.end_partial(desk.store, row, ran=True)
        return Committed(None)
    if not stage or began - effect.read_at > desk.patience.read_age_s:
        return Committed(None)
    begun = moves.begin_partial(desk.store, row, desk.patience, stage, marks)
    return Committed(begun, send_before=began + desk.patience.window_s)


def _exchange(desk: Desk, effect: Exchange, way: Way) -> Exchanged:
    others = {InvoiceKey(*key): desk.invoices.look(key) for key in effect.beside}
    read = desk.client.run(exchange([], others)).reads if others else {}
    beside = {key: fact(read.get(InvoiceKey(*key))) for key in effect.beside}
    # Its own invoice last: what is to be sent must not wait for the reading of the others.
    began = now_s()
    key = InvoiceKey(*effect.row.key)
    pays = [way.order(effect.row)] if effect.pay else []
    got = desk.client.run(exchange(pays, {key: desk.invoices.look(key)}, effect.send_before))
    told = answer(got.pays[key]) if effect.pay else None
    return Exchanged(told, fact(got.reads.get(key)), began, beside)


def _plain(desk: Desk, invoice: Invoice) -> Plain:
    money = price(invoice)
    if money is None:
        shown = f"{invoice.price} {invoice.currency}"
        raise RequestError("PRICE", f"invoice_id={invoice.id}: its price {shown} is not exact in minor units")
    return Plain(
        portal_id=desk.portal_id,
        kind=invoice.kind,
        invoice_id=invoice.id,
        invoice_number=invoice.number,
        expected=money.minor,
        currency=money.currency,
        exponent=money.exponent,
    )


def _confirmed(desk: Desk, row: Row) -> Settled:
    """A paid row met again: an invoice reversed on the portal since is a case for a person, never paid anew."""
    same_portal(desk, row)
    invoice = _invoice(desk, row.kind, row.invoice_id)
    if as_sent(row, seen(invoice)).paid:
        return Settled(row)
    with desk.store.transaction() as connection:
        cases.notice(connection, row.id, cases.REVERSED, {"status_id": invoice.status_id})
    text = f"invoice {row.invoice_number} was paid and is unpaid on the portal now: a person must decide"
    return Settled(row, trouble=Refused("REVERSED", text, repeatable=False, reason=cases.REVERSED))
