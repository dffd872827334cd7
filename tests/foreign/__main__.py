"""The official SDKs, unchanged, against a sandbox: each reads smart invoices and moves one.

    python -m tests.foreign

installs both into a temporary folder (with pip and npm), runs a short script of each against a sandbox of its own, and
compares what the client saw, and what the portal's books say, with what must be. Exit code 1 where they differ.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow_b24.sandbox import control, seed, server

HERE = Path(__file__).parent
PYTHON_SDK, JAVASCRIPT_SDK = "b24pysdk==1.3.2", "@bitrix24/b24jssdk@2.2.0"
WEBHOOK = seed.webhook_path().strip("/").removeprefix("rest/")
INVOICE = 502
EXPECTED = {
    "number": "2026/502",
    "amount": "118.5",
    "funnels": 3,
    "waiting": [501, 502, 503],
    "stage": "DT31_8:UC_PAID01",
    "history": ["DT31_8:NEW", "DT31_8:UC_SENT01", "DT31_8:UC_PAID01"],
}


def python_sdk(folder: Path, addresses: server.Addresses) -> str:
    command(sys.executable, "-m", "venv", folder / "venv")
    python = folder / "venv" / "bin" / "python"
    command(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PYTHON_SDK)
    trust = {"REQUESTS_CA_BUNDLE": str(addresses.ca_file)}
    host = addresses.https.removeprefix("https://")
    return command(python, HERE / "smart_invoices_sdk.py", host, WEBHOOK, INVOICE, more=trust)


def javascript_sdk(folder: Path, addresses: server.Addresses) -> str:
    (folder / "package.json").write_text('{"private": true}', encoding="utf-8")
    command("npm", "install", "--silent", "--no-fund", "--no-audit", JAVASCRIPT_SDK, cwd=folder)
    script = shutil.copy(HERE / "smart_invoices_sdk.mjs", folder)
    trust = {"NODE_EXTRA_CA_CERTS": str(addresses.ca_file)}
    return command("node", script, f"{addresses.https}/rest/{WEBHOOK}", INVOICE, cwd=folder, more=trust)


def command(*words: object, cwd: Path | None = None, more: Mapping[str, str] | None = None) -> str:
    """Run a command and return what it printed; it ends with a RuntimeError that holds the end of its output."""
    environment = {**os.environ, **(more or {})}
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if done.returncode:
        raise RuntimeError(f"{words[0]} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


def tried(client: Any) -> list[str]:
    """What is wrong with one client's view, or with what it did."""
    today = datetime.now(UTC).date()
    with tempfile.TemporaryDirectory() as name:
        state, folder = seed.portal(today), Path(name)
        for invoice_id, funnel_id in ((501, 5), (INVOICE, 8), (503, 9)):
            bill = seed.SmartBill(invoice_id, f"2026/{invoice_id}", "118.50", 21, 9, funnel_id)
            seed.add_smart_invoice(state, bill, today)
        with server.serving(state, folder) as addresses:
            saw = json.loads(client(folder, addresses).splitlines()[-1])
        books: Any = control.books(state)
    paid = {row["id"]: row["executed_pays"] for row in books["smart_invoices"] if row["paid"]}
    differing = [
        f"{name}: saw {saw.get(name)!r}, not {value!r}" for name, value in EXPECTED.items() if saw.get(name) != value
    ]
    return differing + ([] if paid == {INVOICE: 1} else [f"the books say {paid} were paid"])


def main(clients: Sequence[Any] = (python_sdk, javascript_sdk)) -> int:
    trouble = 0
    for client in clients:
        complaints = tried(client)
        trouble |= bool(complaints)
        sys.stdout.write(f"{client.__name__}: {'; '.join(complaints) or 'reads and moves smart invoices unchanged'}\n")
    return trouble


if __name__ == "__main__":
    sys.exit(main())
