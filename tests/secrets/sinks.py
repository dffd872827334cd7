"""Everything a secret could get into, as bytes: logs, errors with their chains, warnings, objects, files, databases."""

from __future__ import annotations

import copy
import io
import json
import logging
import pickle
import pprint
import reprlib
import sqlite3
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass, field, is_dataclass
from multiprocessing import Process
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, MetaData, select, text

CHATTY: Final = (
    "httpx",
    "httpcore",
    "asyncio",
    "urllib3",
    "requests",
    "sqlalchemy.engine",
    "sqlalchemy.pool",
    "psycopg",
)


@dataclass
class Net:
    """Catches what a piece of work says, by any way out of the process."""

    logs: io.StringIO = field(default_factory=io.StringIO)
    out: io.StringIO = field(default_factory=io.StringIO)
    err: io.StringIO = field(default_factory=io.StringIO)
    warned: list[warnings.WarningMessage] = field(default_factory=list)
    unraisable: list[Any] = field(default_factory=list)

    def caught(self) -> dict[str, bytes]:
        """What was said so far, by sink."""
        said = {"log": self.logs.getvalue(), "stdout": self.out.getvalue(), "stderr": self.err.getvalue()}
        said["warnings"] = "\n".join(f"{each.message!r} {each.message} {each.source!r}" for each in self.warned)
        return {sink: each.encode() for sink, each in said.items()} | {
            "unraisable": b"".join(chain(each) for each in self.unraisable)
        }


@contextmanager
def cast(level: int) -> Iterator[Net]:
    """Listen at the root and make the libraries below us as talkative as they can be."""
    net = Net()
    handler = logging.StreamHandler(net.logs)
    # Also what a formatter does not show: a JSON log or an error reporter takes the record's own attributes.
    handler.setFormatter(_Whole("%(levelname)s %(name)s %(message)s"))
    loggers = [logging.getLogger(name) for name in (None, *CHATTY)]
    before = [(logger, logger.level) for logger in loggers]
    hook = sys.unraisablehook
    sys.unraisablehook = lambda told: net.unraisable.append(told.exc_value)
    try:
        for logger in loggers:
            logger.setLevel(level)
        logging.root.addHandler(handler)
        with warnings.catch_warnings(record=True) as net.warned, redirect_stdout(net.out), redirect_stderr(net.err):
            warnings.simplefilter("always")
            yield net
    finally:
        logging.root.removeHandler(handler)
        sys.unraisablehook = hook
        for logger, usual in before:
            logger.setLevel(usual)


class _Whole(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        record = copy.copy(record)
        # Another handler may have put its own words there.
        record.exc_text = None
        own = {name: value for name, value in vars(record).items() if name not in {"exc_info", "exc_text"}}
        return f"{super().format(record)} {own!r}"

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        return chain(ei[1]).decode()


def chain(error: BaseException | None) -> bytes:
    """An error as the most curious reporter would show it: each link of its chain, each frame with its locals."""
    seen: list[BaseException] = []
    _links(error, seen)
    return "\n".join(_whole(each) for each in seen).encode()


def _links(error: BaseException | None, seen: list[BaseException]) -> None:
    if error is None or any(error is each for each in seen):
        return
    seen.append(error)
    # `from None` only hides the context: it is still there for whoever looks.
    _links(error.__cause__, seen)
    _links(error.__context__, seen)
    for inner in getattr(error, "exceptions", ()):
        _links(inner, seen)


def _whole(error: BaseException) -> str:
    own = {name: _safely(value) for name, value in vars(error).items()}
    told = traceback.format_exception(error, chain=False)
    return "\n".join([*told, *_locals(error), _safely(error), _safely(error.args), repr(own), _pickled(error)])


def _locals(error: BaseException) -> Iterator[str]:
    # Not TracebackException(capture_locals=True): before Python 3.13 one repr() that fails ends it.
    for frame, line in traceback.walk_tb(error.__traceback__):
        yield f"{frame.f_code.co_qualname}:{line}"
        yield from (f"    {name} = {_safely(value)}" for name, value in frame.f_locals.items())


def _safely(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - an object half made
        return f"<{type(value).__name__}: {error}>"


def shapes(thing: object) -> bytes:
    """An object in every form in which it may be printed, stored, copied or sent to another process."""
    ways: list[Callable[[], object]] = [
        lambda: repr(thing),
        lambda: str(thing),
        lambda: f"{thing}",
        lambda: pprint.pformat(thing, width=40),
        lambda: reprlib.repr(thing),
        lambda: json.dumps(thing, default=repr),
        lambda: json.dumps(vars(thing), default=repr),
        lambda: repr(copy.copy(thing)),
        lambda: repr(copy.deepcopy(thing)),
        lambda: repr(Process(target=print, args=(thing,), name=f"with {thing!r}")),
        lambda: bytes(ForkingPickler.dumps(thing)),
        lambda: asdict(thing) if is_dataclass(thing) and not isinstance(thing, type) else "",
        lambda: _pickled(thing),
    ]
    return "\n".join(_or_why(way) for way in ways).encode(errors="backslashreplace")


def _pickled(thing: object) -> str:
    return _or_why(lambda: pickle.dumps(thing, protocol=0).decode("latin-1"))


def _or_why(way: Callable[[], object]) -> str:
    try:
        shown = way()
    except Exception as error:  # noqa: BLE001 - what it says is a sink as well
        return chain(error).decode()
    return shown.decode("latin-1") if isinstance(shown, bytes) else str(shown)


def files(folder: Path) -> dict[str, bytes]:
    """The bytes of every file below a folder, also of a database's journal."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def sqlite_rows(path: Path) -> dict[str, bytes]:
    """Every column of every table of an SQLite file, one sink a table."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        connection.text_factory = bytes
        names = [row[0].decode() for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        # The names come from the database itself.
        return {name: _rows(connection.execute(f'SELECT * FROM "{name}"')) for name in names}  # noqa: S608


def tables(engine: Engine, schema: str | None = None) -> dict[str, bytes]:
    """Every column of every table behind an engine, one sink a table."""
    metadata = MetaData()
    metadata.reflect(engine, schema=schema)
    with engine.connect() as connection:
        return {table.name: _rows(connection.execute(select(table))) for table in metadata.sorted_tables}


def activity(engine: Engine) -> bytes:
    """What a PostgreSQL server shows of its sessions to every superuser."""
    with engine.connect() as connection:
        return _rows(connection.execute(text("SELECT * FROM pg_stat_activity")))


def _rows(rows: Any) -> bytes:
    cells = (cell if isinstance(cell, bytes) else str(cell).encode() for row in rows for cell in row)
    return b"\n".join(cells)


def within(prefix: str, sinks: Mapping[str, bytes]) -> dict[str, bytes]:
    """The same sinks under a common name."""
    return {f"{prefix}: {name}": data for name, data in sinks.items()}
