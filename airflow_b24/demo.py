"""The demo: a local portal and bank, a real Airflow, the shipped DAG, and what became of every payment.

Everything happens in one temporary folder and on loopback; nothing is left behind.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow_b24.examples import write_examples
from airflow_b24.ledger.store import Store
from airflow_b24.reconcile.reporting import Line, beside, lines, page, totals
from airflow_b24.sandbox import control, seed, server
from airflow_b24.sandbox.bucket import Bucket
from airflow_b24.sandbox.state import State

DAG_ID = "b24_pay_from_http"
LONGEST_S = 300
# docs: limits. The Enterprise plan's: at the pace of an ordinary one most of a demo would be waiting.
BURST, PER_SECOND = 250, 5
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the ledger says, what the portal's books say, and where the two disagree."""

    lines: list[Line]
    totals: dict[str, Any]
    complaints: list[str]


def run(*, as_json: bool) -> int:
    """Run the demo; 0 only when the DAG run succeeded and the portal's own books agree with the ledger."""
    began = time.monotonic()
    # Airflow runs in a group of its own: whatever ends us must end it too.
    for number in STOPS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:5.1f} s  {text}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="airflow-b24-demo-") as temporary:
        verdict = _play(Path(temporary), say)
    verdict.totals["seconds"] = round(time.monotonic() - began, 1)
    print(_page(verdict), flush=True)
    if as_json:
        print(json.dumps({**verdict.totals, "agrees": not verdict.complaints}))
    return 1 if verdict.complaints else 0


def _play(folder: Path, say: Say) -> Verdict:
    today = datetime.now(UTC).date()
    state = seed.demo(today)
    state.bucket = Bucket(BURST, PER_SECOND)
    with server.serving(state, folder) as addresses:
        say(
            f"A sandbox portal and bank answer on {addresses.https} (console: {addresses.http}/; {PER_SECOND} requests a second, as on the Enterprise plan)"
        )
        environment = _environment(folder, addresses, {"requests_per_second": PER_SECOND, "burst": BURST})
        write_examples(folder / "dags")
        say("Preparing a temporary Airflow with an SQLite database ...")
        _airflow(["db", "migrate"], environment, folder)
        start_from = (today - timedelta(days=60)).isoformat()
        say(f"Running the DAG {DAG_ID}: collect, match, pay, report ...")
        conf = json.dumps({"mode": "pay", "start_from": start_from})
        with _progress(state, say):
            failed = _airflow(["dags", "test", "-c", conf, DAG_ID], environment, folder)
        say("Comparing the ledger with the portal's own books ...")
        return _judge(folder, state, failed)


def _environment(folder: Path, addresses: server.Addresses, plan: Mapping[str, int]) -> dict[str, str]:
    ca_file = str(addresses.ca_file)
    portal = {"pay_system_id": seed.REST_SYSTEM, "ca_bundle": ca_file}
    bank = {"X-Api-Key": seed.BANK_API_KEY, "verify": ca_file}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    return kept | {
        # Airflow starts itself by name: ours must be found first.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "HOME": str(folder),
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(folder / "logs"),
        "AIRFLOW_CONN_BITRIX24_DEFAULT": json.dumps(
            {"conn_type": "bitrix24", "password": addresses.https + seed.webhook_path(), "extra": {**portal, **plan}}
        ),
        "AIRFLOW_CONN_BANK": json.dumps({"conn_type": "http", "host": addresses.https, "extra": bank}),
    }


