"""How a command answers: what was asked for on stdout, what a person can mend in one line on stderr."""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from argparse import Namespace
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from contextvars import ContextVar
from typing import Any, Final, TextIO

from airflow.sdk.exceptions import AirflowNotFoundException
from sqlalchemy.exc import SQLAlchemyError

from airflow_b24.bitrix.errors import BitrixError
from airflow_b24.commands import ANSWER
from airflow_b24.commands.advice import foreign, undefined
from airflow_b24.connection import CONN_TYPE, Settings
from airflow_b24.hooks import Bitrix24Hook
from airflow_b24.ledger.errors import LedgerError
from airflow_b24.pins import MIGRATE, has_tables

PROBLEM: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130
_OUT: ContextVar[TextIO] = ContextVar("answer")


@contextmanager
def hooked(args: Namespace) -> Iterator[Bitrix24Hook]:
    """Give the hook of a command's arguments, closed at the end; a mistake becomes one line and exit code 2."""
    # source-derived: without this a command sees the environment's connections alone, not those made in the UI.
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
    before = logging.root.manager.disable
    # Airflow's log goes to stdout, where it would spoil the JSON; so do the warnings of its own code.
    logging.disable(logging.CRITICAL)
    try:
        with _answer_apart(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"airflow\.")
            with Bitrix24Hook(args.conn_id, getattr(args, "ledger_conn_id", None)) as hook:
                yield hook
    except KeyboardInterrupt:
        said, code = "Stopped.", INTERRUPTED
    except (AirflowNotFoundException, SQLAlchemyError, BitrixError, LedgerError, ValueError) as error:
        said, code = _sentence(error, args.conn_id), USAGE
    else:
        return
    finally:
        logging.disable(before)
    note(said)
    raise SystemExit(code)


@contextmanager
def _answer_apart() -> Iterator[None]:
    """Keep stdout for the answer: whatever Airflow prints goes to stderr."""
    given = os.environ.get(ANSWER)
    answer = os.fdopen(int(given), "w", encoding="utf-8") if given else nullcontext(sys.stdout)
    with answer as out, redirect_stdout(sys.stderr):
        before = _OUT.set(out)
        try:
            yield
        finally:
            _OUT.reset(before)


def _sentence(error: Exception, conn_id: str) -> str:
    if isinstance(error, AirflowNotFoundException):
        said = undefined(conn_id, os.environ)
        return said if has_tables() else f"{said}. {MIGRATE}"
    if isinstance(error, SQLAlchemyError):
        # The driver's own text may quote the address with its password.
        name = type(error).__name__
        return f"[bitrix24] ledger_url: the ledger cannot be used ({name}); run `airflow b24 doctor`"
    return str(error)


def settings(hook: Bitrix24Hook) -> Settings:
    """Read the connection; one that cannot be used and is not even of our type is told what it should look like."""
    connection = hook.get_connection(hook.bitrix24_conn_id)
    try:
        return hook.settings
    except ValueError:
        if connection.conn_type == CONN_TYPE:
            raise
    raise ValueError(foreign(connection, hook.bitrix24_conn_id, os.environ))


def as_json(value: object) -> list[str]:
    """Return a value as one JSON document for `tell`."""
    return [json.dumps(value, ensure_ascii=False, indent=2)]


def tell(lines: Iterable[str]) -> None:
    """Write the answer."""
    out = _OUT.get(sys.stdout)
    try:
        out.writelines(f"{line}\n" for line in lines)
        out.flush()
    except BrokenPipeError:
        # Whoever reads us, `head` say, has seen enough; the interpreter must not try to write the rest at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())


def confirmed(args: Namespace, asked: str) -> bool:
    """Ask a person at the terminal, unless `--yes` was given. Raises ValueError where nobody can be asked."""
    if args.yes:
        return True
    if not sys.stdin.isatty():
        raise ValueError("--yes: nobody can be asked, standard input is no terminal; look first, then give --yes")
    note(asked)
    sys.stderr.write("Type yes to go on: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def note(text: Any) -> None:
    """Write one line beside the answer."""
    sys.stderr.write(f"{' '.join(str(text).split())}\n")
