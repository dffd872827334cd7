"""A Bitrix24 connection read into settings: pure, so that every mistake in it has a test and a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_b24.bitrix.auth import AddressError, Auth, OAuth, Origin, Secret, Webhook, spellings
from airflow_b24.bitrix.client import Options
from airflow_b24.bitrix.errors import EXPIRED_TOKEN, AuthError
from airflow_b24.bitrix.fields import check_id
from airflow_b24.bitrix.limits import BURST, RATE, LocalPace, Pace
from airflow_b24.bitrix.redaction import shown
from airflow_b24.bitrix.renewal import SERVER, Application
from airflow_b24.bitrix.stages import Wishes
from airflow_b24.reconcile.portal import InvoiceType, check_invoice_type
from airflow_b24.wishes import listed, read_wishes

CONN_TYPE = "bitrix24"
OAUTH_FIX = (
    "put client_id, client_secret and refresh_token of the application into the extra, so that it is renewed by itself"
)
RENEWED_FIX = (
    "tasks renew it by themselves, in the ledger; what works without the ledger (the Test button, triggers) needs one "
    "that is pasted there and less than an hour old"
)
WEBHOOK_FIX = "paste the inbound webhook's address, https://<portal>/rest/<user id>/<secret>/, into Password"
EXPOSED_FIX = (
    "Host is visible to everybody: empty it, make a new webhook on the portal and delete the one that stood there, "
    f"then {WEBHOOK_FIX}"
)
OAUTH = ("client_id", "client_secret", "refresh_token")
KNOWN = frozenset(
    (
        *("allowed_hosts", "burst", "bx_rest_handler", "ca_bundle", "pay_system_id", "rate_share"),
        *("requests_per_second", "timeout", "trust_env", *OAUTH, "oauth_url", "invoice_type", "paid_stage"),
        *("also_paid_stages", "smart_mark_with", "timeline_comments", "partial_stage", "progress_fields"),
    )
)
_PASTED = re.compile(r"[!-~]{5,2000}")


class PastedToken:
    """The access token in the connection, used as it is where there is no ledger to keep its successors.

    Renewing it there would use up the refresh token that the workers need; fits `bitrix.auth.Tokens`.
    """

    def __init__(self, token: Secret, *, renewable: bool = False) -> None:
        self._token = token
        self._fix = RENEWED_FIX if renewable else OAUTH_FIX

    def current(self) -> str:
        """Return the token. Raises AuthError when there is none."""
        if not self._token.reveal():
            raise AuthError(EXPIRED_TOKEN, f"password: there is no access token; {self._fix}")
        return self._token.reveal()

    def refresh(self, expired: str) -> str:
        """Raise AuthError: it cannot be renewed here."""
        raise AuthError(EXPIRED_TOKEN, f"password: the access token has expired; {self._fix}")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a connection says; seconds, requests per second, requests: these two are our share of the portal's.

    `auth` works everywhere; with an `application` its access token is the pasted one, until the ledger's take its place.
    """

    auth: Auth
    application: Application | None = None
    pay_system_id: int | None = None
    bx_rest_handler: str | None = None
    invoice_type: InvoiceType = "auto"
    wishes: Wishes = field(default_factory=Wishes)
    timeline_comments: bool = False
    ca_bundle: str | None = None
    timeout_s: float = 60.0
    trust_env: bool = False
    allowed_hosts: tuple[str, ...] = ()
    requests_per_second: float = RATE
    burst: int = BURST
    keys: tuple[Secret, ...] = ()

    @property
    def secrets(self) -> frozenset[str]:
        """Every spelling of what opens the portal, for masking; made anew each time, so that no object shows them."""
        return self.auth.secrets.union(*(spellings(key.reveal()) for key in self.keys))

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

    `password` alone is a webhook's address. With `host` (the portal's address) it is an OAuth access token, which is
    renewed with `client_id`, `client_secret` and `refresh_token` of the extra; beside these it may be empty. Raises
    AddressError or ValueError, naming the field and the fix.
    """
    unknown = sorted(set(extra) - KNOWN)
    if unknown:
        raise ValueError(f"extra: {', '.join(unknown)} is not known; known are {', '.join(sorted(KNOWN))}")
    password, host = (password or "").strip(), (host or "").strip()
    application = _application(password, extra)
    auth = _auth(password, host, application)
    share = _number(extra, "rate_share", 1.0, most=1)
    return Settings(
        auth=auth,
        application=application,
        keys=tuple(_keys(password, extra)),
        pay_system_id=_optional(extra, "pay_system_id", lambda value: check_id(value, "extra.pay_system_id")),
        bx_rest_handler=_text(extra, "bx_rest_handler", "give the code of a REST handler"),
        invoice_type=check_invoice_type(extra.get("invoice_type") or "auto", "extra.invoice_type"),
        wishes=read_wishes(extra),
        timeline_comments=_switch(extra, "timeline_comments"),
        ca_bundle=_text(extra, "ca_bundle", "give a path or PEM text"),
        timeout_s=_number(extra, "timeout", 60.0, most=600),
        trust_env=_switch(extra, "trust_env"),
        allowed_hosts=_hosts(extra.get("allowed_hosts")),
        requests_per_second=_number(extra, "requests_per_second", RATE, most=1000) * share,
        burst=_burst(extra, share),
    )


def _application(password: str, extra: Mapping[str, Any]) -> Application | None:
    given = {name: _secret(extra, name) for name in OAUTH}
    url = _text(extra, "oauth_url", "give the address of the authorisation server")
    missing = [name for name, secret in given.items() if secret is None]
    if len(missing) == len(OAUTH) and url is None:
        return None
    if missing:
        raise ValueError(f"extra.{missing[0]}: missing; {', '.join(OAUTH)} go together, and oauth_url only with them")
    client_id, client_secret, refresh_token = (secret for secret in given.values() if secret is not None)
    server = SERVER if url is None else Origin.parse(url, field_name="extra.oauth_url")
    return Application(server, client_id.reveal(), client_secret, refresh_token, Secret(password))


def _secret(extra: Mapping[str, Any], name: str) -> Secret | None:
    value = extra.get(name)
    if value is None or value == "":
        return None
    # Its own text is in no error: it may be one of the others, pasted into the wrong field.
    if not isinstance(value, str) or not _PASTED.fullmatch(value.strip()):
        raise ValueError(f"extra.{name}: it is not usable; copy it again from the application's settings")
    return Secret(value.strip())


def _keys(password: str, extra: Mapping[str, Any]) -> Iterator[Secret]:
    keys = (password, *(str(extra.get(name) or "").strip() for name in OAUTH[1:]))
    return (Secret(key) for key in keys if key)


def _auth(password: str, host: str, application: Application | None) -> Auth:
    # Airflow shows and logs the host: a secret there is already out.
    exposed = "/rest/" in host or "@" in host
    if not password and application is None:
        raise AddressError("password", "the connection has no secret", EXPOSED_FIX if exposed else WEBHOOK_FIX)
    if exposed:
        raise AddressError("host", "it holds credentials", EXPOSED_FIX)
    if "://" in password and host:
        raise AddressError(
            "host", "it is only for OAuth, beside an access token", "empty Host: the webhook says it all"
        )
    if application and not host:
        raise AddressError(
            "extra.client_id", "it is only for OAuth", "put the portal's address into Host, or remove it"
        )
    if not host:
        return Webhook.parse(password)
    address = host if "://" in host else f"https://{host}"
    return OAuth.at(address, PastedToken(Secret(password), renewable=application is not None))


def _optional(extra: Mapping[str, Any], name: str, read: Any) -> Any:
    value = extra.get(name)
    return None if value is None or value == "" else read(value)


def _text(extra: Mapping[str, Any], name: str, fix: str) -> str | None:
    value = extra.get(name)
    if value is None or value == "":
        return None
    # A webhook in the wrong field: what stands in most of them is shown.
    if not isinstance(value, str) or not value.strip() or ("://" in value and name != "oauth_url"):
        raise ValueError(f"extra.{name}: {shown(value)} is not usable; {fix}")
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
        raise ValueError(f"extra.{name}: {shown(value)} is not usable; give a number above 0, at most {most:g}")
    return number


def _burst(extra: Mapping[str, Any], share: float) -> int:
    number = _number(extra, "burst", BURST, most=100_000)
    # A settlement reserves three requests in a row.
    if number < 3 or not float(number).is_integer():
        raise ValueError(f"extra.burst: {number:g} is not usable; give a whole number, at least 3")
    if number * share < 3:
        raise ValueError(
            f"extra.rate_share: {share:g} of {number:g} requests in a row is too little; give more, at least 3"
        )
    return int(number * share)


def _switch(extra: Mapping[str, Any], name: str) -> bool:
    value = extra.get(name) or False
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in {"true", "false", ""}:
        return value.lower() == "true"
    raise ValueError(f"extra.{name}: {shown(value)} is neither true nor false")


def _hosts(value: Any) -> tuple[str, ...]:
    hosts = listed(value)
    if hosts is None:
        raise ValueError('extra.allowed_hosts: give host names, for example ["new.bitrix24.com"]')
    return tuple(host.lower() for host in hosts)
