"""`airflow b24 setup|doctor|report|review|ledger`: commands for people, run by Airflow, so they see every connection.

Every `airflow` command loads this module to build its parser: what a command does is imported when it runs.
"""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from airflow.cli.cli_config import CLICommand

DEFAULT_CONNECTION: Final = "bitrix24_default"
# Where a command's answer goes, as the number of an open file; stdout if not set.
ANSWER: Final = "AIRFLOW_B24_ANSWER"
STATUSES: Final = ("paid", "by_hand", "review", "waiting", "would_pay", "ignored", "dismissed")


def airflow_commands() -> list[CLICommand]:
    """Return the command group `airflow b24`."""
    from airflow.cli.cli_config import GroupCommand  # noqa: PLC0415

    about = (
        "Bitrix24: prepare a portal, find out what is wrong, see what became of payments and what waits for a person"
    )
    return [GroupCommand(name="b24", help=about, subcommands=(*_portal_commands(), *_ledger_commands()))]


def _portal_commands() -> list[CLICommand]:
    ca_bundle = _argument("--ca-bundle", help="A private certificate authority to trust: the path of a PEM file")
    name = _argument("--name", help="The name which accountants will see as the pay system's")
    bank = _argument("--http-conn-id", help="Also check this connection of the http provider: your bank's")
    endpoint = _argument("--http-endpoint", help="What to ask there; its root if not given", default="")
    return [
        _action(
            "portal.run_setup",
            "Create what paying needs on a portal, once, with an administrator's webhook from standard input",
            *(_connection(), ca_bundle, name),
        ),
        _action(
            "portal.run_doctor",
            "Check connection, portal and ledger; exit code 1 when there is a problem",
            *(_connection(), _ledger(), bank, endpoint, _json()),
        ),
    ]


def _ledger_commands() -> list[CLICommand]:
    from airflow.cli.cli_config import GroupCommand  # noqa: PLC0415

    status = _argument(
        "--status", help="Only these; paid includes by_hand, waiting includes would_pay", choices=STATUSES
    )
    return [
        _action(
            "reviewing.run_report",
            "Show every payment and what became, or in shadow mode would become, of it",
            *(_connection(), _ledger(), status, _json()),
        ),
        _action(
            "reviewing.run_review",
            "Show the payments which a person must decide on, newest first",
            *(_connection(), _ledger(), _json()),
        ),
        GroupCommand(
            name="ledger",
            help="Decide on what waits for a person; check, export or adopt the ledger",
            subcommands=(*_decisions(), *_books()),
        ),
    ]


def _decisions() -> tuple[CLICommand, ...]:
    seen = "Its number, as `airflow b24 review` shows it"
    yes = _argument("--yes", help="Do not ask: I have looked", action="store_true")
    shared = (_connection(), _ledger(), yes)
    settlement, payment, case, record = (
        _argument(name, help=seen, type=_number) for name in ("settlement_id", "payment_id", "case_id", "record_id")
    )
    why = _argument("--reason", help="Why nobody has to look at it, in a few words", default="")
    undo = _argument("--undo", help="Take that back: it waits for a person again", action="store_true")
    return (
        _action(
            "deciding.run_release", "This money did not pay this invoice: part the two for good", settlement, *shared
        ),
        _action(
            "deciding.run_retry", "What stood in the way is mended: pay this invoice after all", settlement, *shared
        ),
        _action("deciding.run_confirm", "The invoice is paid, and it was with this money", settlement, *shared),
        _action("deciding.run_accept", "A payment the bank changed stands as it was first delivered", payment, *shared),
        _action(
            "deciding.run_dismiss", "A payment is dealt with elsewhere: paid back, say, or not ours", payment, *shared
        ),
        _action("deciding.run_reopen", "Take a dismissal back: the payment is matched again", payment, *shared),
        _action(
            "deciding.run_ignore",
            "A record that cannot be read is dealt with, or holds no money",
            record,
            why,
            undo,
            *shared,
        ),
        _action("deciding.run_close", "A case is dealt with", case, *shared),
    )


def _books() -> tuple[CLICommand, ...]:
    before = _argument("--before", help="The checkpoint's day, YYYY-MM-DD: of the events before it; today if not given")
    form = _argument(
        "--format",
        help="csv for a spreadsheet (semicolons, decimal commas), json for a program (decimal points)",
        choices=("csv", "json"),
        required=True,
    )
    since = _argument("--since", help="The first booking date to write, YYYY-MM-DD; everything if not given")
    output = _argument("--output", help="A file for you alone to read; standard output if not given")
    force = _argument("--force", help="Overwrite the file", action="store_true")
    yes = _argument("--yes", help="Do not ask: I have looked", action="store_true")
    return (
        _action(
            "books.run_check",
            "Verify the ledger's rules and print the sums; exit code 1 when something is wrong",
            *(_connection(), _ledger(), before, _json()),
        ),
        _action(
            "books.run_export",
            "Write every payment and what became of it, and every case",
            *(_connection(), _ledger(), form, since, output, force),
        ),
        _action(
            "books.run_adopt",
            "Let this ledger pay from now on: it is new, restored, or on another host, and a person has looked",
            *(_connection(), _ledger(), yes),
        ),
    )


def _number(text: str) -> int:
    """Read an id of the ledger's: no longer than its column can hold."""
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise ArgumentTypeError(f"{text[:24]!r} is no number of a row; give one that `airflow b24 review` shows")
    return int(text)


def _action(function: str, about: str, *arguments: Any) -> CLICommand:
    from airflow.cli.cli_config import ActionCommand, lazy_load_command  # noqa: PLC0415

    func = lazy_load_command(f"airflow_b24.commands.{function}")
    return ActionCommand(name=function.rpartition("run_")[2], help=about, func=func, args=arguments)


def _connection() -> Any:
    return _argument("--conn-id", help="The Bitrix24 connection", default=DEFAULT_CONNECTION)


def _ledger() -> Any:
    return _argument("--ledger-conn-id", help="The ledger's connection, if your tasks name one")


def _json() -> Any:
    return _argument("--json", help="Print JSON", action="store_true")


def _argument(name: str, **options: Any) -> Any:
    from airflow.cli import cli_config  # noqa: PLC0415

    kind: Any = cli_config.Arg  # it has no types
    return kind((name,), **options)
