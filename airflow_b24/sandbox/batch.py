"""The method `batch`: commands one after the other, each with its own outcome."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any

from airflow_b24.sandbox.php import Arguments, is_empty, items, parse_str, to_text
from airflow_b24.sandbox.wire import RestError

LIMIT = 50
_FORBIDDEN = frozenset({"batch", "download", "upload"})
# source-derived: a reference takes in everything up to the next space, and of that only the [keys] are looked at.
_REFERENCE = re.compile(r"\$(result|error|total|next|time)(\S*)", re.ASCII | re.IGNORECASE)
_KEY = re.compile(r"\[([^\]]+)\]")


@dataclass(frozen=True, slots=True)
class Command:
    """One `method?query` of a batch under the key its client chose."""

    key: str
    method: str
    arguments: Arguments


@dataclass(frozen=True, slots=True)
class Done:
    """What one command answered; a failed one has neither result nor time."""

    result: object
    time: Mapping[str, object]
    total: int | None = None
    next: int | None = None


@dataclass(slots=True)
class Outcomes:
    """The five maps of a batch's answer."""

    result: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] = field(default_factory=dict)
    total: dict[str, Any] = field(default_factory=dict)
    next: dict[str, Any] = field(default_factory=dict)
    time: dict[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, object]:
        """The maps as PHP sends them: empty ones and ones keyed 0..n are JSON arrays."""
        names = ("result", "error", "total", "next", "time")
        return {"result" if name == "result" else f"result_{name}": _php_array(getattr(self, name)) for name in names}


def _php_array(entries: Mapping[str, Any]) -> object:
    return list(entries.values()) if list(entries) == [str(i) for i in range(len(entries))] else dict(entries)


def commands(arguments: Arguments) -> list[Command]:
    """The commands in their order; what is not a string is skipped silently."""
    sent = next((value for name, value in arguments.items() if name.lower() == "cmd"), None)
    return [_command(key, text) for key, text in items(sent) if isinstance(text, str)]


def _command(key: str, text: str) -> Command:
    name, _, query = text.partition("?")
    return Command(key, name.strip().lower().removesuffix(".json"), parse_str(query))


def halts(arguments: Arguments) -> bool:
    """Whether to stop at the first error; PHP truth, so the text "false" is true."""
    return not is_empty(next((value for name, value in arguments.items() if name.lower() == "halt"), None))


def run(listed: Sequence[Command], halt: bool, execute: Callable[[int, Command], Done]) -> Outcomes:
    """Execute the commands in order; earlier ones stay applied whatever happens to later ones."""
    outcomes = Outcomes()
    for index, command in enumerate(listed):
        try:
            _check(index, command)
            arguments = _substituted(command.arguments, outcomes)
            _record(outcomes, command.key, execute(index, Command(command.key, command.method, arguments)))
        except RestError as error:
            outcomes.error[command.key] = error.document()
            if halt:
                break
    return outcomes


def _check(index: int, command: Command) -> None:
    if index >= LIMIT:
        raise RestError(400, "ERROR_BATCH_LENGTH_EXCEEDED", "Max batch length exceeded")
    if command.method in _FORBIDDEN:
        raise not_allowed()


def not_allowed() -> RestError:
    """The refusal of a method that works outside a batch only."""
    return RestError(400, "ERROR_BATCH_METHOD_NOT_ALLOWED", "Method is not allowed for batch usage")


def _record(outcomes: Outcomes, key: str, done: Done) -> None:
    outcomes.result[key], outcomes.time[key] = done.result, done.time
    if done.total is not None:
        outcomes.total[key] = done.total
    if done.next is not None:
        outcomes.next[key] = done.next


def _substituted(value: Any, outcomes: Outcomes) -> Any:
    # source-derived: names of arguments are not substituted: a query string leaves no [key] in them.
    if isinstance(value, dict):
        return {name: _substituted(child, outcomes) for name, child in value.items()}
    if isinstance(value, list):
        return [_substituted(child, outcomes) for child in value]
    whole = _REFERENCE.fullmatch(value)
    return _resolved(whole, outcomes) if whole else _REFERENCE.sub(lambda found: _inserted(found, outcomes), value)


def _inserted(found: re.Match[str], outcomes: Outcomes) -> str:
    value = _resolved(found, outcomes)
    # source-derived: amid other text only a text or a number is put in; for all else the reference stays as it is.
    return to_text(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else found[0]


def _resolved(found: re.Match[str], outcomes: Outcomes) -> Any:
    keys = _KEY.findall(found[2])
    # source-derived: the names are found in any case, but what they hold in lower case only.
    value: Any = getattr(outcomes, found[1], None) if keys else found[0]
    for key in keys:
        child = dict(items(value)).get(key)
        # source-derived: a missing path is no error, the deepest value that exists is used, be it all results there are.
        if child is None:
            break
        value = child
    return copy(value)
