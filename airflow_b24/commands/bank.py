"""Does the bank's HTTP connection answer? Any HTTP status will do: this is about the way there, not about the API."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk.exceptions import AirflowNotFoundException
from requests import RequestException
from requests.exceptions import SSLError

from airflow_b24.bitrix.auth import is_loopback
from airflow_b24.preparing.findings import Finding

CHECK: Final = "bank"
TIMEOUT_S: Final = 20


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
    where = f"{parts.scheme}://{parts.hostname or ''}"
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
            return Finding(CHECK, "ok", f"{where} answers (HTTP {response.status_code}).")
    except (RequestException, ValueError) as error:
        return _unreached(where, error)


def _unreached(where: str, error: Exception) -> Finding:
    fix = "Check the connection's host and port, DNS and the network."
    if isinstance(error, SSLError):
        fix = 'Give the path of the bank\'s CA bundle in the extra: {"verify": "/path/to/ca.pem"}.'
    # The error's own text holds the address, which may hold a key.
    return Finding(CHECK, "problem", f"{where} does not answer ({type(error).__name__}).", fix)
