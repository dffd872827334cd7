"""Settling over a bad line: whatever comes back, an invoice is paid at most once, and exactly once in the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_b24.bitrix.errors import BitrixError
from airflow_b24.bitrix.protocol import PAY_INVOICE, Request
from airflow_b24.ledger.errors import LedgerError
from airflow_b24.ledger.facts import Refused
from airflow_b24.ledger.states import State
from airflow_b24.sandbox import seed
from tests.wire.fault_server import Fault, FaultServer, honest
from tests.wire.faults import CLEAR, CLOSED, REFUSED, UNCLEAR, cut, dropped, longest

GET = "crm.invoice.get"
BRIEF_S, LONG_S = 0.3, 10.0
# The read when an invoice is first named, the pre-read; then the pay, and the read-back with its two repeats.
READS_BEFORE, READ_BACK = 2, 3
PROMPT = [name for name, trouble in UNCLEAR.items() if not trouble.endless]


@pytest.fixture(scope="module")
def office(offices: Callable[..., Any]) -> Any:
    """An office whose pay system has paid before, so that it is not asked about any more."""
    made = offices(LONG_S)
    assert made.settle(made.bill()).row.state is State.PAID
    return made


@pytest.fixture(scope="module")
def hasty(offices: Callable[..., Any], office: Any) -> Any:
    """The same office, with a client that does not wait long."""
    made = offices(BRIEF_S)
    made.bills = 10_000
    return made


def attempt(office: Any, invoice_id: int) -> Any:
    """One attempt: what it says, or the error of a group that a task would fail with."""
    try:
        return office.settle(invoice_id)
    except (BitrixError, LedgerError) as error:
        return error


def end_well(office: Any, invoice_id: int) -> None:
    """What must hold after an attempt on a bad line, and how it must go on once the line is good again."""
    line, ran = office.line, office.executed(invoice_id)
    line.calm()
    assert ran <= 1
    heard = line.asked(PAY_INVOICE)
    again = office.settle(invoice_id)
    if ran:
        assert again.row.state is State.PAID
        assert line.asked(PAY_INVOICE) == heard
    elif again.row.state is not State.PAID:
        # The quiet time is not over: an earlier call may still land, so nothing may be sent.
        assert (again.row.state, line.asked(PAY_INVOICE)) == (State.UNKNOWN, heard)
    office.let_the_quiet_time_pass()
    last = office.settle(invoice_id)
    assert (last.row.state, last.trouble, office.executed(invoice_id)) == (State.PAID, None, 1)


def assert_never_called_a_failure(office: Any, invoice_id: int, settled: Any) -> None:
    """What ran is paid or unknown; it is not ready to be sent again, not refused, and no person's task."""
    if office.executed(invoice_id) and not isinstance(settled, Exception):
        assert settled.row.state in {State.PAID, State.UNKNOWN}
        assert not isinstance(settled.trouble, Refused)


@pytest.mark.parametrize("name", [*UNCLEAR, *REFUSED, *[*CLOSED][::4], *CLEAR])
def test_any_fault_of_a_pay_ends_paid_exactly_once(office: Any, hasty: Any, name: str) -> None:
    trouble = {**UNCLEAR, **REFUSED, **CLOSED, **CLEAR}[name]
    desk = hasty if trouble.endless else office
    invoice_id = desk.bill()
    desk.line.spoil(PAY_INVOICE, trouble.fault)
    settled = attempt(desk, invoice_id)
    assert_never_called_a_failure(desk, invoice_id, settled)
    if name in UNCLEAR:
        # Read back at once: what ran is known to be paid, what did not run is not sent again.
        assert settled.row.state is (State.PAID if office.executed(invoice_id) else State.UNKNOWN)
    end_well(desk, invoice_id)


