"""Does the bank's HTTP connection answer, and with something else than a refusal? What it says is not read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, urlsplit

from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk.exceptions import AirflowNotFoundException
from requests import RequestException
from requests.exceptions import SSLError

from airflow_b24.bitrix.auth import is_loopback
from airflow_b24.preparing.findings import Finding

CHECK: Final = "bank"
TIMEOUT_S: Final = 20
REFUSALS: Final[Mapping[int, str]] = {
    401: "The bank does not know the key: correct it in the connection's extra or password.",
    403: "The key may not do this, or this address may not ask: let the bank allow it.",
    404: "There is nothing at this address: correct the host, or give what the HttpSource asks for as --http-endpoint.",
}
BROKEN: Final = "The bank's server is in trouble: try again later, then ask the bank."


def bank_answers(conn_id: str, endpoint: str = "") -> Finding:
    """Ask a connection of the http provider once, following no redirect. No key or query is in any text."""
    hook = HttpHook(method="GET", http_conn_id=conn_id)
    try:
        # Not the hook's own `run`: it logs the address of a failed request, and some banks take their key there.
        session = hook.get_conn(extra_options={"allow_redirects": False})
    except AirflowNotFoundException:
        text = f"--http-conn-id: {conn_id!r} is not defined."
        return Finding(CHECK, "problem", text, "Add it in Airflow (Admin > Connections) with the type HTTP.")
    parts = urlsplit(hook.base_url)
    where = _shown(parts)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        return Finding(CHECK, "problem", f"{where} is asked in clear text.", "Write https:// before the host.")
    if session.verify is False:
        text = f"{where} may be anybody: verify is off."
        return Finding(CHECK, "problem", text, "Give the path of the bank's CA bundle as verify instead.")
    try:
        url = hook.url_from_endpoint(endpoint)
        # `verify` again: requests prefers REQUESTS_CA_BUNDLE to what its own session says.
        with (
            session,
            session.get(url, timeout=TIMEOUT_S, allow_redirects=False, stream=True, verify=session.verify) as response,
        ):
            return _answered(where, response.status_code)
    except (RequestException, ValueError) as error:
        return _unreached(where, error)


def _shown(parts: SplitResult) -> str:
    """Scheme, host and port alone: the rest may hold a key."""
    try:
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        port = ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}"


def _answered(where: str, status: int) -> Finding:
    text = f"{where} answers (HTTP {status})."
    fix = REFUSALS.get(status) or (BROKEN if status >= 500 else "")
    return Finding(CHECK, "problem" if fix else "ok", text, fix)


def _unreached(where: str, error: Exception) -> Finding:
    fix = "Check the connection's host and port, DNS and the network."
    if isinstance(error, SSLError):
        fix = 'Give the path of the bank\'s CA bundle in the extra: {"verify": "/path/to/ca.pem"}.'
    # The error's own text holds the address, which may hold a key.
    return Finding(CHECK, "problem", f"{where} does not answer ({type(error).__name__}).", fix)
