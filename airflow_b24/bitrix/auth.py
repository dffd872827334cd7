"""Where a portal is and what opens it. The webhook's address is the password: it must be seen nowhere."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NoReturn, Protocol
from urllib.parse import SplitResult, quote, unquote, urlsplit

_SECRET: Final = re.compile(r"[A-Za-z0-9._~%-]{8,200}")
_WEBHOOK_PATH: Final = re.compile(r"/rest/([^/]*)/([^/]*)(?:/profile\.json|/)?")
_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\.?|[0-9A-Fa-f:.]+")
_SHOWN: Final = "https://<portal>/rest/<user id>/<secret>/"


class AddressError(ValueError):
    """An address cannot be used; the text names the field and the fix, never the secret."""

    def __init__(self, field_name: str, problem: str, fix: str) -> None:
        super().__init__(f"{field_name}: {problem}; {fix}")


class Secret:
    """A text which shows itself to `reveal()` alone: not to str, repr, format or pickle."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the plain text."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled; pass the connection's id and read it there")


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port of a portal. https; http on loopback alone."""

    scheme: str
    host: str
    port: int | None = None

    @classmethod
    def parse(cls, address: str, *, field_name: str = "portal") -> Origin:
        """Read `https://host[:port]`, nothing behind it. Raises AddressError."""
        parts = _split(address, field_name)
        if parts.path not in {"", "/"}:
            raise AddressError(field_name, "there is a path behind the host", "remove everything behind the host")
        return cls.of(parts, field_name)

    @classmethod
    def of(cls, parts: SplitResult, field_name: str) -> Origin:
        """Check scheme, host and port of a split address. Raises AddressError."""
        host, port = _host(parts, field_name), _port(parts, field_name)
        if parts.scheme == "http" and not is_loopback(host):
            raise AddressError(field_name, "http would show the secret to the network", "write https://")
        return cls(parts.scheme, host, None if port == _DEFAULT_PORTS[parts.scheme] else port)

    @property
    def netloc(self) -> str:
        """`host`, or `host:port` where the port is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}"


_DEFAULT_PORTS: Final[Mapping[str, int]] = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Webhook:
    """An inbound webhook of one portal user."""

    origin: Origin
    user_id: int
    secret: Secret

    @classmethod
    def parse(cls, url: str) -> Webhook:
        """Read the address as Bitrix24 shows it: `https://host/rest/1/secret/`, also with `profile.json` behind it.

        Raises AddressError, which never holds the secret.
        """
        parts = _split(url, "webhook")
        origin = Origin.of(parts, "webhook")
        match = _WEBHOOK_PATH.fullmatch(parts.path)
        if match is None:
            raise AddressError("webhook", "this is not an inbound webhook's address", f"it looks like {_SHOWN}")
        user, secret = match.groups()
        if not (user.isascii() and user.isdigit() and int(user[:18]) > 0 and len(user) <= 18):
            raise AddressError("webhook", "the user id is not a number", f"it looks like {_SHOWN}")
        if not _SECRET.fullmatch(secret):
            raise AddressError("webhook", "the secret is missing, cut or a placeholder", "copy the whole address again")
        return cls(origin, int(user), Secret(unquote(secret)))

    @property
    def secrets(self) -> frozenset[str]:
        """Every written form of the secret, for masking."""
        return spellings(self.secret.reveal())

    def path(self, method: str) -> str:
        """Return the secret path of a method."""
        return f"/rest/{self.user_id}/{quote(self.secret.reveal(), safe='')}/{method}"


class Tokens(Protocol):
    """Where access tokens live. Both may block; both raise AuthError, or RefusedError when trying later may help."""

    def current(self) -> str:
        """Return the access token now in use; one that is about to expire may be replaced first."""

    def refresh(self, expired: str) -> str:
        """Replace the token which the portal calls expired; one that somebody else replaced already is returned."""


@dataclass(frozen=True, slots=True)
class OAuth:
    """An installed application: the portal's address, and where its tokens live."""

    origin: Origin
    tokens: Tokens = field(repr=False)

    @classmethod
    def at(cls, portal: str, tokens: Tokens) -> OAuth:
        """Read `https://host[:port]`. Raises AddressError."""
        return cls(Origin.parse(portal), tokens)

    @property
    def secrets(self) -> frozenset[str]:
        """Nothing: tokens change; each is masked when it is first used."""
        return frozenset()

    def path(self, method: str) -> str:
        """Return the path of a method; the token travels in the body."""
        return f"/rest/{method}"


Auth = Webhook | OAuth


def spellings(secret: str) -> frozenset[str]:
    """Return the raw and the percent-encoded forms of a secret."""
    return frozenset({secret, quote(secret, safe=""), quote(secret, safe="").lower(), quote(secret)})


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine by its name or number alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _split(address: str, field_name: str) -> SplitResult:
    text = address.strip()
    try:
        parts = urlsplit(text)
    except ValueError:
        # The original text holds the address.
        raise AddressError(field_name, "the address cannot be read", f"it looks like {_SHOWN}") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise AddressError(field_name, "the address does not begin with https://", "write https:// before the host")
    if "@" in parts.netloc:
        raise AddressError(field_name, "there are credentials before the host", "remove everything up to the @")
    if "?" in text or "#" in text:
        raise AddressError(field_name, "there is a ? or # in the address", "remove it and what follows")
    return parts


def _host(parts: SplitResult, field_name: str) -> str:
    host = parts.hostname or ""
    try:
        host = host.encode("idna").decode() if not host.isascii() else host
    except UnicodeError:
        host = ""
    if not _HOST.fullmatch(host):
        raise AddressError(field_name, "the host cannot be read", "write it like company.bitrix24.com")
    # The dot at the end of a full name is not another portal.
    return host.lower().rstrip(".")


def _port(parts: SplitResult, field_name: str) -> int | None:
    try:
        return parts.port
    except ValueError:
        raise AddressError(field_name, "the port is not a number up to 65535", "correct or remove it") from None
