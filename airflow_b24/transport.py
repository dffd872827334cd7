"""One page of a bank's API, asked for through the HTTP provider's connection; no address and no key leaves in an error."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from http.client import HTTPException
from threading import Thread
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk.log import mask_secret
from requests import Response, Session
from urllib3.exceptions import HTTPError

from airflow_b24.bitrix.auth import is_loopback, spellings
from airflow_b24.bitrix.redaction import REDACTOR
from airflow_b24.paginators import Ask
from airflow_b24.payments.errors import SourceFormatError
from airflow_b24.payments.statements.strict_json import LARGEST_BODY
from airflow_b24.sources import SourceError

T = TypeVar("T")

TIMEOUT_S = 60
LONGEST_S = 300
# Headers and parameters whose values are masked; rather one too many.
SECRETIVE = re.compile(r"auth|cookie|key|pass|secret|sign|token", re.IGNORECASE)
# All of requests' own errors are OSErrors; what it lets through from below is any of the others.
_FAILURES = (OSError, HTTPException, HTTPError, ValueError)


def fetch(conn_id: str, endpoint: str, ask: Ask) -> tuple[str, dict[str, str], bytes]:
    """Ask for one page; returns its address, headers and content.

    Raises SourceError when there is no usable answer, SourceFormatError for one that is too large, ValueError naming the
    field for a connection that must not be used. Repeating is safe.
    """
    hook = HttpHook(method="GET", http_conn_id=conn_id)
    # Not the hook's own `run`: it logs the address of a failed request, and some banks take their key there.
    session = hook.get_conn(extra_options={"allow_redirects": False})
    # Told not to follow a redirect, requests still reads all of its body, whatever the size, and its Location.
    vars(session)["get_redirect_target"] = lambda _: None
    _refuse_unsafe(conn_id, hook.base_url, session)
    url = _below(hook.base_url, ask.url) if ask.url else hook.url_from_endpoint(endpoint)
    mask_keys(session, ask.params)
    try:
        status, address, headers, content = _within(LONGEST_S, lambda: _fetch(session, url, ask.params))
    except SourceFormatError:
        raise
    except _FAILURES as error:
        failed = type(error).__name__
    else:
        _check_status(conn_id, endpoint, status)
        return address, headers, content
    # Outside of `except`: the library's own error holds the request with its headers.
    raise SourceError(f"{conn_id}: no answer ({failed})")


def _check_status(conn_id: str, endpoint: str, status: int) -> None:
    if status in {401, 403}:
        raise ValueError(f"http_conn_id: {conn_id} is refused (HTTP {status}); check its key")
    if status != 200:
        raise SourceError(f"{conn_id}: HTTP {status} from {endpoint}")


def mask_keys(session: Session, params: Mapping[str, Any]) -> None:
    """Keep what a request is opened with out of logs; Airflow knows a connection's password alone, as it was typed."""
    password = getattr(session.auth, "password", None)
    for name, value in (*session.headers.items(), *params.items(), ("password", password)):
        if value and SECRETIVE.search(name):
            forms = spellings(value.decode("latin-1") if isinstance(value, bytes) else str(value))
            REDACTOR.learn(forms)
            for form in forms:
                mask_secret(form)


def _refuse_unsafe(conn_id: str, base_url: str, session: Session) -> None:
    """Whoever can write the bank's answer can have invoices marked paid."""
    parts = urlsplit(base_url)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise ValueError(f"http_conn_id: {conn_id} is asked in clear text; write https:// before its host")
    if session.verify is False:
        raise ValueError(f"http_conn_id: {conn_id} has verify off; give the path of the bank's CA bundle instead")


def _fetch(session: Session, url: str, params: Mapping[str, Any]) -> tuple[int, str, dict[str, str], bytes]:
    # `verify` again: requests prefers REQUESTS_CA_BUNDLE to what its own session says.
    options: dict[str, Any] = {"timeout": TIMEOUT_S, "stream": True, "verify": session.verify}
    with session, session.get(url, params=dict(params), allow_redirects=False, **options) as response:
        content = _content(response) if response.status_code == 200 else b""
        return response.status_code, response.url, dict(response.headers), content


def _content(response: Response) -> bytes:
    """Read the answer up to the size and the time that a page of payments may need."""
    content, until = bytearray(), time.monotonic() + LONGEST_S
    for chunk in response.iter_content(65536):
        content += chunk
        if len(content) > LARGEST_BODY or time.monotonic() > until:
            problem = f"more than {LARGEST_BODY} bytes or {LONGEST_S} seconds for one page"
            raise SourceFormatError("body", problem, "ask for smaller pages: set a paginator")
    return bytes(content)


def _within(seconds: float, ask: Callable[[], T]) -> T:
    """Raise TimeoutError when it takes longer; requests bounds each wait for a byte, not the time of all of them."""
    answered: Future[T] = Future()

    def run() -> None:
        try:
            answered.set_result(ask())
        except Exception as error:  # noqa: BLE001 - raised again where the answer is waited for
            answered.set_exception(error)

    # A daemon: one that waits for a dripping peer must not keep the task's process alive.
    Thread(target=run, name="bank", daemon=True).start()
    return answered.result(seconds)


def _below(base: str, url: str) -> str:
    # A path with `..` is another one when it arrives.
    if not url.startswith(base.rstrip("/") + "/") or ".." in unquote(urlsplit(url).path).split("/"):
        raise SourceFormatError(
            "paginator", "the next page is not below the connection's address", "shorten the connection's host"
        )
    return url
