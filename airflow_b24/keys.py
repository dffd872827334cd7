"""Keys and tokens: they belong into connections, and nothing that is logged or stored may show them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from airflow.sdk.log import mask_secret
from requests import Session

from airflow_b24.bitrix.auth import spellings
from airflow_b24.bitrix.redaction import REDACTOR

# Query parameters in which APIs take their key.
TAKES_KEY = frozenset({"accesstoken", "apikey", "auth", "clientsecret", "key", "password", "secret", "token"})
# Headers and parameters whose values are masked; rather one too many.
SECRETIVE = re.compile(r"auth|cookie|key|pass|secret|sign|token", re.IGNORECASE)
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


def mask_keys(session: Session, params: Mapping[str, Any]) -> None:
    """Keep what a request is opened with out of logs; Airflow knows a connection's password alone, as it was typed."""
    password = getattr(session.auth, "password", None)
    for name, value in (*session.headers.items(), *params.items(), ("password", password)):
        if value and SECRETIVE.search(name):
            forms = spellings(value.decode("latin-1") if isinstance(value, bytes) else str(value))
            REDACTOR.learn(forms)
            for form in forms:
                mask_secret(form)
