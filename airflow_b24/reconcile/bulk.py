"""Settle many: performs the effects of the ledger's lanes, several at once, against the real store and the real portal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any, Final

from airflow_b24.bitrix.bulk import MOST_PAYS
from airflow_b24.bitrix.errors import BitrixError
from airflow_b24.ledger import settlements
from airflow_b24.ledger.errors import LedgerError, UnknownIdError
from airflow_b24.ledger.facts import Refused, Row, Unknown
from airflow_b24.ledger.settlement import Settled, standing
from airflow_b24.ledger.states import State
from airflow_b24.reconcile.desk import Desk, PaySystem
from airflow_b24.reconcile.ending import Ending, StoppedError
from airflow_b24.reconcile.idle_pay_systems import refuse_idle
from airflow_b24.reconcile.lane import Lane
from airflow_b24.reconcile.lanes import Outcome, Outcomes, Progress, Queue, Tempo
from airflow_b24.reconcile.paying import check_way
from airflow_b24.reconcile.settling import check_invoice, same_portal

MOST_LANES: Final = 12
# How often it is told how far it has come.
TELL_S: Final = 5.0
# An invoice that is gone tells nothing of the pay system: then the next one is asked about.
PROBES: Final = 5
_IN_HAND: Final = frozenset({State.READY, State.SENDING, State.UNKNOWN})


def settle_all(
    desk: Desk,
    wanted: Mapping[int, int],
    pay_system: PaySystem | None,
    *,
    lanes: int = 4,
    tell: Callable[[Progress], object] = lambda _: None,
    ending: Ending | None = None,
) -> dict[int, Outcome]:
    """Settle matched invoices, `wanted` as {settlement's id: its invoice's}; safe to repeat by settlement.

    Returns what came of each, in the order given: where it stands, or the error for which it was not tried. What has an
    end already is taken from the ledger, and not read again. Raises LedgerError when the ledger cannot be read at first,
    ValueError for `lanes`; nothing for an invoice, whatever becomes of the others. `tell` hears every few seconds. Once
    `ending` is told, what was not sent yet stays as it was; give the desk its `sleep`, and no lane waits on for its turn.
    """
    if not 1 <= lanes <= MOST_LANES:
        raise ValueError(f"lanes: {lanes} is not usable; give a whole number from 1 to {MOST_LANES}")
    outcomes = Outcomes(wanted)
    rows = _checked(desk, wanted, settlements.look_all(desk.store, wanted), outcomes)
    rows = _prepared(desk, rows, pay_system, outcomes)
    run = _lane(desk, rows, pay_system, outcomes, lanes=lanes, ending=ending or Ending())
    _ride(run, lanes if rows else 0, outcomes, tell)
    _account(desk, run, outcomes)
    tell(replace(outcomes.progress(), broken=tuple(dict.fromkeys(str(_known_words(error)) for error in run.broken))))
    return outcomes.all()


def _checked(desk: Desk, wanted: Mapping[int, int], known: Mapping[int, Row], outcomes: Outcomes) -> list[Row]:
    """Those that can be brought further; one wrong id hides no other."""
    rows: list[Row] = []
    for settlement_id, invoice_id in wanted.items():
        try:
            row = _known(desk, known, settlement_id, invoice_id)
        except (UnknownIdError, ValueError) as error:
            outcomes.put(settlement_id, error)
            continue
        if row.state in _IN_HAND:
            rows.append(row)
        else:
            outcomes.put(settlement_id, standing(row))
    return rows


def _known(desk: Desk, known: Mapping[int, Row], settlement_id: int, invoice_id: int) -> Row:
    if settlement_id not in known:
        raise UnknownIdError(f"settlement_id={settlement_id} is not in this ledger: give one that was matched from it")
    row = known[settlement_id]
    check_invoice(row, invoice_id)
    same_portal(desk, row)
    return row


def _prepared(desk: Desk, rows: list[Row], pay_system: PaySystem | None, outcomes: Outcomes) -> list[Row]:
    """Ask once for what each kind takes, before anything is claimed; a kind that lacks it leaves the other alone."""
    legacy = [row for row in rows if row.kind == "legacy" and row.state is State.READY]
    smart = [row for row in rows if row.kind == "smart" or any(each.kind == "smart" for each in row.siblings)]
    left_out: dict[int, Exception] = {}
    for those, ask in ((legacy, lambda: _ask(desk, legacy, pay_system)), (smart, lambda: desk.invoices.smart)):
        try:
            _ = those and ask()
        except (BitrixError, ValueError) as error:
            left_out |= {row.id: error for row in those}
    for row in rows:
        if row.id in left_out:
            outcomes.put(row.id, _untried(row, left_out[row.id]))
    return [row for row in rows if row.id not in left_out]


def _ask(desk: Desk, rows: Sequence[Row], pay_system: PaySystem | None) -> None:
    check_way("legacy", pay_system)
    assert pay_system is not None  # noqa: S101 - looked at just above
    _ = any(refuse_idle(desk, row, pay_system) for row in rows[:PROBES])


def _lane(
    desk: Desk, rows: list[Row], pay_system: PaySystem | None, outcomes: Outcomes, *, lanes: int, ending: Ending
) -> Lane:
    alone = [row.id for row in rows if not desk.invoices.is_listed(row.kind)]
    many = [row.id for row in rows if desk.invoices.is_listed(row.kind)]
    most = MOST_PAYS.get(frozenset(row.kind for row in rows if desk.invoices.is_listed(row.kind)), 1)
    queue = Queue(many, alone, {row.id: row.kind for row in rows}, ending)
    return Lane(desk, pay_system, queue, Tempo(len(many), lanes, most, desk.pace.at_once), outcomes)


def _ride(lane: Lane, lanes: int, outcomes: Outcomes, tell: Callable[[Progress], object]) -> None:
    """Run the lanes, each in a thread of its own, to their ends; none outlives this call."""
    if not lanes:
        return
    with ThreadPoolExecutor(lanes, thread_name_prefix="b24-lane") as pool:
        try:
            opening = pool.submit(lane.open, lanes)
            _await([opening], outcomes, tell)
            _await([pool.submit(lane.ride, chunk) for chunk in opening.result()], outcomes, tell)
        except BaseException:
            # What is on its way is brought to its end and written down; nothing new is taken.
            lane.queue.ending.tell()
            raise


def _await(running: Sequence[Future[Any]], outcomes: Outcomes, tell: Callable[[Progress], object]) -> None:
    while wait(running, timeout=TELL_S).not_done:
        tell(outcomes.progress())


def _account(desk: Desk, lane: Lane, outcomes: Outcomes) -> None:
    """Tell of those which no lane has told of: what was not tried, and what a broken lane had in its hands."""
    missing = outcomes.missing
    if not missing:
        return
    rest = next(map(_known_words, lane.broken), StoppedError("no lane came to it"))
    try:
        rows: Mapping[int, Row] = settlements.look_all(desk.store, missing)
    except Exception as error:  # noqa: BLE001 - whatever it is, each has an outcome
        rows, rest = {}, _known_words(error)
    for settlement_id in missing:
        row = rows.get(settlement_id)
        outcomes.put(settlement_id, rest if row is None else _untried(row, lane.queue.why(settlement_id) or rest))


def _untried(row: Row, why: Exception) -> Settled:
    if row.state is State.READY:
        return Settled(row, trouble=Refused("NOT_TRIED", f"not tried: {why}", repeatable=True, cause=why))
    stood = standing(row)
    return stood if stood.trouble is None else replace(stood, trouble=Unknown(f"{stood.trouble.text}: {why}", why))


def _known_words(error: Exception) -> Exception:
    """The error if its words are ours; of any other the name alone, for nobody knows what its text holds."""
    if isinstance(error, (BitrixError, LedgerError, StoppedError, ValueError)):
        return error
    return StoppedError(f"an unexpected {type(error).__name__}")
