"""A Bitrix24 connection read into settings: pure, so that every mistake in it has a test and a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_b24.bitrix.auth import AddressError, Auth, OAuth, Secret, Webhook, spellings
from airflow_b24.bitrix.client import Options
from airflow_b24.bitrix.errors import AuthError
from airflow_b24.bitrix.invoice import check_id
from airflow_b24.bitrix.limits import BURST, RATE, LocalPace, Pace

CONN_TYPE = "bitrix24"
WEBHOOK_FIX = "paste the inbound webhook's address, https://<portal>/rest/<user id>/<secret>/, into Password"
EXPOSED_FIX = (
    "Host is visible to everybody: empty it, make a new webhook on the portal and delete the one that stood there, "
    f"then {WEBHOOK_FIX}"
)
KNOWN = frozenset(
    (
        *("allowed_hosts", "burst", "bx_rest_handler", "ca_bundle", "pay_system_id", "requests_per_second"),
        *("timeout", "trust_env"),
    )
)


class StaticToken:
    """An access token pasted into the connection; it cannot be renewed."""

    def __init__(self, token: str) -> None:
        self._token = Secret(token)

    def current(self) -> str:
        """Return the token."""
        return self._token.reveal()

    def refresh(self, expired: str) -> str:
        """Raise AuthError: a person must authorise again."""
        raise AuthError("expired_token", "the access token in the connection has expired")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a connection says; seconds, requests per second, requests."""

    auth: Auth
    pay_system_id: int | None = None
    bx_rest_handler: str | None = None
    ca_bundle: str | None = None
    timeout_s: float = 60.0
    trust_env: bool = False
    allowed_hosts: tuple[str, ...] = ()
    requests_per_second: float = RATE
    burst: int = BURST
    secrets: frozenset[str] = field(default=frozenset(), repr=False)

    def options(self, pace: Pace | None = None) -> Options:
        """What a client needs; without a pace one of this process's own, for where there is no ledger."""
        return {
            "pace": pace or self._own_pace(),
            "timeout_s": self.timeout_s,
            "ca_bundle": self.ca_bundle,
            "trust_env": self.trust_env,
            "allowed_hosts": self.allowed_hosts,
        }

    def _own_pace(self) -> LocalPace:
        return LocalPace(burst=self.burst, rate=self.requests_per_second, margin=min(5, self.burst - 1))


def read_settings(password: str | None, host: str | None, extra: Mapping[str, Any]) -> Settings:
    """Read the fields of an Airflow connection.

    `password` alone is a webhook's address; with `host` (the portal's address) it is an OAuth access token. Raises
    AddressError or ValueError, naming the field and the fix.
    """
    unknown = sorted(set(extra) - KNOWN)
    if unknown:
        raise ValueError(f"extra: {', '.join(unknown)} is not known; known are {', '.join(sorted(KNOWN))}")
    auth, secrets = _auth((password or "").strip(), (host or "").strip())
    return Settings(
        auth=auth,
        secrets=secrets,
        pay_system_id=_optional(extra, "pay_system_id", lambda value: check_id(value, "extra.pay_system_id")),
        bx_rest_handler=_text(extra, "bx_rest_handler", "give the code of a REST handler"),
        ca_bundle=_text(extra, "ca_bundle", "give a path or PEM text"),
        timeout_s=_number(extra, "timeout", 60.0, most=600),
        trust_env=_switch(extra, "trust_env"),
        allowed_hosts=_hosts(extra.get("allowed_hosts")),
        requests_per_second=_number(extra, "requests_per_second", RATE, most=1000),
        burst=_burst(extra),
    )


def _auth(password: str, host: str) -> tuple[Auth, frozenset[str]]:
    # Airflow shows and logs the host: a secret there is already out.
    exposed = "/rest/" in host or "@" in host
    if not password:
        raise AddressError("password", "the connection has no secret", EXPOSED_FIX if exposed else WEBHOOK_FIX)
    if not host:
        webhook = Webhook.parse(password)
        return webhook, webhook.secrets | spellings(password)
    if exposed:
        raise AddressError("host", "it holds credentials", EXPOSED_FIX)
    if "://" in password:
        raise AddressError(
            "host", "it is only for OAuth, beside an access token", "empty Host: the webhook says it all"
        )
    address = host if "://" in host else f"https://{host}"
    return OAuth.at(address, StaticToken(password)), spellings(password)


def _optional(extra: Mapping[str, Any], name: str, read: Any) -> Any:
    value = extra.get(name)
    return None if value is None or value == "" else read(value)


def _text(extra: Mapping[str, Any], name: str, fix: str) -> str | None:
    value = extra.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"extra.{name}: {str(value)[:40]!r} is not usable; {fix}")
    return value.strip()


def _number(extra: Mapping[str, Any], name: str, default: float, *, most: float) -> float:
    value = extra.get(name)
    if value is None or value == "":
        return default
    try:
        number = float(value) if not isinstance(value, bool) else 0.0
    except (TypeError, ValueError):
        number = 0.0
    if not 0 < number <= most:
        raise ValueError(f"extra.{name}: {str(value)[:40]!r} is not usable; give a number above 0, at most {most:g}")
    return number


def _burst(extra: Mapping[str, Any]) -> int:
    number = _number(extra, "burst", BURST, most=100_000)
    # A settlement reserves three requests in a row.
    if number < 3 or not float(number).is_integer():
        raise ValueError(f"extra.burst: {number:g} is not usable; give a whole number, at least 3")
    return int(number)


def _switch(extra: Mapping[str, Any], name: str) -> bool:
    value = extra.get(name) or False
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in {"true", "false", ""}:
        return value.lower() == "true"
    raise ValueError(f"extra.{name}: {str(value)[:40]!r} is neither true nor false")


def _hosts(value: Any) -> tuple[str, ...]:
    listed = value.split(",") if isinstance(value, str) else value or ()
    if not isinstance(listed, (list, tuple)) or not all(isinstance(host, str) for host in listed):
        raise ValueError('extra.allowed_hosts: give host names, for example ["new.bitrix24.com"]')
    return tuple(host.strip().lower() for host in listed if host.strip())
