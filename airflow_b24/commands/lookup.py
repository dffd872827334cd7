"""Which ledger a command is about, and whether anything was ever written there. Looking never creates one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from airflow.sdk.exceptions import AirflowNotFoundException
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from airflow_b24.hooks import Bitrix24Hook, ledger_url
from airflow_b24.ledger.errors import LedgerError
from airflow_b24.ledger.store import Store


@dataclass(frozen=True, slots=True)
class Ledger:
    """A ledger by its address without password; `store` is None when no run has written there yet."""

    name: str
    store: Store | None


def look_up(hook: Bitrix24Hook) -> Ledger:
    """Find the ledger of a hook and open it, if it is there. Raises LedgerError.

    The ledger alone is needed; yet a connection that was named must be there. Raises AirflowNotFoundException.
    """
    if hook.bitrix24_conn_id != hook.default_conn_name:
        hook.get_connection(hook.bitrix24_conn_id)
    url = _address(hook)
    # An option may be a password too.
    name = url.set(query={}).render_as_string(hide_password=True)
    return Ledger(name, open_ledger(hook) if _exists(url) else None)


def open_ledger(hook: Bitrix24Hook) -> Store:
    """Open the ledger of a hook, and create it when it is new. Raises LedgerError."""
    _address(hook)
    return hook.ledger


def _address(hook: Bitrix24Hook) -> URL:
    try:
        return make_url(ledger_url(hook.ledger_conn_id))
    except AirflowNotFoundException as error:
        raise LedgerError(f"--ledger-conn-id: {error}; add it in Airflow (Admin > Connections)") from None
    except (ArgumentError, ValueError):
        # Their texts quote a piece of the address, which may be one of the password.
        fix = "write it like postgresql://user:password@host/database, with /, : and @ in the password as %2F, %3A and %40"
        raise LedgerError(f"[bitrix24] ledger_url: it cannot be read; {fix}") from None


def _exists(url: URL) -> bool:
    if url.get_backend_name() != "sqlite":
        return True
    path = url.database or ""
    # SQLite's own spelling of an address with options: its driver must judge it.
    return path.startswith("file:") or Path(path).is_file()
