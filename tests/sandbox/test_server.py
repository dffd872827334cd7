from __future__ import annotations

import contextlib
import json
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from airflow_b24.sandbox import seed
from airflow_b24.sandbox.faults import Rule
from airflow_b24.sandbox.invoice import Invoice
from airflow_b24.sandbox.server import Addresses, serving
from airflow_b24.sandbox.state import State

PAY = "sale.paysystem.pay.invoice"


@pytest.fixture(scope="module")
def state() -> State:
    return seed.portal(datetime.now(UTC).date())


@pytest.fixture(scope="module")
def addresses(state: State, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    with serving(state, tmp_path_factory.mktemp("ca")) as given:
        yield given


@pytest.fixture(autouse=True)
def _invoice_two(state: State) -> None:
    state.invoices = {2: Invoice(2, "2026/2", Decimal("118.00"))}
    state.faults.rules.clear()


def curl(*arguments: str) -> dict[str, object]:
    command = ["curl", "-sS", "--noproxy", "*", "-X", "POST", "-H", "Content-Type: application/json"]
    command += ["-H", "Accept: application/json", *arguments]
    done = subprocess.run(command, capture_output=True, check=True, timeout=10)
    return json.loads(done.stdout)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_curl_pays_by_webhook_as_the_documentation_shows(addresses: Addresses, state: State, scheme: str) -> None:
    url = getattr(addresses, scheme) + seed.webhook_path() + PAY
    given = curl("--cacert", str(addresses.ca_file), "-d", '{"INVOICE_ID":2,"PAY_SYSTEM_ID":31}', url)
    assert given["result"] is True
    assert state.invoices[2].paid


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_curl_pays_by_oauth_as_the_documentation_shows(addresses: Addresses, state: State, scheme: str) -> None:
    sent = json.dumps({"INVOICE_ID": 2, "PAY_SYSTEM_ID": 31, "auth": seed.ACCESS_TOKEN})
    given = curl("--cacert", str(addresses.ca_file), "-d", sent, f"{getattr(addresses, scheme)}/rest/{PAY}")
    assert given["result"] is True
    assert state.invoices[2].paid


def raw(address: str, ca_file: Path) -> bytes:
    """Everything a bare client gets until the connection ends."""
    place = urlsplit(address)
    body = b'{"INVOICE_ID":2,"PAY_SYSTEM_ID":31}'
    head = f"POST {seed.webhook_path()}{PAY} HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: application/json\r\n"
    with socket.create_connection((place.hostname, place.port), timeout=5) as plain:
        context = ssl.create_default_context(cafile=str(ca_file))
        context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF
        wire = context.wrap_socket(plain, server_hostname="127.0.0.1") if place.scheme == "https" else plain
        with wire:
            wire.sendall(f"{head}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            return b"".join(_parts(wire))


def _parts(wire: socket.socket) -> Iterator[bytes]:
    with contextlib.suppress(ConnectionResetError):
        while part := wire.recv(4096):
            yield part


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(("kind", "paid"), [("lost_before", False), ("lost_after", True)])
def test_a_lost_answer_is_a_real_cut_without_one_byte(
    addresses: Addresses, state: State, scheme: str, kind: str, paid: bool
) -> None:
    state.faults.rules.append(Rule(kind, PAY))
    assert raw(getattr(addresses, scheme), addresses.ca_file) == b""
    assert state.invoices[2].paid is paid
    assert raw(getattr(addresses, scheme), addresses.ca_file).startswith(b"HTTP/1.1 200 OK")


def test_a_truncated_answer_is_complete_http_with_cut_json(addresses: Addresses, state: State) -> None:
    state.faults.rules.append(Rule("truncated_after", PAY))
    head, _, body = raw(addresses.http, addresses.ca_file).partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in head.lower()
    assert body.startswith(b'{"result": true')
    assert not body.endswith(b"}")


def test_a_refresh_names_the_address_it_was_asked_at(addresses: Addresses) -> None:
    query = f"grant_type=refresh_token&client_id={seed.CLIENT_ID}&client_secret={seed.CLIENT_SECRET}"
    given = curl(f"{addresses.http}/oauth/token/?{query}&refresh_token={seed.REFRESH_TOKEN}")
    assert given["client_endpoint"] == f"{addresses.http}/rest/"


def test_a_refresh_is_taken_as_a_form_and_can_be_cut_after_it_rotated(addresses: Addresses, state: State) -> None:
    assert state.application is not None
    before = state.application.refreshes
    form = f"grant_type=refresh_token&client_id={seed.CLIENT_ID}&client_secret={seed.CLIENT_SECRET}"
    form += f"&refresh_token={state.application.refresh_token}"
    command = ["curl", "-sS", "--noproxy", "*", "-d", form, f"{addresses.http}/oauth/token/"]
    state.faults.rules.append(Rule("lost_after", "oauth.token"))
    lost = subprocess.run(command, capture_output=True, check=False, timeout=10)
    assert (lost.stdout, lost.returncode != 0, state.application.refreshes) == (b"", True, before + 1)
    assert json.loads(subprocess.run(command, capture_output=True, check=True, timeout=10).stdout)["error"]


def test_a_port_that_is_taken_is_an_error_and_not_a_hang(addresses: Addresses, tmp_path: Path) -> None:
    program = f"""
        import pathlib
        from datetime import date
        from airflow_b24.sandbox import seed, server
        port = {urlsplit(addresses.http).port}
        server.run(seed.demo(date(2026, 11, 22)), folder=pathlib.Path({str(tmp_path)!r}), ready=print, http_port=port)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, timeout=20, check=False
    )
    assert done.returncode != 0
    assert b"Address already in use" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_serves_until_a_signal_and_ends_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    program = f"""
        import pathlib
        from datetime import date
        from airflow_b24.sandbox import seed, server
        ready = lambda addresses: print(addresses.http, flush=True)
        server.run(seed.demo(date(2026, 11, 22)), folder=pathlib.Path({str(tmp_path)!r}), ready=ready)
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        address = process.stdout.readline().decode().strip()
        place = urlsplit(address)
        with socket.create_connection((place.hostname, place.port), timeout=5):
            process.send_signal(number)
            _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, b"")