@pytest.mark.parametrize("name", [*PROMPT[::4], *CLEAR])
def test_a_fault_of_a_pay_that_cannot_be_read_back_waits_and_is_found_out(office: Any, name: str) -> None:
    trouble = {**UNCLEAR, **CLEAR}[name]
    invoice_id = office.bill()
    office.line.spoil(PAY_INVOICE, trouble.fault)
    office.line.spoil(GET, *[honest] * READS_BEFORE, *[dropped] * READ_BACK)
    settled = attempt(office, invoice_id)
    assert settled.row.state is State.UNKNOWN
    end_well(office, invoice_id)


def pay_length(line: FaultServer, invoice_id: int) -> int:
    order = {"INVOICE_ID": invoice_id, "PAY_SYSTEM_ID": seed.REST_SYSTEM}
    return longest(line, Request(PAY_INVOICE, order))


@pytest.mark.parametrize("start", range(4))
def test_a_pay_whose_answer_is_cut_at_any_byte_is_paid_exactly_once(office: Any, line: FaultServer, start: int) -> None:
    for at in range(start, pay_length(line, office.bill()), 4):
        invoice_id = office.bill()
        line.spoil(PAY_INVOICE, cut(at, reset=at % 8 < 4))
        settled = attempt(office, invoice_id)
        assert (settled.row.state, settled.trouble) == (State.PAID, None), at
        assert office.executed(invoice_id) == 1, at


def test_a_pay_cut_at_any_byte_and_never_read_back_is_unknown_until_it_is_read(office: Any, line: FaultServer) -> None:
    for at in range(0, pay_length(line, office.bill()), 13):
        invoice_id = office.bill()
        line.spoil(PAY_INVOICE, cut(at))
        line.spoil(GET, *[honest] * READS_BEFORE, *[cut(at)] * READ_BACK)
        settled = attempt(office, invoice_id)
        assert_never_called_a_failure(office, invoice_id, settled)
        assert settled.row.state is State.UNKNOWN, at
        end_well(office, invoice_id)


def test_a_read_cut_at_any_byte_pays_nothing_that_was_not_read(office: Any, line: FaultServer) -> None:
    length = longest(line, Request(GET, {"id": office.bill()}))
    for place in range(READS_BEFORE):
        for at in range(0, length, 173):
            invoice_id, heard = office.bill(), line.asked(PAY_INVOICE)
            line.spoil(GET, *[honest] * place, *[cut(at, reset=at % 2 == 0)] * 3)
            attempt(office, invoice_id)
            assert line.asked(PAY_INVOICE) == heard, (place, at)
            end_well(office, invoice_id)


@pytest.mark.parametrize("name", PROMPT[1::4])
def test_a_pre_read_that_is_not_clear_pays_nothing(office: Any, name: str) -> None:
    invoice_id, heard = office.bill(), office.line.asked(PAY_INVOICE)
    office.line.spoil(GET, honest, *[UNCLEAR[name].fault] * 3)
    attempt(office, invoice_id)
    assert office.line.asked(PAY_INVOICE) == heard
    end_well(office, invoice_id)


@pytest.mark.parametrize("after", range(4))
def test_a_connection_reset_before_a_byte_was_read_is_no_obstacle(office: Any, line: FaultServer, after: int) -> None:
    for _ in range(5):
        invoice_id = office.bill()
        line.reset_unheard(after=after)
        attempt(office, invoice_id)
        end_well(office, invoice_id)


def kept(fault: Callable[[bytes], bytes]) -> Fault:
    """An answer on a connection that stays open for the next request."""

    async def stay(line: Any) -> None:
        await line.send(fault((await line.answer()).replace(b"connection: close\r\n", b"")))
        while await line.hear():
            await line.send((await line.answer()).replace(b"connection: close\r\n", b""))

    return stay


def test_an_answer_nobody_asked_for_is_never_taken_for_a_payment(office: Any, line: FaultServer) -> None:
    true = b'HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{"result": true}'
    for extra in (true, true * 2, true[:20]):
        invoice_id = office.bill()
        # Behind the pre-read's answer: it would be read as that of the pay.
        line.spoil(GET, honest, kept(lambda answer, extra=extra: answer + extra))
        settled = attempt(office, invoice_id)
        assert_never_called_a_failure(office, invoice_id, settled)
        end_well(office, invoice_id)
