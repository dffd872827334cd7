"""A bank behind a bad line: what was not read whole is not kept, and the next run reads it all."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from airflow_b24.ledger import cursors
from airflow_b24.ledger.schema import payment
from airflow_b24.ledger.store import Store
from airflow_b24.paginators import JSONLinkPaginator, JSONResponseCursorPaginator
from airflow_b24.payments.errors import SourceFormatError
from airflow_b24.payments.statements.records import RecordFields
from airflow_b24.reconcile.collecting import collect
from airflow_b24.sandbox import seed
from tests.wire.fault_server import Fault, FaultServer, Line, honest, serving
from tests.wire.faults import GZIP_HEAD, GZIP_MIB, UNCLEAR, answering, cut, head, stream
from tests.wire.test_memory import bounded

TODAY = datetime.now(UTC).date()
START = TODAY - timedelta(days=30)
RECORDS = 7
PAGES = 3
FIELDS = RecordFields(remittance="purpose", payer_name="payer.name", payer_tax_id="payer.tax_id")


@dataclass
class Bank:
    """The bank, its source and a new ledger."""

    line: FaultServer
    source: Any
    store: Store
    errors: tuple[type[Exception], ...]

    def collect(self) -> dict[str, int]:
        """One run of the collecting task."""
        read, name = self.source.read, self.source.name
        return collect(self.store, name, read, FIELDS, start_from=START, today=TODAY, overlap=timedelta(days=3))

    @property
    def kept(self) -> tuple[int, date | None]:
        """How many payments the ledger holds, and up to which day it has read."""
        with self.store.snapshot() as connection:
            cursor = cursors.find(connection, self.source.name)
            return connection.scalar(select(func.count()).select_from(payment)) or 0, cursor and cursor.watermark


@pytest.fixture(scope="module")
def vault() -> Iterator[FaultServer]:
    """A bank with seven payments on three pages, whose key is a secret."""
    state = seed.portal(TODAY)
    # A portal with legacy invoices alone, as older ones are.
    state.settings.smart_invoices = False
    for number in range(RECORDS):
        state.bank.add({"id": f"P{number}", "amount": "118.00", "purpose": f"счет {number}"}, TODAY)
    with serving(FaultServer(state)) as server:
        yield server


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The module of sources, in a home of its own: Airflow reads its settings when it is first imported."""
    if "airflow.configuration" not in sys.modules:
        os.environ["AIRFLOW_HOME"] = str(tmp_path_factory.mktemp("airflow"))
    return pytest.importorskip("airflow_b24.sources", reason="Airflow is not installed")


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with its tables, to be copied."""
    path = tmp_path_factory.mktemp("empty") / "ledger.db"
    Store.open(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def bank(
    vault: FaultServer, sources: Any, empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bank]:
    vault.calm()
    connect(monkeypatch, vault.address)
    source = sources.HttpSource(
        http_conn_id="bank",
        endpoint="bank/payments",
        data_selector="payments",
        paginator=JSONResponseCursorPaginator(),
        record_fields=FIELDS,
    )
    (tmp_path / "ledger.db").write_bytes(empty.read_bytes())
    store = Store.open(f"sqlite:///{tmp_path}/ledger.db")
    yield Bank(vault, source, store, (sources.SourceError, SourceFormatError))
    store.close()


def connect(monkeypatch: pytest.MonkeyPatch, address: str, **extra: str) -> None:
    connection = {"conn_type": "http", "host": address, "extra": {"X-Api-Key": seed.BANK_API_KEY, **extra}}
    monkeypatch.setenv("AIRFLOW_CONN_BANK", json.dumps(connection))


def fail(bank: Bank, *faults: Fault) -> Exception:
    """A run that meets faults on its first pages: it fails within its groups and keeps nothing."""
    bank.line.spoil("payments", *faults)
    with pytest.raises(bank.errors) as caught:
        bank.collect()
    assert bank.kept == (0, None)
    assert seed.BANK_API_KEY not in str(caught.value)
    bank.line.calm()
    return caught.value


def succeed(bank: Bank) -> None:
    """The next run, on a good line, has everything."""
    assert bank.collect()["new"] == RECORDS
    assert bank.kept == (RECORDS, TODAY)


# requests asks for deflate too, unpacks twice what is packed twice, and looks at no end.
READ_ALL_THE_SAME = {"deflate", "raw deflate", "gzip twice", "more behind a gzip", "a gzip without its sum"}
PROMPT = [name for name, each in UNCLEAR.items() if not each.endless and name not in READ_ALL_THE_SAME]
# For lengths that contradict each other urllib3 leaves its socket to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.mark.parametrize("name", PROMPT)
def test_a_fault_on_any_page_keeps_nothing_and_the_next_run_everything(bank: Bank, name: str) -> None:
    if name == "a page of 403":
        # A refused key is a person's to mend.
        bank.errors = (ValueError,)
    for honestly in range(PAGES):
        fail(bank, *[honest] * honestly, UNCLEAR[name].fault)
    succeed(bank)


def test_an_answer_cut_at_any_byte_keeps_nothing(bank: Bank) -> None:
    length: list[int] = []

    async def measured(line: Line) -> None:
        answer = await line.answer()
        length.append(len(answer))
        await line.send(answer)

    bank.line.spoil("payments", measured)
    list(bank.source.read(START))
    for at in range(0, length[0], 13):
        fail(bank, cut(at, reset=at % 2 == 0))
    for at in range(0, length[0], 91):
        fail(bank, honest, cut(at, reset=at % 2 == 1))
    succeed(bank)


@pytest.mark.parametrize("name", [name for name, trouble in UNCLEAR.items() if trouble.endless])
def test_a_bank_that_keeps_us_waiting_is_given_up(bank: Bank, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("airflow_b24.transport.LONGEST_S", 0.3)
    began = time.monotonic()
    fail(bank, UNCLEAR[name].fault)
    assert time.monotonic() - began < 3
    monkeypatch.undo()
    connect(monkeypatch, bank.line.address)
    succeed(bank)


@pytest.mark.parametrize(
    "fault",
    [
        stream(head(200, "content-encoding: gzip") + GZIP_HEAD, GZIP_MIB),
        stream(head(302, "content-encoding: gzip", "location: /x") + GZIP_HEAD, GZIP_MIB),
        stream(head(500, "content-encoding: gzip") + GZIP_HEAD, GZIP_MIB),
        stream(head(200), b" " * 2**20),
        stream(b"HTTP/1.1 200 OK\r\nx: ", b"y" * 60_000),
    ],
    ids=["gzip", "gzip behind a redirect", "gzip behind an error", "spaces", "a header"],
)
def test_a_bomb_is_refused_in_bounded_memory(bank: Bank, fault: Fault) -> None:
    bank.line.spoil("payments", fault)
    with bounded(), pytest.raises(bank.errors):
        bank.collect()
    assert bank.kept == (0, None)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_the_key_goes_to_no_other_host(bank: Bank, vault: FaultServer, status: int) -> None:
    with serving(FaultServer(vault.state)) as stranger:
        for where in (f"{stranger.address}/", stranger.address.replace("127.0.0.1", "localhost"), "http://[", "//x:y"):
            fail(bank, answering(b"", status, f"location: {where}").fault)
    assert stranger.connections == 0
    succeed(bank)


@pytest.mark.parametrize("where", ["/bank/../other/payments", "/bank/payments/../../x", "/bank/%2e%2e/x"])
def test_a_next_page_cannot_climb_out_of_the_connections_address(
    bank: Bank, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    connect(monkeypatch, f"{bank.line.address}/bank")
    page = json.dumps({"payments": [], "next": where}).encode()
    bank.line.spoil("payments", answering(page).fault)
    source = replace(bank.source, endpoint="payments", paginator=JSONLinkPaginator())
    heard = len(bank.line.heard)
    with pytest.raises(SourceFormatError, match="not below the connection's address"):
        list(source.read(START))
    assert len(bank.line.heard) - heard == 1
