"""What a person decides about a settlement: this money did not pay this invoice, or try once more."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_b24.bitrix.errors import INVOICE_GONE, RequestError
from airflow_b24.ledger import cases, moves, releases, settlements
from airflow_b24.ledger.decide import as_sent, bears_our_mark, confirmed, retried
from airflow_b24.ledger.facts import Decision, Fact, Key, Refused, Row, Seen
from airflow_b24.ledger.states import IN_WORDS, MOVED_ON, REASONS, State
from airflow_b24.reconcile.desk import Desk
from airflow_b24.reconcile.translating import seen

RELEASABLE = frozenset({State.COLLECTING, State.READY, State.REVIEW, State.PAID})


def release(desk: Desk, settlement_id: int, shown: Row | None = None) -> Row:
    """Free the invoice and the payments of a settlement; the two are parted for good.

    From `paid` only when the invoice was reversed on the portal. `shown` is what the person was shown. Raises ValueError
    when it has changed since, is in no such state, or while a call of ours may still land or has landed. Repeating is
    safe.
    """
    row = _of_this_portal(desk, settlement_id, shown)
    check_releasable(row)
    if row.state is State.PAID:
        _check_reversed(desk, row)
    elif row.may_land or row.sends:
        _check_unpaid(desk, row)
    else:
        _check_quiet(row)
    return releases.release(desk.store, row)


def retry(desk: Desk, settlement_id: int, shown: Row | None = None) -> Row:
    """Make a settlement in review `ready` again, once what stood in its way has been mended.

    Raises ValueError naming what still does, when it is not what was `shown` any more, or while a call of ours may still
    land. Repeating is safe.
    """
    row = _in_review(desk, settlement_id, shown)
    return _moved(desk, row, retried(row, _unpaid(desk, row), _beside(desk, row)))


def confirm(desk: Desk, settlement_id: int, shown: Row | None = None) -> Row:
    """End a settlement in review as paid: its invoice is, and a person says that it was with this money.

    Raises ValueError when the invoice is not paid, or for another amount, when the bank's word on the money has not been
    accepted, and as `retry` does. Repeating is safe.
    """
    row = _in_review(desk, settlement_id, shown)
    if row.hold is not None:
        raise ValueError(f"SETTLEMENT_ID: {REASONS['held']} Look at `airflow b24 ledger accept` first")
    now = _now(desk, row)
    if not now.paid and now.lacks != MOVED_ON:
        raise ValueError(f"SETTLEMENT_ID: invoice {row.invoice_number} is not paid; there is nothing to confirm")
    if now.lacks == MOVED_ON and desk.invoices.smart.stages.is_first((now.marks or {})["stageId"]):
        raise ValueError(
            f"SETTLEMENT_ID: invoice {row.invoice_number} stands where new ones begin: it was taken back, so retry it; if "
            "it is paid all the same, move it on in Bitrix24 first"
        )
    return _moved(desk, row, confirmed(row, now))


def check_releasable(row: Row) -> None:
    """Raise ValueError when a settlement is in a state from which nobody may release it."""
    if row.state not in RELEASABLE:
        raise ValueError(f"SETTLEMENT_ID: {row.id} is {IN_WORDS[row.state]}, and nothing of that can be released")


def check_in_review(row: Row) -> None:
    """Raise ValueError when a settlement does not wait for a person."""
    if row.state is not State.REVIEW:
        raise ValueError(
            f"SETTLEMENT_ID: {row.id} is {IN_WORDS[row.state]}, not in review; `airflow b24 review` shows what is"
        )


def _in_review(desk: Desk, settlement_id: int, shown: Row | None) -> Row:
    row = _of_this_portal(desk, settlement_id, shown)
    check_in_review(row)
    _check_quiet(row)
    return row


def _moved(desk: Desk, row: Row, decision: Decision) -> Row:
    if decision.state is State.REVIEW:
        raise ValueError(f"SETTLEMENT_ID: {REASONS[decision.reason or '']} ({decision.reason})")
    moved = moves.move(desk.store, row, decision, desk.patience, "")
    if moved is None:
        raise ValueError(_moved_meanwhile(row.id))
    return moved


def _moved_meanwhile(settlement_id: int) -> str:
    return f"SETTLEMENT_ID: {settlement_id} has moved meanwhile; look at it again"


def _of_this_portal(desk: Desk, settlement_id: int, shown: Row | None) -> Row:
    row = settlements.look(desk.store, settlement_id)
    if shown is not None and _stand(shown) != _stand(row):
        raise ValueError(_moved_meanwhile(settlement_id))
    if row.portal_id != desk.portal_id:
        raise ValueError(f"SETTLEMENT_ID: {settlement_id} is of another portal; name its connection with --conn-id")
    return row


def _stand(row: Row) -> tuple[State, int, int, tuple[int, ...]]:
    return row.state, row.fence, row.allocated, tuple(sibling.id for sibling in row.siblings)


def _check_reversed(desk: Desk, row: Row) -> None:
    with desk.store.snapshot() as connection:
        reversed_ = cases.is_noticed(connection, row.id, cases.REVERSED)
    now = _shown(desk, row)
    if not reversed_ or (now is not None and now.paid):
        raise ValueError(
            f"SETTLEMENT_ID: invoice {row.invoice_number} is paid; take the payment back in Bitrix24 first, and let the "
            "sweep (or its task, run again) see it"
        )
    _check_quiet(row)


def _check_unpaid(desk: Desk, row: Row) -> None:
    _check_quiet(row)
    now = _shown(desk, row)
    # A call that can land no more by our clocks was sent all the same, perhaps by a worker that had frozen.
    if now is not None and now.paid and (row.may_land or bears_our_mark(row, now)):
        raise ValueError(
            f"SETTLEMENT_ID: invoice {row.invoice_number} is paid, perhaps by our own call for {row.id}: confirm it if it "
            "is; if it is not, take the payment back in Bitrix24 first"
        )


def _check_quiet(row: Row) -> None:
    # What was read as paid may have been paid by somebody else, while our own call is on its way.
    in_doubt = row.may_land or row.state is State.PAID or row.partial_may_land
    if in_doubt and row.quiet_until is not None and row.claimed_at < row.quiet_until:
        until = f"{row.quiet_until:%H:%M:%S} UTC"
        raise ValueError(f"SETTLEMENT_ID: a call for {row.id} may still land; try again after {until}")


def _unpaid(desk: Desk, row: Row) -> Seen:
    now = _now(desk, row)
    if now.paid:
        raise ValueError(f"SETTLEMENT_ID: invoice {row.invoice_number} is paid; if it was with this money, confirm it")
    return now


def _shown(desk: Desk, row: Row) -> Seen | None:
    """What the portal shows of the invoice, None when it is gone."""
    try:
        return _now(desk, row)
    except RequestError as error:
        # docs: crm.item.payment.get. A payment that is gone is refused like one that our user may not see.
        if error.code == INVOICE_GONE or row.kind == "payment":
            return None
        raise


def _beside(desk: Desk, row: Row) -> Mapping[Key, Fact]:
    return {each.key: _read(desk, each.key) for each in row.unread_siblings}


def _read_now(desk: Desk, key: Key) -> Seen:
    kind, invoice_id = key
    return seen(desk.client.run(desk.invoices.of(kind).get_invoice(invoice_id)))


def _now(desk: Desk, row: Row) -> Seen:
    return as_sent(row, _read_now(desk, row.key))


def _read(desk: Desk, key: Key) -> Fact:
    try:
        return _read_now(desk, key)
    except RequestError as error:
        return Refused(error.code, str(error), repeatable=False)
