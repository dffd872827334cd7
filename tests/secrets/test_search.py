"""The search is searched: a canary planted in each way of writing, in each kind of sink, is found and named."""

from __future__ import annotations

import json
import logging
import sqlite3
import sys
import warnings
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table
from sqlalchemy import create_engine

from tests.secrets import sinks
from tests.secrets.canaries import ALL, ENCODINGS, MARK, Canary
from tests.secrets.search import find, hits

Plant = Callable[[str, Path], Mapping[str, bytes]]
NOISE = (
    "INFO  crm.invoice.get at portal.example: 40702810000000000021 %D0%9E%D0%9F / \\u041e\\n =D0=9F q7ZkX4v vw " * 40
)


class Holder:
    """An object that shows what it holds only in the way it is asked for."""

    def __init__(self, text: str, shown_by: str) -> None:
        self.hidden = text if shown_by != "repr" else ""
        self.shown = text if shown_by == "repr" else "***"

    def __repr__(self) -> str:
        return f"<Holder {self.shown}>"


def _said(act: Callable[[], object]) -> dict[str, bytes]:
    with sinks.cast(logging.DEBUG) as net:
        act()
    return net.caught()


def _fail(text: str) -> None:
    held = text
    raise LookupError(f"{len(held)} letters")


def _failed(text: str) -> BaseException:
    try:
        try:
            _fail(text)
        except LookupError:
            raise ValueError("nothing to see here") from None
    except ValueError as error:
        return error


def _in_sqlite(text: str, folder: Path) -> Path:
    path = folder / "some.db"
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE kept (id INTEGER, said TEXT, raw BLOB)")
        connection.execute("INSERT INTO kept VALUES (1, ?, ?)", (NOISE, text.encode()))
    return path


def _read_back(text: str, folder: Path) -> dict[str, bytes]:
    engine = create_engine(f"sqlite:///{_in_sqlite(text, folder)}")
    try:
        return sinks.tables(engine)
    finally:
        engine.dispose()


def _task_log(text: str) -> bytes:
    lines = [json.dumps({"timestamp": "2026-11-22", "event": line, "logger": "task"}) for line in text.splitlines()]
    return "\n".join([NOISE, *lines, NOISE]).encode()


def _narrow_table(text: str) -> bytes:
    console = Console(width=52, force_terminal=True, record=True, file=_Nowhere())
    table = Table("conn_id", "password", "description")
    table.add_row("bank", text, "the account of the shop in the High Street")
    console.print(table)
    return console.export_text(styles=True).encode()


class _Nowhere:
    def write(self, _: str) -> None:
        """Forget it."""

    def flush(self) -> None:
        """Nothing to do."""


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=1)


def _file(text: str, folder: Path) -> dict[str, bytes]:
    (folder / "logs").mkdir(exist_ok=True)
    (folder / "logs" / "attempt=1.log").write_bytes(NOISE.encode() + text.encode() + NOISE.encode())
    return sinks.files(folder)


PLANTS: dict[str, Plant] = {
    "a log's message": lambda text, _: _said(lambda: logging.getLogger("urllib3").debug("sent %s", text)),
    "a log record's own": lambda text, _: _said(lambda: logging.getLogger("x").info("x", extra={"held": text})),
    "standard output": lambda text, _: _said(lambda: sys.stdout.write(text)),
    "standard error": lambda text, _: _said(lambda: sys.stderr.write(text)),
    "a warning": lambda text, _: _said(lambda: _warn(text)),
    "an error's text": lambda text, _: {"error": sinks.chain(ValueError(text))},
    "a local of a hidden context": lambda text, _: {"error": sinks.chain(_failed(text))},
    "a logged error's local": lambda text, _: _said(lambda: logging.getLogger("x").error("x", exc_info=_failed(text))),
    "an object's repr": lambda text, _: {"object": sinks.shapes(Holder(text, "repr"))},
    "an object's pickle": lambda text, _: {"object": sinks.shapes(Holder(text, "pickle"))},
    "a file": _file,
    "a database's file": lambda text, folder: {"file": _in_sqlite(text, folder).read_bytes()},
    "a database's row": lambda text, folder: sinks.sqlite_rows(_in_sqlite(text, folder)),
    "a row behind an engine": _read_back,
    "a task's log": lambda text, _: {"log": _task_log(text)},
    "a page": lambda text, _: {"page": f"<table><tr><td>{text}</td></tr></table>".encode()},
    "bytes of two to a letter": lambda text, _: {"wide": text.encode("utf-16-le")},
}


def _names(found: Any) -> set[str]:
    return {name for name, _ in found}


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS.keys())
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_planted_canary_is_found(plant: Plant, encoding: str, tmp_path: Path) -> None:
    canary = ALL[0]
    found = hits(plant(ENCODINGS[encoding](canary.text), tmp_path))
    assert {hit.canary for hit in found} <= {canary.name, "a piece of one"}
    assert found
    assert not any(MARK in repr(hit) for hit in found)


@pytest.mark.parametrize("canary", ALL, ids=lambda canary: canary.name)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_canary_is_told_from_the_others_in_every_encoding(canary: Canary, encoding: str) -> None:
    planted = NOISE.encode() + ENCODINGS[encoding](canary.text).encode() + NOISE.encode()
    assert _names(find(planted)) - {"a piece of one"} == {canary.name}


@pytest.mark.parametrize("canary", ALL, ids=lambda canary: canary.name)
def test_a_cell_of_a_narrow_table_is_read_downwards(canary: Canary) -> None:
    assert canary.name in _names(find(_narrow_table(canary.text)))


def test_no_canary_is_seen_where_there_is_none(tmp_path: Path) -> None:
    harmless = {name: data for plant in PLANTS.values() for name, data in plant(NOISE, tmp_path).items()}
    assert hits({"noise": NOISE.encode(), **harmless}) == []


def test_the_marks_are_written_with_letters_and_digits_alone() -> None:
    texts = [canary.text for canary in ALL]
    assert MARK.isalnum()
    assert len(set(texts)) == len(texts)
    assert all(text.count(MARK) == 3 for text in texts)