def _airflow(arguments: list[str], environment: dict[str, str], folder: Path) -> str | None:
    """Run one Airflow command; returns the end of its output when it failed."""
    command = [sys.executable, "-m", "airflow", *arguments]
    process = None
    try:
        with _interrupts_held_back():
            process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own arguments
                command,
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        said, _ = process.communicate(timeout=LONGEST_S)
    except BaseException:
        if process is not None:
            # Airflow has children of its own, which would outlive it. Its folder goes next: nothing needs a tidy end.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        raise
    return None if process.returncode == 0 else "\n".join(said.decode(errors="replace").splitlines()[-40:])


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Let an interrupt wait for the end of the block: a process half started would be unknown to us, and stay."""
    caught: list[int] = []
    numbers = [number for number in STOPS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, lambda received, _: caught.append(received)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if caught:
        raise KeyboardInterrupt


@contextmanager
def _progress(state: State, say: Say) -> Iterator[None]:
    """Say what the portal sees while Airflow works."""
    import threading  # noqa: PLC0415 - only the demo's progress needs it

    stop = threading.Event()

    def watch() -> None:
        shown = 0
        while not stop.wait(1.0):
            books = control.books(state)
            if books["requests"] != shown:
                shown = int(str(books["requests"]))
                say(f"  the portal has seen {shown} requests, {_paid(books)} paid by us")

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()


def _paid(books: dict[str, Any]) -> str:
    count = sum(bool(invoice["executed_pays"]) for invoice in _every(books))
    return "1 invoice was" if count == 1 else f"{count} invoices were"


def _every(books: dict[str, Any]) -> list[dict[str, Any]]:
    return [*books["invoices"], *books["smart_invoices"]]


def _judge(folder: Path, state: State, failed: str | None) -> Verdict:
    store = Store.open(f"sqlite:///{folder}/airflow_b24.db")
    found, more = lines(store), beside(store)
    store.close()
    books: dict[str, Any] = control.books(state)
    complaints = [*_disagreements(found, books), *_surprises(found)]
    if failed is not None:
        complaints.append(f"the DAG run failed; the end of its log:\n{failed}")
    counts = {**totals(found, more), **_paid_by_kind(found), "double_paid": books["double_paid"]}
    return Verdict(found, counts, complaints)


def _paid_by_kind(found: list[Line]) -> dict[str, int]:
    """How many of the paid payments, those by hand too, are for invoices of each kind."""
    paid = [line for line in found if line.status in {"paid", "by_hand"}]
    return {kind: sum(kind in line.kinds for line in paid) for kind in ("legacy", "smart")}


def _disagreements(found: list[Line], books: dict[str, Any]) -> list[str]:
    """Every `paid` of the ledger must be one executed pay in the portal's books, and the other way round."""
    complaints = [f"{books['double_paid']} invoices were paid more than once"] if books["double_paid"] else []
    ours = {number for line in found if line.status == "paid" for number in line.invoices.split(", ")}
    by_hand = {line.invoices for line in found if line.status == "by_hand"}
    for invoice in _every(books):
        number, pays, paid = invoice["number"], invoice["executed_pays"], _is_paid(invoice)
        if (number in ours) != (pays == 1) or (number in ours and not paid):
            complaints.append(f"invoice {number}: ledger paid={number in ours}, portal paid={paid} by {pays} calls")
        if number in by_hand and (pays or not paid):
            complaints.append(f"invoice {number}: by hand in the ledger, portal paid={paid} by {pays} calls")
    return complaints


def _is_paid(invoice: dict[str, Any]) -> bool:
    # A robot of the funnel moves a paid smart invoice on at once: its history shows that it was.
    return invoice["paid"] or any(entered["semantics"] == "S" for entered in invoice.get("history", ()))


def _surprises(found: list[Line]) -> list[str]:
    """The demo's stories have known ends."""
    ends = {line.payment: line.status for line in found}
    told = [story for story in seed.DEMO if story.payment_id in ends]
    return [
        f"{story.payment_id} ({story.scenario}) ended {ends[story.payment_id]}, not {story.end}"
        for story in told
        if ends[story.payment_id] != story.end
    ]


def _page(verdict: Verdict) -> str:
    counts = verdict.totals
    summary = (
        f"{counts['payments']} payments: {counts['paid']} paid ({counts['by_hand']} of them by hand; "
        f"{counts['legacy']} for legacy invoices, {counts['smart']} for smart ones), "
        f"{counts['review']} for review, {counts['waiting']} waiting, {counts['ignored']} ignored. "
        f"Paid twice: {counts['double_paid']}."
    )
    sums = [f"Received on {account}: {money}" for account, money in counts["received"].items()]
    books = ["The portal's own books agree."] if not verdict.complaints else ["DISAGREEMENT:", *verdict.complaints]
    return "\n".join(["", page(verdict.lines), "", summary, *sums, *books])
