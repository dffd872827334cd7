"""Keys and tokens: they belong into connections, and a DAG that holds one is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

# Query parameters in which APIs take their key.
TAKES_KEY = frozenset({"accesstoken", "apikey", "auth", "clientsecret", "key", "password", "secret", "token"})
FIX = (
    'put it into the password of the http connection and write "{{ conn.bank.password }}" here, with its id for `bank`'
)


def refuse_keys(texts: Mapping[str, str], params: Mapping[str, str]) -> None:
    """Raise ValueError, without the text, for what would be shown in logs and in the ledger."""
    asked = [*params.items()]
    for name, text in texts.items():
        if "://" in text:
            fix = "it belongs into an http connection: its id goes into http_conn_id, what follows it into endpoint"
            raise ValueError(f"{name}: this is an address; {fix}")
        asked += parse_qsl(urlsplit(text).query)
    for name, value in asked:
        if re.sub(r"[^a-z]", "", name.lower()) in TAKES_KEY and "{{" not in value:
            raise ValueError(f"params.{name}: a key does not belong into a DAG; {FIX}")


def refuse_tokens(arguments: object) -> None:
    """Raise ValueError for a token among a method's arguments, which Airflow shows and stores."""
    named = {str(name).lower() for name in arguments} if isinstance(arguments, Mapping) else set()
    if found := sorted(named & {"access_token", "auth"}):
        raise ValueError(f"arguments.{found[0]}: the connection's own token is sent by itself; remove it from here")
