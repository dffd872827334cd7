"""The command airflow-b24. What needs an Airflow connection is handed to `airflow b24`, which sees all of them."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from airflow_b24 import __version__
from airflow_b24.commands import ANSWER

HANDED_ON = {
    "setup": "prepare a portal for paying: REST handler and pay systems (reads an administrator's webhook)",
    "doctor": "check a connection and its portal, and say how to mend what is wrong",
    "report": "list every payment and what became, or in shadow mode would become, of it",
    "review": "list the payments that wait for a person, and why",
    "ledger": "decide on what waits, check, export or adopt the ledger: `ledger --help` lists it all",
}
# What is asked for by a program, not by a person.
_DATA = frozenset({"--json", "export"})
_NEXT = """Next:
1. Choose one of the two: b24_pay_from_http.py (a mapped task for each invoice) or, for hundreds of payments a day,
   b24_pay_in_bulk.py (the DAG b24_pay_in_bulk: one task pays all that was matched). They do the same: unpause only one.
2. In it set the HttpSource to what your bank answers, and the Param start_from to the first booking date that counts.
   The Param mode stays `shadow` until `airflow-b24 report` looks right; then `pay`.
3. Make the connections bitrix24_default and bank, run `airflow-b24 doctor`, then unpause that DAG and b24_sweep_ledger."""
STOPPED = "Stopped; nothing was left behind."
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code, 130 when it was interrupted."""
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        print(STOPPED, file=sys.stderr)
        return INTERRUPTED


def _run(arguments: Sequence[str] | None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in HANDED_ON:
        return _hand_on(given)
    options = _parser().parse_args(given)
    code: int = options.run(options)
    return code


def _hand_on(given: list[str]) -> int:
    # Only Airflow's own command line may read connections that were made in its pages.
    command = [sys.executable, "-m", "airflow", "b24", *given]
    if not _DATA.intersection(given):
        return subprocess.run(command, check=False).returncode  # noqa: S603
    # Airflow may print lines of its own before the command begins: they go to stderr, the answer alone to stdout.
    answer = os.dup(1)
    environment = {**os.environ, ANSWER: str(answer)}
    try:
        return subprocess.run(command, check=False, stdout=2, pass_fds=[answer], env=environment).returncode  # noqa: S603
    finally:
        os.close(answer)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("airflow-b24", description="Bitrix24 payments for Apache Airflow.")
    parser.add_argument("--version", action="version", version=f"airflow-b24 {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    demo = commands.add_parser("demo", help="see it work: a local portal and bank, a real Airflow, one run")
    demo.add_argument("--json", action="store_true", help="print the totals as one JSON object on the last line")
    demo.set_defaults(run=_demo)
    sandbox = commands.add_parser("sandbox", help="serve a local portal and bank to develop and test against")
    sandbox.add_argument("--http-port", type=_port, default=8024, help="default 8024; 0 takes any free one")
    sandbox.add_argument("--https-port", type=_port, default=8025, help="default 8025; 0 takes any free one")
    sandbox.set_defaults(run=_sandbox)
    init = commands.add_parser("init", help="write the example DAGs into a DAG folder")
    init.add_argument("dags_folder", type=Path, metavar="DAGS_FOLDER")
    init.set_defaults(run=_init)
    for name, text in HANDED_ON.items():
        commands.add_parser(name, help=text)
    return parser


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError("give a number up to 65535, 0 for any free one")
    return number


def _demo(options: argparse.Namespace) -> int:
    from airflow_b24 import demo  # noqa: PLC0415 - the other commands need no server

    return demo.run(as_json=options.json)


def _sandbox(options: argparse.Namespace) -> int:
    from airflow_b24.sandbox import seed, server  # noqa: PLC0415 - likewise

    administrator = seed.webhook_path(seed.ADMINISTRATOR, seed.ADMIN_SECRET)

    def ready(addresses: server.Addresses) -> None:
        print(
            _invitation(addresses, seed.REST_SYSTEM, seed.webhook_path(), seed.BANK_API_KEY, administrator), flush=True
        )

    with tempfile.TemporaryDirectory(prefix="airflow-b24-sandbox-") as folder:
        state = seed.demo(datetime.now(UTC).date())
        ports = {"http_port": options.http_port, "https_port": options.https_port}
        try:
            server.run(state, folder=Path(folder), ready=ready, **ports)
        except OSError as error:
            print(f"--http-port, --https-port: {error.strerror}; give other ports, or 0 for any", file=sys.stderr)
            return 2
    # It ends by a signal alone.
    raise KeyboardInterrupt


def _invitation(addresses: object, pay_system_id: int, path: str, key: str, administrator: str) -> str:
    http, https, ca_file = (getattr(addresses, name) for name in ("http", "https", "ca_file"))
    portal = f'{{"conn_type": "bitrix24", "password": "{http}{path}", "extra": {{"pay_system_id": {pay_system_id}}}}}'
    bank = f'{{"conn_type": "http", "host": "{http}", "extra": {{"X-Api-Key": "{key}"}}}}'
    return "\n".join(
        (
            f"Console   {http}/",
            f"Portal    {http}{path}",
            f"HTTPS     {https}{path}  (certificate authority: {ca_file})",
            f"Bank      {http}/bank/payments  (header X-Api-Key: {key})",
            f"Faults    {http}/sandbox/faults  (what the next calls are scripted to meet, the demo's faults at first;",
            f"          curl -X DELETE {http}/sandbox/faults  forgets them)",
            "",
            "For an Airflow on this machine:",
            f"  export AIRFLOW_CONN_BITRIX24_DEFAULT='{portal}'",
            f"  export AIRFLOW_CONN_BANK='{bank}'",
            "",
            "To rehearse setup, with an administrator's webhook:",
            f"  echo {http}{administrator} | airflow-b24 setup",
            "",
            "Ctrl-C stops it; nothing is kept.",
        )
    )


def _init(options: argparse.Namespace) -> int:
    from airflow_b24.examples import write_examples  # noqa: PLC0415 - likewise

    folder = options.dags_folder
    try:
        written, kept = write_examples(folder)
    except (OSError, UnicodeError) as error:
        said = getattr(error, "strerror", None) or "a file there is not UTF-8 text"
        print(f"DAGS_FOLDER: {folder}: {said}; give a folder that you may write to", file=sys.stderr)
        return 2
    for path in written:
        print(f"wrote {path}")
    for path in kept:
        print(f"kept  {path}: it differs from the example; move it away to get the new one")
    print(_NEXT)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
