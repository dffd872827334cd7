"""What to do about a connection that is not there, or is none of ours: in words, and without its secret."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from airflow_b24.connection import CONN_TYPE

_JSON_FORM: Final = '{"conn_type": "bitrix24", "password": "https://<portal>/rest/<user id>/<secret>/"}'
_EXPOSED: Final = (
    "A secret stands in {fields}, visible to everybody: remove it there and make a new webhook, as this one is known. "
)


def undefined(conn_id: str, environment: Mapping[str, str]) -> str:
    """Say how to define a connection that Airflow does not find, or why it cannot read the variable that defines it."""
    given = environment.get(_variable(conn_id))
    if not given:
        return f"--conn-id: {conn_id!r} is not defined; add it in Airflow (Admin > Connections), or {_export(conn_id)}"
    try:
        json.loads(given)
    except ValueError:
        return f"{_variable(conn_id)}: it is set, but it is not JSON; {_export(conn_id)}"
    return f"{_variable(conn_id)}: it is JSON, but not of a connection; {_export(conn_id)}"


def foreign(connection: Any, conn_id: str, environment: Mapping[str, str]) -> str:
    """Say how to write a connection that is not of our type, such as a webhook's bare address in a variable."""
    if environment.get(_variable(conn_id)):
        said = f"{_variable(conn_id)}: a webhook's bare address is no connection; {_export(conn_id)}"
        return f"{said}. {_exposed(connection)}".rstrip()
    kind = connection.conn_type or "without a type"
    said = (
        f"--conn-id: {conn_id!r} is {kind}, not {CONN_TYPE}; choose the type Bitrix24 and put the webhook into Password"
    )
    return f"{said}. {_exposed(connection)}".rstrip()


def _exposed(connection: Any) -> str:
    fields = [name for name in ("host", "schema") if "rest/" in (getattr(connection, name) or "")]
    return _EXPOSED.format(fields=" and ".join(name.capitalize() for name in fields)) if fields else ""


def _export(conn_id: str) -> str:
    return f"write it as JSON: export {_variable(conn_id)}='{_JSON_FORM}'"


def _variable(conn_id: str) -> str:
    return f"AIRFLOW_CONN_{conn_id.upper()}"
