"""One HTTP request or answer as plain values, and how the portal reads a call out of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

from airflow_b24.sandbox.php import Arguments, items, parse_str, to_text

JSON_TYPE = "application/json; charset=utf-8"
HTML_TYPE = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came in; header names are lower case, the path is percent-decoded."""

    verb: str
    path: str
    query: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to give after `delay_s` seconds; `cut` means the connection ends without one."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    cut: bool = False


class RestError(Exception):
    """A refusal in the portal's own words."""

    def __init__(self, status: int, code: str, description: str) -> None:
        super().__init__(f"{status} {code}: {description}")
        self.status = status
        self.code = code
        self.description = description

    def document(self) -> dict[str, str]:
        """The error body, which is also an entry of a batch's `result_error`."""
        return {"error": self.code, "error_description": self.description}


@dataclass(frozen=True, slots=True)
class Call:
    """A REST call: the method, its arguments without credentials, and the credentials apart."""

    method: str
    arguments: Arguments = field(repr=False)
    login: str = ""
    secret: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    xml: bool = False


def read_call(request: Request) -> Call:
    """Read the six documented call styles: webhook or OAuth, JSON or form, POST or GET."""
    arguments = parse_str(request.query) | _body(request)
    segments = [segment for segment in request.path.removeprefix("/rest").split("/") if segment]
    login, secret = to_text(arguments.pop("aplogin", "")), to_text(arguments.pop("ap", ""))
    if len(segments) > 1 and segments[0].isdecimal():
        login, secret = segments[0], segments[1]
        segments = segments[2:]
    method, suffix = _method(segments[-1] if segments else "")
    token = _token(request.headers, arguments)
    return Call(method, arguments, login, secret, token, xml=suffix == "xml")


def _method(name: str) -> tuple[str, str]:
    head, _, suffix = name.lower().rpartition(".")
    return (head, suffix) if suffix in {"json", "xml"} else (name.lower(), "json")


def _token(headers: Mapping[str, str], arguments: Arguments) -> str:
    sent = [to_text(arguments.pop(name, "")) for name in ("auth", "access_token")]
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    # source-derived: the header wins over the parameter.
    return bearer.strip() if scheme.lower() == "bearer" else sent[0] or sent[1]


def _body(request: Request) -> Arguments:
    text = request.body.decode("utf-8", "replace")
    if not request.headers.get("content-type", "").lower().startswith("application/json"):
        return parse_str(text)
    # source-derived: a malformed JSON body is swallowed, the call runs as if it were empty.
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return dict(items(document))


def json_answer(document: object, status: int = 200, *, delay_s: float = 0.0, xml: bool = False) -> Answer:
    """A JSON answer; with `xml` the same document in the portal's XML form."""
    if xml:
        body = f'<?xml version="1.0" encoding="utf-8"?>\n<response>{_xml(document)}</response>'
        return Answer(status, body.encode(), {"content-type": "text/xml; charset=utf-8"}, delay_s)
    return Answer(status, json.dumps(document).encode(), {"content-type": JSON_TYPE}, delay_s)


def html_answer(page: str, status: int = 200, *, delay_s: float = 0.0) -> Answer:
    """An HTML page."""
    return Answer(status, page.encode(), {"content-type": HTML_TYPE}, delay_s)


def _xml(value: Any) -> str:
    if not isinstance(value, (Mapping, list)):
        return escape(to_text(value))
    pairs = [("item" if key.isdecimal() else key, child) for key, child in items(value)]
    return "".join(f"<{key}>{_xml(child)}</{key}>" for key, child in pairs)
