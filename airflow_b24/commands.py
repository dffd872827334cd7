"""`airflow b24 setup|doctor|review`: commands for people. Airflow itself runs them, so they see every connection.

Every `airflow` command loads this module to build its parser: whatever is heavy is imported by the command alone.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from airflow.cli.cli_config import CLICommand

    from airflow_b24.bitrix.client import Client
    from airflow_b24.connection import Settings
    from airflow_b24.hooks import Bitrix24Hook
    from airflow_b24.ledger.store import Store
    from airflow_b24.reconcile.reporting import Line

DEFAULT_CONNECTION: Final = "bitrix24_default"
PROBLEM: Final = 1
USAGE: Final = 2


def airflow_commands() -> list[CLICommand]:
    """Return the command group `airflow b24`."""
    from airflow.cli import cli_config  # noqa: PLC0415
    from airflow.cli.cli_config import ActionCommand, GroupCommand  # noqa: PLC0415

    argument: Any = cli_config.Arg  # it has no types
    connection = argument(("--conn-id",), help="The Bitrix24 connection", default=DEFAULT_CONNECTION)
    ledger = argument(("--ledger-conn-id",), help="The ledger's connection, if your tasks name one")
    as_json = argument(("--json",), help="Print JSON", action="store_true")
    ca_bundle = argument(("--ca-bundle",), help="A private certificate authority to trust: the path of a PEM file")
    name = argument(("--name",), help="The name which accountants will see as the pay system's")
    return [
        GroupCommand(
            name="b24",
            help="Bitrix24: prepare a portal, find out what is wrong, see what waits for a person",
            subcommands=(
                ActionCommand(
                    name="setup",
                    help="Create what paying needs on a portal, once, with an administrator's webhook from standard input",
                    func=run_setup,
                    args=(connection, ca_bundle, name),
                ),
                ActionCommand(
                    name="doctor",
                    help="Check connection, portal and ledger; exit code 1 when there is a problem",
                    func=run_doctor,
                    args=(connection, ledger, as_json),
                ),
                ActionCommand(
                    name="review",
                    help="Show the payments which a person must decide on, newest first",
                    func=run_review,
                    args=(connection, ledger, as_json),
                ),
            ),
        )
    ]


def run_setup(args: Namespace) -> None:
    """Prepare a portal with a webhook read from standard input; the last line printed is the extra as JSON."""
    from airflow.sdk.log import mask_secret  # noqa: PLC0415

    from airflow_b24.connection import read_settings  # noqa: PLC0415
    from airflow_b24.preparation import NAME, prepare  # noqa: PLC0415
    from airflow_b24.printing import setup_lines  # noqa: PLC0415

    with _explained():
        hook = _hook(args)
        connection = _defined(hook)
        extra = dict(connection.extra_dejson) if connection else {}
        if args.ca_bundle:
            extra["ca_bundle"] = str(Path(args.ca_bundle).resolve())
        settings = read_settings(_read_webhook(), None, extra)
        for secret in settings.secrets:
            mask_secret(secret)
        if connection:
            _check_same_portal(settings, hook)
        with _client(settings) as client:
            prepared = prepare(client, NAME if args.name is None else args.name)
        _print(setup_lines(prepared, str(settings.auth.origin), args.conn_id))
        _print([json.dumps({**extra, **prepared.extra}, ensure_ascii=False)])


def run_doctor(args: Namespace) -> None:
    """Examine the portal of a connection and the ledger; exits with 1 when there is a problem."""
    from airflow_b24.doctor import examine  # noqa: PLC0415
    from airflow_b24.printing import finding_lines  # noqa: PLC0415
    from airflow_b24.reconcile.desk import PaySystem  # noqa: PLC0415

    with _explained():
        hook = _hook(args)
        settings = hook.settings
        pay_system = PaySystem(settings.pay_system_id, settings.bx_rest_handler)
        with _client(settings) as client:
            found = examine(client, pay_system, lambda: _ledger(hook))
        _print(_json(asdict(each) for each in found) if args.json else finding_lines(found))
    if any(each.state == "problem" for each in found):
        raise SystemExit(PROBLEM)


def run_review(args: Namespace) -> None:
    """Print what waits for a person, newest first."""
    from airflow_b24.printing import review_lines  # noqa: PLC0415
    from airflow_b24.reconcile import reporting  # noqa: PLC0415

    with _explained():
        waiting = reporting.reviews(_ledger(_hook(args)))
        _print(_json(_plain(line) for line in waiting) if args.json else review_lines(waiting))


@contextmanager
def _explained() -> Iterator[None]:
    """Keep stdout for the answer; turn what a person can mend into one line on stderr and exit code 2."""
    from airflow.sdk.exceptions import AirflowNotFoundException  # noqa: PLC0415
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    from airflow_b24.bitrix.errors import BitrixError  # noqa: PLC0415
    from airflow_b24.ledger.errors import LedgerError  # noqa: PLC0415

    before = logging.root.manager.disable
    # Airflow's log goes to stdout, where it would spoil the JSON.
    logging.disable(logging.CRITICAL)
    try:
        yield
    except AirflowNotFoundException as error:
        said = f"--conn-id: {error}; add it in the UI (Admin > Connections) or with `airflow connections add`"
    except SQLAlchemyError as error:
        # The driver's own text may quote the address with its password.
        said = f"[bitrix24] ledger_url: the ledger cannot be used ({type(error).__name__}); run `airflow b24 doctor`"
    except (BitrixError, LedgerError, ValueError) as error:
        said = " ".join(str(error).split())
    else:
        return
    finally:
        logging.disable(before)
    sys.stderr.write(f"{said}\n")
    raise SystemExit(USAGE)


def _hook(args: Namespace) -> Bitrix24Hook:
    from airflow_b24.hooks import Bitrix24Hook  # noqa: PLC0415

    # source-derived: without this a command sees the environment's connections alone, not those made in the UI.
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
    return Bitrix24Hook(args.conn_id, getattr(args, "ledger_conn_id", None))


def _ledger(hook: Bitrix24Hook) -> Store:
    from airflow.sdk.exceptions import AirflowNotFoundException  # noqa: PLC0415

    from airflow_b24.ledger.errors import LedgerError  # noqa: PLC0415

    try:
        return hook.ledger
    except AirflowNotFoundException as error:
        raise LedgerError(f"--ledger-conn-id: {error}") from None


def _client(settings: Settings) -> Client:
    from airflow_b24.bitrix.client import Client as Portal  # noqa: PLC0415

    # A pace of its own: a portal is examined also while the ledger is out of order.
    return Portal(settings.auth, **settings.options())


def _read_webhook() -> str:
    prompt = "An administrator's inbound webhook (not shown, not stored): "
    webhook = getpass(prompt, sys.stderr) if sys.stdin.isatty() else sys.stdin.readline()
    if not webhook.strip():
        raise ValueError("webhook: standard input is empty; give the webhook's address as one line")
    return webhook


def _defined(hook: Bitrix24Hook) -> Any:
    from airflow.sdk.exceptions import AirflowNotFoundException  # noqa: PLC0415

    try:
        return hook.get_connection(hook.bitrix24_conn_id)
    except AirflowNotFoundException:
        return None


def _check_same_portal(settings: Settings, hook: Bitrix24Hook) -> None:
    here, there = settings.auth.origin, hook.settings.auth.origin
    if here != there:
        raise ValueError(
            f"webhook: it is of {here}, but the connection {hook.bitrix24_conn_id!r} is of {there}; give a webhook of "
            "that portal, or another --conn-id"
        )


def _json(rows: Iterable[dict[str, Any]]) -> list[str]:
    return [json.dumps(list(rows), ensure_ascii=False, indent=2)]


def _plain(line: Line) -> dict[str, Any]:
    return {**asdict(line), "amount": None if line.amount is None else str(line.amount)}


def _print(lines: Iterable[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
