"""Scripted faults: a queue of rules, each of which spoils so many matching calls in one way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from airflow_b24.sandbox.bucket import refused
from airflow_b24.sandbox.operating import blocked
from airflow_b24.sandbox.php import Arguments, to_text, upper_keys
from airflow_b24.sandbox.wire import Answer, RestError, html_answer

# Nothing runs; in a batch the whole request is stopped, as the front of a portal would.
FRONT = frozenset({"refused", "lost_before", "expired_token", "redirect"})
# One command is spoilt; its neighbours in a batch are not.
COMMAND = frozenset({"operation_time_limit", "error", "unpaid", "slow"})
# Everything runs, then the answer is spoilt; in a batch that is the whole answer.
AFTER = frozenset({"lost_after", "html_500_after", "html_502_after", "html_503_after", "truncated_after"})
WHAT: Mapping[str, str] = {
    "refused": "refused as too many requests; nothing runs",
    "lost_before": "cut off before anything ran",
    "expired_token": "refused as if the access token had expired; nothing runs",
    "redirect": "sent on to another host; nothing runs",
    "operation_time_limit": "refused for its operating time; it does not run",
    "error": "refused with this code; it does not run",
    "unpaid": "answered as done, and nothing is done",
    "slow": "done, and answered so many seconds later",
    "lost_after": "done, and cut off without an answer",
    "html_500_after": "done, and answered with a page of HTTP 500",
    "html_502_after": "done, and answered with a page of HTTP 502",
    "html_503_after": "done, and answered with a page of HTTP 503",
    "truncated_after": "done, and half of the answer is missing",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """`method` is a glob, `match` compares arguments of the call as text, by case-insensitive name."""

    kind: str
    method: str = "*"
    match: Mapping[str, str] = field(default_factory=dict)
    times: int = 1
    seconds: float = 1.0
    host: str = ""
    status: int = 400
    code: str = "ERROR_CORE"
    description: str = ""

    def fits(self, method: str, arguments: Arguments) -> bool:
        """Whether this rule is for such a call."""
        sent = upper_keys(arguments)
        return fnmatchcase(method, self.method) and all(
            to_text(sent.get(name.upper())) == value for name, value in self.match.items()
        )


Command = tuple[str, Arguments]


@dataclass(frozen=True, slots=True)
class Plan:
    """What was decided for one request: a rule for all of it, and one for each of its commands."""

    whole: Rule | None = None
    commands: Mapping[int, Rule] = field(default_factory=dict)


@dataclass(slots=True)
class Faults:
    """The queue: for each call the first rule that fits, while it lasts."""

    rules: list[Rule] = field(default_factory=list)

    def plan(self, outer: Command, inner: Sequence[Command] = ()) -> Plan:
        """Choose and use up the rules for a request; `inner` are the commands of a batch."""
        first = self._first(outer, {})
        if first:
            return self._used(Plan(first) if first.kind not in COMMAND else Plan(None, {-1: first}))
        whole, commands, taken = self._inner(inner)
        front = whole is not None and whole.kind in FRONT
        return self._used(Plan(whole, {} if front else commands), {} if front else taken)

    def _inner(self, inner: Sequence[Command]) -> tuple[Rule | None, dict[int, Rule], dict[int, int]]:
        whole: Rule | None = None
        commands: dict[int, Rule] = {}
        taken: dict[int, int] = {}
        for index, command in enumerate(inner):
            rule = self._first(command, taken)
            if rule is None:
                continue
            if rule.kind in COMMAND:
                commands[index] = rule
                taken[id(rule)] = taken.get(id(rule), 0) + 1
            elif whole is None or (rule.kind in FRONT and whole.kind not in FRONT):
                whole = rule
        return whole, commands, taken

    def _first(self, command: Command, taken: Mapping[int, int]) -> Rule | None:
        return next((rule for rule in self.rules if rule.times > taken.get(id(rule), 0) and rule.fits(*command)), None)

    def _used(self, plan: Plan, taken: Mapping[int, int] | None = None) -> Plan:
        chosen = [plan.whole, plan.commands.get(-1)]
        uses = {**(taken or {}), **{id(rule): 1 for rule in chosen if rule}}
        left = [replace(rule, times=rule.times - uses[id(rule)]) if id(rule) in uses else rule for rule in self.rules]
        self.rules = [rule for rule in left if rule.times > 0]
        return plan


def front(rule: Rule, path: str) -> Answer:
    """The answer of a request that never ran."""
    if rule.kind == "refused":
        raise refused()
    if rule.kind == "expired_token":
        raise RestError(401, "expired_token", "The access token provided has expired.")
    if rule.kind == "lost_before":
        return Answer(0, cut=True)
    # docs: a renamed portal answers 302 with the new host in Location and no JSON.
    host = rule.host if "://" in rule.host else f"https://{rule.host}"
    return Answer(302, b"", {"location": host.rstrip("/") + path, "content-type": "text/html"})


def refuse(rule: Rule | None) -> None:
    """Raise what a spoilt command answers instead of running."""
    if rule and rule.kind == "operation_time_limit":
        raise blocked()
    if rule and rule.kind == "error":
        raise RestError(rule.status, rule.code, rule.description)


def spoil(rule: Rule | None, answer: Answer) -> Answer:
    """The answer of a request that did run."""
    if rule is None or rule.kind not in AFTER:
        return answer
    if rule.kind == "lost_after":
        return Answer(0, delay_s=answer.delay_s, cut=True)
    if rule.kind == "truncated_after":
        return replace(answer, body=answer.body[: len(answer.body) // 2])
    status = int(rule.kind.removeprefix("html_").removesuffix("_after"))
    page = f"<html><head><title>{status}</title></head><body><h1>{status}</h1><hr>nginx</body></html>"
    return html_answer(page, status, delay_s=answer.delay_s)


def read_rule(document: Mapping[str, Any], methods: Iterable[str]) -> Rule:
    """A rule from JSON, for at least one of these methods; ValueError names the field and the fix."""
    kinds = FRONT | COMMAND | AFTER
    if document.get("kind") not in kinds:
        raise ValueError(f"kind: {document.get('kind')!r} is no fault; use one of {', '.join(sorted(kinds))}")
    unknown = set(document) - set(Rule.__dataclass_fields__)
    if unknown:
        raise ValueError(f"{min(unknown)}: no such field; use {', '.join(Rule.__dataclass_fields__)}")
    if document["kind"] == "redirect" and not document.get("host"):
        raise ValueError("host: empty; name the host to redirect to")
    match = document.get("match", {})
    if not isinstance(match, Mapping):
        raise ValueError('match: not an object; use {"INVOICE_ID": 12}')  # noqa: TRY004 - one error group for bad input
    _check_method(document.get("method", "*"), methods)
    _check_numbers(document)
    texts = {name: to_text(document[name]) for name in ("host", "code", "description") if name in document}
    return Rule(**{**document, **texts, "match": {str(name): to_text(value) for name, value in match.items()}})


def _check_method(glob: Any, methods: Iterable[str]) -> None:
    known = sorted(methods)
    if isinstance(glob, str) and any(fnmatchcase(name, glob) for name in known):
        return
    near = get_close_matches(str(glob).lower(), known, 1) or ["*.pay.*"]
    raise ValueError(
        f"method: {str(glob)[:60]!r} fits no method of this portal; use one like {near[0]!r}, or '*' for all"
    )


def _check_numbers(document: Mapping[str, Any]) -> None:
    for name, (least, most) in {"times": (1, 10**9), "status": (200, 599), "seconds": (0, 3600)}.items():
        given = document.get(name, least)
        kinds = {int, float} if name == "seconds" else {int}
        if type(given) not in kinds or not least <= given <= most:
            whole = "a number" if float in kinds else "a whole number"
            raise ValueError(f"{name}: {given!r} does not fit; send {whole} from {least} to {most}")
